//! `key_column_usage`: columns of primary keys.

use crate::catalog::pg_catalog::key_name;
use crate::catalog::system::{Context, Rows, Source, SystemTable, Value};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "key_column_usage",
    oid: 13211,
    columns: "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, \
              table_schema name, table_name name, column_name name, ordinal_position int4, \
              position_in_unique_constraint int4",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let database = context.environment.database();
    let keys = context.snapshot.objects().filter(|o| !o.primary_key().is_empty());
    for (object, (i, column)) in keys.flat_map(|o| o.primary_key().iter().enumerate().map(move |c| (o, c))) {
        rows.push([
            ("constraint_catalog", (&database).into()),
            ("constraint_schema", "public".into()),
            ("constraint_name", key_name(object).into()),
            ("table_catalog", (&database).into()),
            ("table_schema", "public".into()),
            ("table_name", (&object.name).into()),
            ("column_name", object.schema.field(*column).name().into()),
            ("ordinal_position", (i + 1).into()),
            ("position_in_unique_constraint", Value::Null),
        ]);
    }
}
