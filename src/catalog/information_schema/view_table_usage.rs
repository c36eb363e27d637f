//! `view_table_usage`: what views read.

use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "view_table_usage",
    oid: 13222,
    columns: "view_catalog name, view_schema name, view_name name, table_catalog name, table_schema name, \
              table_name name",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let database = context.environment.database();
    for object in context.snapshot.objects() {
        for on in object.depends() {
            let Some(on) = context.snapshot.get(on) else { continue };
            rows.push([
                ("view_catalog", (&database).into()),
                ("view_schema", "public".into()),
                ("view_name", (&object.name).into()),
                ("table_catalog", (&database).into()),
                ("table_schema", "public".into()),
                ("table_name", (&on.name).into()),
            ]);
        }
    }
}
