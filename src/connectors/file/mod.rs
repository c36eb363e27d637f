//! `connector = 'file'`: files on the server's disk, read once from first to last.
//!
//! Delivery: replayable and bounded: after the last record the source ends. Files that changed since the source was
//! created cannot be replayed and are an error.
//! Offsets: number of the record (good or bad), over all files in name order. One partition.
//! Options: `path`: a file, or files by a pattern in the last part of the path (`/dir/*.parquet`).
//! ENCODE: `PARQUET`; `CSV (header, delimiter, null)`, with a header unless `header = 'false'` (or, as RisingWave
//! spells it, `without_header = 'true'`); `JSON`, one object per line.
//!
//! Every file is read by a reader of its own ([`one`]), which knows nothing of the others, so that several can decode at
//! the same time as long as [`reader`] hands their batches on in order.

mod columns;
mod encoding;
mod one;
mod paths;
mod reader;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::options::Options;
use super::{Connector, ConnectorSpec, Reader};
use crate::error::Result;
use encoding::Encoding;
use paths::Listed;

/// The files of a source, as they were when it was created.
#[derive(Debug)]
pub(super) struct File {
    files: Arc<[Listed]>,
    encoding: Encoding,
    schema: SchemaRef,
}

impl File {
    /// Finds the files and the columns.
    pub(super) fn build(spec: &ConnectorSpec) -> Result<Self> {
        let later = [
            ("follow", "Leave it out: the files are read once, from first to last."),
            ("max_ahead", "Filter rows that are too far in the future in the query."),
            ("idle_timeout", "The setting idle_timeout holds for all sources."),
        ];
        let options = Options::new("connector \"file\"", &spec.options, &["path"], &later)?;
        let path = options.required("path", "'/dir/*.parquet'")?;
        let encoding = Encoding::build(spec)?;
        let files: Arc<[Listed]> = paths::list(path, spec.file_root.as_deref())?.into();
        let schema = match &spec.declared {
            Some(declared) => columns::declared(declared, &files[0], &encoding)?,
            None => columns::told(&files[0], &encoding)?,
        };
        Ok(Self { files, encoding, schema })
    }
}

impl Connector for File {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn replayable(&self) -> bool {
        true
    }

    fn bounded(&self) -> bool {
        true
    }

    fn open(&self, _partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        self.files.iter().try_for_each(Listed::check)?;
        let files = Arc::clone(&self.files);
        Ok(Box::new(reader::Files::new(files, self.encoding.clone(), self.schema(), offset)))
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(self.files.iter().map(Listed::fingerprint).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests;
