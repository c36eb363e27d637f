//! `pg_roles`: the roles: the owner, and whoever is connected.

use crate::catalog::system::{Context, Environment, OWNER, OWNER_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_roles",
    oid: 12000,
    columns: "rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, \
              rolcanlogin bool, rolreplication bool, rolconnlimit int4, rolpassword text, \
              rolvaliduntil timestamptz, rolbypassrls bool, rolconfig text[], oid oid",
    source: Source::Catalog(rows),
};

/// The role that a session runs as, when it is not the owner.
const SESSION_ROLE_OID: u32 = 16383;

/// All roles with their oids.
pub(super) fn roles(environment: &dyn Environment) -> Vec<(u32, String)> {
    let mut roles = vec![(OWNER_OID, OWNER.to_owned())];
    if environment.user() != OWNER {
        roles.push((SESSION_ROLE_OID, environment.user()));
    }
    roles
}

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in roles(context.environment) {
        rows.push([
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolconnlimit", (-1_i32).into()),
            ("rolpassword", "********".into()),
            ("oid", oid.into()),
        ]);
    }
}
