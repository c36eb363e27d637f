//! `pg_foreign_table`: sources with their options.

use super::pg_foreign_server::SERVERS;
use crate::catalog::object::Kind;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_foreign_table",
    oid: 3118,
    columns: "ftrelid oid, ftserver oid, ftoptions text[]",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        let Kind::Source(source) = &object.kind else { continue };
        let server = SERVERS.iter().find(|(_, name)| *name == source.connector.connector).map_or(0, |(oid, _)| *oid);
        let options: Vec<String> = source.connector.options.iter().map(|(k, v)| format!("{k}={v}")).collect();
        rows.push([("ftrelid", object.id.0.into()), ("ftserver", server.into()), ("ftoptions", options.into())]);
    }
}
