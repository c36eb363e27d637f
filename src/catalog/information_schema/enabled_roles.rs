//! `enabled_roles`: the session's role.

use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable =
    SystemTable { name: "enabled_roles", oid: 13209, columns: "role_name name", source: Source::Catalog(rows) };

fn rows(context: &Context<'_>, rows: &mut Rows) {
    rows.push([("role_name", context.environment.user().into())]);
}
