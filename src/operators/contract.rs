//! The contract between operators and whoever runs them.
//!
//! **Operator side.** An operator is a pure incremental function over Z-sets: no I/O, no clock, no randomness, no timely.
//! What it has sent after `step(e)`, summed by diff, is its function of all that it was given up to and including `e`.
//!
//! **Runner side** (asserted by `super::checked` in debug builds):
//! 1. `apply` is called with the changes of one epoch at a time: never with epoch `e+1` before `step(e)` returned
//!    [`Step::Done`].
//! 2. `step(e)` is called on every worker at the epoch at which the operator joins, and for every later epoch in which one
//!    of its inputs or its watermark moved; epochs ascend. It is called again with new fuel until it returns `Done`.
//! 3. Watermarks never go back: `before` of an epoch is `now` of the epoch stepped before it.
//! 4. A batch has the schema of its port and belongs on this worker by the edge's [`Exchange`].
//! 5. The alarm is read after `step` is done: while the node's `closing` watermark stays below it, the runner need not
//!    call `step` for the watermark's sake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::data::{Changes, Epoch, EventTime, ObjectId, Recast, Retention, WatermarkExpr, Watermarks};
use crate::error::{Result, SqlState};
use crate::state::State;

/// One running operator on one worker.
pub trait Operator: Send {
    /// Takes changes of the open epoch eagerly; may already emit.
    ///
    /// An `Err` is a bug of ours and aborts; failing rows go to [`Output::error`].
    fn apply(&mut self, port: usize, changes: Changes, watermarks: &Watermarks, out: &mut Output) -> Result<()>;

    /// Ends epoch `epoch`: emits what follows from its changes and its watermark. Returns [`Step::More`] when its fuel is
    /// spent and it wants to be called again for the same epoch.
    fn step(&mut self, epoch: Epoch, watermarks: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step>;

    /// The next watermark that must wake this operator (its earliest window end), if any; of [`Node::closing`].
    fn alarm(&self) -> Option<EventTime> {
        None
    }

    /// All that the operator remembers; `None` for stateless ones. Valid between epochs.
    fn state(&mut self) -> Option<&mut dyn State> {
        None
    }
}

/// Whether an epoch's work is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The epoch is complete.
    Done,
    /// Out of fuel: call again.
    More,
}

/// How much an operator may still do before it has to yield, in rows.
#[derive(Debug)]
pub struct Fuel(pub usize);

impl Fuel {
    /// Burns fuel for `rows` rows; true while some is left.
    pub fn burn(&mut self, rows: usize) -> bool {
        self.0 = self.0.saturating_sub(rows);
        self.0 > 0
    }
}

/// What an operator sends.
#[derive(Debug, Default)]
pub struct Output {
    /// To the next operator.
    pub rows: Vec<Changes>,
    /// To `highwater.errors`.
    pub errors: Vec<RowError>,
    /// To `highwater.late_rows` and LATE ROWS INTO.
    pub late: Vec<LateRows>,
    /// Counters of `highwater.views`, as additions.
    pub counters: Counters,
}

/// Exact event counts, added up for ever per view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Changes that went into at least one window already closed when they came.
    pub late_accepted: u64,
    /// Changes turned away from all of their windows.
    pub late_rejected: u64,
    /// (change, window) pairs turned away.
    pub windows_missed: u64,
    /// Rows that failed in an expression (insertions of errors).
    pub failed_rows: u64,
    /// Rows that left the view when their retention was over.
    #[serde(default)]
    pub expired_rows: u64,
}

impl Counters {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.late_accepted += other.late_accepted;
        self.late_rejected += other.late_rejected;
        self.windows_missed += other.windows_missed;
        self.failed_rows += other.failed_rows;
        self.expired_rows += other.expired_rows;
    }
}

impl Output {
    /// Sends rows on; empty batches are left out.
    pub fn send(&mut self, changes: Changes) {
        if !changes.is_empty() {
            self.rows.push(changes);
        }
    }

    /// Reports a failing row (`diff` +1), or that its row was retracted (-1).
    pub fn error(&mut self, error: RowError) {
        if error.diff > 0 {
            self.counters.failed_rows += 1;
        }
        self.errors.push(error);
    }
}

/// One row of `highwater.errors`: a Z-set element like any other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowError {
    /// The operator's name as in EXPLAIN.
    pub operator: Arc<str>,
    /// SQLSTATE.
    pub code: SqlState,
    /// The message an ad-hoc SELECT would have failed with.
    pub message: Arc<str>,
    /// The row, as JSON text.
    pub row: String,
    /// +1 when the row fails, -1 when a failing row is retracted.
    pub diff: i64,
}

/// Changes turned away from all of their windows.
#[derive(Clone, Debug)]
pub struct LateRows {
    /// The rows of the window's input, with their diffs.
    pub changes: Changes,
    /// Per row: its event time.
    pub event_time: Vec<EventTime>,
    /// Per row: the watermark that judged it.
    pub watermark: Vec<EventTime>,
    /// Per row: how many windows it missed.
    pub windows_missed: Vec<u32>,
}

/// How rows on an edge are divided among workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// They stay where they are.
    Pipeline,
    /// By the stable hash of the key bytes of these columns: each row on the worker that owns its bucket. Empty: all rows
    /// on the worker of the bucket of the empty key.
    Key(Vec<usize>),
}

/// Where an operator's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// A node of the same graph, earlier in the list.
    Node(usize),
    /// A table, source or materialized view outside.
    Object(ObjectId),
}

/// One node of a view's dataflow, ready to be built on each worker.
#[derive(Clone)]
pub struct Node {
    /// As in EXPLAIN and `highwater.operators`.
    pub name: String,
    /// Inputs by port.
    pub inputs: Vec<(Upstream, Exchange)>,
    /// The schema of what it sends.
    pub schema: SchemaRef,
    /// The watermark that its alarm speaks of: `closing.at(now)` at or above [`Operator::alarm`] wakes it. `None`: it has
    /// no alarm.
    pub closing: Option<WatermarkExpr>,
    /// Makes the operator on one worker.
    pub build: Arc<Build>,
}

/// Makes an operator on one worker.
pub type Build = dyn Fn(&Worker) -> Result<Box<dyn Operator>> + Send + Sync;

/// Which worker an operator is built on.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    /// From 0.
    pub index: usize,
    /// Number of workers.
    pub peers: usize,
}

/// A view's dataflow: nodes in topological order; the last one's output is the view.
#[derive(Clone)]
pub struct Graph {
    /// The operators.
    pub nodes: Vec<Node>,
    /// Constant rows that no input brings (VALUES), fed once to a node's port at the epoch at which the view joins.
    pub constants: Vec<(usize, usize, RecordBatch)>,
    /// Whether the view never carries a retraction.
    pub append_only: bool,
    /// Columns that identify a row of the view, when the planner knows some.
    pub key: Option<Vec<usize>>,
    /// Whether the view sends no row twice in an epoch, be it inserted or taken back.
    pub consolidated: bool,
    /// When rows leave the view, if they do.
    pub retention: Option<Retention>,
    /// Tables that have been altered since the view was planned: how it sees their rows.
    pub recasts: BTreeMap<ObjectId, Arc<Recast>>,
    /// Set when nobody wants the view any more.
    pub stop: Stop,
}

impl Graph {
    /// Tells graphs apart whose operators' states do not fit each other: by their names, edges and columns.
    pub fn shape(&self) -> u64 {
        let mut shape = String::new();
        for node in &self.nodes {
            let columns: Vec<String> = node.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
            shape.push_str(&format!("{} {:?} ({})\n", node.name, node.inputs, columns.join(", ")));
        }
        crate::data::hash(shape.as_bytes())
    }
}

/// Says that nobody wants a view's rows any more: what is being evaluated for it ends soon, with whatever it has. A view that
/// comes back lives again: what was built before stays stopped.
#[derive(Clone, Debug)]
pub struct Stop {
    lives: Arc<Lives>,
    /// Of which life this is.
    life: u64,
}

#[derive(Debug)]
struct Lives {
    now: AtomicU64,
    /// This one is over, and those before it.
    over: AtomicU64,
}

impl Default for Stop {
    fn default() -> Self {
        Self { lives: Arc::new(Lives { now: AtomicU64::new(1), over: AtomicU64::new(0) }), life: 1 }
    }
}

impl Stop {
    /// Says so.
    pub fn set(&self) {
        self.lives.over.store(self.lives.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The view is to be computed again.
    pub fn live_again(&self) {
        self.lives.now.fetch_add(1, Ordering::Relaxed);
    }

    /// For what is built now.
    pub fn of_this_life(&self) -> Self {
        Self { lives: Arc::clone(&self.lives), life: self.lives.now.load(Ordering::Relaxed) }
    }

    /// Whether it was said.
    pub fn is_set(&self) -> bool {
        self.lives.over.load(Ordering::Relaxed) >= self.life
    }
}

impl Graph {
    /// The objects outside that the graph reads, each once.
    pub fn objects(&self) -> Vec<ObjectId> {
        let mut objects: Vec<ObjectId> = Vec::new();
        for (upstream, _) in self.nodes.iter().flat_map(|n| &n.inputs) {
            if let Upstream::Object(id) = upstream
                && !objects.contains(id)
            {
                objects.push(*id);
            }
        }
        objects
    }
}
