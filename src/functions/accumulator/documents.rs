//! json_agg, json_object_agg and their like: documents of the rows of each group, which come in order, as JSON already.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringBuilder, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::{CellError, Finished, OrderedFunction};
use crate::data::text::json::{normalise, write_string};
use crate::error::{Error, Result, SqlState};

/// One document per group, of as many rows as `lengths` says; NULL for none.
pub(super) fn documents(function: OrderedFunction, values: &[ArrayRef], lengths: &[usize]) -> Result<Finished> {
    let texts = values.iter().map(|v| Ok(cast(v, &DataType::Utf8)?)).collect::<Result<Vec<_>>>()?;
    let texts: Vec<&StringArray> = texts.iter().map(|v| v.as_string::<i32>()).collect();
    let (mut documents, mut errors, mut bytes) = (vec![], vec![], 0);
    let mut at = 0;
    for (group, length) in lengths.iter().enumerate() {
        let rows = at..at + length;
        at = rows.end;
        let document = match texts[..] {
            _ if rows.is_empty() => None,
            [items] => Some(array(function, items, rows)),
            [keys, _] if rows.clone().any(|row| keys.is_null(row)) => {
                let (code, message) = (SqlState::INVALID_PARAMETER_VALUE, "field name must not be null");
                errors.push((group, CellError { code, message }));
                None
            }
            [keys, items] => Some(object(function, keys, items, rows)?),
            _ => return Err(Error::internal("a document has one argument or two")),
        };
        bytes += document.as_ref().map_or(0, String::len);
        documents.push(document);
    }
    if bytes > i32::MAX as usize {
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "documents of an aggregate exceed 2 GB"));
    }
    let column: ArrayRef = match function {
        OrderedFunction::JsonbArray | OrderedFunction::JsonbObject => {
            let mut out = LargeStringBuilder::with_capacity(documents.len(), bytes);
            documents.iter().for_each(|d| out.append_option(d.as_ref()));
            Arc::new(out.finish())
        }
        _ => {
            let mut out = StringBuilder::with_capacity(documents.len(), bytes);
            documents.iter().for_each(|d| out.append_option(d.as_ref()));
            Arc::new(out.finish())
        }
    };
    Ok(Finished { column, errors })
}

/// A value, or what JSON has for NULL.
fn value(items: &StringArray, row: usize) -> &str {
    if items.is_null(row) { "null" } else { items.value(row) }
}

fn array(function: OrderedFunction, items: &StringArray, rows: std::ops::Range<usize>) -> String {
    let mut out = String::from("[");
    for row in rows.clone() {
        if row > rows.start {
            // PostgreSQL begins a line for each array or row.
            let lines = function == OrderedFunction::JsonLines && items.is_valid(row);
            out.push_str(if lines { ", \n " } else { ", " });
        }
        out.push_str(value(items, row));
    }
    out.push(']');
    out
}

fn object(
    function: OrderedFunction,
    keys: &StringArray,
    items: &StringArray,
    rows: std::ops::Range<usize>,
) -> Result<String> {
    let mut out = String::from("{ ");
    for row in rows.clone() {
        out.push_str(if row > rows.start { ", " } else { "" });
        write_string(keys.value(row), &mut out);
        out.push_str(" : ");
        out.push_str(value(items, row));
    }
    out.push_str(" }");
    if function == OrderedFunction::JsonbObject { normalise(&out) } else { Ok(out) }
}
