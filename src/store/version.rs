//! [`Version`]: the rows of a table or view at one epoch.

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// The rows at one epoch. Cheap to clone; never changes; readable from any thread.
#[derive(Clone, Debug)]
pub struct Version {
    schema: SchemaRef,
}

impl Version {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        0
    }

    /// Approximate bytes.
    pub fn bytes(&self) -> usize {
        0
    }

    /// All rows: batches of at most 65,536 rows, in the order of insertion.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        Err(Error::internal("not built yet"))
    }

    /// All rows with their row ids, for [`crate::runtime::Target::RowIds`].
    pub fn batches_with_ids(&self) -> Result<Vec<(RecordBatch, UInt64Array)>> {
        Err(Error::internal("not built yet"))
    }

    /// The columns that [`Self::lookup`] takes; `None` when the rows have no key.
    pub fn key(&self) -> Option<&[usize]> {
        None
    }

    /// The rows that have one of these keys (columns in the order of [`Self::key`]), without a scan.
    pub fn lookup(&self, keys: &RecordBatch) -> Result<RecordBatch> {
        Err(Error::internal(format!("not built yet: {}", keys.num_rows())))
    }
}
