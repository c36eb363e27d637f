//! `pg_constraint`: primary keys.

use super::{constraint_oid, index_oid, key_name};
use crate::catalog::system::{Context, PUBLIC_OID, Rows, Source, SystemTable, Value};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_constraint",
    oid: 2606,
    columns: "oid oid, conname name, connamespace oid, contype char, condeferrable bool, condeferred bool, \
              convalidated bool, conrelid oid, contypid oid, conindid oid, conparentid oid, confrelid oid, \
              confupdtype char, confdeltype char, confmatchtype char, conislocal bool, coninhcount int4, \
              connoinherit bool, conkey int2[], confkey int2[], conpfeqop oid[], conppeqop oid[], \
              conffeqop oid[], confdelsetcols int2[], conexclop oid[], conbin text, tableoid oid",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects().filter(|o| !o.primary_key().is_empty()) {
        let none = Value::Text(" ".into());
        rows.push([
            ("oid", constraint_oid(object.id).into()),
            ("tableoid", TABLE.oid.into()),
            ("conname", key_name(object).into()),
            ("connamespace", PUBLIC_OID.into()),
            ("contype", "p".into()),
            ("convalidated", true.into()),
            ("conrelid", object.id.0.into()),
            ("conindid", index_oid(object.id).into()),
            ("confupdtype", none.clone()),
            ("confdeltype", none.clone()),
            ("confmatchtype", none),
            ("conislocal", true.into()),
            ("connoinherit", true.into()),
            ("conkey", object.primary_key().iter().map(|c| *c as i64 + 1).collect::<Vec<_>>().into()),
        ]);
    }
}
