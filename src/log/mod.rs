//! The input log: one ordered log of versioned, checksummed records through which everything enters that is not a pure
//! function. Replaying it gives the same epochs, changes, late rows and errors.
//!
//! ```text
//!  file  = magic, record*
//!  record = version u8, kind u8, length u32, crc32 u32 (of version, kind, length, payload), payload
//! ```
//!
//! [`Record`] is what the records say, [`InputLog`] where their bytes are kept, [`read`] reads them back.
//!
//! Uses: error, data

mod codec;
mod frame;
mod memory;
mod record;

pub use frame::{Frames, read};
pub use memory::MemoryLog;
pub use record::{
    Ddl, EpochRecord, Fault, JoinRecord, LateOrigin, Position, Record, SourceEnd, SourceRange, TableChanges,
    WatermarkMove,
};

use crate::data::Epoch;
use crate::error::Result;

/// Where the log's bytes are.
///
/// Invariant: what `append` returned from survives as the implementation promises (a process, a disk), in order.
pub trait InputLog: Send {
    /// Appends a record.
    fn append(&mut self, record: &Record) -> Result<()>;

    /// Forgets records of epochs below `epoch`, as far as that is cheap.
    fn cut(&mut self, epoch: Epoch) -> Result<()>;

    /// The bytes that are kept, from the first record that may hold `epoch` or a later one.
    fn read_from(&self, epoch: Epoch) -> Result<Vec<u8>>;

    /// Bytes kept.
    fn bytes(&self) -> usize;
}

#[cfg(test)]
mod tests;
