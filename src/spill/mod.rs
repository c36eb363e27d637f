//! Memory that is bounded: who holds how much, and where what does not fit goes.
//!
//! ```text
//!  Memory, of the process: a limit, and a folder
//!    +-- Account: what one holder (a state, a store) has; told to shrink when all together have too much
//!    +-- Tree: key bytes -> value bytes on disk, in the order of the keys, for entries that are looked up one by one
//!    +-- Extent: one record batch on disk, for rows that are read together
//! ```
//!
//! A holder says after each epoch how much it has ([`Account::hold`]). As long as all of them together have less than their
//! part of the limit nobody does anything. Then each that says so is given a smaller share, in proportion to what it has,
//! and moves what was used longest ago to disk; what is asked for again comes back. So hot keys stay in memory, and a state
//! many times the limit costs disk reads only for its cold keys. Flink keeps all state of a job in RocksDB or none;
//! RisingWave evicts from a cache over what is always in its store too; here memory is the store, and the disk is for what
//! does not fit.
//!
//! What is spilled does not outlive the process: checkpoints and the log make it again. The folder is emptied at a start.
//!
//! The tree is [`lsm_tree`]'s: sorted runs are written as tables directly, without its write buffer, whose size nothing
//! bounds, and merged by one thread.
//!
//! Uses: error, data

mod extent;
mod memory;
mod tree;

pub use extent::Extent;
pub use memory::{Account, Holder, Memory, Usage};
pub use tree::{Run, Snapshot, Tree, Value};

use crate::error::{Error, SqlState};

/// What an error of the disk is to a user.
fn failed(what: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let code = match error.kind() {
        StorageFull | QuotaExceeded => SqlState::DISK_FULL,
        _ => SqlState::IO_ERROR,
    };
    Error::new(code, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests;
