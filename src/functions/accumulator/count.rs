//! count.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::{Cells, Finished, Rows, next};
use crate::error::Result;

/// Numbers of rows.
#[derive(Default)]
pub(super) struct Counts {
    counts: Vec<i64>,
}

/// A column of the counts of entries.
pub(super) fn dumped(counts: &[i64], entries: &[u32]) -> ArrayRef {
    Arc::new(entries.iter().map(|&e| counts[e as usize]).collect::<Int64Array>())
}

/// Adds a column of [`dumped`].
pub(super) fn merged(counts: &mut [i64], entries: &[u32], column: &ArrayRef) {
    let column = column.as_primitive::<Int64Type>();
    entries.iter().zip(column.values()).for_each(|(&e, &v)| counts[e as usize] += v);
}

impl Cells for Counts {
    fn resize(&mut self, entries: usize) {
        self.counts.resize(entries, 0);
    }

    fn reset(&mut self, entry: u32) {
        self.counts[entry as usize] = 0;
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.each(|_, e, d| self.counts[e as usize] += d);
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        Ok(Finished::fine(dumped(&self.counts, entries)))
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * 8
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![dumped(&self.counts, entries)])
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.counts, entries, &next(columns)?);
        Ok(())
    }
}
