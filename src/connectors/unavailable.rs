//! A source that an earlier process had, and that cannot be had now: its files are gone, its address is taken.

use arrow::datatypes::SchemaRef;

use super::{Connector, Reader};
use crate::error::{Error, Result};

/// Stands in for it: whoever opens it is told why.
#[derive(Debug)]
pub(super) struct Unavailable {
    pub schema: SchemaRef,
    pub replayable: bool,
    pub why: Error,
}

impl Connector for Unavailable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn replayable(&self) -> bool {
        self.replayable
    }

    fn trouble(&self) -> Option<String> {
        Some(self.why.to_string())
    }

    fn open(&self, _partition: u32, _offset: u64) -> Result<Box<dyn Reader>> {
        Err(self.why.clone())
    }

    fn fingerprint(&self) -> Result<String> {
        Err(self.why.clone())
    }
}
