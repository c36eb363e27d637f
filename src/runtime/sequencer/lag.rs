//! Views that are too slow: they leave the clock, so that the others go on, and come back by hydrating anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result};
use crate::log::Record;

use super::super::ViewSpec;
use super::super::command::Command;
use super::super::message::Publish;
use super::super::status::{ViewPhase, ViewStatus};
use super::Sequencer;
use super::views::hydrating;

/// A view that has left the clock.
pub(super) struct Away {
    pub(super) spec: ViewSpec,
    /// The oldest input that it has not shown.
    pub(super) behind_since: Instant,
    /// When it tries again; the pause doubles each time.
    pub(super) retry: Instant,
    pub(super) pause: Duration,
    /// It read a source that cannot be read again.
    pub(super) for_good: bool,
    pub(super) phase: ViewPhase,
}

impl Away {
    pub(super) fn waits_for(&self) -> Option<Instant> {
        (!self.for_good).then_some(self.retry)
    }

    pub(super) fn status(&self) -> ViewStatus {
        let lag_ms = u64::try_from(self.behind_since.elapsed().as_millis()).unwrap_or(u64::MAX);
        ViewStatus { phase: self.phase, lag_ms, ..hydrating(&self.spec) }
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

    /// Detaches these views, and the views on them: they do not show `epoch`.
    pub(in crate::runtime) fn leave_clock(&mut self, epoch: Epoch, slow: &[ObjectId]) -> Result<()> {
        let mut leaving: Vec<ObjectId> = Vec::new();
        let behind_since = self.in_flight.front().map_or_else(Instant::now, |e| e.closed);
        // Ids ascend with creation: one pass finds the views on views.
        for (id, view) in &self.views {
            let follows = leaving.iter().any(|l| view.names(*l));
            if view.is_running() && (slow.contains(id) || follows) {
                leaving.push(*id);
            }
        }
        for id in leaving.iter().rev() {
            let Some(state) = self.views.remove(id) else { continue };
            if !self.recovering {
                let name = &state.spec.name;
                tracing::warn!("materialized view \"{name}\" is too slow and leaves the clock at epoch {epoch}");
            }
            self.append(&Record::Leave { view: *id, epoch: self.next_epoch, missed: epoch })?;
            if let Some(workers) = &self.workers {
                workers.send(Command::Drop(*id));
            }
            let unreadable = |o: &ObjectId| self.feeds.get(o).is_some_and(|f| !f.is_table && !f.connector.replayable());
            let for_good = state.spec.graph.objects().iter().any(unreadable);
            let pause = self.pauses.get(id).map_or(self.config.settings.max_lag, |p| *p * 2);
            self.pauses.insert(*id, pause);
            let (retry, phase) = (Instant::now() + pause, ViewPhase::Lagging);
            self.away.insert(*id, Away { spec: state.spec, behind_since, retry, pause, for_good, phase });
        }
        // Those that were to follow them have nothing to follow.
        for (id, on) in self.hydrating_on(&leaving) {
            let error = self.left(on);
            self.give_up(id, Some(error))?;
        }
        let _ = self.shared.publisher.send(Publish::Leave(leaving));
        self.close_unread_feeds();
        Ok(())
    }

    /// A view could not come back: it tries again later.
    pub(super) fn stay_away(&mut self, spec: ViewSpec, error: &Error) {
        let (id, now) = (spec.id, Instant::now());
        if !self.recovering {
            tracing::warn!("materialized view \"{}\" cannot come back yet: {error}", spec.name);
        }
        let pause = self.pauses.get(&id).copied().unwrap_or(self.config.settings.max_lag);
        self.away.insert(
            id,
            Away { spec, behind_since: now, retry: now + pause, pause, for_good: false, phase: ViewPhase::Lagging },
        );
    }

    /// Views that are away, and that read what is lost, do not try again by themselves.
    pub(in crate::runtime) fn strand(&mut self) {
        let mut stranded: HashMap<ObjectId, Arc<str>> =
            self.lost.iter().map(|(source, why)| (*source, why.message().into())).collect();
        for (id, away) in &mut self.away {
            let why = away.spec.graph.objects().iter().find_map(|object| stranded.get(object)).cloned();
            if let Some(why) = why {
                (away.for_good, away.phase) = (true, ViewPhase::Failed);
                stranded.insert(*id, why);
            }
        }
        let _ = self.shared.publisher.send(Publish::Stranded(stranded));
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
