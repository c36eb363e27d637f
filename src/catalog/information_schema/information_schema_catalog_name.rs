//! `information_schema_catalog_name`: the database.

use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "information_schema_catalog_name",
    oid: 13210,
    columns: "catalog_name name",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    rows.push([("catalog_name", context.environment.database().into())]);
}
