//! One row per element of a list; several lists side by side.
//!
//! SQL: `unnest(list)` in the SELECT list or in FROM
//! State: none
//! Retractions: a retraction takes back every element's row
//! Watermark: kept on the columns that are not expanded

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::evaluate::batch;
use super::{Fuel, Operator, Output, Step};
use crate::data::{Changes, Epoch, Watermarks};
use crate::error::Result;

/// Rows of input taken at once, so that long lists give batches of bounded size.
const PIECE: usize = 1024;

pub(super) struct UnnestOperator {
    columns: Vec<(usize, bool)>,
    preserve_nulls: bool,
    schema: SchemaRef,
}

impl UnnestOperator {
    pub fn new(columns: Vec<(usize, bool)>, preserve_nulls: bool, schema: SchemaRef) -> Self {
        Self { columns, preserve_nulls, schema }
    }

    fn expand(&self, changes: &Changes, out: &mut Output) -> Result<()> {
        let lists: Vec<&ArrayRef> =
            self.columns.iter().filter(|(_, list)| *list).map(|(c, _)| changes.rows.column(*c)).collect();
        let length = |list: &ArrayRef, i: usize| match (list.is_null(i), self.preserve_nulls) {
            (true, keep) => usize::from(keep),
            (false, _) => list.as_list::<i32>().value_length(i) as usize,
        };
        let mut rows: Vec<u32> = vec![];
        // Per output row: its place within its lists.
        let mut places: Vec<usize> = vec![];
        for i in 0..changes.len() {
            let longest = lists.iter().map(|l| length(l, i)).max().unwrap_or(0);
            rows.extend(std::iter::repeat_n(i as u32, longest));
            places.extend(0..longest);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut columns = vec![];
        let indices = UInt32Array::from(rows);
        for &(c, is_list) in &self.columns {
            let column = changes.rows.column(c);
            if !is_list {
                columns.push(take(column, &indices, None)?);
                continue;
            }
            let list = column.as_list::<i32>();
            let element = |(&row, &place): (&u32, &usize)| {
                let row = row as usize;
                let inside = list.is_valid(row) && place < list.value_length(row) as usize;
                inside.then(|| list.value_offsets()[row] as u32 + place as u32)
            };
            let elements: UInt32Array = indices.values().iter().zip(&places).map(element).collect();
            columns.push(take(list.values(), &elements, None)?);
        }
        let whole = changes.take(&indices)?;
        let rows = batch(&self.schema, columns, whole.len())?;
        out.send(whole.with_rows(rows));
        Ok(())
    }
}

impl Operator for UnnestOperator {
    fn apply(&mut self, _port: usize, changes: Changes, _watermarks: &Watermarks, out: &mut Output) -> Result<()> {
        let mut offset = 0;
        while offset < changes.len() {
            let length = PIECE.min(changes.len() - offset);
            self.expand(&changes.slice(offset, length), out)?;
            offset += length;
        }
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}
