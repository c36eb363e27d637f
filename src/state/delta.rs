//! What is copied of a state while it goes on: what changed since the last time, and, in turns, some of what did not.
//!
//! A [`Delta`] holds whole entries (a group, a row of a join): the newest one of an entry counts, and one that went is
//! named. So all deltas of a state since some time, put on top of each other, are the state, if every entry was copied
//! since then. That is what the *rotation* is for: each delta also holds some entries that did not change, twice as many
//! as did, and goes round and round. When it has come round, everything before its beginning is of no use any more. The
//! cost follows what changes; what is kept is a small multiple of the state.
//!
//! A state that was never copied as a whole is not *covered*: the first rotation takes as much as the budget allows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use crate::error::Result;
use crate::spill::Extent;

/// What is asked for when a state is copied.
#[derive(Debug)]
pub struct Capture {
    /// The number of this copy; they ascend.
    pub number: u64,
    /// How many entries may be copied that did not change; what is copied is taken off.
    pub budget: usize,
}

impl Capture {
    /// For a copy of everything.
    pub fn whole() -> Self {
        Self { number: 0, budget: usize::MAX }
    }
}

/// A part of a state's copy.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Which of the owner's states, where it has several.
    pub slot: u8,
    /// Ends of windows that went as a whole, before anything else.
    pub cleared: Vec<i64>,
    /// Entries that went, before others came.
    pub removed: Vec<RecordBatch>,
    /// Entries that were moved out of memory since, as they were then; they come before `rows`.
    pub stored: Vec<Arc<Extent>>,
    /// Entries as they are, none of them twice.
    pub rows: Vec<RecordBatch>,
    /// Ends of windows whose rows have been sent, where no entry says so.
    pub emitted: Vec<i64>,
    /// Every entry of the state has been copied.
    pub covered: bool,
    /// Copies below this number are of no use to this state any more.
    pub base: Option<u64>,
    /// The worker that made it, and of how many.
    pub made_by: Option<(usize, usize)>,
    /// All of it is the state's that is restored: nobody need look what is.
    pub whole: bool,
}

impl Delta {
    /// Whether it says nothing but how far the rotation is.
    pub fn is_empty(&self) -> bool {
        let has_rows = !self.removed.is_empty() || !self.stored.is_empty() || !self.rows.is_empty();
        !has_rows && self.cleared.is_empty() && self.emitted.is_empty()
    }

    /// For a worker of so many that restores a state; `None`: there is nothing of it for this one.
    pub fn share(&self, worker: usize, peers: usize) -> Option<Self> {
        // With other peers, buckets have moved.
        match self.made_by.filter(|(_, others)| *others == peers) {
            Some((maker, _)) if maker != worker => None,
            same => Some(Self { whole: same.is_some(), ..self.clone() }),
        }
    }

    /// All entries, in the order in which they count.
    pub fn entries(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        self.stored.iter().map(|extent| extent.read()).chain(self.rows.iter().cloned().map(Ok))
    }
}

/// How far the copying of a state is.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// Whether changes are noted.
    pub on: bool,
    pub covered: bool,
    /// The copy with which the one that is under way began.
    began: Option<u64>,
    base: Option<u64>,
}

impl Rotation {
    /// Notes changes from now on; `covered`: what is there has been copied.
    pub fn track(&mut self, covered: bool) {
        *self = Self { on: true, covered, began: None, base: None };
    }

    /// How many entries that did not change are copied now, when so many did.
    pub fn turn(&mut self, capture: &Capture, changed: usize) -> usize {
        let most = if self.covered { (2 * changed).min(capture.budget) } else { capture.budget };
        if most > 0 || !self.covered {
            self.began.get_or_insert(capture.number);
        }
        most
    }

    /// So many were; `round`: it has come round.
    pub fn turned(&mut self, capture: &mut Capture, copied: usize, round: bool) {
        capture.budget = capture.budget.saturating_sub(copied);
        if round && let Some(began) = self.began.take() {
            (self.base, self.covered) = (Some(began), true);
        }
    }

    /// What a delta says of it.
    pub fn tell(&self, delta: &mut Delta) {
        (delta.covered, delta.base) = (self.covered, self.base);
    }
}

/// Entries' columns as a batch, with names of their own.
pub(super) fn batch(columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let named = columns.into_iter().enumerate().map(|(i, column)| (format!("c{i}"), column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(named)?)
}
