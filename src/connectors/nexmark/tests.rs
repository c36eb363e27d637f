//! The generator: reproducible, in proportion, and in step.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, TimestampMicrosecondType};

use crate::connectors::tests::{check, drain, lines};
use crate::connectors::{Connector, ConnectorSpec, build};

fn nexmark(stream: &str, options: &[(&str, &str)], columns: Option<&[&str]>) -> Arc<dyn Connector> {
    let given = [("stream", stream)].iter().chain(options).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut spec = ConnectorSpec { connector: "nexmark".into(), options: given, ..ConnectorSpec::default() };
    let all = build(&spec).unwrap();
    if let Some(columns) = columns {
        let fields = columns.iter().map(|name| all.schema().field_with_name(name).unwrap().clone());
        spec.declared = Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
    }
    build(&spec).unwrap()
}

fn integers(rows: &RecordBatch, name: &str) -> Vec<i64> {
    rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn times(rows: &RecordBatch) -> Vec<i64> {
    rows.column_by_name("date_time").unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

#[test]
fn streams_are_reproducible_and_in_proportion() {
    for (stream, share) in [("person", 1), ("auction", 3), ("bid", 46)] {
        let connector = nexmark(stream, &[("events", "20000"), ("seed", "7"), ("late_share", "0.1")], None);
        check(connector.as_ref());
        let (rows, _, offsets) = drain(connector.as_ref(), 0);
        assert_eq!(rows.num_rows(), 400 * share);
        assert_eq!(offsets, [8192, 16384, 20000], "the streams' reads end at the same events");
    }
}

#[test]
fn the_first_rows_are_these_on_every_machine() {
    let first = |stream, columns: &[&str]| {
        lines(&drain(nexmark(stream, &[("events", "8")], Some(columns)).as_ref(), 0).0)[0].clone()
    };
    let bid = first("bid", &["date_time", "auction", "bidder", "price", "channel", "url"]);
    let auction = first("auction", &["id", "seller", "category", "initial_bid", "reserve", "item_name", "expires"]);
    let person = first("person", &["id", "name", "email_address", "credit_card", "city", "state", "date_time"]);
    assert_eq!(
        [bid, auction, person],
        [
            "2026-01-01T00:00:00.000400,1002,1000,86373,Apple,https://www.nexmark.com/zouhp/wninm/aqacb/item.htm?query=1",
            "1000,1000,14,978,495451,gwwlmvttlouoifhbqdbn,2026-01-01T00:00:00.108738",
            "1000,edgar gray,kcsogao@ieeyo.com,6731 4293 4071 1636,boise,or,2026-01-01T00:00:00",
        ]
    );
}

#[test]
fn a_bid_is_for_an_auction_that_is_there() {
    let events = [("events", "100000")];
    let auctions = drain(nexmark("auction", &events, None).as_ref(), 0).0;
    let ids: HashSet<i64> = integers(&auctions, "id").into_iter().collect();
    let people: HashSet<i64> =
        integers(&drain(nexmark("person", &events, None).as_ref(), 0).0, "id").into_iter().collect();
    let bids = drain(nexmark("bid", &events, None).as_ref(), 0).0;
    assert!(integers(&bids, "auction").iter().all(|id| ids.contains(id)));
    assert!(integers(&bids, "bidder").iter().all(|id| people.contains(id)));
    assert!(integers(&auctions, "seller").iter().all(|id| people.contains(id)));
    assert_eq!((ids.len(), people.len()), (6000, 2000));
}

#[test]
fn some_rows_are_late_when_asked() {
    let late = |options: &[(&str, &str)]| {
        let times = times(&drain(nexmark("bid", options, Some(&["date_time"])).as_ref(), 0).0);
        let mut latest = i64::MIN;
        let behind = times.iter().map(|time| {
            latest = latest.max(*time);
            latest - time
        });
        let behind: Vec<i64> = behind.collect();
        (behind.iter().filter(|by| **by > 0).count(), behind.into_iter().max().unwrap())
    };
    assert_eq!(late(&[("events", "50000")]), (0, 0));
    let (count, most) = late(&[("events", "50000"), ("late_share", "0.02"), ("late_by", "2 s")]);
    assert!((800..1000).contains(&count), "{count}");
    assert!((1_900_000..=2_000_000).contains(&most), "{most}");
}

#[test]
fn columns_do_not_depend_on_each_other() {
    let events = [("events", "1000")];
    let all = drain(nexmark("bid", &events, None).as_ref(), 0).0;
    let some = drain(nexmark("bid", &events, Some(&["url", "price"])).as_ref(), 0).0;
    assert_eq!(all.column_by_name("url"), some.column_by_name("url"));
    assert_eq!(all.column_by_name("price"), some.column_by_name("price"));
}

#[test]
fn a_rate_paces_and_moves_event_time() {
    let events = [("events", "150"), ("rate", "1000")];
    let connector = nexmark("bid", &events, None);
    let (rows, _, offsets) = drain(connector.as_ref(), 0);
    assert_eq!((rows.num_rows(), offsets[0], offsets.last()), (138, 8, Some(&150)));
    assert_eq!(times(&rows)[1] - times(&rows)[0], 1000);
    assert!(!nexmark("bid", &[("rate", "5")], None).bounded());
}

#[test]
fn wrong_options_are_named() {
    let error = |options: &[(&str, &str)]| {
        let options = options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let spec = ConnectorSpec { connector: "nexmark".into(), options, ..ConnectorSpec::default() };
        let error = build(&spec).unwrap_err();
        format!("{} {} / {}", error.code().0, error.message(), error.parts().hint.clone().unwrap_or_default())
    };
    let all = [
        error(&[]),
        error(&[("stream", "bids")]),
        error(&[("stream", "bid"), ("rate", "0")]),
        error(&[("stream", "bid"), ("evnts", "5")]),
        error(&[("stream", "bid"), ("late_share", "2")]),
        error(&[("stream", "bid"), ("base_time", "soon")]),
    ];
    assert_eq!(
        all,
        [
            "22023 connector \"nexmark\" needs option \"stream\" / Add stream = 'bid' to WITH (..).",
            "22023 invalid value for option \"stream\": \"bids\" / Expected 'bid', 'auction' or 'person'.",
            "22023 invalid value for option \"rate\": \"0\" / Expected a whole number of events a second, 1 or more.",
            "22023 connector \"nexmark\" has no option \"evnts\" / Perhaps you meant \"events\".",
            "22023 invalid value for option \"late_share\": \"2\" / Expected a number from 0 to 1.",
            "22023 invalid value for option \"base_time\": \"soon\" / Expected a timestamp, like '2026-01-01 00:00:00'.",
        ]
    );
}
