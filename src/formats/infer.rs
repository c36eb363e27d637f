//! The columns that JSON lines suggest, by some of their records: objects are STRUCTs of all the fields that were seen, arrays
//! are arrays, strings stay text; numbers and other scalars that meet are double precision or text, and where an object or an
//! array meets something else the column is jsonb. A record that is no JSON object says nothing: it is bad when it is read.

use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::records::TOO_LONG;
use super::{Cut, RecordReader};
use crate::data::text::json::{elements, members};
use crate::data::types::{JSONB, dimensions, list_of, record};
use crate::error::{Error, Result, SqlState};

/// Records looked at.
const RECORDS: usize = 1000;

/// An object of more fields than this has keys, not fields: it is jsonb.
const FIELDS_MAX: usize = 256;

/// As many columns as PostgreSQL's tables have; of an object no more fields are looked at.
const COLUMNS_MAX: usize = 1600;

/// Arrays have no more dimensions, in PostgreSQL either.
const DIMENSIONS_MAX: usize = 6;

/// What is nested deeper is jsonb.
const DEPTH_MAX: usize = 16;

/// The columns' names and types.
///
/// Errors: `22P02` when no record is a JSON object with a member; `54011` when they have too many.
pub fn infer(text: impl Read, origin: &str) -> Result<SchemaRef> {
    let sample = RecordReader::new(text, Cut::Lines).read(RECORDS)?;
    let (mut fields, mut fault) = (Vec::new(), None);
    for at in 0..sample.len() {
        let found = match std::str::from_utf8(sample.get(at)) {
            _ if sample.is_endless(at) => Err(TOO_LONG.to_owned()),
            Err(_) => Err("invalid byte sequence for encoding \"UTF8\"".to_owned()),
            Ok(text) => match members(text) {
                Err(error) => Err(error.message().to_owned()),
                Ok(None) => Err("the record is not a JSON object".to_owned()),
                Ok(Some(members)) => merge_fields(&mut fields, members, 0).map_err(|e| e.message().to_owned()),
            },
        };
        if let (Err(why), None) = (found, &fault) {
            fault = Some(format!("{origin}:{}: {why}", sample.line(at)));
        }
    }
    if fields.is_empty() {
        let error = Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("\"{origin}\" holds no JSON object"));
        let error = match fault {
            Some(fault) => error.with_detail(fault),
            None => error,
        };
        return Err(error.with_hint("Declare the columns of the source."));
    }
    if fields.len() > COLUMNS_MAX {
        let message = format!("\"{origin}\" suggests more than {COLUMNS_MAX} columns");
        return Err(Error::new(SqlState("54011"), message).with_hint("Declare the columns of the source."));
    }
    let fields = fields.into_iter().map(|(name, shape)| Field::new(name, shape.data_type(), true));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// What values looked like.
#[derive(Debug)]
enum Shape {
    /// Nothing but nulls.
    Null,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Shape>),
    /// In the order in which the fields were met.
    Object(Vec<(String, Shape)>),
    /// No one type.
    Any,
}

/// Adds what an object's members look like.
fn merge_fields(fields: &mut Vec<(String, Shape)>, members: Vec<(String, &str)>, depth: usize) -> Result<()> {
    for (name, raw) in members {
        merge_field(fields, name, Shape::of(raw, depth)?);
    }
    Ok(())
}

fn merge_field(fields: &mut Vec<(String, Shape)>, name: String, shape: Shape) {
    let full = fields.len() > COLUMNS_MAX;
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = std::mem::replace(known, Shape::Any).with(shape),
        None if full => {}
        None => fields.push((name, shape)),
    }
}

impl Shape {
    fn of(raw: &str, depth: usize) -> Result<Self> {
        let raw = raw.trim_ascii();
        if depth >= DEPTH_MAX && raw.starts_with(['{', '[']) {
            return Ok(Self::Any);
        }
        Ok(match raw.as_bytes().first() {
            Some(b'{') => {
                let mut fields = Vec::new();
                merge_fields(&mut fields, members(raw)?.unwrap_or_default(), depth + 1)?;
                Self::Object(fields)
            }
            Some(b'[') => {
                let items = elements(raw)?.unwrap_or_default().into_iter();
                let item = items.map(|item| Self::of(item, depth + 1));
                Self::List(Box::new(item.reduce(|a, b| Ok(a?.with(b?))).unwrap_or(Ok(Self::Null))?))
            }
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) if raw.parse::<i64>().is_ok() => Self::Int,
            Some(_) => Self::Float,
        })
    }

    /// What both are.
    fn with(self, other: Self) -> Self {
        use Shape::{Any, Bool, Float, Int, List, Null, Object, Text};
        match (self, other) {
            (Null, one) | (one, Null) => one,
            (Bool, Bool) => Bool,
            (Int, Int) => Int,
            (Int | Float, Int | Float) => Float,
            (Bool | Int | Float | Text, Bool | Int | Float | Text) => Text,
            (List(a), List(b)) => List(Box::new(a.with(*b))),
            (Object(mut fields), Object(more)) => {
                more.into_iter().for_each(|(name, shape)| merge_field(&mut fields, name, shape));
                // Keys without end are not collected.
                if fields.len() > FIELDS_MAX { Any } else { Object(fields) }
            }
            (
                Bool | Int | Float | Text | List(_) | Object(_) | Any,
                Bool | Int | Float | Text | List(_) | Object(_) | Any,
            ) => Any,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Null | Self::Text => DataType::Utf8,
            Self::List(item) => {
                let list = list_of(&Field::new("item", item.data_type(), true));
                if dimensions(&list) > DIMENSIONS_MAX { JSONB } else { list }
            }
            Self::Object(fields) if (1..=FIELDS_MAX).contains(&fields.len()) => {
                record(fields.into_iter().map(|(name, shape)| Field::new(name, shape.data_type(), true)))
            }
            Self::Object(_) | Self::Any => JSONB,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::types::sql_name;

    fn inferred(text: &str) -> Result<String> {
        let schema = infer(text.as_bytes(), "f.json")?;
        let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), sql_name(field)));
        Ok(columns.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn records_are_merged() {
        for (text, columns) in [
            ("{\"b\": 1, \"a\": \"x\"}\n{\"a\": null, \"c\": true}", "b bigint, a text, c boolean"),
            ("{\"a\": 1}\n{\"a\": 2.5}\n{\"a\": 9223372036854775808}", "a double precision"),
            ("{\"a\": 1}\n{\"a\": \"x\"}\n", "a text"),
            ("{\"s\": {\"x\": 1}}\n{\"s\": {\"y\": {\"Z\": 1}}}", "s STRUCT<x bigint, y STRUCT<\"Z\" bigint>>"),
            ("{\"l\": [1, 2.5], \"m\": [], \"n\": [[true]]}", "l double precision[], m text[], n boolean[]"),
            ("{\"l\": [{\"a\": 1}, null, {\"b\": [\"x\"]}]}", "l STRUCT<a bigint, b text[]>[]"),
            ("{\"a\": {\"x\": 1}}\n{\"a\": 1}", "a jsonb"),
            ("{\"a\": {\"x\": [1]}}\n{\"a\": {\"x\": {}}}", "a STRUCT<x jsonb>"),
            ("{\"a\": {}, \"b\": [{}, 1]}", "a jsonb, b jsonb[]"),
            ("not json\n{\"a\": 1}\n[1]\n{\"a\": 2", "a bigint"),
        ] {
            assert_eq!(inferred(text).unwrap(), columns, "{text}");
        }
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(40), "]".repeat(40));
        assert!(inferred(&deep).unwrap().starts_with("a jsonb"));
        let keys = (0..300).map(|n| format!("\"k{n}\": 1")).collect::<Vec<_>>().join(", ");
        assert_eq!(inferred(&format!("{{\"a\": {{{keys}}}}}")).unwrap(), "a jsonb");
    }

    #[test]
    fn what_holds_no_object_is_refused() {
        for text in ["", "x", "[1]\n2", "{}"] {
            let error = inferred(text).unwrap_err();
            assert_eq!(error.message(), "\"f.json\" holds no JSON object", "{text}");
        }
        assert!(inferred("[1]").unwrap_err().to_string().contains("f.json:1: the record is not a JSON object"));
    }
}
