//! [`Runtime`]: the handle that sessions hold.

use std::sync::Arc;

use crate::data::{Epoch, EventTime, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::store::Version;

use super::{
    Committed, ErrorRow, LateRow, ReadMode, RuntimeConfig, Settings, SourceSpec, Status, SubscribeSpec, Subscription,
    TableSpec, TableWrite, ViewSpec,
};

/// A running Highwater below SQL. Cheap to clone; lives until [`Runtime::shutdown`] or the last handle is dropped.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<()>,
}

/// One published epoch: what a SELECT reads. Holding it holds the rows.
#[derive(Clone)]
pub struct Snapshot {
    /// The epoch.
    pub epoch: Epoch,
}

impl Snapshot {
    /// The rows of a table or materialized view.
    ///
    /// Errors: `55000` the view has not joined the clock, or has left it (with its lag); `42P01` no such object.
    pub fn version(&self, object: ObjectId) -> Result<Version> {
        Err(unbuilt(object))
    }

    /// Errors standing in a view at this epoch (a SELECT raises a WARNING when there are some).
    pub fn standing_errors(&self, view: ObjectId) -> u64 {
        let _ = view;
        0
    }
}

/// The exclusive right to write tables: what a statement takes that lost its race three times. Others' writes wait
/// until it is dropped or committed.
pub struct WriteLease {}

impl WriteLease {
    /// Commits and gives the right back.
    pub async fn commit(self, writes: Vec<TableWrite>) -> Result<Committed> {
        Err(unbuilt(writes))
    }
}

/// Whether an error says that target rows have changed since they were read: read again and retry (40001 in a transaction block).
pub fn is_conflict(error: &Error) -> bool {
    error.code() == SqlState::SERIALIZATION_FAILURE
}

fn unbuilt<T>(value: T) -> Error {
    drop(value);
    Error::internal("not built yet")
}

impl Runtime {
    /// Starts the threads.
    pub fn start(config: RuntimeConfig) -> Result<Self> {
        drop(config);
        Ok(Self { shared: Arc::new(()) })
    }

    /// Ends all threads and waits for them; pending requests fail with 57P01.
    pub async fn shutdown(&self) {
        let _ = &self.shared;
    }

    /// CREATE TABLE. Returns once it is in the log, with the epoch at which it is there.
    pub async fn create_table(&self, spec: TableSpec) -> Result<Epoch> {
        Err(unbuilt(spec))
    }

    /// CREATE SOURCE.
    pub async fn create_source(&self, spec: SourceSpec) -> Result<Epoch> {
        Err(unbuilt(spec))
    }

    /// CREATE MATERIALIZED VIEW: returns when the view has joined the clock, with its first epoch, published. Dropping
    /// the future undoes it.
    pub async fn create_view(&self, spec: ViewSpec) -> Result<Epoch> {
        Err(unbuilt(spec))
    }

    /// DROP: all of them at one epoch. What reads them must be among them. `ddl` is kept in the log.
    pub async fn drop_objects(&self, objects: Vec<ObjectId>, ddl: Vec<u8>) -> Result<Epoch> {
        Err(unbuilt((objects, ddl)))
    }

    /// ALTER .. RENAME, and any other change of the catalog that the runtime need not understand: kept in the log.
    pub async fn rename(&self, object: ObjectId, name: String, ddl: Vec<u8>) -> Result<()> {
        Err(unbuilt((object, name, ddl)))
    }

    /// DDL that concerns only the catalog (CREATE VIEW, COMMENT ON, ..): kept in the log.
    pub async fn log_ddl(&self, ddl: Vec<u8>) -> Result<Epoch> {
        Err(unbuilt(ddl))
    }

    /// A transaction: all of it lands in one epoch, or nothing does. Returns when its record is in the log.
    ///
    /// Errors: `23505`, `23502`, `54000` above max_transaction, `40001` ([`is_conflict`]), and what an expression fails with.
    pub async fn commit(&self, writes: Vec<TableWrite>) -> Result<Committed> {
        Err(unbuilt(writes))
    }

    /// Waits until no other transaction is under way and everything acknowledged is published, and keeps others out:
    /// a [`Self::snapshot`] taken now shows the head of all tables.
    pub async fn lock_writes(&self) -> Result<WriteLease> {
        Err(unbuilt(()))
    }

    /// A published epoch to read.
    pub async fn snapshot(&self, mode: ReadMode) -> Result<Snapshot> {
        Err(unbuilt(mode))
    }

    /// The newest epoch with an acknowledged write or DDL.
    pub fn acknowledged(&self) -> Epoch {
        Epoch(0)
    }

    /// The newest published epoch.
    pub fn published(&self) -> Epoch {
        Epoch(0)
    }

    /// FLUSH: waits until everything is visible that tables accepted, bounded sources hold, unbounded ones had received,
    /// and the late rows written back by all that.
    pub async fn flush(&self) -> Result<Epoch> {
        Err(unbuilt(()))
    }

    /// SUBSCRIBE.
    ///
    /// Errors: `72000` AS OF lies before the history kept (the hint names the oldest epoch), `55000` the view is not on the clock.
    pub async fn subscribe(&self, spec: SubscribeSpec) -> Result<Subscription> {
        Err(unbuilt(spec))
    }

    /// `highwater.advance_watermark`: moves all partitions of a table or source forward; returns where it then is.
    pub async fn advance_watermark(&self, source: ObjectId, to: EventTime) -> Result<EventTime> {
        Err(unbuilt((source, to)))
    }

    /// ALTER SYSTEM.
    pub async fn alter_system(&self, settings: Settings) -> Result<()> {
        Err(unbuilt(settings))
    }

    /// The settings in force.
    pub async fn settings(&self) -> Result<Settings> {
        Err(unbuilt(()))
    }

    /// What the system relations show.
    pub async fn status(&self) -> Result<Status> {
        Err(unbuilt(()))
    }

    /// `highwater.late_rows`: of one view, or of all; oldest first.
    pub async fn late_rows(&self, view: Option<ObjectId>) -> Result<Vec<LateRow>> {
        Err(unbuilt(view))
    }

    /// `highwater.errors`: those that stand, oldest first.
    pub async fn errors(&self) -> Result<Vec<ErrorRow>> {
        Err(unbuilt(()))
    }

    /// Ends the worker threads and starts `workers` new ones with the state of the old. Connections and subscriptions live on.
    pub async fn restart(&self, workers: usize) -> Result<()> {
        Err(unbuilt(workers))
    }

    /// The input log's bytes (all of them with `keep_log`).
    pub async fn log_bytes(&self) -> Result<Vec<u8>> {
        Err(unbuilt(()))
    }
}
