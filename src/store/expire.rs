//! Rows that leave all at once, by what is in them.

use std::ops::Range;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::Result;

use super::Store;
use super::index::identities;

impl Store {
    /// Deletes the rows with ids in a range of which `gone` says so, of a chunk's rows; gives them.
    pub fn take_out_where(
        &mut self,
        ids: Range<u64>,
        gone: impl Fn(&RecordBatch) -> Result<BooleanArray>,
    ) -> Result<Vec<RecordBatch>> {
        let first = self.chunks.partition_point(|chunk| chunk.first_id() <= ids.start).saturating_sub(1);
        let mut taken = Vec::new();
        for c in first..self.chunks.len() {
            let chunk = &self.chunks[c];
            if chunk.first_id() >= ids.end {
                break;
            }
            let all = chunk.rows()?;
            let gone = gone(&all)?;
            let leaves = |&p: &u32| gone.value(p as usize) && chunk.is_live(p as usize);
            let positions: Vec<u32> =
                chunk.all().filter(leaves).filter(|p| ids.contains(&chunk.id(*p as usize))).collect();
            if positions.is_empty() {
                continue;
            }
            let rows = take_record_batch(&all, &UInt32Array::from(positions.clone()))?;
            self.delete_positions(c, &positions, &identities(self.encoder(), &rows)?);
            taken.push(rows);
        }
        Ok(taken)
    }
}
