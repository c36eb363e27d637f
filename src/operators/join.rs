//! Inner equi-join.
//!
//! SQL: `a JOIN b ON a.x = b.y`; other conditions are a Filter above
//! State: the rows of both sides, by key
//! Retractions: a row taken back on one side takes back its pairs with all rows of the other
//! Watermark: kept on columns that the condition equates with a watermarked one, or holds above one less an interval: the
//! minimum of both

use std::collections::VecDeque;

use arrow::array::{Array, Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::Rows;

use super::evaluate::batch;
use super::{Fuel, Operator, Output, Step};
use crate::config::EAGER_ROWS;
use crate::data::{Bucket, Changes, Epoch, EventTime, KeyEncoder, Keys, Watermarks};
use crate::error::Result;
use crate::plan::Join;
use crate::spill::Account;
use crate::state::fault::{self, Fault};
use crate::state::{Capture, Delta, RowState, State};

/// Rows per batch sent.
const PIECE: usize = 8192;

pub(super) struct JoinOperator {
    schema: SchemaRef,
    append_only: bool,
    keys: [Vec<usize>; 2],
    encoders: [KeyEncoder; 2],
    sides: Sides,
    /// Changes of the open epoch that have not met the other side yet: those that make many pairs, and what came behind.
    queue: VecDeque<Pending>,
    /// Changes that have, under a fault.
    met: Vec<Pending>,
}

/// The memory of both sides.
struct Sides([RowState; 2]);

/// One batch, and how far it has met the other side.
struct Pending {
    port: usize,
    changes: Changes,
    keys: Keys,
    bytes: Rows,
    row: usize,
    at: usize,
    /// How often something had gone to disk when the rows of its keys came back from there, plus one; of each side.
    fetched: [u64; 2],
}

impl JoinOperator {
    pub fn new(plan: &Join) -> Result<Self> {
        let (left, right) = (&plan.left.properties().schema, &plan.right.properties().schema);
        let keys = [plan.on.iter().map(|p| p.0).collect::<Vec<_>>(), plan.on.iter().map(|p| p.1).collect()];
        Ok(Self {
            schema: plan.properties.schema.clone(),
            append_only: plan.properties.append_only,
            encoders: [KeyEncoder::new(left, &keys[0])?, KeyEncoder::new(right, &keys[1])?],
            sides: Sides([RowState::new(left, &keys[0])?, RowState::new(right, &keys[1])?]),
            keys,
            queue: VecDeque::new(),
            met: vec![],
        })
    }

    /// The rows whose key has no NULL.
    fn keyed(&self, port: usize, changes: Changes) -> Result<Changes> {
        let columns: Vec<_> = self.keys[port].iter().map(|&c| changes.rows.column(c).clone()).collect();
        if columns.iter().all(|c| c.logical_null_count() == 0) || fault::on(Fault::JoinMatchesNull) {
            return Ok(changes);
        }
        let known = |i: usize| columns.iter().all(|c| c.logical_nulls().is_none_or(|n| n.is_valid(i)));
        changes.filter(&(0..changes.len()).map(|i| Some(known(i))).collect())
    }

    /// Sees to it that all rows of a batch's keys are in memory.
    fn fetch(&mut self, pending: &mut Pending) -> Result<()> {
        for (side, fetched) in self.sides.0.iter_mut().zip(&mut pending.fetched) {
            if *fetched <= side.evictions() {
                side.fetch(&pending.keys)?;
                *fetched = side.evictions() + 1;
            }
        }
        Ok(())
    }

    /// Lets a batch meet the other side, until `limit` pairs are found. True when it has met all of it.
    fn meet(&self, pending: &mut Pending, limit: usize, out: &mut Output) -> Result<(bool, usize)> {
        let other = &self.sides.0[1 - pending.port];
        let (mut own, mut ids, mut diffs) = (vec![], vec![], vec![]);
        while pending.row < pending.changes.len() && ids.len() < limit {
            let matches = other.matches(pending.keys.get(pending.row));
            let diff = pending.changes.diff(pending.row);
            let to = matches.len().min(pending.at + limit - ids.len());
            for &id in &matches[pending.at..to] {
                own.push(pending.row as u32);
                ids.push(id);
                diffs.push(diff * other.weight(id));
            }
            (pending.row, pending.at) = if to == matches.len() { (pending.row + 1, 0) } else { (pending.row, to) };
        }
        let found = ids.len();
        if found > 0 {
            let own = take_record_batch(&pending.changes.rows, &UInt32Array::from(own))?.columns().to_vec();
            let theirs = other.columns(&ids)?;
            let columns = match pending.port {
                0 => own.into_iter().chain(theirs).collect(),
                _ => theirs.into_iter().chain(own).collect(),
            };
            let single = self.append_only && diffs.iter().all(|d| *d == 1);
            let diffs = (!single).then(|| Int64Array::from(diffs));
            out.send(Changes::settled(batch(&self.schema, columns, found)?, diffs));
        }
        Ok((pending.row == pending.changes.len(), found))
    }

    /// Adds a batch that has met the other side to its own.
    fn keep(&mut self, pending: &Pending) {
        let side = &mut self.sides.0[pending.port];
        for row in 0..pending.changes.len() {
            side.add(pending.keys.get(row), pending.bytes.row(row).data(), pending.changes.diff(row));
        }
    }
}

impl Operator for JoinOperator {
    fn apply(&mut self, port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let changes = self.keyed(port, changes)?;
        if changes.is_empty() {
            return Ok(());
        }
        let keys = self.encoders[port].encode(&changes.rows)?;
        let bytes = self.sides.0[port].row_bytes(&changes.rows)?;
        let mut pending = Pending { port, changes, keys, bytes, row: 0, at: 0, fetched: [0; 2] };
        let mut left = EAGER_ROWS;
        while self.queue.is_empty() && left > 0 && !fault::on(Fault::JoinForgetsEpoch) {
            self.fetch(&mut pending)?;
            let (done, pairs) = self.meet(&mut pending, PIECE.min(left), out)?;
            if done {
                self.keep(&pending);
                return Ok(());
            }
            left = left.saturating_sub(pairs.max(1));
        }
        self.queue.push_back(pending);
        Ok(())
    }

    fn step(&mut self, _epoch: Epoch, _watermarks: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step> {
        while let Some(mut pending) = self.queue.pop_front() {
            let before = pending.row;
            self.fetch(&mut pending)?;
            let (done, pairs) = self.meet(&mut pending, PIECE, out)?;
            let burnt = pairs + pending.row - before;
            if !done {
                self.queue.push_front(pending);
            } else if fault::on(Fault::JoinForgetsEpoch) {
                self.met.push(pending);
            } else {
                self.keep(&pending);
            }
            if !fuel.burn(burnt.max(1)) && !self.queue.is_empty() {
                return Ok(Step::More);
            }
        }
        for mut pending in std::mem::take(&mut self.met) {
            self.fetch(&mut pending)?;
            self.keep(&pending);
        }
        self.sides.0.iter_mut().for_each(|side| side.settle());
        Ok(Step::Done)
    }

    fn state(&mut self) -> Option<&mut dyn State> {
        Some(&mut self.sides)
    }
}

impl State for Sides {
    fn bound(&mut self, account: Account) {
        let other = account.memory().account(account.holder());
        let [left, right] = &mut self.0;
        left.bound(account);
        right.bound(other);
    }

    fn relieve(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(State::relieve)
    }

    fn track(&mut self, covered: bool) {
        self.0.iter_mut().for_each(|side| side.track(covered));
    }

    fn capture(&mut self, capture: &mut Capture) -> Result<Vec<Delta>> {
        let mut deltas = vec![];
        for (slot, side) in (0..).zip(&mut self.0) {
            deltas.extend(side.capture(capture)?.into_iter().map(|delta| Delta { slot, ..delta }));
        }
        Ok(deltas)
    }

    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        for (slot, side) in (0..).zip(&mut self.0) {
            let own: Vec<Delta> = deltas.iter().filter(|delta| delta.slot == slot).cloned().collect();
            side.restore(&own, owns)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(State::bytes).sum()
    }

    fn rows(&self) -> usize {
        self.0.iter().map(State::rows).sum()
    }

    fn drop_window(&mut self, window_end: EventTime) -> usize {
        self.0.iter_mut().map(|side| side.drop_window(window_end)).sum()
    }
}
