//! Views: installed, hydrated, joined to the clock, dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Changes, Epoch, ObjectId, Shape};
use crate::error::{Error, Result, SqlState};
use crate::log::{JoinRecord, Record, SourceRange};
use crate::operators::Counters;

use super::super::checkpoint::ShownImage;
use super::super::claim::Claim;
use super::super::command::{Command, PastEpochs, Restored};
use super::super::digest::InputEpoch;
use super::super::message::{EpochInfo, Left, NewView, Publish};
use super::super::status::{ViewPhase, ViewStatus};
use super::super::{ViewSpec, Workers};
use super::{Barrier, InFlight, Sequencer};

/// A view as the sequencer sees it.
pub(in crate::runtime) struct ViewState {
    pub(in crate::runtime) spec: ViewSpec,
    /// Tables and sources that it reads, through other views too.
    pub(super) reads: BTreeSet<ObjectId>,
    /// What its graph names.
    pub(super) direct: Vec<ObjectId>,
    phase: Phase,
    /// Its creation is in the log: it has joined before.
    is_logged: bool,
    /// Its first epoch, once it has joined.
    pub(super) joined: Epoch,
    /// It has left the clock already, and is to go or to be paused.
    pub(super) left: bool,
    /// Whoever waits for it to join.
    reply: Option<Reply<Result<Epoch>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Hydrating,
    Joining(Epoch),
    Running,
}

impl ViewState {
    pub(super) fn is_cancelled(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::is_closed)
    }

    /// Whether its creation waits for it.
    pub(super) fn is_waited_for(&self) -> bool {
        self.reply.is_some()
    }

    /// Whether the publisher tells of it.
    pub(super) fn is_published(&self) -> bool {
        self.phase != Phase::Hydrating
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// The epoch as of which it joins for the first time, if that is past.
    pub(super) fn as_of(&self) -> Option<Epoch> {
        self.spec.subscription.as_ref().and_then(|s| s.as_of).filter(|_| !self.is_logged)
    }

    /// What its graph names.
    pub(super) fn inputs(&self) -> Vec<ObjectId> {
        self.direct.clone()
    }

    pub(super) fn names(&self, object: ObjectId) -> bool {
        self.direct.contains(&object)
    }

    pub(super) fn status(&self) -> ViewStatus {
        hydrating(&self.spec)
    }
}

/// The status of a view that shows nothing yet.
pub(super) fn hydrating(spec: &ViewSpec) -> ViewStatus {
    ViewStatus {
        id: spec.id,
        name: spec.name.clone(),
        phase: ViewPhase::Hydrating,
        epoch: Epoch(0),
        lag_ms: 0,
        freshness_ms: 0.0,
        rows: 0,
        bytes: 0,
        counters: Counters::default(),
        errors: 0,
        progress: None,
        reason: None,
    }
}

impl Sequencer {
    pub(super) fn create_view(&mut self, spec: ViewSpec, reply: Reply<Result<Epoch>>) -> Result<()> {
        if reply.is_closed() {
            return Ok(());
        }
        match self.check_new(&spec) {
            Ok(()) => self.install(spec, Some(reply), false),
            Err(error) => {
                let _ = reply.send(Err(error));
                Ok(())
            }
        }
    }

    /// A view that is there from now on, though it has to be filled; one that cannot be filled tries again.
    pub(super) fn create_view_at_once(&mut self, spec: ViewSpec, reply: Reply<Result<Epoch>>) -> Result<()> {
        if let Err(error) = self.check_new(&spec) {
            let _ = reply.send(Err(error));
            return Ok(());
        }
        self.log_ddl(spec.ddl.clone(), vec![])?;
        self.open.ddl.push(reply);
        self.install(spec, None, true)
    }

    fn check_new(&self, spec: &ViewSpec) -> Result<()> {
        let known = self.views.contains_key(&spec.id) || self.away.contains_key(&spec.id);
        if known {
            return Err(Error::internal(format!("view {} is there already", spec.id)));
        }
        self.check_view(spec)?;
        self.check_disk()
    }

    fn check_view(&self, spec: &ViewSpec) -> Result<()> {
        Workers::check(&spec.graph)?;
        for object in spec.graph.objects() {
            if let Some(why) = self.lost.get(&object) {
                return Err(why.clone());
            }
            if let Some(table) = self.tables.get(&object)
                && let Some(column) = spec.lacks(object, &Shape::carried(&table.spec.schema))
            {
                let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.spec.name);
                return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
            }
            let known = self.tables.contains_key(&object) || self.feeds.contains_key(&object);
            let running = self.views.get(&object).is_some_and(ViewState::is_running);
            if !known && !running {
                let message = format!("{} reads a view that is not running", spec.called());
                return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("See highwater.views for its status."));
            }
        }
        Ok(())
    }

    /// Builds a view's dataflow and starts its hydration.
    pub(in crate::runtime) fn install(
        &mut self,
        mut spec: ViewSpec,
        reply: Option<Reply<Result<Epoch>>>,
        is_logged: bool,
    ) -> Result<()> {
        let view = spec.id;
        self.look_at_tables(&mut spec);
        self.note_idle(view, &spec.graph.objects());
        self.install_to_fill(&spec);
        let state = self.view_state(spec, reply, is_logged);
        let direct = state.direct.clone();
        self.views.insert(view, state);
        // What the log says of it follows.
        if self.replaying { Ok(()) } else { self.fill(view, &direct) }
    }

    /// Builds a dataflow that is to be filled, if views are computed now.
    fn install_to_fill(&mut self, spec: &ViewSpec) {
        let view = spec.id;
        if let Some(workers) = self.workers.as_ref().filter(|_| !self.is_idle(view)) {
            self.fills += 1;
            let _ = self.shared.publisher.send(Publish::Fill(NewView::of(spec), self.fills));
            let (graph, track) = (Arc::clone(&spec.graph), self.tracks(spec));
            workers.send(Command::Install { view, graph, restore: None, fill: Some(self.fills), track });
        }
    }

    fn view_state(&self, spec: ViewSpec, reply: Option<Reply<Result<Epoch>>>, is_logged: bool) -> ViewState {
        let direct = spec.graph.objects();
        let mut reads = BTreeSet::new();
        for object in &direct {
            match self.views.get(object) {
                Some(upstream) => reads.extend(&upstream.reads),
                None => drop(reads.insert(*object)),
            }
        }
        let (phase, joined, left) = (Phase::Hydrating, Epoch(0), false);
        ViewState { spec, reads, direct, phase, is_logged, joined, left, reply }
    }

    /// Puts a view back on the clock, as it was at an epoch.
    pub(super) fn put_back(
        &mut self,
        spec: ViewSpec,
        joined: Epoch,
        epoch: Epoch,
        restore: Option<Arc<Restored>>,
        shown: ShownImage,
    ) {
        let view = spec.id;
        let _ = self.shared.publisher.send(Publish::RestoreView(NewView::of(&spec), Box::new(shown)));
        if let Some(workers) = &self.workers {
            let (graph, track) = (Arc::clone(&spec.graph), self.tracks(&spec));
            workers.send(Command::Install { view, graph, restore, fill: None, track });
            let watermarks = Arc::clone(&self.vector);
            workers.send(Command::Join { view, epoch, watermarks, past: None });
        }
        let state = self.view_state(spec, None, true);
        self.views.insert(view, ViewState { phase: Phase::Running, joined, ..state });
    }

    /// Puts a view back that is not computed while the log is read back.
    pub(super) fn put_back_idle(&mut self, spec: ViewSpec) {
        let state = self.view_state(spec, None, true);
        self.views.insert(state.spec.id, state);
    }

    /// Tables may have been altered since the view was planned.
    fn look_at_tables(&self, spec: &mut ViewSpec) {
        for (id, planned) in spec.tables.clone() {
            let Some(now) = self.tables.get(&id).map(|table| Shape::carried(&table.spec.schema)) else { continue };
            if planned.shape.numbers == now.numbers {
                continue;
            }
            spec.see(id, &now);
            let target = spec.late_into.as_mut().filter(|t| t.table == id);
            if let Some(target) = target.filter(|t| t.columns.len() == planned.shape.schema.fields().len()) {
                target.recast(&planned.shape, &now);
            }
        }
    }

    /// A view that is being filled begins anew.
    pub(super) fn fill_anew(&mut self, view: ObjectId) -> Result<()> {
        self.end_catch_up(view)?;
        let Some(state) = self.views.get(&view) else { return Ok(()) };
        let (spec, direct) = (state.spec.clone(), state.direct.clone());
        if let Some(workers) = self.workers.as_ref().filter(|_| !self.is_idle(view)) {
            workers.send(Command::Drop(view));
        }
        self.install_to_fill(&spec);
        if self.replaying { Ok(()) } else { self.fill(view, &direct) }
    }

    /// Starts a view's hydration.
    pub(super) fn fill(&mut self, view: ObjectId, inputs: &[ObjectId]) -> Result<()> {
        if inputs.iter().any(|table| self.is_altering(*table)) {
            self.barriers.push_back(Barrier::Fill(view));
            return Ok(());
        }
        match self.start_catch_up(view, inputs) {
            Ok(true) => {}
            Ok(false) => self.barriers.push_back(Barrier::Join(view)),
            Err(error) => self.give_up(view, Some(error))?,
        }
        Ok(())
    }

    /// The log was read back: views that have not joined are filled.
    pub(in crate::runtime) fn resume_views(&mut self) -> Result<()> {
        let waiting = self.views.iter().filter(|(_, v)| v.phase == Phase::Hydrating);
        for (view, inputs) in waiting.map(|(id, v)| (*id, v.direct.clone())).collect::<Vec<_>>() {
            self.fill(view, &inputs)?;
        }
        Ok(())
    }

    /// A quiet moment: the view is given what its tables and views hold, and joins.
    pub(super) fn join_view(&mut self, view: ObjectId) -> Result<()> {
        let Some(state) = self.views.get(&view) else { return Ok(()) };
        // It was given up and is being filled anew: this is not its turn.
        let early = self.catchups.get(&view).is_some_and(|c| !c.is_joining());
        if state.phase != Phase::Hydrating || early {
            return Ok(());
        }
        if state.is_cancelled() {
            return self.give_up(view, None);
        }
        if let Err(error) = self.check_view(&state.spec) {
            return self.give_up(view, Some(error));
        }
        let rest = match self.rest_of(view) {
            Ok(rest) => rest,
            Err(error) => return self.give_up(view, Some(error)),
        };
        let past = match self.rest_of_past(view) {
            Ok(past) => past,
            Err(error) => return self.give_up(view, Some(error)),
        };
        let Some(state) = self.views.get(&view) else { return Ok(()) };
        if !state.is_logged {
            // Only now: a creation that is given up before leaves no trace.
            let ddl = state.spec.ddl.clone();
            self.log_ddl(ddl, vec![])?;
        }
        let (caught_up, read) = self.end_catch_up(view)?;
        self.join(view, caught_up, read, rest, past)
    }

    /// Joins it; `read` is what it read of sources that were not read before (for tests), `rest` what is left to read of
    /// tables and views that it has read, `past` what changed in them since the epoch as of which it has read them.
    pub(in crate::runtime) fn join(
        &mut self,
        view: ObjectId,
        caught_up: Vec<SourceRange>,
        read: Vec<(ObjectId, Vec<Changes>)>,
        mut rest: BTreeMap<ObjectId, Vec<Changes>>,
        past: Option<PastEpochs>,
    ) -> Result<()> {
        let Some(state) = self.views.get(&view) else { return Ok(()) };
        let (direct, spec) = (state.direct.clone(), state.spec.clone());
        for object in direct {
            match rest.remove(&object) {
                Some(changes) => drop(self.feed_view(view, object, &changes)?),
                None if past.is_some() => {}
                None => self.hydrate(view, object)?,
            }
        }
        self.pace.restart();
        let epoch = self.next_epoch;
        self.next_epoch = epoch.next();
        self.log_decisions(&caught_up)?;
        self.append(&Record::Join(JoinRecord { view, epoch, caught_up }))?;
        let mut new = NewView::of(&spec);
        if let Some(subscription) = &mut new.subscription {
            subscription.as_of = past.as_ref().map(|p| p.as_of);
        }
        let _ = self.shared.publisher.send(Publish::AddView(new));
        let closed = Instant::now();
        let _ = self.shared.publisher.send(Publish::Epoch(EpochInfo {
            epoch,
            views: vec![view],
            tables: Default::default(),
            errors: vec![],
            rows: 0,
            bytes: 0,
            transactions: 0,
            closed,
            closed_at: std::time::SystemTime::now(),
            watermarks: Arc::clone(&self.vector),
        }));
        if let Some(workers) = &self.workers {
            let (watermarks, past) = (Arc::clone(&self.vector), past.map(Arc::new));
            workers.send(Command::Join { view, epoch, watermarks, past });
        }
        if let Some(state) = self.views.get_mut(&view) {
            (state.phase, state.is_logged, state.joined) = (Phase::Joining(epoch), true, epoch);
        }
        self.in_flight.push_back(InFlight { epoch, rows: 0, bytes: 0, closed, join: true });
        if self.config.record_digests {
            let watermarks = Arc::clone(&self.vector);
            self.inputs.push(InputEpoch { epoch, inputs: read, watermarks, joined: vec![view] });
        }
        Ok(())
    }

    /// Gives a view what one of its inputs holds; starts readers of sources that nobody reads yet.
    fn hydrate(&mut self, view: ObjectId, object: ObjectId) -> Result<()> {
        let version = match self.tables.get_mut(&object) {
            Some(table) => table.store.seal()?,
            None if self.feeds.contains_key(&object) => return self.open_feed(object),
            None => self.shared.published().version(object, &self.called(object))?,
        };
        let rows: Vec<Changes> = version.batches()?.into_iter().map(Changes::insertions).collect();
        if !rows.is_empty() {
            self.feed_view(view, object, &rows)?;
        }
        Ok(())
    }

    /// Views whose first epoch is published are there.
    pub(super) fn views_published(&mut self, published: Epoch) -> Result<()> {
        let mut running = Vec::new();
        for (view, state) in &mut self.views {
            if let Phase::Joining(epoch) = state.phase
                && epoch <= published
            {
                state.phase = Phase::Running;
                running.push(*view);
                if let Some(reply) = state.reply.take() {
                    // Whoever has gone sends a cancellation.
                    let _ = reply.send(Ok(epoch));
                }
            }
        }
        self.bring_followers(&running);
        Ok(())
    }

    /// The creator has gone, perhaps too late to matter to it: the view goes too.
    pub(super) fn cancel_view(&mut self, view: ObjectId) -> Result<()> {
        let phase = match self.views.get(&view) {
            Some(state) if state.phase == Phase::Hydrating && !state.is_logged => return self.give_up(view, None),
            Some(state) => Some(state.phase),
            None => self.away.get(&view).map(|_| Phase::Hydrating),
        };
        match phase {
            Some(phase) => {
                if let Phase::Joining(_) = phase {
                    // Nobody has seen it: it need not be filled, neither now nor when the log is read back.
                    let _ = self.shared.publisher.send(Publish::LeaveToGo(vec![view], Left::Dropped));
                }
                let (reply, _) = tokio::sync::oneshot::channel();
                self.barriers.push_back(Barrier::dropping(Claim::default(), vec![view], vec![], reply));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Ends a view that has not joined.
    pub(in crate::runtime) fn give_up(&mut self, view: ObjectId, error: Option<Error>) -> Result<()> {
        self.end_catch_up(view)?;
        if let Some(state) = self.views.remove(&view) {
            if let Some(workers) = &self.workers {
                workers.send(Command::Drop(view));
            }
            let _ = self.shared.publisher.send(Publish::NotFilled(view));
            // One that tries again needs its graph.
            if !state.is_logged {
                state.spec.graph.stop.set();
            }
            match (state.reply, error) {
                (Some(reply), Some(error)) => drop(reply.send(Err(error))),
                // It has been on the clock before, and tries again.
                (None, Some(error)) if state.is_logged => self.stay_away(state.spec, &error),
                (_, _) => {}
            }
        }
        self.close_unread_feeds();
        Ok(())
    }

    /// Views that wait to join and name one of these.
    pub(super) fn hydrating_on(&self, objects: &[ObjectId]) -> Vec<(ObjectId, ObjectId)> {
        let waiting = self.views.iter().filter(|(_, v)| v.phase == Phase::Hydrating);
        waiting.filter_map(|(id, v)| Some((*id, *objects.iter().find(|o| v.names(**o))?))).collect()
    }

    /// A quiet moment: objects go.
    pub(in crate::runtime) fn drop_objects(&mut self, objects: &[ObjectId], ddl: Vec<u8>) -> Result<Epoch> {
        self.log_ddl(ddl, objects.to_vec())?;
        self.remove_objects(objects.to_vec())?;
        Ok(Epoch(self.next_epoch.0 - 1))
    }

    /// The same, when the log has it.
    pub(super) fn remove_objects(&mut self, mut sorted: Vec<ObjectId>) -> Result<()> {
        // Readers before what they read: ids ascend with creation.
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        for id in &sorted {
            if self.away.remove(id).is_some() {
                self.follow_pauses();
            }
            self.end_catch_up(*id)?;
            if let Some(state) = self.views.remove(id) {
                if let Some(workers) = &self.workers {
                    workers.send(Command::Drop(*id));
                }
                if let Some(reply) = state.reply {
                    let gone = format!("{} was dropped", state.spec.called());
                    let _ = reply.send(Err(Error::new(SqlState::UNDEFINED_TABLE, gone)));
                }
            }
            self.tables.remove(id);
            if let Some(mut feed) = self.feeds.remove(id) {
                feed.close();
                self.leave_archive(&feed);
            }
            Arc::make_mut(&mut self.vector).0.retain(|p, _| p.source != *id);
        }
        self.close_unread_feeds();
        // Everything up to here is published, and so has come to the sinks.
        self.sinks_end(&sorted);
        let _ = self.shared.publisher.send(Publish::Remove(sorted));
        Ok(())
    }
}
