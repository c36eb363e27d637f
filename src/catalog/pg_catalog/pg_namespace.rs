//! `pg_namespace`: schemas.

use crate::catalog::system::{Context, OWNER_OID, PUBLIC_OID, Rows, Source, SystemTable, namespaces};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_namespace",
    oid: 2615,
    columns: "oid oid, nspname name, nspowner oid, nspacl text[]",
    source: Source::Catalog(rows),
};

fn rows(_: &Context<'_>, rows: &mut Rows) {
    let public = ("public", PUBLIC_OID);
    for (name, oid) in namespaces().into_iter().map(|(name, oid, _)| (name, oid)).chain([public]) {
        rows.push([("oid", oid.into()), ("nspname", name.into()), ("nspowner", OWNER_OID.into())]);
    }
}
