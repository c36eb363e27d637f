//! [`GroupTable`]: the groups of one window, and the parts that panes bring.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};

use super::GroupLayout;
use super::disk::Disk;
use crate::error::Result;
use crate::state::interner::{BatchKeys, Form, Interner};
use crate::state::{Accumulator, Finished, Results};

/// What is known of an entry: the open epoch touched it; it was used since it was last looked for what may leave; it is on
/// disk; as it is; it changed since the last copy; it is leaving.
pub(super) const DIRTY: u8 = 1;
pub(super) const USED: u8 = 2;
pub(super) const ON_DISK: u8 = 4;
pub(super) const CLEAN: u8 = 8;
pub(super) const CHANGED: u8 = 16;
pub(super) const LEAVING: u8 = 32;

/// The groups of one window.
pub struct GroupTable {
    pub(super) keys: Interner,
    pub(super) weight: Vec<i64>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) flags: Vec<u8>,
    pub(super) dirty: Vec<u32>,
    /// Which of the touched entries, by position, held a group before the epoch; for each its weight and results.
    pub(super) before: Vec<u32>,
    pub(super) old_weight: Vec<i64>,
    pub(super) old: Vec<Results>,
    /// Its one entry may have a result without rows.
    single: bool,
    /// Whether its rows have been sent.
    pub emitted: bool,
    /// Whether a copy says so; and the entries that changed since the last copy, some of them twice.
    pub(super) told_emitted: bool,
    pub(super) changed: Vec<u32>,
    /// Where it is looked next for what may leave.
    pub(super) hand: usize,
}

/// What one aggregate holds of the groups.
pub(super) enum Aggregate {
    /// It counts all rows: the groups' weight.
    Weight,
    Own(Box<Accumulator>),
}

/// What rows are added to.
pub(super) enum Touch<'a> {
    /// A pane, of the open epoch.
    Pane,
    /// A window, while nothing has been sent yet.
    Filled(i64, Option<&'a mut Disk>),
    /// A window whose changes are sent.
    Epoch(i64, Option<&'a mut Disk>),
}

/// Some rows of a batch, for one table.
pub(super) struct Rows<'a> {
    pub columns: &'a [ArrayRef],
    pub keys: &'a BatchKeys,
    pub diffs: Option<&'a [i64]>,
    pub offset: usize,
    pub length: usize,
}

/// What rows have brought to groups, to be added to one window or more.
pub(super) struct Part<'a> {
    pub keys: PartKeys<'a>,
    pub weight: &'a [i64],
    /// Per aggregate.
    pub dumps: Vec<Vec<ArrayRef>>,
}

/// The keys of a part.
pub(super) enum PartKeys<'a> {
    /// All that a table holds, of which none was removed.
    All(&'a Interner),
    /// Some rows of a batch.
    Rows(&'a BatchKeys, usize, usize),
}

impl Aggregate {
    /// The one that has an accumulator.
    pub fn own(&self) -> Option<&Accumulator> {
        match self {
            Self::Weight => None,
            Self::Own(accumulator) => Some(accumulator),
        }
    }

    pub fn own_mut(&mut self) -> Option<&mut Accumulator> {
        match self {
            Self::Weight => None,
            Self::Own(accumulator) => Some(accumulator),
        }
    }

    fn finish(&self, weight: &[i64], entries: &[u32]) -> Result<Finished> {
        match self {
            Self::Weight => {
                let column: Int64Array = entries.iter().map(|&e| weight[e as usize]).collect();
                Ok(Finished { column: Arc::new(column), errors: vec![] })
            }
            Self::Own(accumulator) => accumulator.finish(entries),
        }
    }
}

impl GroupTable {
    pub(super) fn new(layout: &GroupLayout, form: Form) -> Result<Self> {
        Ok(Self {
            keys: Interner::new(form),
            weight: vec![],
            aggregates: (0..layout.kinds.len()).map(|i| layout.aggregate(i)).collect::<Result<_>>()?,
            flags: vec![],
            dirty: vec![],
            before: vec![],
            old_weight: vec![],
            single: form == Form::Empty,
            old: layout.kinds.iter().map(|_| Results::default()).collect(),
            emitted: false,
            told_emitted: false,
            changed: vec![],
            hand: 0,
        })
    }

    /// Forgets all but the memory that it has. Only where all [`GroupLayout::flat`].
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.weight.clear();
        self.flags.clear();
        self.aggregates.iter_mut().filter_map(Aggregate::own_mut).for_each(|a| a.resize(0));
        self.dirty.clear();
        self.forget_old();
        self.changed.clear();
        (self.emitted, self.told_emitted) = (false, false);
    }

    /// Forgets what groups were before the epoch.
    pub(super) fn forget_old(&mut self) {
        self.before.clear();
        self.old_weight.clear();
        self.old.iter_mut().for_each(Results::clear);
    }

    pub(super) fn grow(&mut self) {
        let n = self.keys.capacity();
        if n > self.weight.len() {
            self.weight.resize(n, 0);
            self.flags.resize(n, 0);
            self.aggregates.iter_mut().filter_map(Aggregate::own_mut).for_each(|a| a.resize(n));
        }
    }

    /// Adds rows. `entries` is kept for its memory.
    pub(super) fn add(
        &mut self,
        layout: &GroupLayout,
        rows: &Rows<'_>,
        entries: &mut Vec<u32>,
        touch: Touch<'_>,
    ) -> Result<()> {
        let &Rows { columns, keys, diffs, offset, length } = rows;
        self.keys.intern(keys, offset, length, entries);
        self.grow();
        self.ready(entries, layout.keep_old, touch)?;
        match diffs {
            None => entries.iter().for_each(|&e| self.weight[e as usize] += 1),
            Some(d) => entries.iter().zip(d).for_each(|(&e, &d)| self.weight[e as usize] += d),
        }
        for (aggregate, (arguments, filter)) in self.aggregates.iter_mut().zip(&layout.arguments) {
            let Some(aggregate) = aggregate.own_mut() else { continue };
            let slice = |c: &usize| columns[*c].slice(offset, length);
            let arguments: Vec<ArrayRef> = arguments.iter().map(slice).collect();
            let filter = filter.as_ref().map(slice);
            aggregate.update(entries, &arguments, filter.as_ref().map(|f| f.as_boolean()), diffs)?;
        }
        Ok(())
    }

    /// All that was added to a table that never forgot a group.
    pub(super) fn part(&self) -> Result<Part<'_>> {
        let all: Vec<u32> = (0..self.keys.capacity() as u32).collect();
        let dumps = self.aggregates.iter().filter_map(Aggregate::own).map(|a| a.dump(&all)).collect::<Result<_>>()?;
        Ok(Part { keys: PartKeys::All(&self.keys), weight: &self.weight, dumps })
    }

    /// Adds a part.
    pub(super) fn merge(
        &mut self,
        part: &Part<'_>,
        keep_old: bool,
        entries: &mut Vec<u32>,
        touch: Touch<'_>,
    ) -> Result<()> {
        match part.keys {
            PartKeys::All(keys) => self.keys.intern_all(keys, entries),
            PartKeys::Rows(keys, offset, length) => self.keys.intern(keys, offset, length, entries),
        }
        self.grow();
        self.ready(entries, keep_old, touch)?;
        entries.iter().zip(part.weight).for_each(|(&e, &w)| self.weight[e as usize] += w);
        for (aggregate, dump) in self.aggregates.iter_mut().filter_map(Aggregate::own_mut).zip(&part.dumps) {
            aggregate.merge(entries, &mut dump.iter().cloned())?;
        }
        Ok(())
    }

    /// Makes entries ready to be changed.
    fn ready(&mut self, entries: &[u32], keep_old: bool, touch: Touch<'_>) -> Result<()> {
        match touch {
            Touch::Pane => Ok(()),
            Touch::Filled(end, disk) => {
                disk.map_or(Ok(()), |disk| disk.fetch(end, self))?;
                entries.iter().for_each(|&e| self.flags[e as usize] = (self.flags[e as usize] | USED) & !CLEAN);
                Ok(())
            }
            Touch::Epoch(end, disk) => {
                disk.map_or(Ok(()), |disk| disk.fetch(end, self))?;
                self.touch(entries, keep_old)
            }
        }
    }

    /// Notes the entries that this epoch touches for the first time, with what they were.
    pub(super) fn touch(&mut self, entries: &[u32], keep_old: bool) -> Result<()> {
        let from = self.dirty.len();
        // Each entry is written behind the last one, where it stays if it is new: which are is hard to foresee.
        self.dirty.resize(from + entries.len(), 0);
        let mut next = from;
        for &e in entries {
            let flags = &mut self.flags[e as usize];
            self.dirty[next] = e;
            next += usize::from(*flags & DIRTY == 0);
            *flags = (*flags | DIRTY | USED) & !CLEAN;
        }
        self.dirty.truncate(next);
        if (keep_old || self.emitted) && from < self.dirty.len() {
            let held = |&at: &u32| self.single || self.weight[self.dirty[at as usize] as usize] != 0;
            let places: Vec<u32> = (from as u32..self.dirty.len() as u32).filter(held).collect();
            if places.is_empty() {
                return Ok(());
            }
            let entries: Vec<u32> = places.iter().map(|&at| self.dirty[at as usize]).collect();
            self.old_weight.extend(entries.iter().map(|&e| self.weight[e as usize]));
            for (old, now) in self.old.iter_mut().zip(&self.aggregates) {
                old.append(now.finish(&self.weight, &entries)?);
            }
            self.before.extend(places);
        }
        Ok(())
    }

    /// The entries touched in this epoch.
    pub fn dirty(&self) -> &[u32] {
        &self.dirty
    }

    /// The weight of an entry: how many rows its group has.
    pub fn weight(&self, entry: u32) -> i64 {
        self.weight[entry as usize]
    }

    /// Which of the touched entries `from..to` held a group before the epoch: their numbers among all that did, and their
    /// positions, counted from `from`.
    pub fn before(&self, from: usize, to: usize) -> (Range<usize>, Vec<u32>) {
        let at = |limit: usize| self.before.partition_point(|&place| (place as usize) < limit);
        let range = at(from)..at(to);
        (range.clone(), self.before[range].iter().map(|&place| place - from as u32).collect())
    }

    /// The weight before the epoch of the i-th entry that held a group.
    pub fn old_weight(&self, i: usize) -> i64 {
        self.old_weight[i]
    }

    /// Whether it has more memory than is worth keeping for as many groups as it has.
    pub(super) fn is_sparse(&self) -> bool {
        self.weight.capacity() > 1024 && self.weight.capacity() / 16 > self.weight.len()
    }

    /// The aggregates' results now, of some entries.
    pub fn results(&self, entries: &[u32]) -> Result<Vec<Finished>> {
        self.aggregates.iter().map(|a| a.finish(&self.weight, entries)).collect()
    }

    /// The aggregates' results before the epoch, of the entries that held a group.
    pub fn old(&self) -> &[Results] {
        &self.old
    }

    /// All entries that hold a group.
    pub fn live(&self) -> Vec<u32> {
        (0..self.weight.len() as u32).filter(|&e| self.weight[e as usize] != 0).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.aggregates.iter().filter_map(Aggregate::own).map(Accumulator::bytes).sum();
        self.keys.bytes_held()
            + columns
            + self.weight.capacity() * 9
            + (self.dirty.capacity() + self.changed.capacity()) * 4
    }
}
