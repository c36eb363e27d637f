//! What objects are: names of oids, oids of names, types, comments, visibility.

use datafusion::common::ScalarValue;

use super::{Declared, NULL, Type, boolean, find_relation, int, int_at, oid, relation_at, split_name, text, text_at};
use crate::catalog::object::META_COMMENT;
use crate::catalog::pg_catalog::{RelationRow, pg_type, quote_ident, relations};
use crate::catalog::system::{Context, Environment, OWNER, OWNER_OID, PUBLIC_OID, namespaces};
use crate::data::ObjectId;
use crate::data::types::{RECORD, RECORDS, sql_name};
use crate::error::{Error, Result, SqlState};

use Type::{Any, Bool, Int, Name, Oid, Relation, Text};

pub(super) const FUNCTIONS: &[Declared] = &[
    Declared::new("pg_get_userbyid", &[Oid], Name, user_name),
    Declared::new("format_type", &[Oid, Int], Text, format_type).called_on_null(),
    Declared::new("pg_table_is_visible", &[Oid], Bool, table_is_visible),
    Declared::new("pg_type_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_function_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_operator_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_opclass_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_opfamily_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_collation_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_conversion_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_statistics_obj_is_visible", &[Oid], Bool, visible),
    Declared::new("pg_ts_config_is_visible", &[Oid], Bool, visible),
    Declared::new("obj_description", &[Oid, Text], Text, obj_description).optional(1),
    Declared::new("col_description", &[Oid, Int], Text, col_description),
    Declared::new("shobj_description", &[Oid, Text], Text, |_, _| Ok(NULL)),
    Declared::new("to_regclass", &[Text], Oid, |e, row| Ok(find_relation(e, text_at(row, 0)).map_or(NULL, oid))),
    Declared::new("to_regtype", &[Text], Oid, |_, row| {
        Ok(pg_type::by_name(text_at(row, 0)).map_or(NULL, |t| oid(t.oid)))
    }),
    Declared::new("to_regnamespace", &[Text], Oid, |_, row| Ok(namespace_oid(text_at(row, 0)).map_or(NULL, oid))),
    Declared::new("to_regproc", &[Text], Oid, |_, _| Ok(NULL)),
    Declared::new("to_regrole", &[Text], Oid, |_, row| {
        Ok(if text_at(row, 0) == OWNER { oid(OWNER_OID) } else { NULL })
    }),
    Declared::new("regclass_in", &[Text], Oid, regclass_in),
    Declared::new("regclass_out", &[Relation], Text, regclass_out),
    Declared::new("regtype_in", &[Text], Oid, regtype_in),
    Declared::new("regtype_out", &[Oid], Text, regtype_out),
    Declared::new("regnamespace_in", &[Text], Oid, regnamespace_in),
    Declared::new("regnamespace_out", &[Oid], Text, regnamespace_out),
    Declared::new("regproc_in", &[Text], Text, |_, row| Ok(text(text_at(row, 0)))),
    Declared::new("regproc_out", &[Any], Text, |_, row| Ok(text(text_at(row, 0)))),
    Declared::new("regrole_in", &[Text], Oid, |_, row| {
        Ok(if text_at(row, 0) == OWNER { oid(OWNER_OID) } else { oid(0) })
    }),
    Declared::new("regrole_out", &[Oid], Text, user_name),
    Declared::new("pg_encoding_to_char", &[Int], Name, encoding_name),
    Declared::new("pg_char_to_encoding", &[Text], Int, |_, row| {
        Ok(int(if text_at(row, 0).eq_ignore_ascii_case("UTF8") { 6 } else { -1 }))
    }),
    Declared::new("pg_tablespace_location", &[Oid], Text, |_, _| Ok(text(""))),
    Declared::new("pg_relation_is_publishable", &[Relation], Bool, |_, _| Ok(boolean(false))),
    Declared::new("pg_get_serial_sequence", &[Text, Text], Text, |_, _| Ok(NULL)),
    Declared::new("pg_get_partkeydef", &[Oid], Text, |_, _| Ok(NULL)),
];

/// All relations as the session sees them now.
pub(super) fn find(environment: &dyn Environment, oid: u32) -> Option<RelationRow> {
    let snapshot = environment.snapshot();
    relations(&Context { snapshot: &snapshot, environment }).into_iter().find(|r| r.oid == oid)
}

fn oid_at(row: &[ScalarValue], i: usize) -> u32 {
    int_at(row, i).and_then(|o| u32::try_from(o).ok()).unwrap_or(0)
}

fn user_name(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let found = oid_at(row, 0);
    Ok(text(if found == OWNER_OID { OWNER.to_owned() } else { environment.user() }))
}

fn format_type(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let typmod = int_at(row, 1).and_then(|m| i32::try_from(m).ok());
    if let (RECORD | RECORDS, Some((relation, column))) = (oid_at(row, 0), typmod.and_then(pg_type::row_type_of)) {
        let snapshot = environment.snapshot();
        let field = snapshot.get(ObjectId(relation)).and_then(|o| o.schema.fields().get(column).cloned());
        return Ok(text(field.map_or_else(|| pg_type::format(oid_at(row, 0), None), |field| sql_name(&field))));
    }
    Ok(if row.first().is_none_or(ScalarValue::is_null) { NULL } else { text(pg_type::format(oid_at(row, 0), typmod)) })
}

fn visible(_: &dyn Environment, _: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(boolean(true))
}

/// User relations and those of `pg_catalog` are found without a schema's name.
fn table_is_visible(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let wanted = oid_at(row, 0);
    if wanted >= 16384 {
        return Ok(boolean(true));
    }
    let pg_catalog = namespaces().into_iter().find(|(name, _, _)| *name == "pg_catalog");
    let found = pg_catalog.is_some_and(|(_, _, tables)| tables.iter().any(|t| t.oid == wanted));
    Ok(if found || find(environment, wanted).is_some() { boolean(found) } else { NULL })
}

fn obj_description(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    if !matches!(text_at(row, 1), "" | "pg_class") {
        return Ok(NULL);
    }
    let snapshot = environment.snapshot();
    let comment = snapshot.get(ObjectId(oid_at(row, 0))).and_then(|o| o.comment.clone());
    Ok(comment.map_or(NULL, text))
}

fn col_description(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let snapshot = environment.snapshot();
    let column = int_at(row, 1).and_then(|c| usize::try_from(c - 1).ok());
    let comment = snapshot
        .get(ObjectId(oid_at(row, 0)))
        .and_then(|o| o.schema.fields().get(column?).and_then(|f| f.metadata().get(META_COMMENT).cloned()));
    Ok(comment.map_or(NULL, text))
}

fn regclass_in(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let name = text_at(row, 0);
    let found = name.parse().ok().or_else(|| find_relation(environment, name));
    let missing = || Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
    found.map(oid).ok_or_else(missing)
}

fn regclass_out(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let wanted = relation_at(environment, row, 0);
    Ok(text(match find(environment, wanted) {
        Some(found) if matches!(found.namespace, "public" | "pg_catalog") => quote_ident(&found.name),
        Some(found) => format!("{}.{}", found.namespace, quote_ident(&found.name)),
        None if wanted == 0 => "-".to_owned(),
        None => wanted.to_string(),
    }))
}

fn regtype_in(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let name = text_at(row, 0);
    let found = name.parse().ok().or_else(|| pg_type::by_name(name).map(|t| t.oid));
    let missing = || Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"));
    found.map(oid).ok_or_else(missing)
}

fn regtype_out(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let found = oid_at(row, 0);
    Ok(text(match found {
        0 => "-".to_owned(),
        _ if pg_type::by_oid(found).is_none() => found.to_string(),
        _ => pg_type::format(found, None),
    }))
}

fn namespace_oid(name: &str) -> Option<u32> {
    let name = split_name(name).pop()?;
    let system = namespaces().into_iter().find(|(n, _, _)| *n == name).map(|(_, oid, _)| oid);
    system.or((name == "public").then_some(PUBLIC_OID))
}

fn regnamespace_in(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let name = text_at(row, 0);
    let missing = || Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"));
    name.parse().ok().or_else(|| namespace_oid(name)).map(oid).ok_or_else(missing)
}

fn regnamespace_out(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let wanted = oid_at(row, 0);
    let system = namespaces().into_iter().find(|(_, o, _)| *o == wanted).map(|(name, _, _)| name);
    let name = system.or((wanted == PUBLIC_OID).then_some("public"));
    Ok(text(name.map_or_else(|| wanted.to_string(), str::to_owned)))
}

fn encoding_name(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(text(match int_at(row, 0) {
        Some(6) => "UTF8",
        Some(0) => "SQL_ASCII",
        _ => "",
    }))
}
