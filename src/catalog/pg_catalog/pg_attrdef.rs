//! `pg_attrdef`: DEFAULT expressions.

use super::attrdef_oid;
use crate::catalog::object::Kind;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_attrdef",
    oid: 2604,
    columns: "oid oid, adrelid oid, adnum int2, adbin text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        let Kind::Table(table) = &object.kind else { continue };
        for (i, default) in table.defaults.iter().enumerate() {
            if let Some(default) = default {
                rows.push([
                    ("oid", attrdef_oid(object.id, i).into()),
                    ("adrelid", object.id.0.into()),
                    ("adnum", (i + 1).into()),
                    ("adbin", default.into()),
                ]);
            }
        }
    }
}
