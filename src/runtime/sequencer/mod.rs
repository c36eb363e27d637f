//! The sequencer: one thread through which everything enters, in one order.
//!
//! It holds the heads of all tables and the open epoch. A transaction is made at the heads at once and answered when its
//! epoch is closed and its record durable ([`answers`]). An epoch closes as soon as those under way leave room, so under
//! load epochs grow and without it they are single transactions.
//!
//! What needs a quiet moment (a view that joins, a drop, a restart, an exclusive writer) is a [`Barrier`]: no further input is
//! admitted, the open epoch is closed, and when all epochs are published the barrier is done.

mod alter;
mod answers;
mod catchup;
mod checkpoint;
mod epoch;
mod flush;
mod history;
mod hydrate;
mod idle;
mod image;
mod lag;
mod netting;
mod pace;
mod past;
mod pause;
mod reader;
mod reads;
mod requests;
mod restart;
mod sinks;
mod sources;
mod stop;
mod table;
mod views;
mod writes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Epoch, EventTime, ObjectId, Partition, PartitionWatermark, WatermarkVector};
use crate::error::{Error, Result, caught};
use crate::log::{Ddl, InputLog, LateOrigin, LogPosition, Record, TableChanges};

use super::claim::Claim;
use super::command::Report;
use super::digest::InputEpoch;
use super::message::{Commit, Message, Publish};
use super::shared::Shared;
use super::status::{Status, ViewStatus, WatermarkStatus};
use super::{KeptWindows, RuntimeConfig, Settings, TableAlter, TableSpec, Workers};

use answers::Answer;
use catchup::CatchUp;
use checkpoint::{Catalog, Checkpoints};
pub(super) use epoch::{InFlight, OpenEpoch};
use flush::FlushWait;
use lag::Away;
use pace::Pace;
pub(super) use pause::Idle;
use pause::Pausing;
pub(super) use reader::start_reader;
use requests::Dropping;
use sources::Feed;
pub(super) use sources::{READER, SOURCE};
use table::TableHead;
use views::ViewState;
use writes::LateWrite;

/// Something that needs all epochs published and none open.
pub(super) enum Barrier {
    /// A view joins.
    Join(ObjectId),
    /// Objects go.
    Drop(Dropping),
    /// A checkpoint is taken.
    Checkpoint,
    /// A view takes the place of the first of these, which go.
    Replace(Vec<ObjectId>, Vec<u8>, Option<KeptWindows>, Reply<Result<Epoch>>),
    /// A view begins to be filled.
    Fill(ObjectId),
    /// A table gets other columns.
    Alter(TableAlter, Reply<Result<Epoch>>),
    /// A view is to be paused.
    Pause(Pausing),
    /// Other workers take over.
    Restart(usize, Reply<Result<()>>),
    /// Somebody wants to write alone.
    Lock(Reply<Result<u64>>),
}

/// The thread's state.
pub(super) struct Sequencer {
    pub(super) config: RuntimeConfig,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Receiver<Message>,
    pub(super) workers: Option<Workers>,
    pub(super) reports: crossbeam_channel::Sender<Report>,
    pub(super) log: Box<dyn InputLog>,
    /// The newest record, and who waits for which to be durable.
    appended: LogPosition,
    answers: VecDeque<(LogPosition, Answer)>,
    /// What made the objects that there are.
    catalog: Catalog,
    /// With a data directory.
    checkpoints: Option<Checkpoints>,
    pub(super) tables: BTreeMap<ObjectId, TableHead>,
    /// Sources, and tables that a connector feeds.
    pub(super) feeds: BTreeMap<ObjectId, Feed>,
    pub(super) views: BTreeMap<ObjectId, ViewState>,
    /// At the end of the last closed epoch.
    pub(super) vector: Arc<WatermarkVector>,
    pub(super) open: OpenEpoch,
    pub(super) next_epoch: Epoch,
    /// How often views were begun to be filled.
    fills: u64,
    /// Closed, not published; oldest first.
    pub(super) in_flight: VecDeque<InFlight>,
    /// When the published epoch moved last.
    moved: Instant,
    pace: Pace,
    /// Since when there is something in the open epoch, and whether it is to close whatever epoch_interval says.
    opened: Option<Instant>,
    hurry: bool,
    /// Transactions that wait for room, for a barrier or for a lease.
    waiting: VecDeque<Commit>,
    /// Changes of the catalog that wait for room.
    requests: VecDeque<(Claim, Message)>,
    barriers: VecDeque<Barrier>,
    restart: Option<(usize, Reply<Result<()>>)>,
    lease: Option<u64>,
    leases: u64,
    /// Late rows that wait to be written back, and where written ones went.
    late: VecDeque<LateWrite>,
    late_written: Vec<(Epoch, Epoch)>,
    /// While the log is read: those that it has, and that the views have not turned away yet.
    late_logged: BTreeSet<LateOrigin>,
    catchups: BTreeMap<ObjectId, CatchUp>,
    away: BTreeMap<ObjectId, Away>,
    flushes: Vec<FlushWait>,
    marks: u64,
    /// Whether the publisher was asked who holds the clock back.
    asked: Option<(Epoch, Instant)>,
    /// How long views that left stayed away the last time.
    pauses: BTreeMap<ObjectId, Duration>,
    /// Reading the log: nothing is read of sources but what it says, and nothing is decided.
    pub(super) replaying: bool,
    /// A server starts: what cannot be read back is left out.
    pub(super) recovering: bool,
    pub(super) lost: BTreeMap<ObjectId, Error>,
    /// What the log has of the rows of a table that is altered next.
    pub(super) values: Option<TableChanges>,
    pub(super) idle: Idle,
    pub(super) inputs: Vec<InputEpoch>,
    stopping: bool,
}

impl Sequencer {
    pub(super) fn new(
        config: RuntimeConfig,
        shared: Arc<Shared>,
        inbox: Receiver<Message>,
        reports: crossbeam_channel::Sender<Report>,
        log: Box<dyn InputLog>,
    ) -> Result<Self> {
        let workers = Workers::start(config.workers, &config.memory, reports.clone())?;
        Ok(Self {
            config,
            shared,
            inbox,
            workers: Some(workers),
            reports,
            log,
            appended: LogPosition(0),
            answers: VecDeque::new(),
            catalog: Catalog::default(),
            checkpoints: None,
            tables: BTreeMap::new(),
            feeds: BTreeMap::new(),
            views: BTreeMap::new(),
            vector: Arc::default(),
            open: OpenEpoch::default(),
            next_epoch: Epoch(1),
            fills: 0,
            in_flight: VecDeque::new(),
            moved: Instant::now(),
            pace: Pace::new(),
            opened: None,
            hurry: false,
            waiting: VecDeque::new(),
            requests: VecDeque::new(),
            barriers: VecDeque::new(),
            restart: None,
            lease: None,
            leases: 0,
            late: VecDeque::new(),
            late_written: vec![],
            late_logged: BTreeSet::new(),
            catchups: BTreeMap::new(),
            away: BTreeMap::new(),
            flushes: vec![],
            marks: 0,
            asked: None,
            pauses: BTreeMap::new(),
            replaying: false,
            recovering: false,
            lost: BTreeMap::new(),
            values: None,
            idle: Idle::new(),
            inputs: vec![],
            stopping: false,
        })
    }

    /// Runs until told to stop. An error, or a panic, is a bug of ours: what the views show can't be trusted any more.
    pub(super) fn run(mut self) {
        if let Err(error) = caught(|| self.serve()) {
            (self.config.failed)(&error);
        }
    }

    fn serve(&mut self) -> Result<()> {
        while !self.stopping {
            let first = match self.patience() {
                Some(patience) => match self.inbox.recv_timeout(patience) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
                None => match self.inbox.recv() {
                    Ok(message) => Some(message),
                    Err(_) => return Ok(()),
                },
            };
            if let Some(message) = first {
                self.take(message)?;
            }
            // What came meanwhile shares the epoch; not without end, so that the epoch closes.
            for _ in 0..1024 {
                match self.inbox.try_recv() {
                    Ok(message) => self.take(message)?,
                    Err(_) => break,
                }
            }
            while self.turn()? {}
        }
        self.stop()
    }

    /// How long nothing needs to be done when no message comes; `None`: for ever.
    fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let back = self.away.values().filter_map(Away::waits_for).min();
        let clock = [self.lag_deadline(), self.drop_deadline(), self.next_idle(), self.next_close()];
        let timers = clock.into_iter().chain([back, self.next_checkpoint()]);
        let next = timers.flatten().min().map(|t| t.saturating_duration_since(now));
        if self.catchups.is_empty() {
            return next.map(|t| t.max(Duration::from_millis(1)));
        }
        // Nobody tells when workers have taken in what a catching-up view was fed.
        Some(Duration::from_millis(1))
    }

    /// One round of everything that may be possible now; true when another may achieve more.
    fn turn(&mut self) -> Result<bool> {
        self.check_lag();
        self.come_back()?;
        self.check_idle()?;
        self.check_checkpoint();
        self.catch_up()?;
        self.check_drops();
        self.admit_requests()?;
        let mut progress = self.admit()?;
        progress |= self.close_if_possible()?;
        progress |= self.pass_barrier()?;
        self.check_flushes();
        Ok(progress)
    }

    /// Whether new input must wait for a quiet moment.
    pub(super) fn is_blocked(&self) -> bool {
        !self.barriers.is_empty()
    }

    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Commit(commit) => self.waiting.push_back(commit),
            Message::Claimed(claim, change) => self.claimed(claim, *change)?,
            Message::TakenBack => self.taken_back(),
            Message::CreateTable(spec, reply) => self.create_table_for(spec, reply)?,
            Message::CreateSource(spec, reply) => {
                if let Some(reply) = self.or_full(reply) {
                    let ddl = spec.ddl.clone();
                    self.add_source(spec)?;
                    self.log_ddl(ddl, vec![])?;
                    self.open.ddl.push(reply);
                }
            }
            Message::CreateSink(spec, reply) => self.create_sink(*spec, reply)?,
            Message::CreateView(spec, reply) => self.create_view(spec, reply)?,
            Message::CreateViewAtOnce(spec, reply) => self.create_view_at_once(spec, reply)?,
            Message::CancelView(view) => self.cancel_view(view)?,
            Message::Drop(objects, ddl, reply) => self.drop_soon(Claim::default(), objects, ddl, reply),
            Message::Replace(gone, ddl, kept, reply) => {
                self.barriers.push_back(Barrier::Replace(gone, ddl, kept, reply));
            }
            Message::Rename(names, ddl, reply) => {
                if let Some(reply) = self.or_full(reply) {
                    self.log_ddl(ddl, vec![])?;
                    names.into_iter().for_each(|(object, name)| self.rename(object, name));
                    self.answer(Answer::Changed(reply));
                }
            }
            Message::Alter(alter, reply) => self.barriers.push_back(Barrier::Alter(alter, reply)),
            Message::LogDdl(ddl, reply) => {
                if let Some(reply) = self.or_full(reply) {
                    self.log_ddl(ddl, vec![])?;
                    self.open.ddl.push(reply);
                }
            }
            Message::LockWrites(reply) => self.barriers.push_back(Barrier::Lock(reply)),
            Message::Unlock(lease) => self.unlock(lease),
            Message::Flush(reply) => self.flush(reply),
            Message::Advance(source, to, reply) => self.advance(source, to, reply)?,
            Message::AlterSystem(settings, reply) => {
                if let Some(reply) = self.or_full(reply) {
                    self.change_settings(settings)?;
                    self.answer(Answer::Changed(reply));
                }
            }
            Message::Pause(view, reason, reply) => self.pause_for(Claim::default(), view, reason, reply),
            Message::Resume(view, reply) => self.resume_for(view, reply)?,
            Message::Status(reply) => drop(self.shared.publisher.send(Publish::Status(self.status(), reply))),
            Message::Restart(workers, reply) => self.restart = Some((workers, reply)),
            Message::LogBytes(reply) => drop(reply.send(self.log.read_from(Epoch(0)))),
            Message::Inputs(reply) => drop(reply.send(Ok(self.inputs.clone()))),
            Message::Shutdown => self.stopping = true,
            Message::Recover(recover, reply) => {
                let recovered = recover(self);
                self.stopping = recovered.is_err();
                let _ = reply.send(recovered);
            }
            Message::Ingest => {}
            Message::Hurry => self.hurry = true,
            Message::Published(epoch) => self.published(epoch)?,
            Message::Log(news) => self.log_news(news)?,
            Message::Written(written) => self.checkpoint_written(written)?,
            Message::Late { view, epoch, rows } => self.late_rows(view, epoch, rows),
            Message::LeftToGo(views, missed) => self.left_to_go(&views, missed)?,
            Message::Blockers(epoch, views) => self.leave_clock(epoch, &views)?,
        }
        Ok(())
    }

    /// Refuses what the log has no room for.
    fn or_full<T>(&self, reply: Reply<Result<T>>) -> Option<Reply<Result<T>>> {
        match self.check_disk() {
            Ok(()) => Some(reply),
            Err(error) => {
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// ALTER SYSTEM.
    pub(super) fn change_settings(&mut self, settings: Settings) -> Result<()> {
        let payload = serde_json::to_vec(&settings).map_err(|e| Error::internal(e.to_string()))?;
        self.append(&Record::Settings { epoch: self.next_epoch, payload })?;
        self.config.settings = settings.clone();
        *self.shared.settings.write() = settings.clone();
        self.checkpoint_soon(settings.checkpoint_interval);
        let _ = self.shared.publisher.send(Publish::Settings(settings));
        Ok(())
    }

    fn create_table_for(&mut self, spec: TableSpec, reply: Reply<Result<Epoch>>) -> Result<()> {
        let ddl = spec.ddl.clone();
        match self.check_disk().and_then(|()| self.add_table(spec)) {
            Ok(()) => {
                self.log_ddl(ddl, vec![])?;
                self.open.ddl.push(reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
        Ok(())
    }

    /// A table with its feed, if it has one; it is there from the open epoch on.
    pub(super) fn add_table(&mut self, spec: TableSpec) -> Result<()> {
        let id = spec.id;
        let name = spec.name.clone();
        let connector = spec.connector.clone();
        let watermark = spec.watermark.clone();
        let time = watermark.as_ref().map(|w| w.column);
        let head = TableHead::new(spec, &self.config.memory)?;
        if watermark.is_some() {
            let entry = PartitionWatermark { watermark: EventTime::MIN, idle: false };
            Arc::make_mut(&mut self.vector).0.insert(head.clock.partition, entry);
        }
        self.tables.insert(id, head);
        self.open.changed_tables.insert(id);
        let _ = self.shared.publisher.send(Publish::AddTable { id, name: name.clone() });
        if let Some(connector) = connector {
            self.feeds.insert(id, Feed::for_table(id, name, connector, time));
            if !self.replaying {
                self.open_feed(id)?;
            }
        }
        Ok(())
    }

    /// Puts a catalog change into the log.
    pub(super) fn log_ddl(&mut self, payload: Vec<u8>, dropped: Vec<ObjectId>) -> Result<()> {
        if self.checkpoints.is_some() {
            self.catalog.push(&dropped, &payload);
        }
        self.append(&Record::Ddl(Ddl { epoch: self.next_epoch, dropped, payload }))
    }

    /// Does the first barrier when it is its turn.
    fn pass_barrier(&mut self) -> Result<bool> {
        if self.catchups.is_empty()
            && let Some((workers, reply)) = self.restart.take()
        {
            self.barriers.push_back(Barrier::Restart(workers, reply));
        }
        let quiet = self.in_flight.is_empty() && self.open.is_empty() && self.lease.is_none();
        if !quiet {
            return Ok(false);
        }
        let Some(barrier) = self.barriers.pop_front() else { return Ok(false) };
        match barrier {
            Barrier::Join(view) => self.join_view(view)?,
            Barrier::Drop(Dropping { claim, objects, ddl, reply, .. }) => {
                if claim.admit() {
                    let epoch = self.drop_objects(&objects, ddl)?;
                    self.answer(Answer::Dropped(reply, epoch));
                }
            }
            Barrier::Checkpoint => return self.take_checkpoint(),
            Barrier::Replace(gone, ddl, kept, reply) => self.replace_view(&gone, ddl, kept, reply)?,
            Barrier::Fill(view) => self.fill_now(view)?,
            Barrier::Alter(alter, reply) => self.alter_for(alter, reply)?,
            Barrier::Pause(pausing) => self.pass_pause(pausing)?,
            Barrier::Restart(workers, reply) => {
                let restarted = self.restart_workers(workers);
                let _ = reply.send(restarted);
            }
            Barrier::Lock(reply) => {
                self.leases += 1;
                let lease = self.leases;
                self.lease = reply.send(Ok(lease)).is_ok().then_some(lease);
            }
        }
        Ok(true)
    }

    fn unlock(&mut self, lease: u64) {
        if self.lease == Some(lease) {
            self.lease = None;
        }
    }

    /// Everything but what the publisher knows.
    fn status(&self) -> Status {
        let mut status = Status { epoch: self.shared.published().epoch, ..Status::default() };
        let now = chrono::Utc::now().timestamp_micros();
        let lag = |w: EventTime| (w != EventTime::MIN && w != EventTime::MAX).then(|| (now - w.0) / 1000);
        let entry = |p: &Partition| self.vector.0.get(p).copied();
        for (id, table) in self.tables.iter().filter(|(_, t)| t.clock.spec().is_some()) {
            let Some(w) = entry(&table.clock.partition) else { continue };
            status.watermarks.push(WatermarkStatus {
                id: *id,
                source: table.spec.name.clone(),
                partition: 0,
                watermark: w.watermark,
                lag_ms: lag(w.watermark),
                idle: w.idle,
                rows: table.clock.rows,
                late: table.clock.late,
                held_by: Some(format!("{}/0", table.spec.name)),
            });
        }
        for feed in self.feeds.values() {
            feed.status(&self.vector, lag, &mut status);
        }
        for (id, view) in self.views.iter().filter(|(_, v)| !v.is_running()) {
            status.views.push(ViewStatus { progress: Some(self.progress(*id)), ..view.status() });
        }
        status.views.extend(self.away.values().map(|away| away.status(self.reason(&away.why))));
        status.checkpoints = self.checkpoints.as_ref().map_or_else(Vec::new, Checkpoints::taken);
        status
    }
}

#[cfg(test)]
mod tests;
