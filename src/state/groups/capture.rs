//! Copies of groups: one row per group, with its window, its weight, and what its aggregates hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;

use super::runs::{Run, Spot, runs};
use super::table::Aggregate;
use super::{GroupState, GroupTable};
use crate::data::{Bucket, EventTime};
use crate::error::Result;
use crate::state::State;
use crate::state::delta::{Capture, Delta, batch};
use crate::state::fault::{self, Fault};
use crate::state::interner::BatchKeys;

/// Changed entries that a table may note, in all, before it looks for those that it has noted twice.
const NOTED: usize = 1024;

/// Columns of a copy before the group's: the window's end, whether it was sent, the weight.
const HEAD: usize = 3;

impl GroupTable {
    /// Notes entries for the next copy.
    pub(super) fn note(&mut self, entries: &[u32]) {
        self.changed.extend_from_slice(entries);
        if self.changed.len() > NOTED + 2 * self.weight.len() {
            self.changed.sort_unstable();
            self.changed.dedup();
        }
    }
}

impl GroupState {
    /// Entries of a window as one batch: what [`Self::load`] takes.
    fn dump(&self, end: i64, table: &GroupTable, entries: &[u32], rows: &mut Vec<RecordBatch>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let weights: Int64Array = entries.iter().map(|&e| table.weight[e as usize]).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![end; entries.len()])),
            Arc::new(BooleanArray::from(vec![table.emitted; entries.len()])),
            Arc::new(weights),
        ];
        columns.extend(self.columns_of(table, end, entries)?);
        for aggregate in table.aggregates.iter().filter_map(Aggregate::own) {
            columns.extend(aggregate.dump(entries)?);
        }
        rows.push(batch(columns)?);
        Ok(())
    }

    /// Notes groups of a window that go, for the next copy.
    pub(super) fn note_gone(&mut self, end: i64, entries: &[u32]) -> Result<()> {
        if !self.rotation.on || entries.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![end; entries.len()]))];
        columns.extend(self.group_columns(end, entries)?);
        self.gone.push(batch(columns)?);
        Ok(())
    }

    /// The changed entries of each window that are to be copied now.
    fn take_changed(&mut self) -> BTreeMap<i64, Vec<u32>> {
        let (global, covered, cursor) = (self.global(), self.rotation.covered, self.cursor);
        let mut changed = BTreeMap::new();
        for (end, table) in self.tables.iter_mut().filter(|(_, table)| !table.changed.is_empty()) {
            let mut entries = std::mem::take(&mut table.changed);
            entries.sort_unstable();
            entries.dedup();
            // In the first round the others are copied when it is their turn.
            entries.retain(|&e| (global || table.weight[e as usize] != 0) && (covered || (end, e) < cursor));
            if !entries.is_empty() {
                changed.insert(end, entries);
            }
        }
        changed
    }

    /// Adds the next entries of the rotation, at most so many; how many they are, and whether it has come round.
    fn take_turn(&mut self, most: usize, to: &mut BTreeMap<i64, Vec<u32>>) -> (usize, bool) {
        let mut left = most;
        // No entry comes twice.
        let mut add = |end: i64, entries: Vec<u32>| {
            let all = to.entry(end).or_default();
            let is_first = all.is_empty();
            all.extend(entries);
            if !is_first {
                all.sort_unstable();
                all.dedup();
            }
        };
        let (first, from) = self.cursor;
        for (end, table) in self.tables.from(first) {
            let start = if end == first { from } else { 0 };
            let mut entries = vec![];
            for e in start..table.weight.len() as u32 {
                if left == 0 {
                    self.cursor = (end, e);
                    add(end, entries);
                    return (most, false);
                }
                if self.global() || table.weight[e as usize] != 0 {
                    entries.push(e);
                    left -= 1;
                }
            }
            add(end, entries);
        }
        self.cursor = (i64::MIN, 0);
        (most - left, true)
    }

    /// Only the rows of some buckets; `width` columns before the group's.
    fn owned(&self, rows: &RecordBatch, width: usize, owns: &dyn Fn(Bucket) -> bool) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = self.layout.exchange.iter().map(|&c| rows.column(width + c).clone()).collect();
        let keys = self.hasher.encode_columns(&columns, rows.num_rows())?;
        let mine: BooleanArray = keys.iter().map(|key| Some(owns(Bucket::of(crate::data::hash(key))))).collect();
        Ok(if mine.true_count() == rows.num_rows() { rows.clone() } else { filter_record_batch(rows, &mine)? })
    }

    /// The numbers of groups, one run of rows of one window after the other.
    fn each_run(
        &mut self,
        rows: &RecordBatch,
        width: usize,
        mut act: impl FnMut(&mut GroupTable, &[u32], &RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let ends = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        let spot = |row: usize| Spot { end: ends[row], windows: 1 };
        for Run { spot, offset, length } in runs(ends.len(), |row| ends[row] == ends[row - 1], spot) {
            let rows = rows.slice(offset, length);
            let group = rows.columns()[width..width + self.layout.group.fields().len()].to_vec();
            let keys = if group.is_empty() { BatchKeys::Empty } else { self.batch_keys(&group, length)? };
            let table = self.tables.at(spot.end, &self.layout, self.form)?;
            let mut entries = vec![];
            table.keys.intern(&keys, 0, length, &mut entries);
            table.grow();
            act(table, &entries, &rows)?;
        }
        Ok(())
    }

    /// Loads entries, in the place of those that are there.
    fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = HEAD + self.layout.group.fields().len();
        self.each_run(rows, HEAD, |table, entries, rows| {
            table.emitted |= rows.column(1).as_boolean().value(0);
            let weights = rows.column(2).as_primitive::<Int64Type>();
            entries.iter().zip(weights.values()).for_each(|(&e, &w)| table.weight[e as usize] = w);
            let mut columns = rows.columns()[width..].iter().cloned();
            for aggregate in table.aggregates.iter_mut().filter_map(Aggregate::own_mut) {
                aggregate.reset(entries);
                aggregate.merge(entries, &mut columns)?;
            }
            Ok(())
        })
    }

    /// Takes entries out that went.
    fn unload(&mut self, rows: &RecordBatch) -> Result<()> {
        self.each_run(rows, 1, |table, entries, _| {
            table.aggregates.iter_mut().filter_map(Aggregate::own_mut).for_each(|a| a.reset(entries));
            for &e in entries {
                table.weight[e as usize] = 0;
                table.keys.remove(e);
            }
            Ok(())
        })
    }
}

impl State for GroupState {
    fn track(&mut self, covered: bool) {
        self.rotation.track(covered);
        self.cursor = (i64::MIN, 0);
    }

    fn capture(&mut self, capture: &mut Capture) -> Result<Vec<Delta>> {
        let mut delta = Delta {
            cleared: std::mem::take(&mut self.cleared),
            removed: std::mem::take(&mut self.gone),
            ..Delta::default()
        };
        let mut entries = self.take_changed();
        let count = entries.values().map(Vec::len).sum::<usize>();
        let count = count + delta.removed.iter().map(RecordBatch::num_rows).sum::<usize>() + delta.cleared.len();
        let most = self.rotation.turn(capture, count);
        let (copied, round) = self.take_turn(most, &mut entries);
        for (end, entries) in &entries {
            if let Some(table) = self.tables.get(*end) {
                self.dump(*end, table, entries, &mut delta.rows)?;
            }
        }
        for (end, table) in self.tables.iter_mut().filter(|(_, t)| t.emitted && !t.told_emitted) {
            table.told_emitted = true;
            delta.emitted.push(end);
        }
        self.rotation.turned(capture, copied, round);
        self.rotation.tell(&mut delta);
        if fault::on(Fault::SnapshotLacksBucket)
            && let Some(rows) = delta.rows.first_mut()
        {
            let first = self.owned(&rows.slice(0, 1), HEAD, &|_| true)?;
            let columns: Vec<ArrayRef> = self.layout.exchange.iter().map(|&c| first.column(HEAD + c).clone()).collect();
            let lost = self.hasher.encode_columns(&columns, 1)?.iter().map(crate::data::hash).next();
            *rows = self.owned(rows, HEAD, &|bucket| lost.is_none_or(|hash| Bucket::of(hash) != bucket))?;
        }
        Ok(vec![delta])
    }

    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        for delta in deltas {
            for end in &delta.cleared {
                self.tables.remove(*end, &self.layout);
            }
            for rows in &delta.removed {
                self.unload(&self.owned(rows, 1, owns)?)?;
            }
            for rows in &delta.rows {
                self.load(&self.owned(rows, HEAD, owns)?)?;
            }
            for end in &delta.emitted {
                if let Some(table) = self.tables.get_mut(*end) {
                    table.emitted = true;
                }
            }
        }
        let empty: Vec<i64> = self.tables.iter().filter(|(_, t)| t.keys.len() == 0).map(|(end, _)| end).collect();
        for end in empty {
            self.tables.remove(end, &self.layout);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.tables.bytes() + self.panes.bytes()
    }

    fn rows(&self) -> usize {
        self.tables.iter().map(|(_, t)| t.keys.len()).sum()
    }

    fn drop_window(&mut self, window_end: EventTime) -> usize {
        self.dirty.remove(&window_end.0);
        let groups = self.tables.remove(window_end.0, &self.layout);
        if self.rotation.on && groups > 0 {
            self.cleared.push(window_end.0);
        }
        groups
    }
}
