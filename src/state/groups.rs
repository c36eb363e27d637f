//! [`GroupState`]: groups and their aggregates, in one table per window.
//!
//! ```text
//!  window_end -> table { keys -> entry number, weight per entry, one column per aggregate,
//!                        entries touched in this epoch, and copies of what they were before it }
//! ```
//!
//! A small table per window stays in the cache, and a final window goes as a whole. Without a window there is one table,
//! at the end of time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::interner::{BatchKeys, Interner};
use super::{Accumulator, AccumulatorKind, Part, Results, State, part};
use crate::data::{BUCKETS, Bucket, Epoch, EventTime, KeyEncoder, from_words, is_word, to_words};
use crate::error::{Error, Result};

/// Where groups without a window are kept.
pub const NO_WINDOW: i64 = i64::MAX;

/// What a [`GroupState`] holds.
#[derive(Clone, Debug)]
pub struct GroupLayout {
    /// The group columns.
    pub group: SchemaRef,
    /// The group columns that are bounds of the window, and what to add to each to get the window's end.
    pub window: Vec<(usize, i64)>,
    /// The group columns by which groups belong to buckets.
    pub exchange: Vec<usize>,
    /// The aggregates.
    pub kinds: Vec<AccumulatorKind>,
    /// Per aggregate: the input columns of its arguments and that of its filter.
    pub arguments: Vec<(Vec<usize>, Option<usize>)>,
    /// Whether every touched entry's results before the epoch are kept; otherwise only those of emitted tables.
    pub keep_old: bool,
}

/// All groups of one operator on one worker.
pub struct GroupState {
    layout: GroupLayout,
    /// Positions of the group columns that are not the window's.
    keys: Vec<usize>,
    word: bool,
    encoder: KeyEncoder,
    hasher: KeyEncoder,
    tables: BTreeMap<i64, GroupTable>,
    dirty: BTreeSet<i64>,
    /// Per bucket: the last epoch that removed a group from it.
    removed: Box<[u64; BUCKETS]>,
    entries: Vec<u32>,
}

/// The groups of one window.
pub struct GroupTable {
    keys: Interner,
    weight: Vec<i64>,
    aggregates: Vec<Accumulator>,
    touched: Vec<u64>,
    is_dirty: Vec<bool>,
    dirty: Vec<u32>,
    old_weight: Vec<i64>,
    old: Vec<Results>,
    /// Whether its rows have been sent.
    pub emitted: bool,
}

impl GroupTable {
    fn new(layout: &GroupLayout, keys: usize, word: bool) -> Result<Self> {
        Ok(Self {
            keys: Interner::new(keys, word),
            weight: vec![],
            aggregates: layout.kinds.iter().cloned().map(Accumulator::new).collect::<Result<_>>()?,
            touched: vec![],
            is_dirty: vec![],
            dirty: vec![],
            old_weight: vec![],
            old: layout.kinds.iter().map(|_| Results::default()).collect(),
            emitted: false,
        })
    }

    fn grow(&mut self) {
        let n = self.keys.capacity();
        if n > self.weight.len() {
            self.weight.resize(n, 0);
            self.touched.resize(n, 0);
            self.is_dirty.resize(n, false);
            self.aggregates.iter_mut().for_each(|a| a.resize(n));
        }
    }

    /// Notes the entries that this epoch touches for the first time, with what they were.
    fn touch(&mut self, entries: &[u32], keep_old: bool) -> Result<()> {
        let from = self.dirty.len();
        for &e in entries {
            let flag = &mut self.is_dirty[e as usize];
            if !*flag {
                *flag = true;
                self.dirty.push(e);
            }
        }
        if (keep_old || self.emitted) && from < self.dirty.len() {
            let fresh = &self.dirty[from..];
            self.old_weight.extend(fresh.iter().map(|&e| self.weight[e as usize]));
            for (old, now) in self.old.iter_mut().zip(&self.aggregates) {
                old.append(now, fresh)?;
            }
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

    /// The weight that the i-th touched entry had before the epoch.
    pub fn old_weight(&self, i: usize) -> i64 {
        self.old_weight.get(i).copied().unwrap_or(0)
    }

    /// The aggregates now, by entry.
    pub fn aggregates(&self) -> &[Accumulator] {
        &self.aggregates
    }

    /// The aggregates' results before the epoch, by position among the touched entries.
    pub fn old(&self) -> &[Results] {
        &self.old
    }

    /// All entries that hold a group.
    pub fn live(&self) -> Vec<u32> {
        (0..self.weight.len() as u32).filter(|&e| self.weight[e as usize] != 0).collect()
    }

    fn bytes(&self) -> usize {
        let columns: usize = self.aggregates.iter().map(Accumulator::bytes).sum();
        self.keys.bytes() + columns + self.weight.capacity() * 17 + self.dirty.capacity() * 4
    }
}

impl GroupState {
    /// Empty.
    pub fn new(layout: GroupLayout) -> Result<Self> {
        let bound = |c: &usize| layout.window.iter().any(|(column, _)| column == c);
        let keys: Vec<usize> = (0..layout.group.fields().len()).filter(|c| !bound(c)).collect();
        let word = matches!(&keys[..], [key] if is_word(layout.group.field(*key).data_type()));
        Ok(Self {
            encoder: KeyEncoder::new(&layout.group, &keys)?,
            hasher: KeyEncoder::new(&layout.group, &layout.exchange)?,
            keys,
            word,
            layout,
            tables: BTreeMap::new(),
            dirty: BTreeSet::new(),
            removed: Box::new([0; BUCKETS]),
            entries: vec![],
        })
    }

    /// Whether there is one group, which always exists: no group columns at all.
    pub fn global(&self) -> bool {
        self.layout.group.fields().is_empty()
    }

    /// The hash by which rows of the empty key are exchanged.
    pub fn global_bucket() -> Bucket {
        Bucket::of(crate::data::hash(&[]))
    }

    /// Makes the one group of a global aggregate exist, and marks it as touched.
    pub fn touch_global(&mut self) -> Result<()> {
        let table = self.table(NO_WINDOW)?;
        let mut entries = vec![];
        table.keys.intern(&BatchKeys::Empty, 0, 1, &mut entries);
        table.grow();
        table.touch(&entries, true)?;
        self.dirty.insert(NO_WINDOW);
        Ok(())
    }

    /// Adds rows: their first columns are the group's.
    pub fn add(&mut self, rows: &RecordBatch, diffs: Option<&Int64Array>) -> Result<()> {
        let ends: Vec<i64> = match self.layout.window.first() {
            None => vec![],
            Some(&(column, to_end)) => {
                let bound =
                    to_words(rows.column(column)).ok_or_else(|| Error::internal("a window bound is no timestamp"))?;
                bound.values().iter().map(|b| b.saturating_add(to_end)).collect()
            }
        };
        let runs = runs(&ends, rows.num_rows());
        if runs.len() > 1 && rows.num_rows() / runs.len() < 8 {
            let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
            order.sort_by_key(|&i| ends[i as usize]);
            let ends: Vec<i64> = order.iter().map(|&i| ends[i as usize]).collect();
            let order = UInt32Array::from(order);
            let diffs = diffs.map(|d| arrow::compute::take(d, &order, None)).transpose()?;
            let diffs = diffs.map(|d| d.as_primitive::<Int64Type>().clone());
            return self.add_runs(&take_record_batch(rows, &order)?, diffs.as_ref(), &self::runs(&ends, ends.len()));
        }
        self.add_runs(rows, diffs, &runs)
    }

    fn add_runs(&mut self, rows: &RecordBatch, diffs: Option<&Int64Array>, runs: &[(i64, usize, usize)]) -> Result<()> {
        let keys = self.batch_keys(rows)?;
        for &(end, offset, length) in runs {
            let mut entries = std::mem::take(&mut self.entries);
            let keep_old = self.layout.keep_old;
            self.table(end)?;
            let Some(table) = self.tables.get_mut(&end) else { continue };
            table.keys.intern(&keys, offset, length, &mut entries);
            table.grow();
            table.touch(&entries, keep_old)?;
            let diffs = diffs.map(|d| &d.values()[offset..offset + length]);
            match diffs {
                None => entries.iter().for_each(|&e| table.weight[e as usize] += 1),
                Some(d) => entries.iter().zip(d).for_each(|(&e, &d)| table.weight[e as usize] += d),
            }
            for (aggregate, (arguments, filter)) in table.aggregates.iter_mut().zip(&self.layout.arguments) {
                let slice = |c: &usize| rows.column(*c).slice(offset, length);
                let arguments: Vec<ArrayRef> = arguments.iter().map(slice).collect();
                let filter = filter.as_ref().map(slice);
                aggregate.update(&entries, &arguments, filter.as_ref().map(|f| f.as_boolean()), diffs)?;
            }
            self.dirty.insert(end);
            self.entries = entries;
        }
        Ok(())
    }

    fn batch_keys(&self, rows: &RecordBatch) -> Result<BatchKeys> {
        Ok(match &self.keys[..] {
            [] => BatchKeys::Empty,
            [key] if self.word => {
                BatchKeys::Words(to_words(rows.column(*key)).ok_or_else(|| Error::internal("a key is no word"))?)
            }
            _ => BatchKeys::Bytes(self.encoder.encode(rows)?),
        })
    }

    fn table(&mut self, end: i64) -> Result<&mut GroupTable> {
        use std::collections::btree_map::Entry;
        Ok(match self.tables.entry(end) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => place.insert(GroupTable::new(&self.layout, self.keys.len(), self.word)?),
        })
    }

    /// The windows that this epoch touched.
    pub fn dirty_windows(&self) -> impl Iterator<Item = i64> {
        self.dirty.iter().copied()
    }

    /// The ends of the windows held, ascending.
    pub fn windows(&self) -> impl Iterator<Item = (i64, &GroupTable)> {
        self.tables.iter().map(|(end, table)| (*end, table))
    }

    /// One window's groups.
    pub fn get(&self, end: i64) -> Option<&GroupTable> {
        self.tables.get(&end)
    }

    /// One window's groups, to mark them as emitted.
    pub fn get_mut(&mut self, end: i64) -> Option<&mut GroupTable> {
        self.tables.get_mut(&end)
    }

    /// The group columns of entries of a window.
    pub fn group_columns(&self, end: i64, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let Some(table) = self.tables.get(&end) else { return Ok(vec![]) };
        let mut keys = match table.keys.words(entries) {
            Some(words) => {
                let data_type = self.keys.first().map_or(&DataType::Int64, |k| self.layout.group.field(*k).data_type());
                vec![from_words(words, data_type)]
            }
            None => self.encoder.decode(entries.iter().map(|&e| table.keys.key(e)))?,
        };
        // Ascending, so that each is inserted at its place.
        for &(column, to_end) in &self.layout.window {
            let bound = Int64Array::from(vec![end.saturating_sub(to_end); entries.len()]);
            keys.insert(column, from_words(bound, self.layout.group.field(column).data_type()));
        }
        Ok(keys)
    }

    /// Ends an epoch for one window: forgets what was touched, and groups without rows.
    pub fn settle(&mut self, end: i64, epoch: Epoch) -> Result<()> {
        self.dirty.remove(&end);
        let global = self.global();
        let Some(table) = self.tables.get_mut(&end) else { return Ok(()) };
        let dirty = std::mem::take(&mut table.dirty);
        table.aggregates.iter_mut().for_each(|a| a.settle(&dirty));
        let mut gone = vec![];
        for &e in &dirty {
            table.is_dirty[e as usize] = false;
            table.touched[e as usize] = epoch.0;
            if table.weight[e as usize] == 0 && !global {
                gone.push(e);
            }
        }
        table.old_weight.clear();
        table.old.iter_mut().for_each(Results::clear);
        self.forget(end, &gone, epoch)?;
        if let Some(table) = self.tables.get_mut(&end) {
            if table.keys.len() == 0 {
                self.tables.remove(&end);
            } else {
                let mut dirty = dirty;
                dirty.clear();
                table.dirty = dirty;
            }
        }
        Ok(())
    }

    fn forget(&mut self, end: i64, gone: &[u32], epoch: Epoch) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        for hash in self.hashes(end, gone)? {
            self.removed[usize::from(Bucket::of(hash).0)] = epoch.0;
        }
        if let Some(table) = self.tables.get_mut(&end) {
            for &e in gone {
                table.aggregates.iter_mut().for_each(|a| a.reset(e));
                table.keys.remove(e);
            }
        }
        Ok(())
    }

    /// The exchange hashes of entries.
    fn hashes(&self, end: i64, entries: &[u32]) -> Result<Vec<u64>> {
        let group = self.group_columns(end, entries)?;
        let columns: Vec<ArrayRef> = self.layout.exchange.iter().map(|&c| group[c].clone()).collect();
        let keys = self.hasher.encode_columns(&columns, entries.len())?;
        Ok(keys.iter().map(crate::data::hash).collect())
    }

    /// Drops a final window at an epoch.
    pub fn drop_at(&mut self, end: i64, epoch: Epoch) -> usize {
        self.removed.iter_mut().for_each(|r| *r = epoch.0);
        self.drop_window(EventTime(end))
    }

    /// All entries of a window as one batch: what [`Self::load`] takes.
    fn dump(&self, end: i64, table: &GroupTable) -> Result<Option<(RecordBatch, Vec<u64>)>> {
        let entries = if self.global() { (0..table.weight.len() as u32).collect() } else { table.live() };
        if entries.is_empty() {
            return Ok(None);
        }
        let weights: Int64Array = entries.iter().map(|&e| table.weight[e as usize]).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![end; entries.len()])),
            Arc::new(BooleanArray::from(vec![table.emitted; entries.len()])),
            Arc::new(weights),
        ];
        columns.extend(self.group_columns(end, &entries)?);
        for aggregate in &table.aggregates {
            columns.extend(aggregate.dump(&entries)?);
        }
        let named = columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c, true));
        let rows = RecordBatch::try_from_iter_with_nullable(named)?;
        Ok(Some((rows, self.hashes(end, &entries)?)))
    }

    fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = self.layout.group.fields().len();
        let ends = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        for (end, offset, length) in runs(&ends, ends.len()) {
            let rows = rows.slice(offset, length);
            let group = rows.columns()[3..3 + width].to_vec();
            let keys = if width == 0 {
                BatchKeys::Empty
            } else {
                self.batch_keys(&RecordBatch::try_new(nullable(&self.layout.group), group)?)?
            };
            let table = self.table(end)?;
            let mut entries = vec![];
            table.keys.intern(&keys, 0, length, &mut entries);
            table.grow();
            table.emitted |= rows.column(1).as_boolean().value(0);
            let weights = rows.column(2).as_primitive::<Int64Type>();
            entries.iter().zip(weights.values()).for_each(|(&e, &w)| table.weight[e as usize] = w);
            let mut columns = rows.columns()[3 + width..].iter().cloned();
            for aggregate in &mut table.aggregates {
                aggregate.merge(&entries, &mut columns)?;
            }
        }
        Ok(())
    }
}

/// Runs of equal window ends: (end, offset, length). No ends: one run without window.
fn runs(ends: &[i64], rows: usize) -> Vec<(i64, usize, usize)> {
    if ends.is_empty() {
        return if rows == 0 { vec![] } else { vec![(NO_WINDOW, 0, rows)] };
    }
    let mut out = vec![];
    let mut start = 0;
    for i in 1..=ends.len() {
        if i == ends.len() || ends[i] != ends[start] {
            out.push((ends[start], start, i - start));
            start = i;
        }
    }
    out
}

/// The schema with every column nullable: restored keys carry no such promise.
fn nullable(schema: &Schema) -> SchemaRef {
    let field = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

impl State for GroupState {
    fn snapshot(&self, since: Option<Epoch>) -> Result<Vec<Part>> {
        let mut dumps = vec![];
        let mut wanted = [since.is_none(); BUCKETS];
        for (end, table) in &self.tables {
            let Some((rows, hashes)) = self.dump(*end, table)? else { continue };
            if let Some(since) = since {
                let entries = if self.global() { (0..table.weight.len() as u32).collect() } else { table.live() };
                for (&e, &hash) in entries.iter().zip(&hashes) {
                    wanted[usize::from(Bucket::of(hash).0)] |= table.touched[e as usize] > since.0;
                }
            }
            dumps.push((rows, hashes));
        }
        if let Some(since) = since {
            wanted.iter_mut().zip(self.removed.iter()).for_each(|(w, r)| *w |= *r > since.0);
        }
        let all = match dumps.first() {
            Some((first, _)) => arrow::compute::concat_batches(&first.schema(), dumps.iter().map(|(rows, _)| rows))?,
            None => RecordBatch::new_empty(Arc::new(Schema::empty())),
        };
        let hashes: Vec<u64> = dumps.iter().flat_map(|(_, hashes)| hashes.iter().copied()).collect();
        part::encode_by_bucket(&all, &hashes, &wanted, since.is_some())
    }

    fn restore(&mut self, parts: &[Part]) -> Result<()> {
        for part in parts {
            if let Some(rows) = part::decode(part)? {
                self.load(&rows)?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.tables.values().map(GroupTable::bytes).sum()
    }

    fn rows(&self) -> usize {
        self.tables.values().map(|t| t.keys.len()).sum()
    }

    fn drop_window(&mut self, window_end: EventTime) -> usize {
        self.dirty.remove(&window_end.0);
        self.tables.remove(&window_end.0).map_or(0, |t| t.keys.len())
    }
}
