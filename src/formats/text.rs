//! Columns of text -> typed columns, by PostgreSQL's text input, without stopping at a value that does not fit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field};
use memchr::memchr;

use crate::data::text::{Builder, TimeZone};
use crate::data::types::{self, JSON_OID};
use crate::error::{Error, Result, SqlState};

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
    let (text, mut bad) = without_nul(text);
    if field.data_type() == &DataType::Utf8 && pg.typmod < 0 && pg.oid != JSON_OID {
        return Ok((Arc::new(text), bad));
    }
    let mut values = Builder::new(field, &TimeZone::utc());
    for (row, value) in text.iter().enumerate() {
        if let Err(error) = values.append(value) {
            values.append_null();
            bad.push(BadValue { row, code: error.code(), message: message(&error) });
        }
    }
    bad.sort_by_key(|value| value.row);
    Ok((values.finish()?, bad))
}

/// The texts without those that hold U+0000, which no text of PostgreSQL does.
pub(super) fn without_nul(text: &StringArray) -> (StringArray, Vec<BadValue>) {
    if memchr(0, text.value_data()).is_none() {
        return (text.clone(), Vec::new());
    }
    let has = |value: &str| value.contains('\0');
    let bad = (0..text.len()).filter(|row| text.is_valid(*row) && has(text.value(*row)));
    let bad = bad.map(|row| BadValue {
        row,
        code: SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        message: "invalid byte sequence for encoding \"UTF8\": 0x00".to_owned(),
    });
    (text.iter().map(|value| value.filter(|value| !has(value))).collect(), bad.collect())
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
