//! `character_sets`: the one character set.

use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "character_sets",
    oid: 13201,
    columns: "character_set_catalog name, character_set_schema name, character_set_name name, \
              character_repertoire text, form_of_use text, default_collate_catalog name, \
              default_collate_schema name, default_collate_name name",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    rows.push([
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", context.environment.database().into()),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "C".into()),
    ]);
}
