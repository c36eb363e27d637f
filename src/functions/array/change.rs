//! New arrays of old ones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, make_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use super::{Gather, keys, range, rectangular, settled};
use crate::data::types::{dimensions, leaf, list_of};
use crate::error::{Error, Result, SqlState};
use crate::functions::native::{Call, Function};

pub(super) const ALL: &[&Function] = &[
    &Function::of("array_append", |t| changed(t, 2, 0), |c| extend(c, 0)),
    &Function::of("array_prepend", |t| changed(t, 2, 1), |c| extend(c, 1)),
    &Function::of("array_cat", |t| changed(t, 2, 0), cat),
    &Function::of("array_remove", |t| changed(t, 2, 0), remove),
    &Function::of("array_replace", |t| changed(t, 3, 0), replace),
    // `ARRAY[[1], [2]]`: checked, or of any number of dimensions: flat, for UNNEST.
    &Function::of("array_checked", |t| changed(t, 1, 0), checked),
    &Function::of("array_flat", flat_types, flat),
];

fn changed(types: &[DataType], count: usize, list: usize) -> Option<(Vec<DataType>, Field)> {
    let element = types.get(if list == 0 { 1 } else { 0 });
    let result = match (types.get(list)?, element) {
        (DataType::List(_), _) | (_, None) => types.get(list)?.clone(),
        (_, Some(other @ DataType::List(_))) => other.clone(),
        (_, Some(element)) => list_of(&Field::new("item", element.clone(), true)),
    };
    let result = Field::new("", result, true);
    settled(types, count, &[list], result)
}

/// An element more, behind or before. A NULL list is an empty one.
fn extend(call: &Call<'_>, list_at: usize) -> Result<ArrayRef> {
    let (list, element) = (call.args[list_at].as_list::<i32>(), &call.args[1 - list_at]);
    let mut out = Gather::new(vec![list.values().as_ref(), element.as_ref()]);
    for row in 0..call.rows {
        let old = if list.is_valid(row) { range(list, row) } else { 0..0 };
        let old = old.map(|at| (0, at));
        if list_at == 0 { out.row(old.chain([(1, row)])) } else { out.row([(1, row)].into_iter().chain(old)) }
    }
    out.finish(call.result).map_err(|e| incompatible(e, "dimensions"))
}

/// PostgreSQL's words where what is put together does not fit.
fn incompatible(error: Error, what: &str) -> Error {
    if error.code() != SqlState("2202E") {
        return error;
    }
    let detail = format!("Arrays with differing {what} are not compatible for concatenation.");
    Error::new(error.code(), "cannot concatenate incompatible arrays").with_detail(detail)
}

/// One behind the other. NULL is nothing beside an array.
fn cat(call: &Call<'_>) -> Result<ArrayRef> {
    let (a, b) = (call.args[0].as_list::<i32>(), call.args[1].as_list::<i32>());
    let mut out = Gather::new(vec![a.values().as_ref(), b.values().as_ref()]);
    for row in 0..call.rows {
        let part = |list: &ListArray, source: usize| {
            let range = if list.is_valid(row) { range(list, row) } else { 0..0 };
            range.map(move |at| (source, at))
        };
        if a.is_null(row) && b.is_null(row) { out.null() } else { out.row(part(a, 0).chain(part(b, 1))) }
    }
    out.finish(call.result).map_err(|e| incompatible(e, "element dimensions"))
}

fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let (values, gone) = (keys(list.values())?, keys(&call.args[1])?);
    let mut out = Gather::new(vec![list.values().as_ref()]);
    for row in 0..call.rows {
        if list.is_null(row) {
            out.null();
        } else {
            out.row(range(list, row).filter(|at| values.get(*at) != gone.get(row)).map(|at| (0, at)));
        }
    }
    out.finish(call.result)
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let (values, old) = (keys(list.values())?, keys(&call.args[1])?);
    let mut out = Gather::new(vec![list.values().as_ref(), call.args[2].as_ref()]);
    for row in 0..call.rows {
        if list.is_null(row) {
            out.null();
        } else {
            out.row(range(list, row).map(|at| if values.get(at) == old.get(row) { (1, row) } else { (0, at) }));
        }
    }
    out.finish(call.result)
}

fn checked(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(rectangular(call.args[0].as_list::<i32>().clone())?))
}

fn flat_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let [list @ DataType::List(item)] = types else { return None };
    Some((vec![list.clone()], Field::new("", list_of(&leaf(item)), true)))
}

fn flat(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = call.result else { return Err(Error::internal("the result is no list")) };
    let mut list = call.args[0].as_list::<i32>().clone();
    while dimensions(list.values().data_type()) > 0 {
        let inner = list.values().as_list::<i32>().clone();
        let offsets = list.value_offsets().iter().map(|at| inner.value_offsets()[*at as usize]).collect::<Vec<_>>();
        let nulls = list.nulls().cloned();
        let DataType::List(field) = inner.data_type() else { return Err(Error::internal("no list")) };
        list = ListArray::try_new(Arc::clone(field), OffsetBuffer::new(offsets.into()), inner.values().clone(), nulls)?;
    }
    let values = make_array(list.values().to_data());
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?))
}
