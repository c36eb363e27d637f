//! [`Changes`]: an Arrow batch of rows, each with a signed weight.

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, concat_batches, filter, filter_record_batch, take, take_record_batch};
use arrow::datatypes::SchemaRef;

use super::Arrival;
use crate::error::Result;

/// A batch of changes: rows and their diffs.
///
/// Invariant: `diffs`, where present, have `rows.num_rows()` values and no nulls.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The rows. Shape: n rows of the stream's schema.
    pub rows: RecordBatch,
    /// Signed weights; `None` means all +1, which is what append-only input carries.
    pub diffs: Option<Int64Array>,
    /// How window operators judge whether the rows are late.
    pub arrival: Arrival,
}

impl Changes {
    /// Insertions only, all on time.
    pub fn insertions(rows: RecordBatch) -> Self {
        Self { rows, diffs: None, arrival: Arrival::OnTime }
    }

    /// Rows with their diffs, all on time.
    pub fn new(rows: RecordBatch, diffs: Int64Array) -> Self {
        debug_assert_eq!(rows.num_rows(), diffs.len());
        Self { rows, diffs: Some(diffs), arrival: Arrival::OnTime }
    }

    /// Output of a stateful operator.
    pub fn settled(rows: RecordBatch, diffs: Option<Int64Array>) -> Self {
        debug_assert!(diffs.as_ref().is_none_or(|d| d.len() == rows.num_rows()));
        Self { rows, diffs, arrival: Arrival::Settled }
    }

    /// Number of rows (not weighted).
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of row `i`.
    pub fn diff(&self, i: usize) -> i64 {
        self.diffs.as_ref().map_or(1, |d| d.value(i))
    }

    /// The weights as a column, made when they were left out.
    pub fn diffs_or_ones(&self) -> Int64Array {
        self.diffs.clone().unwrap_or_else(|| Int64Array::from(vec![1; self.len()]))
    }

    /// All weights with the sign turned: what undoes these changes.
    #[must_use]
    pub fn negated(&self) -> Self {
        let diffs = self.diffs_or_ones().unary(|d: i64| -d);
        Self { rows: self.rows.clone(), diffs: Some(diffs), arrival: self.arrival.clone() }
    }

    /// Other columns under the same diffs and arrival (a projection).
    #[must_use]
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        debug_assert_eq!(rows.num_rows(), self.len());
        Self { rows, diffs: self.diffs.clone(), arrival: self.arrival.clone() }
    }

    /// The rows where `keep` is true (null counts as false).
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let column = |a: &Int64Array| -> Result<Int64Array> { Ok(ints(&filter(a, keep)?)) };
        Ok(Self {
            rows: filter_record_batch(&self.rows, keep)?,
            diffs: self.diffs.as_ref().map(column).transpose()?,
            arrival: self.arrival.filter(keep),
        })
    }

    /// The rows at `indices`, in that order; an index may repeat (unnest, joins) .
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let column = |a: &Int64Array| -> Result<Int64Array> { Ok(ints(&take(a, indices, None)?)) };
        Ok(Self {
            rows: take_rows(&self.rows, indices)?,
            diffs: self.diffs.as_ref().map(column).transpose()?,
            arrival: self.arrival.take(indices, self.len()),
        })
    }

    /// `length` rows from `offset`, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            rows: self.rows.slice(offset, length),
            diffs: self.diffs.as_ref().map(|d| d.slice(offset, length)),
            arrival: self.arrival.slice(offset, length),
        }
    }

    /// One batch out of several of one schema; the result is settled (use it behind stateful operators and at views).
    pub fn concat(schema: &SchemaRef, parts: &[Self]) -> Result<Self> {
        if let [one] = parts {
            return Ok(Self { arrival: Arrival::Settled, ..one.clone() });
        }
        let rows = concat_batches(schema, parts.iter().map(|p| &p.rows))?;
        let diffs = if parts.iter().all(|p| p.diffs.is_none()) {
            None
        } else {
            let columns: Vec<Int64Array> = parts.iter().map(Self::diffs_or_ones).collect();
            let columns: Vec<&dyn Array> = columns.iter().map(|c| c as &dyn Array).collect();
            Some(ints(&concat(&columns)?))
        };
        Ok(Self { rows, diffs, arrival: Arrival::Settled })
    }

    /// Approximate bytes: of the rows themselves (a slice does not count the whole buffers behind it), and of the arrays
    /// around them.
    pub fn bytes(&self) -> usize {
        const ARRAY: usize = 256;
        let extra = |a: &Int64Array| a.len() * 8;
        ARRAY * (1 + self.rows.num_columns())
            + batch_bytes(&self.rows)
            + self.diffs.as_ref().map_or(0, extra)
            + match &self.arrival {
                Arrival::Late { rows, .. } => rows.bytes(),
                Arrival::OnTime | Arrival::Settled => 0,
            }
    }
}

/// Like `take_record_batch`, which refuses batches without columns.
fn take_rows(rows: &RecordBatch, indices: &UInt32Array) -> Result<RecordBatch> {
    if rows.num_columns() > 0 {
        return Ok(take_record_batch(rows, indices)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), vec![], &options)?)
}

/// The array as the `Int64Array` that it is.
fn ints(array: &ArrayRef) -> Int64Array {
    use arrow::array::AsArray;
    array.as_primitive::<arrow::datatypes::Int64Type>().clone()
}

/// Bytes of the rows themselves: a slice does not count the whole buffers behind it.
pub fn batch_bytes(rows: &RecordBatch) -> usize {
    let column = |c: &ArrayRef| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size());
    rows.columns().iter().map(column).sum()
}
