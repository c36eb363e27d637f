//! [`GroupState`]: groups and their aggregates, in one table per window.
//!
//! ```text
//!  window_end -> table { keys -> entry number, weight per entry, one column per aggregate,
//!                        entries touched in this epoch, and copies of what they were before it }
//! ```
//!
//! A small table per window stays in the cache, and a final window goes as a whole. Without a window there is one table,
//! at the end of time.
//!
//! Where windows overlap, rows come once for all their windows (`plan::Panes`), and are first put together by pane, the
//! largest slice of time that lies wholly inside or outside of each window (Li et al., "No pane, no gain", 2005): what an
//! epoch brought to a pane is added to each of its windows when the epoch ends. A row that came too late for the first of
//! its windows belongs to a pane of its own, with less windows. Invariant: between epochs there are no panes, so
//! snapshots, restoring, closing and dropping know windows only.

mod capture;
mod disk;
mod parts;
mod runs;
mod table;
mod tables;

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt32Type};

use super::delta::{Delta, Rotation};
use super::interner::{BatchKeys, Form};
use super::{Accumulator, AccumulatorKind, AggregateFunction};
use crate::data::{Bucket, KeyEncoder, Span, from_words, to_words};
use crate::error::{Error, Result};
use disk::Disk;
use runs::{Run, Spot, gathered, runs};
pub use table::GroupTable;
use table::{Aggregate, DIRTY, Part, Rows, Touch};
use tables::Tables;

/// Rows of a run below which a batch is put into the order of its windows first.
const SHORT: usize = 64;

/// Where groups without a window are kept, and those whose window has no end.
pub const NO_WINDOW: i64 = i64::MAX;

/// What a [`GroupState`] holds.
#[derive(Clone, Debug)]
pub struct GroupLayout {
    /// The group columns.
    pub group: SchemaRef,
    /// The group columns that are bounds of the window, and what lies between each and the window's end. NULL is the
    /// bound of the window that ends with event time.
    pub window: Vec<(usize, Span)>,
    /// The group columns by which groups belong to buckets.
    pub exchange: Vec<usize>,
    /// Where rows stand for several windows: the input's column that tells for how many, and the time between windows.
    pub panes: Option<(usize, i64)>,
    /// The aggregates.
    pub kinds: Vec<AccumulatorKind>,
    /// Per aggregate: the input columns of its arguments and that of its filter.
    pub arguments: Vec<(Vec<usize>, Option<usize>)>,
    /// Whether every touched entry's results before the epoch are kept; otherwise only those of emitted tables.
    pub keep_old: bool,
}

impl GroupLayout {
    /// Without groups.
    fn aggregate(&self, i: usize) -> Result<Aggregate> {
        let kind = &self.kinds[i];
        let all = kind.function == AggregateFunction::Count && kind.inputs.is_empty() && !kind.distinct;
        if all && self.arguments[i].1.is_none() {
            return Ok(Aggregate::Weight);
        }
        Ok(Aggregate::Own(Box::new(Accumulator::new(kind.clone())?)))
    }
}

/// Rows of which those of one table are together.
struct InRuns {
    columns: Vec<ArrayRef>,
    diffs: Option<Int64Array>,
    runs: Vec<Run>,
    count: usize,
}

/// What rows of a window are added to.
fn touch<'a>(filling: bool, end: i64, disk: &'a mut Option<Disk>, table: &mut GroupTable) -> Touch<'a> {
    if disk.is_some() {
        table.keys.note_made();
    }
    if filling { Touch::Filled(end, disk.as_mut()) } else { Touch::Epoch(end, disk.as_mut()) }
}

/// All groups of one operator on one worker.
pub struct GroupState {
    layout: GroupLayout,
    /// Positions of the group columns that are not the window's.
    keys: Vec<usize>,
    form: Form,
    encoder: KeyEncoder,
    hasher: KeyEncoder,
    /// The input's columns that are looked at in rows.
    used: Vec<usize>,
    tables: Tables<i64>,
    /// Of the open epoch; each brings its rows to several windows.
    panes: Tables<Spot>,
    dirty: BTreeSet<i64>,
    /// How far the copying is: what went since the last copy, and the window and entry that the rotation copies next.
    rotation: Rotation,
    gone: Vec<RecordBatch>,
    cleared: Vec<i64>,
    cursor: (i64, u32),
    /// Behind which of the groups on disk, once all others have had their turn.
    disk_cursor: Option<Vec<u8>>,
    /// What was copied when changed groups went to disk.
    copied: Vec<Delta>,
    /// Nothing has been sent yet.
    filling: bool,
    disk: Option<Disk>,
    entries: Vec<u32>,
}

impl GroupState {
    /// Empty.
    pub fn new(layout: GroupLayout) -> Result<Self> {
        let bound = |c: &usize| layout.window.iter().any(|(column, _)| column == c);
        let keys: Vec<usize> = (0..layout.group.fields().len()).filter(|c| !bound(c)).collect();
        let types: Vec<&DataType> = keys.iter().map(|k| layout.group.field(*k).data_type()).collect();
        let form = Form::of(&types);
        let arguments = layout.arguments.iter().flat_map(|(arguments, filter)| arguments.iter().chain(filter));
        let used = keys.iter().chain(arguments).copied().collect();
        let filling = !layout.group.fields().is_empty();
        Ok(Self {
            encoder: KeyEncoder::new(&layout.group, &keys)?,
            hasher: KeyEncoder::new(&layout.group, &layout.exchange)?,
            keys,
            form,
            layout,
            used,
            tables: Tables::new(),
            panes: Tables::new(),
            dirty: BTreeSet::new(),
            rotation: Rotation::default(),
            gone: vec![],
            cleared: vec![],
            cursor: (i64::MIN, 0),
            disk_cursor: None,
            copied: vec![],
            filling,
            disk: None,
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
        let table = self.tables.at(NO_WINDOW, &self.layout, self.form)?;
        let mut entries = vec![];
        table.keys.intern(&BatchKeys::Empty, 0, 1, &mut entries);
        table.grow();
        table.touch(&entries, true)?;
        self.dirty.insert(NO_WINDOW);
        Ok(())
    }

    /// Ends the time in which nothing was sent, and so nothing noted of what was touched; all that is there is to be sent.
    /// Whether it has just ended.
    pub fn filled(&mut self) -> bool {
        if !std::mem::replace(&mut self.filling, false) {
            return false;
        }
        let ends: Vec<i64> = self.tables.iter().map(|(end, _)| end).collect();
        for end in ends {
            let Some(table) = self.tables.get(end) else { continue };
            let mut gone = table.keys.held();
            gone.retain(|&e| table.weight(e) == 0);
            self.forget(end, &gone);
        }
        true
    }

    /// Adds rows: their first columns are the group's.
    pub fn add(&mut self, rows: &RecordBatch, diffs: Option<&Int64Array>) -> Result<()> {
        let rows = self.in_runs(rows, diffs, &self.used)?;
        self.add_runs(&rows, false)
    }

    /// The rows with those of one table together. Only these columns matter.
    fn in_runs(&self, rows: &RecordBatch, diffs: Option<&Int64Array>, used: &[usize]) -> Result<InRuns> {
        let runs = self.runs(rows)?;
        let (mut columns, count) = (rows.columns().to_vec(), rows.num_rows());
        if runs.len() <= 1 || count / runs.len() >= SHORT {
            return Ok(InRuns { columns, diffs: diffs.cloned(), runs, count });
        }
        let (order, runs) = gathered(&runs);
        let order = UInt32Array::from(order);
        for &column in used {
            columns[column] = take(rows.column(column), &order, None)?;
        }
        let diffs = diffs.map(|d| take(d, &order, None)).transpose()?;
        let diffs = diffs.map(|d| d.as_primitive::<Int64Type>().clone());
        Ok(InRuns { columns, diffs, runs, count })
    }

    /// The neighbouring rows that belong to one table.
    fn runs(&self, rows: &RecordBatch) -> Result<Vec<Run>> {
        let Some(&(column, to_end)) = self.layout.window.first() else {
            let all = Run { spot: Spot { end: NO_WINDOW, windows: 1 }, offset: 0, length: rows.num_rows() };
            return Ok(if all.length == 0 { vec![] } else { vec![all] });
        };
        let bounds = to_words(rows.column(column)).ok_or_else(|| Error::internal("a window bound is no timestamp"))?;
        let (values, nulls) = (bounds.values(), bounds.nulls().filter(|nulls| nulls.null_count() > 0));
        let bound = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row)).then(|| values[row]);
        let end = |row: usize| bound(row).map_or(NO_WINDOW, |bound| to_end.end(bound));
        let count = rows.num_rows();
        Ok(match (self.layout.panes, nulls) {
            (None, None) => runs(count, |row| values[row] == values[row - 1], |row| Spot { end: end(row), windows: 1 }),
            (None, Some(_)) => {
                runs(count, |row| bound(row) == bound(row - 1), |row| Spot { end: end(row), windows: 1 })
            }
            (Some((windows, _)), _) => {
                let windows = rows.column(windows).as_primitive::<UInt32Type>().values();
                let same = |row: usize| bound(row) == bound(row - 1) && windows[row] == windows[row - 1];
                runs(count, same, |row| Spot { end: end(row), windows: windows[row] })
            }
        })
    }

    /// Adds rows to their windows, or, where they stand for several and with `collect` always, to panes.
    fn add_runs(&mut self, rows: &InRuns, collect: bool) -> Result<()> {
        let keys = self.batch_keys(&rows.columns, rows.count)?;
        let mut entries = std::mem::take(&mut self.entries);
        for &Run { spot, offset, length } in &rows.runs {
            let diffs = rows.diffs.as_ref().map(|d| &d.values()[offset..offset + length]);
            let rows = Rows { columns: &rows.columns, keys: &keys, diffs, offset, length };
            if collect || spot.windows > 1 {
                let table = self.panes.at(spot, &self.layout, self.form)?;
                table.add(&self.layout, &rows, &mut entries, Touch::Pane)?;
            } else {
                let table = self.tables.at(spot.end, &self.layout, self.form)?;
                let touch = touch(self.filling, spot.end, &mut self.disk, table);
                table.add(&self.layout, &rows, &mut entries, touch)?;
                if !self.filling {
                    self.dirty.insert(spot.end);
                }
            }
        }
        self.entries = entries;
        Ok(())
    }

    /// Adds what panes brought in this epoch to their windows.
    pub fn merge_panes(&mut self) -> Result<()> {
        let Some((_, slide)) = self.layout.panes else { return Ok(()) };
        let mut entries = std::mem::take(&mut self.entries);
        for (spot, table) in self.panes.take_all() {
            self.merge(spot, slide, &table.part()?, &mut entries)?;
            self.panes.retire(table, &self.layout);
        }
        self.entries = entries;
        Ok(())
    }

    /// Adds a part to its windows.
    fn merge(&mut self, spot: Spot, slide: i64, part: &Part<'_>, entries: &mut Vec<u32>) -> Result<()> {
        for back in 0..i64::from(spot.windows) {
            let end = spot.end.saturating_sub(back.saturating_mul(slide));
            let table = self.tables.at(end, &self.layout, self.form)?;
            let touch = touch(self.filling, end, &mut self.disk, table);
            table.merge(part, self.layout.keep_old, entries, touch)?;
            if !self.filling {
                self.dirty.insert(end);
            }
        }
        Ok(())
    }

    /// The keys of `count` rows whose first columns are the group's.
    fn batch_keys(&self, columns: &[ArrayRef], count: usize) -> Result<BatchKeys> {
        Ok(match (self.form, &self.keys[..]) {
            (Form::Words, [key]) => {
                BatchKeys::Words(to_words(&columns[*key]).ok_or_else(|| Error::internal("a key is no word"))?)
            }
            (Form::Text, [key]) => BatchKeys::Text(columns[*key].clone()),
            (Form::Empty, _) => BatchKeys::Empty,
            (Form::Words | Form::Text | Form::Bytes, _) => {
                let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| columns[key].clone()).collect();
                BatchKeys::Bytes(self.encoder.encode_columns(&keys, count)?)
            }
        })
    }

    /// The windows that this epoch touched.
    pub fn dirty_windows(&self) -> impl Iterator<Item = i64> {
        self.dirty.iter().copied()
    }

    /// The ends of the windows held, ascending.
    pub fn windows(&self) -> impl Iterator<Item = (i64, &GroupTable)> {
        self.tables.iter()
    }

    /// One window's groups.
    pub fn get(&self, end: i64) -> Option<&GroupTable> {
        self.tables.get(end)
    }

    /// One window's groups, to mark them as emitted.
    pub fn get_mut(&mut self, end: i64) -> Option<&mut GroupTable> {
        self.tables.get_mut(end)
    }

    /// The group columns of entries of a window.
    pub fn group_columns(&self, end: i64, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        match self.tables.get(end) {
            Some(table) => self.columns_of(table, end, entries),
            None => Ok(vec![]),
        }
    }

    /// The group columns of entries of a table.
    pub fn columns_of(&self, table: &GroupTable, end: i64, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let key_type = || self.keys.first().map_or(&DataType::Int64, |k| self.layout.group.field(*k).data_type());
        let one = match self.form {
            Form::Words => table.keys.words(entries).map(|words| from_words(words, key_type())),
            Form::Text => Some(table.keys.text(entries, key_type())?),
            Form::Empty | Form::Bytes => None,
        };
        let mut keys = match one {
            Some(key) => vec![key],
            None => self.encoder.decode(entries.iter().map(|&e| table.keys.key(e)))?,
        };
        // Ascending, so that each is inserted at its place.
        for &(column, to_end) in &self.layout.window {
            let bound = (end != NO_WINDOW).then(|| to_end.bound(end));
            let bound = Int64Array::from(vec![bound; entries.len()]);
            keys.insert(column, from_words(bound, self.layout.group.field(column).data_type()));
        }
        Ok(keys)
    }

    /// Ends an epoch for one window: forgets what was touched, and groups without rows.
    pub fn settle(&mut self, end: i64) -> Result<()> {
        self.dirty.remove(&end);
        let global = self.global();
        let Some(table) = self.tables.get_mut(end) else { return Ok(()) };
        let dirty = std::mem::take(&mut table.dirty);
        table.aggregates.iter_mut().filter_map(Aggregate::own_mut).for_each(|a| a.settle(&dirty));
        let mut gone = vec![];
        for &e in &dirty {
            table.flags[e as usize] &= !DIRTY;
            if table.weight[e as usize] == 0 && !global {
                gone.push(e);
            }
        }
        table.forget_old();
        if self.rotation.on {
            table.note(&dirty);
        }
        self.note_gone(end, &gone)?;
        self.forget(end, &gone);
        if let Some(table) = self.tables.get_mut(end) {
            if table.keys.len() == 0 && self.disk.as_ref().is_none_or(|disk| disk.only(end) == 0) {
                self.tables.remove(end, &self.layout);
                self.disk.as_mut().map_or(Ok(0), |disk| disk.drop_window(end))?;
            } else {
                let mut dirty = dirty;
                dirty.clear();
                table.dirty = dirty;
            }
        }
        Ok(())
    }

    fn forget(&mut self, end: i64, gone: &[u32]) {
        if let Some(table) = self.tables.get_mut(end) {
            table.aggregates.iter_mut().filter_map(Aggregate::own_mut).for_each(|a| a.reset(gone));
            for &e in gone {
                self.disk.as_mut().into_iter().for_each(|disk| disk.forget(end, table, e));
                table.keys.remove(e);
                table.flags[e as usize] = 0;
            }
        }
    }
}
