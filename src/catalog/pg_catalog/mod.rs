//! Schema `pg_catalog`: PostgreSQL's own tables, true of Highwater. One file per table; those that are always empty, and
//! those that the running engine fills in, share a file each.

mod definition;
mod empty;
mod pg_am;
pub(in crate::catalog) mod pg_attrdef;
mod pg_attribute;
mod pg_authid;
mod pg_class;
mod pg_collation;
mod pg_constraint;
mod pg_database;
mod pg_depend;
mod pg_description;
mod pg_foreign_server;
mod pg_foreign_table;
mod pg_index;
mod pg_indexes;
mod pg_language;
mod pg_matviews;
mod pg_namespace;
pub(in crate::catalog) mod pg_proc;
mod pg_roles;
mod pg_shadow;
mod pg_stat_database;
mod pg_stat_user_tables;
mod pg_tables;
mod pg_tablespace;
mod pg_timezone_names;
pub mod pg_type;
mod pg_user;
mod pg_views;
mod running;

pub use definition::{clauses, open_ended, view_definition};

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::object::{Kind, Object};
use super::system::{self, Context, PUBLIC_OID, SystemTable, namespaces};
use crate::data::ObjectId;

/// The tables of the schema.
#[rustfmt::skip]
pub(super) static TABLES: &[&SystemTable] = &[
    &pg_am::TABLE,    &pg_attrdef::TABLE,    &pg_attribute::TABLE,    &pg_authid::TABLE,
    &pg_class::TABLE,    &pg_collation::TABLE,    &pg_constraint::TABLE,    &pg_database::TABLE,
    &pg_depend::TABLE,    &pg_description::TABLE,    &pg_foreign_server::TABLE,    &pg_foreign_table::TABLE,
    &pg_index::TABLE,    &pg_indexes::TABLE,    &pg_language::TABLE,    &pg_matviews::TABLE,
    &pg_namespace::TABLE,    &pg_proc::TABLE,    &pg_roles::TABLE,    &pg_shadow::TABLE,
    &pg_stat_database::TABLE,    &pg_stat_user_tables::TABLE,    &pg_tables::TABLE,    &pg_tablespace::TABLE,
    &pg_timezone_names::TABLE,    &pg_type::TABLE,    &pg_user::TABLE,    &pg_views::TABLE,
    &running::PG_SETTINGS,    &running::PG_STAT_ACTIVITY,    &running::PG_CURSORS,    &running::PG_PREPARED_STATEMENTS,
    &empty::PG_AGGREGATE,    &empty::PG_AUTH_MEMBERS,    &empty::PG_CAST,    &empty::PG_CONVERSION,
    &empty::PG_DB_ROLE_SETTING,    &empty::PG_DEFAULT_ACL,    &empty::PG_ENUM,    &empty::PG_EVENT_TRIGGER,
    &empty::PG_EXTENSION,    &empty::PG_FOREIGN_DATA_WRAPPER,    &empty::PG_GROUP,    &empty::PG_INHERITS,
    &empty::PG_INIT_PRIVS,    &empty::PG_LOCKS,    &empty::PG_OPCLASS,    &empty::PG_OPERATOR,    &empty::PG_OPFAMILY,
    &empty::PG_PARTITIONED_TABLE,    &empty::PG_POLICY,    &empty::PG_PUBLICATION,    &empty::PG_PUBLICATION_NAMESPACE,
    &empty::PG_PUBLICATION_REL,    &empty::PG_PUBLICATION_TABLES,    &empty::PG_RANGE,    &empty::PG_REWRITE,
    &empty::PG_RULES,    &empty::PG_SECLABEL,    &empty::PG_SECLABELS,    &empty::PG_SEQUENCE,
    &empty::PG_SEQUENCES,    &empty::PG_SHDESCRIPTION,    &empty::PG_STATISTIC_EXT,    &empty::PG_SUBSCRIPTION,
    &empty::PG_TRIGGER,    &empty::PG_TS_CONFIG,
];

/// One row of `pg_class`, and what the other tables need of it.
pub struct RelationRow {
    /// Its oid.
    pub oid: u32,
    /// Unqualified.
    pub name: String,
    /// Its schema's name.
    pub namespace: &'static str,
    /// Its schema's oid.
    pub namespace_oid: u32,
    /// `relkind`.
    pub kind: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
    /// The user's object; of an index, its table.
    pub object: Option<Arc<Object>>,
}

/// All relations: the user's, the indexes of their primary keys, the system's.
pub fn relations(context: &Context<'_>) -> Vec<RelationRow> {
    let mut found = Vec::new();
    for object in context.snapshot.objects() {
        let user = |oid: u32, name: String, kind: &'static str, schema: SchemaRef| RelationRow {
            oid,
            name,
            namespace: "public",
            namespace_oid: PUBLIC_OID,
            kind,
            schema,
            object: Some(object.clone()),
        };
        found.push(user(object.id.0, object.name.clone(), relkind(&object.kind), object.schema.clone()));
        if let Ok(key) = object.schema.project(object.primary_key())
            && !key.fields().is_empty()
        {
            found.push(user(index_oid(object.id), key_name(object), "i", Arc::new(key)));
        }
    }
    for (namespace, namespace_oid, tables) in namespaces() {
        let kind = if namespace == "pg_catalog" { "r" } else { "v" };
        for relation in tables.iter().filter_map(|t| system::find(namespace, t.name)) {
            let (name, schema) = (relation.name.to_owned(), relation.schema.clone());
            found.push(RelationRow { oid: relation.oid, name, namespace, namespace_oid, kind, schema, object: None });
        }
    }
    found
}

/// `pg_class.relkind`; a source is a foreign table.
pub fn relkind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Table(_) => "r",
        Kind::Source(_) => "f",
        Kind::View(_) => "v",
        Kind::MaterializedView(_) => "m",
        // None of pg_class's: nobody asks.
        Kind::Sink(_) => "",
    }
}

/// The oid of a table's primary key, as an index.
pub fn index_oid(table: ObjectId) -> u32 {
    table.0 | 1 << 30
}

/// The oid of a table's primary key, as a constraint.
pub fn constraint_oid(table: ObjectId) -> u32 {
    table.0 | 1 << 29
}

/// The table whose primary key has this oid, as an index or as a constraint.
pub fn table_of_key(oid: u32) -> Option<ObjectId> {
    let mark = 1 << 30 | 1 << 29;
    (oid & mark != 0).then_some(ObjectId(oid & !mark))
}

/// The oid of a column's DEFAULT.
fn attrdef_oid(table: ObjectId, column: usize) -> u32 {
    (table.0 << 11 | column as u32) & (u32::MAX >> 1) | 1 << 28
}

/// What PostgreSQL names a table's primary key.
pub fn key_name(table: &Object) -> String {
    format!("{}_pkey", table.name)
}

/// Its columns, quoted where they must be.
pub fn key_columns(table: &Object) -> String {
    let name = |c: &usize| quote_ident(table.schema.field(*c).name());
    table.primary_key().iter().map(name).collect::<Vec<_>>().join(", ")
}

/// CREATE UNIQUE INDEX ..
pub fn index_definition(table: &Object) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON public.{} USING btree ({})",
        quote_ident(&key_name(table)),
        quote_ident(&table.name),
        key_columns(table)
    )
}

/// An identifier as SQL text: in double quotes unless it is plain.
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
