//! DataFusion's planning errors in PostgreSQL's words.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use super::names::visible;
use super::places::Places;
use super::typing::no_function;
use crate::error::{Error, SqlState};

/// The error a client sees, perhaps without its position.
pub(super) fn worded(error: DataFusionError, places: &Places<'_>) -> Error {
    match error {
        DataFusionError::SchemaError(schema, _) => schema_error(*schema, places),
        DataFusionError::Plan(message) => plan_error(&message, places),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => worded(*inner, places),
        DataFusionError::Collection(all) => match all.into_iter().next() {
            Some(first) => worded(first, places),
            None => Error::internal("no error"),
        },
        DataFusionError::NotImplemented(message) => Error::unplanned(&message)
            .unwrap_or_else(|| Error::new(SqlState::FEATURE_NOT_SUPPORTED, lower_first(&message))),
        other => Error::from(other),
    }
}

fn schema_error(error: SchemaError, places: &Places<'_>) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => column_missing(&field, &valid_fields, places),
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column reference \"{}\" is ambiguous", visible(&field.name));
            let error = Error::new(SqlState::AMBIGUOUS_COLUMN, message);
            match places.column(&field.name, true).or_else(|| places.column(&field.name, false)) {
                Some(position) => error.with_position(position),
                None => error,
            }
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            let message = format!("table name \"{}\" specified more than once", qualifier.table());
            Error::new(SqlState("42712"), message)
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("column \"{}\" specified more than once", visible(&name));
            Error::new(SqlState::DUPLICATE_COLUMN, message)
        }
    }
}

fn column_missing(field: &Column, valid: &[Column], places: &Places<'_>) -> Error {
    let name = visible(&field.name);
    let pointed = |error: Error, position: Option<usize>| match position {
        Some(position) => error.with_position(position),
        None => error,
    };
    if let Some(relation) = &field.relation {
        let table = relation.table();
        let position = places.qualified(table, &field.name);
        if !valid.iter().any(|c| c.relation.as_ref().is_some_and(|r| r.table() == table)) {
            return pointed(no_relation(table, places), position);
        }
        let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("column {table}.{name} does not exist"));
        return pointed(nearest(error, name, valid), position);
    }
    if places.using(name) {
        let first = places.first_relation();
        let left = valid.first().and_then(|c| c.relation.as_ref()).map(|r| r.table()) == first;
        let side = if left { "left" } else { "right" };
        let message = format!("column \"{name}\" specified in USING clause does not exist in {side} table");
        return Error::new(SqlState::UNDEFINED_COLUMN, message);
    }
    let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"));
    let position = places.column(&field.name, true).or_else(|| places.column(&field.name, false));
    pointed(nearest(error, name, valid), position)
}

/// A table that FROM does not name, at least not so.
fn no_relation(table: &str, places: &Places<'_>) -> Error {
    match places.alias_of(table) {
        Some(alias) => {
            let message = format!("invalid reference to FROM-clause entry for table \"{table}\"");
            let hint = format!("Perhaps you meant to reference the table alias \"{alias}\".");
            Error::new(SqlState::UNDEFINED_TABLE, message).with_hint(hint)
        }
        None => {
            let message = format!("missing FROM-clause entry for table \"{table}\"");
            Error::new(SqlState::UNDEFINED_TABLE, message)
        }
    }
}

/// Adds PostgreSQL's hint where a column has almost the same name.
fn nearest(error: Error, name: &str, valid: &[Column]) -> Error {
    let limit = (name.chars().count() / 2).min(3);
    let close = valid.iter().map(|c| (strsim::levenshtein(name, visible(&c.name)), c)).filter(|(d, _)| *d <= limit);
    match close.min_by_key(|(d, _)| *d) {
        Some((_, column)) => {
            let full = match &column.relation {
                Some(relation) => format!("{}.{}", relation.table(), visible(&column.name)),
                None => visible(&column.name).to_owned(),
            };
            error.with_hint(format!("Perhaps you meant to reference the column \"{full}\"."))
        }
        None => error,
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first)
            if !message.starts_with(|c: char| c.is_uppercase()) || chars.as_str().starts_with(char::is_lowercase) =>
        {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}

/// The text between two marks.
fn between<'a>(message: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = &message[message.find(from)? + from.len()..];
    Some(&rest[..rest.find(to)?])
}

/// PostgreSQL's name of a type that DataFusion named in a message.
fn pg_name(arrow: &str) -> String {
    let arrow = arrow.trim();
    let named = match arrow {
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "Utf8View" => "text",
        "LargeUtf8" => "jsonb",
        "FixedSizeBinary(16)" => "uuid",
        "Boolean" => "boolean",
        "Binary" => "bytea",
        "Date32" => "date",
        "Null" => "unknown",
        t if t.starts_with("Decimal") => "numeric",
        t if t.starts_with("Timestamp") && t.contains("UTC") => "timestamp with time zone",
        t if t.starts_with("Timestamp") => "timestamp without time zone",
        t if t.starts_with("Time64") => "time without time zone",
        t if t.starts_with("Interval") => "interval",
        t if t.starts_with("List") => "anyarray",
        other => other,
    };
    named.to_owned()
}

/// Splits at the commas that stand in no parentheses.
fn split_types(types: &str) -> Vec<String> {
    let (mut depth, mut out) = (0i32, vec![String::new()]);
    for c in types.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                out.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out.retain(|t| !t.trim().is_empty());
    out
}

/// The error that DataFusion's planner words as `message`.
fn plan_error(message: &str, places: &Places<'_>) -> Error {
    grouping(message)
        .or_else(|| boolean(message))
        .or_else(|| call(message, places))
        .or_else(|| relation(message, places))
        .or_else(|| planned(message))
        .or_else(|| Error::unplanned(message))
        .unwrap_or_else(|| Error::new(SqlState::FEATURE_NOT_SUPPORTED, lower_first(message)))
}

fn grouping(message: &str) -> Option<Error> {
    let column = between(message, "column \"", "\" must appear in the GROUP BY")
        .or_else(|| between(message, "HAVING clause references: ", " must appear in the GROUP BY"));
    if let Some(column) = column {
        let column = visible(column);
        let text =
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return Some(Error::new(SqlState::GROUPING_ERROR, text));
    }
    let text = "aggregate functions are not allowed in WHERE";
    message.contains("not allowed in the WHERE").then(|| Error::new(SqlState::GROUPING_ERROR, text))
}

/// What should be boolean and is not.
fn boolean(message: &str) -> Option<Error> {
    let (whose, returned) = if let Some((_, rest)) = message.split_once("non-boolean predicate '") {
        ("WHERE", rest.split_once("returning ")?.1)
    } else if let Some((_, got)) = message.split_once("Join condition must be boolean type, but got ") {
        ("JOIN/ON", got)
    } else {
        return None;
    };
    let message = format!("argument of {whose} must be type boolean, not type {}", pg_name(returned));
    Some(Error::new(SqlState::DATATYPE_MISMATCH, message))
}

fn call(message: &str, places: &Places<'_>) -> Option<Error> {
    if let Some(call) = between(message, "argument types '", "'")
        && let Some((name, types)) = call.trim_end_matches(')').split_once('(')
    {
        let types: Vec<String> = split_types(types).iter().map(|t| pg_name(t)).collect();
        return Some(no_function(name, &places.argument_types(name, types)));
    }
    if let Some(name) = between(message, "Invalid function '", "'") {
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        let message = format!("function {name} does not exist");
        return Some(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint));
    }
    let unnested = message.contains("unnest() can only be applied to");
    unnested.then(|| no_function("unnest", &places.argument_types("unnest", vec!["anyelement".into()])))
}

/// Relations of FROM and their columns.
fn relation(message: &str, places: &Places<'_>) -> Option<Error> {
    if let Some(table) = message.strip_prefix("Invalid qualifier ") {
        let table = visible(table.trim()).to_owned();
        let error = no_relation(&table, places);
        return Some(match places.qualified(&table, "*") {
            Some(position) => error.with_position(position),
            None => error,
        });
    }
    if let Some(available) = between(message, "table contains ", " columns but only ")
        && let Some(given) = between(message, "columns but only ", " names given as column alias")
    {
        let (name, with, position) = places.listed(given.parse().ok()?)?;
        let what = if with { "WITH query" } else { "table" };
        let text = format!("{what} \"{name}\" has {available} columns available but {given} columns specified");
        let error = Error::new(SqlState::INVALID_COLUMN_REFERENCE, text);
        return Some(position.filter(|_| with).into_iter().fold(error, Error::with_position));
    }
    if message.contains("specified more than once") {
        return Some(Error::new(SqlState("42712"), message));
    }
    (message == "SELECT * with no tables specified is not valid").then(|| Error::syntax(message, None))
}

/// What is wrong with a query as a whole.
fn planned(message: &str) -> Option<Error> {
    if message.contains("different number of columns") || message.contains("must have the same number of columns") {
        let kind = ["UNION", "INTERSECT", "EXCEPT"].into_iter().find(|k| message.to_uppercase().contains(k));
        let text = format!("each {} query must have the same number of columns", kind.unwrap_or("UNION"));
        return Some(Error::syntax(text, None));
    }
    let (code, text) =
        WORDS.iter().find(|(words, ..)| message.contains(words)).map(|(_, code, text)| (*code, *text))?;
    Some(Error::new(code, if text.is_empty() { lower_first(message) } else { text.to_owned() }))
}

/// DataFusion's words, SQLSTATE, and PostgreSQL's words where they differ.
#[rustfmt::skip]
const WORDS: &[(&str, SqlState, &str)] = &[
    ("Inconsistent data length", SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"),
    ("Inconsistent data type", SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"),
    ("Too many columns! The subquery should only return one column", SqlState::SYNTAX_ERROR, "subquery must return only one column"),
    ("DISTINCT ON expressions must match initial ORDER BY", SqlState::INVALID_COLUMN_REFERENCE, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions"),
    ("For SELECT DISTINCT, ORDER BY", SqlState::INVALID_COLUMN_REFERENCE, "for SELECT DISTINCT, ORDER BY expressions must appear in select list"),
    ("ORDER BY position", SqlState::INVALID_COLUMN_REFERENCE, ""),
    ("Cannot find column with position", SqlState::INVALID_COLUMN_REFERENCE, ""),
    ("frame offsets for ROWS / GROUPS must be non negative", SqlState("22013"), "frame starting offset must not be negative"),
    ("RANGE requires exactly one ORDER BY column", SqlState::WINDOWING_ERROR, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column"),
    ("aggregate function calls cannot be nested", SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested"),
    ("aggregate function calls cannot contain window function calls", SqlState::GROUPING_ERROR, "aggregate function calls cannot contain window function calls"),
    ("window function calls cannot be nested", SqlState::WINDOWING_ERROR, "window function calls cannot be nested"),
];
