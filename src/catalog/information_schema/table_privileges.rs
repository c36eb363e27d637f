//! `table_privileges`: everybody may do everything.

use crate::catalog::pg_catalog::relations;
use crate::catalog::system::{Context, OWNER, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "table_privileges",
    oid: 13219,
    columns: "grantor text, grantee text, table_catalog name, table_schema name, table_name name, \
              privilege_type text, is_grantable text, with_hierarchy text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
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
