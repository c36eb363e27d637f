//! `pg_tables`: tables, the system's too.

use super::relations;
use crate::catalog::system::{Context, OWNER, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_tables",
    oid: 12033,
    columns: "schemaname name, tablename name, tableowner name, tablespace name, hasindexes bool, hasrules bool, \
              hastriggers bool, rowsecurity bool",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for relation in relations(context).into_iter().filter(|r| r.kind == "r") {
        rows.push([
            ("schemaname", relation.namespace.into()),
            ("tablename", relation.name.into()),
            ("tableowner", OWNER.into()),
            ("hasindexes", relation.object.is_some_and(|o| !o.primary_key().is_empty()).into()),
        ]);
    }
}
