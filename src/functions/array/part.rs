//! Parts and measures of arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int32Type};

use super::{Gather, range};
use crate::data::types::{JSONB, dimensions, leaf, list_of};
use crate::error::{Error, Result};
use crate::functions::native::{Call, Function};

pub(super) const ALL: &[&Function] = &[
    &Function::of("array_subscript", subscript_types, subscript),
    &Function::of("array_section", section_types, section),
    &Function::of("array_length", |t| measure_types(t, 2), |c| measure(c, |n| (n > 0).then_some(n))),
    &Function::of("array_upper", |t| measure_types(t, 2), |c| measure(c, |n| (n > 0).then_some(n))),
    &Function::of("array_lower", |t| measure_types(t, 2), |c| measure(c, |n| (n > 0).then_some(1))),
    &Function::of(
        "array_ndims",
        |t| measure_types(t, 1),
        |c| per_array(c, |lengths| (!lengths.is_empty()).then_some(lengths.len())),
    ),
    &Function::of(
        "cardinality",
        |t| measure_types(t, 1),
        |c| per_array(c, |lengths| Some(if lengths.is_empty() { 0 } else { lengths.iter().product() })),
    ),
    &Function::of("array_dims", dims_types, dims),
    // 1, 2, .. for each element: WITH ORDINALITY.
    &Function::of("array_ordinals", ordinal_types, ordinals),
];

fn int() -> Field {
    Field::new("", DataType::Int32, true)
}

fn subscript_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    // The binder makes it one of jsonb's functions.
    if types.first() == Some(&JSONB) {
        return Some((types.to_vec(), Field::new("", JSONB, true)));
    }
    let (list @ DataType::List(item), subscripts) = types.split_first()? else { return None };
    let wanted = [vec![list.clone()], vec![DataType::Int32; subscripts.len()]].concat();
    Some((wanted, leaf(item)))
}

/// `a[2]`: NULL outside of the array, and with fewer or more subscripts than dimensions.
fn subscript(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let null = || arrow::array::new_null_array(call.result, call.rows);
    if dimensions(list.data_type()) != call.args.len() - 1 {
        return Ok(null());
    }
    // Where the row's part lies among the elements of the dimension looked at.
    let mut at: Vec<Option<usize>> = (0..call.rows).map(Some).collect();
    let mut dimension: ListArray = list.clone();
    for (n, subscripts) in call.args[1..].iter().enumerate() {
        let subscripts = subscripts.as_primitive::<Int32Type>();
        for (row, place) in at.iter_mut().enumerate() {
            *place = place.filter(|p| dimension.is_valid(*p) && subscripts.is_valid(row)).and_then(|p| {
                let range = range(&dimension, p);
                let offset = usize::try_from(i64::from(subscripts.value(row)) - 1).ok()?;
                (offset < range.len()).then(|| range.start + offset)
            });
        }
        let values = Arc::clone(dimension.values());
        if n + 2 == call.args.len() {
            let indices: UInt32Array = at.iter().map(|place| place.map(|p| p as u32)).collect();
            return Ok(take(&values, &indices, None)?);
        }
        dimension = values.as_list::<i32>().clone();
    }
    Ok(null())
}

fn section_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let (list @ DataType::List(_), bounds) = types.split_first()? else { return None };
    let wanted = [vec![list.clone()], vec![DataType::Int32; bounds.len()]].concat();
    Some((wanted, Field::new("", list.clone(), true)))
}

/// `a[2:3]`: lower and upper bound per dimension; one left out is -2147483648 or 2147483647.
fn section(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    cut(list, &call.args[1..], &(0..call.rows).map(Some).collect::<Vec<_>>(), call.result)
}

/// The rows of a list, each cut by the bounds of the row it belongs to.
fn cut(list: &ListArray, bounds: &[ArrayRef], rows: &[Option<usize>], result: &DataType) -> Result<ArrayRef> {
    let [lower, upper, rest @ ..] = bounds else { return Err(Error::internal("a slice without bounds")) };
    let (lower, upper) = (lower.as_primitive::<Int32Type>(), upper.as_primitive::<Int32Type>());
    let values = match list.values().as_list_opt::<i32>() {
        Some(inner) if !rest.is_empty() => {
            let mut owners = vec![None; inner.len()];
            for (at, row) in rows.iter().enumerate().filter(|(at, _)| list.is_valid(*at)) {
                owners[range(list, at)].fill(*row);
            }
            cut(inner, rest, &owners, inner.data_type())?
        }
        _ => Arc::clone(list.values()),
    };
    let mut out = Gather::new(vec![values.as_ref()]);
    for (at, row) in rows.iter().enumerate() {
        let Some(row) = row.filter(|row| list.is_valid(at) && lower.is_valid(*row) && upper.is_valid(*row)) else {
            out.null();
            continue;
        };
        let range = range(list, at);
        let first = usize::try_from(i64::from(lower.value(row)) - 1).unwrap_or(0).min(range.len());
        let last = usize::try_from(upper.value(row)).unwrap_or(0).min(range.len());
        out.row((first..last.max(first)).map(|offset| (0, range.start + offset)));
    }
    out.finish(result)
}

fn measure_types(types: &[DataType], count: usize) -> Option<(Vec<DataType>, Field)> {
    let (list @ DataType::List(_), rest) = types.split_first()? else { return None };
    let wanted = [vec![list.clone()], vec![DataType::Int32; rest.len()]].concat();
    (types.len() == count).then_some((wanted, int()))
}

/// The lengths of a row's dimensions; none of an empty array.
fn shape(list: &ListArray, row: usize) -> Vec<usize> {
    let range = range(list, row);
    match list.values().as_list_opt::<i32>() {
        _ if range.is_empty() => vec![],
        Some(inner) => [vec![range.len()], shape(inner, range.start)].concat(),
        None => vec![range.len()],
    }
}

fn per_array(call: &Call<'_>, f: impl Fn(&[usize]) -> Option<usize>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let one = |row: usize| {
        let lengths = list.is_valid(row).then(|| shape(list, row))?;
        f(&lengths).and_then(|n| i32::try_from(n).ok())
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Int32Array>()))
}

fn measure(call: &Call<'_>, f: fn(usize) -> Option<usize>) -> Result<ArrayRef> {
    let (list, dimensions) = (call.args[0].as_list::<i32>(), call.args[1].as_primitive::<Int32Type>());
    let one = |row: usize| {
        let lengths = (list.is_valid(row) && dimensions.is_valid(row)).then(|| shape(list, row))?;
        let dimension = usize::try_from(dimensions.value(row) - 1).ok()?;
        f(*lengths.get(dimension)?).and_then(|n| i32::try_from(n).ok())
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Int32Array>()))
}

fn dims_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    matches!(types, [DataType::List(_)]).then(|| (types.to_vec(), Field::new("", DataType::Utf8, true)))
}

fn dims(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let one = |row: usize| {
        let lengths = list.is_valid(row).then(|| shape(list, row)).filter(|l| !l.is_empty())?;
        Some(lengths.iter().map(|n| format!("[1:{n}]")).collect::<String>())
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<StringArray>()))
}

fn ordinal_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let lists = !types.is_empty() && types.iter().all(|t| matches!(t, DataType::List(_)));
    lists.then(|| (types.to_vec(), Field::new("", list_of(&Field::new("item", DataType::Int64, true)), true)))
}

/// As many numbers as the longest of the arrays has elements.
fn ordinals(call: &Call<'_>) -> Result<ArrayRef> {
    let lists: Vec<&ListArray> = call.args.iter().map(|a| a.as_list::<i32>()).collect();
    let length = |row: usize| lists.iter().map(|l| if l.is_valid(row) { range(l, row).len() } else { 0 }).max();
    let lengths: Vec<usize> = (0..call.rows).map(|row| length(row).unwrap_or(0)).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let numbers: arrow::array::Int64Array = (1..=longest as i64).collect();
    let mut out = Gather::new(vec![&numbers]);
    lengths.iter().for_each(|n| out.row((0..*n).map(|at| (0, at))));
    out.finish(call.result)
}
