//! `pg_class`: all relations: tables `r`, sources `f`, views `v`, materialized views `m`, primary keys `i`.

use super::relations;
use crate::catalog::system::{Context, OWNER_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_class",
    oid: 1259,
    columns: "oid oid, relname name, relnamespace oid, reltype oid, reloftype oid, relowner oid, relam oid, \
              relfilenode oid, reltablespace oid, relpages int4, reltuples float4, relallvisible int4, \
              reltoastrelid oid, relhasindex bool, relisshared bool, relpersistence char, relkind char, \
              relnatts int2, relchecks int2, relhasrules bool, relhastriggers bool, relhassubclass bool, \
              relrowsecurity bool, relforcerowsecurity bool, relispopulated bool, relreplident char, \
              relispartition bool, relrewrite oid, relfrozenxid xid, relminmxid xid, relacl text[], \
              reloptions text[], relpartbound text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for relation in relations(context) {
        let object = relation.object.as_deref();
        let key = object.is_some_and(|o| !o.primary_key().is_empty());
        let access_method: u32 = match relation.kind {
            "r" | "m" => 2,
            "i" => 403,
            _ => 0,
        };
        rows.push([
            ("oid", relation.oid.into()),
            ("relname", relation.name.into()),
            ("relnamespace", relation.namespace_oid.into()),
            ("relowner", OWNER_OID.into()),
            ("relam", access_method.into()),
            ("relfilenode", relation.oid.into()),
            ("reltuples", (-1.0).into()),
            ("relhasindex", (key && relation.kind == "r").into()),
            ("relpersistence", "p".into()),
            ("relkind", relation.kind.into()),
            ("relnatts", relation.schema.fields().len().into()),
            ("relispopulated", true.into()),
            ("relreplident", (if relation.kind == "i" { "n" } else { "d" }).into()),
        ]);
    }
}
