//! What the sequencer and the publisher are told: closed enums, one channel each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::array::RecordBatch;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Changes, Epoch, EventTime, ObjectId, WatermarkVector};
use crate::error::{Error, Result};
use crate::log::LogNews;
use crate::operators::{Graph, RowError};
use crate::sink::Sink;
use crate::store::Version;

use super::checkpoint::{HistoryImage, PublishedImage, ShownImage, SourceErrors, Written};
use super::claim::Claim;
use super::digest::{Digest, InputEpoch};
use super::sequencer::Sequencer;
use super::shared::Paused;
use super::{
    Committed, ErrorRow, ForSubscription, KeptWindows, LateRow, Settings, SinkSpec, SourceSpec, Status, SubscribeSpec,
    Subscription, TableAlter, TableSpec, TableWrite, ViewSpec,
};

/// To the sequencer.
pub(super) enum Message {
    /// A transaction.
    Commit(Commit),
    /// A change of the catalog or of settings (one of those below), that can be taken back until it is begun.
    Claimed(Claim, Box<Message>),
    /// Something that waits was.
    TakenBack,
    CreateTable(TableSpec, Reply<Result<Epoch>>),
    CreateSource(SourceSpec, Reply<Result<Epoch>>),
    CreateSink(Box<SinkSpec>, Reply<Result<Epoch>>),
    CreateView(ViewSpec, Reply<Result<Epoch>>),
    /// Answered when it is in the log; it joins by itself.
    CreateViewAtOnce(ViewSpec, Reply<Result<Epoch>>),
    /// Whoever waited for a CREATE MATERIALIZED VIEW has gone.
    CancelView(ObjectId),
    Drop(Vec<ObjectId>, Vec<u8>, Reply<Result<Epoch>>),
    /// The same, because another view takes the place of the first one.
    Replace(Vec<ObjectId>, Vec<u8>, Option<KeptWindows>, Reply<Result<Epoch>>),
    Rename(Vec<(ObjectId, String)>, Vec<u8>, Reply<Result<()>>),
    Alter(TableAlter, Reply<Result<Epoch>>),
    LogDdl(Vec<u8>, Reply<Result<Epoch>>),
    LockWrites(Reply<Result<u64>>),
    /// The holder of this lease has gone.
    Unlock(u64),
    Flush(Reply<Result<Epoch>>),
    Advance(ObjectId, EventTime, Reply<Result<EventTime>>),
    AlterSystem(Settings, Reply<Result<()>>),
    /// Why it is paused, too.
    Pause(ObjectId, String, Reply<Result<()>>),
    Resume(ObjectId, Reply<Result<()>>),
    Status(Reply<Result<Status>>),
    Restart(usize, Reply<Result<()>>),
    LogBytes(Reply<Result<Vec<u8>>>),
    Inputs(Reply<Result<Vec<InputEpoch>>>),
    Shutdown,
    /// Before anything else: a log is read back.
    Recover(Recover, crossbeam_channel::Sender<Result<()>>),
    /// Some queue has something.
    Ingest,
    /// Somebody waits: the open epoch closes at once, whatever epoch_interval says.
    Hurry,
    /// From the log's thread.
    Log(LogNews),
    /// From the thread that writes checkpoints: the image was written; `None`: it is no checkpoint yet.
    Written(Option<Written>),
    /// From the publisher: an epoch is published.
    Published(Epoch),
    /// From the publisher, before the epoch's `Published`: insertions that a view turned away.
    Late {
        view: ObjectId,
        epoch: Epoch,
        rows: Vec<RecordBatch>,
    },
    /// From the publisher: these views have left the clock, since they are to go; and the first epoch that they do not show.
    LeftToGo(Vec<ObjectId>, Epoch),
    /// From the publisher: the views that keep this epoch from being published.
    Blockers(Epoch, Vec<ObjectId>),
}

/// Reads a log back and goes on with it.
pub(super) type Recover = Box<dyn FnOnce(&mut Sequencer) -> Result<()> + Send>;

/// A transaction that waits.
pub(super) struct Commit {
    pub(super) claim: Claim,
    pub(super) writes: Vec<TableWrite>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) lease: Option<u64>,
    pub(super) reply: Reply<Result<Committed>>,
    /// Its share of the bytes that may wait.
    pub(super) permit: OwnedSemaphorePermit,
}

/// To the publisher.
pub(super) enum Publish {
    /// An epoch was closed; its reports follow.
    Epoch(EpochInfo),
    /// A view will join; its first epoch follows.
    AddView(NewView),
    /// A view is being filled, for the so manieth time that one is; it is added when it joins.
    Fill(NewView, u64),
    /// A view is not being filled any more, and will not join.
    NotFilled(ObjectId),
    /// A table exists from the next epoch on.
    AddTable {
        id: ObjectId,
        name: String,
    },
    /// A sink begins with an epoch.
    AddSink {
        sink: Arc<Sink>,
        input: ObjectId,
        from: Epoch,
    },
    /// What a sink's relation was when it left the clock, and when that was; a start begins so.
    RestoreLeft(ObjectId, Option<Version>, Epoch),
    /// A source is read from its beginning again: what was wrong with it comes again.
    ReadAnew(ObjectId),
    /// A source that had failed is read on.
    WentOn(ObjectId),
    /// Objects are gone.
    Remove(Vec<ObjectId>),
    /// Views cannot be shown until a later start, and why.
    Stranded(HashMap<ObjectId, Arc<str>>),
    /// A table has other columns: its history is no more.
    Altered(ObjectId),
    /// A subscription ends, and why.
    End(ObjectId, Error),
    /// A view has other rows of some windows from now on, of which nobody is told.
    Keep(KeptWindows, Vec<Changes>, crossbeam_channel::Sender<Result<()>>),
    /// Views left the clock.
    Leave(Vec<ObjectId>, Left),
    /// Views that are to go need not show the epochs that are waited for. Answered by [`Message::LeftToGo`], if there are any.
    LeaveToGo(Vec<ObjectId>, Left),
    /// Whoever waits until what was said before can be seen.
    Answer(Reply<Result<()>>),
    /// All views that are paused, or read one that is.
    Paused(HashMap<ObjectId, Paused>),
    Rename(ObjectId, String),
    Settings(Settings),
    /// The log is durable up to this epoch; until the first of these all of it is.
    Durable(Epoch),
    /// Which views keep this epoch from being published? Answered by [`Message::Blockers`].
    Blockers(Epoch),
    Subscribe(SubscribeSpec, Reply<Result<Subscription>>),
    /// What tables and views were at an epoch, and how they changed since.
    Past(PastWanted, crossbeam_channel::Sender<Result<PastInputs>>),
    /// The same, for one that reads an epoch and no more.
    Backwards(Vec<ObjectId>, Epoch, Reply<Result<HashMap<ObjectId, Backwards>>>),
    /// Fills in views, operators, epochs and tables.
    Status(Status, Reply<Result<Status>>),
    LateRows(Option<ObjectId>, Reply<Result<Vec<LateRow>>>),
    Errors(Reply<Result<Vec<ErrorRow>>>),
    Digests(Reply<Result<Vec<Digest>>>),
    /// A quiet moment: what views and tables are, and what they changed after an epoch.
    Capture(Epoch, crossbeam_channel::Sender<Result<PublishedImage>>),
    /// A view is there as it was.
    RestoreView(NewView, Box<ShownImage>),
    /// A table is there as it was.
    RestoreTable {
        id: ObjectId,
        name: String,
        version: Version,
        history: Option<HistoryImage>,
    },
    /// What was wrong with sources.
    RestoreErrors(BTreeMap<ObjectId, SourceErrors>),
    /// Everything is there as it was at this epoch.
    Restored(Epoch),
    /// Answered when everything before it is shown.
    Recovered(crossbeam_channel::Sender<()>),
    /// Takes all view stores apart and puts them together again.
    Restart(crossbeam_channel::Sender<Result<()>>),
    Shutdown,
}

/// Why a view leaves the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It is too slow, or what it reads is lost.
    Slow,
    /// It is to be dropped.
    Dropped,
    /// It is paused.
    Paused,
}

/// Tables and views at an epoch that is past.
pub(super) struct PastWanted {
    pub(super) objects: Vec<ObjectId>,
    pub(super) as_of: Epoch,
    /// The rows of then, too.
    pub(super) rows: bool,
}

/// What is known of the past of some tables and views.
pub(super) struct PastInputs {
    /// What they held then.
    pub(super) rows: Vec<(ObjectId, RecordBatch)>,
    /// What changed since.
    pub(super) later: BTreeMap<Epoch, Vec<(ObjectId, Vec<Changes>)>>,
    /// Up to here.
    pub(super) through: Epoch,
}

/// What a table or view is, and what made it so since an epoch.
pub(super) struct Backwards {
    pub(super) now: Version,
    pub(super) later: Vec<Changes>,
}

/// A view that joins.
pub(super) struct NewView {
    pub(super) id: ObjectId,
    pub(super) name: String,
    pub(super) schema: arrow::datatypes::SchemaRef,
    pub(super) graph: Arc<Graph>,
    pub(super) late_into: bool,
    pub(super) subscription: Option<ForSubscription>,
}

impl NewView {
    /// As it was created.
    pub(super) fn of(spec: &ViewSpec) -> Self {
        Self {
            id: spec.id,
            name: spec.name.clone(),
            schema: Arc::clone(&spec.schema),
            graph: Arc::clone(&spec.graph),
            late_into: spec.late_into.is_some(),
            subscription: spec.subscription.clone(),
        }
    }
}

/// What the publisher must know of an epoch.
pub(super) struct EpochInfo {
    pub(super) epoch: Epoch,
    /// Views whose completion it takes.
    pub(super) views: Vec<ObjectId>,
    /// Tables that changed, and what changed in them.
    pub(super) tables: BTreeMap<ObjectId, (Version, Vec<Changes>)>,
    /// Records of sources that could not be decoded, and rows that could not be written back.
    pub(super) errors: Vec<(ObjectId, String, RowError)>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) transactions: usize,
    pub(super) closed: Instant,
    pub(super) closed_at: SystemTime,
    /// At its end.
    pub(super) watermarks: Arc<WatermarkVector>,
}

/// What one epoch brought, as tests see it.
pub(super) fn input_epoch(
    epoch: Epoch,
    inputs: Vec<(ObjectId, Vec<Changes>)>,
    watermarks: &Arc<WatermarkVector>,
) -> InputEpoch {
    InputEpoch { epoch, inputs, watermarks: Arc::clone(watermarks), joined: vec![] }
}

/// The threads are gone.
pub(super) fn shut_down() -> Error {
    Error::new(crate::error::SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}
