//! Changed documents of jsonb.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int32Type;

use super::{Documents, collect, each, texts, wrong};
use crate::data::text::json::{Json, object, parse, write, write_string};
use crate::error::{Error, Result, SqlState};
use crate::functions::native::{Call, Function, Overload, T};

pub(super) const ALL: &[&Function] = &[
    &Function::new("jsonb_concat", &[Overload(&[T::Jsonb, T::Jsonb], T::Jsonb)], |c| binary(c, concat)),
    &Function::new(
        "jsonb_delete",
        &[
            Overload(&[T::Jsonb, T::Text], T::Jsonb),
            Overload(&[T::Jsonb, T::Int4], T::Jsonb),
            Overload(&[T::Jsonb, T::Texts], T::Jsonb),
        ],
        delete,
    ),
    &Function::new("jsonb_delete_path", &[Overload(&[T::Jsonb, T::Texts], T::Jsonb)], delete_path),
    &Function::new(
        "jsonb_set",
        &[
            Overload(&[T::Jsonb, T::Texts, T::Jsonb], T::Jsonb),
            Overload(&[T::Jsonb, T::Texts, T::Jsonb, T::Bool], T::Jsonb),
        ],
        set,
    ),
    &Function::new("jsonb_strip_nulls", &[Overload(&[T::Jsonb], T::Jsonb)], |c| {
        each(c, |document, _| Ok(Some(printed(&strip(parse(document)?)))))
    }),
    &Function::new("jsonb_pretty", &[Overload(&[T::Jsonb], T::Text)], |c| {
        each(c, |document, _| {
            let mut out = String::new();
            pretty(&parse(document)?, 0, &mut out);
            Ok(Some(out))
        })
    }),
];

fn printed(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn binary(call: &Call<'_>, f: fn(Json, Json) -> Json) -> Result<ArrayRef> {
    let (a, b) = (Documents::new(&call.args[0]), Documents::new(&call.args[1]));
    let one = |row| match (a.get(row), b.get(row)) {
        (Some(a), Some(b)) => Ok(Some(printed(&f(parse(a)?, parse(b)?)))),
        _ => Ok(None),
    };
    collect(call, (0..call.rows).map(one))
}

/// `||`: objects are merged, the right one wins; all else is joined as arrays.
fn concat(a: Json, b: Json) -> Json {
    let items = |value| match value {
        Json::Array(items) => items,
        other => vec![other],
    };
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => object([a, b].concat()),
        (a, b) => Json::Array([items(a), items(b)].concat()),
    }
}

fn delete(call: &Call<'_>) -> Result<ArrayRef> {
    let what = &call.args[1];
    each(call, |document, row| {
        if what.is_null(row) {
            return Ok(None);
        }
        let document = parse(document)?;
        let left = if let Some(indexes) = what.as_primitive_opt::<Int32Type>() {
            without_index(document, indexes.value(row).into())?
        } else if let Some(key) = what.as_string_opt::<i32>() {
            without_keys(document, &[Some(key.value(row).to_owned())])?
        } else {
            without_keys(document, &texts(what, row).unwrap_or_default())?
        };
        Ok(Some(printed(&left)))
    })
}

fn without_keys(document: Json, keys: &[Option<String>]) -> Result<Json> {
    let gone = |text: &str| keys.iter().flatten().any(|key| key == text);
    match document {
        Json::Object(members) => Ok(Json::Object(members.into_iter().filter(|(key, _)| !gone(key)).collect())),
        Json::Array(items) => {
            let keep = |item: &Json| !matches!(item, Json::String(text) if gone(text));
            Ok(Json::Array(items.into_iter().filter(keep).collect()))
        }
        _ => Err(wrong("cannot delete from scalar")),
    }
}

fn without_index(document: Json, index: i64) -> Result<Json> {
    match document {
        Json::Array(mut items) => {
            let at = if index < 0 { index + items.len() as i64 } else { index };
            if let Some(at) = usize::try_from(at).ok().filter(|at| *at < items.len()) {
                items.remove(at);
            }
            Ok(Json::Array(items))
        }
        Json::Object(_) => Err(wrong("cannot delete from object using integer index")),
        _ => Err(wrong("cannot delete from scalar")),
    }
}

/// What is done at the end of a path.
enum Edit {
    Delete,
    /// And whether to add what is not there.
    Set(Json, bool),
}

fn delete_path(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |document, row| {
        let Some(path) = texts(&call.args[1], row) else { return Ok(None) };
        let document = parse(document)?;
        if !matches!(document, Json::Array(_) | Json::Object(_)) {
            return Err(wrong("cannot delete path in scalar"));
        }
        Ok(Some(printed(&edit(document, &path, 1, &Edit::Delete)?)))
    })
}

fn set(call: &Call<'_>) -> Result<ArrayRef> {
    let values = Documents::new(&call.args[2]);
    each(call, |document, row| {
        let (Some(path), Some(value)) = (texts(&call.args[1], row), values.get(row)) else { return Ok(None) };
        let create = match call.args.get(3).map(|a| a.as_boolean()) {
            Some(create) if create.is_null(row) => return Ok(None),
            Some(create) => create.value(row),
            None => true,
        };
        let document = parse(document)?;
        if !matches!(document, Json::Array(_) | Json::Object(_)) {
            return Err(wrong("cannot set path in scalar"));
        }
        Ok(Some(printed(&edit(document, &path, 1, &Edit::Set(parse(value)?, create))?)))
    })
}

fn edit(document: Json, path: &[Option<String>], place: usize, change: &Edit) -> Result<Json> {
    let Some((step, rest)) = path.split_first() else { return Ok(document) };
    let step = step.as_deref().ok_or_else(|| {
        Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, format!("path element at position {place} is null"))
    })?;
    match document {
        Json::Object(mut members) => {
            let at = members.iter().position(|(key, _)| key == step);
            match (at, rest, change) {
                (Some(at), [], Edit::Delete) => drop(members.remove(at)),
                (Some(at), [], Edit::Set(value, _)) => members[at].1 = value.clone(),
                (Some(at), rest, change) => {
                    let inner = std::mem::replace(&mut members[at].1, Json::Null);
                    members[at].1 = edit(inner, rest, place + 1, change)?;
                }
                (None, [], Edit::Set(value, true)) => members.push((step.to_owned(), value.clone())),
                (None, ..) => {}
            }
            Ok(object(members))
        }
        Json::Array(mut items) => {
            let wrong = || {
                let message = format!("path element at position {place} is not an integer: \"{step}\"");
                Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
            };
            let index: i64 = step.parse().map_err(|_| wrong())?;
            let from_start = if index < 0 { index + items.len() as i64 } else { index };
            match (usize::try_from(from_start).ok().filter(|at| *at < items.len()), rest, change) {
                (Some(at), [], Edit::Delete) => drop(items.remove(at)),
                (Some(at), [], Edit::Set(value, _)) => items[at] = value.clone(),
                (Some(at), rest, change) => {
                    let inner = std::mem::replace(&mut items[at], Json::Null);
                    items[at] = edit(inner, rest, place + 1, change)?;
                }
                (None, [], Edit::Set(value, true)) if index < 0 => items.insert(0, value.clone()),
                (None, [], Edit::Set(value, true)) => items.push(value.clone()),
                (None, ..) => {}
            }
            Ok(Json::Array(items))
        }
        scalar => Ok(scalar),
    }
}

/// Without members that are null; elements stay.
fn strip(value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| *value != Json::Null);
            Json::Object(kept.map(|(key, value)| (key, strip(value))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(strip).collect()),
        scalar => scalar,
    }
}

/// One member or element a line, four spaces deeper per level.
fn pretty(value: &Json, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    match value {
        Json::Object(members) => {
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(depth + 1, out);
                write_string(key, out);
                out.push_str(": ");
                pretty(value, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(depth + 1, out);
                pretty(item, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        scalar => write(scalar, out),
    }
}
