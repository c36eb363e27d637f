//! REBUILD .. FROM: a view that takes another's place has the other's rows of windows that were over before.
//!
//! These windows are final, so that nothing changes in them any more. The rows stand in the log before the change of the
//! catalog that they belong to: reading it back does not compute a view that goes.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;

use crate::data::{Changes, ObjectId, Span};
use crate::error::{Error, Result};
use crate::store::Version;

/// Which rows are the other view's.
#[derive(Clone, Debug)]
pub struct KeptWindows {
    /// The view that gets them.
    pub view: ObjectId,
    /// Its column, and the other's, that is a bound of a window.
    pub column: usize,
    /// What lies between that bound and the window's end.
    pub to_end: Span,
    /// Windows that end by then, microseconds.
    pub until: i64,
}

impl KeptWindows {
    /// Which rows are of such windows.
    pub(super) fn has(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let bounds = rows.column(self.column).as_primitive_opt::<TimestampMicrosecondType>();
        let bounds = bounds.ok_or_else(|| Error::internal("the bound of a window is no timestamp"))?;
        let has = |i: usize| bounds.is_valid(i) && self.to_end.end(bounds.value(i)) <= self.until;
        Ok((0..bounds.len()).map(|i| Some(has(i))).collect())
    }

    /// The rows of such windows.
    pub(super) fn of(&self, version: &Version) -> Result<Vec<Changes>> {
        let mut kept = Vec::new();
        for rows in version.batches()? {
            let rows = filter_record_batch(&rows, &self.has(&rows)?)?;
            if rows.num_rows() > 0 {
                kept.push(Changes::insertions(rows));
            }
        }
        Ok(kept)
    }
}
