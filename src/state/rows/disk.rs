//! Rows on disk: those of keys that were used longest ago, when there is not enough memory for all.
//!
//! A key's rows are all in memory, or all on disk; what is in memory counts. Whoever looks for rows says before which keys
//! he wants ([`RowState::fetch`]), so that a batch reads the disk once, in the order of its keys. Otherwise it is as with
//! groups (`groups/disk.rs`): the same clock, and the same care for keys that went.
//!
//! ```text
//!  key:    key bytes
//!  value:  per row: weight, length, row bytes
//! ```

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};

use super::{CLEAN, KEY_BYTES, KeySlot, ON_DISK, ROW_BYTES, RowSlot, RowState, USED};
use crate::data::{Keys, hash};
use crate::error::{Error, Result};
use crate::spill::{Account, Extent, Tree};
use crate::state::State;
use crate::state::delta::{Delta, batch};
use crate::state::spilled::Spilled;

/// Rows that are copied in one go.
const PIECE: usize = 65_536;

/// What a state has on disk.
pub(super) struct Disk {
    pub entries: Spilled,
    /// Keys, and rows, that are only here.
    keys: usize,
    rows: usize,
    /// How often something went.
    evictions: u64,
}

impl Disk {
    pub fn new(account: Account) -> Self {
        Self { entries: Spilled::new(account), keys: 0, rows: 0, evictions: 0 }
    }

    /// How many rows are only here.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// A value's rows: weight and row bytes.
fn rows_of(mut value: &[u8]) -> impl Iterator<Item = Result<(i64, &[u8])>> {
    let corrupt = || Error::internal("rows on disk are not what was written");
    std::iter::from_fn(move || {
        if value.is_empty() {
            return None;
        }
        let mut next = || {
            let (weight, rest) = value.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            value = rest;
            Some((i64::from_le_bytes(*weight), row))
        };
        Some(next().ok_or_else(corrupt))
    })
}

impl RowState {
    /// Tells apart states of which something went to disk in between: then what was fetched may be gone again.
    pub fn evictions(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.evictions)
    }

    /// Brings back the rows of keys that are on disk.
    ///
    /// Errors: `58030` of the disk.
    pub fn fetch(&mut self, keys: &Keys) -> Result<()> {
        let Some(disk) = self.disk.as_ref().filter(|disk| disk.keys > 0) else { return Ok(()) };
        let slots = &self.key_slots;
        let held = |key: &[u8]| self.keys.find(hash(key), |&k| *slots[k as usize].bytes == *key).copied();
        let mut missing: Vec<&[u8]> = vec![];
        let mut used: Vec<u32> = vec![];
        for key in keys.iter() {
            match held(key) {
                Some(slot) => used.push(slot),
                None => missing.push(key),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        let mut found = vec![];
        for key in missing {
            found.extend(disk.entries.get(key)?.map(|value| (key, value)));
        }
        used.into_iter().for_each(|slot| self.key_slots[slot as usize].flags |= USED);
        for (key, value) in found {
            self.bring_back(key, &value)?;
        }
        Ok(())
    }

    /// Puts a key's rows into memory.
    fn bring_back(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let slot = self.key_slot(key);
        let mut count = 0;
        for row in rows_of(value) {
            let (weight, bytes) = row?;
            let id = super::take_slot(&mut self.row_slots, &mut self.free_rows);
            let place = self.key_slots[slot as usize].rows.len() as u32;
            self.key_slots[slot as usize].rows.push(id);
            self.row_slots[id as usize] = RowSlot { bytes: bytes.into(), weight, key: slot, place };
            let slots = &self.row_slots;
            self.rows.insert_unique(hash(bytes), id, |&r| hash(&slots[r as usize].bytes));
            self.heap += bytes.len() + ROW_BYTES;
            self.note(id);
            count += 1;
        }
        self.key_slots[slot as usize].flags = USED | ON_DISK | CLEAN;
        if let Some(disk) = &mut self.disk {
            disk.keys -= 1;
            disk.rows -= count;
        }
        Ok(())
    }

    /// Moves keys to disk until about so many bytes are left.
    pub(super) fn evict(&mut self, keep: usize) -> Result<()> {
        // What the open epoch touched may have keys without rows; they go when it ends.
        if !self.touched.is_empty() {
            self.settle();
        }
        let (before, held) = (self.bytes().max(1), self.keys.len());
        let stay = (held as u128 * keep as u128 / before as u128) as usize;
        let most = held.saturating_sub(stay);
        let mut leaving: Vec<u32> = vec![];
        for any in [false, true] {
            for (id, slot) in (0..).zip(&mut self.key_slots) {
                if leaving.len() == most {
                    break;
                }
                if slot.rows.is_empty() || !Tree::takes(slot.bytes.len()) || slot.flags & super::LEAVING != 0 {
                    continue;
                }
                if slot.flags & USED != 0 && !any {
                    slot.flags &= !USED;
                } else {
                    slot.flags |= super::LEAVING;
                    leaving.push(id);
                }
            }
        }
        if leaving.is_empty() {
            return Ok(());
        }
        let slots = &self.key_slots;
        leaving.sort_unstable_by(|&a, &b| slots[a as usize].bytes.cmp(&slots[b as usize].bytes));
        let Some(mut disk) = self.disk.take() else { return Ok(()) };
        let done = self.write_out(&leaving, &mut disk);
        let is_out = disk.entries.is_moved(done);
        self.disk = Some(disk);
        if !is_out {
            leaving.iter().for_each(|&key| self.key_slots[key as usize].flags &= !super::LEAVING);
            return Ok(());
        }
        self.take_out(&leaving);
        if self.row_slots.len() > 2 * self.rows.len() || self.key_slots.len() > 2 * self.keys.len() {
            self.compact();
        }
        Ok(())
    }

    /// Writes keys, ascending, with their rows; and, for the next copy, those rows that changed.
    fn write_out(&mut self, leaving: &[u32], disk: &mut Disk) -> Result<()> {
        let mut stored = vec![];
        if self.rotation.on {
            self.changed.sort_unstable();
            self.changed.dedup();
            let goes = |id: &u32| {
                let row = &self.row_slots[*id as usize];
                row.weight != 0 && self.key_slots[row.key as usize].flags & super::LEAVING != 0
            };
            let changed: Vec<u32> = self.changed.iter().copied().filter(goes).collect();
            for ids in changed.chunks(PIECE) {
                stored.push(Arc::new(Extent::write(disk.entries.account.memory(), &self.dump(ids)?)?));
            }
        }
        let mut rows = 0;
        disk.entries.write(|to| {
            let mut value = vec![];
            for &key in leaving {
                let slot = &self.key_slots[key as usize];
                rows += slot.rows.len();
                if slot.flags & CLEAN != 0 {
                    continue;
                }
                value.clear();
                for &id in &slot.rows {
                    let row = &self.row_slots[id as usize];
                    value.extend_from_slice(&row.weight.to_le_bytes());
                    value.extend_from_slice(&(row.bytes.len() as u32).to_le_bytes());
                    value.extend_from_slice(&row.bytes);
                }
                to.put(&slot.bytes, &value)?;
            }
            Ok(())
        })?;
        disk.keys += leaving.len();
        disk.rows += rows;
        disk.evictions += 1;
        if !stored.is_empty() {
            let removed = self.removed()?;
            self.copied.push(Delta { removed, stored, ..Delta::default() });
        }
        Ok(())
    }

    /// Takes keys and their rows out of memory.
    fn take_out(&mut self, leaving: &[u32]) {
        for &key in leaving {
            let slot = std::mem::take(&mut self.key_slots[key as usize]);
            if let Ok(found) = self.keys.find_entry(hash(&slot.bytes), |&k| k == key) {
                found.remove();
            }
            self.heap -= slot.bytes.len() + KEY_BYTES;
            self.free_keys.push(key);
            for id in slot.rows {
                let row = std::mem::take(&mut self.row_slots[id as usize]);
                if let Ok(found) = self.rows.find_entry(hash(&row.bytes), |&r| r == id) {
                    found.remove();
                }
                self.heap -= row.bytes.len() + ROW_BYTES;
                self.free_rows.push(id);
            }
        }
    }

    /// Gives the memory back that free slots have.
    fn compact(&mut self) {
        let old_rows = std::mem::take(&mut self.row_slots);
        let old_keys = std::mem::take(&mut self.key_slots);
        let (mut row_of, mut key_of) = (vec![u32::MAX; old_rows.len()], vec![u32::MAX; old_keys.len()]);
        for (old, slot) in old_keys.into_iter().enumerate().filter(|(_, slot)| !slot.rows.is_empty()) {
            key_of[old] = self.key_slots.len() as u32;
            self.key_slots.push(slot);
        }
        let cursor = self.cursor as usize;
        self.cursor = 0;
        for (old, mut row) in old_rows.into_iter().enumerate().filter(|(_, row)| row.weight != 0) {
            row_of[old] = self.row_slots.len() as u32;
            row.key = key_of[row.key as usize];
            self.row_slots.push(row);
            if old < cursor {
                // Those that stay keep their order.
                self.cursor = self.row_slots.len() as u32;
            }
        }
        for slot in &mut self.key_slots {
            slot.rows.iter_mut().for_each(|id| *id = row_of[*id as usize]);
        }
        self.changed.retain_mut(|id| {
            *id = row_of[*id as usize];
            *id != u32::MAX
        });
        (self.free_rows, self.free_keys) = (vec![], vec![]);
        self.rows.clear();
        self.keys.clear();
        let (rows, keys): (&[RowSlot], &[KeySlot]) = (&self.row_slots, &self.key_slots);
        self.rows.shrink_to(rows.len(), |&r| hash(&rows[r as usize].bytes));
        self.keys.shrink_to(keys.len(), |&k| hash(&keys[k as usize].bytes));
        for id in 0..rows.len() as u32 {
            self.rows.insert_unique(hash(&rows[id as usize].bytes), id, |&r| hash(&rows[r as usize].bytes));
        }
        for id in 0..keys.len() as u32 {
            self.keys.insert_unique(hash(&keys[id as usize].bytes), id, |&k| hash(&keys[k as usize].bytes));
        }
    }

    /// Copies the next rows that are on disk only, about so many at most; how many, and whether these were the last.
    pub(super) fn turn_on_disk(&mut self, most: usize, rows: &mut Vec<RecordBatch>) -> Result<(usize, bool)> {
        let mut after = self.disk_cursor.take().unwrap_or_default();
        let Some(disk) = &self.disk else { return Ok((0, true)) };
        let (mut values, mut count, mut round) = (vec![], 0, true);
        for entry in disk.entries.from(&after)? {
            let (key, value) = entry?;
            let in_memory = self.keys.find(hash(&key), |&k| *self.key_slots[k as usize].bytes == *key).is_some();
            if *key == *after || in_memory {
                continue;
            }
            if count >= most {
                round = false;
                break;
            }
            count += rows_of(&value).count();
            after = key.to_vec();
            values.push(value);
        }
        if count > 0 {
            let parser = self.converter.parser();
            let all = values.iter().flat_map(|value| rows_of(value)).collect::<Result<Vec<_>>>()?;
            let mut columns = self.converter.convert_rows(all.iter().map(|(_, row)| parser.parse(row)))?;
            columns.push(Arc::new(all.iter().map(|(weight, _)| *weight).collect::<Int64Array>()));
            rows.push(batch(columns)?);
        }
        self.disk_cursor = (!round).then_some(after);
        Ok((count, round))
    }
}
