//! `pg_language`: languages: the two that functions are written in.

use crate::catalog::system::{Context, OWNER_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_language",
    oid: 2612,
    columns: "oid oid, lanname name, lanowner oid, lanispl bool, lanpltrusted bool, lanplcallfoid oid, \
              laninline oid, lanvalidator oid, lanacl text[], tableoid oid",
    source: Source::Catalog(rows),
};

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in [(12_u32, "internal"), (14, "sql")] {
        rows.push([
            ("oid", oid.into()),
            ("lanname", name.into()),
            ("lanowner", OWNER_OID.into()),
            ("tableoid", TABLE.oid.into()),
        ]);
    }
}
