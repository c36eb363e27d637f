//! `WITH (retention = ..)`: rows leave a view when the watermark has passed their window's end by its lateness and the
//! retention.
//!
//! An expiry is no change. It is a function of the epoch's watermarks alone, so replay makes it again; the windows are
//! final, so no change of theirs follows. Who sees what:
//!
//! * SELECT sees the rows that are kept, and so does a subscription's snapshot; a subscription is not told that rows leave;
//! * AS OF an epoch gives the rows of then, also those that have left since: the history has them, apart from the changes;
//! * a view on the view is not told either: it keeps what it made of rows that have left. One that is created later, or comes
//!   back from a pause, begins with the rows that are kept;
//! * a sink keeps what it wrote; its snapshot begins with the rows that are kept;
//! * a checkpoint has the rows that are kept, and the count of those that have left.
//!
//! A bounded source that has ended has reached the end of event time, and so have all windows over it: nothing is kept.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;

use crate::data::{Changes, Retention, WatermarkVector};
use crate::error::{Error, Result};
use crate::store::Store;

/// Which of a view's rows leave next, and where they lie.
pub(super) struct Calendar {
    retention: Retention,
    /// By the end of a window: among which row ids its rows are.
    places: BTreeMap<i64, Range<u64>>,
}

impl Calendar {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, places: BTreeMap::new() }
    }

    /// Takes in rows that are there already.
    pub(super) fn fill(&mut self, store: &Store) -> Result<()> {
        for (rows, ids) in store.batches_with_ids()? {
            if let (Some(first), Some(last)) = (ids.values().first(), ids.values().last()) {
                self.note(&Changes::insertions(rows), *first..last + 1)?;
            }
        }
        Ok(())
    }

    /// Some changes were applied: what was inserted has these row ids.
    pub(super) fn note(&mut self, changes: &Changes, ids: Range<u64>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let bounds = bounds(&changes.rows, self.retention.column)?;
        let mut last = None;
        for i in (0..bounds.len()).filter(|&i| bounds.is_valid(i) && changes.diff(i) > 0) {
            // Rows of one window mostly come together.
            let bound = bounds.value(i);
            if last.replace(bound) != Some(bound) {
                let place = self.places.entry(self.retention.to_end.end(bound)).or_insert_with(|| ids.clone());
                *place = place.start.min(ids.start)..place.end.max(ids.end);
            }
        }
        Ok(())
    }

    /// Takes out the rows whose time has come, at the watermarks of an epoch's end; gives them as retractions.
    pub(super) fn expire(&mut self, watermarks: &WatermarkVector, store: &mut Store) -> Result<Vec<Changes>> {
        let horizon = self.retention.horizon(watermarks);
        let mut among: Option<Range<u64>> = None;
        while let Some(entry) = self.places.first_entry().filter(|entry| *entry.key() <= horizon) {
            let place = entry.remove();
            among = Some(among.map_or(place.clone(), |a| a.start.min(place.start)..a.end.max(place.end)));
        }
        let Some(among) = among else { return Ok(vec![]) };
        let Retention { column, to_end, .. } = self.retention;
        let rows = store.take_out_where(among, |rows| {
            let bounds = bounds(rows, column)?;
            let gone = |i: usize| bounds.is_valid(i) && to_end.end(bounds.value(i)) <= horizon;
            Ok((0..bounds.len()).map(gone).collect())
        })?;
        Ok(rows.into_iter().map(retractions).collect())
    }
}

fn bounds(rows: &RecordBatch, column: usize) -> Result<TimestampMicrosecondArray> {
    let bounds = rows.column(column).as_primitive_opt::<TimestampMicrosecondType>();
    bounds.cloned().ok_or_else(|| Error::internal("the bound of a window is no timestamp"))
}

/// Rows that go.
pub(super) fn retractions(rows: RecordBatch) -> Changes {
    let diffs = Int64Array::from(vec![-1; rows.num_rows()]);
    Changes::settled(rows, Some(diffs))
}
