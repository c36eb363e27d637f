//! Arrays to text and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};

use super::range;
use crate::data::text::Column;
use crate::data::types::{leaf, list_of};
use crate::error::{Error, Result};
use crate::functions::native::{Call, Function};

pub(in crate::functions) const ALL: &[&Function] =
    &[&Function::of("array_to_string", print_types, print), &Function::of("string_to_array", split_types, split)];

fn print_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let (list @ DataType::List(_), texts) = types.split_first()? else { return None };
    let fine = matches!(texts.len(), 1 | 2) && texts.iter().all(|t| matches!(t, DataType::Utf8 | DataType::Null));
    let wanted = [vec![list.clone()], vec![DataType::Utf8; texts.len()]].concat();
    fine.then_some((wanted, Field::new("", DataType::Utf8, true)))
}

/// Elements with a text between; NULLs are left out, or have a text.
fn print(call: &Call<'_>) -> Result<ArrayRef> {
    let mut list = call.args[0].as_list::<i32>().clone();
    // Of several dimensions all elements, one behind the other.
    let whole = list.clone();
    let mut ends: Vec<std::ops::Range<usize>> = (0..list.len()).map(|row| range(&whole, row)).collect();
    while let Some(inner) = list.values().as_list_opt::<i32>().cloned() {
        for end in &mut ends {
            *end = if end.start == end.end {
                0..0
            } else {
                range(&inner, end.start).start..range(&inner, end.end - 1).end
            };
        }
        list = inner;
    }
    let item = leaf(&call.fields[0]);
    let items = Column::new(list.values().as_ref(), &item)?;
    let (separators, nulls) = (call.args[1].as_string::<i32>(), call.args.get(2).map(|a| a.as_string::<i32>()));
    let one = |row: usize| {
        if whole.is_null(row) || separators.is_null(row) {
            return None;
        }
        let (mut out, mut first) = (String::new(), true);
        for at in ends[row].clone() {
            let null = nulls.filter(|n| n.is_valid(row)).map(|n| n.value(row));
            if items.is_null(at) && null.is_none() {
                continue;
            }
            if !first {
                out.push_str(separators.value(row));
            }
            first = false;
            match null {
                Some(text) if items.is_null(at) => out.push_str(text),
                _ => items.write(at, call.zone, &mut out),
            }
        }
        Some(out)
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<StringArray>()))
}

fn split_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let fine = matches!(types.len(), 2 | 3) && types.iter().all(|t| matches!(t, DataType::Utf8 | DataType::Null));
    let result = Field::new("", list_of(&Field::new("item", DataType::Utf8, true)), true);
    fine.then(|| (vec![DataType::Utf8; types.len()], result))
}

/// The parts between a text; each character where it is NULL, the whole where it is empty.
fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = call.result else { return Err(Error::internal("the result is no list")) };
    let (texts, separators) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let nulls = call.args.get(2).map(|a| a.as_string::<i32>());
    let mut out = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(item));
    for row in 0..call.rows {
        if texts.is_null(row) {
            out.append_null();
            continue;
        }
        let text = texts.value(row);
        let parts: Vec<String> = match separators.is_valid(row).then(|| separators.value(row)) {
            _ if text.is_empty() => vec![],
            None => text.chars().map(String::from).collect(),
            Some("") => vec![text.to_owned()],
            Some(separator) => text.split(separator).map(str::to_owned).collect(),
        };
        let null = nulls.filter(|n| n.is_valid(row)).map(|n| n.value(row));
        out.append_value(parts.into_iter().map(|part| (Some(part.as_str()) != null).then_some(part)));
    }
    Ok(Arc::new(out.finish()))
}
