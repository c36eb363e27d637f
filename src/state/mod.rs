//! What operators and views remember, behind one interface.
//!
//! All memory is keyed: key bytes -> rows or accumulators, each key in one of 256 buckets ([`crate::data::Bucket`]) by its
//! stable hash, and, for windowed operators, in the table of its window. So snapshot, restore on another number of
//! workers, spill and accounting are written once, here, and never in an operator.
//!
//! Invariants: the deltas of all workers, restored into fresh operators, make them behave as if they had never stopped;
//! an entry is restored on whichever worker owns its bucket, whatever number of workers made the deltas.
//!
//! Uses: error, fault, data, spill, functions

mod delta;
mod groups;
mod interner;
mod key;
mod rows;
mod spilled;

pub use crate::fault;
pub use crate::functions::accumulator::{
    Accumulator, AccumulatorKind, AggregateFunction, CellError, Finished, Results,
};
pub use delta::{Capture, Delta};
pub use groups::{GroupLayout, GroupState, GroupTable, NO_WINDOW};
pub use key::check_key_type;
pub use rows::RowState;

use crate::data::{Bucket, EventTime};
use crate::error::Result;
use crate::spill::Account;

/// An operator's memory.
pub trait State {
    /// Keeps no more in memory from now on than an account says, as far as it can.
    fn bound(&mut self, account: Account);

    /// Says how much memory it has, and moves what was used longest ago to disk, if that is too much; valid whenever no
    /// operator is at work.
    fn relieve(&mut self) -> Result<()>;

    /// Notes from now on what changes, for [`Self::capture`]; `covered`: what is there has been copied already.
    fn track(&mut self, covered: bool);

    /// Copies what changed since the last time, and some of what did not; valid between epochs. One delta at least, so
    /// that the rotation is told, for each state that there is.
    fn capture(&mut self, capture: &mut Capture) -> Result<Vec<Delta>>;

    /// Loads what was copied, oldest first, into empty state; called once, before the first epoch, with the deltas of
    /// all workers. Only entries of buckets that `owns` names are taken.
    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()>;

    /// Approximate heap bytes.
    fn bytes(&self) -> usize;

    /// Keys held.
    fn rows(&self) -> usize;

    /// Drops a whole window; returns how many keys went.
    fn drop_window(&mut self, window_end: EventTime) -> usize;
}
