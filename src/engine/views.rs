//! CREATE MATERIALIZED VIEW: query -> logical plan -> incremental plan -> a running dataflow.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::config::ConfigOptions;
use tokio::sync::{Mutex, MutexGuard};

use super::Engine;
use super::alter::columns_read;
use super::ddl::{Ddl, find, find_any};
use super::outcome::Outcome;
use super::session::Session;
use super::stream::Guard;
use super::warnings;
use crate::catalog::Snapshot;
use crate::catalog::object::{Emit, Kind, MaterializedView, Object};
use crate::data::ObjectId;
use crate::data::text::TimeZone;
use crate::error::{Error, Result, SqlState};
use crate::operators;
use crate::plan::{self, ViewOptions, ViewPlan};
use crate::runtime::{LateTarget, Planned, ReadMode, Runtime, ViewSpec};
use crate::sql::binder::{Binder, BoundView};
use crate::sql::statement::{CreateMaterializedView, Name, Pause, Query, RelationKind, Subscribe};

/// Times that a view is planned without holding the catalog.
const PLANS_BESIDE_OTHERS: usize = 3;

/// A view that is planned, and not yet running.
pub(super) struct PlannedView {
    pub bound: BoundView,
    pub view: ViewPlan,
    /// The table for its late rows.
    late_into: Option<Object>,
}

impl PlannedView {
    /// What the runtime is asked for.
    pub(super) fn spec(&self, id: ObjectId, name: &str, ddl: Vec<u8>) -> Result<ViewSpec> {
        let late_into = self.view.late_into.as_ref();
        Ok(ViewSpec {
            id,
            name: name.to_owned(),
            schema: self.schema(),
            graph: Arc::new(operators::render(&self.view)?),
            tables: self.tables()?,
            late_into: late_into.map(|(table, columns)| LateTarget { table: *table, columns: columns.clone() }),
            subscription: None,
            ddl,
        })
    }

    /// The tables that it was planned over, and the columns that it reads; all of the one for its late rows.
    pub(super) fn tables(&self) -> Result<BTreeMap<ObjectId, Planned>> {
        let mut tables = columns_read(&self.bound.plan)?;
        if let Some(target) = &self.late_into {
            let shape = target.shape();
            let used = shape.all().collect();
            tables.insert(target.id, Planned { shape, used });
        }
        Ok(tables)
    }

    /// The view's columns, with their names and SQL types.
    pub(super) fn schema(&self) -> Arc<Schema> {
        Arc::new(Schema::new(self.bound.columns.clone()))
    }
}

/// What stands around a view's query.
#[derive(Clone, Copy)]
pub(super) struct Clauses<'a> {
    emit: Emit,
    lateness: Option<i64>,
    retention: Option<i64>,
    /// The table for its late rows.
    late_into: Option<&'a Object>,
}

/// Nothing does.
const NO_CLAUSES: Clauses<'static> = Clauses { emit: Emit::OnUpdate, lateness: None, retention: None, late_into: None };

/// Plans a view's query with its clauses.
pub(super) fn plan_view(
    binder: &Binder<'_>,
    base: &ConfigOptions,
    query: &Query,
    columns: &[String],
    clauses: Clauses<'_>,
) -> Result<PlannedView> {
    let Clauses { emit, lateness, retention, late_into } = clauses;
    let mut config = base.clone();
    config.execution.time_zone = Some(binder.session.time_zone.name().to_owned());
    let target = late_into.cloned();
    let late_into = late_into.map(|table| plan::LateTarget {
        table: table.id,
        name: table.name.clone(),
        schema: table.schema.clone(),
    });
    let options = ViewOptions { emit, lateness, retention, late_into, config: Arc::new(config) };
    let bound = binder.view(query, columns, |plan| plan::binned(plan, &options))?;
    let view = plan::lower(&bound.plan, &options)?;
    Ok(PlannedView { bound, view, late_into: target })
}

/// Plans what CREATE MATERIALIZED VIEW says.
pub(super) fn plan_create(
    binder: &Binder<'_>,
    base: &ConfigOptions,
    create: &CreateMaterializedView,
) -> Result<PlannedView> {
    let late_into = create.late_into.as_ref().map(|name| late_target(binder.snapshot, name)).transpose()?;
    let target = late_into.as_deref();
    let CreateMaterializedView { emit, lateness, retention, .. } = *create;
    let clauses = Clauses { emit, lateness, retention, late_into: target };
    let planned = plan_view(binder, base, &create.query, &create.columns, clauses)?;
    if let Some(target) = target {
        check_cycle(binder.snapshot, &planned.bound.depends, target)?;
    }
    Ok(planned)
}

impl Session {
    /// Plans, aside, what a subscription to a query runs on.
    pub(super) async fn plan_subscription(&self, subscribe: &Subscribe) -> Result<PlannedView> {
        let (query, base) = (subscribe.query.clone(), self.base());
        let planned = self.bind_aside(move |binder| plan_view(binder, &base, &query, &[], NO_CLAUSES)).await;
        planned.map_err(in_subscription)
    }

    /// Plans, aside, what CREATE MATERIALIZED VIEW says.
    pub(super) async fn plan_create(&self, create: &CreateMaterializedView) -> Result<PlannedView> {
        let (create, base) = (create.clone(), self.base());
        self.bind_aside(move |binder| plan_create(binder, &base, &create)).await
    }

    /// DataFusion's options for views.
    pub(super) fn base(&self) -> ConfigOptions {
        self.shared.engine.executor().state().config().options().as_ref().clone()
    }

    /// CREATE MATERIALIZED VIEW: returns when the view has joined the clock, or at once with `background_ddl`.
    pub(super) async fn create_materialized_view(
        &mut self,
        create: &CreateMaterializedView,
        guard: Guard,
    ) -> Result<Outcome> {
        let tag = || Outcome::Done { tag: "CREATE MATERIALIZED VIEW".into() };
        if create.or_replace && self.replace_materialized_view(create, &guard).await? {
            return Ok(tag());
        }
        let engine = self.shared.engine.clone();
        let planned = guard.wait(self.plan_free(create, &engine.ddl)).await?;
        let Some((names, planned)) = planned else { return Ok(tag()) };
        for notice in &planned.view.notices {
            self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, notice.clone()));
        }
        let kind = Kind::MaterializedView(self.describe(create, &planned));
        let object = self.new_object(&create.name.name, planned.schema(), kind);
        let spec = planned.spec(object.id, &object.name, Ddl::Create(object.clone()).bytes()?)?;
        let id = object.id;
        self.created(object)?;
        let undo = Undo { engine: engine.clone(), view: Some(id) };
        drop(names);
        if self.shared.settings.lock().on("background_ddl") {
            guard.wait(log(self.shared.runtime.clone(), spec, undo)).await?;
        } else {
            guard.wait(join(engine.clone(), spec, undo)).await?;
        }
        warnings::of_failures(&self.shared, Some(id), &engine.runtime.snapshot(ReadMode::Latest).await?);
        Ok(tag())
    }

    /// Plans while others may use the catalog, and holds it when nothing has changed meanwhile; where something always
    /// does, holds it first. `None`: the view is there, and that is fine.
    async fn plan_free<'a>(
        &self,
        create: &CreateMaterializedView,
        ddl: &'a Mutex<()>,
    ) -> Result<Option<(MutexGuard<'a, ()>, PlannedView)>> {
        for _ in 0..PLANS_BESIDE_OTHERS {
            if self.taken(&create.name, create.if_not_exists)? {
                return Ok(None);
            }
            let version = self.shared.engine.catalog.snapshot().version;
            let planned = self.plan_create(create).await?;
            let names = ddl.lock().await;
            if self.shared.engine.catalog.snapshot().version == version {
                return Ok(Some((names, planned)));
            }
        }
        let names = ddl.lock().await;
        if self.taken(&create.name, create.if_not_exists)? {
            return Ok(None);
        }
        let planned = self.plan_create(create).await?;
        Ok(Some((names, planned)))
    }

    /// What the catalog keeps of a view.
    pub(super) fn describe(&self, create: &CreateMaterializedView, planned: &PlannedView) -> MaterializedView {
        let settings = self.shared.settings.lock();
        MaterializedView {
            query: create.query.text.clone(),
            definition: create.definition.clone(),
            emit: create.emit,
            lateness: create.lateness,
            retention: create.retention,
            kept: None,
            late_into: planned.view.late_into.as_ref().map(|(table, _)| *table),
            depends: planned.bound.depends.clone(),
            time_zone: settings.named("TimeZone"),
            search_path: settings.named("search_path"),
            key: planned.view.key.clone(),
            append_only: planned.view.append_only,
            watermarks: planned.view.watermarks.clone(),
            seen: vec![],
        }
    }
}

impl Session {
    /// ALTER MATERIALIZED VIEW .. PAUSE; RESUME returns when the view is back, or at once with `background_ddl`.
    pub(super) async fn pause(&mut self, pause: &Pause) -> Result<Outcome> {
        let done = Outcome::Done { tag: "ALTER MATERIALIZED VIEW".into() };
        let engine = self.shared.engine.clone();
        let names = engine.ddl.lock().await;
        let view = match find(&engine.catalog.snapshot(), &pause.name, RelationKind::MaterializedView, "ALTER") {
            Ok(view) => view,
            Err(error) if pause.if_exists && error.code() == SqlState::UNDEFINED_TABLE => {
                let message = format!("relation \"{}\" does not exist, skipping", pause.name.name);
                self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
                return Ok(done);
            }
            Err(error) => return Err(error),
        };
        self.shared.transaction.lock().irrevocable = true;
        if !pause.resume {
            let reason = format!("It was paused by user \"{}\".", self.shared.user);
            self.shared.runtime.pause(view.id, reason).await?;
            return Ok(done);
        }
        self.shared.runtime.resume(view.id).await?;
        drop(names);
        if !self.shared.settings.lock().on("background_ddl") {
            engine.runtime.wait_running(view.id).await?;
        }
        Ok(done)
    }
}

/// A subscription runs as a view does, and is none to whoever asked for it.
fn in_subscription(error: Error) -> Error {
    let Some(what) = error.message().strip_suffix(" in a materialized view is not supported") else { return error };
    let hint = match what {
        "LIMIT" => "Leave it out, and stop reading when you have enough, or end it at an epoch with UP TO.",
        "ORDER BY" => "Leave it out: changes come epoch by epoch.",
        _ => {
            return Error::unsupported(
                format!("{what} in a subscription"),
                error.parts().hint.clone().unwrap_or_default(),
            );
        }
    };
    Error::unsupported(format!("{what} in a subscription"), hint)
}

/// Waits until the view is on the clock; otherwise it was never there.
async fn join(engine: Arc<Engine>, spec: ViewSpec, mut undo: Undo) -> Result<()> {
    engine.runtime.create_view(spec).await?;
    undo.view = None;
    Ok(())
}

/// Waits until the view is in the log: it is there, whoever goes.
async fn log(runtime: Runtime, spec: ViewSpec, mut undo: Undo) -> Result<()> {
    runtime.create_view_at_once(spec).await?;
    undo.view = None;
    Ok(())
}

/// Takes a view's name back when its creation fails or is cancelled.
struct Undo {
    engine: Arc<Engine>,
    view: Option<ObjectId>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(view) = self.view {
            self.engine.catalog.drop(&[view]);
        }
    }
}

impl Engine {
    /// Plans a view of the catalog again, as it was created.
    pub(super) fn replan(&self, binder: &Binder<'_>, object: &Object) -> Result<PlannedView> {
        let Kind::MaterializedView(view) = &object.kind else {
            return Err(Error::internal(format!("{} is not a materialized view", object.name)));
        };
        let parsed = crate::sql::parse(&view.definition)?;
        let Some(crate::sql::Statement::CreateMaterializedView(create)) =
            parsed.into_iter().next().map(|p| p.statement)
        else {
            return Err(Error::internal(format!("the definition of {} is not a view's", object.name)));
        };
        let session = crate::sql::BindSession {
            time_zone: TimeZone::parse(&view.time_zone).unwrap_or_else(TimeZone::utc),
            ..binder.session.clone()
        };
        let snapshot = binder.snapshot.as_seen(&view.seen);
        let binder = Binder::new(&snapshot, &session);
        let late_into = view.late_into.and_then(|id| binder.snapshot.get(id));
        let base = self.executor.state().config().options().clone();
        let MaterializedView { emit, lateness, retention, .. } = *view;
        let clauses = Clauses { emit, lateness, retention, late_into: late_into.map(Arc::as_ref) };
        plan_view(&binder, &base, &create.query, &create.columns, clauses)
    }
}

/// LATE ROWS INTO a plain table that takes rows.
fn late_target(snapshot: &Snapshot, name: &Name) -> Result<Arc<Object>> {
    let object = find_any(snapshot, name)?;
    match &object.kind {
        Kind::Table(_) => Ok(object),
        Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => {
            let message = format!("\"{}\" is not a table", object.name);
            let hint = "LATE ROWS INTO needs a table with the columns of the window's table argument.";
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
        }
    }
}

/// Late rows must not come back to the view that turned them away.
pub(super) fn check_cycle(snapshot: &Snapshot, reads: &[ObjectId], target: &Object) -> Result<()> {
    let mut open = reads.to_vec();
    let mut seen: Vec<ObjectId> = Vec::new();
    while let Some(id) = open.pop() {
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        if id == target.id {
            let message = format!("LATE ROWS INTO \"{}\" would close a cycle", target.name);
            let hint = "Send late rows to a table that the view does not read, directly or through other views.";
            return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message).with_hint(hint));
        }
        let Some(object) = snapshot.get(id) else { continue };
        match &object.kind {
            Kind::View(view) => open.extend(&view.depends),
            Kind::MaterializedView(view) => open.extend(&view.depends),
            // A table is fed by the views whose late rows go into it.
            Kind::Table(_) => open.extend(snapshot.objects().filter(|o| feeds(o, id)).map(|o| o.id)),
            Kind::Source(_) | Kind::Sink(_) => {}
        }
    }
    Ok(())
}

fn feeds(object: &Object, table: ObjectId) -> bool {
    matches!(&object.kind, Kind::MaterializedView(view) if view.late_into == Some(table))
}
