//! Views that are too slow: they leave the clock, so that the others go on, and come back by hydrating anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result};
use crate::log::Record;

use super::super::ViewSpec;
use super::super::checkpoint::AwayImage;
use super::super::command::Command;
use super::super::message::{Left, Publish};
use super::super::status::{ViewPhase, ViewStatus};
use super::Sequencer;
use super::views::hydrating;

/// Why a view is away from the clock.
pub(super) enum Why {
    /// It was too slow, or could not come back: it tries again.
    Lagging(Option<Arc<str>>),
    /// It was paused.
    Paused(Arc<str>),
    /// It reads this view, which is paused.
    Follows(ObjectId),
    /// What it reads could not be read back when the server started.
    Failed(Arc<str>),
}

/// A view that has left the clock.
pub(super) struct Away {
    pub(super) spec: ViewSpec,
    pub(super) why: Why,
    /// The oldest input that it has not shown.
    pub(super) behind_since: Instant,
    /// When it tries again; the pause doubles each time.
    pub(super) retry: Instant,
    pub(super) pause: Duration,
    /// It read a source that cannot be read again.
    pub(super) for_good: bool,
    /// It left with a view that it reads, and tries again with it.
    pub(super) followed: bool,
}

impl Away {
    pub(super) fn waits_for(&self) -> Option<Instant> {
        (matches!(self.why, Why::Lagging(_)) && !self.for_good).then_some(self.retry)
    }

    /// It is not paused any more; `followed`: a view that it reads is not.
    pub(super) fn lag_again(&mut self, followed: bool) {
        (self.why, self.retry, self.followed) = (Why::Lagging(None), Instant::now(), followed);
        // What was slow when it left had to end; now it is to be computed again.
        self.spec.graph.stop.live_again();
    }

    fn phase(&self) -> ViewPhase {
        match self.why {
            Why::Lagging(_) => ViewPhase::Lagging,
            Why::Paused(_) | Why::Follows(_) => ViewPhase::Paused,
            Why::Failed(_) => ViewPhase::Failed,
        }
    }

    pub(super) fn status(&self, reason: Option<Arc<str>>) -> ViewStatus {
        let lag_ms = u64::try_from(self.behind_since.elapsed().as_millis()).unwrap_or(u64::MAX);
        ViewStatus { phase: self.phase(), reason, lag_ms, ..hydrating(&self.spec) }
    }

    pub(super) fn image(&self, view: ObjectId) -> AwayImage {
        let reason = match &self.why {
            Why::Lagging(reason) => reason.as_deref().map(str::to_owned),
            Why::Paused(reason) | Why::Failed(reason) => Some(reason.to_string()),
            Why::Follows(_) => None,
        };
        let pause_ms = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        let (for_good, phase, followed) = (self.for_good, self.phase(), self.followed);
        AwayImage { view, for_good, phase, reason, followed, pause_ms }
    }

    /// As it was; one that follows another is told so when all are back ([`Sequencer::follow_pauses`]).
    pub(super) fn restored(spec: ViewSpec, image: &AwayImage) -> Self {
        let (now, pause) = (Instant::now(), Duration::from_millis(image.pause_ms));
        let reason: Option<Arc<str>> = image.reason.as_deref().map(Arc::from);
        let why = match (image.phase, reason) {
            (ViewPhase::Paused, Some(reason)) => Why::Paused(reason),
            (ViewPhase::Paused, None) => Why::Lagging(None),
            (ViewPhase::Failed | ViewPhase::Hydrating | ViewPhase::Running | ViewPhase::Lagging, reason) => {
                Why::Lagging(reason)
            }
        };
        let (for_good, followed) = (image.for_good, image.followed);
        let retry = if image.phase == ViewPhase::Failed { now } else { now + pause };
        Self { spec, why, behind_since: now, retry, pause, for_good, followed }
    }
}

impl Sequencer {
    /// When the published epoch will have stood still for too long, under an epoch that waits to follow it.
    pub(super) fn lag_deadline(&self) -> Option<Instant> {
        let oldest = self.in_flight.front().filter(|e| !e.join)?;
        let asked = self.asked.filter(|(epoch, _)| *epoch == oldest.epoch).map(|(_, at)| at);
        let since = asked.unwrap_or(oldest.closed.max(self.moved));
        let patience = self.pace.patience(oldest.rows, self.config.settings.max_lag, self.config.limits.epoch_rows);
        since.checked_add(patience)
    }

    /// Asks the publisher who holds the clock back, when it is held back for too long.
    pub(super) fn check_lag(&mut self) {
        if let Some(deadline) = self.lag_deadline()
            && Instant::now() >= deadline
            && let Some(oldest) = self.in_flight.front()
        {
            self.asked = Some((oldest.epoch, Instant::now()));
            let _ = self.shared.publisher.send(Publish::Blockers(oldest.epoch));
        }
    }

    /// Detaches these views, which are too slow, and the views on them: they do not show `epoch`.
    pub(in crate::runtime) fn leave_clock(&mut self, epoch: Epoch, slow: &[ObjectId]) -> Result<()> {
        self.leave(epoch, slow, Left::Slow)?;
        self.follow_pauses();
        Ok(())
    }

    /// Detaches these views, and the views on them: they do not show `epoch`.
    pub(super) fn leave(&mut self, epoch: Epoch, views: &[ObjectId], how: Left) -> Result<()> {
        let mut leaving: Vec<ObjectId> = Vec::new();
        let behind_since = self.in_flight.front().map_or_else(Instant::now, |e| e.closed);
        // Ids ascend with creation: one pass finds the views on views.
        for (id, view) in &self.views {
            let follows = leaving.iter().any(|l| view.names(*l));
            if (view.is_running() || view.left || self.is_idle(*id)) && (views.contains(id) || follows) {
                leaving.push(*id);
            }
        }
        let kept = self.are_kept(&leaving);
        for id in leaving.iter().rev() {
            let Some(state) = self.views.remove(id) else { continue };
            if !self.recovering && how == Left::Slow {
                let name = &state.spec.name;
                tracing::warn!("materialized view \"{name}\" is too slow and leaves the clock at epoch {epoch}");
            }
            // A pause is a record of its own.
            if !state.left && how != Left::Paused {
                self.append(&Record::Leave { view: *id, epoch: self.next_epoch, missed: epoch, kept })?;
            }
            if let Some(workers) = &self.workers {
                workers.send(Command::Drop(*id));
            }
            if how == Left::Slow {
                let pause = self.pauses.get(id).map_or(self.config.settings.max_lag, |p| *p * 2);
                self.pauses.insert(*id, pause);
            }
            self.put_away(state.spec, Why::Lagging(None));
            if let Some(away) = self.away.get_mut(id) {
                (away.behind_since, away.followed) = (behind_since, !views.contains(id));
            }
        }
        // Those that were to follow them have nothing to follow.
        for (id, on) in self.hydrating_on(&leaving) {
            let error = self.left(on);
            self.give_up(id, Some(error))?;
        }
        let _ = self.shared.publisher.send(Publish::Leave(leaving, how));
        self.close_unread_feeds();
        Ok(())
    }

    /// From now on a view is away.
    pub(super) fn put_away(&mut self, spec: ViewSpec, why: Why) {
        let (id, now) = (spec.id, Instant::now());
        let pause = self.pauses.get(&id).copied().unwrap_or(self.config.settings.max_lag);
        let for_good = self.is_gone_for_good(&spec);
        let (behind_since, retry, followed) = (now, now + pause, false);
        self.away.insert(id, Away { spec, why, behind_since, retry, pause, for_good, followed });
    }

    /// Whether a view could not be filled again.
    pub(super) fn is_gone_for_good(&self, spec: &ViewSpec) -> bool {
        let unreadable = |o: &ObjectId| self.feeds.get(o).is_some_and(|f| !f.is_table && f.again().is_none());
        spec.graph.objects().iter().any(unreadable)
    }

    /// A view could not come back: it tries again later.
    pub(super) fn stay_away(&mut self, spec: ViewSpec, error: &Error) {
        if !self.recovering {
            tracing::warn!("materialized view \"{}\" cannot come back yet: {error}", spec.name);
        }
        let id = spec.id;
        self.put_away(spec, Why::Lagging(Some(error.message().into())));
        self.away.get_mut(&id).into_iter().for_each(|away| away.for_good = false);
        self.follow_pauses();
    }

    /// A view is running: those that left with it need not wait for longer.
    pub(super) fn bring_followers(&mut self, running: &[ObjectId]) {
        for away in self.away.values_mut().filter(|away| away.followed) {
            if away.spec.graph.objects().iter().any(|object| running.contains(object)) {
                away.retry = Instant::now();
            }
        }
    }

    /// Views that are away, and that read what is lost, do not try again by themselves.
    pub(in crate::runtime) fn strand(&mut self) {
        let mut stranded: HashMap<ObjectId, Arc<str>> =
            self.lost.iter().map(|(source, why)| (*source, why.message().into())).collect();
        for (id, away) in &mut self.away {
            let why = away.spec.graph.objects().iter().find_map(|object| stranded.get(object)).cloned();
            if let Some(why) = why
                && !matches!(away.why, Why::Paused(_) | Why::Follows(_))
            {
                away.why = Why::Failed(Arc::clone(&why));
                stranded.insert(*id, why);
            }
        }
        let _ = self.shared.publisher.send(Publish::Stranded(stranded));
    }

    /// Views that a checkpoint has as failed are filled anew, once what they read can be read.
    pub(super) fn look_for_lost(&mut self, away: &[AwayImage]) {
        let failed = away.iter().filter(|image| image.phase == ViewPhase::Failed);
        let views = failed.filter_map(|image| self.away.get(&image.view));
        let read: BTreeSet<ObjectId> = views.flat_map(|away| away.spec.graph.objects()).collect();
        for source in read {
            let Some(feed) = self.feeds.get(&source).filter(|feed| !feed.is_table) else { continue };
            let first = feed.connector.open_at_once(0, 0).and_then(|mut reader| reader.read(Duration::ZERO));
            if let Err(error) = first {
                self.note_lost(source, &error);
            }
        }
        self.strand();
    }

    /// Brings a view back whose pause the log says is over.
    pub(in crate::runtime) fn reinstall(&mut self, view: ObjectId) -> Result<()> {
        self.away.remove(&view).map_or(Ok(()), |away| self.install(away.spec, None, true))
    }

    /// Lets views try again whose pause is over and whose inputs are running.
    pub(super) fn come_back(&mut self) -> Result<()> {
        let now = Instant::now();
        let due = self.away.iter().filter(|(_, a)| a.waits_for().is_some_and(|t| t <= now)).map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            let Some(mut away) = self.away.remove(&id) else { continue };
            let upstream = away.spec.graph.objects();
            if upstream.iter().any(|o| self.away.contains_key(o) || self.views.get(o).is_some_and(|v| !v.is_running()))
            {
                away.retry = now + away.pause;
                self.away.insert(id, away);
                continue;
            }
            self.install(away.spec, None, true)?;
        }
        Ok(())
    }
}
