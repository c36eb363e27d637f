//! `pg_tablespace`: where PostgreSQL would keep files.

use crate::catalog::system::{Context, OWNER_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_tablespace",
    oid: 1213,
    columns: "oid oid, spcname name, spcowner oid, spcacl text[], spcoptions text[]",
    source: Source::Catalog(rows),
};

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in [(1663_u32, "pg_default"), (1664, "pg_global")] {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", OWNER_OID.into())]);
    }
}
