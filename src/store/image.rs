//! A store as it is written down: chunks, which never change, and what was deleted of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};

use crate::error::{Error, Result};

use super::chunk::{Chunk, Ids};
use super::{Store, Version};

/// One chunk of a store.
#[derive(Clone, Debug)]
pub struct ChunkImage(Chunk);

impl ChunkImage {
    /// From what [`Self::batch`] and [`Self::deleted`] gave.
    ///
    /// Errors: `XX000` these do not fit each other.
    pub fn new(batch: RecordBatch, first: Option<u64>, deleted: Option<Vec<u64>>) -> Result<Self> {
        let corrupt = || Error::internal("a stored chunk's parts do not fit each other");
        let (rows, ids) = match first {
            Some(first) => (batch, Ids::From(first)),
            None => {
                let (ids, columns): (&ArrayRef, &[ArrayRef]) = batch.columns().split_last().ok_or_else(corrupt)?;
                let ids = ids.as_primitive_opt::<UInt64Type>().ok_or_else(corrupt)?.values().to_vec();
                let fields: Vec<Arc<Field>> = batch.schema().fields()[..columns.len()].to_vec();
                (RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec())?, Ids::List(ids))
            }
        };
        if deleted.as_ref().is_some_and(|mask| mask.len() != rows.num_rows().div_ceil(64)) {
            return Err(corrupt());
        }
        Ok(Self(Chunk::new(rows, ids).with_deleted(deleted)))
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
        let rows = self.0.rows();
        match self.0.ids() {
            Ids::From(first) => Ok((rows.clone(), Some(*first))),
            Ids::List(ids) => {
                let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
                fields.push(Arc::new(Field::new("row id", DataType::UInt64, false)));
                let mut columns = rows.columns().to_vec();
                columns.push(Arc::new(UInt64Array::from(ids.clone())));
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
            ChunkImage::new(batch, first, chunk.deleted().map(<[u64]>::to_vec))
        };
        let image = image.iter().map(again).collect::<Result<Vec<_>>>()?;
        Self::from_image(Arc::clone(&self.schema), self.key.as_deref(), self.next_row, image)
    }
}
