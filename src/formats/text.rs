//! Columns of text -> typed columns, by PostgreSQL's text input, without stopping at a value that does not fit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field};

use crate::data::text::{Builder, TimeZone};
use crate::data::types;
use crate::error::{Error, Result, SqlState};

const JSON_OID: u32 = 114;

/// Why a value is not one of its column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Position in the column.
    pub row: usize,
    /// SQLSTATE.
    pub code: SqlState,
    /// PostgreSQL's words.
    pub message: String,
}

/// Converts a column of text to a column's type. Values that do not fit are NULL in the result and listed, ascending.
///
/// Errors: bugs only.
pub fn parse(text: &StringArray, field: &Field) -> Result<(ArrayRef, Vec<BadValue>)> {
    let pg = types::pg_type(field);
    if field.data_type() == &DataType::Utf8 && pg.typmod < 0 && pg.oid != JSON_OID {
        return Ok((Arc::new(text.clone()), Vec::new()));
    }
    let mut values = Builder::new(field, &TimeZone::utc());
    let mut bad = Vec::new();
    for (row, value) in text.iter().enumerate() {
        if let Err(error) = values.append(value) {
            values.append_null();
            bad.push(BadValue { row, code: error.code(), message: message(&error) });
        }
    }
    Ok((values.finish()?, bad))
}

/// What an error says, on one line of bounded length.
fn message(error: &Error) -> String {
    cut(error.message(), 256)
}

/// The beginning of a text, of some bytes at most.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// Positions at which a column that has to have a value has none.
pub(super) fn missing(array: &ArrayRef) -> Vec<usize> {
    if array.null_count() == 0 {
        return Vec::new();
    }
    (0..array.len()).filter(|row| array.is_null(*row)).collect()
}

/// A column as text, if it is.
pub(super) fn as_text(array: &ArrayRef) -> Option<&StringArray> {
    array.as_string_opt::<i32>()
}
