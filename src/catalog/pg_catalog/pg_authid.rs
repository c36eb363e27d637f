//! `pg_authid`: the roles: the owner, and whoever is connected.

use super::pg_roles::roles;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_authid",
    oid: 1260,
    columns: "oid oid, rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, \
              rolcanlogin bool, rolreplication bool, rolbypassrls bool, rolconnlimit int4, rolpassword text, \
              rolvaliduntil timestamptz",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in roles(context.environment) {
        rows.push([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolconnlimit", (-1_i32).into()),
        ]);
    }
}
