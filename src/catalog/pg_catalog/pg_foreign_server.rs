//! `pg_foreign_server`: the connectors that sources read through.

use crate::catalog::system::{Context, OWNER_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_foreign_server",
    oid: 1417,
    columns: "oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text, srvversion text, srvacl text[], \
              srvoptions text[]",
    source: Source::Catalog(rows),
};

/// The connectors by oid.
pub(super) const SERVERS: &[(u32, &str)] = &[(13600, "file"), (13601, "nexmark")];

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in SERVERS {
        rows.push([("oid", (*oid).into()), ("srvname", (*name).into()), ("srvowner", OWNER_OID.into())]);
    }
}
