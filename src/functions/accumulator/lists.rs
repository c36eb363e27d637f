//! Values and weights per entry, as list columns of a snapshot.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int64Type};

use super::next;
use crate::error::Result;

/// Columns of values, and their weights, as one list column each; `index`, the entry's position, ascends.
pub(super) fn lists(entries: usize, index: &[u32], values: Vec<ArrayRef>, weights: Vec<i64>) -> Result<Vec<ArrayRef>> {
    let mut lengths = vec![0; entries];
    index.iter().for_each(|&i| lengths[i as usize] += 1);
    let list = |values: ArrayRef| -> Result<ArrayRef> {
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), values, None)?))
    };
    values.into_iter().chain([Arc::new(Int64Array::from(weights)) as ArrayRef]).map(list).collect()
}

/// The reverse of [`lists`] for `width` columns of values: entry, values, weight.
pub(super) fn unlist(
    entries: &[u32],
    width: usize,
    columns: &mut dyn Iterator<Item = ArrayRef>,
) -> Result<(Vec<u32>, Vec<ArrayRef>, Vec<i64>)> {
    let lists = (0..=width).map(|_| next(columns)).collect::<Result<Vec<_>>>()?;
    let mut groups = vec![];
    let mut flat = vec![];
    for column in &lists {
        let list = column.as_list::<i32>();
        if flat.is_empty() {
            for (i, &e) in entries.iter().enumerate() {
                groups.extend(std::iter::repeat_n(e, list.value_length(i) as usize));
            }
        }
        let offsets = list.value_offsets();
        let (start, end) = (offsets[0] as usize, offsets[entries.len()] as usize);
        flat.push(list.values().slice(start, end - start));
    }
    let weights = flat.pop().map(|w| w.as_primitive::<Int64Type>().values().to_vec()).unwrap_or_default();
    Ok((groups, flat, weights))
}
