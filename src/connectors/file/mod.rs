//! `connector = 'file'`: files on the server's disk, read once from first to last, or followed as they grow.
//!
//! Delivery: replayable and bounded: after the last record the source ends. Files that changed since the source was
//! created cannot be replayed and are an error. With `follow` it does not end ([`follow`]).
//! Offsets: number of the record (good or bad), over all files in name order, or in the order of their growth. One
//! partition.
//! Options: `path`: a file, or files by a pattern (`/dir/*.parquet`, `/dir/2026-??/**/[ab]*.csv`), in the order of their
//! whole paths; `compression`: 'gzip', 'zstd', 'none', or 'auto', which goes by the ending (`.gz`, `.zst`) of each file;
//! `follow`: 'true' reads on when files grow and when the pattern fits new ones (CSV, JSON and TEXT that is not packed);
//! `max_ahead`: rows whose event time is further ahead of the clock are errors.
//! ENCODE: `PARQUET`; `CSV (header, delimiter, null)`, with a header unless `header = 'false'` (or, as RisingWave
//! spells it, `without_header = 'true'`); `JSON`, one object per line; `TEXT`, one column per line. Columns may be left
//! out: Parquet's schema and a CSV header name them, types of CSV and JSON are inferred from the first 1000 records of
//! the first file (objects are STRUCTs), and the column of TEXT is `line`.
//!
//! Every file is read by a reader of its own ([`one`]), which knows nothing of the others, so that several can decode at
//! the same time as long as [`reader`] hands their batches on in order.

mod columns;
mod compression;
mod follow;
mod one;
mod paths;
mod reader;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::encoding::{Encoding, Taken};
use super::options::{Options, invalid};
use super::{Connector, ConnectorSpec, Reader};
use crate::error::{Error, Result, SqlState};
use crate::formats::lines;
use compression::Compression;
use follow::Follow;
use paths::Listed;
pub(crate) use paths::folder_within;

const TAKEN: Taken = Taken { connector: "file", encodings: &["PARQUET", "CSV", "JSON", "TEXT"], header: true };

/// The files of a source.
#[derive(Debug)]
pub(super) struct File {
    reading: Reading,
    encoding: Encoding,
    schema: SchemaRef,
    max_ahead: Option<i64>,
}

#[derive(Debug)]
enum Reading {
    /// From first to last, as they were when the source was created.
    Once(Mutex<Listing>),
    /// As they grow.
    Follow(Arc<Follow>),
}

/// Which files there were.
#[derive(Debug)]
struct Listing {
    files: Arc<[Listed]>,
    /// It was handed on, or taken over from an earlier process.
    is_told: bool,
}

impl File {
    /// Finds the files and the columns.
    pub(super) fn build(spec: &ConnectorSpec) -> Result<Self> {
        let later = [("idle_timeout", "The setting idle_timeout holds for all sources.")];
        let known = ["path", "compression", "follow", "max_ahead"];
        let options = Options::new("connector \"file\"", &spec.options, &known, &later)?;
        let path = options.required("path", "'/dir/*.parquet'")?;
        let encoding = Encoding::build(spec, &TAKEN)?;
        let compression = Compression::option(&options)?;
        let max_ahead = options.max_ahead()?;
        let follows = options.boolean("follow")?.unwrap_or(false);
        if compression.is_some() && matches!(encoding, Encoding::Parquet) {
            let hint = "Leave the option compression out: what is inside says how.";
            return Err(invalid("Parquet files are compressed inside").with_hint(hint));
        }
        if follows {
            return Ok(Self { max_ahead, ..Self::followed(spec, path, encoding, compression)? });
        }
        let files: Arc<[Listed]> = paths::list(path, spec.file_root.as_deref(), compression)?.into();
        let schema = match &spec.declared {
            Some(declared) => columns::declared(declared, &files[0], &encoding)?,
            None => columns::told(&files[0], &encoding)?,
        };
        let reading = Reading::Once(Mutex::new(Listing { files, is_told: false }));
        Ok(Self { reading, encoding, schema, max_ahead })
    }

    /// Columns that are not declared are told by the first file that holds something.
    fn followed(
        spec: &ConnectorSpec,
        path: &str,
        encoding: Encoding,
        compression: Option<Compression>,
    ) -> Result<Self> {
        // A pattern's ending is the one of all its files.
        let packed = compression.unwrap_or_else(|| Compression::by_ending(Path::new(path)));
        let is_packed = packed != Compression::None;
        if is_packed || matches!(encoding, Encoding::Parquet) {
            let what = if is_packed { "a packed file" } else { "a Parquet file" };
            let hint = "Such files are written once and whole: leave the option follow out.";
            return Err(Error::unsupported(format!("following {what}"), hint));
        }
        let root = spec.file_root.as_deref();
        let files = paths::list_readable(path, root, compression)?;
        let schema = match (&spec.declared, files.iter().find(|file| !file.tells_nothing())) {
            (Some(declared), Some(file)) => columns::declared(declared, file, &encoding)?,
            (Some(declared), None) if matches!(encoding, Encoding::Text) => lines::columns(Some(declared))?,
            (Some(declared), None) => Arc::clone(declared),
            (None, _) if matches!(encoding, Encoding::Text) => lines::columns(None)?,
            (None, Some(file)) => columns::told(file, &encoding)?,
            (None, None) => {
                let message = format!("there is nothing in \"{path}\" yet that tells the columns");
                return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message)
                    .with_hint("Declare the columns of the source."));
            }
        };
        let (path, root) = (path.to_owned(), root.map(Path::to_path_buf));
        let follow = Follow::new(path, root, compression, encoding.clone(), Arc::clone(&schema));
        Ok(Self { reading: Reading::Follow(Arc::new(follow)), encoding, schema, max_ahead: None })
    }
}

impl Connector for File {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn replayable(&self) -> bool {
        true
    }

    fn max_ahead(&self) -> Option<i64> {
        self.max_ahead
    }

    fn bounded(&self) -> bool {
        matches!(self.reading, Reading::Once(_))
    }

    fn open(&self, _partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        match &self.reading {
            Reading::Once(listing) => {
                let files = Arc::clone(&listing.lock().files);
                files.iter().try_for_each(Listed::check)?;
                Ok(Box::new(reader::Files::new(files, self.encoding.clone(), self.schema(), offset)))
            }
            Reading::Follow(follow) => Ok(Arc::clone(follow).open(offset)),
        }
    }

    fn take_decisions(&self) -> Result<Option<Vec<u8>>> {
        let mut listing = match &self.reading {
            Reading::Once(listing) => listing.lock(),
            Reading::Follow(follow) => return follow.take_decisions(),
        };
        if std::mem::replace(&mut listing.is_told, true) {
            return Ok(None);
        }
        serde_json::to_vec(&*listing.files).map(Some).map_err(|e| Error::internal(e.to_string()))
    }

    fn follow_decisions(&self, decisions: &[u8]) -> Result<()> {
        let mut listing = match &self.reading {
            Reading::Once(listing) => listing.lock(),
            Reading::Follow(follow) => return follow.follow_decisions(decisions),
        };
        if !std::mem::replace(&mut listing.is_told, true) {
            let files: Vec<Listed> = serde_json::from_slice(decisions)
                .map_err(|e| Error::internal(format!("a list of files cannot be read: {e}")))?;
            listing.files = files.into();
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(match &self.reading {
            Reading::Once(listing) => {
                listing.lock().files.iter().map(Listed::fingerprint).collect::<Vec<_>>().join("\n")
            }
            // It has no end that could be another one.
            Reading::Follow(_) => String::new(),
        })
    }
}

#[cfg(test)]
mod tests;
