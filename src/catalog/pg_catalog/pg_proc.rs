//! `pg_proc`: functions that tools look up by name or oid.

use crate::catalog::system::{Context, OWNER_OID, PG_CATALOG_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_proc",
    oid: 1255,
    columns: "oid oid, proname name, pronamespace oid, proowner oid, prolang oid, procost float4, prorows float4, \
              provariadic oid, prosupport regproc, prokind char, prosecdef bool, proleakproof bool, \
              proisstrict bool, proretset bool, provolatile char, proparallel char, pronargs int2, \
              pronargdefaults int2, prorettype oid, proargtypes oidvector, proallargtypes oid[], \
              proargmodes char[], proargnames text[], proargdefaults text, protrftypes oid[], prosrc text, \
              probin text, prosqlbody text, proconfig text[], proacl text[]",
    source: Source::Catalog(rows),
};

/// oid, name, kind, result type, argument types.
pub(in crate::catalog) type Function = (u32, &'static str, &'static str, u32, &'static [i64]);

pub(in crate::catalog) const FUNCTIONS: &[Function] = &[
    (89, "version", "f", 25, &[]),
    (1299, "now", "f", 1184, &[]),
    (750, "array_in", "f", 2277, &[2275, 26, 23]),
    (2400, "array_recv", "f", 2277, &[2281, 26, 23]),
    (2803, "count", "a", 20, &[]),
    (2147, "count", "a", 20, &[2276]),
    (2107, "sum", "a", 1700, &[20]),
    (2100, "avg", "a", 1700, &[20]),
    (2115, "max", "a", 20, &[20]),
    (2131, "min", "a", 20, &[20]),
];

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name, kind, result, arguments) in FUNCTIONS {
        rows.push([
            ("oid", (*oid).into()),
            ("proname", (*name).into()),
            ("pronamespace", PG_CATALOG_OID.into()),
            ("proowner", OWNER_OID.into()),
            ("prolang", 12_u32.into()),
            ("procost", 1_i32.into()),
            ("prosupport", "-".into()),
            ("prokind", (*kind).into()),
            ("provolatile", "s".into()),
            ("proparallel", "s".into()),
            ("pronargs", arguments.len().into()),
            ("prorettype", (*result).into()),
            ("proargtypes", arguments.to_vec().into()),
            ("prosrc", (*name).into()),
        ]);
    }
}
