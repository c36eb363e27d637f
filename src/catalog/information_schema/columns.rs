//! `columns`: columns of all relations.

use crate::catalog::object::Kind;
use crate::catalog::pg_catalog::{RelationRow, pg_attrdef, pg_type, relations};
use crate::catalog::system::{Context, Rows, Source, SystemTable, Value};
use crate::data::types::pg_type;
use arrow::datatypes::Field;

pub(super) static TABLE: SystemTable = SystemTable {
    name: "columns",
    oid: 13205,
    columns: "table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, \
              column_default text, is_nullable text, data_type text, character_maximum_length int4, \
              character_octet_length int4, numeric_precision int4, numeric_precision_radix int4, \
              numeric_scale int4, datetime_precision int4, interval_type text, interval_precision int4, \
              character_set_catalog name, character_set_schema name, character_set_name name, \
              collation_catalog name, collation_schema name, collation_name name, domain_catalog name, \
              domain_schema name, domain_name name, udt_catalog name, udt_schema name, udt_name name, \
              scope_catalog name, scope_schema name, scope_name name, maximum_cardinality int4, \
              dtd_identifier text, is_self_referencing text, is_identity text, identity_generation text, \
              identity_start text, identity_increment text, identity_maximum text, identity_minimum text, \
              identity_cycle text, is_generated text, generation_expression text, is_updatable text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for relation in relations(context).into_iter().filter(|r| r.kind != "i") {
        for (i, field) in relation.schema.fields().iter().enumerate() {
            push(context, rows, &relation, i, field);
        }
    }
}

fn push(context: &Context<'_>, rows: &mut Rows, relation: &RelationRow, i: usize, field: &Field) {
    let database = context.environment.database();
    let pg = pg_type(field);
    let known = pg_type::by_oid(pg.oid);
    let udt = known.map_or("text", |t| t.name);
    let array = known.is_some_and(pg_type::Type::is_array);
    let modifier = (pg.typmod > 4).then_some(pg.typmod - 4);
    let (default, nullable) = match relation.object.as_ref().map(|o| &o.kind) {
        Some(Kind::Table(table)) => {
            let default = table.defaults.get(i).and_then(Option::as_ref);
            (default.map(|d| pg_attrdef::printed(d, field)), field.is_nullable())
        }
        Some(Kind::Source(_)) => (None, field.is_nullable()),
        Some(Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_)) | None => (None, true),
    };
    let (precision, radix, scale) = numeric(pg.oid, modifier);
    let datetime = matches!(pg.oid, 1083 | 1114 | 1184 | 1186).then_some(6_i32).or((pg.oid == 1082).then_some(0));
    let data_type = if array { "ARRAY".to_owned() } else { pg_type::format(pg.oid, None) };
    let text = matches!(pg.oid, 25 | 1043 | 1042);
    rows.push([
        ("table_catalog", (&database).into()),
        ("table_schema", relation.namespace.into()),
        ("table_name", (&relation.name).into()),
        ("column_name", field.name().into()),
        ("ordinal_position", (i + 1).into()),
        ("column_default", default.into()),
        ("is_nullable", yes_or_no(nullable).into()),
        ("data_type", data_type.into()),
        ("character_maximum_length", Value::from(modifier.filter(|_| pg.oid != 1700))),
        ("character_octet_length", Value::from(text.then_some(modifier.map_or(1 << 30, |n| n * 4)))),
        ("numeric_precision", precision.into()),
        ("numeric_precision_radix", radix.into()),
        ("numeric_scale", scale.into()),
        ("datetime_precision", datetime.into()),
        ("interval_precision", Value::Null),
        ("maximum_cardinality", Value::Null),
        ("udt_catalog", database.into()),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", udt.into()),
        ("dtd_identifier", (i + 1).to_string().into()),
        ("is_self_referencing", "NO".into()),
        ("is_identity", "NO".into()),
        ("identity_cycle", "NO".into()),
        ("is_generated", "NEVER".into()),
        ("is_updatable", yes_or_no(relation.kind == "r").into()),
    ]);
}

/// Precision, radix and scale of a numeric type.
fn numeric(oid: u32, modifier: Option<i32>) -> (Option<i32>, Option<i32>, Option<i32>) {
    match oid {
        20 => (Some(64), Some(2), Some(0)),
        21 => (Some(16), Some(2), Some(0)),
        23 => (Some(32), Some(2), Some(0)),
        700 => (Some(24), Some(2), None),
        701 => (Some(53), Some(2), None),
        1700 => (modifier.map(|m| m >> 16), Some(10), modifier.map(|m| m & 0xffff)),
        _ => (None, None, None),
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}
