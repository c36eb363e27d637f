//! `pg_database`: the one database, under the name that the client knows it by.

use crate::catalog::system::{Context, OWNER_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_database",
    oid: 1262,
    columns: "oid oid, datname name, datdba oid, encoding int4, datlocprovider char, datistemplate bool, \
              datallowconn bool, datconnlimit int4, datfrozenxid xid, datminmxid xid, dattablespace oid, \
              datcollate text, datctype text, daticulocale text, datcollversion text, datacl text[]",
    source: Source::Catalog(rows),
};

/// Its oid.
pub(super) const DATABASE_OID: u32 = 16000;

fn rows(context: &Context<'_>, rows: &mut Rows) {
    rows.push([
        ("oid", DATABASE_OID.into()),
        ("datname", context.environment.database().into()),
        ("datdba", OWNER_OID.into()),
        ("encoding", 6_i32.into()),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1_i32).into()),
        ("dattablespace", 1663_i32.into()),
        ("datcollate", "C".into()),
        ("datctype", "C".into()),
    ]);
}
