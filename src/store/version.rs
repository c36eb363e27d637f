//! [`Version`]: the rows of a table or view at one epoch.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;

use crate::data::KeyEncoder;
use crate::error::Result;

use super::chunk::Chunk;
use super::index::{identities, key_identities};

/// The rows at one epoch. Cheap to clone; never changes; readable from any thread.
#[derive(Clone, Debug)]
pub struct Version {
    pub(super) schema: SchemaRef,
    pub(super) key: Option<Arc<[usize]>>,
    pub(super) encoder: Arc<KeyEncoder>,
    pub(super) chunks: Arc<Vec<Chunk>>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Version {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Approximate bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows: batches of at most [`super::CHUNK_ROWS`] rows, in the order of insertion. Rows are copied only out of
    /// chunks that hold deleted ones.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        self.chunks.iter().map(Chunk::live_rows).collect()
    }

    /// Number of chunks.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The rows of one chunk, in the order of [`Self::batches`]; `None` behind the last.
    pub fn batch(&self, chunk: usize) -> Result<Option<RecordBatch>> {
        self.chunks.get(chunk).map(Chunk::live_rows).transpose()
    }

    /// All rows with their row ids, for [`crate::store::Store`]'s writers.
    pub fn batches_with_ids(&self) -> Result<Vec<(RecordBatch, UInt64Array)>> {
        self.chunks.iter().map(|c| Ok((c.live_rows()?, c.live_ids()?))).collect()
    }

    /// The columns that [`Self::lookup`] takes; `None` when the rows have no key.
    pub fn key(&self) -> Option<&[usize]> {
        self.key.as_deref()
    }

    /// The rows that have one of these keys, without a scan. `keys` holds the key columns, with the types of the rows'
    /// columns, in the order of [`Self::key`] (of all columns when there is no key).
    pub fn lookup(&self, keys: &RecordBatch) -> Result<RecordBatch> {
        let wanted = key_identities(&self.encoder, keys.columns(), keys.num_rows())?;
        let mut found: Vec<(usize, usize)> = Vec::new();
        for identity in wanted {
            for (c, chunk) in self.chunks.iter().enumerate() {
                for position in chunk.candidates(&self.encoder, identity)? {
                    let row = chunk.rows().slice(position, 1);
                    if identities(&self.encoder, &row)?.first() == Some(&identity) {
                        found.push((c, position));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(Chunk::rows).collect();
        Ok(interleave_record_batch(&batches, &found)?)
    }
}
