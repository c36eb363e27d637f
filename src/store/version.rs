//! [`Version`]: the rows of a table or view at one epoch.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch};
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
    pub(super) bounded: bool,
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

    /// Whether rows may be on disk.
    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// All rows: batches of at most [`super::CHUNK_ROWS`] rows, in the order of insertion. Rows are copied only out of
    /// chunks that hold deleted ones, or that are on disk: take [`Self::batch`] where there may be many.
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
        let mut wanted = key_identities(&self.encoder, keys.columns(), keys.num_rows())?;
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = vec![];
        for chunk in self.chunks.iter() {
            let mut candidates = chunk.candidates(&self.encoder, &wanted)?;
            if candidates.is_empty() {
                continue;
            }
            candidates.sort_unstable();
            let positions: Vec<u32> = candidates.iter().map(|(position, _)| *position as u32).collect();
            let rows = chunk.take(&positions)?;
            let own = identities(&self.encoder, &rows)?;
            let keep: BooleanArray =
                own.iter().zip(&candidates).map(|(own, (_, wanted))| Some(own == wanted)).collect();
            found.push(filter_record_batch(&rows, &keep)?);
        }
        Ok(concat_batches(&self.schema, &found)?)
    }
}
