//! What the sequencer and publisher tell the workers, and what these report: closed enums.
//!
//! All workers see the same commands in the same order, over one channel each. That order is the truth: an `Epoch` before
//! a `Join` is not seen by the joining dataflow, one after it is.
//!
//! ```text
//!  Install --> Feed* --> Join(e) --> Epoch(e+1).. --> Drop
//!             hydration: rows at timely time 0, stepped once, as epoch e, when Join comes; or as an epoch that is past, and
//!             then, still before Epoch(e+1), what changed since, epoch by epoch
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::data::{Changes, Epoch, EventTime, ObjectId, Recast, WatermarkVector};
use crate::error::Result;
use crate::operators::{Graph, Output};
use crate::state::Delta;

/// To every worker.
#[derive(Clone)]
pub enum Command {
    /// Builds a view's dataflow. It takes hydration rows but no epochs until it joins. The views it reads are installed.
    Install {
        /// The materialized view.
        view: ObjectId,
        /// Its operators.
        graph: Arc<Graph>,
        /// State to start from, instead of hydration.
        restore: Option<Arc<Restored>>,
        /// Which time it is filled, if what it sends meanwhile may be told as [`Report::Filled`].
        fill: Option<u64>,
        /// Whether its states note what changes, for `Capture`.
        track: bool,
    },
    /// Rows that an input had before the view was: batch i goes to worker `i % peers`; big batches are cut when there are
    /// fewer than workers.
    Feed {
        /// The view that hydrates.
        view: ObjectId,
        /// Which of its inputs.
        object: ObjectId,
        /// The rows. Held until all of them are taken in.
        batches: Arc<Vec<Changes>>,
    },
    /// Ends hydration at a quiescent point: all epochs up to `epoch` are complete in all dataflows, none above was sent.
    Join {
        /// The view.
        view: ObjectId,
        /// Its first epoch; the operators step it, unless the view was restored.
        epoch: Epoch,
        /// The vector at the end of `epoch`. Hydration is stepped with an empty `before`: nothing was promised to this
        /// view yet, so what stateful operators send on is not late.
        watermarks: Arc<WatermarkVector>,
        /// Hydration was as of an epoch that is past: these follow it, and `epoch` comes after them.
        past: Option<Arc<PastEpochs>>,
    },
    /// One epoch. Dataflows that read (through views too) none of `touched` are not advanced: they are complete by nature.
    Epoch(Arc<EpochInput>),
    /// A quiescent point: a table that a view reads was altered.
    Alter {
        /// The view.
        view: ObjectId,
        /// The table.
        table: ObjectId,
        /// How the view sees its rows; `None`: as they are.
        recast: Option<Arc<Recast>>,
    },
    /// Removes a dataflow and its memory.
    Drop(ObjectId),
    /// Asks for all state at a quiescent point: one answer per worker.
    Snapshot(Sender<Result<Vec<NodeState>>>),
    /// Asks for what changed in the states of dataflows that track it, at a quiescent point: one answer per worker.
    Capture {
        /// The number of this copy.
        number: u64,
        /// Entries that did not change and may be copied too, per worker.
        budget: usize,
        /// Where the answers go.
        answer: Sender<Result<Vec<NodeState>>>,
    },
    /// Ends the worker's thread.
    Stop,
}

/// What a view steps through that joins as of an epoch that is past.
#[derive(Debug)]
pub struct PastEpochs {
    /// Its hydration is stepped as this one.
    pub as_of: Epoch,
    /// What changed in its inputs since, ascending.
    pub inputs: Vec<EpochInput>,
}

/// The input of one epoch.
#[derive(Clone, Debug)]
pub struct EpochInput {
    /// Ascending; gaps are allowed.
    pub epoch: Epoch,
    /// Changes per table and source: batch i goes to worker `i % peers`; big batches are cut when there are fewer than
    /// workers.
    pub inputs: Vec<(ObjectId, Vec<Changes>)>,
    /// Tables and sources with changes or a moved watermark.
    pub touched: Vec<ObjectId>,
    /// At the end of this epoch.
    pub watermarks: Arc<WatermarkVector>,
}

/// One operator's state on one worker.
pub struct NodeState {
    /// The view.
    pub view: ObjectId,
    /// Index into its graph's nodes.
    pub node: usize,
    /// What was copied of it.
    pub deltas: Vec<Delta>,
}

/// The states of a view.
#[derive(Debug, Default)]
pub struct Restored {
    /// By node index: what all workers copied, oldest first.
    pub nodes: BTreeMap<usize, Vec<Delta>>,
    /// Whether it need not be copied again.
    pub covered: bool,
}

/// From a worker.
pub enum Report {
    /// What a view's dataflow sent on one worker in one epoch (its last node's rows; all nodes' errors, late rows and
    /// counters). Hydration output carries the epoch of the join. Sent before the epoch's `Complete`.
    Output {
        /// The view.
        view: ObjectId,
        /// The epoch.
        epoch: Epoch,
        /// The worker.
        worker: usize,
        /// What it sent.
        output: Output,
    },
    /// A part of what a view's dataflow sent while it was filled, or as it joined: the rows of views that are large, before
    /// their `Output`.
    Filled {
        /// The view.
        view: ObjectId,
        /// Which time it is filled.
        fill: u64,
        /// What it sent.
        rows: Vec<Changes>,
    },
    /// All workers have completed this epoch of this view's dataflow. Sent once, by worker 0, for every epoch that
    /// concerned the dataflow, its join included.
    Complete {
        /// The view.
        view: ObjectId,
        /// The epoch.
        epoch: Epoch,
    },
    /// Figures for `highwater.operators`, sent after epochs that changed them (at most a few times a second).
    Operators {
        /// The view.
        view: ObjectId,
        /// The worker.
        worker: usize,
        /// By node.
        nodes: Vec<OperatorStats>,
    },
}

/// Figures of one operator on one worker.
#[derive(Clone, Debug, Default)]
pub struct OperatorStats {
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
    /// Its alarm: the next watermark that wakes it.
    pub alarm: Option<EventTime>,
}
