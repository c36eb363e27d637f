//! `pg_attribute`: columns of all relations, indexes included.

use super::{RelationRow, pg_type, relations};
use crate::catalog::object::Kind;
use crate::catalog::system::{Context, Rows, Source, SystemTable};
use crate::data::types::{RECORD, RECORDS, dimensions, pg_type};
use arrow::datatypes::Field;

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_attribute",
    oid: 1249,
    columns: "attrelid oid, attname name, atttypid oid, attstattarget int4, attlen int2, attnum int2, \
              attndims int4, attcacheoff int4, atttypmod int4, attbyval bool, attalign char, attstorage char, \
              attcompression char, attnotnull bool, atthasdef bool, atthasmissing bool, attidentity char, \
              attgenerated char, attisdropped bool, attislocal bool, attinhcount int4, attcollation oid, \
              attacl text[], attoptions text[], attfdwoptions text[], attmissingval text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for relation in relations(context) {
        for (i, field) in relation.schema.fields().iter().enumerate() {
            push(rows, &relation, i, field);
        }
    }
}

fn push(rows: &mut Rows, relation: &RelationRow, i: usize, field: &Field) {
    let pg = pg_type(field);
    let known = pg_type::by_oid(pg.oid);
    let has_default = match relation.object.as_ref().map(|o| &o.kind) {
        Some(Kind::Table(table)) if relation.kind == "r" => table.defaults.get(i).is_some_and(Option::is_some),
        _ => false,
    };
    let typmod = match pg.oid {
        RECORD | RECORDS => pg_type::row_type(relation.oid, i),
        _ => pg.typmod,
    };
    rows.push([
        ("attrelid", relation.oid.into()),
        ("attname", field.name().into()),
        ("atttypid", pg.oid.into()),
        ("attstattarget", (-1_i32).into()),
        ("attlen", known.map_or(-1, |t| t.len).into()),
        ("attnum", (i + 1).into()),
        ("attndims", (dimensions(field.data_type()) as i32).into()),
        ("attcacheoff", (-1_i32).into()),
        ("atttypmod", typmod.into()),
        ("attbyval", known.is_some_and(|t| t.byval).into()),
        ("attalign", known.map_or("i", |t| t.align).into()),
        ("attstorage", known.map_or("x", |t| t.storage).into()),
        ("attcompression", "".into()),
        ("attnotnull", (matches!(relation.kind, "r" | "f") && !field.is_nullable()).into()),
        ("atthasdef", has_default.into()),
        ("attidentity", "".into()),
        ("attgenerated", "".into()),
        ("attislocal", true.into()),
        ("attcollation", known.map_or(0, |t| t.collation).into()),
    ]);
}
