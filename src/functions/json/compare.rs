//! Comparing documents of jsonb.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::datatypes::{DataType, Field};

use super::{Documents, texts};
use crate::data::text::json::{Json, order_key, parse};
use crate::data::types::JSONB;
use crate::error::Result;
use crate::functions::native::{Call, Function, Overload, T};

const TWO: &[Overload] = &[Overload(&[T::Jsonb, T::Jsonb], T::Bool)];
const KEYS: &[Overload] = &[Overload(&[T::Jsonb, T::Texts], T::Bool)];

pub(super) const ALL: &[&Function] = &[
    // Bytes that compare as jsonb's operators do: `1.0` equals `1.00`.
    &Function::of("jsonb_order", order_types, order),
    &Function::new("jsonb_contains", TWO, |c| pairs(c, |a, b| contains(a, b, true))),
    &Function::new("jsonb_contained", TWO, |c| pairs(c, |a, b| contains(b, a, true))),
    &Function::new("jsonb_exists", &[Overload(&[T::Jsonb, T::Text], T::Bool)], exists),
    &Function::new("jsonb_exists_any", KEYS, |c| exist(c, |keys, has| keys.iter().flatten().any(|k| has(k)))),
    &Function::new("jsonb_exists_all", KEYS, |c| exist(c, |keys, has| keys.iter().flatten().all(|k| has(k)))),
];

fn order_types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    (types == [JSONB]).then(|| (vec![JSONB], Field::new("", DataType::Binary, true)))
}

fn order(call: &Call<'_>) -> Result<ArrayRef> {
    let key = |document: &str| {
        let mut out = Vec::new();
        order_key(&parse(document)?, &mut out);
        Ok(out)
    };
    let keys = call.args[0].as_string::<i64>().iter().map(|d| d.map(key).transpose());
    Ok(Arc::new(keys.collect::<Result<Vec<_>>>()?.into_iter().collect::<BinaryArray>()))
}

fn pairs(call: &Call<'_>, f: fn(&Json, &Json) -> bool) -> Result<ArrayRef> {
    let (a, b) = (Documents::new(&call.args[0]), Documents::new(&call.args[1]));
    let one = |row| match (a.get(row), b.get(row)) {
        (Some(a), Some(b)) => Ok(Some(f(&parse(a)?, &parse(b)?))),
        _ => Ok(None),
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<BooleanArray>>()?))
}

fn equal(a: &Json, b: &Json) -> bool {
    let key = |value: &Json| {
        let mut out = Vec::new();
        order_key(value, &mut out);
        out
    };
    a == b || key(a) == key(b)
}

/// `a @> b`: objects by members, arrays by elements in any order; an array contains a scalar as well, at the top.
fn contains(a: &Json, b: &Json, top: bool) -> bool {
    match (a, b) {
        (Json::Object(all), Json::Object(some)) => some.iter().all(|(key, value)| {
            all.iter().find(|(k, _)| k == key).is_some_and(|(_, found)| contains(found, value, false))
        }),
        (Json::Array(all), Json::Array(some)) => {
            some.iter().all(|value| all.iter().any(|found| contains(found, value, false)))
        }
        (Json::Array(all), scalar) if top && !matches!(scalar, Json::Object(_)) => {
            all.iter().any(|found| equal(found, scalar))
        }
        (a, b) => equal(a, b),
    }
}

/// Whether a key, an element or the value itself is this string.
fn has(document: &Json, key: &str) -> bool {
    match document {
        Json::Object(members) => members.iter().any(|(k, _)| k == key),
        Json::Array(items) => items.iter().any(|item| matches!(item, Json::String(text) if text == key)),
        Json::String(text) => text == key,
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

fn exists(call: &Call<'_>) -> Result<ArrayRef> {
    let (documents, keys) = (call.args[0].as_string::<i64>(), call.args[1].as_string::<i32>());
    let one = |(document, key): (Option<&str>, Option<&str>)| match (document, key) {
        (Some(document), Some(key)) => Ok(Some(has(&parse(document)?, key))),
        _ => Ok(None),
    };
    Ok(Arc::new(documents.iter().zip(keys).map(one).collect::<Result<BooleanArray>>()?))
}

/// Whether keys, any or all, are among those that a document has.
type Among = fn(&[Option<String>], &dyn Fn(&str) -> bool) -> bool;

fn exist(call: &Call<'_>, f: Among) -> Result<ArrayRef> {
    let documents = Documents::new(&call.args[0]);
    let one = |row| match (documents.get(row), texts(&call.args[1], row)) {
        (Some(document), Some(keys)) => {
            let document = parse(document)?;
            Ok(Some(f(&keys, &|key| has(&document, key))))
        }
        _ => Ok(None),
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<BooleanArray>>()?))
}
