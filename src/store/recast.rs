//! ALTER TABLE: the same rows, by the same ids, with other columns.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::data::Recast;
use crate::error::Result;

use super::chunk::Chunk;
use super::ids::Ids;
use super::{Store, Version};

impl Store {
    /// A store with the same rows; the old one, and its versions, stay as they are. `None`: the columns are the same, and
    /// have other names or constraints.
    pub fn recast(&self, schema: SchemaRef, key: Option<&[usize]>, recast: Option<&Recast>) -> Result<Self> {
        let mut store = Self::new(schema, key)?.bounded(&self.memory);
        // What was deleted is left behind: a constraint does not hold for it.
        for chunk in self.chunks.iter().filter(|chunk| chunk.live() > 0) {
            let rows = chunk.live_rows()?;
            let rows = recast.map_or_else(|| Ok(rows.clone()), |recast| recast.rows(&rows))?;
            let rows = RecordBatch::try_new(SchemaRef::clone(&store.schema), rows.columns().to_vec())?;
            store.chunks.push(Chunk::new(rows, Ids::of(chunk.live_ids()?.values()), &store.memory));
            store.relieve();
        }
        (store.next_row, store.rows) = (self.next_row, self.rows);
        Ok(store)
    }
}

impl Version {
    /// Whether a row has NULL in a column.
    pub fn has_null(&self, column: usize) -> Result<bool> {
        for chunk in self.chunks.iter() {
            if chunk.live_rows()?.column(column).null_count() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
