//! `table_constraints`: primary keys.

use crate::catalog::pg_catalog::key_name;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "table_constraints",
    oid: 13218,
    columns: "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, \
              table_schema name, table_name name, constraint_type text, is_deferrable text, \
              initially_deferred text, enforced text, nulls_distinct text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let database = context.environment.database();
    for object in context.snapshot.objects().filter(|o| !o.primary_key().is_empty()) {
        rows.push([
            ("constraint_catalog", (&database).into()),
            ("constraint_schema", "public".into()),
            ("constraint_name", key_name(object).into()),
            ("table_catalog", (&database).into()),
            ("table_schema", "public".into()),
            ("table_name", (&object.name).into()),
            ("constraint_type", "PRIMARY KEY".into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
        ]);
    }
}
