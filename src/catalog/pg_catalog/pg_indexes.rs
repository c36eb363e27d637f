//! `pg_indexes`: primary keys as indexes, with their definition.

use super::{index_definition, key_name};
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_indexes",
    oid: 12043,
    columns: "schemaname name, tablename name, indexname name, tablespace name, indexdef text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects().filter(|o| !o.primary_key().is_empty()) {
        rows.push([
            ("schemaname", "public".into()),
            ("tablename", (&object.name).into()),
            ("indexname", key_name(object).into()),
            ("indexdef", index_definition(object).into()),
        ]);
    }
}
