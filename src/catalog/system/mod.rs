//! System relations: tables made from the catalog, or from what the engine runs, whenever they are read.
//!
//! One file per table in `pg_catalog/` and `information_schema/`; `highwater.rs` declares what the engine fills in.
//! A table's rows are pushed column by name; columns left out take the value that PostgreSQL stores for "nothing".

mod rows;

pub use rows::{Rows, Value};

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::future::BoxFuture;

use arrow::array::RecordBatch;

use super::{Snapshot, SystemRelation, highwater, information_schema, pg_catalog};
use crate::data::EventTime;
use crate::error::Result;

/// The name of the one database, unless a client asked for another.
pub const DATABASE: &str = "highwater";
/// The role that owns everything.
pub const OWNER: &str = "highwater";
/// Its oid.
pub const OWNER_OID: u32 = 10;
/// `pg_namespace` oids.
pub const PG_CATALOG_OID: u32 = 11;
/// `public`.
pub const PUBLIC_OID: u32 = 2200;
/// `information_schema`.
pub const INFORMATION_SCHEMA_OID: u32 = 13000;
/// `highwater`.
pub const HIGHWATER_OID: u32 = 13001;

/// A system relation: what it is called, its columns, and how its rows are made.
#[derive(Debug)]
pub struct SystemTable {
    /// Unqualified name.
    pub name: &'static str,
    /// `pg_class` oid: PostgreSQL's where it has one that is fixed, else below 16384 and ours.
    pub oid: u32,
    /// `name type, name type, ..` with the types of [`rows`].
    pub columns: &'static str,
    /// Where its rows come from.
    pub source: Source,
}

/// Where a system relation's rows come from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// There are none, by nature: what the table would list does not exist in Highwater.
    Empty,
    /// From the catalog.
    Catalog(fn(&Context<'_>, &mut Rows)),
    /// From the running engine, which is asked for them with [`running`].
    Engine,
}

/// What rows are made from.
pub struct Context<'a> {
    /// The catalog as the statement sees it.
    pub snapshot: &'a Snapshot,
    /// The session.
    pub environment: &'a dyn Environment,
}

/// What the catalog's tables and functions ask of the session that runs them.
pub trait Environment: Send + Sync + std::fmt::Debug {
    /// The catalog now.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// `current_user`.
    fn user(&self) -> String;
    /// `current_database()`.
    fn database(&self) -> String;
    /// `pg_backend_pid()`.
    fn pid(&self) -> i32;
    /// `current_setting(name)`; `None`: unknown.
    fn setting(&self, name: &str) -> Option<String>;
    /// `set_config(name, value, is_local)`: the value in force afterwards.
    fn set_setting(&self, name: &str, value: &str, local: bool) -> Result<String>;
    /// Ends what another session runs (`pg_cancel_backend`), or that session (`pg_terminate_backend`).
    fn signal(&self, pid: i32, terminate: bool) -> bool;
    /// Bytes of a relation's rows.
    fn relation_bytes(&self, oid: u32) -> i64;
    /// Microseconds since 1970 at which the server started.
    fn started(&self) -> i64;
    /// The newest published epoch.
    fn epoch(&self) -> u64;
    /// Sleeps, until the statement is cancelled.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, Result<()>>;
    /// Moves a source's watermark by hand; where it is then.
    fn advance_watermark(&self, source: &str, to: EventTime) -> BoxFuture<'static, Result<EventTime>>;
}

/// The namespaces with their oids and tables.
pub fn namespaces() -> [(&'static str, u32, &'static [&'static SystemTable]); 3] {
    [
        ("pg_catalog", PG_CATALOG_OID, pg_catalog::TABLES),
        ("information_schema", INFORMATION_SCHEMA_OID, information_schema::TABLES),
        ("highwater", HIGHWATER_OID, highwater::TABLES),
    ]
}

/// A system relation, ready to be scanned.
#[derive(Debug)]
struct Known {
    table: &'static SystemTable,
    relation: Arc<SystemRelation>,
}

static KNOWN: LazyLock<HashMap<&'static str, HashMap<&'static str, Known>>> = LazyLock::new(|| {
    let mut known: HashMap<_, HashMap<_, _>> = HashMap::new();
    for (namespace, _, tables) in namespaces() {
        for table in tables.iter().copied() {
            let schema = rows::schema(table.columns);
            let relation = Arc::new(SystemRelation { namespace, name: table.name, oid: table.oid, schema });
            known.entry(namespace).or_default().insert(table.name, Known { table, relation });
        }
    }
    known
});

fn known(namespace: &str, name: &str) -> Option<&'static Known> {
    KNOWN.get(namespace)?.get(name)
}

/// Looks a system relation up.
pub fn find(namespace: &str, name: &str) -> Option<Arc<SystemRelation>> {
    known(namespace, name).map(|k| k.relation.clone())
}

/// All system relations, by namespace and position in its list.
pub fn all() -> impl Iterator<Item = Arc<SystemRelation>> {
    namespaces()
        .into_iter()
        .flat_map(|(namespace, _, tables)| tables.iter().filter_map(move |t| find(namespace, t.name)))
}

/// Whether a relation never has a row: a join with it is empty.
pub fn always_empty(namespace: &str, name: &str) -> bool {
    known(namespace, name).is_some_and(|k| matches!(k.table.source, Source::Empty))
}

/// Whether the running engine has to make a relation's rows, with [`Rows::new`] over its schema.
pub fn running(relation: &SystemRelation) -> bool {
    known(relation.namespace, relation.name).is_some_and(|k| matches!(k.table.source, Source::Engine))
}

/// The rows now of a relation that is not [`running`].
pub fn rows(relation: &SystemRelation, environment: &dyn Environment) -> Result<RecordBatch> {
    let mut rows = Rows::new(relation.schema.clone());
    if let Some(Known { table: SystemTable { source: Source::Catalog(make), .. }, .. }) =
        known(relation.namespace, relation.name)
    {
        let snapshot = environment.snapshot();
        make(&Context { snapshot: &snapshot, environment }, &mut rows);
    }
    rows.finish()
}
