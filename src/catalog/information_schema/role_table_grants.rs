//! `role_table_grants`: everybody may do everything.

use crate::catalog::pg_catalog::relations;
use crate::catalog::system::{Context, OWNER, Rows, Source, SystemTable};

/// Those of `table_privileges` too.
pub(super) const COLUMNS: &str = "grantor text, grantee text, table_catalog name, table_schema name, table_name name, \
                                  privilege_type text, is_grantable text, with_hierarchy text";

pub(super) static TABLE: SystemTable =
    SystemTable { name: "role_table_grants", oid: 13214, columns: COLUMNS, source: Source::Catalog(rows) };

pub(super) fn rows(context: &Context<'_>, rows: &mut Rows) {
    let user = context.environment.user();
    for relation in relations(context).into_iter().filter(|r| r.kind != "i") {
        let privileges: &[&str] =
            if relation.kind == "r" { &["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE"] } else { &["SELECT"] };
        for privilege in privileges {
            rows.push([
                ("grantor", OWNER.into()),
                ("grantee", (&user).into()),
                ("table_catalog", context.environment.database().into()),
                ("table_schema", relation.namespace.into()),
                ("table_name", (&relation.name).into()),
                ("privilege_type", (*privilege).into()),
                ("is_grantable", "YES".into()),
                ("with_hierarchy", "NO".into()),
            ]);
        }
    }
}
