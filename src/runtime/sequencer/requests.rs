//! Changes of the catalog and of settings: admitted when they can be answered soon, and taken back until then.
//!
//! What is answered with an epoch waits until one can be closed, as transactions do. A drop, or a pause, waits for a quiet
//! moment; a view that it is about and that holds the epochs under way back leaves the clock for it, so that a slow one can
//! be got out of the way.

use std::time::Instant;

use tokio::sync::oneshot::Sender as Reply;

use crate::config::DROP_PATIENCE;
use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::log::Record;

use super::super::claim::Claim;
use super::super::message::{Left, Message, Publish};
use super::pause::Pausing;
use super::{Barrier, Sequencer};

/// Objects that go.
pub(in crate::runtime) struct Dropping {
    pub(super) claim: Claim,
    pub(super) objects: Vec<ObjectId>,
    pub(super) ddl: Vec<u8>,
    pub(super) reply: Reply<Result<Epoch>>,
    /// When views that hold it up leave the clock; none: they have.
    patience: Option<Instant>,
}

impl Barrier {
    /// Objects are to go.
    pub(super) fn dropping(claim: Claim, objects: Vec<ObjectId>, ddl: Vec<u8>, reply: Reply<Result<Epoch>>) -> Self {
        Self::Drop(Dropping { claim, objects, ddl, reply, patience: Some(Instant::now() + DROP_PATIENCE) })
    }
}

impl Sequencer {
    /// A change that can be taken back.
    pub(super) fn claimed(&mut self, claim: Claim, change: Message) -> Result<()> {
        match change {
            Message::Drop(objects, ddl, reply) => self.drop_soon(claim, objects, ddl, reply),
            // Answered when they are durable, whatever is under way.
            Message::Rename(..) | Message::AlterSystem(..) if claim.admit() => self.take(change)?,
            Message::Pause(view, reason, reply) => self.pause_for(claim, view, reason, reply),
            Message::Resume(..) if claim.admit() => self.take(change)?,
            change => self.requests.push_back((claim, change)),
        }
        Ok(())
    }

    /// Objects are dropped at the next quiet moment.
    pub(super) fn drop_soon(
        &mut self,
        claim: Claim,
        objects: Vec<ObjectId>,
        ddl: Vec<u8>,
        reply: Reply<Result<Epoch>>,
    ) {
        self.sinks_leave(&objects);
        self.barriers.push_back(Barrier::dropping(claim, objects, ddl, reply));
    }

    /// Does what can be answered with the open epoch. While the disk is full all are refused, also when as many epochs as
    /// may be wait for room.
    pub(super) fn admit_requests(&mut self) -> Result<()> {
        while (self.has_room() || self.log.is_full())
            && let Some((claim, change)) = self.requests.pop_front()
        {
            if claim.admit() {
                self.take(change)?;
            }
        }
        Ok(())
    }

    /// Forgets what was taken back.
    pub(super) fn taken_back(&mut self) {
        self.waiting.retain(|commit| !commit.claim.is_taken_back());
        self.requests.retain(|(claim, _)| !claim.is_taken_back());
        let sinks = &self.shared.sinks;
        self.barriers.retain(|barrier| match barrier {
            Barrier::Drop(drop) if drop.claim.is_taken_back() => {
                drop.objects.iter().filter_map(|id| sinks.get(*id)).for_each(|sink| sink.stay());
                false
            }
            Barrier::Pause(Pausing { claim, .. }) => !claim.is_taken_back(),
            _ => true,
        });
    }

    /// When views leave the clock that are to go, or to be paused, and hold that up themselves.
    pub(super) fn drop_deadline(&self) -> Option<Instant> {
        if self.in_flight.is_empty() {
            return None;
        }
        let patience = |barrier: &Barrier| match barrier {
            Barrier::Drop(Dropping { patience, .. }) | Barrier::Pause(Pausing { patience, .. }) => *patience,
            Barrier::Join(_)
            | Barrier::Fill(_)
            | Barrier::Checkpoint
            | Barrier::Replace(..)
            | Barrier::Alter(..)
            | Barrier::Restart(..)
            | Barrier::Lock(_) => None,
        };
        self.barriers.iter().filter_map(patience).min()
    }

    /// Lets views leave the clock that are to go, once that has been waited for long enough.
    pub(super) fn check_drops(&mut self) {
        let now = Instant::now();
        if self.drop_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let Self { barriers, views, shared, .. } = self;
        for barrier in barriers {
            let (patience, claim, leaving, how) = match barrier {
                Barrier::Drop(Dropping { claim, objects, patience, .. }) => {
                    (patience, claim, objects.clone(), Left::Dropped)
                }
                Barrier::Pause(Pausing { claim, view, patience, .. }) => {
                    let leaving = Self::with_readers(views, *view).into_iter().collect();
                    (patience, claim, leaving, Left::Paused)
                }
                Barrier::Join(_)
                | Barrier::Fill(_)
                | Barrier::Checkpoint
                | Barrier::Replace(..)
                | Barrier::Alter(..)
                | Barrier::Restart(..)
                | Barrier::Lock(_) => continue,
            };
            if patience.take_if(|patience| *patience <= now).is_some()
                && leaving.iter().any(|id| views.contains_key(id))
                && claim.admit()
            {
                let _ = shared.publisher.send(Publish::LeaveToGo(leaving, how));
            }
        }
    }

    /// The publisher has let views leave the clock that nobody is to read any more; `missed` is the first epoch that they
    /// do not show.
    pub(super) fn left_to_go(&mut self, views: &[ObjectId], missed: Epoch) -> Result<()> {
        let kept = self.are_kept(views);
        for view in views {
            let Some(state) = self.views.get_mut(view) else { continue };
            state.left = true;
            state.spec.graph.stop.set();
            self.append(&Record::Leave { view: *view, epoch: self.next_epoch, missed, kept })?;
        }
        Ok(())
    }
}
