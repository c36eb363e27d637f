//! `follow = 'true'`: files that grow, and files that are new.
//!
//! Several readers (the shared one, those of views that catch up, a SELECT) see one stream: which record came after
//! which is decided once, when the first of them finds it, and written into the [`journal`]; all others read by it. So
//! the offsets are exact: what was read once is read the same way again, read by read, as long as the bytes are there.
//!
//! * A line is read when its end is written. Of files that grow at the same time each has its turn.
//! * A pattern is looked at again for new files, each of which is read from its start.
//! * A file that is renamed is read on under its new name, if that fits too; else until it has not grown for
//!   [`GRACE`], and a file that is there under the old name is a new one. Where log rotation copies and cuts off, the
//!   file is read again from its start, and a bad record says that what had not been read is lost.
//! * A link that leads out of the server's file root, or a file that cannot be read, is a bad record; the others go on.
//! * What was decided can be taken, kept, and followed by a later process ([`decisions`]): files are known again by
//!   device and inode.
//! * Bytes that are gone cannot be read again: a view that is created after that fails with `55000`.

mod decisions;
mod files;
mod journal;
mod reader;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::compression::Compression;
use crate::connectors::Reader;
use crate::connectors::encoding::Encoding;
use crate::error::{Error, SqlState};
use decisions::Decided;
use files::Files;
use journal::Journal;

/// How long a file that lost its name may stay silent before it is let go.
const GRACE: Duration = Duration::from_secs(10);

/// Files followed at once; each is open.
const FILES_MAX: usize = 512;

/// What is followed.
#[derive(Debug)]
pub(super) struct Follow {
    path: String,
    root: Option<PathBuf>,
    /// `None` goes by each file's ending.
    compression: Option<Compression>,
    encoding: Encoding,
    schema: SchemaRef,
    stream: Mutex<Stream>,
}

/// The one stream of all files.
#[derive(Debug, Default)]
struct Stream {
    files: Files,
    journal: Journal,
    decided: Decided,
}

impl Follow {
    pub(super) fn new(
        path: String,
        root: Option<PathBuf>,
        compression: Option<Compression>,
        encoding: Encoding,
        schema: SchemaRef,
    ) -> Self {
        Self { path, root, compression, encoding, schema, stream: Mutex::default() }
    }

    pub(super) fn open(self: Arc<Self>, offset: u64) -> Box<dyn Reader> {
        Box::new(reader::Tail::new(self, offset))
    }
}

/// What tells one file from another, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Bytes that a later reader needs are no longer there.
fn gone(name: &str) -> Error {
    let message = format!("file \"{name}\" is no longer what was read of it before");
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .with_hint("DROP the source and create it again: it then begins with what is there.")
}

#[cfg(test)]
mod tests;
