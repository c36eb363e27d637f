//! Groups on disk: those that were used longest ago, when there is not enough memory for all.
//!
//! A group is in memory, or on disk, or both: what is in memory counts. A group that comes back stays on disk as it was;
//! when it goes again unchanged nothing is written, and when its last row is taken back its key is kept until the next
//! time that something is written, which takes it out of the tree. So a key is looked up on disk only when it is met and
//! has no entry, which is once after it went.
//!
//! Which go is decided as a clock does it: an entry that was used since the hand came by last stays once more (Corbató,
//! "A paging experiment with the Multics system", 1968). The numbers of those that went are used again; where most went,
//! what stays is put into a table of its own, so that memory is given back.
//!
//! ```text
//!  key:    end of the window, the group's key      so that a window's groups lie together
//!  value:  weight, and what the aggregates hold    as in a copy, in Arrow's row format
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};

use super::capture::HEAD;
use super::table::{Aggregate, CHANGED, CLEAN, DIRTY, LEAVING, ON_DISK, USED};
use super::{Form, GroupState, GroupTable};
use crate::error::{Error, Result};
use crate::spill::{Account, Extent, Memory, Tree, Value};
use crate::state::State;
use crate::state::delta::Delta;
use crate::state::spilled::{Spilled, Writing};

/// Groups that are copied in one go.
const PIECE: usize = 65_536;
/// One of as many groups is too few for being moved.
const LITTLE: usize = 16;

/// What a state has on disk.
pub(super) struct Disk {
    pub entries: Spilled,
    /// For values; made with the first.
    values: Option<RowConverter>,
    /// By window that has groups in the tree: how many are there only.
    only: BTreeMap<i64, usize>,
}

impl Disk {
    pub fn new(account: Account) -> Self {
        Self { entries: Spilled::new(account), values: None, only: BTreeMap::new() }
    }

    /// How many groups of a window are only here.
    pub fn only(&self, end: i64) -> usize {
        self.only.get(&end).copied().unwrap_or(0)
    }

    /// How many groups are only here.
    pub fn all(&self) -> usize {
        self.only.values().sum()
    }

    /// Brings the groups back for which a table has just made entries.
    pub fn fetch(&mut self, end: i64, table: &mut GroupTable) -> Result<()> {
        let made = table.keys.made();
        if made.is_empty() || self.only(end) == 0 {
            return Ok(());
        }
        let keys = Sorted::new(end, table, made);
        let (mut entries, mut values) = (vec![], vec![]);
        for (key, entry) in keys.iter() {
            if let Some(value) = self.entries.get(key)? {
                entries.push(entry);
                values.push(value);
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.put(table, &entries, &values)?;
        entries.iter().for_each(|&e| table.flags[e as usize] |= ON_DISK | CLEAN);
        if let Some(only) = self.only.get_mut(&end) {
            *only -= entries.len();
        }
        Ok(())
    }

    /// Gives entries what values hold.
    fn put(&self, table: &mut GroupTable, entries: &[u32], values: &[Value]) -> Result<()> {
        let converter = self.values.as_ref().ok_or_else(|| Error::internal("groups on disk have no form"))?;
        let parser = converter.parser();
        let columns = converter.convert_rows(values.iter().map(|value| parser.parse(value)))?;
        table.put(entries, &mut columns.into_iter())
    }

    /// Notes that a group in memory is no more.
    pub fn forget(&mut self, end: i64, table: &GroupTable, entry: u32) {
        if table.flags[entry as usize] & ON_DISK != 0 {
            let mut key = prefix(end).to_vec();
            table.keys.write_key(entry, &mut key);
            self.entries.forget(&key);
        }
    }

    /// Forgets a window; returns how many groups went that were only here.
    pub fn drop_window(&mut self, end: i64) -> Result<usize> {
        let Some(only) = self.only.remove(&end) else { return Ok(0) };
        self.entries.drop_prefix(&prefix(end))?;
        Ok(only)
    }
}

/// The columns of a copy that are a value: the weight, and what the aggregates hold.
fn value_columns(rows: &RecordBatch, width: usize) -> Vec<ArrayRef> {
    rows.columns()[HEAD - 1..HEAD].iter().chain(&rows.columns()[HEAD + width..]).cloned().collect()
}

/// Bytes of it.
const PREFIX: usize = 8;

/// What keys of a window begin with.
fn prefix(end: i64) -> [u8; PREFIX] {
    (end ^ i64::MIN).to_be_bytes()
}

/// Keys of entries, ascending.
struct Sorted {
    bytes: Vec<u8>,
    /// Where each ends, by its place in `entries`.
    ends: Vec<usize>,
    entries: Vec<u32>,
    order: Vec<u32>,
}

impl Sorted {
    fn new(end: i64, table: &GroupTable, entries: Vec<u32>) -> Self {
        let (mut bytes, mut ends) = (vec![], Vec::with_capacity(entries.len()));
        for &entry in &entries {
            bytes.extend_from_slice(&prefix(end));
            table.keys.write_key(entry, &mut bytes);
            ends.push(bytes.len());
        }
        let mut sorted = Self { bytes, ends, entries, order: vec![] };
        let mut order: Vec<u32> = (0..sorted.entries.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| sorted.key(a).cmp(sorted.key(b)));
        sorted.order = order;
        sorted
    }

    fn key(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from..self.ends[at]]
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.order.iter().map(|&at| (self.key(at), self.entries[at as usize]))
    }
}

impl GroupTable {
    /// Marks entries that are to leave, at most so many; `any`: those too that were used since the hand came by last.
    fn pick(&mut self, most: usize, any: bool) -> usize {
        let (mut picked, count) = (0, self.flags.len());
        for _ in 0..count {
            if picked == most {
                break;
            }
            let at = if self.hand < count { self.hand } else { 0 };
            self.hand = at + 1;
            let flags = &mut self.flags[at];
            let is_kept = self.weight[at] == 0 || !Tree::takes(PREFIX + self.keys.key_bytes(at as u32));
            if is_kept || *flags & LEAVING != 0 {
                continue;
            }
            if *flags & USED != 0 && !any {
                *flags &= !USED;
            } else {
                *flags |= LEAVING;
                picked += 1;
            }
        }
        picked
    }

    /// The entries that are marked, or those that are not.
    fn leaving(&self, leaving: bool, filling: bool) -> Vec<u32> {
        // A key without rows is free, except while rows may come before those that they take back.
        let mut entries = if filling { self.keys.held() } else { self.live() };
        entries.retain(|&e| (self.flags[e as usize] & LEAVING != 0) == leaving);
        entries
    }

    /// Takes entries out that are marked; their numbers are used again.
    fn leave(&mut self, leaving: &[u32]) {
        let flags = &mut self.flags;
        self.changed.retain(|&e| flags[e as usize] & LEAVING == 0);
        self.changed.iter().for_each(|&e| flags[e as usize] &= !CHANGED);
        self.aggregates.iter_mut().filter_map(Aggregate::own_mut).for_each(|a| a.reset(leaving));
        for &e in leaving {
            self.keys.remove(e);
            (self.weight[e as usize], self.flags[e as usize]) = (0, 0);
        }
    }

    /// Gives entries a weight and what their aggregates hold.
    pub(super) fn put(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        let weights = columns.next().ok_or_else(|| Error::internal("a copied group has no weight"))?;
        let weights = weights.as_primitive::<Int64Type>();
        entries.iter().zip(weights.values()).for_each(|(&e, &w)| self.weight[e as usize] = w);
        for aggregate in self.aggregates.iter_mut().filter_map(Aggregate::own_mut) {
            aggregate.reset(entries);
            aggregate.merge(entries, columns)?;
        }
        Ok(())
    }
}

impl GroupState {
    /// Moves groups to disk until about so many bytes are left.
    pub(super) fn evict(&mut self, keep: usize) -> Result<()> {
        let (before, held) = (self.bytes().max(1), self.held());
        let room: usize = self.tables.iter().map(|(_, table)| table.keys.capacity()).sum();
        let stay = (room as u128 * keep as u128 / before as u128) as usize;
        let mut leave = held.saturating_sub(stay);
        // Numbers that were left are used again before there are more: what was moved lately has made room already.
        let is_little = stay > 0 && leave < room / LITTLE;
        if self.form == Form::Empty || leave == 0 || is_little {
            return Ok(());
        }
        for any in [false, true] {
            // What the open epoch touched is needed when it ends.
            for (_, table) in self.tables.iter_mut().filter(|(_, table)| table.dirty.is_empty()) {
                leave -= table.pick(leave, any);
            }
        }
        let Some(mut disk) = self.disk.take() else { return Ok(()) };
        let done = self.write_out(&mut disk);
        if !disk.entries.is_moved(done) {
            let flags = self.tables.iter_mut().flat_map(|(_, table)| &mut table.flags);
            flags.for_each(|flags| *flags &= !LEAVING);
        }
        self.disk = Some(disk);
        Ok(())
    }

    /// Writes all entries that are marked, and takes them out of memory.
    fn write_out(&mut self, disk: &mut Disk) -> Result<()> {
        let marked = |table: &GroupTable| table.flags.iter().any(|flags| flags & LEAVING != 0);
        let ends: Vec<i64> = self.tables.iter().filter(|(_, table)| marked(table)).map(|(end, _)| end).collect();
        let Some(&first) = ends.first() else { return Ok(()) };
        if disk.values.is_none() {
            let none = self.dump(first, &GroupTable::new(&self.layout, self.form)?, &[])?;
            let columns = value_columns(&none, self.layout.group.fields().len());
            let fields: Vec<_> = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
            if !RowConverter::supports_fields(&fields) {
                return Ok(());
            }
            disk.values = Some(RowConverter::new(fields)?);
        }
        let Disk { entries, values: Some(values), only } = disk else { return Ok(()) };
        let memory = Arc::clone(entries.account.memory());
        ends.iter().for_each(|end| self.mark_changed(*end));
        let mut stored = vec![];
        entries
            .write(|to| ends.iter().try_for_each(|end| self.write_window(*end, values, &memory, to, &mut stored)))?;
        for end in ends {
            *only.entry(end).or_default() += self.leave(end)?;
        }
        if !stored.is_empty() {
            // What comes after it is copied behind it.
            let (cleared, removed) = (std::mem::take(&mut self.cleared), std::mem::take(&mut self.gone));
            self.copied.push(Delta { cleared, removed, stored, ..Delta::default() });
        }
        Ok(())
    }

    /// Writes the entries of a window that are marked; and, for the next copy, those that changed.
    fn write_window(
        &self,
        end: i64,
        values: &RowConverter,
        memory: &Memory,
        to: &mut Writing<'_>,
        stored: &mut Vec<Arc<Extent>>,
    ) -> Result<()> {
        let Some(table) = self.tables.get(end) else { return Ok(()) };
        let mut leaving = table.leaving(true, self.filling);
        leaving.retain(|&e| table.flags[e as usize] & CLEAN == 0);
        let keys = Sorted::new(end, table, leaving);
        let all: Vec<(&[u8], u32)> = keys.iter().collect();
        for piece in all.chunks(PIECE) {
            let entries: Vec<u32> = piece.iter().map(|(_, e)| *e).collect();
            let rows = &self.dump(end, table, &entries)?;
            let values = values.convert_columns(&value_columns(rows, self.layout.group.fields().len()))?;
            piece.iter().enumerate().try_for_each(|(i, (key, _))| to.put(key, values.row(i).data()))?;
            let changed: BooleanArray = entries.iter().map(|&e| Some(table.flags[e as usize] & CHANGED != 0)).collect();
            if changed.true_count() > 0 {
                stored.push(Arc::new(Extent::write(memory, &filter_record_batch(rows, &changed)?)?));
            }
        }
        Ok(())
    }

    /// Marks the entries of a window that changed since the last copy.
    fn mark_changed(&mut self, end: i64) {
        let is_on = self.rotation.on;
        if let Some(table) = self.tables.get_mut(end).filter(|_| is_on) {
            for at in 0..table.changed.len() {
                let entry = table.changed[at] as usize;
                table.flags[entry] |= CHANGED;
            }
        }
    }

    /// Leaves the entries of a window that are marked; returns how many they were.
    fn leave(&mut self, end: i64) -> Result<usize> {
        let Some(table) = self.tables.get_mut(end) else { return Ok(0) };
        let leaving = table.leaving(true, self.filling);
        if (table.keys.len() - leaving.len()) * 2 < table.keys.capacity() {
            self.rebuild(end)?;
        } else {
            table.leave(&leaving);
        }
        Ok(leaving.len())
    }

    /// Puts the entries of a window that are not marked into a table of their own, so that memory is given back.
    fn rebuild(&mut self, end: i64) -> Result<()> {
        let Some(old) = self.tables.get(end) else { return Ok(()) };
        let stay = old.leaving(false, self.filling);
        let mut new = GroupTable::new(&self.layout, self.form)?;
        new.keys.note_made();
        (new.emitted, new.told_emitted) = (old.emitted, old.told_emitted);
        for entries in stay.chunks(PIECE) {
            let columns = self.columns_of(old, end, entries)?;
            let keys = self.batch_keys(&columns, entries.len())?;
            let mut fresh = vec![];
            new.keys.intern(&keys, 0, entries.len(), &mut fresh);
            new.grow();
            let rows = self.dump(end, old, entries)?;
            new.put(&fresh, &mut value_columns(&rows, self.layout.group.fields().len()).into_iter())?;
            for (&from, &to) in entries.iter().zip(&fresh) {
                let flags = old.flags[from as usize];
                new.flags[to as usize] = flags & !(CHANGED | LEAVING | DIRTY);
                if flags & CHANGED != 0 {
                    new.changed.push(to);
                }
            }
        }
        new.keys.made();
        if self.cursor.0 == end {
            // Those that stay keep their order.
            self.cursor.1 = stay.partition_point(|&e| e < self.cursor.1) as u32;
        }
        if let Some(table) = self.tables.get_mut(end) {
            *table = new;
        }
        Ok(())
    }

    /// How many groups of a window are on disk only.
    pub fn on_disk(&self, end: i64) -> usize {
        self.disk.as_ref().map_or(0, |disk| disk.only(end))
    }

    /// Groups that are on disk only, in the order of their keys, behind a key: each window's, as a table of their own. At
    /// most so many; the key of the last is put in the place of the one that was given. Whether these are all.
    pub(super) fn on_disk_from(&self, after: &mut Vec<u8>, most: usize) -> Result<(Vec<(i64, GroupTable)>, bool)> {
        let mut found: Vec<(i64, GroupTable, Vec<Value>)> = vec![];
        let Some(disk) = &self.disk else { return Ok((vec![], true)) };
        let (mut count, mut all) = (0, true);
        for entry in disk.entries.from(after)? {
            let (key, value) = entry?;
            let Some((first, rest)) = key.split_first_chunk() else { continue };
            let end = i64::from_be_bytes(*first) ^ i64::MIN;
            let in_memory = self.tables.get(end).is_some_and(|table| table.keys.holds_key(rest));
            if *key == **after || in_memory || disk.only(end) == 0 {
                continue;
            }
            if count == most {
                all = false;
                break;
            }
            if found.last().is_none_or(|(last, ..)| *last != end) {
                found.push((end, GroupTable::new(&self.layout, self.form)?, vec![]));
            }
            if let Some((_, table, values)) = found.last_mut() {
                table.keys.intern_key(rest);
                values.push(value);
                count += 1;
                if count == most {
                    *after = key.to_vec();
                }
            }
        }
        let whole = |(end, mut table, values): (i64, GroupTable, Vec<Value>)| {
            table.grow();
            let entries: Vec<u32> = (0..values.len() as u32).collect();
            disk.put(&mut table, &entries, &values)?;
            Ok((end, table))
        };
        Ok((found.into_iter().map(whole).collect::<Result<_>>()?, all))
    }

    /// Groups of one window that are on disk only, from behind a key on: at most so many, as a table; the key of
    /// the last is put in the place of the one that was given. Whether these are all.
    pub fn on_disk_of(&self, end: i64, after: &mut Vec<u8>, most: usize) -> Result<(Option<GroupTable>, bool)> {
        if after.is_empty() {
            *after = prefix(end).to_vec();
        }
        let (found, all) = self.on_disk_from(after, most)?;
        // It is over where the next begins.
        let is_over = all || found.iter().any(|(other, _)| *other != end);
        Ok((found.into_iter().find(|(other, _)| *other == end).map(|(_, table)| table), is_over))
    }
}
