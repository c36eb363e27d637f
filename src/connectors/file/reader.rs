//! Reads the files of a source one behind the other.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::encoding::Encoding;
use super::one::{self, OneFile};
use super::paths::Listed;
use crate::connectors::{Read, Reader};
use crate::error::Result;

/// The files of a source, being read.
pub(super) struct Files {
    files: Arc<[Listed]>,
    encoding: Encoding,
    schema: SchemaRef,
    /// Position of the file that comes next.
    next: usize,
    current: Option<Box<dyn OneFile>>,
    /// Records passed so far, over all files.
    offset: u64,
    /// Records still to be passed over.
    skip: u64,
}

impl Files {
    /// Starts behind the first `offset` records.
    pub(super) fn new(files: Arc<[Listed]>, encoding: Encoding, schema: SchemaRef, offset: u64) -> Self {
        Self { files, encoding, schema, next: 0, current: None, offset: 0, skip: offset }
    }
}

impl Reader for Files {
    fn read(&mut self, _wait: Duration) -> Result<Read> {
        loop {
            if let Some(file) = &mut self.current {
                if let Some((decoded, records)) = file.read()? {
                    self.offset += records;
                    return Ok(Read::Rows { rows: decoded.rows, bad: decoded.bad, next_offset: self.offset });
                }
                self.current = None;
            }
            let Some(file) = self.files.get(self.next) else { return Ok(Read::End) };
            let (opened, skipped) = one::open(file, &self.encoding, Arc::clone(&self.schema), self.skip)?;
            self.next += 1;
            self.skip -= skipped;
            self.offset += skipped;
            self.current = Some(opened);
        }
    }
}
