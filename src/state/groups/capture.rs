//! Copies of groups: one row per group, with its window, its weight, and what its aggregates hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;

use super::disk::Disk;
use super::runs::{Run, Spot, runs};
use super::table::{Aggregate, CLEAN};
use super::{GroupState, GroupTable};
use crate::data::{Bucket, EventTime};
use crate::error::Result;
use crate::spill::Account;
use crate::state::State;
use crate::state::delta::{Capture, Delta, batch};
use crate::state::fault::{self, Fault};
use crate::state::interner::BatchKeys;

/// Changed entries that a table may note, in all, before it looks for those that it has noted twice.
const NOTED: usize = 1024;

/// Columns of a copy before the group's: the window's end, whether it was sent, the weight.
pub(super) const HEAD: usize = 3;

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
    /// Groups in memory.
    pub(super) fn held(&self) -> usize {
        self.tables.iter().map(|(_, t)| t.keys.len()).sum()
    }

    /// Entries of a window as one batch: what [`Self::load`] takes.
    pub(super) fn dump(&self, end: i64, table: &GroupTable, entries: &[u32]) -> Result<RecordBatch> {
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
        batch(columns)
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
        // While those on disk have their turn, all others have had it.
        let copied = self.rotation.covered || self.disk_cursor.is_some();
        let (global, cursor) = (self.global(), self.cursor);
        let mut changed = BTreeMap::new();
        for (end, table) in self.tables.iter_mut().filter(|(_, table)| !table.changed.is_empty()) {
            let mut entries = std::mem::take(&mut table.changed);
            entries.sort_unstable();
            entries.dedup();
            // In the first round the others are copied when it is their turn.
            entries.retain(|&e| (global || table.weight[e as usize] != 0) && (copied || (end, e) < cursor));
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

    /// Copies the next groups that are on disk only, at most so many; whether these were the last.
    fn turn_on_disk(&mut self, most: usize, rows: &mut Vec<RecordBatch>) -> Result<(usize, bool)> {
        let mut after = self.disk_cursor.take().unwrap_or_default();
        let (found, round) = self.on_disk_from(&mut after, most)?;
        let mut copied = 0;
        for (end, table) in found {
            let entries: Vec<u32> = (0..table.weight.len() as u32).collect();
            copied += entries.len();
            let mut copy = self.dump(end, &table, &entries)?;
            if let Some(held) = self.tables.get(end) {
                let emitted = Arc::new(BooleanArray::from(vec![held.emitted; entries.len()]));
                let mut columns = copy.columns().to_vec();
                columns[1] = emitted;
                copy = batch(columns)?;
            }
            rows.push(copy);
        }
        self.disk_cursor = (!round).then_some(after);
        Ok((copied, round))
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
            if self.disk.is_some() {
                table.keys.note_made();
            }
            table.keys.intern(&keys, 0, length, &mut entries);
            table.grow();
            self.disk.as_mut().map_or(Ok(()), |disk| disk.fetch(spot.end, table))?;
            act(table, &entries, &rows)?;
        }
        Ok(())
    }

    /// Loads entries, in the place of those that are there.
    fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = HEAD + self.layout.group.fields().len();
        self.each_run(rows, HEAD, |table, entries, rows| {
            table.emitted |= rows.column(1).as_boolean().value(0);
            entries.iter().for_each(|&e| table.flags[e as usize] &= !CLEAN);
            table.put(entries, &mut rows.columns()[2..3].iter().chain(&rows.columns()[width..]).cloned())
        })
    }

    /// Takes entries out that went.
    fn unload(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut gone: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        let ends = rows.column(0).as_primitive::<Int64Type>().values().clone();
        let mut at = 0;
        self.each_run(rows, 1, |table, entries, _| {
            entries.iter().for_each(|&e| table.weight[e as usize] = 0);
            gone.entry(ends[at]).or_default().extend(entries);
            at += entries.len();
            Ok(())
        })?;
        for (end, mut entries) in gone {
            // A group may have come and gone several times since the copy before.
            entries.sort_unstable();
            entries.dedup();
            self.forget(end, &entries);
        }
        Ok(())
    }

    /// Loads one delta.
    fn restore_one(&mut self, delta: &Delta, owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        for end in &delta.cleared {
            self.tables.remove(*end, &self.layout);
            self.disk.as_mut().map_or(Ok(0), |disk| disk.drop_window(*end))?;
        }
        let own = |state: &Self, rows: &RecordBatch, width: usize| {
            if delta.whole { Ok(rows.clone()) } else { state.owned(rows, width, owns) }
        };
        for rows in &delta.removed {
            self.unload(&own(self, rows, 1)?)?;
        }
        for rows in delta.entries() {
            self.load(&own(self, &rows?, HEAD)?)?;
            self.relieve()?;
        }
        for end in &delta.emitted {
            if let Some(table) = self.tables.get_mut(*end) {
                table.emitted = true;
            }
        }
        Ok(())
    }
}

impl State for GroupState {
    fn bound(&mut self, account: Account) {
        self.disk = account.is_bounded().then(|| Disk::new(account));
    }

    fn relieve(&mut self) -> Result<()> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let held = self.tables.bytes() + self.panes.bytes();
        if disk.entries.account.hold(held).is_none() {
            disk.entries.tidy();
            return Ok(());
        }
        if self.filling {
            self.merge_panes()?;
        }
        let bytes = self.bytes();
        if let Some(keep) = self.disk.as_mut().and_then(|disk| disk.entries.account.hold(bytes)) {
            self.evict(keep)?;
        }
        let bytes = self.bytes();
        self.disk.as_mut().and_then(|disk| disk.entries.account.hold(bytes));
        Ok(())
    }

    fn track(&mut self, covered: bool) {
        self.rotation.track(covered);
        self.cursor = (i64::MIN, 0);
        self.disk_cursor = None;
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
        let moved: usize = self.copied.iter().flat_map(|delta| &delta.stored).map(|extent| extent.rows()).sum();
        let most = self.rotation.turn(capture, count + moved);
        // Those on disk have their turn after all others: what comes back from there has changed.
        let (mut copied, mut round) = match self.disk_cursor {
            Some(_) => (0, true),
            None => self.take_turn(most, &mut entries),
        };
        if round && self.disk.as_ref().is_some_and(|disk| disk.all() > 0) {
            let (more, all) = self.turn_on_disk(most - copied, &mut delta.rows)?;
            (copied, round) = (copied + more, all);
        }
        for (end, entries) in entries.iter().filter(|(_, entries)| !entries.is_empty()) {
            if let Some(table) = self.tables.get(*end) {
                delta.rows.push(self.dump(*end, table, entries)?);
            }
        }
        for (end, table) in self.tables.iter_mut().filter(|(_, t)| t.emitted && !t.told_emitted) {
            table.told_emitted = true;
            delta.emitted.push(end);
        }
        self.rotation.turned(capture, copied, round);
        if fault::on(Fault::SnapshotLacksBucket)
            && let Some(rows) = delta.rows.first_mut()
        {
            let first = self.owned(&rows.slice(0, 1), HEAD, &|_| true)?;
            let columns: Vec<ArrayRef> = self.layout.exchange.iter().map(|&c| first.column(HEAD + c).clone()).collect();
            let lost = self.hasher.encode_columns(&columns, 1)?.iter().map(crate::data::hash).next();
            *rows = self.owned(rows, HEAD, &|bucket| lost.is_none_or(|hash| Bucket::of(hash) != bucket))?;
        }
        let mut deltas = std::mem::take(&mut self.copied);
        deltas.push(delta);
        deltas.iter_mut().for_each(|delta| self.rotation.tell(delta));
        Ok(deltas)
    }

    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        self.filling = false;
        deltas.iter().try_for_each(|delta| self.restore_one(delta, owns))?;
        let empty = |(end, table): (i64, &GroupTable)| (table.keys.len() == 0 && self.on_disk(end) == 0).then_some(end);
        let empty: Vec<i64> = self.tables.iter().filter_map(empty).collect();
        for end in empty {
            self.tables.remove(end, &self.layout);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.tables.bytes() + self.panes.bytes()
    }

    fn rows(&self) -> usize {
        self.held() + self.disk.as_ref().map_or(0, Disk::all)
    }

    fn drop_window(&mut self, window_end: EventTime) -> usize {
        self.dirty.remove(&window_end.0);
        let mut groups = self.tables.remove(window_end.0, &self.layout);
        // A window that is final is not asked for again, so what is left of it on disk does no harm.
        groups += self.disk.as_mut().map_or(Ok(0), |disk| disk.drop_window(window_end.0)).unwrap_or(0);
        if self.rotation.on && groups > 0 {
            self.cleared.push(window_end.0);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::super::{GroupLayout, NO_WINDOW};
    use super::*;

    fn state() -> GroupState {
        let group = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        let (kinds, arguments, exchange) = (vec![], vec![], vec![0]);
        let layout = GroupLayout { group, window: vec![], exchange, panes: None, kinds, arguments, keep_old: true };
        let mut state = GroupState::new(layout).unwrap();
        state.track(false);
        state
    }

    fn epoch(state: &mut GroupState, key: i64, diff: i64) {
        let rows = RecordBatch::try_new(state.layout.group.clone(), vec![Arc::new(Int64Array::from(vec![key]))]);
        state.add(&rows.unwrap(), Some(&Int64Array::from(vec![diff]))).unwrap();
        state.settle(NO_WINDOW).unwrap();
    }

    /// Its number was free twice afterwards, and two other groups became one.
    #[test]
    fn a_group_that_went_twice_between_two_copies_is_gone_once() {
        let mut state = state();
        state.filled();
        epoch(&mut state, 1, 1);
        let mut deltas = state.capture(&mut Capture { number: 1, budget: 10 }).unwrap();
        for diff in [-1, 1, -1] {
            epoch(&mut state, 1, diff);
        }
        for mut delta in state.capture(&mut Capture { number: 2, budget: 10 }).unwrap() {
            // As they are kept.
            delta.removed = vec![concat_batches(&delta.removed[0].schema(), &delta.removed).unwrap()];
            deltas.push(delta);
        }
        let mut again = self::state();
        again.restore(&deltas, &|_| true).unwrap();
        epoch(&mut again, 2, 1);
        epoch(&mut again, 3, 1);
        assert_eq!(again.get(NO_WINDOW).unwrap().live().len(), 2);
    }
}
