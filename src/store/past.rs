//! [`Past`]: the rows of a table or view at an epoch before that of a version, found by taking back what changed since.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;

use crate::data::{Changes, KeyEncoder, consolidate};
use crate::error::Result;

use super::Version;

/// The rows of then. Never changes; readable from any thread.
#[derive(Debug)]
pub struct Past {
    now: Version,
    encoder: KeyEncoder,
    /// Rows that have come since, by content, with how often.
    came: HashMap<Box<[u8]>, u64>,
    /// Rows that are gone since.
    gone: RecordBatch,
    rows: usize,
}

impl Past {
    /// The rows of which `later` made those of a version.
    pub fn of(now: Version, later: &[Changes]) -> Result<Self> {
        let schema = Arc::clone(now.schema());
        let encoder = KeyEncoder::exact(&schema, &(0..schema.fields().len()).collect::<Vec<_>>())?;
        let net = consolidate(&schema, &encoder, later)?;
        let keys = encoder.encode(&net.rows)?;
        let (mut came, mut gone, mut more) = (HashMap::new(), Vec::new(), 0);
        for i in 0..net.len() {
            match net.diff(i) {
                diff if diff > 0 => {
                    more += diff.unsigned_abs() as usize;
                    came.insert(Box::from(keys.get(i)), diff.unsigned_abs());
                }
                diff => gone.extend(std::iter::repeat_n(i as u32, usize::try_from(-diff).unwrap_or(0))),
            }
        }
        let rows = (now.rows() + gone.len()).saturating_sub(more);
        let gone = net.take(&UInt32Array::from(gone))?.rows;
        Ok(Self { now, encoder, came, gone, rows })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The key columns, where there is a key.
    pub fn key(&self) -> Option<&[usize]> {
        self.now.key()
    }

    /// All rows, batch by batch: the newest of those that are still there first, then those that are gone. New rows are in
    /// the last chunks, so the others are not looked at.
    pub fn batches(self: &Arc<Self>) -> impl Iterator<Item = Result<RecordBatch>> + Send + use<> {
        let (past, mut came) = (Arc::clone(self), self.came.clone());
        let still = (0..self.now.chunks()).rev().filter_map(move |chunk| {
            let rows = past.now.batch(chunk).transpose()?;
            Some(rows.and_then(|rows| past.without(rows, &mut came)))
        });
        still.chain(std::iter::once(Ok(self.gone.clone())))
    }

    /// Among these batches are all rows of then that have one of these keys, as [`Version::lookup`] takes them.
    pub fn lookup(&self, keys: &RecordBatch) -> Result<[RecordBatch; 2]> {
        let still = self.without(self.now.lookup(keys)?, &mut self.came.clone())?;
        Ok([still, self.gone.clone()])
    }

    /// Rows without those that have come since.
    fn without(&self, rows: RecordBatch, came: &mut HashMap<Box<[u8]>, u64>) -> Result<RecordBatch> {
        if came.is_empty() {
            return Ok(rows);
        }
        let keys = self.encoder.encode(&rows)?;
        let mut keep = vec![true; rows.num_rows()];
        for (i, keep) in keep.iter_mut().enumerate().rev() {
            if let Some(left) = came.get_mut(keys.get(i)) {
                *keep = false;
                *left -= 1;
                if *left == 0 {
                    came.remove(keys.get(i));
                }
            }
        }
        Ok(filter_record_batch(&rows, &BooleanArray::from(keep))?)
    }
}
