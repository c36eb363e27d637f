//! The rows of the system relations, as plain values.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::archive::Kept;
use crate::data::{Epoch, EventTime, ObjectId};
use crate::operators::{Counters, RowError};

/// Everything that the system relations show, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The published epoch.
    pub epoch: Epoch,
    /// `highwater.views`.
    pub views: Vec<ViewStatus>,
    /// `highwater.watermarks`.
    pub watermarks: Vec<WatermarkStatus>,
    /// `highwater.checkpoints`.
    pub checkpoints: Vec<CheckpointStatus>,
    /// `highwater.sources`.
    pub sources: Vec<SourceStatus>,
    /// `highwater.operators`.
    pub operators: Vec<OperatorStatus>,
    /// `highwater.epochs`: the newest ones, ascending.
    pub epochs: Vec<EpochStatus>,
    /// Tables: rows and bytes at the published epoch.
    pub tables: Vec<TableStatus>,
}

/// Where a view is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewPhase {
    /// Reads what was there before it.
    Hydrating,
    /// On the clock.
    Running,
    /// Left the clock because it was too slow.
    Lagging,
    /// It, or a view that it reads, is paused.
    Paused,
    /// What it reads could not be read back when the server started.
    Failed,
}

impl ViewPhase {
    /// As `highwater.views.status` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hydrating => "hydrating",
            Self::Running => "running",
            Self::Lagging => "lagging",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }
}

/// One row of `highwater.views`.
#[derive(Clone, Debug)]
pub struct ViewStatus {
    /// The view.
    pub id: ObjectId,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: ViewPhase,
    /// The epoch that reading it shows.
    pub epoch: Epoch,
    /// Age of the oldest accepted input that it does not show yet.
    pub lag_ms: u64,
    /// From the closing of the last epoch that changed it to its publication.
    pub freshness_ms: f64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Exact counts, for ever.
    pub counters: Counters,
    /// Errors that stand now.
    pub errors: u64,
    /// How much it has read of what was there before it, in percent: 100 when it has joined; `None` while it is away.
    pub progress: Option<f64>,
    /// Why it is away from the clock, if that is known.
    pub reason: Option<Arc<str>>,
}

/// One row of `highwater.watermarks`.
#[derive(Clone, Debug)]
pub struct WatermarkStatus {
    /// The table or source.
    pub id: ObjectId,
    /// Its name.
    pub source: String,
    /// Partition.
    pub partition: u32,
    /// Where it is; `EventTime::MIN` before the first row.
    pub watermark: EventTime,
    /// How far it is behind the wall clock; `None` at either infinity.
    pub lag_ms: Option<i64>,
    /// Does not hold back the others.
    pub idle: bool,
    /// Rows accepted, ever.
    pub rows: u64,
    /// Rows that were below it on arrival, ever.
    pub late: u64,
    /// The partition that holds the whole source's watermark back, as `name/partition`.
    pub held_by: Option<String>,
}

/// One row of `highwater.sources`: one per partition that is, or was, read.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The source, or table with a connector.
    pub id: ObjectId,
    /// Its name.
    pub name: String,
    /// Partition.
    pub partition: u32,
    /// `idle` (nobody reads it), `running`, `held` (a later view catches up), `ended`, `failed`.
    pub status: &'static str,
    /// Where the next piece begins.
    pub offset: u64,
    /// Rows accepted, ever.
    pub rows: u64,
    /// Records that could not be decoded, ever.
    pub bad_records: u64,
    /// Rows read ahead.
    pub queued_rows: u64,
    /// Why it failed, or why nothing comes now.
    pub error: Option<String>,
    /// Where its rows come from, if that is an address.
    pub address: Option<String>,
    /// What its archive keeps, if it has one.
    pub archive: Option<Kept>,
}

/// What did not come of a source's rows, or of a table's with a connector.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Missing {
    /// Records that could not be decoded.
    pub bad_records: u64,
    /// Why its reading ended before its end.
    pub failure: Option<Arc<str>>,
}

/// One row of `highwater.checkpoints`: one that was taken, newest last.
#[derive(Clone, Debug)]
pub struct CheckpointStatus {
    /// Ascending.
    pub number: u64,
    /// The last epoch in it.
    pub epoch: Epoch,
    /// Microseconds since 1970.
    pub taken: i64,
    /// Bytes that it names in all, those that earlier ones wrote too.
    pub total_bytes: u64,
    /// `None` when an earlier process wrote it.
    pub written: Option<CheckpointWritten>,
}

/// What a checkpoint cost.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointWritten {
    /// Bytes written for it.
    pub bytes: u64,
    /// How long writing took.
    pub took: Duration,
    /// How long nothing else was done.
    pub pause: Duration,
}

/// One row of `highwater.operators`: one per view, node and worker.
#[derive(Clone, Debug)]
pub struct OperatorStatus {
    /// The view.
    pub view: ObjectId,
    /// Its name.
    pub view_name: String,
    /// Index into the view's graph.
    pub node: usize,
    /// The worker.
    pub worker: usize,
    /// As in EXPLAIN.
    pub name: String,
    /// Rows taken, ever.
    pub rows_in: u64,
    /// Rows sent, ever.
    pub rows_out: u64,
    /// Keys in its state.
    pub state_rows: u64,
    /// Bytes of its state.
    pub state_bytes: u64,
    /// The next watermark that wakes it.
    pub watermark: Option<EventTime>,
}

/// One row of `highwater.epochs`.
#[derive(Clone, Debug)]
pub struct EpochStatus {
    /// The epoch.
    pub epoch: Epoch,
    /// Rows that came in.
    pub rows: u64,
    /// Bytes that came in.
    pub bytes: u64,
    /// Transactions in it.
    pub transactions: u64,
    /// When it was closed.
    pub closed: SystemTime,
    /// From closing to publication; `None` while it is under way.
    pub latency_ms: Option<f64>,
}

/// One row of `highwater.memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryStatus {
    /// What it is held for.
    pub holder: &'static str,
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes on disk, in the place of memory; `None`: it never goes there.
    pub disk: Option<u64>,
    /// Bytes of memory at most; `None`: it has no limit of its own.
    pub limit: Option<u64>,
}

/// Size of a table.
#[derive(Clone, Debug)]
pub struct TableStatus {
    /// The table.
    pub id: ObjectId,
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One row of `highwater.late_rows`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateRow {
    /// The view.
    pub view: ObjectId,
    /// Its name.
    pub view_name: Arc<str>,
    /// The epoch.
    pub epoch: Epoch,
    /// Its weight.
    pub diff: i64,
    /// Its event time.
    pub event_time: EventTime,
    /// What judged it.
    pub watermark: EventTime,
    /// How many windows turned it away.
    pub windows_missed: u32,
    /// The row, as JSON text.
    pub row: String,
}

/// One row of `highwater.errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// The view, or the source whose record could not be decoded.
    pub view: ObjectId,
    /// Its name.
    pub view_name: Arc<str>,
    /// The epoch.
    pub epoch: Epoch,
    /// What, where, and its weight.
    pub error: RowError,
}
