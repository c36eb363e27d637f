//! Parts of documents.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, LargeStringArray, LargeStringBuilder, ListBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type};

use super::{Documents, each, texts, wrong};
use crate::data::text::json::{elements, members, unquoted};
use crate::data::types::{JSONB, json, list_of};
use crate::error::Result;
use crate::functions::native::{Call, Function, Overload, T};

const FIELD: &[T] = &[T::Jsonb, T::Text];
const ELEMENT: &[T] = &[T::Jsonb, T::Int4];

pub(super) const ALL: &[&Function] = &[
    &Function::new("jsonb_object_field", &[Overload(FIELD, T::Jsonb)], field),
    &Function::new("jsonb_object_field_text", &[Overload(FIELD, T::Text)], |c| unquote(c, field_of)),
    &Function::new("jsonb_array_element", &[Overload(ELEMENT, T::Jsonb)], element),
    &Function::new("jsonb_array_element_text", &[Overload(ELEMENT, T::Text)], |c| unquote(c, element_of)),
    &Function::new("json_object_field", &[Overload(&[T::Json, T::Text], T::Json)], field),
    &Function::new("json_object_field_text", &[Overload(&[T::Json, T::Text], T::Text)], |c| unquote(c, field_of)),
    &Function::new("json_array_element", &[Overload(&[T::Json, T::Int4], T::Json)], element),
    &Function::new("json_array_element_text", &[Overload(&[T::Json, T::Int4], T::Text)], |c| unquote(c, element_of)),
    &Function::of("jsonb_extract_path", |t| path_types(t, JSONB, Field::new("", JSONB, true)), path),
    &Function::of("jsonb_extract_path_text", |t| path_types(t, JSONB, text()), path_text),
    &Function::of("json_extract_path", |t| path_types(t, DataType::Utf8, json("", true)), path),
    &Function::of("json_extract_path_text", |t| path_types(t, DataType::Utf8, text()), path_text),
    &Function::new("jsonb_typeof", &[Overload(&[T::Jsonb], T::Text)], type_of),
    &Function::new("json_typeof", &[Overload(&[T::Json], T::Text)], type_of),
    &Function::new("jsonb_array_length", &[Overload(&[T::Jsonb], T::Int4)], length),
    &Function::new("json_array_length", &[Overload(&[T::Json], T::Int4)], length),
    &Function::of("jsonb_array_elements", |t| set_types(t, JSONB, Field::new("item", JSONB, true)), items),
    &Function::of("json_array_elements", |t| set_types(t, DataType::Utf8, json("item", true)), items),
    &Function::of("jsonb_array_elements_text", |t| set_types(t, JSONB, text()), items_text),
    &Function::of("json_array_elements_text", |t| set_types(t, DataType::Utf8, text()), items_text),
    &Function::of("jsonb_object_keys", |t| set_types(t, JSONB, text()), keys),
    &Function::of("json_object_keys", |t| set_types(t, DataType::Utf8, text()), keys),
    &Function::of("jsonb_each_values", |t| set_types(t, JSONB, Field::new("item", JSONB, true)), values),
    &Function::of("jsonb_each_values_text", |t| set_types(t, JSONB, text()), values_text),
    &Function::of("json_each_values", |t| set_types(t, DataType::Utf8, json("item", true)), values),
    &Function::of("json_each_values_text", |t| set_types(t, DataType::Utf8, text()), values_text),
];

fn text() -> Field {
    Field::new("item", DataType::Utf8, true)
}

/// A document, then keys as texts or as one text[].
fn path_types(types: &[DataType], document: DataType, result: Field) -> Option<(Vec<DataType>, Field)> {
    let (first, keys) = types.split_first()?;
    let document = fits(first, document)?;
    let list = list_of(&text());
    let wanted = match keys {
        [one @ DataType::List(item)] if item.data_type() == &DataType::Utf8 => vec![one.clone()],
        [DataType::Null] => vec![list],
        keys if keys.iter().all(|t| matches!(t, DataType::Utf8 | DataType::Null)) => vec![DataType::Utf8; keys.len()],
        _ => return None,
    };
    Some(([vec![document], wanted].concat(), result))
}

fn set_types(types: &[DataType], document: DataType, item: Field) -> Option<(Vec<DataType>, Field)> {
    let [one] = types else { return None };
    Some((vec![fits(one, document)?], Field::new("", list_of(&item), true)))
}

fn fits(found: &DataType, document: DataType) -> Option<DataType> {
    (*found == document || matches!(found, DataType::Utf8 | DataType::Null)).then_some(document)
}

/// The member of this key; of several the last.
fn member<'a>(document: &'a str, key: &str) -> Result<Option<&'a str>> {
    Ok(members(document)?.and_then(|all| all.into_iter().rev().find(|(k, _)| k == key).map(|(_, raw)| raw)))
}

/// The element of this number, from 0; negative ones count from the end.
fn nth(document: &str, index: i64) -> Result<Option<&str>> {
    let Some(all) = elements(document)? else { return Ok(None) };
    let at = if index < 0 { index + all.len() as i64 } else { index };
    Ok(usize::try_from(at).ok().and_then(|at| all.get(at).copied()))
}

type Part = for<'a> fn(&'a str, &Call<'_>, usize) -> Result<Option<&'a str>>;

fn field_of<'a>(document: &'a str, call: &Call<'_>, row: usize) -> Result<Option<&'a str>> {
    let key = call.args[1].as_string::<i32>();
    if key.is_null(row) { Ok(None) } else { member(document, key.value(row)) }
}

fn element_of<'a>(document: &'a str, call: &Call<'_>, row: usize) -> Result<Option<&'a str>> {
    let index = call.args[1].as_primitive::<Int32Type>();
    if index.is_null(row) { Ok(None) } else { nth(document, index.value(row).into()) }
}

fn field(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |document, row| Ok(field_of(document, call, row)?.map(str::to_owned)))
}

fn element(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |document, row| Ok(element_of(document, call, row)?.map(str::to_owned)))
}

fn unquote(call: &Call<'_>, part: Part) -> Result<ArrayRef> {
    each(call, |document, row| part(document, call, row)?.map_or(Ok(None), unquoted))
}

/// A row's path; `None` when it or a part of it is NULL.
fn steps(call: &Call<'_>, row: usize) -> Option<Vec<String>> {
    match call.args.get(1).map(Array::data_type) {
        Some(DataType::List(_)) => texts(&call.args[1], row)?.into_iter().collect(),
        _ => {
            let key = |array: &ArrayRef| {
                let keys = array.as_string::<i32>();
                keys.is_valid(row).then(|| keys.value(row).to_owned())
            };
            call.args[1..].iter().map(key).collect()
        }
    }
}

fn follow<'a>(document: &'a str, call: &Call<'_>, row: usize) -> Result<Option<&'a str>> {
    let Some(steps) = steps(call, row) else { return Ok(None) };
    let mut at = document.trim();
    for step in steps {
        let next = if at.starts_with('{') {
            member(at, &step)?
        } else {
            match step.parse() {
                Ok(index) => nth(at, index)?,
                Err(_) => None,
            }
        };
        match next {
            Some(part) => at = part,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn path(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |document, row| Ok(follow(document, call, row)?.map(str::to_owned)))
}

fn path_text(call: &Call<'_>) -> Result<ArrayRef> {
    unquote(call, follow)
}

/// PostgreSQL's word for a document's kind.
fn kind(document: &str) -> &'static str {
    match document.trim_start().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

fn type_of(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |document, _| Ok(Some(kind(document).to_owned())))
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = Documents::new(&call.args[0]);
    let lengths = (0..call.rows).map(|row| {
        let Some(document) = documents.get(row) else { return Ok(None) };
        match elements(document)? {
            Some(all) => Ok(i32::try_from(all.len()).ok()),
            None if kind(document) == "object" => Err(wrong("cannot get array length of a non-array")),
            None => Err(wrong("cannot get array length of a scalar")),
        }
    });
    Ok(Arc::new(lengths.collect::<Result<Int32Array>>()?))
}

/// A list per document.
fn lists(call: &Call<'_>, parts: impl Fn(&str) -> Result<Vec<Option<String>>>) -> Result<ArrayRef> {
    let DataType::List(item) = call.result else { return Err(wrong("the result is no list")) };
    let documents = Documents::new(&call.args[0]);
    macro_rules! build {
        ($builder:expr) => {{
            let mut builder = ListBuilder::new($builder).with_field(Arc::clone(item));
            for row in 0..call.rows {
                match documents.get(row) {
                    Some(document) => builder.append_value(parts(document)?),
                    None => builder.append_null(),
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match item.data_type() {
        DataType::LargeUtf8 => build!(LargeStringBuilder::new()),
        _ => build!(StringBuilder::new()),
    }
}

fn array_items(document: &str) -> Result<Vec<&str>> {
    match elements(document)? {
        Some(all) => Ok(all),
        None if kind(document) == "object" => Err(wrong("cannot extract elements from an object")),
        None => Err(wrong("cannot extract elements from a scalar")),
    }
}

fn object_members<'a>(document: &'a str, function: &str) -> Result<Vec<(String, &'a str)>> {
    match members(document)? {
        Some(all) => Ok(all),
        None if kind(document) == "array" => Err(wrong(format!("cannot call {function} on an array"))),
        None => Err(wrong(format!("cannot call {function} on a scalar"))),
    }
}

fn items(call: &Call<'_>) -> Result<ArrayRef> {
    lists(call, |document| Ok(array_items(document)?.into_iter().map(|raw| Some(raw.to_owned())).collect()))
}

fn items_text(call: &Call<'_>) -> Result<ArrayRef> {
    lists(call, |document| array_items(document)?.into_iter().map(unquoted).collect())
}

fn keys(call: &Call<'_>) -> Result<ArrayRef> {
    let function = if call.args[0].data_type() == &JSONB { "jsonb_object_keys" } else { "json_object_keys" };
    lists(call, |document| Ok(object_members(document, function)?.into_iter().map(|(key, _)| Some(key)).collect()))
}

fn values(call: &Call<'_>) -> Result<ArrayRef> {
    let raw = |(_, raw): (String, &str)| Some(raw.to_owned());
    lists(call, |document| Ok(object_members(document, "jsonb_each")?.into_iter().map(raw).collect()))
}

fn values_text(call: &Call<'_>) -> Result<ArrayRef> {
    lists(call, |document| {
        object_members(document, "jsonb_each_text")?.into_iter().map(|(_, raw)| unquoted(raw)).collect()
    })
}

/// Scalars of jsonb as the text of a number or a boolean. Errors: 22023 of another kind.
pub(in crate::functions) fn as_text(documents: &LargeStringArray, to: &DataType, name: &str) -> Result<StringArray> {
    let wanted = if to == &DataType::Boolean { "boolean" } else { "number" };
    let one = |document: &str| match kind(document) {
        found if found == wanted => Ok(document.to_owned()),
        "number" => Err(wrong(format!("cannot cast jsonb numeric to type {name}"))),
        found => Err(wrong(format!("cannot cast jsonb {found} to type {name}"))),
    };
    documents.iter().map(|d| d.map(one).transpose()).collect()
}
