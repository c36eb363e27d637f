//! `pg_collation`: collations: byte order everywhere.

use crate::catalog::system::{Context, OWNER_OID, PG_CATALOG_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_collation",
    oid: 3456,
    columns: "oid oid, collname name, collnamespace oid, collowner oid, collprovider char, \
              collisdeterministic bool, collencoding int4, collcollate text, collctype text, colliculocale text, \
              collversion text",
    source: Source::Catalog(rows),
};

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name, provider, locale) in
        [(100_u32, "default", "d", None), (950, "C", "c", Some("C")), (951, "POSIX", "c", Some("POSIX"))]
    {
        rows.push([
            ("oid", oid.into()),
            ("collname", name.into()),
            ("collnamespace", PG_CATALOG_OID.into()),
            ("collowner", OWNER_OID.into()),
            ("collprovider", provider.into()),
            ("collisdeterministic", true.into()),
            ("collencoding", (-1_i32).into()),
            ("collcollate", locale.into()),
            ("collctype", locale.into()),
        ]);
    }
}
