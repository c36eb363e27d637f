//! A source whose rows are in memory: replayable and bounded, like a file.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::connectors::{Connector, Read, Reader};
use crate::error::Result;

/// The rows, shared by all readers. The offset is the number of the row.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
}

impl Connector for Memory {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn replayable(&self) -> bool {
        true
    }

    fn bounded(&self) -> bool {
        true
    }

    fn open(&self, _partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        let mut rest = self.batches.clone().into_iter();
        let mut passed = 0;
        while passed < offset {
            passed += rest.next().map_or(offset, |batch| batch.num_rows() as u64);
        }
        Ok(Box::new(Rows { rest, offset }))
    }
}

struct Rows {
    rest: std::vec::IntoIter<RecordBatch>,
    offset: u64,
}

impl Reader for Rows {
    fn read(&mut self, _wait: Duration) -> Result<Read> {
        let Some(rows) = self.rest.next() else { return Ok(Read::End) };
        self.offset += rows.num_rows() as u64;
        Ok(Read::Rows { rows, bad: Vec::new(), next_offset: self.offset })
    }
}
