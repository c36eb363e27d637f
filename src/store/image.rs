//! A store as it is written down: chunks, which never change, and what was deleted of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};

use crate::error::{Error, Result};
use crate::spill::Memory;

use super::chunk::Chunk;
use super::ids::Ids;
use super::{Store, Version};

/// One chunk of a store.
#[derive(Clone, Debug)]
pub struct ChunkImage(Chunk);

impl ChunkImage {
    /// From what [`Self::batch`] and [`Self::deleted`] gave. When memory is short its rows go to disk at once.
    ///
    /// Errors: `XX000` these do not fit each other, `53100`, `58030` of the disk.
    pub fn new(
        batch: RecordBatch,
        first: Option<u64>,
        deleted: Option<Vec<u64>>,
        memory: &Arc<Memory>,
    ) -> Result<Self> {
        let corrupt = || Error::internal("a stored chunk's parts do not fit each other");
        let (rows, ids) = match first {
            Some(first) => (batch, Ids::From(first)),
            None => {
                let (ids, columns): (&ArrayRef, &[ArrayRef]) = batch.columns().split_last().ok_or_else(corrupt)?;
                let ids = ids.as_primitive_opt::<UInt64Type>().ok_or_else(corrupt)?.values().clone();
                let fields: Vec<Arc<Field>> = batch.schema().fields()[..columns.len()].to_vec();
                (RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec())?, Ids::of(&ids))
            }
        };
        if deleted.as_ref().is_some_and(|mask| mask.len() != rows.num_rows().div_ceil(64)) {
            return Err(corrupt());
        }
        let chunk = Chunk::new(rows, ids, memory).with_deleted(deleted);
        if memory.is_short() {
            chunk.data().spill()?;
        }
        Ok(Self(chunk))
    }

    /// Tells chunks of this process apart, whatever was deleted of them.
    pub fn serial(&self) -> u64 {
        self.0.serial()
    }

    /// Rows that are not deleted: with its serial, this tells what is deleted.
    pub fn live(&self) -> usize {
        self.0.live()
    }

    /// All rows, deleted ones too; behind them, where there is no first row id from which they count, their ids.
    pub fn batch(&self) -> Result<(RecordBatch, Option<u64>)> {
        let rows = self.0.passing_rows()?;
        match self.0.ids() {
            Ids::From(first) => Ok((rows, Some(*first))),
            Ids::Listed(_) => {
                let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
                fields.push(Arc::new(Field::new("row id", DataType::UInt64, false)));
                let mut columns = rows.columns().to_vec();
                columns.push(Arc::new(self.0.all_ids()));
                Ok((RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, None))
            }
        }
    }

    /// The deleted rows, as bits.
    pub fn deleted(&self) -> Option<&[u64]> {
        self.0.deleted()
    }
}

impl Version {
    /// Its chunks, in order.
    pub fn image(&self) -> Vec<ChunkImage> {
        self.chunks.iter().cloned().map(ChunkImage).collect()
    }
}

impl Store {
    /// The id of the next row.
    pub fn next_row(&self) -> u64 {
        self.next_row
    }

    /// The store of an image; schema and key are the object's.
    pub fn from_image(schema: SchemaRef, key: Option<&[usize]>, next_row: u64, image: Vec<ChunkImage>) -> Result<Self> {
        let mut store = Self::new(schema, key)?;
        for ChunkImage(chunk) in image {
            store.rows += chunk.live();
            store.chunks.push(chunk.with_schema(&store.schema)?);
        }
        store.next_row = next_row;
        Ok(store)
    }

    /// The same rows in a store that shares nothing with this one's index.
    pub fn rebuilt(&mut self) -> Result<Self> {
        let image = self.seal()?.image();
        let again = |chunk: &ChunkImage| {
            let (batch, first) = chunk.batch()?;
            ChunkImage::new(batch, first, chunk.deleted().map(<[u64]>::to_vec), &self.memory)
        };
        let image = image.iter().map(again).collect::<Result<Vec<_>>>()?;
        let store = Self::from_image(Arc::clone(&self.schema), self.key.as_deref(), self.next_row, image)?;
        Ok(store.bounded(&self.memory))
    }
}
