//! `pg_shadow`: the roles that can log in: all.

use super::pg_roles::roles;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

/// Those of `pg_user` too.
pub(super) const COLUMNS: &str = "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, \
                                  usebypassrls bool, passwd text, valuntil timestamptz, useconfig text[]";

pub(super) static TABLE: SystemTable =
    SystemTable { name: "pg_shadow", oid: 12005, columns: COLUMNS, source: Source::Catalog(rows) };

pub(super) fn rows(context: &Context<'_>, rows: &mut Rows) {
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
