//! Looks inside a running engine, and turns it inside out: restart with other workers, replay of the log. For tests.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use super::ddl::Ddl;
use super::sinks::sink_spec;
use super::views::{PlannedView, plan_create};
use super::{Engine, Startup};
use crate::catalog::Catalog;
use crate::catalog::object::{Kind, Object};
use crate::error::{Error, Result};
use crate::plan::ViewPlan;
use crate::runtime::{Digest, ReadMode, Runtime, RuntimeConfig, SourceSpec, Spec, ViewSpec};
use crate::sink::Description;
use crate::sql::Statement;
use crate::sql::binder::{BindSession, Binder};

/// A materialized view, planned anew from its definition.
#[derive(Clone, Debug)]
pub struct InspectedView {
    /// What the catalog holds.
    pub object: Arc<Object>,
    /// The query as a batch plan, its scans over catalog relations.
    pub query: LogicalPlan,
    /// The incremental plan.
    pub plan: ViewPlan,
}

/// What a replay found: per view and epoch a digest of changes, late rows and errors.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// As it was when it happened.
    pub recorded: Vec<Digest>,
    /// As the log gave it again.
    pub replayed: Vec<Digest>,
}

impl Engine {
    /// The materialized views, in order of creation.
    pub fn inspect_views(self: &Arc<Self>) -> Result<Vec<InspectedView>> {
        let session = self.inspection()?;
        let snapshot = self.catalog.snapshot();
        let binder = Binder::new(&snapshot, &session);
        let mut views = Vec::new();
        for object in snapshot.objects().filter(|o| matches!(o.kind, Kind::MaterializedView(_))) {
            let PlannedView { bound, view, .. } = self.replan(&binder, object)?;
            views.push(InspectedView { object: object.clone(), query: bound.plan, plan: view });
        }
        views.sort_by_key(|v| v.object.id);
        Ok(views)
    }

    /// What the runtime would be asked for by this CREATE MATERIALIZED VIEW; nothing is created.
    pub fn inspect_plan(self: &Arc<Self>, create: &str) -> Result<ViewSpec> {
        let session = self.connect(Startup::default())?;
        let parsed = crate::sql::parse(create)?.into_iter().next().map(|p| p.statement);
        let Some(Statement::CreateMaterializedView(create)) = parsed else {
            return Err(Error::internal("not a CREATE MATERIALIZED VIEW"));
        };
        let planned = session.binder_session(|binder| plan_create(binder, &session.base(), &create))?;
        let kind = Kind::MaterializedView(session.describe(&create, &planned));
        let object = session.new_object(&create.name.name, planned.schema(), kind);
        planned.spec(object.id, &object.name, Ddl::Create(object.clone()).bytes()?)
    }

    /// A source of the catalog, as the runtime was given it.
    pub fn inspect_source(self: &Arc<Self>, name: &str) -> Result<SourceSpec> {
        let session = self.inspection()?;
        let snapshot = self.catalog.snapshot();
        let object = snapshot.by_name(name).filter(|o| matches!(o.kind, Kind::Source(_)));
        let object = object.ok_or_else(|| Error::internal(format!("{name} is not a source")))?;
        self.source_spec(&Binder::new(&snapshot, &session), object, self.connector(object)?)
    }

    /// Ends the worker threads and starts `workers` new ones with the state of the old. Sessions, cursors and
    /// subscriptions live on.
    pub async fn restart(&self, workers: usize) -> Result<()> {
        self.runtime.restart(workers).await
    }

    /// Replays the log with other workers, beside the running ones. Needs `keep_log`.
    pub async fn replay(self: &Arc<Self>, workers: usize) -> Result<Replay> {
        // What was acknowledged last is in the log, and will be published.
        self.runtime.snapshot(ReadMode::Acknowledged).await?;
        // What is shown by now is in the log's bytes; what comes meanwhile may not be.
        let shown = self.runtime.published();
        let log = self.runtime.log_bytes().await?;
        let mut recorded = self.runtime.digests().await?;
        recorded.retain(|digest| digest.epoch <= shown.0);
        let engine = self.clone();
        let session = self.inspection()?;
        let config = RuntimeConfig { workers, keep_log: true, record_digests: true, ..RuntimeConfig::default() };
        let again = move || {
            let catalog = Catalog::default();
            Runtime::replay(config, &log, |ddl| engine.rebuild(&catalog, &session, ddl))
        };
        let again = tokio::task::spawn_blocking(again).await.map_err(|e| Error::internal(e.to_string()))??;
        let replayed = again.digests().await;
        again.shutdown().await;
        let mut replayed = replayed?;
        replayed.retain(|digest| digest.epoch <= shown.0);
        Ok(Replay { recorded, replayed })
    }

    /// What binding needs of a session with all settings at their defaults.
    pub(super) fn inspection(self: &Arc<Self>) -> Result<BindSession> {
        self.connect(Startup::default())?.binder_session(|binder| Ok(binder.session.clone()))
    }

    /// Makes the object of a logged change again, in a catalog of its own.
    pub(super) fn rebuild(
        &self,
        catalog: &Catalog,
        session: &BindSession,
        change: &crate::log::Ddl,
    ) -> Result<Option<Spec>> {
        catalog.drop(&change.dropped);
        self.connectors.lock().retain(|id, _| !change.dropped.contains(id));
        if change.payload.is_empty() {
            return Ok(None);
        }
        let (object, named) = match Ddl::read(&change.payload)? {
            Ddl::Create(object) => (object, true),
            Ddl::Subscription(object) | Ddl::Replacement(object) => (object, false),
            Ddl::Replaced(object, readers) => {
                let kept = self.kept_windows(&Binder::new(&catalog.snapshot(), session), &object)?;
                catalog.supplant(object, readers);
                return Ok(kept.map(Spec::Kept));
            }
            Ddl::Drop(ids) => {
                catalog.drop(&ids);
                return Ok(None);
            }
            Ddl::Rename(id, name) => {
                let names = vec![(id, name)];
                catalog.rename(&names, vec![])?;
                return Ok(Some(Spec::Rename(names)));
            }
            Ddl::Names(names, readers) => {
                catalog.rename(&names, readers)?;
                return Ok(Some(Spec::Rename(names)));
            }
            Ddl::Alter(altered) => {
                let alter = self.alter_again(catalog, session, altered, change)?;
                return Ok(Some(Spec::Alter(alter)));
            }
            Ddl::Replace(object) => {
                catalog.replace(object)?;
                return Ok(None);
            }
        };
        let snapshot = catalog.snapshot();
        let binder = Binder::new(&snapshot, session);
        let spec = match &object.kind {
            Kind::Table(_) => {
                let connector = object.connector().map(|options| self.connector_again(&object, options));
                Some(Spec::Table(self.table_spec(&binder, &object, connector)?))
            }
            Kind::Source(source) => {
                let connector = self.connector_again(&object, &source.connector);
                Some(Spec::Source(self.source_spec(&binder, &object, connector)?))
            }
            Kind::View(_) => None,
            Kind::Sink(sink) => {
                let description = self.sink_description(&snapshot, sink, Description::rebuild)?;
                Some(Spec::Sink(Box::new(sink_spec(&object, sink.input, description)?)))
            }
            Kind::MaterializedView(_) => Some(Spec::View(self.replan(&binder, &object)?.spec(
                object.id,
                &object.name,
                change.payload.clone(),
            )?)),
        };
        if named {
            catalog.create(object)?;
        }
        Ok(spec)
    }
}
