//! Runs a [`Graph`] in one thread over any number of virtual workers, under the contract of [`super::contract`].
//!
//! It steps an operator only when the contract demands it: at the join, when input came, or when its closing watermark
//! reached its alarm.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::compute::concat_batches;

use super::{Exchange, Fuel, Graph, Operator, Output, Step, Upstream, Worker};
use crate::data::{Bucket, Changes, Epoch, KeyEncoder, ObjectId, WatermarkVector, Watermarks};
use crate::error::Result;
use crate::spill::{Holder, Memory};
use crate::state::fault::{self, Fault};
use crate::state::{Capture, Delta};

/// A view's operators on virtual workers.
pub struct Harness<'a> {
    graph: &'a Graph,
    /// By node, then by worker.
    operators: Vec<Vec<Box<dyn Operator>>>,
    /// Input that waits, by node, then by worker.
    queues: Vec<Vec<VecDeque<(usize, Changes)>>>,
    memory: Option<Arc<Memory>>,
    before: Arc<WatermarkVector>,
    /// By node: what was copied of its states after every third epoch, and is still of use.
    copies: Vec<Vec<(u64, Delta)>>,
    /// The copies have all states as wholes.
    covered: bool,
    /// The newest epoch.
    epoch: u64,
    /// Fuel per call of `step`.
    pub fuel: usize,
}

/// Entries that one worker copies after an epoch, beside those that changed.
const COPIED: usize = 5;

impl<'a> Harness<'a> {
    /// Builds the operators; their states keep within a memory, where it is given.
    pub fn new(graph: &'a Graph, workers: usize, memory: Option<Arc<Memory>>) -> Result<Self> {
        let build = |node: &super::Node| {
            (0..workers).map(|index| (node.build)(&Worker { index, peers: workers })).collect::<Result<Vec<_>>>()
        };
        let mut operators = graph.nodes.iter().map(build).collect::<Result<Vec<_>>>()?;
        if let Some(memory) = &memory {
            let states = operators.iter_mut().flatten().filter_map(|o| o.state());
            states.for_each(|state| state.bound(memory.account(Holder::State)));
        }
        operators.iter_mut().flatten().filter_map(|o| o.state()).for_each(|state| state.track(false));
        Ok(Self {
            graph,
            operators,
            copies: vec![vec![]; graph.nodes.len()],
            covered: false,
            epoch: 0,
            queues: graph.nodes.iter().map(|_| vec![VecDeque::new(); workers]).collect(),
            memory,
            before: Arc::default(),
            fuel: usize::MAX,
        })
    }

    /// A fresh one on another number of workers, with this one's state: as it was copied by and by, if that is all of it,
    /// else as a whole.
    pub fn moved(&mut self, workers: usize) -> Result<Self> {
        let mut moved = Self::new(self.graph, workers, self.memory.clone())?;
        moved.fuel = self.fuel;
        moved.before = self.before.clone();
        moved.epoch = self.epoch;
        if self.covered {
            self.copy(self.epoch)?;
        }
        moved.covered = self.covered;
        for (node, operators) in self.operators.iter_mut().enumerate() {
            let mut deltas: Vec<Delta> = vec![];
            if self.covered {
                deltas.extend(self.copies[node].iter().map(|(_, delta)| delta.clone()));
                moved.copies[node] = std::mem::take(&mut self.copies[node]);
            } else {
                let peers = operators.len();
                for (worker, operator) in operators.iter_mut().enumerate() {
                    let Some(state) = operator.state() else { continue };
                    state.track(false);
                    let own = state.capture(&mut Capture::whole())?;
                    deltas.extend(own.into_iter().map(|delta| Delta { made_by: Some((worker, peers)), ..delta }));
                }
            }
            for (worker, operator) in moved.operators[node].iter_mut().enumerate() {
                if let Some(state) = operator.state() {
                    let own: Vec<Delta> = deltas.iter().filter_map(|delta| delta.share(worker, workers)).collect();
                    state.restore(&own, &|bucket| bucket.worker(workers) == worker)?;
                    state.track(self.covered);
                }
            }
        }
        Ok(moved)
    }

    /// Copies what changed, and forgets copies that are of no use any more.
    fn copy(&mut self, number: u64) -> Result<()> {
        self.covered = true;
        for (operators, copies) in self.operators.iter_mut().zip(&mut self.copies) {
            let mut bases: BTreeMap<u8, Option<u64>> = BTreeMap::new();
            let peers = operators.len();
            for (worker, operator) in operators.iter_mut().enumerate() {
                let Some(state) = operator.state() else { continue };
                for delta in state.capture(&mut Capture { number, budget: COPIED })? {
                    self.covered &= delta.covered;
                    let base = bases.entry(delta.slot).or_insert(delta.base);
                    *base = (*base).zip(delta.base).map(|(a, b)| a.min(b));
                    copies.push((number, Delta { made_by: Some((worker, peers)), ..joined(delta)? }));
                }
            }
            copies.retain(|(number, delta)| bases[&delta.slot].is_none_or(|base| *number >= base));
        }
        Ok(())
    }

    /// The first epoch: constants, what the inputs held, and a step everywhere.
    pub fn join(&mut self, epoch: u64, held: &[(ObjectId, Vec<Changes>)], now: &WatermarkVector) -> Result<Output> {
        self.before = Arc::new(now.clone());
        for (node, port, rows) in &self.graph.constants {
            self.queues[*node][0].push_back((*port, Changes::insertions(rows.clone())));
        }
        self.run(epoch, held, now, true)
    }

    /// One more epoch; batch i of an input goes to worker i modulo their number.
    pub fn epoch(&mut self, epoch: u64, inputs: &[(ObjectId, Vec<Changes>)], now: &WatermarkVector) -> Result<Output> {
        self.run(epoch, inputs, now, false)
    }

    /// Keys held by all operators on all workers.
    pub fn state_rows(&mut self) -> usize {
        self.operators.iter_mut().flatten().filter_map(|o| o.state().map(|s| s.rows())).sum()
    }

    fn run(
        &mut self,
        epoch: u64,
        inputs: &[(ObjectId, Vec<Changes>)],
        now: &WatermarkVector,
        all: bool,
    ) -> Result<Output> {
        let watermarks = Watermarks { before: self.before.clone(), now: Arc::new(now.clone()) };
        let workers = self.operators.first().map_or(0, Vec::len);
        for (object, batches) in inputs {
            for (i, changes) in batches.iter().enumerate() {
                self.route(Upstream::Object(*object), i % workers, changes)?;
            }
        }
        let mut result = Output::default();
        for node in 0..self.graph.nodes.len() {
            for worker in 0..workers {
                let mut out = Output::default();
                let closing = self.graph.nodes[node].closing.as_ref().map(|c| c.at(now));
                let operator = &mut self.operators[node][worker];
                let alarm = operator.alarm().zip(closing).is_some_and(|(alarm, now)| now >= alarm);
                let queue = std::mem::take(&mut self.queues[node][worker]);
                let touched = all || alarm || !queue.is_empty();
                for (port, changes) in queue {
                    operator.apply(port, changes, &watermarks, &mut out)?;
                    operator.state().map_or(Ok(()), |state| state.relieve())?;
                }
                let mut done = !touched;
                while !done {
                    let mut fuel = Fuel(self.fuel);
                    done = operator.step(Epoch(epoch), &watermarks, &mut fuel, &mut out)? == Step::Done;
                }
                operator.state().map_or(Ok(()), |state| state.relieve())?;
                for changes in std::mem::take(&mut out.rows) {
                    if node + 1 == self.graph.nodes.len() {
                        result.rows.push(changes);
                    } else {
                        self.route(Upstream::Node(node), worker, &changes)?;
                    }
                }
                result.errors.append(&mut out.errors);
                result.late.append(&mut out.late);
                result.counters.add(&out.counters);
            }
        }
        self.before = watermarks.now;
        self.epoch = epoch;
        // What comes and goes several times in between is in one copy.
        if epoch.is_multiple_of(3) {
            self.copy(epoch)?;
        }
        Ok(result)
    }

    /// Gives changes to all readers of `from`.
    fn route(&mut self, from: Upstream, worker: usize, changes: &Changes) -> Result<()> {
        let graph = self.graph;
        for (node, port, exchange) in graph.nodes.iter().enumerate().flat_map(|(n, node)| {
            let ports = node.inputs.iter().enumerate().filter(move |(_, (upstream, _))| *upstream == from);
            ports.map(move |(port, (_, exchange))| (n, port, exchange))
        }) {
            match exchange {
                Exchange::Pipeline => self.queues[node][worker].push_back((port, changes.clone())),
                Exchange::Key(columns) => {
                    for (to, part) in divide(changes, columns, self.queues[node].len())? {
                        self.queues[node][to].push_back((port, part));
                    }
                }
            }
        }
        Ok(())
    }
}

/// With one batch for many, as it is kept.
fn joined(mut delta: Delta) -> Result<Delta> {
    delta.rows = delta.entries().collect::<Result<_>>()?;
    delta.stored.clear();
    for rows in [&mut delta.removed, &mut delta.rows] {
        if let Some(first) = rows.first() {
            *rows = vec![concat_batches(&first.schema(), &*rows)?];
        }
    }
    Ok(delta)
}

/// The part of each worker.
fn divide(changes: &Changes, columns: &[usize], workers: usize) -> Result<Vec<(usize, Changes)>> {
    let keys = KeyEncoder::new(changes.rows.schema_ref(), columns)?.encode(&changes.rows)?;
    let mut rows: Vec<Vec<u32>> = vec![vec![]; workers];
    for i in 0..changes.len() {
        let worker = if fault::on(Fault::WrongBucket) { i % workers } else { Bucket::of(keys.hash(i)).worker(workers) };
        rows[worker].push(i as u32);
    }
    let parts = rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    parts.map(|(worker, rows)| Ok((worker, changes.take(&UInt32Array::from(rows))?))).collect()
}
