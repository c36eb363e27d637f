//! Functions and operators of json and jsonb.
//!
//! * `access`: parts of a document: `->`, `->>`, `#>`, `#>>`, lengths, elements, keys; on the text, for both types;
//! * `compare`: order, `@>`, `?` and its like;
//! * `change`: `||`, `-`, `#-`, jsonb_set, ..;
//! * `make`: JSON of any values: to_jsonb, jsonb_build_object, row_to_json, ..
//!
//! jsonb's text is normal (see [`crate::data::text::json`]), so that any part of it is as well.

mod access;
mod change;
mod compare;
mod make;

pub(super) use access::as_text;
pub(super) use make::ALL as ZONED;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray};
use arrow::datatypes::DataType;

use super::native::{Call, Function};
use crate::error::{Error, Result, SqlState};

/// Those that do not depend on a session.
pub(super) fn all() -> Vec<&'static Function> {
    [access::ALL, change::ALL, compare::ALL].concat()
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// A column of documents, of json or jsonb.
enum Documents<'a> {
    Json(&'a StringArray),
    Jsonb(&'a LargeStringArray),
}

impl<'a> Documents<'a> {
    fn new(array: &'a ArrayRef) -> Self {
        match array.data_type() {
            DataType::LargeUtf8 => Self::Jsonb(array.as_string()),
            _ => Self::Json(array.as_string()),
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Json(a) => a.is_valid(row).then(|| a.value(row)),
            Self::Jsonb(a) => a.is_valid(row).then(|| a.value(row)),
        }
    }
}

/// A result of the call's type: text, json, jsonb.
fn collect(call: &Call<'_>, values: impl Iterator<Item = Result<Option<String>>>) -> Result<ArrayRef> {
    Ok(match call.result {
        DataType::LargeUtf8 => Arc::new(values.collect::<Result<LargeStringArray>>()?),
        _ => Arc::new(values.collect::<Result<StringArray>>()?),
    })
}

/// One value per row whose first argument is there.
fn each(call: &Call<'_>, f: impl Fn(&str, usize) -> Result<Option<String>>) -> Result<ArrayRef> {
    let documents = Documents::new(&call.args[0]);
    collect(call, (0..call.rows).map(|row| documents.get(row).map_or(Ok(None), |document| f(document, row))))
}

/// The texts of a row's text[]; `None` for NULL.
fn texts(array: &ArrayRef, row: usize) -> Option<Vec<Option<String>>> {
    let list = array.as_list::<i32>();
    list.is_valid(row).then(|| list.value(row).as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect())
}
