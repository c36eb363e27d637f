//! `pg_views`: views, the system's too.

use super::{relations, view_definition};
use crate::catalog::system::{Context, OWNER, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_views",
    oid: 12028,
    columns: "schemaname name, viewname name, viewowner name, definition text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for relation in relations(context).into_iter().filter(|r| r.kind == "v") {
        let definition = relation.object.as_ref().and_then(|o| view_definition(context.snapshot, o));
        rows.push([
            ("schemaname", relation.namespace.into()),
            ("viewname", relation.name.into()),
            ("viewowner", OWNER.into()),
            ("definition", definition.into()),
        ]);
    }
}
