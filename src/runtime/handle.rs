//! [`Runtime`]: the handle that sessions hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::RecordBatch;
use crossbeam_channel::unbounded;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::data::{Epoch, EventTime, ObjectId, batch_bytes};
use crate::error::{Error, Result, SqlState};
use crate::log::{Ddl, LogFiles, MemoryLog};
use crate::sink::Sinks;
use crate::store::Version;

use super::claim::{Asked, Requests};
use super::digest::{Digest, InputEpoch};
use super::kept::KeptWindows;
use super::lookout::Ahead;
use super::message::{Commit, Message, Publish, shut_down};
use super::recover::Kept;
use super::sequencer::Sequencer;
use super::shared::{Published, Shared};
use super::{
    Committed, ErrorRow, LateRow, Missing, ReadMode, RuntimeConfig, Settings, SinkSpec, SourceSpec, Spec, Status,
    SubscribeSpec, Subscription, TableAlter, TableSpec, TableWrite, Target, ViewSpec, publisher, recover, replay,
};

/// A running Highwater below SQL. Cheap to clone; lives until [`Runtime::shutdown`] or the last handle is dropped.
#[derive(Clone)]
pub struct Runtime {
    pub(super) inner: Arc<Inner>,
    requests: Option<Requests>,
}

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    max_transaction: usize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The threads end by themselves; nobody waits for them.
        let _ = self.shared.inbox.send(Message::Shutdown);
    }
}

/// One published epoch: what a SELECT reads. Holding it holds the rows.
#[derive(Clone)]
pub struct Snapshot {
    /// The epoch.
    pub epoch: Epoch,
    published: Published,
}

impl Snapshot {
    /// The rows of a table or materialized view.
    ///
    /// Errors: `55000` the view has not joined the clock, or has left it (with its lag); `name` is the object's.
    pub fn version(&self, object: ObjectId, name: &str) -> Result<Version> {
        self.published.version(object, &format!("materialized view \"{name}\""))
    }

    /// Sources, and tables with a connector, of which something is missing at this epoch: empty when all is well.
    pub fn missing(&self) -> &HashMap<ObjectId, Missing> {
        &self.published.missing
    }

    /// Errors standing in a view at this epoch (a SELECT raises a WARNING when there are some).
    pub fn standing_errors(&self, view: ObjectId) -> u64 {
        self.published.objects.get(&view).map_or(0, |entry| entry.errors)
    }
}

/// The exclusive right to write tables: what a statement takes that lost its race three times. Others' writes wait
/// until it is dropped or committed.
pub struct WriteLease {
    runtime: Runtime,
    lease: u64,
}

impl Drop for WriteLease {
    fn drop(&mut self) {
        let _ = self.runtime.inner.shared.inbox.send(Message::Unlock(self.lease));
    }
}

/// Undoes a CREATE MATERIALIZED VIEW whose future is dropped.
struct CancelView {
    shared: Arc<Shared>,
    view: Option<ObjectId>,
}

impl Drop for CancelView {
    fn drop(&mut self) {
        if let Some(view) = self.view {
            let _ = self.shared.inbox.send(Message::CancelView(view));
        }
    }
}

/// Whether an error says that target rows have changed since they were read: read again and retry (40001 in a
/// transaction block).
pub fn is_conflict(error: &Error) -> bool {
    error.code() == SqlState::SERIALIZATION_FAILURE && !is_altered(error)
}

const ALTERED: &str = "could not serialize access due to concurrent ALTER TABLE";

/// A table has other columns than a statement was bound to.
pub fn altered() -> Error {
    Error::new(SqlState::SERIALIZATION_FAILURE, ALTERED).with_hint("Run the transaction again.")
}

/// Whether an error is [`altered`]: bind again and retry.
pub fn is_altered(error: &Error) -> bool {
    error.message() == ALTERED
}

impl Runtime {
    /// Starts the threads.
    pub fn start(config: RuntimeConfig) -> Result<Self> {
        Self::start_with(config, |_| Ok(()))
    }

    /// A handle whose requests (writes, and changes of the catalog and of settings) can be taken back until they are begun.
    pub fn with(&self, requests: Requests) -> Self {
        Self { requests: Some(requests), ..self.clone() }
    }

    /// Starts the threads and reads a log's bytes back: the same epochs, and per epoch the same changes, late rows and
    /// errors, whatever the number of workers. `rebuild` is told of every catalog change
    /// and makes the object that it creates (`None`: nothing that the runtime knows). Blocks until everything is published.
    ///
    /// Errors: `XX000` the log is damaged, `58030` a source is not what it was.
    pub fn replay(
        config: RuntimeConfig,
        log: &[u8],
        rebuild: impl FnMut(&Ddl) -> Result<Option<Spec>>,
    ) -> Result<Self> {
        Self::start_with(config, |sequencer| replay::run(sequencer, log, Ahead::of(log)?, rebuild).map(drop))
    }

    /// Goes on where a log ends that follows the newest checkpoint, before anything else is asked of this runtime: reads it back, then appends to it; from
    /// then on an epoch is shown, and a write acknowledged, when its record is durable. Blocks until everything that the
    /// log has is published.
    ///
    /// The views in `poisoned` are not computed any more: they are paused, for the reason given.
    ///
    /// Errors: as [`Self::replay`], `XX001` the log is damaged. The threads have ended then.
    pub fn recover(
        &self,
        log: LogFiles,
        kept: Option<Kept>,
        poisoned: Vec<(ObjectId, String)>,
        rebuild: impl FnMut(&Ddl) -> Result<Option<Spec>> + Send + 'static,
    ) -> Result<()> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        let recover = Box::new(move |sequencer: &mut Sequencer| recover::run(sequencer, log, kept, poisoned, rebuild));
        self.inner.shared.inbox.send(Message::Recover(recover, reply)).map_err(|_| shut_down())?;
        answer.recv().map_err(|_| shut_down())?
    }

    fn start_with(config: RuntimeConfig, prepare: impl FnOnce(&mut Sequencer) -> Result<()>) -> Result<Self> {
        let (inbox, messages) = unbounded();
        let (publisher, infos) = unbounded();
        let (reports, reported) = unbounded();
        let shared = Arc::new(Shared::new(inbox, publisher, &config));
        let max_transaction = config.limits.max_transaction;
        let publishing = publisher::start(Arc::clone(&shared), &config, infos, reported)?;
        let log = Box::new(MemoryLog::new(config.keep_log));
        let mut sequencer = Sequencer::new(config, Arc::clone(&shared), messages, reports, log)?;
        let prepared = prepare(&mut sequencer);
        if prepared.is_err() {
            let _ = shared.publisher.send(Publish::Shutdown);
        }
        prepared?;
        let ending = Arc::clone(&shared);
        let sequencing = std::thread::Builder::new().name("sequencer".into()).spawn(move || {
            sequencer.run();
            let _ = ending.publisher.send(Publish::Shutdown);
        })?;
        let threads = Mutex::new(vec![sequencing, publishing]);
        Ok(Self { inner: Arc::new(Inner { shared, threads, max_transaction }), requests: None })
    }

    /// Ends all threads and waits for them; pending requests fail with 57P01.
    pub async fn shutdown(&self) {
        let _ = self.inner.shared.inbox.send(Message::Shutdown);
        let threads = std::mem::take(&mut *self.inner.threads.lock());
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the runtime panicked");
                }
            }
        });
        let _ = joined.await;
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<Result<T>>) -> Message) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.inbox.send(message(reply)).map_err(|_| shut_down())?;
        answer.await.map_err(|_| shut_down())?
    }

    /// Asks for a change.
    async fn request<T>(&self, message: impl FnOnce(oneshot::Sender<Result<T>>) -> Message) -> Result<T> {
        let asked = Asked::new(self.requests.as_ref(), &self.inner.shared.inbox);
        self.ask(|reply| Message::Claimed(asked.claim.clone(), Box::new(message(reply)))).await
    }

    async fn ask_publisher<T>(&self, message: impl FnOnce(oneshot::Sender<Result<T>>) -> Publish) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.publisher.send(message(reply)).map_err(|_| shut_down())?;
        answer.await.map_err(|_| shut_down())?
    }

    /// CREATE TABLE. Returns once it is in the log, with the epoch at which it is there.
    pub async fn create_table(&self, spec: TableSpec) -> Result<Epoch> {
        self.request(|reply| Message::CreateTable(spec, reply)).await
    }

    /// CREATE SOURCE.
    pub async fn create_source(&self, spec: SourceSpec) -> Result<Epoch> {
        self.request(|reply| Message::CreateSource(spec, reply)).await
    }

    /// CREATE SINK. Returns once it is in the log, with the epoch at which it begins.
    ///
    /// Errors: `55000` the view is not on the clock.
    pub async fn create_sink(&self, spec: SinkSpec) -> Result<Epoch> {
        self.request(|reply| Message::CreateSink(Box::new(spec), reply)).await
    }

    /// The running sinks, and up to where they are durable.
    pub fn sinks(&self) -> &Sinks {
        &self.inner.shared.sinks
    }

    /// CREATE MATERIALIZED VIEW: returns when the view has joined the clock, with its first epoch, published. Dropping
    /// the future undoes it.
    pub async fn create_view(&self, spec: ViewSpec) -> Result<Epoch> {
        let mut cancel = CancelView { shared: Arc::clone(&self.inner.shared), view: Some(spec.id) };
        let joined = self.ask(|reply| Message::CreateView(spec, reply)).await;
        cancel.view = None;
        joined
    }

    /// The same, but returns when the view is in the log: it then joins by itself, and what keeps it from joining is tried
    /// again. Dropping the future undoes it too.
    pub async fn create_view_at_once(&self, spec: ViewSpec) -> Result<Epoch> {
        let mut cancel = CancelView { shared: Arc::clone(&self.inner.shared), view: Some(spec.id) };
        let logged = self.request(|reply| Message::CreateViewAtOnce(spec, reply)).await;
        cancel.view = None;
        logged
    }

    /// DROP: all of them at one epoch. What reads them must be among them. `ddl` is kept in the log.
    pub async fn drop_objects(&self, objects: Vec<ObjectId>, ddl: Vec<u8>) -> Result<Epoch> {
        self.request(|reply| Message::Drop(objects, ddl, reply)).await
    }

    /// Another view takes the place of the first of these: they go, at an epoch that both have, and those who subscribe
    /// to them are told so. It may keep some of its rows.
    pub async fn replace_view(&self, objects: Vec<ObjectId>, ddl: Vec<u8>, kept: Option<KeptWindows>) -> Result<Epoch> {
        self.ask(|reply| Message::Replace(objects, ddl, kept, reply)).await
    }

    /// ALTER .. RENAME, ALTER .. SWAP WITH: kept in the log.
    pub async fn rename(&self, names: Vec<(ObjectId, String)>, ddl: Vec<u8>) -> Result<()> {
        self.request(|reply| Message::Rename(names, ddl, reply)).await
    }

    /// ALTER TABLE: returns the epoch from which on the table is so, published.
    ///
    /// Errors: `23502` rows have NULL where they may not.
    pub async fn alter_table(&self, alter: TableAlter) -> Result<Epoch> {
        let epoch = self.ask(|reply| Message::Alter(alter, reply)).await?;
        self.wait_published(epoch).await?;
        Ok(epoch)
    }

    /// ALTER MATERIALIZED VIEW .. PAUSE: it leaves the clock, and those that read it with it.
    ///
    /// Errors: `55000` it is paused already, or being created; `0A000` it reads a source that cannot be read again.
    pub async fn pause(&self, view: ObjectId, reason: String) -> Result<()> {
        self.request(|reply| Message::Pause(view, reason, reply)).await
    }

    /// ALTER MATERIALIZED VIEW .. RESUME: it comes back by itself from now on.
    ///
    /// Errors: `55000` it is not paused; `0A000` it reads a source that cannot be read again.
    pub async fn resume(&self, view: ObjectId) -> Result<()> {
        self.request(|reply| Message::Resume(view, reply)).await
    }

    /// Waits until a view can be read.
    pub async fn wait_running(&self, view: ObjectId) -> Result<()> {
        let shared = &self.inner.shared;
        shared.wait(|_| shared.published().find(view).is_some()).await
    }

    /// DDL that concerns only the catalog (CREATE VIEW, COMMENT ON, ..): kept in the log.
    pub async fn log_ddl(&self, ddl: Vec<u8>) -> Result<Epoch> {
        self.request(|reply| Message::LogDdl(ddl, reply)).await
    }

    /// A transaction: all of it lands in one epoch, or nothing does. Returns when its record is in the log.
    ///
    /// Errors: `23505`, `23502`, `54000` above max_transaction, `40001` ([`is_conflict`]), and what an expression fails
    /// with.
    pub async fn commit(&self, writes: Vec<TableWrite>) -> Result<Committed> {
        self.commit_leased(writes, None).await
    }

    /// Errors: `54000` so many bytes are more than one transaction may have.
    pub fn check_transaction(&self, bytes: usize, hint: &str) -> Result<()> {
        let limit = self.inner.max_transaction;
        if bytes <= limit {
            return Ok(());
        }
        let limit =
            if limit >> 30 << 30 == limit { format!("{} GiB", limit >> 30) } else { format!("{} MiB", limit >> 20) };
        let message = format!("transaction is larger than max_transaction ({limit})");
        Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint))
    }

    /// Closes the open epoch as soon as there is room, whatever epoch_interval says.
    pub fn hurry(&self) {
        let _ = self.inner.shared.inbox.send(Message::Hurry);
    }

    /// A transaction; the right to write alone is given back with it.
    pub async fn commit_leased(&self, writes: Vec<TableWrite>, lease: Option<WriteLease>) -> Result<Committed> {
        let (rows, bytes) = writes.iter().map(size).fold((0, 0), |(r, b), (rows, bytes)| (r + rows, b + bytes));
        if bytes > self.inner.max_transaction {
            let limit = self.inner.max_transaction >> 20;
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "transaction is too large")
                .with_detail(format!("It has {} MiB; max_transaction is {limit} MiB.", bytes >> 20))
                .with_hint("Split it into several transactions."));
        }
        let shared = &self.inner.shared;
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, shared.waiting_kib);
        let waiting = Arc::clone(&shared.waiting).acquire_many_owned(kib).await;
        let permit = waiting.map_err(|_| shut_down())?;
        let asked = Asked::new(self.requests.as_ref(), &shared.inbox);
        let (claim, lease) = (asked.claim.clone(), lease.as_ref().map(|lease| lease.lease));
        self.ask(|reply| Message::Commit(Commit { claim, writes, rows, bytes, lease, reply, permit })).await
    }

    /// Waits until no other transaction is under way and everything acknowledged is published, and keeps others out:
    /// a [`Self::snapshot`] taken now shows the head of all tables.
    pub async fn lock_writes(&self) -> Result<WriteLease> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.inbox.send(Message::LockWrites(reply)).map_err(|_| shut_down())?;
        let lease = answer.await.map_err(|_| shut_down())??;
        Ok(WriteLease { runtime: self.clone(), lease })
    }

    /// A published epoch to read.
    pub async fn snapshot(&self, mode: ReadMode) -> Result<Snapshot> {
        match mode {
            ReadMode::Acknowledged => {
                let acknowledged = self.acknowledged();
                if self.published() < acknowledged {
                    let _ = self.inner.shared.inbox.send(Message::Hurry);
                }
                self.wait_published(acknowledged).await?;
            }
            ReadMode::Latest => {}
        }
        let published = self.inner.shared.published();
        Ok(Snapshot { epoch: published.epoch, published })
    }

    /// Waits until everything acknowledged is published, or nothing has been for so long.
    pub async fn wait_settled(&self, patience: Duration) -> Result<()> {
        loop {
            let acknowledged = self.acknowledged();
            let left = patience.saturating_sub(self.inner.shared.behind());
            if self.published() >= acknowledged || left.is_zero() {
                return Ok(());
            }
            let _ = self.inner.shared.inbox.send(Message::Hurry);
            if let Ok(published) = timeout(left, self.wait_published(self.published().next())).await {
                published?;
            }
        }
    }

    /// Waits for the publication of an epoch.
    pub async fn wait_published(&self, epoch: Epoch) -> Result<()> {
        self.inner.shared.wait(|published| published >= epoch).await
    }

    /// The newest epoch with an acknowledged write or DDL.
    pub fn acknowledged(&self) -> Epoch {
        self.inner.shared.acknowledged()
    }

    /// The newest published epoch.
    pub fn published(&self) -> Epoch {
        self.inner.shared.published().epoch
    }

    /// FLUSH: waits until everything is visible that tables accepted, bounded sources hold, unbounded ones had received,
    /// and the late rows written back by all that.
    pub async fn flush(&self) -> Result<Epoch> {
        self.ask(Message::Flush).await
    }

    /// SUBSCRIBE.
    ///
    /// Errors: `72000` AS OF lies before the history kept (the hint names the oldest epoch), `55000` the view is not on
    /// the clock.
    pub async fn subscribe(&self, spec: SubscribeSpec) -> Result<Subscription> {
        let acknowledged = self.acknowledged();
        self.wait_published(spec.as_of.map_or(acknowledged, |e| e.max(acknowledged))).await?;
        self.ask_publisher(|reply| Publish::Subscribe(spec, reply)).await
    }

    /// `highwater.advance_watermark`: moves all partitions of a table or source forward; returns where it then is.
    pub async fn advance_watermark(&self, source: ObjectId, to: EventTime) -> Result<EventTime> {
        self.ask(|reply| Message::Advance(source, to, reply)).await
    }

    /// ALTER SYSTEM.
    pub async fn alter_system(&self, settings: Settings) -> Result<()> {
        self.request(|reply| Message::AlterSystem(settings, reply)).await
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.inner.shared.settings.read().clone()
    }

    /// What the system relations show.
    pub async fn status(&self) -> Result<Status> {
        self.ask(Message::Status).await
    }

    /// `highwater.late_rows`: of one view, or of all; oldest first.
    pub async fn late_rows(&self, view: Option<ObjectId>) -> Result<Vec<LateRow>> {
        self.ask_publisher(|reply| Publish::LateRows(view, reply)).await
    }

    /// `highwater.errors`: those that stand, oldest first.
    pub async fn errors(&self) -> Result<Vec<ErrorRow>> {
        self.ask_publisher(Publish::Errors).await
    }

    /// Ends the worker threads and starts `workers` new ones with the state of the old. Connections and subscriptions
    /// live on.
    pub async fn restart(&self, workers: usize) -> Result<()> {
        self.ask(|reply| Message::Restart(workers, reply)).await
    }

    /// The input log's bytes (all of them with `keep_log`).
    pub async fn log_bytes(&self) -> Result<Vec<u8>> {
        self.ask(Message::LogBytes).await
    }

    /// What every view sent in every epoch, sorted by view and epoch; recorded with `record_digests`.
    pub async fn digests(&self) -> Result<Vec<Digest>> {
        self.ask_publisher(Publish::Digests).await
    }

    /// What came in with every epoch, ascending; recorded with `record_digests`.
    pub async fn inputs(&self) -> Result<Vec<InputEpoch>> {
        self.ask(Message::Inputs).await
    }
}

/// Rows and bytes of one write.
fn size(write: &TableWrite) -> (usize, usize) {
    let batch = |rows: &RecordBatch| (rows.num_rows(), batch_bytes(rows));
    let target = |target: &Target| match target {
        Target::Keys(rows) | Target::Rows(rows) => batch(rows),
        Target::RowIds(ids) => (ids.len(), ids.len() * 8),
        Target::All => (0, 0),
    };
    match write {
        TableWrite::Insert { rows, .. } => batch(rows),
        TableWrite::Replace { rows, .. } => (2 * rows.num_rows(), batch_bytes(rows)),
        TableWrite::Update { target: t, .. } | TableWrite::Delete { target: t, .. } => target(t),
        TableWrite::Truncate { .. } => (0, 0),
    }
}
