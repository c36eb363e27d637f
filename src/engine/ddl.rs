//! CREATE TABLE, SOURCE and VIEW, DROP, COMMENT, ALTER SYSTEM.
//!
//! The runtime is told first and the catalog last, so that nobody sees a name behind which there is nothing; names are
//! checked and taken under one lock.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::alter::Altered;
use super::outcome::Outcome;
use super::session::Session;
use super::settings::{self, Scope, parse_duration};
use crate::catalog::object::{Kind, META_COMMENT, Object, Source, Table, View, Watermark};
use crate::catalog::{Resolved, Snapshot};
use crate::connectors::Connector;
use crate::data::types::sql_name;
use crate::data::{ColumnNumbers, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::runtime::{Runtime, Settings};
use crate::sql::binder::Binder;
use crate::sql::statement::{
    ColumnDef, Comment, CreateSource, CreateTable, CreateView, Drop, Name, RelationKind, WatermarkDef,
};

/// A change of the catalog, as the input log keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ddl {
    Create(Object),
    /// A subscription's own view, which has no name.
    Subscription(Object),
    /// A view that is to take the place of another one, and has no name before.
    Replacement(Object),
    /// It has taken it: the view, and plain views that named the other one.
    Replaced(Object, Vec<Object>),
    Drop(Vec<ObjectId>),
    Rename(ObjectId, String),
    /// New names, and what depends on the objects and sees them under the old ones.
    Names(Vec<(ObjectId, String)>, Vec<Object>),
    Alter(Altered),
    Replace(Object),
}

impl Ddl {
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::internal(e.to_string()))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| Error::internal(e.to_string()))
    }
}

impl Session {
    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<Outcome> {
        let done = Outcome::Done { tag: "CREATE TABLE".into() };
        let engine = self.shared.engine.clone();
        let _names = engine.ddl.lock().await;
        if self.taken(&create.name, create.if_not_exists)? {
            return Ok(done);
        }
        let connector = engine.build_connector(create.connector.as_ref(), &create.columns)?;
        let schema = schema_of(&create.columns, connector.as_deref());
        let primary_key = key_positions(&schema, &create.primary_key)?;
        check_max_ahead(connector.as_deref(), create.watermark.as_ref())?;
        let kind = Kind::Table(Table {
            primary_key,
            defaults: defaults(&create.columns, &schema),
            watermark: create.watermark.as_ref().map(|w| watermark(&schema, w)).transpose()?,
            append_only: create.append_only,
            connector: create.connector.clone(),
            numbers: ColumnNumbers::default(),
        });
        let object = self.new_object(&create.name.name, schema, kind);
        self.binder_session(|binder| check_defaults(binder, &object))?;
        let spec = self.binder_session(|binder| engine.table_spec(binder, &object, connector.clone()))?;
        self.shared.runtime.create_table(spec).await?;
        if let Some(connector) = connector {
            engine.connectors.lock().insert(object.id, connector);
        }
        self.created(object)?;
        Ok(done)
    }

    pub(super) async fn create_source(&mut self, create: &CreateSource) -> Result<Outcome> {
        let done = Outcome::Done { tag: "CREATE SOURCE".into() };
        let engine = self.shared.engine.clone();
        let _names = engine.ddl.lock().await;
        if self.taken(&create.name, create.if_not_exists)? {
            return Ok(done);
        }
        let Some(connector) = engine.build_connector(Some(&create.connector), &create.columns)? else {
            return Ok(done);
        };
        let schema = schema_of(&create.columns, Some(connector.as_ref()));
        if let Some(column) = create.columns.iter().find(|c| c.default.is_some()) {
            let what = format!("DEFAULT of column \"{}\" of a source", column.field.name());
            return Err(Error::unsupported(what, "A source's columns come from its connector."));
        }
        check_max_ahead(Some(connector.as_ref()), create.watermark.as_ref())?;
        engine.check_archive(create, connector.as_ref(), &schema)?;
        let watermark = create.watermark.as_ref().map(|w| watermark(&schema, w)).transpose()?;
        let kind = Kind::Source(Source { watermark, connector: create.connector.clone() });
        let object = self.new_object(&create.name.name, schema, kind);
        let spec = self.binder_session(|binder| engine.source_spec(binder, &object, connector.clone()))?;
        self.shared.runtime.create_source(spec).await?;
        engine.connectors.lock().insert(object.id, connector);
        self.created(object)?;
        Ok(done)
    }

    pub(super) async fn create_view(&mut self, create: &CreateView) -> Result<Outcome> {
        let engine = self.shared.engine.clone();
        let _names = engine.ddl.lock().await;
        let snapshot = engine.catalog.snapshot();
        let old = snapshot.by_name(&create.name.name).filter(|_| create.or_replace).cloned();
        if old.is_none() {
            self.taken(&create.name, false)?;
        }
        let bound = self.binder_session(|binder| binder.plain_view(&create.query, &create.columns))?;
        let fields = bound.columns;
        check_distinct(&fields)?;
        let kind = Kind::View(View { query: create.query.text.clone(), depends: bound.depends, seen: vec![] });
        let object = match old {
            Some(old) => replace_view(&snapshot, &old, Arc::new(Schema::new(fields)), kind)?,
            None => self.new_object(&create.name.name, Arc::new(Schema::new(fields)), kind),
        };
        let replaces = snapshot.get(object.id).is_some();
        let ddl = if replaces { Ddl::Replace(object.clone()) } else { Ddl::Create(object.clone()) };
        self.shared.runtime.log_ddl(ddl.bytes()?).await?;
        if replaces {
            engine.catalog.replace(object)?
        } else {
            self.created(object)?
        }
        Ok(Outcome::Done { tag: "CREATE VIEW".into() })
    }

    pub(super) async fn drop_objects(&mut self, drop: &Drop) -> Result<Outcome> {
        let engine = self.shared.engine.clone();
        let _names = engine.ddl.lock().await;
        let snapshot = engine.catalog.snapshot();
        let mut roots = Vec::new();
        for name in &drop.names {
            match find(&snapshot, name, drop.kind, "DROP") {
                Ok(object) => roots.push(object),
                Err(error) if drop.if_exists && error.code() == SqlState::UNDEFINED_TABLE => {
                    let message = format!("{} \"{}\" does not exist, skipping", kind_word(drop.kind), name.name);
                    self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
                }
                Err(error) => return Err(error),
            }
        }
        let order = self.drop_order(&snapshot, &roots, drop.cascade)?;
        if !order.is_empty() {
            let sinks = order.iter().filter_map(|id| self.shared.engine.runtime.sinks().get(*id)).collect();
            self.shared.engine.drop_now(&self.shared.runtime, &order).await?;
            self.shared.transaction.lock().irrevocable = true;
            self.sinks_ended(sinks).await;
        }
        Ok(Outcome::Done { tag: format!("DROP {}", kind_word(drop.kind).to_uppercase()) })
    }

    /// What goes with the roots, dependents first; told, or refused, as PostgreSQL does.
    fn drop_order(&self, snapshot: &Snapshot, roots: &[Arc<Object>], cascade: bool) -> Result<Vec<ObjectId>> {
        let mut order: Vec<ObjectId> = Vec::new();
        let mut lines = Vec::new();
        for root in roots {
            for dependent in snapshot.dependents_deep(root.id) {
                if order.contains(&dependent.id) || roots.iter().any(|r| r.id == dependent.id) {
                    continue;
                }
                order.push(dependent.id);
                lines.push((described(&dependent), dependency_line(snapshot, &dependent, root)));
            }
        }
        if !lines.is_empty() && !cascade {
            let what = match roots {
                [root] => described(root),
                _ => "desired object(s)".to_owned(),
            };
            let message = format!("cannot drop {what} because other objects depend on it");
            let message = if roots.len() > 1 { message.replace("depend on it", "depend on them") } else { message };
            let detail = lines.iter().rev().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n");
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(detail)
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        self.tell_of_cascade(&lines.into_iter().rev().map(|(what, _)| what).collect::<Vec<_>>());
        // Dependents have larger ids than what they depend on, roots among them too.
        order.extend(roots.iter().map(|r| r.id));
        order.sort_unstable_by(|a, b| b.cmp(a));
        order.dedup();
        Ok(order)
    }

    /// A NOTICE of what goes with what is dropped.
    pub(super) fn tell_of_cascade(&self, gone: &[String]) {
        let notice = |message: String| Error::new(SqlState::SUCCESSFUL_COMPLETION, message);
        match gone {
            [] => {}
            [one] => self.shared.notice("NOTICE", notice(format!("drop cascades to {one}"))),
            several => {
                let lines: Vec<String> = several.iter().map(|what| format!("drop cascades to {what}")).collect();
                let message = format!("drop cascades to {} other objects", several.len());
                self.shared.notice("NOTICE", notice(message).with_detail(lines.join("\n")));
            }
        }
    }

    pub(super) async fn comment(&mut self, comment: &Comment) -> Result<Outcome> {
        let engine = self.shared.engine.clone();
        let _names = engine.ddl.lock().await;
        let snapshot = engine.catalog.snapshot();
        let found = match &comment.column {
            Some(_) => find_any(&snapshot, &comment.name)?,
            None => find(&snapshot, &comment.name, comment.kind, "COMMENT ON")?,
        };
        let mut object = Object::clone(&found);
        match &comment.column {
            None => object.comment = comment.text.clone(),
            Some(_) if matches!(object.kind, Kind::Sink(_)) => {
                return Err(Error::unsupported("COMMENT ON COLUMN of a sink", "COMMENT ON SINK says what it is for."));
            }
            Some(column) => object.schema = commented(&object, column, comment.text.as_deref())?,
        }
        self.shared.runtime.log_ddl(Ddl::Replace(object.clone()).bytes()?).await?;
        engine.catalog.replace(object)?;
        self.shared.transaction.lock().irrevocable = true;
        Ok(Outcome::Done { tag: "COMMENT".into() })
    }

    pub(super) async fn alter_system(&mut self, name: Option<&str>, value: Option<&str>) -> Result<Outcome> {
        let Some(name) = name else {
            self.shared.runtime.alter_system(Settings::default()).await?;
            return Ok(Outcome::Done { tag: "ALTER SYSTEM".into() });
        };
        let definition = settings::find(name).map_err(|error| hinted(error, SYSTEM_SETTINGS))?;
        if definition.scope != Scope::System {
            let message = format!("parameter \"{}\" cannot be changed by ALTER SYSTEM", definition.name);
            let hint = format!("It is the session's: use SET {} = ...", definition.name);
            return Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message).with_hint(hint));
        }
        let text = settings::check(definition, value.unwrap_or(definition.default)).map_err(|error| {
            let example = if definition.name == "late_rows" { definition.default } else { "1s" };
            let hint = format!("For example, ALTER SYSTEM SET {} = '{example}'.", definition.name);
            hinted(error, hint)
        })?;
        let ms = || Duration::from_millis(parse_duration(&text).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
        let runtime = &self.shared.runtime;
        let mut system = runtime.settings();
        match definition.name {
            "epoch_interval" => system.epoch_interval = ms(),
            "checkpoint_interval" => system.checkpoint_interval = ms(),
            "history" => system.history = ms(),
            "max_lag" => system.max_lag = ms(),
            "idle_timeout" => system.idle_timeout = ms(),
            "late_rows" => system.late_rows = text.parse().unwrap_or(system.late_rows),
            other => {
                let hint = "An epoch closes as soon as the last one is under way.";
                return Err(Error::unsupported(format!("ALTER SYSTEM SET {other}"), hint));
            }
        }
        runtime.alter_system(system).await?;
        Ok(Outcome::Done { tag: "ALTER SYSTEM".into() })
    }

    /// Whether a name is taken and that is fine (a NOTICE says so); an error when it is taken and not fine.
    pub(super) fn taken(&self, name: &Name, if_not_exists: bool) -> Result<bool> {
        if let Some(schema) = name.schema.as_deref().filter(|s| *s != "public") {
            let error = match schema {
                "pg_catalog" | "information_schema" | "highwater" => {
                    let message = format!("permission denied to create \"{schema}.{}\"", name.name);
                    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                        .with_detail("System catalog modifications are currently disallowed.")
                }
                _ => Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist"))
                    .with_hint("All relations live in the schema public."),
            };
            return Err(if name.position > 0 { error.with_position(name.position) } else { error });
        }
        match self.shared.engine.check_free(&name.name) {
            Ok(()) => Ok(false),
            Err(error) if if_not_exists => {
                let message = format!("{}, skipping", error.message());
                self.shared.notice("NOTICE", Error::new(error.code(), message));
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn new_object(&self, name: &str, schema: SchemaRef, kind: Kind) -> Object {
        Object { id: self.shared.engine.catalog.allocate(), name: name.to_owned(), schema, kind, comment: None }
    }

    /// Puts a new object into the catalog; a block that rolls back will drop it.
    pub(super) fn created(&self, object: Object) -> Result<()> {
        let id = object.id;
        self.shared.engine.catalog.create(object)?;
        let mut transaction = self.shared.transaction.lock();
        if transaction.is_open() {
            transaction.created.push(id);
            transaction.snapshot = None;
        }
        Ok(())
    }
}

impl Engine {
    /// Subscriptions' own views on these.
    fn temporary_on(&self, inputs: &[ObjectId]) -> Vec<ObjectId> {
        let temporary = self.temporary.lock();
        let reads = |reads: &Vec<ObjectId>| reads.iter().any(|i| inputs.contains(i));
        temporary.iter().filter(|(_, r)| reads(r)).map(|(id, _)| *id).collect()
    }

    async fn drop_now(&self, runtime: &Runtime, order: &[ObjectId]) -> Result<()> {
        // Subscriptions' own views on what goes end with it.
        let temporary = self.temporary_on(order);
        let mut all = [&temporary, order].concat();
        let snapshot = self.catalog.snapshot();
        all.retain(|id| snapshot.get(*id).is_none_or(|o| !matches!(o.kind, Kind::View(_))));
        let ddl = Ddl::Drop(order.to_vec()).bytes()?;
        if all.is_empty() {
            runtime.log_ddl(ddl).await?;
        } else {
            runtime.drop_objects(all, ddl).await?;
        }
        self.temporary.lock().retain(|id, _| !temporary.contains(id));
        self.catalog.drop(order);
        let mut connectors = self.connectors.lock();
        for id in order {
            connectors.remove(id);
            self.archives.lock().remove(id);
        }
        Ok(())
    }

    /// ROLLBACK of a block that created objects.
    pub(super) async fn drop_created(&self, created: &[ObjectId]) -> Result<()> {
        let _names = self.ddl.lock().await;
        let snapshot = self.catalog.snapshot();
        let mut order: Vec<ObjectId> = Vec::new();
        for id in created.iter().filter(|id| snapshot.get(**id).is_some()) {
            order.extend(snapshot.dependents_deep(*id).iter().map(|o| o.id));
            order.push(*id);
        }
        order.sort_unstable_by(|a, b| b.cmp(a));
        order.dedup();
        if order.is_empty() { Ok(()) } else { self.drop_now(&self.runtime, &order).await }
    }
}

impl Engine {
    /// The subscriptions' views that read any of these objects, from now on nobody's.
    pub(super) fn take_temporary(&self, inputs: &[ObjectId]) -> Vec<ObjectId> {
        let mut temporary = self.temporary.lock();
        let reads = |reads: &Vec<ObjectId>| reads.iter().any(|i| inputs.contains(i));
        let gone: Vec<ObjectId> = temporary.iter().filter(|(_, r)| reads(r)).map(|(id, _)| *id).collect();
        temporary.retain(|id, _| !gone.contains(id));
        gone
    }

    pub(super) fn check_free(&self, name: &str) -> Result<()> {
        if self.catalog.snapshot().by_name(name).is_none() {
            return Ok(());
        }
        Err(Error::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")))
    }
}

/// The columns declared, or else those that the connector tells.
fn schema_of(columns: &[ColumnDef], connector: Option<&dyn Connector>) -> SchemaRef {
    match connector {
        Some(connector) if columns.is_empty() => connector.schema(),
        _ => Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>())),
    }
}

fn defaults(columns: &[ColumnDef], schema: &Schema) -> Vec<Option<String>> {
    let mut defaults: Vec<Option<String>> =
        columns.iter().map(|c| c.default.as_ref().map(|d| d.text.clone())).collect();
    defaults.resize(schema.fields().len(), None);
    defaults
}

/// A DEFAULT that can't be computed is an error at CREATE.
fn check_defaults(binder: &Binder<'_>, object: &Object) -> Result<()> {
    let Kind::Table(table) = &object.kind else { return Ok(()) };
    for (default, field) in table.defaults.iter().zip(object.schema.fields()) {
        if let Some(default) = default {
            binder.expression(default, &Schema::empty(), field)?;
        }
    }
    Ok(())
}

fn key_positions(schema: &Schema, names: &[String]) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        let missing =
            || Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist"));
        let position = schema.index_of(name).map_err(|_| missing())?;
        if positions.contains(&position) {
            let message = format!("column \"{name}\" appears twice in primary key constraint");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        positions.push(position);
    }
    Ok(positions)
}

fn watermark(schema: &Schema, definition: &WatermarkDef) -> Result<Watermark> {
    let (name, position) = &definition.column;
    let at = |e: Error| if *position > 0 { e.with_position(*position) } else { e };
    let missing = || Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"));
    let column = schema.index_of(name).map_err(|_| at(missing()))?;
    let field = schema.field(column);
    if !matches!(field.data_type(), arrow::datatypes::DataType::Timestamp(..)) {
        let message = format!("WATERMARK FOR needs a timestamp, but column \"{name}\" is {}", sql_name(field));
        return Err(at(Error::new(SqlState::DATATYPE_MISMATCH, message)));
    }
    Ok(Watermark { column, expression: definition.expression.text.clone() })
}

/// Only a watermark says which column is event time.
fn check_max_ahead(connector: Option<&dyn Connector>, watermark: Option<&WatermarkDef>) -> Result<()> {
    if watermark.is_some() || connector.is_none_or(|connector| connector.max_ahead().is_none()) {
        return Ok(());
    }
    let message = "option \"max_ahead\" needs a watermark, which says what event time is";
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .with_hint("Add WATERMARK FOR column AS column - INTERVAL '..' to the columns, or leave max_ahead out."))
}

fn check_distinct(fields: &[Field]) -> Result<()> {
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|f| f.name() == field.name()) {
            let message = format!("column \"{}\" specified more than once", field.name());
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
    }
    Ok(())
}

/// OR REPLACE keeps the id; columns may only be added, and nothing may read the view.
pub(super) fn replace_view(snapshot: &Snapshot, old: &Object, schema: SchemaRef, kind: Kind) -> Result<Object> {
    if !matches!(old.kind, Kind::View(_)) {
        let message = format!("\"{}\" is not a view", old.name);
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
    if schema.fields().len() < old.schema.fields().len() || !old.schema.fields().iter().zip(schema.fields()).all(same) {
        let message = "cannot change the columns of a view by CREATE OR REPLACE VIEW";
        return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message).with_hint("Use DROP VIEW and CREATE VIEW."));
    }
    if snapshot.dependents(old.id).any(|o| matches!(o.kind, Kind::MaterializedView(_))) {
        let message = format!("cannot replace view \"{}\" because materialized views read it", old.name);
        return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).with_hint("Drop them first."));
    }
    Ok(Object { id: old.id, name: old.name.clone(), schema, kind, comment: old.comment.clone() })
}

/// The schema with another comment on a column.
fn commented(object: &Object, column: &str, text: Option<&str>) -> Result<SchemaRef> {
    let missing = || {
        let message = format!("column \"{column}\" of relation \"{}\" does not exist", object.name);
        Error::new(SqlState::UNDEFINED_COLUMN, message)
    };
    let position = object.schema.index_of(column).map_err(|_| missing())?;
    let mut fields: Vec<Field> = object.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut metadata = fields[position].metadata().clone();
    match text {
        Some(text) => metadata.insert(META_COMMENT.to_owned(), text.to_owned()),
        None => metadata.remove(META_COMMENT),
    };
    fields[position].set_metadata(metadata);
    Ok(Arc::new(Schema::new(fields)))
}

/// The user object of a name, of whatever kind.
pub(super) fn find_any(snapshot: &Snapshot, name: &Name) -> Result<Arc<Object>> {
    let at = |e: Error| if name.position > 0 { e.with_position(name.position) } else { e };
    match snapshot.resolve(name.schema.as_deref(), &name.name).map_err(at)? {
        Resolved::User(object) => Ok(object),
        Resolved::System(relation) => {
            let message = format!("permission denied: \"{}\" is a system relation", relation.name);
            Err(at(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)))
        }
    }
}

/// The user object of a name, which must be of the kind that the statement says.
pub(super) fn find(snapshot: &Snapshot, name: &Name, kind: RelationKind, verb: &str) -> Result<Arc<Object>> {
    let object = match find_any(snapshot, name) {
        Err(error) if error.code() == SqlState::UNDEFINED_TABLE => {
            let message = format!("{} \"{}\" does not exist", kind_word(kind), name.name);
            return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
        }
        other => other?,
    };
    if object.kind_name() == kind_word(kind) {
        return Ok(object);
    }
    let message = format!("\"{}\" is not a {}", object.name, kind_word(kind));
    let actual = object.kind_name();
    let hint = match verb {
        "DROP" => format!("Use DROP {} to remove a {actual}.", actual.to_uppercase()),
        _ => format!("It is a {actual}: use {verb} {}.", actual.to_uppercase()),
    };
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
}

pub(super) fn kind_word(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Table => "table",
        RelationKind::Source => "source",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized view",
        RelationKind::Sink => "sink",
    }
}

/// `table t`.
const SYSTEM_SETTINGS: &str =
    "ALTER SYSTEM sets checkpoint_interval, epoch_interval, history, max_lag, idle_timeout and late_rows.";

/// Adds a hint where there is none.
fn hinted(error: Error, hint: impl Into<String>) -> Error {
    if error.parts().hint.is_some() { error } else { error.with_hint(hint) }
}

pub(super) fn described(object: &Object) -> String {
    format!("{} {}", object.kind_name(), crate::catalog::pg_catalog::quote_ident(&object.name))
}

/// `view v depends on table t`: on what it names itself, of all that hangs on the root.
fn dependency_line(snapshot: &Snapshot, dependent: &Object, root: &Object) -> String {
    let hanging: Vec<ObjectId> = snapshot.dependents_deep(root.id).iter().map(|o| o.id).chain([root.id]).collect();
    let on = dependent.depends().into_iter().find(|id| hanging.contains(id)).and_then(|id| snapshot.get(id).cloned());
    format!("{} depends on {}", described(dependent), on.map_or_else(|| described(root), |o| described(&o)))
}
