//! Checkpoints: when one is taken, what of it is the sequencer's, and how a start begins with one (`super::super::checkpoint`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::Archive;
use crate::checkpoint::{Objects, Owner};
use crate::data::{Epoch, ObjectId, Shape};
use crate::error::{Error, Result, SqlState};
use crate::log::{Ddl, LogPosition};
use crate::sink::Sink;
use crate::state::Delta;
use crate::store::Store;

use super::super::arrival::Clock;
use super::super::checkpoint::{
    AwayImage, CatalogEntry, Checkpoint, Checkpointer, ClockImage, FeedImage, Image, LeftImage, PartImage,
    PublishedImage, SinkImage, StateImage, StoreImage, TableImage, ViewImage, Written,
};
use super::super::command::Restored;
use super::super::message::{Message, Publish};
use super::super::status::{CheckpointStatus, CheckpointWritten};
use super::super::{SourceSpec, Spec, TableAlter, TableSpec, ViewSpec};
use super::lag::Away;
use super::sources::{Feed, Part};
use super::table::TableHead;
use super::writes::LateWrite;
use super::{Barrier, Sequencer};

/// Entries of state that did not change, copied at most in one moment by each worker.
const BUDGET: usize = 400_000;
/// The time between two is at least so many times the pause for one.
const PAUSES: u32 = 20;
/// How long everybody may be kept waiting for the quiet moment: at first, and at most, when it often did not come (a view
/// computes for long). It is given up then, and tried again later.
const PATIENCE: Duration = Duration::from_millis(50);
const MOST_PATIENCE: Duration = Duration::from_secs(2);
/// Checkpoints that are shown.
const SHOWN: usize = 100;
/// Catalog changes from which on those of objects that are gone are looked for.
const MANY_CHANGES: usize = 64;

/// What made the objects that there are, in order.
#[derive(Default)]
pub(super) struct Catalog {
    pub(super) entries: Vec<CatalogEntry>,
    /// How many there may be until it is looked for those that are of no use.
    limit: usize,
}

impl Catalog {
    /// Adds a change.
    pub(super) fn push(&mut self, dropped: &[ObjectId], payload: &[u8]) {
        self.entries.push(CatalogEntry { dropped: dropped.to_vec(), payload: Arc::from(payload) });
    }

    fn tidy(&mut self, compact: fn(&mut Vec<CatalogEntry>) -> Result<()>) -> Result<()> {
        if self.entries.len() > self.limit.max(MANY_CHANGES) {
            compact(&mut self.entries)?;
            self.limit = 2 * self.entries.len();
        }
        Ok(())
    }
}

/// The sequencer's side of it.
pub(super) struct Checkpoints {
    writer: Checkpointer,
    /// One is being written; what it paused for.
    writing: Option<Duration>,
    /// When the next one is due, at the earliest.
    due: Instant,
    /// Since when it is waited for the quiet moment, and how long at most.
    asked: Option<Instant>,
    patience: Duration,
    /// Of the last copy; they ascend over all starts.
    number: u64,
    /// What the last copy has: the log until then, and what was published.
    appended: Option<LogPosition>,
    epoch: Epoch,
    /// Some state has not been copied as a whole: the next copy is due soon.
    partial: bool,
    shown: VecDeque<CheckpointStatus>,
    /// Of sources that were dropped.
    pub(super) left_archives: Vec<Arc<Archive>>,
}

impl Checkpoints {
    /// Those that were taken, newest last.
    pub(super) fn taken(&self) -> Vec<CheckpointStatus> {
        self.shown.iter().cloned().collect()
    }
}

impl Sequencer {
    /// Whether checkpoints are taken.
    pub(super) fn keeps_checkpoints(&self) -> bool {
        self.checkpoints.is_some()
    }

    /// Whether a view's states note what changes.
    pub(super) fn tracks(&self, spec: &ViewSpec) -> bool {
        self.checkpoints.is_some() && spec.subscription.is_none()
    }

    /// When the next checkpoint is due, if something has changed since the last one.
    pub(super) fn next_checkpoint(&self) -> Option<Instant> {
        let checkpoints = self.checkpoints.as_ref().filter(|_| !self.replaying)?;
        if let Some(asked) = checkpoints.asked {
            return Some(asked + checkpoints.patience);
        }
        let changed = checkpoints.appended != Some(self.appended) || checkpoints.partial;
        (changed && checkpoints.writing.is_none()).then_some(checkpoints.due)
    }

    /// Whether something has changed that no checkpoint has, or one is being written.
    pub(super) fn wants_checkpoint(&self) -> bool {
        let changed = |c: &Checkpoints| c.appended != Some(self.appended) || c.partial || c.writing.is_some();
        self.checkpoints.as_ref().is_some_and(changed)
    }

    /// Whether one is being written.
    pub(super) fn is_writing(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.writing.is_some())
    }

    /// Whether one cannot be written, and is tried again.
    pub(super) fn is_writing_in_vain(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.writer.is_failing())
    }

    /// No more are taken; the one that is being written is waited for, until then.
    pub(super) fn end_checkpoints(&mut self, until: Instant) {
        if let Some(checkpoints) = self.checkpoints.take() {
            checkpoints.writer.end(until);
        }
    }

    /// The interval is another one: the next checkpoint is due after it, if not before.
    pub(super) fn checkpoint_soon(&mut self, interval: Duration) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.due = checkpoints.due.min(Instant::now() + interval);
        }
    }

    /// A server has started: the first is due after an interval, as it was set.
    pub(in crate::runtime) fn begin_checkpoints(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.due = Instant::now() + self.config.settings.checkpoint_interval;
        }
    }

    /// Asks for the quiet moment in which a checkpoint is taken, when it is time.
    pub(super) fn check_checkpoint(&mut self) {
        let now = Instant::now();
        if self.next_checkpoint().is_none_or(|due| due > now) {
            return;
        }
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let interval = self.config.settings.checkpoint_interval;
        if checkpoints.asked.take().is_some() {
            // It does not come: the others go on.
            self.barriers.retain(|barrier| !matches!(barrier, Barrier::Checkpoint));
            checkpoints.due = now + interval.max(checkpoints.patience * PAUSES);
            checkpoints.patience = (checkpoints.patience * 2).min(MOST_PATIENCE);
        } else if self.log.is_full() {
            checkpoints.due = now + interval.max(Duration::from_secs(1));
        } else {
            checkpoints.asked = Some(now);
            self.barriers.push_back(Barrier::Checkpoint);
        }
    }

    /// A quiet moment, when all that was appended is durable too: copies everything, and hands it over. False when it has
    /// to be waited for that.
    pub(super) fn take_checkpoint(&mut self) -> Result<bool> {
        let Some(log) = self.log.end() else {
            self.barriers.push_front(Barrier::Checkpoint);
            return Ok(false);
        };
        let began = Instant::now();
        self.catalog.tidy(self.config.compact)?;
        let since = self.checkpoints.as_ref().map_or(Epoch(0), |checkpoints| checkpoints.epoch);
        let sinks = self.sink_images(since);
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(true) };
        checkpoints.number += 1;
        let number = checkpoints.number;
        let (reply, answer) = crossbeam_channel::bounded(1);
        let _ = self.shared.publisher.send(Publish::Capture(since, reply));
        let states = match &self.workers {
            Some(workers) => workers.capture(number, BUDGET)?,
            None => vec![],
        };
        let mut published = answer.recv().map_err(|_| Error::internal("the publisher is gone"))??;
        let left = std::mem::take(&mut published.left);
        let mut image = self.image(published)?;
        (image.log, image.sinks) = (Some(log), sinks);
        for (id, left) in left {
            image.sinks.entry(id).or_default().away = Some(left);
        }
        let mut covered = true;
        for state in states {
            if let Some(view) = image.views.get_mut(&state.view) {
                covered &= state.deltas.iter().all(|delta| delta.covered);
                let node = state.node;
                view.states.extend(state.deltas.into_iter().map(|delta| StateImage { node, number, delta }));
            }
        }
        let epoch = image.epoch;
        let pause = began.elapsed();
        if let Some(checkpoints) = &mut self.checkpoints {
            (checkpoints.asked, checkpoints.patience) = (None, PATIENCE);
            (checkpoints.epoch, checkpoints.appended, checkpoints.partial) = (epoch, Some(self.appended), !covered);
            let interval = if covered { self.config.settings.checkpoint_interval } else { Duration::ZERO };
            checkpoints.due = began + interval.max(pause * PAUSES);
            checkpoints.writing = Some(pause);
            checkpoints.writer.write(image);
        }
        Ok(true)
    }

    /// The copy is written: what the log has before the older of two checkpoints is not needed any more.
    pub(super) fn checkpoint_written(&mut self, written: Option<Written>) -> Result<()> {
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        let pause = checkpoints.writing.take().unwrap_or_default();
        let Some(Written { log, number, epoch, taken, bytes, total, took }) = written else { return Ok(()) };
        let status = CheckpointStatus {
            number,
            epoch,
            taken,
            total_bytes: total,
            written: Some(CheckpointWritten { bytes, took, pause }),
        };
        self.config.metrics.checkpoints.inc();
        self.config.metrics.checkpoint_bytes.inc_by(bytes);
        self.config.metrics.checkpoint_seconds.observe(took.as_secs_f64());
        self.config.metrics.checkpoint_pause_seconds.observe(pause.as_secs_f64());
        checkpoints.shown.push_back(status);
        if checkpoints.shown.len() > SHOWN {
            checkpoints.shown.pop_front();
        }
        self.log.forget(log)
    }

    /// What sinks have not written, and did not have at an epoch.
    fn sink_images(&self, above: Epoch) -> BTreeMap<ObjectId, SinkImage> {
        let image = |sink: &Arc<Sink>| {
            let (durable, items) = sink.waiting(above);
            (sink.id, SinkImage { durable, items, away: None })
        };
        self.shared.sinks.all().iter().map(image).collect()
    }

    fn image(&mut self, published: PublishedImage) -> Result<Image> {
        let PublishedImage { mut views, mut tables, source_errors, .. } = published;
        let mut image = Image {
            epoch: Epoch(self.next_epoch.0 - 1),
            settings: self.config.settings.clone(),
            catalog: self.catalog.entries.clone(),
            vector: Arc::clone(&self.vector),
            source_errors,
            archives: self.archives_of_checkpoint(),
            ..Image::default()
        };
        for (id, table) in &mut self.tables {
            let rows = store_image(&mut table.store)?;
            let history = tables.remove(id);
            image.tables.insert(*id, TableImage { rows, clock: ClockImage::of(&table.clock), history });
        }
        for (id, feed) in &self.feeds {
            let parts = feed.parts.iter().map(PartImage::of).collect();
            image.feeds.insert(*id, FeedImage { parts, decisions: feed.decisions.clone() });
        }
        for (id, view) in self.views.iter().filter(|(_, v)| v.is_running() && v.spec.subscription.is_none()) {
            if view.left {
                // It is to go, or to be paused, in a moment.
                image.away.push(AwayImage::filled_anew(*id));
                continue;
            }
            let shown = views.remove(id).ok_or_else(|| Error::internal(format!("view {id} is not published")))?;
            let (joined, shape) = (view.joined, view.spec.graph.shape());
            image.views.insert(*id, ViewImage { joined, shape, states: vec![], shown });
        }
        image.away.extend(self.away.iter().map(|(id, away)| away.image(*id)));
        image.late = self.late.iter().map(|late| (late.origin, late.rows.clone())).collect();
        Ok(image)
    }

    /// Begins with a checkpoint: everything is as it was. Then the log follows; some views need not be computed any more.
    pub(in crate::runtime) fn restore(
        &mut self,
        checkpoint: &mut Checkpoint,
        is_in_vain: impl Fn(ObjectId) -> bool,
        mut rebuild: impl FnMut(&Ddl) -> Result<Option<Spec>>,
    ) -> Result<()> {
        let mut image = checkpoint.take();
        self.next_epoch = image.epoch.next();
        self.change_settings(image.settings.clone())?;
        let mut specs: BTreeMap<ObjectId, Spec> = BTreeMap::new();
        for CatalogEntry { dropped, payload } in std::mem::take(&mut image.catalog) {
            let ddl = Ddl { epoch: image.epoch, dropped, payload: payload.to_vec() };
            let made = rebuild(&ddl)?;
            specs.retain(|id, _| !ddl.dropped.contains(id));
            if let Some(spec) = made {
                change_specs(&mut specs, spec);
            }
            self.catalog.entries.push(CatalogEntry { dropped: ddl.dropped, payload });
        }
        self.vector = Arc::clone(&image.vector);
        for view in image.views.keys().filter(|view| is_in_vain(**view)) {
            self.idle.entry(*view).or_insert(None);
        }
        // Ids ascend with creation: what is read comes before what reads it.
        let (mut anew, mut sinks) = (vec![], vec![]);
        for (id, spec) in specs {
            match spec {
                Spec::Table(spec) => self.restore_table(spec, &mut image)?,
                Spec::Source(spec) => self.restore_source(spec, &mut image)?,
                Spec::View(spec) => anew.extend(self.restore_view(id, spec, &mut image)?),
                Spec::Sink(spec) => sinks.push(*spec),
                Spec::Rename(..) | Spec::Alter(_) | Spec::Kept(_) => {}
            }
        }
        self.look_for_lost(&image.away);
        self.follow_pauses();
        let _ = self.shared.publisher.send(Publish::RestoreErrors(std::mem::take(&mut image.source_errors)));
        let _ = self.shared.publisher.send(Publish::Restored(image.epoch));
        for (origin, rows) in std::mem::take(&mut image.late) {
            if let Some(target) = self.views.get(&origin.view).and_then(|view| view.spec.late_into.clone()) {
                self.late.push_back(LateWrite { origin, target, rows });
            }
        }
        for spec in anew {
            self.install(spec, None, true)?;
        }
        self.restore_sinks(sinks, &mut image)?;
        Ok(())
    }

    fn restore_table(&mut self, spec: TableSpec, image: &mut Image) -> Result<()> {
        let (id, name) = (spec.id, spec.name.clone());
        let Some(TableImage { rows, clock, history }) = image.tables.remove(&id) else { return Err(missing(id)) };
        let connector = spec.connector.clone();
        let time = spec.watermark.as_ref().map(|w| w.column);
        let mut head = TableHead::new(spec, &self.config.memory)?;
        let key = head.store.key().map(<[usize]>::to_vec);
        head.store = restore_store(Arc::clone(&head.spec.schema), key.as_deref(), rows)?.bounded(&self.config.memory);
        clock.restore(&mut head.clock);
        let version = head.store.seal()?;
        let _ = self.shared.publisher.send(Publish::RestoreTable { id, name: name.clone(), version, history });
        self.tables.insert(id, head);
        if let Some(connector) = connector {
            self.restore_feed(Feed::for_table(id, name, connector, time), image)?;
        }
        Ok(())
    }

    fn restore_source(&mut self, spec: SourceSpec, image: &mut Image) -> Result<()> {
        self.restore_feed(Feed::for_source(spec), image)
    }

    fn restore_feed(&mut self, mut feed: Feed, image: &mut Image) -> Result<()> {
        let Some(FeedImage { parts, decisions }) = image.feeds.remove(&feed.id) else { return Err(missing(feed.id)) };
        for decided in decisions {
            feed.connector.follow_decisions(&decided)?;
            feed.decisions.push(decided);
        }
        if let Some(archive) = &feed.archive {
            archive.resume(parts.first().map_or(0, |part| part.clock.rows));
            self.watch(archive);
        }
        for part in parts {
            let mut clock = Clock::new(part.clock.partition, feed.watermark.clone());
            part.clock.restore(&mut clock);
            let mut own = Part::new(clock, None, part.position);
            (own.bad, own.ended, own.idle) = (part.bad, part.ended, part.idle);
            own.failed = part.failed.map(|(code, message)| Error::new(SqlState::named(&code), message));
            feed.parts.push(own);
        }
        self.feeds.insert(feed.id, feed);
        Ok(())
    }

    /// A view is on the clock again, or away as it was; given back when it is to be filled anew.
    fn restore_view(&mut self, id: ObjectId, spec: ViewSpec, image: &mut Image) -> Result<Option<ViewSpec>> {
        if let Some(away) = image.away.iter().find(|away| away.view == id) {
            self.away.insert(id, Away::restored(spec, away));
            return Ok(None);
        }
        let Some(ViewImage { joined, shape, states, shown }) = image.views.remove(&id) else { return Ok(Some(spec)) };
        self.note_idle(id, &spec.graph.objects());
        if self.is_idle(id) {
            self.put_back_idle(spec);
            return Ok(None);
        }
        if shape != spec.graph.shape() {
            tracing::warn!("{} is filled anew: this version of Highwater computes it in another way", spec.called());
            image.left.insert(id, LeftImage { rows: Some(shown.rows), since: image.epoch });
            return Ok(Some(spec));
        }
        let mut nodes: BTreeMap<usize, Vec<Delta>> = BTreeMap::new();
        for state in states {
            nodes.entry(state.node).or_default().push(state.delta);
        }
        let restore = Some(Arc::new(Restored { nodes, covered: true }));
        self.put_back(spec, joined, image.epoch, restore, shown);
        Ok(None)
    }
}

/// An object's creation, or another name for it.
fn change_specs(specs: &mut BTreeMap<ObjectId, Spec>, spec: Spec) {
    match spec {
        Spec::Table(own) => drop(specs.insert(own.id, Spec::Table(own))),
        Spec::Source(own) => drop(specs.insert(own.id, Spec::Source(own))),
        Spec::View(own) => drop(specs.insert(own.id, Spec::View(own))),
        Spec::Sink(own) => drop(specs.insert(own.id, Spec::Sink(own))),
        Spec::Rename(names) => {
            for (id, name) in names {
                match specs.get_mut(&id) {
                    Some(Spec::Table(own)) => own.name = name,
                    Some(Spec::Source(own)) => own.name = name,
                    Some(Spec::View(own)) => own.name = name,
                    Some(Spec::Sink(own)) => own.name = name,
                    Some(Spec::Rename(_) | Spec::Alter(_) | Spec::Kept(_)) | None => {}
                }
            }
        }
        Spec::Kept(_) => {}
        Spec::Alter(alter) => {
            let TableAlter { mut spec, dropped, .. } = alter;
            specs.retain(|id, _| !dropped.contains(id));
            let (id, now) = (spec.id, Shape::carried(&spec.schema));
            let Some(Spec::Table(before)) = specs.remove(&id) else { return };
            spec.connector = before.connector;
            let before = Shape::carried(&before.schema);
            specs.insert(id, Spec::Table(spec));
            for view in specs.values_mut() {
                if let Spec::View(view) = view {
                    view.see(id, &now);
                    if let Some(late) = view.late_into.as_mut().filter(|late| late.table == id) {
                        late.recast(&before, &now);
                    }
                }
            }
        }
    }
}

pub(super) fn store_image(store: &mut Store) -> Result<StoreImage> {
    Ok(StoreImage { next_row: store.next_row(), chunks: store.seal()?.image() })
}

fn restore_store(schema: arrow::datatypes::SchemaRef, key: Option<&[usize]>, rows: StoreImage) -> Result<Store> {
    Store::from_image(schema, key, rows.next_row, rows.chunks)
}

fn missing(object: ObjectId) -> Error {
    let message = format!("the checkpoint lacks object {object}, which its catalog names");
    Error::new(SqlState::DATA_CORRUPTED, message)
}

impl Sequencer {
    /// Takes checkpoints from now on, behind the one that was loaded.
    pub(in crate::runtime) fn keep_checkpoints(
        &mut self,
        objects: Arc<dyn Objects>,
        owner: Owner,
        loaded: Option<&Checkpoint>,
    ) -> Result<()> {
        let inbox = self.shared.inbox.clone();
        let told = move |written| drop(inbox.send(Message::Written(written)));
        let writer = Checkpointer::start(objects, owner, loaded, told)?;
        let number = loaded.map_or(0, Checkpoint::copies);
        let due = Instant::now() + self.config.settings.checkpoint_interval;
        let epoch = loaded.map_or(Epoch(0), Checkpoint::epoch);
        let shown = loaded.map(Checkpoint::status).into_iter().collect();
        self.checkpoints = Some(Checkpoints {
            writer,
            writing: None,
            due,
            asked: None,
            patience: PATIENCE,
            number,
            appended: None,
            epoch,
            partial: false,
            shown,
            left_archives: vec![],
        });
        Ok(())
    }
}
