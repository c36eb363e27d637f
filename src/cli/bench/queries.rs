//! The queries, as views in our SQL and as batch queries in DataFusion's.

/// A view and what it is compared with.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What stands behind AS.
    query: &'static str,
    /// What stands behind the query.
    emit: &'static str,
    /// The sources that it reads.
    pub(super) inputs: &'static [&'static str],
    /// DataFusion's query.
    pub(super) baseline: &'static str,
    /// Through sequencer, log and publisher into a view that can be read.
    pub(super) stored: bool,
    /// The same view over rows of which none is late.
    pub(super) beside: Option<&'static str>,
}

impl Case {
    /// The statement.
    pub(super) fn view(&self) -> String {
        format!("CREATE MATERIALIZED VIEW {} AS {} {}", self.name, self.query, self.emit)
    }
}

const CLOSE: &str = "EMIT ON WINDOW CLOSE";
const UPDATE: &str = "EMIT ON UPDATE";
const LATENESS: &str = "EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '1' MINUTE";

const TUMBLE: &str = "SELECT window_start, auction, count(*) AS n, sum(price) AS total, max(price) AS top
    FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND) GROUP BY window_start, auction";
const TUMBLE_BATCH: &str =
    "SELECT date_bin(INTERVAL '10 seconds', date_time), auction, count(*), sum(price), max(price)
    FROM bid GROUP BY 1, 2";
const TUMBLE_TEXT: &str = "SELECT window_start, channel, count(*) AS n, sum(price) AS total, max(price) AS top
    FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND) GROUP BY window_start, channel";
const TUMBLE_TEXT_BATCH: &str =
    "SELECT date_bin(INTERVAL '10 seconds', date_time), channel, count(*), sum(price), max(price)
    FROM bid GROUP BY 1, 2";
const HOP: &str = "SELECT window_start, auction, count(*) AS n
    FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY window_start, auction";
/// Each row five times, once for each window.
const HOP_EXPANDED: &str = "SELECT window_start, auction, count(*) FROM (
      SELECT date_bin(INTERVAL '2 seconds', date_time) - back AS window_start, auction FROM bid CROSS JOIN (VALUES
        (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'),
        (INTERVAL '8 seconds')) AS windows (back)
    ) GROUP BY 1, 2";
/// Two seconds are counted once, and five such panes summed.
const HOP_PANES: &str = "SELECT pane - back AS window_start, auction, sum(n) FROM (
      SELECT date_bin(INTERVAL '2 seconds', date_time) AS pane, auction, count(*) AS n FROM bid GROUP BY 1, 2
    ) CROSS JOIN (VALUES
        (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'),
        (INTERVAL '8 seconds')) AS windows (back)
    GROUP BY 1, 2";
const HOP_TEXT: &str = "SELECT window_start, channel, count(*) AS n
    FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY window_start, channel";
const HOP_TEXT_EXPANDED: &str = "SELECT window_start, channel, count(*) FROM (
      SELECT date_bin(INTERVAL '2 seconds', date_time) - back AS window_start, channel FROM bid CROSS JOIN (VALUES
        (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'),
        (INTERVAL '8 seconds')) AS windows (back)
    ) GROUP BY 1, 2";

const fn case(
    name: &'static str,
    query: &'static str,
    emit: &'static str,
    inputs: &'static [&'static str],
    baseline: &'static str,
) -> Case {
    Case { name, query, emit, inputs, baseline, stored: false, beside: None }
}

/// The cases of `bench windows`.
pub(super) const WINDOWS: &[Case] = &[
    case(
        "passthrough",
        "SELECT auction, bidder, price, date_time FROM bid",
        UPDATE,
        &["bid"],
        "SELECT auction, bidder, price, date_time FROM bid",
    ),
    case("tumble_close", TUMBLE, CLOSE, &["bid"], TUMBLE_BATCH),
    case("tumble_update", TUMBLE, UPDATE, &["bid"], TUMBLE_BATCH),
    case("hop_close", HOP, CLOSE, &["bid"], HOP_EXPANDED),
    case("hop_close_panes", HOP, CLOSE, &["bid"], HOP_PANES),
    case("tumble_close_varchar", TUMBLE_TEXT, CLOSE, &["bid"], TUMBLE_TEXT_BATCH),
    case("tumble_update_varchar", TUMBLE_TEXT, UPDATE, &["bid"], TUMBLE_TEXT_BATCH),
    case("hop_close_varchar", HOP_TEXT, CLOSE, &["bid"], HOP_TEXT_EXPANDED),
    case(
        "join",
        "SELECT b.auction, b.price, a.seller FROM bid AS b JOIN auction AS a ON b.auction = a.id",
        UPDATE,
        &["bid", "auction"],
        "SELECT b.auction, b.price, a.seller FROM bid AS b JOIN auction AS a ON b.auction = a.id",
    ),
    Case { stored: true, ..case("tumble_view", TUMBLE, UPDATE, &["bid"], TUMBLE_BATCH) },
    case("tumble_close_late0", TUMBLE, LATENESS, &["bid"], TUMBLE_BATCH),
    Case {
        beside: Some("tumble_close_late0"),
        ..case(
            "tumble_close_late1",
            "SELECT window_start, auction, count(*) AS n, sum(price) AS total, max(price) AS top
             FROM TUMBLE(bid_late1, date_time, INTERVAL '10' SECOND) GROUP BY window_start, auction",
            LATENESS,
            &["bid_late1"],
            "SELECT date_bin(INTERVAL '10 seconds', date_time), auction, count(*), sum(price), max(price)
             FROM bid_late1 GROUP BY 1, 2",
        )
    },
    Case {
        beside: Some("tumble_close_late0"),
        ..case(
            "tumble_close_late10",
            "SELECT window_start, auction, count(*) AS n, sum(price) AS total, max(price) AS top
             FROM TUMBLE(bid_late10, date_time, INTERVAL '10' SECOND) GROUP BY window_start, auction",
            LATENESS,
            &["bid_late10"],
            "SELECT date_bin(INTERVAL '10 seconds', date_time), auction, count(*), sum(price), max(price)
             FROM bid_late10 GROUP BY 1, 2",
        )
    },
];

/// The cases of `bench nexmark`: the queries of the benchmark that this dialect runs today.
pub(super) const NEXMARK: &[Case] = &[
    case(
        "q0",
        "SELECT auction, bidder, price, channel, date_time FROM bid",
        UPDATE,
        &["bid"],
        "SELECT auction, bidder, price, channel, date_time FROM bid",
    ),
    // In whole numbers, on which both sides agree to the last digit.
    case(
        "q1",
        "SELECT auction, bidder, price * 908 / 1000 AS price, date_time FROM bid",
        UPDATE,
        &["bid"],
        "SELECT auction, bidder, price * 908 / 1000, date_time FROM bid",
    ),
    case(
        "q2",
        "SELECT auction, price FROM bid WHERE auction % 123 = 0",
        UPDATE,
        &["bid"],
        "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    ),
    // The most bids that any auction got, per window; not which auction.
    case(
        "q5_like",
        "SELECT window_start, max(n) AS n FROM (
           SELECT window_start, auction, count(*) AS n
           FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY window_start, auction
         ) AS counts GROUP BY window_start",
        UPDATE,
        &["bid"],
        "SELECT window_start, max(n) FROM (
           SELECT pane - back AS window_start, auction, sum(n) AS n FROM (
             SELECT date_bin(INTERVAL '2 seconds', date_time) AS pane, auction, count(*) AS n FROM bid GROUP BY 1, 2
           ) CROSS JOIN (VALUES
             (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'),
             (INTERVAL '8 seconds')) AS windows (back)
           GROUP BY 1, 2
         ) GROUP BY 1",
    ),
    // The highest price per window; not who bid it.
    case(
        "q7_like",
        "SELECT window_start, max(price) AS price FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND)
         GROUP BY window_start",
        CLOSE,
        &["bid"],
        "SELECT date_bin(INTERVAL '10 seconds', date_time), max(price) FROM bid GROUP BY 1",
    ),
];
