//! Looking elements up.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DynComparator, Int32Array, make_comparator};
use arrow::compute::SortOptions;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, Int32Type};

use super::{Gather, keys, range, settled};
use crate::data::key_form;
use crate::data::types::list_of;
use crate::error::{Error, Result};
use crate::functions::native::{Call, Function};

pub(super) const ALL: &[&Function] = &[
    &Function::of("array_contains", two, |c| lists(c, |a, b| b.iter().all(|x| x.is_some() && a.contains(x)))),
    &Function::of("array_contained", two, |c| lists(c, |a, b| a.iter().all(|x| x.is_some() && b.contains(x)))),
    &Function::of("array_overlap", two, |c| lists(c, |a, b| a.iter().any(|x| x.is_some() && b.contains(x)))),
    &Function::of("any_of", quantified, |c| quantify(c, true)),
    &Function::of("all_of", quantified, |c| quantify(c, false)),
    &Function::of("array_order", |types| alike(types, &DataType::Int32), order),
    &Function::of("array_greatest", |types| alike(types, types.first()?), |call| extreme(call, Ordering::Greater)),
    &Function::of("array_least", |types| alike(types, types.first()?), |call| extreme(call, Ordering::Less)),
    &Function::of("array_position", position_types, position),
    &Function::of("array_positions", |t| settled(t, 2, &[0], Field::new("", ints(), true)), positions),
];

fn ints() -> DataType {
    list_of(&Field::new("item", DataType::Int32, true))
}

fn bool() -> Field {
    Field::new("", DataType::Boolean, true)
}

fn two(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    settled(types, 2, &[0, 1], bool())
}

/// The element, the operator's text, the list.
fn quantified(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    (types.len() == 3).then(|| (types.to_vec(), bool()))
}

/// Lists of one type.
fn alike(types: &[DataType], result: &DataType) -> Option<(Vec<DataType>, Field)> {
    let first = types.first()?;
    types.iter().all(|t| t == first).then(|| (types.to_vec(), Field::new("", result.clone(), true)))
}

/// How rows of two lists order: element by element, NULL above all others.
fn comparator(a: &ArrayRef, b: &ArrayRef) -> Result<DynComparator> {
    let options = SortOptions { descending: false, nulls_first: false };
    Ok(make_comparator(&key_form(a)?, &key_form(b)?, options)?)
}

/// -1, 0 or 1; NULL where a list is.
fn order(call: &Call<'_>) -> Result<ArrayRef> {
    let (a, b) = (&call.args[0], &call.args[1]);
    let compare = comparator(a, b)?;
    let one = |row: usize| (a.is_valid(row) && b.is_valid(row)).then(|| compare(row, row) as i32);
    Ok(Arc::new((0..call.rows).map(one).collect::<Int32Array>()))
}

/// GREATEST and LEAST, which pass over NULL.
fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let Some((first, rest)) = call.args.split_first() else { return Err(Error::internal("nothing to compare")) };
    let mut best = Arc::clone(first);
    for next in rest {
        let compare = comparator(next, &best)?;
        let better = |row: usize| next.is_valid(row) && (best.is_null(row) || compare(row, row) == wanted);
        let chosen: BooleanArray = (0..call.rows).map(|row| Some(better(row))).collect();
        best = zip(&chosen, next, &best)?;
    }
    Ok(best)
}

fn position_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let result = Field::new("", DataType::Int32, true);
    match types {
        [_, _] => settled(types, 2, &[0], result),
        [list, element, _] => {
            let wanted = [list.clone(), element.clone(), DataType::Int32];
            settled(types, 3, &[0], result).map(|(_, result)| (wanted.to_vec(), result))
        }
        _ => None,
    }
}

/// The keys of a row's elements; `None` for NULL, which is equal to nothing here.
type Elements<'a> = Vec<Option<&'a [u8]>>;

fn lists(call: &Call<'_>, f: fn(&Elements<'_>, &Elements<'_>) -> bool) -> Result<ArrayRef> {
    let (a, b) = (call.args[0].as_list::<i32>(), call.args[1].as_list::<i32>());
    let (x, y) = (keys(a.values())?, keys(b.values())?);
    let one = |row: usize| {
        let part = |list: &arrow::array::ListArray, keys: &'_ crate::data::Keys| -> Vec<Option<Vec<u8>>> {
            range(list, row).map(|at| list.values().is_valid(at).then(|| keys.get(at).to_vec())).collect()
        };
        if a.is_null(row) || b.is_null(row) {
            return None;
        }
        let (left, right) = (part(a, &x), part(b, &y));
        let left: Elements<'_> = left.iter().map(Option::as_deref).collect();
        let right: Elements<'_> = right.iter().map(Option::as_deref).collect();
        Some(f(&left, &right))
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<BooleanArray>()))
}

/// `element op ANY (list)`, `element op ALL (list)`: NULL where a NULL leaves it open.
fn quantify(call: &Call<'_>, any: bool) -> Result<ArrayRef> {
    let (element, list) = (&call.args[0], call.args[2].as_list::<i32>());
    let symbol = call.args[1].as_string::<i32>();
    let (left, right) = (keys(element)?, keys(list.values())?);
    let one = |row: usize| {
        if list.is_null(row) {
            return Ok(None);
        }
        let symbol = symbol.value(row);
        let mut open = false;
        for at in range(list, row) {
            if element.is_null(row) || list.values().is_null(at) {
                open = true;
                continue;
            }
            let order = left.get(row).cmp(right.get(at));
            let holds = match symbol {
                "=" => order.is_eq(),
                "<>" => order.is_ne(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                ">=" => order.is_ge(),
                other => return Err(Error::internal(format!("no operator {other}"))),
            };
            if holds == any {
                return Ok(Some(any));
            }
        }
        Ok(if open { None } else { Some(!any) })
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<BooleanArray>>()?))
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let (values, wanted) = (keys(list.values())?, keys(&call.args[1])?);
    let starts = call.args.get(2).map(|a| a.as_primitive::<Int32Type>());
    let one = |row: usize| {
        if list.is_null(row) {
            return None;
        }
        let range = range(list, row);
        let skip = starts.map_or(0, |s| usize::try_from(s.value(row) - 1).unwrap_or(0));
        let found = range.clone().skip(skip).find(|at| values.get(*at) == wanted.get(row))?;
        i32::try_from(found - range.start + 1).ok()
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Int32Array>()))
}

fn positions(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.args[0].as_list::<i32>();
    let (values, wanted) = (keys(list.values())?, keys(&call.args[1])?);
    let longest = (0..call.rows).map(|row| range(list, row).len()).max().unwrap_or(0);
    let numbers: Int32Array = (1..=i32::try_from(longest).unwrap_or(i32::MAX)).collect();
    let mut out = Gather::new(vec![&numbers]);
    for row in 0..call.rows {
        if list.is_null(row) {
            out.null();
        } else {
            let start = range(list, row).start;
            out.row(range(list, row).filter(|at| values.get(*at) == wanted.get(row)).map(|at| (0, at - start)));
        }
    }
    out.finish(call.result)
}
