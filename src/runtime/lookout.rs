//! What is known of an input log before it is read back: which views leave the clock in it, and which are paused at its end.
//!
//! What a view computes until it leaves the clock is of use to nobody when the log is read back, unless a sink goes on from
//! the rows that it left with: it begins anew when it comes back. So it is left out ([`Idle`]).

use std::collections::VecDeque;

use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::log::{JoinRecord, LogReader, Record, Wanted};

use super::replay::ReadAgain;
use super::sequencer::{Idle, Sequencer};

/// How a view's time on the clock ends: where the log says so, and whether its rows are of use then.
#[derive(Clone, Copy)]
struct End {
    view: ObjectId,
    place: usize,
    kept: bool,
}

/// What is known of a log before it is read back.
#[derive(Default)]
pub(super) struct Ahead {
    /// Views that left the clock, and the first epoch that each did not show, which stands before it in the log.
    leaves: VecDeque<(Epoch, End)>,
    /// Views that were paused, in order.
    pauses: VecDeque<End>,
    /// Those that are paused at its end, and need not be computed until then.
    pub(super) idle: Idle,
}

impl Ahead {
    pub(super) fn of(log: &(impl LogReader + ?Sized)) -> Result<Self> {
        let mut ahead = Self::default();
        for (place, record) in log.records(Wanted::Leaves).enumerate() {
            match record? {
                Record::Leave { view, missed, kept, .. } => {
                    ahead.leaves.push_back((missed, End { view, place, kept }));
                }
                Record::Pause { view, reason: Some(reason), kept, .. } => {
                    ahead.pauses.push_back(End { view, place, kept });
                    if !kept {
                        ahead.idle.insert(view, Some(reason));
                    }
                }
                Record::Pause { view, reason: None, .. } => drop(ahead.idle.remove(&view)),
                _ => {}
            }
        }
        Ok(ahead)
    }

    /// Whether a view that is on the clock leaves it again, and nobody needs what it computes until then.
    pub(super) fn is_in_vain(&self, view: ObjectId) -> bool {
        let ends = self.leaves.iter().map(|(_, end)| end).chain(&self.pauses);
        ends.filter(|end| end.view == view).min_by_key(|end| end.place).is_some_and(|end| !end.kept)
    }

    /// Views leave that do not show this epoch.
    pub(super) fn leave(&mut self, sequencer: &mut Sequencer, epoch: Epoch) -> Result<()> {
        while let Some((missed, End { view, .. })) = self.leaves.front().copied().filter(|(missed, _)| *missed <= epoch)
        {
            self.leaves.pop_front();
            sequencer.quiesce()?;
            sequencer.leave_clock(missed, &[view])?;
        }
        Ok(())
    }

    /// The log is at a pause, or the end of one.
    pub(super) fn paused(&mut self, is_paused: bool) {
        if is_paused {
            self.pauses.pop_front();
        }
    }

    pub(super) fn join(&mut self, sequencer: &mut Sequencer, join: JoinRecord, sources: &mut ReadAgain) -> Result<()> {
        let is_it = |(missed, end): &(Epoch, End)| (*missed, end.view) == (join.epoch, join.view);
        if let Some(at) = self.leaves.iter().position(is_it).filter(|_| join.caught_up.is_empty()) {
            // It was cancelled before anybody saw it.
            self.leaves.remove(at);
            return sequencer.skip_to(join.epoch.next());
        }
        sequencer.note_life(join.view, self.is_in_vain(join.view));
        sequencer.rejoin(join, sources)
    }
}
