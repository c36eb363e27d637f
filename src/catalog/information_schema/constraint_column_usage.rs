//! `constraint_column_usage`: columns of primary keys.

use crate::catalog::pg_catalog::key_name;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "constraint_column_usage",
    oid: 13206,
    columns: "table_catalog name, table_schema name, table_name name, column_name name, constraint_catalog name, \
              constraint_schema name, constraint_name name",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let database = context.environment.database();
    let keys = context.snapshot.objects().filter(|o| !o.primary_key().is_empty());
    for (object, column) in keys.flat_map(|o| o.primary_key().iter().map(move |c| (o, c))) {
        rows.push([
            ("constraint_catalog", (&database).into()),
            ("constraint_schema", "public".into()),
            ("constraint_name", key_name(object).into()),
            ("table_catalog", (&database).into()),
            ("table_schema", "public".into()),
            ("table_name", (&object.name).into()),
            ("column_name", object.schema.field(*column).name().into()),
        ]);
    }
}
