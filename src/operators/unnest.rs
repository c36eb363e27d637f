//! One row per element of a list; several lists side by side.
//!
//! SQL: `unnest(list)` in the SELECT list or in FROM
//! State: none
//! Retractions: a retraction takes back every element's row
//! Watermark: kept on the columns that are not expanded
//!
//! Few rows may become very many: what is more than [`EAGER_ROWS`] waits for `step`, which yields.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};

use super::evaluate::batch;
use super::{Fuel, Operator, Output, Step};
use crate::config::{BATCH_ROWS, EAGER_ROWS};
use crate::data::{Changes, Epoch, Watermarks};
use crate::error::Result;

pub(super) struct UnnestOperator {
    columns: Vec<(usize, bool)>,
    preserve_nulls: bool,
    schema: SchemaRef,
    /// What is not expanded yet.
    waiting: VecDeque<Waiting>,
}

/// Input from a place on.
struct Waiting {
    changes: Changes,
    row: usize,
    /// Elements of the row that have been sent.
    element: usize,
}

impl UnnestOperator {
    pub fn new(columns: Vec<(usize, bool)>, preserve_nulls: bool, schema: SchemaRef) -> Self {
        Self { columns, preserve_nulls, schema, waiting: VecDeque::new() }
    }

    /// Sends at most a batch; the number of its rows.
    fn expand(&mut self, out: &mut Output) -> Result<usize> {
        let Some(mut next) = self.waiting.pop_front() else { return Ok(0) };
        // Per output row: its input row, and its place within that row's lists.
        let (rows, places) = self.places(&mut next);
        let sent = rows.len();
        if sent > 0 {
            let indices = UInt32Array::from(rows);
            let columns = self.columns.iter().map(|&(c, is_list)| {
                let column = next.changes.rows.column(c);
                if is_list { elements(column, &indices, &places) } else { Ok(take(column, &indices, None)?) }
            });
            let rows = batch(&self.schema, columns.collect::<Result<_>>()?, sent)?;
            out.send(bare(&next.changes)?.take(&indices)?.with_rows(rows));
        }
        if next.row < next.changes.len() {
            self.waiting.push_front(next);
        }
        Ok(sent)
    }

    /// The next rows to send, a batch at most; moves on.
    fn places(&self, next: &mut Waiting) -> (Vec<u32>, Vec<u32>) {
        let is_list = self.columns.iter().filter(|(_, list)| *list);
        let lists: Vec<&ArrayRef> = is_list.map(|(c, _)| next.changes.rows.column(*c)).collect();
        let length = |list: &ArrayRef, i: usize| match (list.is_null(i), self.preserve_nulls) {
            (true, keep) => usize::from(keep),
            (false, _) => list.as_list::<i32>().value_length(i) as usize,
        };
        let (mut rows, mut places) = (vec![], vec![]);
        while next.row < next.changes.len() && rows.len() < BATCH_ROWS {
            let longest = lists.iter().map(|l| length(l, next.row)).max().unwrap_or(0);
            let end = longest.min(next.element + BATCH_ROWS - rows.len());
            rows.extend(std::iter::repeat_n(next.row as u32, end - next.element));
            places.extend(next.element as u32..end as u32);
            (next.row, next.element) = if end == longest { (next.row + 1, 0) } else { (next.row, end) };
        }
        (rows, places)
    }
}

/// The elements of rows' lists; null behind a list's end.
fn elements(column: &ArrayRef, rows: &UInt32Array, places: &[u32]) -> Result<ArrayRef> {
    let list = column.as_list::<i32>();
    let element = |(&row, &place): (&u32, &u32)| {
        let row = row as usize;
        let inside = list.is_valid(row) && (place as usize) < list.value_length(row) as usize;
        inside.then(|| list.value_offsets()[row] as u32 + place)
    };
    let elements: UInt32Array = rows.values().iter().zip(places).map(element).collect();
    Ok(take(list.values(), &elements, None)?)
}

/// Changes without their columns.
fn bare(changes: &Changes) -> Result<Changes> {
    let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
    Ok(changes.with_rows(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?))
}

impl Operator for UnnestOperator {
    fn apply(&mut self, _port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        self.waiting.push_back(Waiting { changes, row: 0, element: 0 });
        let mut sent = 0;
        while sent < EAGER_ROWS && !self.waiting.is_empty() {
            sent += self.expand(out)?;
        }
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step> {
        while !self.waiting.is_empty() {
            let sent = self.expand(out)?;
            if !fuel.burn(sent) {
                return Ok(if self.waiting.is_empty() { Step::Done } else { Step::More });
            }
        }
        Ok(Step::Done)
    }
}
