//! Aggregates of many groups, column by column, that can be taken back.
//!
//! Entry i of every column belongs to group i. [`Accumulator`] is what callers hold: it masks what does not count (NULLs,
//! FILTER), keeps each value once (DISTINCT), and hands the rest to the `Cells` of its function, of which there is one
//! file each. Results are judged when they are asked for, never on the way: an overflow that was taken back is none.
//!
//! A dump of some entries, merged into others, adds what it holds to them; into empty ones it restores them.

mod bits;
mod copies;
mod count;
mod distinct;
mod documents;
mod exact;
mod extreme;
mod float;
mod intervals;
mod kind;
mod lists;
mod moments;
mod ordered;
mod sketch;
mod sorted;
mod spellings;
mod sum;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;

pub use bits::BitFunction;
pub use copies::Results;
use distinct::Distinct;
pub use extreme::is_coded;
pub use kind::{AccumulatorKind, AggregateFunction};
pub use moments::Moment;
pub use ordered::OrderedFunction;
pub use sorted::sortable;

use crate::error::{Error, Result, SqlState};
use crate::fault::{self, Fault};

/// Why a group has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// SQLSTATE.
    pub code: SqlState,
    /// PostgreSQL's words.
    pub message: &'static str,
}

/// Results of some entries.
pub struct Finished {
    /// One value per entry.
    pub column: ArrayRef,
    /// Entries (by position) that have no result.
    pub errors: Vec<(usize, CellError)>,
}

impl Finished {
    /// Without errors.
    fn fine(column: ArrayRef) -> Self {
        Self { column, errors: vec![] }
    }
}

/// Rows for an accumulator: the entry of each, the arguments, which of them count, and their diffs (else one).
struct Rows<'a> {
    entries: &'a [u32],
    arguments: &'a [ArrayRef],
    mask: Option<&'a NullBuffer>,
    diffs: Option<&'a [i64]>,
}

impl Rows<'_> {
    /// Calls `f(row, entry, diff)` for the rows that count.
    #[inline]
    fn each(&self, mut f: impl FnMut(usize, u32, i64)) {
        let (entries, diffs) = (self.entries, self.diffs);
        match (self.mask, diffs) {
            (None, None) => entries.iter().enumerate().for_each(|(i, &e)| f(i, e, 1)),
            (None, Some(diffs)) => entries.iter().zip(diffs).enumerate().for_each(|(i, (&e, &d))| f(i, e, d)),
            (Some(mask), diffs) => {
                for i in mask.valid_indices() {
                    f(i, entries[i], diffs.map_or(1, |d| d[i]));
                }
            }
        }
    }

    /// An argument.
    fn argument(&self, i: usize) -> Result<&ArrayRef> {
        self.arguments.get(i).ok_or_else(|| Error::internal("an aggregate lacks its argument"))
    }
}

/// What one function remembers of each group.
trait Cells: Send + Sync {
    /// Makes room for `entries` entries; new ones are empty groups.
    fn resize(&mut self, entries: usize);

    /// Empties a group.
    fn reset(&mut self, entry: u32);

    /// Adds rows.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// Tells that an epoch is over: what rounding left of groups without values is forgotten.
    fn settle(&mut self, _entries: &[u32]) {}

    /// The results of entries.
    fn finish(&self, entries: &[u32]) -> Result<Finished>;

    /// Heap bytes, about.
    fn bytes(&self) -> usize;

    /// Entries' contents, one row per entry, as columns for a snapshot.
    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Adds what [`Self::dump`] gave, taking its columns off the front of `columns`.
    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()>;
}

/// The next column of a snapshot.
fn next(columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<ArrayRef> {
    columns.next().ok_or_else(|| Error::internal("a state snapshot has too few columns"))
}

/// One aggregate of many groups.
pub struct Accumulator {
    kind: AccumulatorKind,
    cells: Box<dyn Cells>,
    distinct: Option<Distinct>,
}

impl Accumulator {
    /// Without entries.
    pub fn new(kind: AccumulatorKind) -> Result<Self> {
        let distinct = kind.distinct && !kind.function.ignores_copies() && !kind.inputs.is_empty();
        let distinct = distinct.then(|| Distinct::new(&kind.inputs, kind.function.strict())).transpose()?;
        Ok(Self { cells: kind.cells()?, kind, distinct })
    }

    /// Makes room for `entries` entries; new ones are empty groups.
    pub fn resize(&mut self, entries: usize) {
        self.cells.resize(entries);
        if let Some(distinct) = &mut self.distinct {
            distinct.resize(entries);
        }
    }

    /// Empties groups.
    pub fn reset(&mut self, entries: &[u32]) {
        entries.iter().for_each(|&entry| self.cells.reset(entry));
        if let Some(distinct) = &mut self.distinct {
            distinct.reset(entries);
        }
    }

    /// Adds rows: the group of each, the arguments, and optionally which rows count and their diffs.
    pub fn update(
        &mut self,
        entries: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        diffs: Option<&[i64]>,
    ) -> Result<()> {
        let ignored = (self.kind.function == AggregateFunction::Sum && fault::on(Fault::SumIgnoresDiff))
            || (self.kind.function == AggregateFunction::Avg && fault::on(Fault::AverageKept));
        let diffs = diffs.filter(|_| !ignored);
        let mut mask = None;
        for argument in arguments.iter().take(self.kind.function.strict()) {
            let nulls = argument.logical_nulls().filter(|n| n.null_count() > 0);
            mask = NullBuffer::union(mask.as_ref(), nulls.as_ref());
        }
        if let Some(filter) = filter {
            let wanted = NullBuffer::new(match filter.nulls() {
                Some(nulls) => filter.values() & nulls.inner(),
                None => filter.values().clone(),
            });
            mask = NullBuffer::union(mask.as_ref(), Some(&wanted));
        }
        self.add(&Rows { entries, arguments, mask: mask.as_ref(), diffs })
    }

    fn add(&mut self, rows: &Rows<'_>) -> Result<()> {
        let Some(distinct) = &mut self.distinct else { return self.cells.update(rows) };
        let (entries, arguments, diffs) = distinct.transitions(rows)?;
        if entries.is_empty() {
            return Ok(());
        }
        self.cells.update(&Rows { entries: &entries, arguments: &arguments, mask: None, diffs: Some(&diffs) })
    }

    /// Tells that an epoch is over for these entries.
    pub fn settle(&mut self, entries: &[u32]) {
        self.cells.settle(entries);
    }

    /// The results of entries.
    pub fn finish(&self, entries: &[u32]) -> Result<Finished> {
        self.cells.finish(entries)
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.cells.bytes() + self.distinct.as_ref().map_or(0, Distinct::bytes)
    }

    /// Entries' contents, one row per entry, as columns for a snapshot. What DISTINCT saw tells all the rest.
    pub fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.distinct {
            None => self.cells.dump(entries),
            Some(distinct) => distinct.dump(entries),
        }
    }

    /// Adds what [`Self::dump`] gave to entries, taking its columns off the front of `columns`.
    pub fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        let Some(distinct) = &mut self.distinct else { return self.cells.merge(entries, columns) };
        let (entries, arguments, diffs) = distinct.dumped(entries, columns)?;
        self.add(&Rows { entries: &entries, arguments: &arguments, mask: None, diffs: Some(&diffs) })
    }
}
