//! The SQL that made objects: pg_get_viewdef, pg_get_indexdef, ..

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::{Declared, NULL, Type, int_at, relation_at, split_name, text, text_at};
use crate::catalog::pg_catalog::pg_proc::{FUNCTIONS as LISTED, Function};
use crate::catalog::pg_catalog::{self, index_definition, key_columns, pg_type, quote_ident, table_of_key};
use crate::catalog::system::Environment;
use crate::data::ObjectId;
use crate::error::{Error, Result, SqlState};

use Type::{Bool, Int, Oid, Relation, Text, Texts};

pub(super) const FUNCTIONS: &[Declared] = &[
    Declared::new("pg_get_expr", &[Text, Oid, Bool], Text, |_, row| Ok(text(text_at(row, 0)))).optional(1),
    Declared::new("pg_get_viewdef", &[Relation, Bool], Text, view_definition).optional(1),
    Declared::new("pg_get_indexdef", &[Relation, Int, Bool], Text, index_def).optional(2),
    Declared::new("pg_get_constraintdef", &[Oid, Bool], Text, constraint_definition).optional(1),
    Declared::new("pg_get_ruledef", &[Oid, Bool], Text, none).optional(1),
    Declared::new("pg_get_triggerdef", &[Oid, Bool], Text, none).optional(1),
    Declared::new("pg_get_functiondef", &[Oid], Text, function_definition),
    Declared::new("pg_get_function_result", &[Oid], Text, |_, row| {
        Ok(function_at(row).map_or(NULL, |(_, _, _, result, _)| text(pg_type::format(*result, None))))
    }),
    Declared::new("pg_get_function_arguments", &[Oid], Text, function_arguments),
    Declared::new("pg_get_function_identity_arguments", &[Oid], Text, function_arguments),
    Declared::new("pg_get_function_sqlbody", &[Oid], Text, none),
    Declared::new("regproc_oid", &[Text], Oid, function_oid),
    Declared::new("pg_get_statisticsobjdef_columns", &[Oid], Text, none),
    Declared::new("pg_get_statisticsobjdef", &[Oid], Text, none),
    Declared::new("options_as_texts", &[Texts], Texts, options_as_texts),
    Declared::new("prefix_elements", &[Text, Texts], Texts, prefix_elements),
];

/// Nothing of this kind exists.
fn none(_: &dyn Environment, _: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(NULL)
}

fn view_definition(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let snapshot = environment.snapshot();
    let found = snapshot.get(ObjectId(relation_at(environment, row, 0)));
    Ok(found.and_then(|o| pg_catalog::view_definition(&snapshot, o)).map_or(NULL, text))
}

fn index_def(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let snapshot = environment.snapshot();
    let table = table_of_key(relation_at(environment, row, 0)).and_then(|id| snapshot.get(id));
    let Some(table) = table else { return Ok(NULL) };
    let column = int_at(row, 1).filter(|c| *c > 0).and_then(|c| usize::try_from(c - 1).ok());
    Ok(match column {
        None => text(index_definition(table)),
        Some(i) => {
            let column = table.primary_key().get(i);
            column.map_or(text(""), |c| text(quote_ident(table.schema.field(*c).name())))
        }
    })
}

fn constraint_definition(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let snapshot = environment.snapshot();
    let oid = int_at(row, 0).and_then(|o| u32::try_from(o).ok()).unwrap_or(0);
    let table = table_of_key(oid).and_then(|id| snapshot.get(id));
    Ok(table.map_or(NULL, |t| text(format!("PRIMARY KEY ({})", key_columns(t)))))
}

fn function_at(row: &[ScalarValue]) -> Option<&'static Function> {
    let wanted = int_at(row, 0)?;
    LISTED.iter().find(|(oid, ..)| i64::from(*oid) == wanted)
}

fn argument_types((.., arguments): &Function) -> String {
    let name = |oid: &i64| pg_type::format(u32::try_from(*oid).unwrap_or(0), None);
    arguments.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn function_arguments(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(function_at(row).map_or(NULL, |function| text(argument_types(function))))
}

fn function_definition(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(function) = function_at(row) else { return Ok(NULL) };
    let (_, name, kind, result, _) = function;
    if *kind == "a" {
        let message = format!("\"{name}\" is an aggregate function");
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    Ok(text(format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.{name}({})\n RETURNS {}\n LANGUAGE internal\n STABLE PARALLEL SAFE STRICT\n\
         AS $function${name}$function$\n",
        argument_types(function),
        pg_type::format(*result, None)
    )))
}

/// The function of a name, or of a name and its arguments' types: `now`, `pg_catalog.sum(bigint)`.
fn function_oid(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let called = text_at(row, 0);
    let (name, types) = match called.strip_suffix(')').and_then(|called| called.split_once('(')) {
        Some((name, types)) => (name, Some(types)),
        None => (called, None),
    };
    let wanted = types.map(|types| {
        let oid = |name: &str| pg_type::by_name(name.trim()).map_or(-1, |found| i64::from(found.oid));
        types.split(',').filter(|name| !name.trim().is_empty()).map(oid).collect::<Vec<_>>()
    });
    let name = split_name(name).pop().unwrap_or_default();
    let mut found = LISTED.iter().filter(|(_, known, _, _, arguments)| {
        *known == name && wanted.as_ref().is_none_or(|wanted| wanted == arguments)
    });
    match (found.next(), found.next()) {
        (Some((oid, ..)), None) => Ok(super::oid(*oid)),
        (None, _) => Err(Error::new(SqlState::UNDEFINED_FUNCTION, format!("function \"{called}\" does not exist"))),
        (Some(_), Some(_)) => Err(Error::new(SqlState("42725"), format!("more than one function named \"{called}\""))),
    }
}

/// `name=value` as `name 'value'`.
fn options_as_texts(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(texts(texts_at(row, 0).iter().map(|option| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        format!("{} '{}'", quote_ident(name), value.replace('\'', "''"))
    })))
}

fn prefix_elements(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let prefix = text_at(row, 0);
    Ok(texts(texts_at(row, 1).iter().map(|element| format!("{prefix}{element}"))))
}

fn texts(values: impl Iterator<Item = String>) -> ScalarValue {
    let values: Vec<ScalarValue> = values.map(text).collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8))
}

/// Argument `i` as a list of texts.
fn texts_at(row: &[ScalarValue], i: usize) -> Vec<String> {
    let Some(ScalarValue::List(list)) = row.get(i) else { return Vec::new() };
    let values = list.values();
    match values.as_any().downcast_ref::<StringArray>() {
        Some(values) => values.iter().map(|v| v.unwrap_or_default().to_owned()).collect(),
        None => Vec::new(),
    }
}
