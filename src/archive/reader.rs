//! An archive as something that can be read again: offsets are row numbers.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::Archive;
use crate::connectors::{Connector, Read, Reader};
use crate::error::{Error, Result, SqlState};

/// Rows of one read.
const READ_ROWS: usize = 8192;

/// The rows of an archive: [`Connector::open`] waits for those that come, [`Connector::open_at_once`] ends with those that
/// are there.
#[derive(Debug)]
pub struct History {
    archive: Arc<Archive>,
    /// Ends with the rows that are published.
    published: bool,
}

impl History {
    /// For SELECT only what is `published`.
    pub fn of(archive: &Arc<Archive>, published: bool) -> Arc<dyn Connector> {
        Arc::new(Self { archive: Arc::clone(archive), published })
    }

    fn reader(&self, offset: u64, end: Option<u64>) -> Result<Box<dyn Reader>> {
        let mut state = self.archive.state.lock();
        if state.dropped {
            return Err(Error::new(SqlState::UNDEFINED_TABLE, "the source was dropped"));
        }
        state.readers += 1;
        if !self.published {
            state.unread_for = 0;
        }
        drop(state);
        let next = offset.max(if offset == 0 { self.archive.start().0 } else { 0 });
        Ok(Box::new(ArchiveReader { archive: Arc::clone(&self.archive), next, end, loaded: None }))
    }
}

impl Connector for History {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.archive.schema)
    }

    fn replayable(&self) -> bool {
        true
    }

    fn open(&self, _: u32, offset: u64) -> Result<Box<dyn Reader>> {
        self.reader(offset, None)
    }

    fn open_at_once(&self, _: u32, offset: u64) -> Result<Box<dyn Reader>> {
        self.reader(offset, Some(self.archive.end(self.published)))
    }
}

struct ArchiveReader {
    archive: Arc<Archive>,
    next: u64,
    end: Option<u64>,
    /// From `next` on.
    loaded: Option<RecordBatch>,
}

impl Reader for ArchiveReader {
    fn read(&mut self, wait: Duration) -> Result<Read> {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.next));
        if left == 0 {
            return Ok(Read::End);
        }
        let rows = match self.loaded.take() {
            Some(rows) => rows,
            None => match self.archive.rows_from(self.next, wait)? {
                Some(rows) => rows,
                None => return Ok(Read::Waiting),
            },
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(READ_ROWS).min(rows.num_rows());
        self.loaded = (most < rows.num_rows()).then(|| rows.slice(most, rows.num_rows() - most));
        self.next += most as u64;
        Ok(Read::Rows { rows: rows.slice(0, most), bad: vec![], next_offset: self.next })
    }
}

impl Drop for ArchiveReader {
    fn drop(&mut self) {
        self.archive.state.lock().readers -= 1;
    }
}
