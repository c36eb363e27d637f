//! `views`: views, materialized ones too.

use crate::catalog::pg_catalog::view_definition;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "views",
    oid: 13223,
    columns: "table_catalog name, table_schema name, table_name name, view_definition text, check_option text, \
              is_updatable text, is_insertable_into text, is_trigger_updatable text, is_trigger_deletable text, \
              is_trigger_insertable_into text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        let Some(definition) = view_definition(context.snapshot, object) else { continue };
        rows.push([
            ("table_catalog", context.environment.database().into()),
            ("table_schema", "public".into()),
            ("table_name", (&object.name).into()),
            ("view_definition", definition.into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}
