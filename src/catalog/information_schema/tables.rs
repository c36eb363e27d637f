//! `tables`: tables, sources and views; materialized views too, so that tools that list only these find them.

use crate::catalog::pg_catalog::relations;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "tables",
    oid: 13220,
    columns: "table_catalog name, table_schema name, table_name name, table_type text, \
              self_referencing_column_name name, reference_generation text, user_defined_type_catalog name, \
              user_defined_type_schema name, user_defined_type_name name, is_insertable_into text, is_typed text, \
              commit_action text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let database = context.environment.database();
    for relation in relations(context) {
        let (kind, insertable) = match relation.kind {
            "r" => ("BASE TABLE", "YES"),
            "f" => ("FOREIGN", "NO"),
            "v" => ("VIEW", "NO"),
            "m" => ("MATERIALIZED VIEW", "NO"),
            _ => continue,
        };
        rows.push([
            ("table_catalog", (&database).into()),
            ("table_schema", relation.namespace.into()),
            ("table_name", relation.name.into()),
            ("table_type", kind.into()),
            ("is_insertable_into", insertable.into()),
            ("is_typed", "NO".into()),
        ]);
    }
}
