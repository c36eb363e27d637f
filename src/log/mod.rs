//! The input log: one ordered log of versioned, checksummed records through which everything enters that is not a pure
//! function. Replaying it gives the same epochs, changes, late rows and errors.
//!
//! ```text
//!  file  = magic, record*
//!  record = version u8, kind u8, length u32, crc32 u32 (of version, kind, length, payload), payload; packed on a disk when
//!           it is long, which a bit of the kind says
//! ```
//!
//! [`Record`] is what the records say, [`InputLog`] where their bytes are kept ([`MemoryLog`], [`DurableLog`]),
//! [`LogReader`] what is read back.
//!
//! Uses: error, config, data

mod codec;
mod disk;
mod durable;
mod frame;
mod memory;
#[cfg(test)]
mod luck;
#[cfg(test)]
mod memory_disk;
mod progress;
mod record;

pub use codec::{read_changes, write_changes};
pub use disk::{Disk, DiskFile, Folder};
pub use durable::{DurableLog, LogFiles, LogNews, OpenLog};
pub use frame::{Frames, read};
#[cfg(test)]
pub use luck::{Lot, Luck, Odds};
pub use memory::{MemoryLog, NoLog};
#[cfg(test)]
pub use memory_disk::MemoryDisk;
pub use progress::{Progress, size};
pub use record::{
    Ddl, EpochRecord, Fault, JoinRecord, LateOrigin, Position, Record, SourceEnd, SourceRange, TableChanges,
    WatermarkMove,
};

use serde::{Deserialize, Serialize};

use crate::data::Epoch;
use crate::error::Result;

/// How many records a process has appended; those up to a position become durable together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition(pub u64);

/// A place in a log that is kept in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPlace {
    /// The file's number.
    pub file: u64,
    /// A byte in it.
    pub byte: u64,
}

/// Where the log's bytes are.
///
/// Invariant: a record whose position [`InputLog::durable`] has reached survives as the implementation promises (a
/// process, a disk), with all before it.
pub trait InputLog: Send {
    /// Appends a record; it need not be durable yet.
    fn append(&mut self, record: &Record) -> Result<LogPosition>;

    /// Up to where it is durable.
    fn durable(&self) -> LogPosition {
        LogPosition(u64::MAX)
    }

    /// Whether what is appended waits for room on a disk.
    fn is_full(&self) -> bool {
        false
    }

    /// Where the next record will be, once everything that was appended is durable; `None` before, and for logs without
    /// files.
    fn end(&self) -> Option<LogPlace> {
        None
    }

    /// Removes files that hold nothing from this place on.
    fn forget(&mut self, _before: LogPlace) -> Result<()> {
        Ok(())
    }

    /// Forgets records of epochs below `epoch`, as far as that is cheap.
    fn cut(&mut self, epoch: Epoch) -> Result<()>;

    /// The bytes that are kept, from the first record that may hold `epoch` or a later one.
    fn read_from(&self, epoch: Epoch) -> Result<Vec<u8>>;

    /// Bytes kept.
    fn bytes(&self) -> usize;
}

/// A log to read back, as often as one likes.
pub trait LogReader {
    /// The records in order; an error ends them.
    fn records(&self, wanted: Wanted) -> Box<dyn Iterator<Item = Result<Record>> + '_>;

    /// Bytes in all.
    fn bytes(&self) -> u64;
}

/// Which records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    All,
    /// Those that say that a view left the clock, was paused or resumed.
    Leaves,
}

impl LogReader for [u8] {
    fn records(&self, wanted: Wanted) -> Box<dyn Iterator<Item = Result<Record>> + '_> {
        let keep = move |record: &Result<Record>| match record {
            Ok(record) => wanted == Wanted::All || matches!(record, Record::Leave { .. } | Record::Pause { .. }),
            Err(_) => true,
        };
        match read(self) {
            Ok(frames) => Box::new(frames.filter(keep)),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

#[cfg(test)]
mod tests;
