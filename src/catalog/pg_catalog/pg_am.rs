//! `pg_am`: access methods.

use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_am",
    oid: 2601,
    columns: "oid oid, amname name, amhandler regproc, amtype char",
    source: Source::Catalog(rows),
};

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name, kind) in [(2_u32, "heap", "t"), (403, "btree", "i")] {
        rows.push([("oid", oid.into()), ("amname", name.into()), ("amhandler", "-".into()), ("amtype", kind.into())]);
    }
}
