//! Copies of rows: one row per row, with its weight behind it.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use super::RowState;
use super::disk::Disk;
use crate::data::{Bucket, EventTime, hash};
use crate::error::Result;
use crate::spill::Account;
use crate::state::State;
use crate::state::delta::{Capture, Delta, batch};

impl RowState {
    /// Rows and their weights.
    pub(super) fn dump(&self, ids: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.columns(ids)?;
        columns.push(Arc::new(ids.iter().map(|&id| self.weight(id)).collect::<Int64Array>()));
        batch(columns)
    }

    /// The rows that went since the last copy.
    pub(super) fn removed(&mut self) -> Result<Vec<RecordBatch>> {
        let gone = std::mem::take(&mut self.gone);
        if gone.is_empty() {
            return Ok(vec![]);
        }
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(gone.iter().map(|bytes| parser.parse(bytes)))?;
        Ok(vec![batch(columns)?])
    }

    /// Loads rows, in the place of those that are there; a weight of 0 takes one out.
    fn load(&mut self, rows: &RecordBatch, owns: Option<&dyn Fn(Bucket) -> bool>) -> Result<()> {
        let width = self.schema.fields().len();
        let data = RecordBatch::try_new(self.schema.clone(), rows.columns()[..width].to_vec())?;
        let weights = rows.columns().get(width).map(|column| column.as_primitive::<Int64Type>());
        let (keys, bytes) = (self.encoder.encode(&data)?, self.row_bytes(&data)?);
        self.fetch(&keys)?;
        for i in 0..data.num_rows() {
            let key = keys.get(i);
            if owns.is_some_and(|owns| !owns(Bucket::of(hash(key)))) {
                continue;
            }
            let row = bytes.row(i);
            let found = self.rows.find(hash(row.data()), |&r| *self.row_slots[r as usize].bytes == *row.data());
            let now = found.map_or(0, |&id| self.weight(id));
            let weight = weights.map_or(0, |weights| weights.value(i));
            if weight != now {
                self.add(key, row.data(), weight - now);
            }
        }
        Ok(())
    }
}

impl State for RowState {
    fn bound(&mut self, account: Account) {
        self.disk = account.is_bounded().then(|| Disk::new(account));
    }

    fn relieve(&mut self) -> Result<()> {
        let bytes = self.bytes();
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let Some(keep) = disk.entries.account.hold(bytes) else {
            disk.entries.tidy();
            return Ok(());
        };
        self.evict(keep)?;
        let bytes = self.bytes();
        self.disk.as_mut().and_then(|disk| disk.entries.account.hold(bytes));
        Ok(())
    }

    fn track(&mut self, covered: bool) {
        self.rotation.track(covered);
        (self.cursor, self.disk_cursor) = (0, None);
    }

    fn capture(&mut self, capture: &mut Capture) -> Result<Vec<Delta>> {
        let mut delta = Delta::default();
        let gone = self.gone.len();
        delta.removed = self.removed()?;
        let mut ids = std::mem::take(&mut self.changed);
        ids.sort_unstable();
        ids.dedup();
        // While those on disk have their turn, all others have had it.
        let (covered, cursor) = (self.rotation.covered || self.disk_cursor.is_some(), self.cursor);
        // In the first round the others are copied when it is their turn.
        ids.retain(|&id| self.row_slots[id as usize].weight != 0 && (covered || id < cursor));
        let moved: usize = self.copied.iter().flat_map(|delta| &delta.stored).map(|extent| extent.rows()).sum();
        let mut left = self.rotation.turn(capture, ids.len() + gone + moved);
        let changed = ids.len();
        while left > 0 && self.disk_cursor.is_none() && (self.cursor as usize) < self.row_slots.len() {
            if self.row_slots[self.cursor as usize].weight != 0 {
                ids.push(self.cursor);
                left -= 1;
            }
            self.cursor += 1;
        }
        let mut round = self.disk_cursor.is_some() || self.cursor as usize >= self.row_slots.len();
        if round {
            self.cursor = 0;
        }
        let mut copied = ids.len() - changed;
        // Those on disk have their turn after all others: what comes back from there is noted as changed.
        if round && self.disk.as_ref().is_some_and(|disk| disk.rows() > 0) {
            let more;
            (more, round) = self.turn_on_disk(left, &mut delta.rows)?;
            copied += more;
        } else {
            self.disk_cursor = None;
        }
        self.rotation.turned(capture, copied, round);
        if !ids.is_empty() {
            ids.sort_unstable();
            ids.dedup();
            delta.rows.push(self.dump(&ids)?);
        }
        let mut deltas = std::mem::take(&mut self.copied);
        deltas.push(delta);
        deltas.iter_mut().for_each(|delta| self.rotation.tell(delta));
        Ok(deltas)
    }

    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        for delta in deltas {
            let owns = (!delta.whole).then_some(owns);
            for rows in delta.removed.iter().cloned().map(Ok).chain(delta.entries()) {
                self.load(&rows?, owns)?;
                // Rows that went have left keys.
                self.settle();
                self.relieve()?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.heap
            + self.row_slots.capacity() * size_of::<super::RowSlot>()
            + self.key_slots.capacity() * size_of::<super::KeySlot>()
    }

    fn rows(&self) -> usize {
        self.rows.len() + self.disk.as_ref().map_or(0, Disk::rows)
    }

    fn drop_window(&mut self, _window_end: EventTime) -> usize {
        0
    }
}
