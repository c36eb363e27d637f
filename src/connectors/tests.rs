//! What every connector has to keep, as checks that its tests call (test builds only).

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;

use super::{BadRecord, Connector, Read};

/// Everything from an offset on: the rows, the bad records, and the offset after each read.
pub(super) fn drain(connector: &dyn Connector, offset: u64) -> (RecordBatch, Vec<BadRecord>, Vec<u64>) {
    let mut reader = connector.open(0, offset).unwrap();
    let (mut batches, mut all_bad, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.read(Duration::from_secs(1)).unwrap() {
            Read::Rows { rows, bad, next_offset } => {
                assert!(next_offset > offsets.last().copied().unwrap_or(offset), "offsets ascend");
                assert_eq!(rows.schema(), connector.schema(), "rows have the connector's schema");
                batches.push(rows);
                all_bad.extend(bad);
                offsets.push(next_offset);
            }
            Read::Waiting => {}
            Read::End => break,
        }
    }
    (concat_batches(&connector.schema(), &batches).unwrap(), all_bad, offsets)
}

/// A bounded, replayable source read twice, and from every offset that it gave, is the same.
pub(super) fn check(connector: &dyn Connector) {
    let (rows, bad, offsets) = drain(connector, 0);
    assert_eq!(drain(connector, 0), (rows.clone(), bad.clone(), offsets.clone()));
    for (at, offset) in offsets.iter().enumerate() {
        let (rest, rest_bad, rest_offsets) = drain(connector, *offset);
        assert_eq!(rest, rows.slice(rows.num_rows() - rest.num_rows(), rest.num_rows()));
        assert_eq!(rest_bad, bad[bad.len() - rest_bad.len()..]);
        assert_eq!(rest_offsets, offsets[at + 1..]);
    }
    assert_eq!(connector.fingerprint().unwrap(), connector.fingerprint().unwrap());
}

/// Rows as lines of a table, without its frame.
pub(super) fn lines(rows: &RecordBatch) -> Vec<String> {
    let table = pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",")).collect()
}
