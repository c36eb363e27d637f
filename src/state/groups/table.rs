//! [`GroupTable`]: the groups of one window, and the parts that panes bring.

use std::ops::Range;

use arrow::array::{ArrayRef, AsArray, RecordBatch};

use super::GroupLayout;
use crate::error::Result;
use crate::state::interner::{BatchKeys, Form, Interner};
use crate::state::{Accumulator, Results};

/// The groups of one window.
pub struct GroupTable {
    pub(super) keys: Interner,
    pub(super) weight: Vec<i64>,
    pub(super) aggregates: Vec<Accumulator>,
    pub(super) touched: Vec<u64>,
    pub(super) is_dirty: Vec<bool>,
    pub(super) dirty: Vec<u32>,
    /// Which of the touched entries, by position, held a group before the epoch; for each its weight and results.
    pub(super) before: Vec<u32>,
    pub(super) old_weight: Vec<i64>,
    pub(super) old: Vec<Results>,
    /// Its one entry may have a result without rows.
    single: bool,
    /// Whether its rows have been sent.
    pub emitted: bool,
}

/// Some rows of a batch, for one table.
pub(super) struct Rows<'a> {
    pub batch: &'a RecordBatch,
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

impl GroupTable {
    pub(super) fn new(layout: &GroupLayout, form: Form) -> Result<Self> {
        Ok(Self {
            keys: Interner::new(form),
            weight: vec![],
            aggregates: layout.kinds.iter().cloned().map(Accumulator::new).collect::<Result<_>>()?,
            touched: vec![],
            is_dirty: vec![],
            dirty: vec![],
            before: vec![],
            old_weight: vec![],
            single: form == Form::Empty,
            old: layout.kinds.iter().map(|_| Results::default()).collect(),
            emitted: false,
        })
    }

    pub(super) fn grow(&mut self) {
        let n = self.keys.capacity();
        if n > self.weight.len() {
            self.weight.resize(n, 0);
            self.touched.resize(n, 0);
            self.is_dirty.resize(n, false);
            self.aggregates.iter_mut().for_each(|a| a.resize(n));
        }
    }

    /// Adds rows; with `touch`, of a table whose changes are sent. `entries` is kept for its memory.
    pub(super) fn add(
        &mut self,
        layout: &GroupLayout,
        rows: &Rows<'_>,
        entries: &mut Vec<u32>,
        touch: bool,
    ) -> Result<()> {
        let &Rows { batch, keys, diffs, offset, length } = rows;
        self.keys.intern(keys, offset, length, entries);
        self.grow();
        if touch {
            self.touch(entries, layout.keep_old)?;
        }
        match diffs {
            None => entries.iter().for_each(|&e| self.weight[e as usize] += 1),
            Some(d) => entries.iter().zip(d).for_each(|(&e, &d)| self.weight[e as usize] += d),
        }
        for (aggregate, (arguments, filter)) in self.aggregates.iter_mut().zip(&layout.arguments) {
            let slice = |c: &usize| batch.column(*c).slice(offset, length);
            let arguments: Vec<ArrayRef> = arguments.iter().map(slice).collect();
            let filter = filter.as_ref().map(slice);
            aggregate.update(entries, &arguments, filter.as_ref().map(|f| f.as_boolean()), diffs)?;
        }
        Ok(())
    }

    /// All that was added to a table that never forgot a group.
    pub(super) fn part(&self) -> Result<Part<'_>> {
        let all: Vec<u32> = (0..self.keys.capacity() as u32).collect();
        let dumps = self.aggregates.iter().map(|a| a.dump(&all)).collect::<Result<_>>()?;
        Ok(Part { keys: PartKeys::All(&self.keys), weight: &self.weight, dumps })
    }

    /// Adds a part.
    pub(super) fn merge(&mut self, part: &Part<'_>, keep_old: bool, entries: &mut Vec<u32>) -> Result<()> {
        match part.keys {
            PartKeys::All(keys) => self.keys.intern_all(keys, entries),
            PartKeys::Rows(keys, offset, length) => self.keys.intern(keys, offset, length, entries),
        }
        self.grow();
        self.touch(entries, keep_old)?;
        entries.iter().zip(part.weight).for_each(|(&e, &w)| self.weight[e as usize] += w);
        for (aggregate, dump) in self.aggregates.iter_mut().zip(&part.dumps) {
            aggregate.merge(entries, &mut dump.iter().cloned())?;
        }
        Ok(())
    }

    /// Notes the entries that this epoch touches for the first time, with what they were.
    pub(super) fn touch(&mut self, entries: &[u32], keep_old: bool) -> Result<()> {
        let from = self.dirty.len();
        for &e in entries {
            let flag = &mut self.is_dirty[e as usize];
            if !*flag {
                *flag = true;
                self.dirty.push(e);
            }
        }
        if (keep_old || self.emitted) && from < self.dirty.len() {
            let held = |&at: &u32| self.single || self.weight[self.dirty[at as usize] as usize] != 0;
            let places: Vec<u32> = (from as u32..self.dirty.len() as u32).filter(held).collect();
            if places.is_empty() {
                return Ok(());
            }
            let entries: Vec<u32> = places.iter().map(|&at| self.dirty[at as usize]).collect();
            self.old_weight.extend(entries.iter().map(|&e| self.weight[e as usize]));
            for (old, now) in self.old.iter_mut().zip(&self.aggregates) {
                old.append(now, &entries)?;
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

    /// The aggregates now, by entry.
    pub fn aggregates(&self) -> &[Accumulator] {
        &self.aggregates
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
        let columns: usize = self.aggregates.iter().map(Accumulator::bytes).sum();
        self.keys.bytes_held() + columns + self.weight.capacity() * 17 + self.dirty.capacity() * 4
    }
}
