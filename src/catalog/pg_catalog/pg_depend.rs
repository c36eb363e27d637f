//! `pg_depend`: which views read what, and which index belongs to which table.

use super::index_oid;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_depend",
    oid: 2608,
    columns: "classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, refobjsubid int4, deptype char",
    source: Source::Catalog(rows),
};

const PG_CLASS: u32 = 1259;

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        for on in object.depends() {
            push(rows, object.id.0, on.0, "n");
        }
        if !object.primary_key().is_empty() {
            push(rows, index_oid(object.id), object.id.0, "a");
        }
    }
}

fn push(rows: &mut Rows, dependent: u32, on: u32, kind: &str) {
    rows.push([
        ("classid", PG_CLASS.into()),
        ("objid", dependent.into()),
        ("refclassid", PG_CLASS.into()),
        ("refobjid", on.into()),
        ("deptype", kind.into()),
    ]);
}
