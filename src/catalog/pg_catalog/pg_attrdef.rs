//! `pg_attrdef`: DEFAULT expressions.

use arrow::datatypes::{DataType, Field};

use super::attrdef_oid;
use crate::catalog::object::Kind;
use crate::catalog::system::{Context, Rows, Source, SystemTable};
use crate::data::text::{self, TimeZone};
use crate::data::types::{META_TYPMOD, sql_name};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_attrdef",
    oid: 2604,
    columns: "oid oid, adrelid oid, adnum int2, adbin text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        let Kind::Table(table) = &object.kind else { continue };
        for (i, default) in table.defaults.iter().enumerate() {
            if let Some(default) = default {
                rows.push([
                    ("oid", attrdef_oid(object.id, i).into()),
                    ("adrelid", object.id.0.into()),
                    ("adnum", (i + 1).into()),
                    ("adbin", printed(default, object.schema.field(i)).into()),
                ]);
            }
        }
    }
}

/// A DEFAULT as PostgreSQL prints it: a string constant with the type that it was read as.
pub(in crate::catalog) fn printed(default: &str, field: &Field) -> String {
    let inner = default.strip_prefix('\'').and_then(|d| d.strip_suffix('\''));
    let Some(inner) = inner.filter(|t| !t.replace("\'\'", "").contains('\'')) else { return default.to_owned() };
    let metadata = field.metadata().iter().filter(|(k, _)| k.as_str() != META_TYPMOD);
    let bare = field.clone().with_metadata(metadata.map(|(k, v)| (k.clone(), v.clone())).collect());
    let utc = TimeZone::utc();
    let value = text::parse(&inner.replace("\'\'", "\'"), field, &utc);
    let shown = value.ok().and_then(|v| text::display(&v, field, &utc).ok().flatten());
    let shown = shown.map_or_else(|| inner.to_owned(), |s| s.replace('\'', "\'\'"));
    match field.data_type() {
        t if t.is_integer() => shown,
        DataType::Boolean => if shown == "t" { "true" } else { "false" }.to_owned(),
        DataType::Decimal128(..) => format!("'{shown}'::numeric"),
        _ => format!("'{shown}'::{}", sql_name(&bare)),
    }
}
