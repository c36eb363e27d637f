//! What the binder puts into plans where values are compared: see [`crate::data::key_form`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field};

use super::native::{Call, Function};
use crate::data::key_form;
use crate::error::Result;

/// The key form of a value.
pub const KEY_FORM: &str = "key_form";

/// A group's value: how it is spelled, if that is not its key form.
pub const SPELLED: &str = "spelled";

pub(super) const ALL: &[&Function] = &[
    &Function::of(KEY_FORM, |types| same(types, 1), |call| key_form(&call.args[0])),
    &Function::of(SPELLED, |types| same(types, 2), spelled),
];

/// Arguments and result of one type.
fn same(types: &[DataType], arguments: usize) -> Option<(Vec<DataType>, Field)> {
    let first = types.first().filter(|first| types.len() == arguments && types.iter().all(|t| t == *first))?;
    Some((types.to_vec(), Field::new("", first.clone(), true)))
}

/// The key, and the spelling where there is one; a group of NULLs has none (GROUPING SETS leave a key out, too).
fn spelled(call: &Call<'_>) -> Result<ArrayRef> {
    let (key, spelling) = (&call.args[0], &call.args[1]);
    if spelling.null_count() == spelling.len() {
        return Ok(Arc::clone(key));
    }
    let nulls = NullBuffer::union(key.logical_nulls().as_ref(), spelling.logical_nulls().as_ref());
    let there = match nulls {
        Some(nulls) => BooleanArray::new(nulls.into_inner(), None),
        None => return Ok(Arc::clone(spelling)),
    };
    Ok(zip(&there, spelling, key)?)
}
