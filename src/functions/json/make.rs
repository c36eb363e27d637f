//! JSON of any values.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};

use super::{collect, wrong};
use crate::data::text::json::{normalise, write_string};
use crate::data::text::{Column, JsonColumn};
use crate::data::types::{JSONB, json};
use crate::error::{Error, Result, SqlState};
use crate::functions::native::{Call, Function};

/// They print times with the session's TimeZone.
pub(in crate::functions) const ALL: &[&Function] = &[
    &Function::of("to_jsonb", |t| one(t, jsonb()), |c| single(c, Style::Jsonb)),
    &Function::of("to_json", |t| one(t, json("", true)), |c| single(c, Style::Json)),
    &Function::of("row_to_json", |t| record(t, json("", true)), |c| single(c, Style::Json)),
    &Function::of("jsonb_build_array", |t| Some((known(t), jsonb())), |c| array(c, Style::Jsonb)),
    &Function::of("json_build_array", |t| Some((known(t), json("", true))), |c| array(c, Style::Json)),
    &Function::of("jsonb_build_object", |t| Some((known(t), jsonb())), |c| object(c, Style::Jsonb)),
    &Function::of("json_build_object", |t| Some((known(t), json("", true))), |c| object(c, Style::Json)),
];

fn jsonb() -> Field {
    Field::new("", JSONB, true)
}

fn known(types: &[DataType]) -> Vec<DataType> {
    types.iter().map(|t| if t.is_null() { DataType::Utf8 } else { t.clone() }).collect()
}

fn one(types: &[DataType], result: Field) -> Option<(Vec<DataType>, Field)> {
    (types.len() == 1).then(|| (known(types), result))
}

fn record(types: &[DataType], result: Field) -> Option<(Vec<DataType>, Field)> {
    matches!(types, [DataType::Struct(_)]).then(|| (types.to_vec(), result))
}

/// How documents are spaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Normal at the end.
    Jsonb,
    /// As PostgreSQL's json functions print.
    Json,
}

fn values(call: &Call<'_>) -> Result<Vec<JsonColumn>> {
    call.args.iter().zip(call.fields).map(|(array, field)| JsonColumn::new(array, field)).collect()
}

fn finish(document: String, style: Style) -> Result<Option<String>> {
    match style {
        Style::Jsonb => normalise(&document).map(Some),
        Style::Json => Ok(Some(document)),
    }
}

fn single(call: &Call<'_>, style: Style) -> Result<ArrayRef> {
    let values = values(call)?;
    let row = |row| {
        let Some(value) = values.first().filter(|value| !value.is_null(row)) else { return Ok(None) };
        let mut out = String::new();
        value.write(row, call.zone, &mut out);
        finish(out, style)
    };
    collect(call, (0..call.rows).map(row))
}

fn array(call: &Call<'_>, style: Style) -> Result<ArrayRef> {
    let values = values(call)?;
    let row = |row| {
        let mut out = String::from("[");
        for (i, value) in values.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            value.write(row, call.zone, &mut out);
        }
        out.push(']');
        finish(out, style)
    };
    collect(call, (0..call.rows).map(row))
}

fn object(call: &Call<'_>, style: Style) -> Result<ArrayRef> {
    if call.args.len() % 2 == 1 {
        let name = if style == Style::Jsonb { "jsonb_build_object" } else { "json_build_object" };
        let hint = format!("The arguments of {name}() must consist of alternating keys and values.");
        return Err(wrong("argument list must have even number of elements").with_hint(hint));
    }
    let columns = call.args.iter().zip(call.fields).step_by(2).map(|(array, field)| Column::new(array.as_ref(), field));
    let keys = columns.collect::<Result<Vec<_>>>()?;
    let values = values(call)?;
    let row = |row| {
        let mut out = String::from("{");
        for (i, key) in keys.iter().enumerate() {
            if key.is_null(row) {
                let message = match style {
                    Style::Jsonb => format!("argument {}: key must not be null", 2 * i + 1),
                    Style::Json => format!("argument {} cannot be null", 2 * i + 1),
                };
                let hint = "Object keys should be text.";
                let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
                return Err(if style == Style::Json { error.with_hint(hint) } else { error });
            }
            out.push_str(if i > 0 { ", " } else { "" });
            let mut text = String::new();
            key.write(row, call.zone, &mut text);
            write_string(&text, &mut out);
            out.push_str(" : ");
            values[2 * i + 1].write(row, call.zone, &mut out);
        }
        out.push('}');
        finish(out, style)
    };
    collect(call, (0..call.rows).map(row))
}
