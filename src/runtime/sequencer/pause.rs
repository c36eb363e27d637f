//! PAUSE and RESUME of a view.
//!
//! A paused view is one that is away from the clock, as one beyond `max_lag` is, and that does not come back by itself:
//!
//! * What it had is let go of: its dataflow, its state. Its inputs, and everybody else, go on as if it were not there;
//!   only views that read it leave with it, and follow it when it comes back.
//! * Reading it is an error, not an old answer: there is one clock for all that can be read.
//! * RESUME brings it back as a lagging view comes back: it is filled from what its inputs hold, and joins at an epoch. A
//!   view over a source that cannot be read again could not be, and is not paused.
//! * Both are records of the log ([`Record::Pause`]), so a server that starts has the same views paused. What the log says
//!   last is known before it is read back: a view that is paused at its end is not computed meanwhile, nor what another
//!   one was before it left the clock for the last time. So a view that makes the start slow, or impossible, can be got
//!   out of the way, and come back when its inputs are such that it can.
//! * A sink on it waits, and gets the difference when it is back. So a start computes what such a view was when it left,
//!   unless it ends the process: then a sink that has written anything cannot go on, and says so.
//! * A view whose operator ends the process at two aborts with nothing good between is paused by the server that starts
//!   next ([`super::super::aborts`]).
//!
//! How others have it: Feldera pauses the whole pipeline, which finishes what it took, keeps its state in memory, and reads
//! no further; Materialize gives back what a cluster computes with, by a replication factor of 0, and its views are hydrated
//! anew afterwards; RisingWave can hold all sources after its next start, so that what crashes it may be dropped. Here it is
//! one view, since all views share the workers; and its state goes, since keeping it would be of use only with every change
//! that it misses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot::Sender as Reply;

use crate::config::DROP_PATIENCE;
use crate::data::ObjectId;
use crate::error::{Error, Result, SqlState};
use crate::log::{JoinRecord, Record};

use super::super::claim::Claim;
use super::super::command::Command;
use super::super::message::{Left, Publish};
use super::super::replay::ReadAgain;
use super::super::shared::{Paused, follows, resume};
use super::answers::Answer;
use super::lag::Why;
use super::views::ViewState;
use super::{Barrier, Sequencer};

/// A view that is to be paused.
pub(in crate::runtime) struct Pausing {
    pub(super) claim: Claim,
    pub(super) view: ObjectId,
    reason: String,
    reply: Reply<Result<()>>,
    /// When it leaves the clock before the epochs under way are published; none: it has.
    pub(super) patience: Option<Instant>,
}

/// Views that are not computed while the log is read back: those that are paused at its end, with the reason; those that
/// leave the clock again; and those that read them.
pub(in crate::runtime) type Idle = BTreeMap<ObjectId, Option<String>>;

fn refused(message: String, hint: impl Into<String>) -> Error {
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(hint.into())
}

impl Sequencer {
    /// PAUSE.
    pub(super) fn pause_for(&mut self, claim: Claim, view: ObjectId, reason: String, reply: Reply<Result<()>>) {
        match self.check_pause(view) {
            Ok(()) => {
                let patience = Some(Instant::now() + DROP_PATIENCE);
                self.barriers.push_back(Barrier::Pause(Pausing { claim, view, reason, reply, patience }));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn check_pause(&self, view: ObjectId) -> Result<()> {
        self.check_disk()?;
        let spec = match (self.views.get(&view), self.away.get(&view)) {
            (Some(state), _) if state.is_waited_for() => {
                let message = format!("{} is being created", state.spec.called());
                return Err(refused(message, "Wait until it is running, or cancel its creation."));
            }
            (Some(state), _) => &state.spec,
            (None, Some(away)) if matches!(away.why, Why::Paused(_)) => {
                let message = format!("{} is already paused", away.spec.called());
                return Err(refused(message, format!("{} lets it come back.", resume(&away.spec.name))));
            }
            (None, Some(away)) => &away.spec,
            (None, None) => return Err(Error::internal(format!("there is no view {view}"))),
        };
        if self.is_gone_for_good(spec) {
            let what = format!("PAUSE of {}, which reads a source that cannot be read again,", spec.called());
            return Err(Error::unsupported(what, "It could not come back. Drop it, and create it anew."));
        }
        Ok(())
    }

    /// A quiet moment: a view is paused.
    pub(super) fn pass_pause(&mut self, pausing: Pausing) -> Result<()> {
        let Pausing { claim, view, reason, reply, .. } = pausing;
        // What waited before it may have changed everything.
        match self.check_pause(view) {
            Ok(()) if claim.admit() => {
                self.pause(view, reason)?;
                self.answer(Answer::Shown(reply));
            }
            Ok(()) => {}
            Err(error) => drop(reply.send(Err(error))),
        }
        Ok(())
    }

    /// Pauses a view when all epochs are published, and says so in the log.
    pub(in crate::runtime) fn pause(&mut self, view: ObjectId, reason: String) -> Result<()> {
        let kept = self.are_kept(&Self::with_readers(&self.views, view).into_iter().collect::<Vec<_>>());
        match self.views.get(&view) {
            Some(state) if state.is_published() || state.left || self.is_idle(view) => {
                self.leave(self.next_epoch, &[view], Left::Paused)?;
            }
            Some(_) => {
                self.end_catch_up(view)?;
                let state = self.views.remove(&view);
                if let (Some(workers), Some(_)) = (&self.workers, &state) {
                    workers.send(Command::Drop(view));
                }
                if let Some(state) = state {
                    self.put_away(state.spec, Why::Lagging(None));
                }
                self.close_unread_feeds();
            }
            None => {}
        }
        self.append(&Record::Pause { view, epoch: self.next_epoch, reason: Some(reason.clone()), kept })?;
        if let Some(away) = self.away.get_mut(&view) {
            away.why = Why::Paused(reason.into());
        }
        self.follow_pauses();
        Ok(())
    }

    /// RESUME: it comes back by itself from now on.
    pub(super) fn resume_for(&mut self, view: ObjectId, reply: Reply<Result<()>>) -> Result<()> {
        match self.check_resume(view) {
            Ok(()) => {
                self.resume(view)?;
                self.answer(Answer::Shown(reply));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
        Ok(())
    }

    fn check_resume(&self, view: ObjectId) -> Result<()> {
        self.check_disk()?;
        let name = |id: &ObjectId| self.away.get(id).map_or_else(String::new, |away| away.spec.name.clone());
        let Some(away) = self.away.get(&view) else {
            let called = self.views.get(&view).map_or_else(|| format!("view {view}"), |state| state.spec.called());
            return Err(refused(format!("{called} is not paused"), "See highwater.views for its status."));
        };
        let called = away.spec.called();
        match &away.why {
            Why::Paused(_) if self.is_gone_for_good(&away.spec) => {
                let what = format!("RESUME of {called}, which reads a source that cannot be read again,");
                Err(Error::unsupported(what, "Drop it, and create it anew."))
            }
            Why::Paused(_) => Ok(()),
            Why::Follows(paused) => {
                let message = format!("{called} is paused because it reads materialized view \"{}\"", name(paused));
                Err(refused(message, format!("{} lets both come back.", resume(&name(paused)))))
            }
            Why::Lagging(_) | Why::Failed(_) => {
                Err(refused(format!("{called} is not paused"), "See highwater.views for its status, and the reason."))
            }
        }
    }

    fn resume(&mut self, view: ObjectId) -> Result<()> {
        self.append(&Record::Pause { view, epoch: self.next_epoch, reason: None, kept: false })?;
        if let Some(away) = self.away.get_mut(&view) {
            away.lag_again(false);
        }
        self.follow_pauses();
        Ok(())
    }

    /// As the log says.
    pub(in crate::runtime) fn replay_pause(&mut self, view: ObjectId, reason: Option<String>) -> Result<()> {
        self.quiesce()?;
        match reason {
            Some(reason) => self.pause(view, reason),
            None => self.resume(view),
        }
    }

    /// Tells views that are away whether they wait for one that is paused, and readers which are paused.
    pub(super) fn follow_pauses(&mut self) {
        let mut paused: HashMap<ObjectId, Paused> = HashMap::new();
        let mut roots: BTreeMap<ObjectId, ObjectId> = BTreeMap::new();
        // Ids ascend with creation: one pass finds the views on views.
        for (id, away) in &mut self.away {
            let root = away.spec.graph.objects().iter().find_map(|object| roots.get(object)).copied();
            match (&away.why, root) {
                (Why::Paused(reason), _) => {
                    roots.insert(*id, *id);
                    let name = Arc::from(away.spec.name.as_str());
                    paused.insert(*id, Paused { view: name, reason: Some(Arc::clone(reason)) });
                }
                (Why::Lagging(_) | Why::Follows(_), Some(root)) => {
                    away.why = Why::Follows(root);
                    roots.insert(*id, root);
                    let name = paused.get(&root).map_or_else(|| Arc::from(""), |p| Arc::clone(&p.view));
                    paused.insert(*id, Paused { view: name, reason: None });
                }
                (Why::Follows(_), None) => away.lag_again(true),
                (Why::Lagging(_) | Why::Failed(_), _) => {}
            }
        }
        let _ = self.shared.publisher.send(Publish::Paused(paused));
    }

    /// Why a view shows nothing, in words.
    pub(super) fn reason(&self, why: &Why) -> Option<Arc<str>> {
        match why {
            Why::Lagging(reason) => reason.clone(),
            Why::Paused(reason) | Why::Failed(reason) => Some(Arc::clone(reason)),
            Why::Follows(paused) => {
                let name = self.away.get(paused).map_or("", |away| away.spec.name.as_str());
                Some(follows(name).into())
            }
        }
    }

    /// A view, and those that read it.
    pub(super) fn with_readers(views: &BTreeMap<ObjectId, ViewState>, view: ObjectId) -> BTreeSet<ObjectId> {
        let mut found = BTreeSet::from([view]);
        for (id, state) in views {
            if found.iter().any(|object| state.names(*object)) {
                found.insert(*id);
            }
        }
        found
    }

    /// Whether a view is not computed while the log is read back.
    pub(in crate::runtime) fn is_idle(&self, view: ObjectId) -> bool {
        self.recovering && self.idle.contains_key(&view)
    }

    /// What the log says that is paused at its end, beside what a start is to leave out.
    pub(in crate::runtime) fn leave_idle(&mut self, paused: Idle) {
        if self.recovering {
            for (view, reason) in paused {
                self.idle.entry(view).or_insert(reason);
            }
        }
    }

    /// Notes that a view reads one that is not computed.
    pub(super) fn note_idle(&mut self, view: ObjectId, reads: &[ObjectId]) {
        if reads.iter().any(|object| self.is_idle(*object)) {
            self.idle.entry(view).or_insert(None);
        }
    }

    /// A view joins, as the log says. What it computes is of use only if it does not leave the clock again: then it begins
    /// anew.
    pub(in crate::runtime) fn note_life(&mut self, view: ObjectId, leaves_again: bool) {
        if !self.recovering || matches!(self.idle.get(&view), Some(Some(_))) {
            return;
        }
        let spec = self.views.get(&view).map(|state| &state.spec).or(self.away.get(&view).map(|away| &away.spec));
        let Some((graph, track)) = spec.map(|spec| (Arc::clone(&spec.graph), self.tracks(spec))) else { return };
        let was_idle = self.idle.remove(&view).is_some();
        if leaves_again {
            self.idle.insert(view, None);
        }
        self.note_idle(view, &graph.objects());
        // The dataflow of one that is away is built when it comes back.
        if let Some(workers) = self.workers.as_ref().filter(|_| self.views.contains_key(&view)) {
            match (was_idle, self.is_idle(view)) {
                (false, true) => workers.send(Command::Drop(view)),
                (true, false) => {
                    let _ = self.shared.publisher.send(Publish::NotFilled(view));
                    workers.send(Command::Install { view, graph, restore: None, fill: None, track });
                }
                (false, false) | (true, true) => {}
            }
        }
    }

    /// A view that is not computed joins: what was read for it is read on.
    pub(in crate::runtime) fn join_idle(&mut self, join: &JoinRecord, sources: &mut ReadAgain) -> Result<()> {
        self.skip_to(join.epoch)?;
        self.read_again(join, sources)?;
        self.next_epoch = join.epoch.next();
        Ok(())
    }

    /// The log was read back: those that were not computed are paused, also those of which it does not say so.
    pub(in crate::runtime) fn pause_idle(&mut self) -> Result<()> {
        for (view, reason) in self.idle.clone() {
            let is_paused = self.away.get(&view).is_some_and(|away| matches!(away.why, Why::Paused(_)));
            let called = self.views.get(&view).map(|state| state.spec.called());
            if let (Some(reason), false) = (reason, is_paused)
                && let Some(called) = called.or_else(|| self.away.get(&view).map(|away| away.spec.called()))
            {
                tracing::warn!("{called} starts paused: {reason}");
                self.pause(view, reason)?;
            }
        }
        self.idle.clear();
        Ok(())
    }
}
