//! What operators and views remember, behind one interface.
//!
//! All memory is keyed: key bytes -> rows or accumulators, each key in one of 256 buckets ([`crate::data::Bucket`]) by its
//! stable hash, and, for windowed operators, in the table of its window. So snapshot, restore on another number of
//! workers, spill and accounting are written once, here, and never in an operator.
//!
//! Invariants: a snapshot of all buckets, restored into a fresh operator, makes it behave as if it had never stopped;
//! parts of one bucket restore on whichever worker owns the bucket; a snapshot is the same whatever number of workers
//! made it, up to order.
//!
//! Uses: error, fault, data, functions

mod groups;
mod interner;
mod key;
mod part;
mod rows;

pub use crate::fault;
pub use crate::functions::accumulator::{
    Accumulator, AccumulatorKind, AggregateFunction, CellError, Finished, Results,
};
pub use groups::{GroupLayout, GroupState, GroupTable, NO_WINDOW};
pub use key::check_key_type;
pub use rows::RowState;

use crate::data::{Bucket, Epoch, EventTime};
use crate::error::Result;

/// The snapshot of one bucket (or of what belongs to no key): versioned bytes that only the state's owner understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `None` for what is not keyed (the last watermark seen, ..): restored on every worker.
    pub bucket: Option<Bucket>,
    /// An Arrow IPC stream, or other bytes that begin with a format version.
    pub bytes: Vec<u8>,
}

/// An operator's memory.
pub trait State {
    /// Copies the buckets that changed after epoch `since` (`None`: all).
    fn snapshot(&self, since: Option<Epoch>) -> Result<Vec<Part>>;

    /// Loads parts into empty state; called once, before the first epoch, with the parts of the buckets that this worker
    /// owns and those without a bucket (one copy per worker that made one: merging them must be idempotent).
    fn restore(&mut self, parts: &[Part]) -> Result<()>;

    /// Approximate heap bytes.
    fn bytes(&self) -> usize;

    /// Keys held.
    fn rows(&self) -> usize;

    /// Drops a whole window; returns how many keys went.
    fn drop_window(&mut self, window_end: EventTime) -> usize;
}
