//! `pg_matviews`: materialized views.

use super::view_definition;
use crate::catalog::object::Kind;
use crate::catalog::system::{Context, OWNER, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_matviews",
    oid: 12038,
    columns: "schemaname name, matviewname name, matviewowner name, tablespace name, hasindexes bool, \
              ispopulated bool, definition text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        if matches!(object.kind, Kind::MaterializedView(_)) {
            rows.push([
                ("schemaname", "public".into()),
                ("matviewname", (&object.name).into()),
                ("matviewowner", OWNER.into()),
                ("ispopulated", true.into()),
                ("definition", view_definition(context.snapshot, object).into()),
            ]);
        }
    }
}
