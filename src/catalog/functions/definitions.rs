//! The SQL that made objects: pg_get_viewdef, pg_get_indexdef, ..

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::{Declared, NULL, Type, int_at, relation_at, text, text_at};
use crate::catalog::pg_catalog::{self, index_definition, key_columns, quote_ident, table_of_key};
use crate::catalog::system::Environment;
use crate::data::ObjectId;
use crate::error::Result;

use Type::{Bool, Int, Oid, Relation, Text, Texts};

pub(super) const FUNCTIONS: &[Declared] = &[
    Declared::new("pg_get_expr", &[Text, Oid, Bool], Text, |_, row| Ok(text(text_at(row, 0)))).optional(1),
    Declared::new("pg_get_viewdef", &[Relation, Bool], Text, view_definition).optional(1),
    Declared::new("pg_get_indexdef", &[Relation, Int, Bool], Text, index_def).optional(2),
    Declared::new("pg_get_constraintdef", &[Oid, Bool], Text, constraint_definition).optional(1),
    Declared::new("pg_get_ruledef", &[Oid, Bool], Text, none).optional(1),
    Declared::new("pg_get_triggerdef", &[Oid, Bool], Text, none).optional(1),
    Declared::new("pg_get_functiondef", &[Oid], Text, none),
    Declared::new("pg_get_function_result", &[Oid], Text, none),
    Declared::new("pg_get_function_arguments", &[Oid], Text, none),
    Declared::new("pg_get_function_identity_arguments", &[Oid], Text, none),
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
