//! Reads the files of a source one behind the other, and has records decoded while it reads on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::one::{self, OneFile};
use super::paths::Listed;
use crate::connectors::encoding::Encoding;
use crate::connectors::{Read, Reader};
use crate::error::{Error, Result};
use crate::formats::{Coming, Decoded, threads};

/// The files of a source, being read.
pub(super) struct Files {
    files: Arc<[Listed]>,
    encoding: Encoding,
    schema: SchemaRef,
    /// Position of the file that comes next.
    next: usize,
    current: Option<Box<dyn OneFile>>,
    /// Records that were read, in order, with the offset behind them: some threads decode them meanwhile.
    ahead: VecDeque<(Coming<Result<Decoded>>, u64)>,
    /// Why nothing follows them.
    failed: Option<Error>,
    /// Records read so far, over all files.
    offset: u64,
    /// Records still to be passed over.
    skip: u64,
}

impl Files {
    /// Starts behind the first `offset` records.
    pub(super) fn new(files: Arc<[Listed]>, encoding: Encoding, schema: SchemaRef, offset: u64) -> Self {
        Self {
            files,
            encoding,
            schema,
            next: 0,
            current: None,
            ahead: VecDeque::new(),
            failed: None,
            offset: 0,
            skip: offset,
        }
    }

    /// Reads on; `None` behind the last file.
    fn next_records(&mut self) -> Result<Option<(Coming<Result<Decoded>>, u64)>> {
        loop {
            if let Some(file) = &mut self.current {
                if let Some((decoded, records)) = file.read()? {
                    self.offset += records;
                    return Ok(Some((decoded, self.offset)));
                }
                self.current = None;
            }
            let Some(file) = self.files.get(self.next) else { return Ok(None) };
            let (opened, skipped) = one::open(file, &self.encoding, Arc::clone(&self.schema), self.skip)?;
            self.next += 1;
            self.skip -= skipped;
            self.offset += skipped;
            self.current = Some(opened);
        }
    }
}

impl Reader for Files {
    fn read(&mut self, _wait: Duration) -> Result<Read> {
        while self.failed.is_none() && self.ahead.len() < 2 * threads() {
            match self.next_records() {
                Ok(Some(records)) => self.ahead.push_back(records),
                Ok(None) => break,
                // What was read before it is still to be handed on.
                Err(error) => self.failed = Some(error),
            }
        }
        match (self.ahead.pop_front(), self.failed.take()) {
            (Some((decoded, next_offset)), failed) => {
                self.failed = failed;
                let Decoded { rows, bad } = decoded.wait()??;
                Ok(Read::Rows { rows, bad, next_offset })
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Read::End),
        }
    }
}
