//! DataFusion's planning errors in PostgreSQL's words, with positions.

use std::ops::ControlFlow;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::names::visible;
use super::typing::no_function;
use crate::error::{Error, SqlState};
use crate::sql::parser::cursor::{Source, fold};

/// Where names stand in a statement: what errors are pointed at with.
pub(super) struct Places<'a> {
    source: Source<'a>,
    /// 0-based offset of the text in the statement.
    offset: usize,
    relations: Vec<(String, Span)>,
    columns: Vec<(Vec<String>, Span)>,
    functions: Vec<(String, Span)>,
    texts: Vec<(String, Span)>,
}

impl<'a> Places<'a> {
    /// The names in a tree whose spans count in `text`.
    pub(super) fn new<T: Visit>(text: &'a str, offset: usize, tree: &T) -> Self {
        let mut places = Self {
            source: Source::new(text),
            offset,
            relations: vec![],
            columns: vec![],
            functions: vec![],
            texts: vec![],
        };
        let _ = tree.visit(&mut places);
        places
    }

    fn at(&self, span: Span) -> Option<usize> {
        (span.start.line > 0).then(|| self.source.offset(span.start) + self.offset + 1)
    }

    fn relation(&self, name: &str) -> Option<usize> {
        self.relations.iter().find(|(n, _)| n == name).and_then(|(_, s)| self.at(*s))
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().find(|(n, _)| n.last().is_some_and(|l| l == name)).and_then(|(_, s)| self.at(*s))
    }

    fn function(&self, name: &str) -> Option<usize> {
        self.functions.iter().find(|(n, _)| n == name).and_then(|(_, s)| self.at(*s))
    }

    /// The error a client sees.
    pub(super) fn error(&self, error: DataFusionError) -> Error {
        let error = worded(error, self);
        if error.parts().position.is_some() {
            return error;
        }
        let quoted = error.message().split('"').nth(1).map(|n| n.rsplit('.').next().unwrap_or(n).to_owned());
        let position = match error.code() {
            // A window's table is an argument, which reads as a column.
            SqlState::UNDEFINED_TABLE => quoted.and_then(|n| self.relation(&n).or_else(|| self.column(&n))),
            SqlState::UNDEFINED_COLUMN | SqlState::GROUPING_ERROR => quoted.and_then(|n| self.column(&n)),
            SqlState::UNDEFINED_FUNCTION => {
                let name = error.message().strip_prefix("function ").and_then(|m| m.split(['(', ' ']).next());
                name.and_then(|n| self.function(n))
            }
            SqlState::INVALID_TEXT_REPRESENTATION
            | SqlState::INVALID_DATETIME_FORMAT
            | SqlState::DATETIME_FIELD_OVERFLOW
            | SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
                let text = error.message().split_once('"').and_then(|(_, m)| m.rsplit_once('"')).map(|(t, _)| t);
                let found = text.and_then(|text| self.texts.iter().find(|(t, _)| t == text));
                found.and_then(|(_, span)| self.at(*span))
            }
            _ => None,
        };
        match position {
            Some(position) => error.with_position(position),
            None => error,
        }
    }
}

impl Visitor for Places<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        let idents: Vec<&ast::Ident> = name.0.iter().filter_map(|p| p.as_ident()).collect();
        if let (Some(first), Some(last)) = (idents.first(), idents.last()) {
            self.relations.push((fold(last), first.span));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Identifier(ident) => self.columns.push((vec![fold(ident)], ident.span)),
            ast::Expr::CompoundIdentifier(idents) => {
                if let Some(first) = idents.first() {
                    self.columns.push((idents.iter().map(fold).collect(), first.span));
                }
            }
            ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::SingleQuotedString(text), span }) => {
                self.texts.push((text.clone(), *span));
            }
            ast::Expr::Function(f) => {
                let idents: Vec<&ast::Ident> = f.name.0.iter().filter_map(|p| p.as_ident()).collect();
                if let (Some(first), Some(last)) = (idents.first(), idents.last()) {
                    self.functions.push((fold(last), first.span));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn worded(error: DataFusionError, places: &Places<'_>) -> Error {
    match error {
        DataFusionError::SchemaError(schema, _) => schema_error(*schema, places),
        DataFusionError::Plan(message) => plan_error(&message),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => worded(*inner, places),
        DataFusionError::Collection(all) => match all.into_iter().next() {
            Some(first) => worded(first, places),
            None => Error::internal("no error"),
        },
        DataFusionError::NotImplemented(message) => Error::new(SqlState::FEATURE_NOT_SUPPORTED, lower_first(&message)),
        other => Error::from(other),
    }
}

fn schema_error(error: SchemaError, places: &Places<'_>) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => column_missing(&field, &valid_fields, places),
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column reference \"{}\" is ambiguous", visible(&field.name));
            let error = Error::new(SqlState::AMBIGUOUS_COLUMN, message);
            match places.column(&field.name) {
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
    let position = places.column(&field.name);
    let pointed = |error: Error| match position {
        Some(position) => error.with_position(position),
        None => error,
    };
    if let Some(relation) = &field.relation {
        let table = relation.table();
        if !valid.iter().any(|c| c.relation.as_ref().is_some_and(|r| r.table() == table)) {
            let message = format!("missing FROM-clause entry for table \"{table}\"");
            return pointed(Error::new(SqlState::UNDEFINED_TABLE, message));
        }
        let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("column {table}.{name} does not exist"));
        return pointed(nearest(error, name, valid));
    }
    pointed(nearest(Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")), name, valid))
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

fn plan_error(message: &str) -> Error {
    let grouping = |m: String| Error::new(SqlState::GROUPING_ERROR, m);
    if let Some(column) = between(message, "column \"", "\" must appear in the GROUP BY") {
        let column = visible(column);
        return grouping(format!(
            "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
        ));
    }
    if let Some(column) = between(message, "HAVING clause references: ", " must appear in the GROUP BY") {
        return grouping(format!(
            "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
        ));
    }
    if message.contains("not allowed in the WHERE") {
        return grouping("aggregate functions are not allowed in WHERE".into());
    }
    if let Some((_, returned)) =
        message.split_once("non-boolean predicate '").and_then(|(_, m)| m.split_once("returning "))
    {
        let message = format!("argument of WHERE must be type boolean, not type {}", pg_name(returned));
        return Error::new(SqlState::DATATYPE_MISMATCH, message);
    }
    if let Some(call) = between(message, "argument types '", "'")
        && let Some((name, types)) = call.trim_end_matches(')').split_once('(')
    {
        let types: Vec<String> = split_types(types).iter().map(|t| pg_name(t)).collect();
        return no_function(name, &types);
    }
    if message.contains("different number of columns") || message.contains("must have the same number of columns") {
        let kind = ["UNION", "INTERSECT", "EXCEPT"].into_iter().find(|k| message.to_uppercase().contains(k));
        let text = format!("each {} query must have the same number of columns", kind.unwrap_or("UNION"));
        return Error::new(SqlState::SYNTAX_ERROR, text);
    }
    if message.contains("Inconsistent data length") || message.contains("Inconsistent data type") {
        return Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length");
    }
    if message.contains("names given as column alias") {
        return Error::new(SqlState::INVALID_COLUMN_REFERENCE, lower_first(message));
    }
    if let Some(name) = between(message, "Invalid function '", "'") {
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        return Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist")).with_hint(hint);
    }
    if message.contains("ORDER BY position") || message.contains("Cannot find column with position") {
        return Error::new(SqlState::INVALID_COLUMN_REFERENCE, lower_first(message));
    }
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, lower_first(message))
}
