//! `pg_description`: COMMENT ON.

use crate::catalog::object::META_COMMENT;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_description",
    oid: 2609,
    columns: "objoid oid, classoid oid, objsubid int4, description text",
    source: Source::Catalog(rows),
};

const PG_CLASS: u32 = 1259;

fn rows(context: &Context<'_>, rows: &mut Rows) {
    let mut push = |object: u32, column: usize, text: &str| {
        rows.push([
            ("objoid", object.into()),
            ("classoid", PG_CLASS.into()),
            ("objsubid", column.into()),
            ("description", text.into()),
        ]);
    };
    for object in context.snapshot.objects() {
        if let Some(comment) = &object.comment {
            push(object.id.0, 0, comment);
        }
        for (i, field) in object.schema.fields().iter().enumerate() {
            if let Some(comment) = field.metadata().get(META_COMMENT) {
                push(object.id.0, i + 1, comment);
            }
        }
    }
}
