//! `schemata`: schemas.

use crate::catalog::system::{Context, OWNER, Rows, Source, SystemTable, namespaces};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "schemata",
    oid: 13216,
    columns: "catalog_name name, schema_name name, schema_owner text, default_character_set_catalog name, \
              default_character_set_schema name, default_character_set_name name, sql_path text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let names = namespaces().into_iter().map(|(name, _, _)| name).chain(["public"]);
    for name in names {
        rows.push([
            ("catalog_name", context.environment.database().into()),
            ("schema_name", name.into()),
            ("schema_owner", OWNER.into()),
        ]);
    }
}
