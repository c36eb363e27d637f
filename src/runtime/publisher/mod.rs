//! The publisher: one thread that puts together what the workers report, and publishes it epoch by epoch.
//!
//! An epoch is published when all views that it concerns have completed it, and all epochs before it are. Then all views
//! and tables change at once: a [`Published`] takes the place of the one before, which its readers keep.

mod checkpoint;
mod errors;
mod expiry;
mod history;
mod keep;
mod late;
mod leave;
mod past;
mod sinks;
mod status;
mod view;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState, caught};
use crate::metrics::{add, forget, set};

use super::command::Report;
use super::digest::Digest;
use super::message::{EpochInfo, Message, NewView, Publish, shut_down};
use super::shared::{Entry, Paused, Published, Shared};
use super::worker::abort;
use super::{EpochStatus, Missing, RuntimeConfig, SubscribeSpec, Subscription};

pub(super) use errors::stamp;

use errors::Errors;
use history::History;
use view::View;

/// Epochs that `highwater.epochs` shows.
const EPOCHS_SHOWN: usize = 1000;

/// Starts the thread; it ends on [`Publish::Shutdown`].
pub(super) fn start(
    shared: Arc<Shared>,
    config: &RuntimeConfig,
    messages: Receiver<Publish>,
    reports: Receiver<Report>,
) -> Result<JoinHandle<()>> {
    let publisher = Publisher {
        shared,
        config: config.clone(),
        messages,
        reports,
        views: BTreeMap::new(),
        filling: BTreeMap::new(),
        tables: BTreeMap::new(),
        objects: HashMap::new(),
        published: Epoch(0),
        durable: None,
        waiting: VecDeque::new(),
        recent: VecDeque::new(),
        source_errors: BTreeMap::new(),
        missing: Arc::default(),
        subscribing: vec![],
        digests: vec![],
        stranded: Arc::default(),
        taps: BTreeMap::new(),
        paused: Arc::default(),
        stopping: false,
    };
    Ok(std::thread::Builder::new().name("publisher".into()).spawn(move || publisher.run())?)
}

/// A table: the sequencer has its rows.
struct Table {
    name: Arc<str>,
    /// None before its first epoch is published.
    history: Option<History>,
}

/// The thread's state.
struct Publisher {
    shared: Arc<Shared>,
    config: RuntimeConfig,
    messages: Receiver<Publish>,
    reports: Receiver<Report>,
    views: BTreeMap<ObjectId, View>,
    /// Views that have not joined yet.
    filling: BTreeMap<ObjectId, View>,
    tables: BTreeMap<ObjectId, Table>,
    /// As published last.
    objects: HashMap<ObjectId, Entry>,
    published: Epoch,
    /// Only epochs up to this one are shown: their records are durable.
    durable: Option<Epoch>,
    /// Closed, not published; oldest first.
    waiting: VecDeque<EpochInfo>,
    /// The newest published ones, oldest first.
    recent: VecDeque<EpochStatus>,
    /// Records that could not be read, by source.
    source_errors: BTreeMap<ObjectId, (Arc<str>, Errors)>,
    missing: Arc<HashMap<ObjectId, Missing>>,
    /// Subscriptions that begin at an epoch that is not published yet.
    subscribing: Vec<(Epoch, SubscribeSpec, Reply<Result<Subscription>>)>,
    digests: Vec<Digest>,
    stranded: Arc<HashMap<ObjectId, Arc<str>>>,
    taps: BTreeMap<ObjectId, sinks::Tap>,
    paused: Arc<HashMap<ObjectId, Paused>>,
    stopping: bool,
}

impl Publisher {
    /// Runs until told to stop. An error, or a panic, is a bug of ours: what is published can't be trusted any more.
    fn run(mut self) {
        if let Err(error) = caught(|| self.serve()) {
            abort("the publisher failed", &error);
        }
        self.shared.end();
        self.shared.sinks.stop();
    }

    fn serve(&mut self) -> Result<()> {
        while !self.stopping {
            self.receive()?;
            while let Ok(report) = self.reports.try_recv() {
                self.report(report)?;
            }
            self.messages()?;
            self.publish_complete()?;
        }
        Ok(())
    }

    /// Waits for something and takes it.
    fn receive(&mut self) -> Result<()> {
        // Nothing changes as time passes when no history is kept, nobody is waited for, and there is room.
        let ticks = !self.waiting.is_empty()
            || self.histories().any(|h| h.oldest().is_some())
            || self.config.memory.limit().is_some();
        let messages = self.messages.clone();
        let reports = self.reports.clone();
        let timeout = if ticks { crossbeam_channel::after(Duration::from_secs(1)) } else { crossbeam_channel::never() };
        select! {
            recv(messages) -> message => match message {
                Ok(message) => self.message(message),
                Err(_) => {
                    self.stopping = true;
                    Ok(())
                }
            },
            recv(reports) -> report => match report {
                Ok(report) => self.report(report),
                Err(_) => Ok(()),
            },
            recv(timeout) -> _ => {
                self.forget();
                self.relieve();
                self.show_lag();
                Ok(())
            }
        }
    }

    fn messages(&mut self) -> Result<()> {
        while let Ok(message) = self.messages.try_recv() {
            self.message(message)?;
        }
        Ok(())
    }

    fn message(&mut self, message: Publish) -> Result<()> {
        match message {
            Publish::Epoch(info) => self.waiting.push_back(info),
            Publish::AddView(new) => self.add_view(new)?,
            Publish::Fill(new, fill) => {
                drop(self.filling.insert(new.id, View::filled(new, fill, &self.config.memory)?))
            }
            Publish::NotFilled(view) => drop(self.filling.remove(&view)),
            Publish::AddTable { id, name } => drop(self.tables.insert(id, Table { name: name.into(), history: None })),
            Publish::AddSink { sink, input, from } => self.add_sink(sink, input, from),
            Publish::RestoreLeft(sink, rows, since) => self.restore_left(sink, rows, since),
            Publish::ReadAnew(source) => self.forget_errors(source),
            Publish::WentOn(source) => self.forget_failure(source),
            Publish::Remove(objects) => self.remove(&objects),
            Publish::Stranded(views) => self.strand(views),
            Publish::Altered(id) => self.tables.get_mut(&id).into_iter().for_each(|table| table.history = None),
            Publish::End(id, error) => self.views.get_mut(&id).into_iter().for_each(|v| v.end_subscriptions(&error)),
            Publish::Keep(kept, rows, reply) => drop(reply.send(self.keep(&kept, rows))),
            Publish::Leave(views, how) => self.leave(&views, how)?,
            Publish::LeaveToGo(views, how) => self.leave_to_go(views, how)?,
            Publish::Answer(reply) => drop(reply.send(Ok(()))),
            Publish::Paused(views) => {
                self.paused = Arc::new(views);
                self.show();
            }
            Publish::Rename(object, name) => self.rename(object, &name),
            Publish::Settings(settings) => {
                self.config.settings = settings;
                self.forget();
            }
            Publish::Durable(epoch) => self.durable = Some(epoch),
            Publish::Blockers(epoch) => {
                let _ = self.shared.inbox.send(Message::Blockers(epoch, self.blockers(epoch)));
            }
            Publish::Subscribe(spec, reply) => {
                let from = spec.as_of.unwrap_or_else(|| self.shared.acknowledged());
                self.subscribing.push((from, spec, reply));
                self.subscribe();
            }
            Publish::Past(wanted, reply) => drop(reply.send(self.past(&wanted))),
            Publish::Backwards(objects, as_of, reply) => drop(reply.send(self.backwards(&objects, as_of))),
            Publish::Status(status, reply) => drop(reply.send(Ok(self.status(status)))),
            Publish::LateRows(view, reply) => {
                let wanted = self.views.values().filter(|v| view.is_none_or(|id| v.id == id));
                let _ = reply.send(Ok(wanted.flat_map(|v| v.late.rows(v.id, &v.name)).collect()));
            }
            Publish::Errors(reply) => {
                let views = self.views.values().flat_map(|v| v.errors.rows(v.id, &v.name));
                let sources = self.source_errors.iter().flat_map(|(id, (name, errors))| errors.rows(*id, name));
                let mut rows: Vec<_> = views.chain(sources).collect();
                rows.sort_by_key(|row| row.epoch);
                let _ = reply.send(Ok(rows));
            }
            Publish::Digests(reply) => drop(reply.send(Ok(self.digests.clone()))),
            Publish::Capture(since, reply) => drop(reply.send(self.capture(since))),
            Publish::RestoreView(new, shown) => self.restore_view(new, *shown)?,
            Publish::RestoreTable { id, name, version, history } => self.restore_table(id, &name, version, history),
            Publish::RestoreErrors(errors) => self.restore_errors(errors),
            Publish::Restored(epoch) => {
                self.published = epoch;
                self.show();
            }
            Publish::Recovered(reply) => drop(reply.send(())),
            Publish::Restart(reply) => drop(reply.send(self.restart())),
            Publish::Shutdown => self.shut_down(),
        }
        Ok(())
    }

    fn report(&mut self, report: Report) -> Result<()> {
        // What the sequencer said of the epoch, or of the view, it said before the workers could report.
        self.messages()?;
        match report {
            Report::Output { view, epoch, output, .. } => {
                if let Some(view) = self.running(view, epoch) {
                    view.output(epoch, output);
                }
            }
            Report::Filled { view, fill, rows } => {
                let digests = self.config.record_digests;
                let views = [self.filling.get_mut(&view), self.views.get_mut(&view)];
                if let Some(view) = views.into_iter().flatten().find(|view| view.fill == Some(fill)) {
                    view.fill(rows, digests)?;
                }
            }
            Report::Complete { view, epoch } => {
                if let Some(view) = self.running(view, epoch) {
                    view.complete(epoch);
                }
            }
            Report::Operators { view, worker, nodes } => {
                if let Some(view) = self.views.get_mut(&view) {
                    view.operators.insert(worker, nodes);
                }
            }
        }
        Ok(())
    }

    /// A view that still reports epochs: not one that was dropped, left, or restored (whose join was published before).
    fn running(&mut self, view: ObjectId, epoch: Epoch) -> Option<&mut View> {
        let published = self.published;
        self.views.get_mut(&view).filter(|v| v.left.is_none() && (epoch > published || v.past.is_some()))
    }

    fn add_view(&mut self, new: NewView) -> Result<()> {
        let view = match self.filling.remove(&new.id) {
            Some(filled) => filled.added(new),
            None => View::new(new, &self.config.memory)?,
        };
        self.objects.remove(&view.id);
        self.views.insert(view.id, view);
        Ok(())
    }

    fn remove(&mut self, objects: &[ObjectId]) {
        for id in objects {
            self.filling.remove(id);
            if let Some(mut view) = self.views.remove(id) {
                let error =
                    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("{} was dropped", view.called()));
                view.end_subscriptions(&error);
                for gauges in
                    [&self.config.metrics.lag_ms, &self.config.metrics.view_rows, &self.config.metrics.view_bytes]
                {
                    forget(gauges, "view", &view.name);
                }
            }
            self.tables.remove(id);
            self.taps.remove(id);
            self.objects.remove(id);
            self.forget_errors(*id);
        }
        self.show();
    }

    /// Publishes all epochs that can be.
    fn publish_complete(&mut self) -> Result<()> {
        while let Some(info) = self.waiting.pop_front() {
            let complete = |id: &ObjectId| self.views.get(id).is_none_or(|v| v.is_complete(info.epoch));
            let is_durable = self.durable.is_none_or(|durable| info.epoch <= durable);
            if !is_durable || !info.views.iter().all(complete) {
                self.waiting.push_front(info);
                break;
            }
            self.publish(info)?;
        }
        Ok(())
    }

    fn publish(&mut self, info: EpochInfo) -> Result<()> {
        let EpochInfo { epoch, views, tables, errors, rows, bytes, transactions, closed, closed_at, watermarks } = info;
        let now = Instant::now();
        let latency = now.saturating_duration_since(closed);
        self.begin_sinks(epoch);
        let mut changed = HashMap::new();
        let mut late = Vec::new();
        for id in views {
            let Some(view) = self.views.get_mut(&id).filter(|v| v.left.is_none()) else { continue };
            let epochal = view.publish(epoch, now, &watermarks, &self.config)?;
            if !epochal.changes.is_empty() {
                view.freshness = latency;
            }
            if !epochal.digest.is_empty() {
                self.digests.push(epochal.digest);
            }
            if !epochal.late.is_empty() {
                late.push((id, epochal.late));
            }
            let standing = u64::try_from(view.errors.standing).unwrap_or(0);
            self.objects.insert(id, Entry { version: epochal.version, errors: standing, left: None });
            self.count(id, &epochal.counted);
            changed.insert(id, epochal.changes);
        }
        for (id, (version, changes)) in tables {
            let Some(table) = self.tables.get_mut(&id) else { continue };
            History::add(&mut table.history, epoch, now, changes.clone());
            changed.insert(id, changes);
            self.objects.insert(id, Entry { version, errors: 0, left: None });
        }
        let mut wrong: BTreeMap<ObjectId, Digest> = BTreeMap::new();
        for (id, name, error) in errors {
            if self.config.record_digests {
                wrong.entry(id).or_insert_with(|| Digest::new(id, epoch)).add_error(&error);
            }
            errors::miss(Arc::make_mut(&mut self.missing).entry(id).or_default(), &error);
            let (_, book) = self.source_errors.entry(id).or_insert_with(|| (name.into(), Errors::default()));
            book.add(epoch, vec![error], self.config.limits.errors_kept);
        }
        self.digests.extend(wrong.into_values());
        self.published = epoch;
        self.feed_sinks(epoch, &changed);
        self.forget();
        self.show();
        self.tell(epoch, &changed)?;
        for (view, rows) in late {
            let _ = self.shared.inbox.send(Message::Late { view, epoch, rows });
        }
        let _ = self.shared.inbox.send(Message::Published(epoch));
        let metrics = &self.config.metrics;
        metrics.epochs.inc();
        metrics.epoch.set(epoch.0.cast_signed());
        metrics.epoch_seconds.observe(latency.as_secs_f64());
        self.recent.push_back(EpochStatus {
            epoch,
            rows: rows as u64,
            bytes: bytes as u64,
            transactions: transactions as u64,
            closed: closed_at,
            latency_ms: Some(latency.as_secs_f64() * 1000.0),
        });
        if self.recent.len() > EPOCHS_SHOWN {
            self.recent.pop_front();
        }
        self.relieve();
        self.subscribe();
        Ok(())
    }

    /// Counts what a view did for `/metrics`.
    fn count(&mut self, view: ObjectId, counted: &crate::operators::Counters) {
        let Some(view) = self.views.get_mut(&view) else { return };
        let metrics = &self.config.metrics;
        for (counters, n) in [
            (&metrics.late_accepted, counted.late_accepted),
            (&metrics.late_rejected, counted.late_rejected),
            (&metrics.failed_rows, counted.failed_rows),
            (&metrics.expired_rows, counted.expired_rows),
        ] {
            if n > 0 {
                add(counters, "view", &view.name, n);
            }
        }
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        set(&metrics.view_rows, "view", &view.name, gauge(view.store.rows()));
        set(&metrics.view_bytes, "view", &view.name, gauge(view.store.bytes()));
        if std::mem::take(&mut view.shows_lag) {
            set(&metrics.lag_ms, "view", &view.name, 0);
        }
    }

    /// Makes the present objects what readers see.
    fn show(&mut self) {
        for view in self.views.values() {
            if let (Some(since), Some(entry)) = (view.left, self.objects.get_mut(&view.id)) {
                entry.left = Some(since.elapsed());
            }
        }
        let (objects, missing) = (Arc::new(self.objects.clone()), Arc::clone(&self.missing));
        let (stranded, paused) = (Arc::clone(&self.stranded), Arc::clone(&self.paused));
        self.shared.publish(Published { epoch: self.published, objects, missing, stranded, paused });
    }

    /// Tells all subscribers of an epoch.
    fn tell(&mut self, epoch: Epoch, changed: &HashMap<ObjectId, Vec<crate::data::Changes>>) -> Result<()> {
        for view in self.views.values_mut().filter(|v| !v.subscribers.is_empty()) {
            let changes = changed.get(&view.id).map_or(&[][..], Vec::as_slice);
            view.tell(epoch, changes)?;
        }
        Ok(())
    }

    /// Begins the subscriptions whose epoch is published.
    fn subscribe(&mut self) {
        let waiting = std::mem::take(&mut self.subscribing);
        for (from, spec, reply) in waiting {
            if reply.is_closed() {
                continue;
            }
            if from > self.published {
                self.subscribing.push((from, spec, reply));
                continue;
            }
            let view = self.views.get_mut(&spec.view);
            let called = view.as_ref().map_or_else(String::new, |v| v.called());
            let readable = self.shared.published().version(spec.view, &called);
            let answer = match (readable, view) {
                (Ok(_), Some(view)) => {
                    view.subscribe(&spec, self.published, &self.config.metrics.subscriptions, &self.shared.unread)
                }
                (Err(error), _) => Err(error),
                (Ok(_), None) => Err(Error::unsupported(
                    "SUBSCRIBE to a table",
                    "Create a materialized view on it and subscribe to that.",
                )),
            };
            let _ = reply.send(answer);
        }
    }

    /// Forgets history that is too old or too much.
    fn forget(&mut self) {
        let oldest = Instant::now().checked_sub(self.config.settings.history);
        let mut bytes: usize = 0;
        for history in self.histories() {
            if let Some(oldest) = oldest {
                history.forget_before(oldest);
            }
            bytes += history.bytes;
        }
        while bytes > self.config.limits.history_bytes {
            let histories = self.histories().filter(|h| h.oldest().is_some());
            let Some(oldest) = histories.min_by_key(|h| h.oldest()) else { break };
            bytes -= oldest.bytes;
            oldest.forget_oldest();
            bytes += oldest.bytes;
        }
        self.shared.held.history.store(bytes, Ordering::Relaxed);
    }

    fn shut_down(&mut self) {
        self.stopping = true;
        for view in self.views.values_mut() {
            view.end_subscriptions(&shut_down());
        }
        for (_, _, reply) in self.subscribing.drain(..) {
            let _ = reply.send(Err(shut_down()));
        }
    }
}
