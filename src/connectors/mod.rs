//! The outside world <-> batches of rows with offsets.
//!
//! A connector knows how to open a partition at an offset and read on; it knows nothing of SQL, epochs, watermarks or
//! timely. Readers run on their own threads and may block.
//!
//! | connector | delivery | offset |
//! |---|---|---|
//! | `file` | replayable, bounded | number of the record, over all files in name order |
//! | `nexmark` | replayable, generated | number of the event, over the three streams |
//! | `socket` | at most once | number of the record, over all clients in the order of arrival |
//!
//! Uses: error, config, data, formats

mod encoding;
mod file;
mod nexmark;
pub(crate) mod options;
mod socket;
mod unavailable;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

pub use crate::formats::BadRecord;
pub(crate) use encoding::csv_options;
pub(crate) use file::folder_within;

/// What CREATE SOURCE said, as plain data: WITH (..) FORMAT .. ENCODE ..
#[derive(Clone, Debug, Default)]
pub struct ConnectorSpec {
    /// `file`, `nexmark`, ..
    pub connector: String,
    /// The other WITH options, keys in lower case.
    pub options: Vec<(String, String)>,
    /// ENCODE, upper case, if given.
    pub encode: Option<String>,
    /// The options in parentheses behind ENCODE, keys in lower case.
    pub encode_options: Vec<(String, String)>,
    /// The columns as declared; `None` when they were left out and the source is to tell them.
    pub declared: Option<SchemaRef>,
    /// `--file-root`: files outside it are `42501`.
    pub file_root: Option<PathBuf>,
}

/// Checks a description and makes the connector that it describes: the list of connectors.
///
/// Errors: `22023` an unknown connector or option (the hint names the nearest) or a bad value; `0A000` what is for
/// later; `42703`, `42804` columns that do not fit the source; `58P01`, `42501` files.
pub fn build(spec: &ConnectorSpec) -> Result<Arc<dyn Connector>> {
    match spec.connector.to_ascii_lowercase().as_str() {
        "file" => Ok(Arc::new(file::File::build(spec)?)),
        "nexmark" => Ok(Arc::new(nexmark::Nexmark::build(spec)?)),
        "socket" => Ok(Arc::new(socket::Socket::build(spec)?)),
        later @ "kafka" => Err(Error::unsupported(format!("connector \"{later}\""), KNOWN)),
        unknown => {
            let error = options::invalid(format!("unknown connector: \"{unknown}\""));
            Err(match options::nearest(unknown, ["file", "nexmark", "socket"]) {
                Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                None => error.with_hint(KNOWN),
            })
        }
    }
}

/// Makes the connector of a source that an earlier process created, with the columns that it had. Where what it reads is
/// not there any more, opening it is the error.
pub fn rebuild(spec: &ConnectorSpec, schema: SchemaRef) -> Arc<dyn Connector> {
    build(spec).unwrap_or_else(|why| {
        let replayable = !spec.connector.eq_ignore_ascii_case("socket");
        Arc::new(unavailable::Unavailable { schema, replayable, why })
    })
}

const KNOWN: &str = "Connectors are: file, nexmark, socket. A later one will be: kafka.";

/// A source that exists outside: a description, opened by the runtime when the first view reads it.
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// The rows' schema: the declared columns, or what the source itself tells.
    fn schema(&self) -> SchemaRef;

    /// Number of partitions; each has its own offsets and watermark.
    fn partitions(&self) -> u32 {
        1
    }

    /// Whether an offset read once can be read again (file, nexmark, kafka), or rows pass only once (socket).
    fn replayable(&self) -> bool;

    /// Whether it ends by itself ([`Read::End`]): FLUSH waits until everything that it holds is visible. A source that
    /// never ends cannot be read by a SELECT.
    fn bounded(&self) -> bool {
        false
    }

    /// `max_ahead`: how far event time may lie ahead of the clock, in microseconds; rows beyond it are errors.
    fn max_ahead(&self) -> Option<i64> {
        None
    }

    /// Sources with the same group share one generator: the sequencer admits them at equal offsets, so that a join
    /// sees them move together.
    fn group(&self) -> Option<String> {
        None
    }

    /// Nobody reads it any more: a reader that is still open takes nothing more in.
    fn release(&self) {}

    /// Where the rows come from, as `highwater.sources` shows it: an address.
    fn address(&self) -> Option<String> {
        None
    }

    /// What keeps rows from coming, though it may mend itself: no connection.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Opens a partition at an offset: 0 is the beginning, others were returned by a reader.
    ///
    /// Errors: what the user can mend (`58P01` no such file, `22023` option), with a hint.
    fn open(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>>;

    /// Whether its rows come at a pace of their own, so that reading them takes time.
    fn is_paced(&self) -> bool {
        false
    }

    /// Opens a partition at an offset, to be read as fast as it can be, whatever its pace: what a SELECT reads, and what is
    /// read a second time.
    fn open_at_once(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        self.open(partition, offset)
    }

    /// What it has decided since this was asked last, and a later process has to follow before it reads the same again:
    /// which files there are, in which order they grew. Opaque; nothing for most.
    fn take_decisions(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Follows what an earlier process decided.
    fn follow_decisions(&self, _decisions: &[u8]) -> Result<()> {
        Ok(())
    }

    /// What makes a replay impossible if it differs (a file's size and mtime): kept in the log.
    fn fingerprint(&self) -> Result<String> {
        Ok(String::new())
    }
}

/// One open partition.
pub trait Reader: Send {
    /// Reads on, blocking for `wait` at most.
    fn read(&mut self, wait: Duration) -> Result<Read>;

    /// Notes what it has received by now, for [`Reader::is_past_mark`]; false when it cannot tell.
    fn mark(&mut self) -> bool {
        false
    }

    /// Whether everything that had been received at the mark has been read.
    fn is_past_mark(&self) -> bool {
        false
    }
}

/// What a reader found.
#[derive(Debug)]
pub enum Read {
    /// Rows in arrival order.
    Rows {
        /// At most some thousand rows.
        rows: RecordBatch,
        /// Records that could not be decoded, among these rows.
        bad: Vec<BadRecord>,
        /// Where to open the partition to read what follows. Offsets ascend with every read.
        next_offset: u64,
    },
    /// Nothing for now.
    Waiting,
    /// A bounded source has ended: event time is over.
    End,
}

#[cfg(test)]
mod tests;
