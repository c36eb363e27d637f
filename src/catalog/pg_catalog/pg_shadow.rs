//! `pg_shadow`: the roles that can log in: all.

use super::pg_roles::roles;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_shadow",
    oid: 12005,
    columns: "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, usebypassrls bool, \
              passwd text, valuntil timestamptz, useconfig text[]",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in roles(context.environment) {
        rows.push([
            ("usename", name.into()),
            ("usesysid", oid.into()),
            ("usecreatedb", true.into()),
            ("usesuper", true.into()),
            ("passwd", "********".into()),
        ]);
    }
}
