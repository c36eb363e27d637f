//! A store as bytes: a format version, the next row id, then an Arrow IPC stream of the rows with their ids.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::error::{Error, Result};

use super::Store;
use super::chunk::{Chunk, Ids};

const FORMAT: u8 = 1;
const HEADER: usize = 9;

impl Store {
    /// All rows with their ids.
    pub fn snapshot(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.next_row.to_le_bytes());
        let mut fields: Vec<Arc<Field>> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("row id", DataType::UInt64, false)));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
        for chunk in self.chunks.iter().filter(|c| c.live() > 0) {
            let mut columns = chunk.live_rows()?.columns().to_vec();
            columns.push(Arc::new(chunk.live_ids()?));
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
        writer.finish()?;
        drop(writer);
        Ok(bytes)
    }

    /// The store that [`Self::snapshot`] wrote; schema and key are the object's.
    pub fn restore(schema: SchemaRef, key: Option<&[usize]>, bytes: &[u8]) -> Result<Self> {
        let corrupt = || Error::internal("a store's snapshot is corrupt");
        let (header, stream) = bytes.split_at_checked(HEADER).ok_or_else(corrupt)?;
        if header[0] != FORMAT {
            return Err(Error::internal(format!("a store's snapshot has the unknown format {}", header[0])));
        }
        let mut store = Self::new(schema, key)?;
        for batch in StreamReader::try_new(stream, None)? {
            let batch = batch?;
            let (ids, columns): (&ArrayRef, &[ArrayRef]) = batch.columns().split_last().ok_or_else(corrupt)?;
            let ids = ids.as_primitive_opt::<UInt64Type>().ok_or_else(corrupt)?;
            let rows = RecordBatch::try_new(Arc::clone(&store.schema), columns.to_vec())?;
            store.rows += rows.num_rows();
            debug_assert_eq!(ids.null_count(), 0);
            store.chunks.push(Chunk::new(rows, Ids::List(ids.values().to_vec())));
        }
        store.next_row = u64::from_le_bytes(header[1..].try_into().map_err(|_| corrupt())?);
        Ok(store)
    }
}
