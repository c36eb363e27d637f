//! A stage: the operators of a view between two exchanges, run as one.
//!
//! Rows pass from one operator of a stage to the next by a call, without a queue; only between stages do they travel. With
//! one worker a view is a single stage. No timely here.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::aborts;
use super::command::{NodeState, OperatorStats};
use super::worker::abort;
use crate::data::{Changes, Epoch, ObjectId, Watermarks};
use crate::error::{Error, Result};
use crate::operators::{Fuel, Operator, Output, Step};
use crate::state::{Capture, State};

/// Where rows go that leave a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlet {
    /// To other stages, by the stage's output number.
    Stream(usize),
    /// They are the view's.
    View,
}

/// One operator's place in a stage.
pub(super) struct Slot {
    /// Index into the graph's nodes.
    pub(super) node: usize,
    /// As in EXPLAIN.
    pub(super) name: Arc<str>,
    pub(super) operator: Box<dyn Operator>,
    /// Consumers in the same stage: slot and port. Always later slots.
    pub(super) consumers: Vec<(usize, usize)>,
    /// Consumers elsewhere.
    pub(super) outlet: Option<Outlet>,
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    /// Rows in, when it last said how much memory its state has: at the end of an epoch, and on the way.
    pub(super) told: u64,
    pub(super) told_on_the_way: u64,
}

/// Rows that an operator takes at most before it says how much memory its state has.
const TELLING: u64 = 4096;

/// The operators of one stage on one worker, in topological order.
pub(super) struct Stage {
    view: ObjectId,
    /// The epoch that is open; 0 while the view is filled.
    pub(super) epoch: Epoch,
    slots: Vec<Slot>,
    /// The slot to step next in the epoch that is being ended, and whether it has begun.
    cursor: usize,
    is_ending: bool,
    /// Rows that left the stage and wait to be sent.
    pub(super) sent: Vec<(Outlet, Changes)>,
    /// Errors, late rows and counters of the open epoch.
    pub(super) aside: Output,
}

impl Stage {
    pub(super) fn new(view: ObjectId, slots: Vec<Slot>) -> Self {
        Self { view, epoch: Epoch(0), slots, cursor: 0, is_ending: false, sent: Vec::new(), aside: Output::default() }
    }

    /// Gives rows of the open epoch to one operator, and what it sends at once to those behind it.
    pub(super) fn apply(&mut self, slot: usize, port: usize, changes: Changes, watermarks: &Watermarks) {
        let mut queue = VecDeque::from([(slot, port, changes)]);
        while let Some((at, port, changes)) = queue.pop_front() {
            let slot = &mut self.slots[at];
            slot.rows_in += changes.len() as u64;
            let mut out = Output::default();
            let Slot { name, operator, rows_in, told_on_the_way: told, .. } = slot;
            guard((self.view, self.epoch), name, || {
                operator.apply(port, changes, watermarks, &mut out)?;
                if *rows_in - *told >= TELLING { relieve(operator.as_mut(), *rows_in, told) } else { Ok(()) }
            });
            self.route(at, out, &mut queue);
        }
    }

    /// Ends the open epoch, operator by operator. After [`Step::More`] it goes on where it stopped.
    pub(super) fn step(&mut self, epoch: Epoch, watermarks: &Watermarks, fuel: &mut Fuel) -> Step {
        while let Some(slot) = self.slots.get_mut(self.cursor) {
            if fuel.0 == 0 {
                return Step::More;
            }
            let mut out = Output::default();
            let Slot { name, operator, rows_in, told, .. } = slot;
            let step = guard((self.view, self.epoch), name, || {
                let step = operator.step(epoch, watermarks, fuel, &mut out)?;
                if step == Step::Done && rows_in != told {
                    relieve(operator.as_mut(), *rows_in, told)?;
                }
                Ok(step)
            });
            self.is_ending = step == Step::More;
            let mut queue = VecDeque::new();
            self.route(self.cursor, out, &mut queue);
            for (slot, port, changes) in queue {
                self.apply(slot, port, changes, watermarks);
            }
            match step {
                Step::More => return Step::More,
                Step::Done => self.cursor += 1,
            }
        }
        self.cursor = 0;
        Step::Done
    }

    fn route(&mut self, from: usize, out: Output, queue: &mut VecDeque<(usize, usize, Changes)>) {
        let Output { rows, mut errors, mut late, counters } = out;
        self.aside.errors.append(&mut errors);
        self.aside.late.append(&mut late);
        self.aside.counters.add(&counters);
        let slot = &mut self.slots[from];
        for changes in rows {
            slot.rows_out += changes.len() as u64;
            if let Some(outlet) = slot.outlet {
                self.sent.push((outlet, changes.clone()));
            }
            queue.extend(slot.consumers.iter().map(|&(to, port)| (to, port, changes.clone())));
        }
    }

    /// Moves state to disk, if there is too much.
    pub(super) fn relieve(&mut self) {
        if self.is_ending {
            return;
        }
        for slot in &mut self.slots {
            if let Some(state) = slot.operator.state() {
                guard((self.view, self.epoch), &slot.name, || state.relieve());
            }
        }
    }

    /// The state of all operators; valid between epochs.
    pub(super) fn snapshot(&mut self) -> Result<Vec<NodeState>> {
        let mut states = Vec::new();
        for slot in &mut self.slots {
            if let Some(state) = slot.operator.state() {
                state.track(false);
                let deltas = state.capture(&mut Capture::whole())?;
                states.push(NodeState { view: self.view, node: slot.node, deltas });
            }
        }
        Ok(states)
    }

    /// Notes what changes in the states from now on.
    pub(super) fn track(&mut self, covered: bool) {
        self.slots.iter_mut().filter_map(|slot| slot.operator.state()).for_each(|state| state.track(covered));
    }

    /// What changed in the states; valid between epochs.
    pub(super) fn capture(&mut self, capture: &mut Capture) -> Result<Vec<NodeState>> {
        let mut states = Vec::new();
        for slot in &mut self.slots {
            if let Some(state) = slot.operator.state() {
                let deltas = state.capture(capture)?;
                states.push(NodeState { view: self.view, node: slot.node, deltas });
            }
        }
        Ok(states)
    }

    /// Writes each operator's figures at its node's place.
    pub(super) fn figures(&mut self, nodes: &mut [OperatorStats]) {
        for slot in &mut self.slots {
            let (rows, bytes) = slot.operator.state().map_or((0, 0), |s| (s.rows(), s.bytes()));
            nodes[slot.node] = OperatorStats {
                name: slot.name.to_string(),
                rows_in: slot.rows_in,
                rows_out: slot.rows_out,
                state_rows: rows as u64,
                state_bytes: bytes as u64,
                alarm: slot.operator.alarm(),
            };
        }
    }
}

/// Lets an operator's state say how much memory it has, and move what is too much to disk.
fn relieve(operator: &mut dyn Operator, rows_in: u64, told: &mut u64) -> Result<()> {
    *told = rows_in;
    operator.state().map_or(Ok(()), State::relieve)
}

/// Calls an operator. If it panics or fails, the process ends: its state can't be trusted any more.
fn guard<R>((view, epoch): (ObjectId, Epoch), operator: &str, call: impl FnOnce() -> Result<R>) -> R {
    let failed = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Error::internal(format!("panic: {}", text.as_deref().unwrap_or("without a message")))
        }
    };
    aborts::note(view, operator, failed.message(), Some(epoch).filter(|epoch| epoch.0 > 0));
    abort(&format!("operator {operator} of view {view} failed"), &failed)
}
