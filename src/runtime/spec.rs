//! What the engine asks of the runtime, as plain values: objects to create, rows to write, settings.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::archive::Archive;
use crate::connectors::Connector;
use crate::data::{ColumnNumbers, Epoch, ObjectId, Recast, Shape};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::operators::Graph;
use crate::sink::Description;
use crate::spill::Memory;

use super::CatalogEntry;
use super::KeptWindows;
use super::limits::Limits;
use super::worker::abort;

/// How a runtime is started.
#[derive(Clone)]
pub struct RuntimeConfig {
    /// Timely worker threads, at least one.
    pub workers: usize,
    /// Keeps the whole input log, so that it can be replayed; otherwise it is cut behind the oldest epoch not yet
    /// published.
    pub keep_log: bool,
    /// Takes a checkpoint at its end, if it takes any.
    pub last_checkpoint: bool,
    /// Records a digest of what every view changed in every epoch (for replay tests).
    pub record_digests: bool,
    /// Test mode: operators see every changed row as a batch of its own.
    pub one_row_batches: bool,
    /// Where sinks keep what waits and is too much for memory.
    pub sink_folder: Option<PathBuf>,
    /// What bounds memory.
    pub limits: Limits,
    /// What states and rows may have of it, and where the rest goes.
    pub memory: Arc<Memory>,
    /// What ALTER SYSTEM changes.
    pub settings: Settings,
    /// Where counts go.
    pub metrics: Arc<Metrics>,
    /// Leaves out of a list of catalog changes what made objects that are gone.
    pub compact: fn(&mut Vec<CatalogEntry>) -> Result<()>,
    /// What is done when nothing that is shown could be trusted any more: the process is the failure domain of what holds
    /// all inputs.
    pub failed: fn(&Error),
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            keep_log: false,
            last_checkpoint: true,
            record_digests: false,
            one_row_batches: false,
            sink_folder: None,
            limits: Limits::default(),
            memory: Memory::unbounded(),
            settings: Settings::default(),
            metrics: Metrics::new(),
            compact: |_| Ok(()),
            failed: |error| abort("the sequencer failed", error),
        }
    }
}

/// Server-wide settings: changed by ALTER SYSTEM, which is logged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// How long an epoch stays open; zero: until the last one is under way.
    pub epoch_interval: Duration,
    /// How often a checkpoint is taken, if anything has changed.
    pub checkpoint_interval: Duration,
    /// How long per-epoch changes of tables and views are kept for SUBSCRIBE .. AS OF.
    pub history: Duration,
    /// A view that holds the published epoch back longer leaves the clock.
    pub max_lag: Duration,
    /// A partition without rows for this long does not hold back the others.
    pub idle_timeout: Duration,
    /// Newest rows of `highwater.late_rows` kept per view.
    pub late_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epoch_interval: Duration::ZERO,
            checkpoint_interval: Duration::from_secs(10),
            history: Duration::from_secs(60),
            max_lag: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            late_rows: 10_000,
        }
    }
}

/// WATERMARK FOR column AS expr.
#[derive(Clone, Debug)]
pub struct WatermarkSpec {
    /// Position of the event time column: a timestamp with or without zone, microseconds.
    pub column: usize,
    /// Over the object's schema; gives a timestamp. NULL and failures move nothing.
    pub expr: Arc<dyn PhysicalExpr>,
}

impl WatermarkSpec {
    /// By how many microseconds the watermark follows the event time, where the expression is the column, or the column
    /// minus an interval of a fixed length: what nearly all are, and what needs no calendar.
    pub(super) fn delay(&self) -> Option<i64> {
        let is_column = |e: &Arc<dyn PhysicalExpr>| {
            (e.as_ref() as &dyn Any).downcast_ref::<Column>().is_some_and(|c| c.index() == self.column)
        };
        if is_column(&self.expr) {
            return Some(0);
        }
        let call = (self.expr.as_ref() as &dyn Any).downcast_ref::<ScalarFunctionExpr>()?;
        let [time, span] = call.args() else { return None };
        let literal = (span.as_ref() as &dyn Any).downcast_ref::<Literal>()?;
        let ScalarValue::IntervalMonthDayNano(Some(interval)) = literal.value() else { return None };
        let fixed = interval.months == 0 && interval.days == 0 && interval.nanoseconds % 1000 == 0;
        let minus = call.fun().name() == "timestamp_subtract" && is_column(time);
        (fixed && minus).then_some(interval.nanoseconds / 1000)
    }
}

/// CREATE TABLE.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// For ever.
    pub id: ObjectId,
    /// For messages and system relations.
    pub name: String,
    /// Columns, with their numbers ([`Shape::carrier`]); NOT NULL is the field's nullability.
    pub schema: SchemaRef,
    /// Column positions; empty without one.
    pub primary_key: Vec<usize>,
    /// Its watermark, if it has one.
    pub watermark: Option<WatermarkSpec>,
    /// UPDATE, DELETE, TRUNCATE and upserts are refused.
    pub append_only: bool,
    /// Read from CREATE on; a row whose key exists replaces it.
    pub connector: Option<Arc<dyn Connector>>,
    /// The catalog's own description, opaque here; kept in the log.
    pub ddl: Vec<u8>,
}

/// ALTER TABLE.
#[derive(Clone, Debug)]
pub struct TableAlter {
    /// What the table is from now on; its connector stays.
    pub spec: TableSpec,
    /// Of columns that come: what rows that are there have in them, by number, one value each.
    pub added: Vec<(u16, ArrayRef)>,
    /// The same where each row gets a value of its own: an expression without columns.
    pub each: Vec<(u16, Arc<dyn PhysicalExpr>)>,
    /// Whether there are, or in the log were, such columns.
    pub valued: bool,
    /// Columns in which no row may have NULL.
    pub required: Vec<usize>,
    /// Views that go with a column.
    pub dropped: Vec<ObjectId>,
}

/// CREATE SOURCE: a stream that is not stored. Reading starts with the first view that reads it.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// For ever.
    pub id: ObjectId,
    /// For messages and system relations.
    pub name: String,
    /// Columns.
    pub schema: SchemaRef,
    /// Its watermark, if it has one.
    pub watermark: Option<WatermarkSpec>,
    /// Where its rows come from.
    pub connector: Arc<dyn Connector>,
    /// Where they are kept; then it is read from CREATE on.
    pub archive: Option<Arc<Archive>>,
    /// The catalog's own description, opaque here; kept in the log.
    pub ddl: Vec<u8>,
}

/// CREATE MATERIALIZED VIEW.
#[derive(Clone)]
pub struct ViewSpec {
    /// For ever.
    pub id: ObjectId,
    /// For messages and system relations.
    pub name: String,
    /// Columns of its rows.
    pub schema: SchemaRef,
    /// Its operators.
    pub graph: Arc<Graph>,
    /// The tables that it reads, and the one for its late rows, as it was planned over them.
    pub tables: BTreeMap<ObjectId, Planned>,
    /// LATE ROWS INTO.
    pub late_into: Option<LateTarget>,
    /// Set when only one subscription reads it.
    pub subscription: Option<ForSubscription>,
    /// The catalog's own description, opaque here; kept in the log.
    pub ddl: Vec<u8>,
}

/// A table as a view was planned over it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its columns then.
    pub shape: Shape,
    /// The numbers of those that the view reads.
    pub used: BTreeSet<u16>,
}

impl ViewSpec {
    /// The name of the first column that it reads and a table has no more.
    pub(super) fn lacks(&self, table: ObjectId, now: &Shape) -> Option<&str> {
        let Planned { shape, used } = self.tables.get(&table)?;
        let has = |number: &u16| now.numbers.position(*number, now.schema.fields().len()).is_some();
        let gone = used.iter().find(|number| !has(number))?;
        let at = shape.numbers.position(*gone, shape.schema.fields().len())?;
        Some(shape.schema.field(at).name())
    }

    /// A table is something else from now on, and stays what it was to the view.
    pub(super) fn see(&mut self, table: ObjectId, now: &Shape) {
        let Some(Planned { shape, .. }) = self.tables.get(&table) else { return };
        if self.graph.objects().contains(&table) {
            let recast = Arc::new(Recast::new(now, shape, |_| None));
            let mut graph = Graph::clone(&self.graph);
            match shape.numbers == now.numbers {
                true => drop(graph.recasts.remove(&table)),
                false => drop(graph.recasts.insert(table, recast)),
            }
            self.graph = Arc::new(graph);
        }
    }

    /// What messages call it.
    pub(super) fn called(&self) -> String {
        match &self.subscription {
            Some(subscription) => subscription.called.clone(),
            None => format!("materialized view \"{}\"", self.name),
        }
    }
}

/// CREATE SINK.
#[derive(Debug)]
pub struct SinkSpec {
    /// For ever.
    pub id: ObjectId,
    /// For messages.
    pub name: String,
    /// The table or materialized view whose changes it writes.
    pub input: ObjectId,
    /// What is written, where and how.
    pub description: Description,
    /// The catalog's own description, opaque here; kept in the log.
    pub ddl: Vec<u8>,
}

/// What a view is for that SUBSCRIBE to a table or a query runs on.
#[derive(Clone, Debug)]
pub struct ForSubscription {
    /// What messages call it: nobody knows the view's name.
    pub called: String,
    /// An epoch that is published: the view has the rows of then, and what changed since, epoch by epoch.
    pub as_of: Option<Epoch>,
}

/// LATE ROWS INTO: where the rows of turned-away insertions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateTarget {
    /// The table.
    pub table: ObjectId,
    /// Per column of the table: the column of the window's input, or `None` for NULL.
    pub columns: Vec<Option<usize>>,
}

/// What a catalog change in the log means to the runtime.
pub enum Spec {
    /// CREATE TABLE.
    Table(TableSpec),
    /// CREATE SOURCE.
    Source(SourceSpec),
    /// CREATE MATERIALIZED VIEW.
    View(ViewSpec),
    /// CREATE SINK.
    Sink(Box<SinkSpec>),
    /// ALTER .. RENAME, ALTER .. SWAP WITH.
    Rename(Vec<(ObjectId, String)>),
    /// ALTER TABLE.
    Alter(TableAlter),
    /// REBUILD .. FROM: a view has taken another's place, and keeps some of its rows.
    Kept(KeptWindows),
}

/// A table that is written, as whoever writes it sees it.
#[derive(Clone, Debug)]
pub struct TableRef {
    /// The table.
    pub id: ObjectId,
    /// Its columns; `None`: those that it has.
    pub numbers: Option<ColumnNumbers>,
}

impl From<ObjectId> for TableRef {
    fn from(id: ObjectId) -> Self {
        Self { id, numbers: None }
    }
}

/// One write of a transaction; the writes of one transaction see each other in order.
#[derive(Clone, Debug)]
pub enum TableWrite {
    /// INSERT, COPY.
    Insert {
        /// The table.
        table: TableRef,
        /// Whole rows, of the table's schema.
        rows: RecordBatch,
        /// ON CONFLICT.
        on_conflict: OnConflict,
        /// Gives back the rows as they were written.
        returning: bool,
    },
    /// UPDATE by expressions, evaluated at the head.
    Update {
        /// The table.
        table: TableRef,
        /// Which rows are looked at.
        target: Target,
        /// Of those: which rows change; over the table's schema, NULL is no.
        predicate: Option<Arc<dyn PhysicalExpr>>,
        /// Column position and new value, over the table's schema (the old row).
        assignments: Vec<(usize, Arc<dyn PhysicalExpr>)>,
        /// Gives back the new rows.
        returning: bool,
    },
    /// UPDATE computed outside: each target row becomes the new row at the same position.
    Replace {
        /// The table.
        table: TableRef,
        /// [`Target::RowIds`] or [`Target::Rows`].
        target: Target,
        /// As many rows as the target has.
        rows: RecordBatch,
        /// Gives back the new rows.
        returning: bool,
    },
    /// DELETE.
    Delete {
        /// The table.
        table: TableRef,
        /// Which rows are looked at.
        target: Target,
        /// Of those: which rows go.
        predicate: Option<Arc<dyn PhysicalExpr>>,
        /// Gives back the old rows.
        returning: bool,
    },
    /// TRUNCATE.
    Truncate {
        /// The table.
        table: TableRef,
    },
}

/// The rows that an UPDATE or DELETE looks at.
#[derive(Clone, Debug)]
pub enum Target {
    /// By primary key: the key columns' values, in key order. Keys that are not there match nothing.
    Keys(RecordBatch),
    /// By row id, as [`crate::store::Version::batches_with_ids`] gave them. One that has gone is
    /// [`conflict`](super::is_conflict).
    RowIds(Vec<u64>),
    /// By content, once each: whole rows. One that is not there is [`conflict`](super::is_conflict).
    Rows(RecordBatch),
    /// All rows: a scan at the head, on the sequencer's thread.
    All,
}

/// ON CONFLICT.
#[derive(Clone, Debug)]
pub enum OnConflict {
    /// A key that exists is 23505.
    Error,
    /// DO NOTHING.
    Nothing,
    /// DO UPDATE SET .. WHERE ..: over the table's columns followed by those of `excluded`.
    Update {
        /// Column position and new value.
        assignments: Vec<(usize, Arc<dyn PhysicalExpr>)>,
        /// WHERE.
        filter: Option<Arc<dyn PhysicalExpr>>,
    },
    /// The new row takes the place of the old one.
    Replace,
}

/// A transaction that is in the log.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Where its changes are.
    pub epoch: Epoch,
    /// Per write.
    pub results: Vec<WriteResult>,
}

/// What one write did.
#[derive(Clone, Debug, Default)]
pub struct WriteResult {
    /// Rows, as the command tag counts them.
    pub count: u64,
    /// The rows for RETURNING: whole rows of the table's schema.
    pub returned: Option<RecordBatch>,
}

/// What a SELECT waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// The publication of every write acknowledged before.
    Acknowledged,
    /// Nothing.
    Latest,
}

/// SUBSCRIBE.
#[derive(Clone, Debug)]
pub struct SubscribeSpec {
    /// The materialized view.
    pub view: ObjectId,
    /// Starts with the rows at the first epoch.
    pub snapshot: bool,
    /// The first epoch; the newest one that holds all acknowledged writes if left out.
    pub as_of: Option<Epoch>,
    /// The last epoch.
    pub up_to: Option<Epoch>,
    /// Wants [`super::SubscriptionEvent::Progress`].
    pub progress: bool,
    /// Bytes that may wait to be read; above it the subscription ends with 53400.
    pub buffer: usize,
}
