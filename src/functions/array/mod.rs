//! Functions and operators of arrays. Elements are compared as keys are: NULL equals NULL in array_remove and its like.
//!
//! * `change`: array_append, array_cat, array_remove, ..;
//! * `compare`: `@>`, `&&`, `= ANY`, array_position, ..;
//! * `part`: subscripts, slices, lengths;
//! * `words`: array_to_string, string_to_array.
//!
//! The binder brings lists and elements to one type before it calls them.

mod change;
mod compare;
mod part;
mod words;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Schema};

use super::native::Function;
use crate::data::{KeyEncoder, Keys};
use crate::error::{Error, Result, SqlState};

/// They print times with the session's TimeZone.
pub(super) use words::ALL as ZONED;

/// All others.
pub(super) fn all() -> Vec<&'static Function> {
    [change::ALL, compare::ALL, part::ALL].concat()
}

/// Keys of a column's values.
fn keys(array: &ArrayRef) -> Result<Keys> {
    let schema = Schema::new(vec![Field::new("key", array.data_type().clone(), true)]);
    KeyEncoder::new(&schema, &[0])?.encode_columns(std::slice::from_ref(array), array.len())
}

/// The positions of a row's elements among all elements.
fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// A call of lists and elements whose types the binder settles, or will: constants are texts until then.
fn settled(types: &[DataType], count: usize, lists: &[usize], result: Field) -> Option<(Vec<DataType>, Field)> {
    let list = |t: &DataType| matches!(t, DataType::List(_) | DataType::Utf8 | DataType::Null);
    let fine = types.len() == count && lists.iter().all(|at| list(&types[*at]));
    fine.then(|| (types.to_vec(), result))
}

/// Lists put together of elements of several arrays.
struct Gather<'a> {
    sources: Vec<&'a dyn Array>,
    /// Source and position of each element.
    elements: Vec<(usize, usize)>,
    /// Per row.
    lengths: Vec<usize>,
    present: Vec<bool>,
}

impl<'a> Gather<'a> {
    fn new(sources: Vec<&'a dyn Array>) -> Self {
        Self { sources, elements: vec![], lengths: vec![], present: vec![] }
    }

    fn row(&mut self, elements: impl IntoIterator<Item = (usize, usize)>) {
        let before = self.elements.len();
        self.elements.extend(elements);
        self.lengths.push(self.elements.len() - before);
        self.present.push(true);
    }

    fn null(&mut self) {
        self.lengths.push(0);
        self.present.push(false);
    }

    fn finish(self, result: &DataType) -> Result<ArrayRef> {
        let DataType::List(item) = result else { return Err(Error::internal("the result is no list")) };
        let values = if self.elements.is_empty() {
            arrow::array::new_empty_array(item.data_type())
        } else {
            let aligned = self.sources.iter().map(|s| arrow::compute::cast(*s, item.data_type()));
            let aligned = aligned.collect::<Result<Vec<_>, _>>()?;
            interleave(&aligned.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &self.elements)?
        };
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let nulls = NullBuffer::from(self.present);
        let list = ListArray::try_new(Arc::clone(item), offsets, values, Some(nulls))?;
        Ok(Arc::new(rectangular(list)?))
    }
}

/// Arrays as PostgreSQL has them: the sub-arrays of one are equally long at every depth, and one without elements is empty.
/// Errors: 2202E.
pub(super) fn rectangular(list: ListArray) -> Result<ListArray> {
    if !list.values().data_type().is_list() {
        return Ok(list);
    }
    let mut empty = vec![false; list.len()];
    for (row, empty) in empty.iter_mut().enumerate() {
        let elements = elements(&list, row).ok_or_else(|| {
            let message = "multidimensional arrays must have array expressions with matching dimensions";
            Error::new(SqlState("2202E"), message)
        })?;
        *empty = elements == 0 && !range(&list, row).is_empty();
    }
    if !empty.contains(&true) {
        return Ok(list);
    }
    let kept = |row: usize| if empty[row] { 0..0 } else { range(&list, row) };
    let places: UInt32Array = (0..list.len()).flat_map(kept).map(|at| at as u32).collect();
    let lengths = OffsetBuffer::from_lengths((0..list.len()).map(|row| kept(row).len()));
    let DataType::List(item) = list.data_type() else { return Err(Error::internal("a list is no list")) };
    let values = take(list.values(), &places, None)?;
    Ok(ListArray::try_new(Arc::clone(item), lengths, values, list.nulls().cloned())?)
}

/// How many elements a row has at the greatest depth; `None` where sub-arrays differ in length.
fn elements(list: &ListArray, row: usize) -> Option<usize> {
    let mut range = range(list, row);
    let mut values = list.values();
    while let Some(inner) = values.as_list_opt::<i32>() {
        let mut lengths = range.clone().map(|at| inner.is_valid(at).then(|| inner.value_length(at)));
        let first = lengths.next();
        if lengths.any(|length| Some(length) != first) {
            return None;
        }
        // A NULL sub-array has no elements, whatever lies where they would be.
        if matches!(first, None | Some(None)) {
            return Some(0);
        }
        let offsets = inner.value_offsets();
        range = offsets[range.start] as usize..offsets[range.end] as usize;
        values = inner.values();
    }
    Some(range.len())
}
