//! CREATE OR REPLACE MATERIALIZED VIEW: the old view answers until the new one has caught up, then the new one does.
//!
//! The new view is filled without a name, beside the old one. When it is on the clock, both show the same epochs; at one of
//! them the old one goes, and the new one takes its name. Whatever goes wrong before, a crash too, leaves the old one:
//! a view that never took the other's place is dropped. Subscriptions to the old one end and say at which epoch.
//!
//! REBUILD MATERIALIZED VIEW does the same with the view's own definition: it is computed anew from tables, archives and sources
//! that can be read again. With FROM, its rows of windows that end by then stay as they are: they are final, and taken over at
//! the epoch of the change (`runtime::kept`). A view that is filled anew later (RESUME) shows what there is to read then.
//!
//! A sink writes the old one on, so that it cannot be replaced either. Plain views that name it mean the new one from then on, so it has to have their columns. Other materialized views, and
//! what they have computed, hang on the old one: then it cannot be replaced.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use tokio::sync::OwnedMutexGuard;

use super::Engine;
use super::ddl::{Ddl, described, find, find_any};
use super::explain::instant;
use super::outcome::Outcome;
use super::session::Session;
use super::stream::Guard;
use super::views::PlannedView;
use super::warnings;
use crate::catalog::Snapshot;
use crate::catalog::object::{Kind, MaterializedView, Object};
use crate::data::text::datetime::{parse_timestamp, parse_timestamptz};
use crate::data::{ObjectId, Partition, PartitionWatermark, Retention, WatermarkVector};
use crate::error::{Error, Result, SqlState};
use crate::runtime::{KeptWindows, ReadMode, ViewSpec};
use crate::sql::binder::Binder;
use crate::sql::statement::{CreateMaterializedView, Rebuild, RelationKind};

/// A view that is to take another's place.
struct Replacement {
    engine: Arc<Engine>,
    object: Object,
    old: ObjectId,
    /// The catalog that it was planned over.
    then: Arc<Snapshot>,
    /// What it keeps of the other one's rows.
    kept: Option<KeptWindows>,
}

impl Session {
    /// Replaces a view of this name, if there is one.
    pub(super) async fn replace_materialized_view(
        &mut self,
        create: &CreateMaterializedView,
        guard: &Guard,
    ) -> Result<bool> {
        let engine = self.shared.engine.clone();
        let Some((then, old)) = find_old(&engine, create)? else { return Ok(false) };
        check_readers(&then, &old, None)?;
        let (then, planned) = guard.clone().wait(self.plan_over(create, then)).await?;
        let kind = Kind::MaterializedView(self.describe(create, &planned));
        let object = Object { comment: old.comment.clone(), ..self.new_object(&old.name, planned.schema(), kind) };
        check_replaceable(&then, &old, &object)?;
        check_readers(&then, &old, Some(&object.schema))?;
        for notice in &planned.view.notices {
            self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, notice.clone()));
        }
        let spec = planned.spec(object.id, &object.name, Ddl::Replacement(object.clone()).bytes()?)?;
        let replacement = Replacement { engine: engine.clone(), object, old: old.id, then, kept: None };
        self.begin_replacement(replacement, spec, guard).await?;
        Ok(true)
    }

    /// Fills the new view; returns when it has taken the old one's place, or at once with `background_ddl`.
    async fn begin_replacement(&mut self, replacement: Replacement, spec: ViewSpec, guard: &Guard) -> Result<()> {
        let engine = replacement.engine.clone();
        let (id, name) = (replacement.object.id, replacement.object.name.clone());
        engine.temporary.lock().insert(id, replacement.object.depends().to_vec());
        engine.replacements.lock().insert(id);
        if self.shared.settings.lock().on("background_ddl") {
            tokio::spawn(async move {
                if let Err(error) = replacement.run(spec).await {
                    tracing::warn!("materialized view \"{name}\" was not replaced: {error}");
                }
            });
        } else {
            guard.clone().wait(replacement.run(spec)).await?;
            warnings::of_failures(&self.shared, Some(id), &engine.runtime.snapshot(ReadMode::Latest).await?);
        }
        let mut transaction = self.shared.transaction.lock();
        (transaction.irrevocable, transaction.snapshot) = (true, None);
        Ok(())
    }

    /// REBUILD MATERIALIZED VIEW: the same view takes its own place, computed anew.
    pub(super) async fn rebuild(&mut self, rebuild: &Rebuild, guard: &Guard) -> Result<Outcome> {
        let engine = self.shared.engine.clone();
        let names = engine.ddl.clone().lock_owned().await;
        let then = engine.catalog.snapshot();
        let old = find(&then, &rebuild.name, RelationKind::MaterializedView, "REBUILD").map_err(|error| {
            let kind = find_any(&then, &rebuild.name).map_or("view", |object| object.kind_name());
            let hint = format!("It is a {kind}, and nothing computes it.");
            if error.code() == SqlState::WRONG_OBJECT_TYPE { error.with_hint(hint) } else { error }
        })?;
        check_readers(&then, &old, None)?;
        let (planner, again) = (engine.clone(), old.clone());
        let planned = guard.clone().wait(self.bind_aside(move |binder| planner.replan(binder, &again))).await?;
        drop(names);
        let mut object = self.new_object(&old.name, old.schema.clone(), old.kind.clone());
        object.comment.clone_from(&old.comment);
        if late_target(&old).is_some() {
            let hint = "Both would write late rows while it is computed anew: DROP the view, then CREATE it.";
            return Err(Error::unsupported("REBUILD of a view with LATE ROWS INTO", hint));
        }
        let until = match &rebuild.from {
            Some((text, position)) => {
                let until = self.final_until(text, &planned).await.map_err(|e| e.with_position(*position))?;
                Some(until)
            }
            None => None,
        };
        if let Kind::MaterializedView(view) = &mut object.kind {
            view.kept = until;
        }
        let kept = kept_of(&object, &planned);
        let spec = planned.spec(object.id, &object.name, Ddl::Replacement(object.clone()).bytes()?)?;
        let replacement = Replacement { engine, object, old: old.id, then, kept };
        self.begin_replacement(replacement, spec, guard).await?;
        Ok(Outcome::Done { tag: "REBUILD MATERIALIZED VIEW".into() })
    }

    /// The time that FROM says, which all windows that end by then have to be final at.
    async fn final_until(&self, text: &str, planned: &PlannedView) -> Result<i64> {
        let Some(finality) = &planned.view.finality else {
            let hint = "Leave FROM out, and all of it is computed anew. Windows become final with EMIT ON WINDOW CLOSE or \
                        ALLOW LATENESS, where the view has one of their bounds.";
            return Err(Error::unsupported("REBUILD .. FROM of a view whose windows do not become final", hint));
        };
        let until = match planned.view.schema.field(finality.column).data_type() {
            DataType::Timestamp(_, Some(_)) => {
                let zone = self.binder_session(|binder| Ok(binder.session.time_zone.clone()))?;
                parse_timestamptz(text, &zone)?
            }
            _ => parse_timestamp(text)?,
        };
        let mut vector = WatermarkVector::default();
        for w in self.shared.engine.runtime.status().await?.watermarks {
            let partition = Partition { source: w.id, index: w.partition };
            vector.0.insert(partition, PartitionWatermark { watermark: w.watermark, idle: w.idle });
        }
        let horizon = finality.horizon(&vector);
        if until <= horizon {
            return Ok(until);
        }
        let message = format!("windows that end by \"{text}\" can still change");
        let hint = match horizon {
            i64::MIN => "There is no watermark yet: leave FROM out.".to_owned(),
            _ => format!("Those that end by {} are final.", instant(horizon)),
        };
        Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint))
    }

    /// Plans over one version of the catalog, and says which.
    async fn plan_over(
        &self,
        create: &CreateMaterializedView,
        mut then: Arc<Snapshot>,
    ) -> Result<(Arc<Snapshot>, PlannedView)> {
        let engine = &self.shared.engine;
        let mut held: Option<OwnedMutexGuard<()>> = None;
        loop {
            let planned = self.plan_create(create).await?;
            let now = engine.catalog.snapshot();
            if held.is_some() || now.version == then.version {
                return Ok((now, planned));
            }
            // Something has changed meanwhile: the next time nothing can.
            held = Some(engine.ddl.clone().lock_owned().await);
            then = engine.catalog.snapshot();
        }
    }
}

impl Replacement {
    /// To its end; dropping the future undoes it as long as the old view is there.
    async fn run(self, spec: ViewSpec) -> Result<()> {
        let engine = self.engine.clone();
        engine.runtime.create_view(spec).await?;
        let switching = tokio::spawn(self.switch());
        switching.await.map_err(|e| Error::internal(e.to_string()))?
    }

    /// The new view is on the clock: it takes the old one's place.
    async fn switch(self) -> Result<()> {
        let engine = self.engine.clone();
        let _names = engine.ddl.lock().await;
        let now = engine.catalog.snapshot();
        if !engine.temporary.lock().contains_key(&self.object.id) {
            let message = format!("what materialized view \"{}\" was to read has been dropped", self.object.name);
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let object = match self.checked(&now) {
            Ok(object) => object,
            Err(error) => {
                engine.runtime.drop_objects(vec![self.object.id], vec![]).await?;
                return Err(error);
            }
        };
        let reader = |reader: &Arc<Object>| {
            let mut reader = Object::clone(reader);
            reader.depend_on(self.old, object.id);
            reader
        };
        let readers: Vec<Object> = now.dependents(self.old).map(reader).collect();
        let mut gone = vec![self.old];
        gone.extend(engine.take_temporary(&[self.old]));
        let ddl = Ddl::Replaced(object.clone(), readers.clone()).bytes()?;
        if let Err(error) = engine.runtime.replace_view(gone, ddl, self.kept.clone()).await {
            engine.runtime.drop_objects(vec![self.object.id], vec![]).await?;
            return Err(error);
        }
        engine.catalog.supplant(object, readers);
        Ok(())
    }

    /// The view as the catalog is to have it, if it can still take the old one's place.
    fn checked(&self, now: &Snapshot) -> Result<Object> {
        let Some(old) = now.get(self.old) else {
            let message = format!("materialized view \"{}\" was dropped or replaced meanwhile", self.object.name);
            return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
        };
        check_readers(now, old, Some(&self.object.schema))?;
        let mut object = Object { name: old.name.clone(), comment: old.comment.clone(), ..self.object.clone() };
        for id in object.depends() {
            let (Some(then), Some(now)) = (self.then.get(id), now.get(id)) else { continue };
            if then.name != now.name || then.shape() != now.shape() {
                object.see(then);
            }
        }
        Ok(object)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        self.engine.temporary.lock().remove(&self.object.id);
        self.engine.replacements.lock().remove(&self.object.id);
    }
}

/// The view that is to be replaced, in the catalog of now.
fn find_old(engine: &Engine, create: &CreateMaterializedView) -> Result<Option<(Arc<Snapshot>, Arc<Object>)>> {
    let now = engine.catalog.snapshot();
    if create.name.schema.as_deref().is_some_and(|schema| schema != "public") {
        return Ok(None);
    }
    let Some(old) = now.by_name(&create.name.name).cloned() else { return Ok(None) };
    if matches!(old.kind, Kind::MaterializedView(_)) {
        return Ok(Some((now, old)));
    }
    let message = format!("\"{}\" is not a materialized view", old.name);
    let hint = format!("It is a {}: DROP it first, or take another name.", old.kind_name());
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
}

/// The table for a view's late rows.
fn late_target(object: &Object) -> Option<ObjectId> {
    match &object.kind {
        Kind::MaterializedView(MaterializedView { late_into, .. }) => *late_into,
        Kind::Table(_) | Kind::Source(_) | Kind::View(_) | Kind::Sink(_) => None,
    }
}

/// What a view that was rebuilt keeps of what it was before.
fn kept_of(object: &Object, planned: &PlannedView) -> Option<KeptWindows> {
    let Kind::MaterializedView(MaterializedView { kept: Some(until), .. }) = object.kind else { return None };
    let Retention { column, to_end, .. } = *planned.view.finality.as_ref()?;
    Some(KeptWindows { view: object.id, column, to_end, until })
}

impl Engine {
    /// The same of a view that the log has.
    pub(super) fn kept_windows(&self, binder: &Binder<'_>, object: &Object) -> Result<Option<KeptWindows>> {
        match &object.kind {
            Kind::MaterializedView(MaterializedView { kept: Some(_), .. }) => {
                Ok(kept_of(object, &self.replan(binder, object)?))
            }
            _ => Ok(None),
        }
    }
}

/// The new view does not hang on the old one, and does not write what the old one writes.
fn check_replaceable(catalog: &Snapshot, old: &Object, new: &Object) -> Result<()> {
    let hanging = catalog.dependents_deep(old.id);
    let reads = new.depends();
    if reads.contains(&old.id) || hanging.iter().any(|o| reads.contains(&o.id)) {
        let message = format!("the new materialized view \"{}\" reads the old one", old.name);
        let hint = "Create it under another name, then ALTER MATERIALIZED VIEW .. SWAP WITH.";
        return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message).with_hint(hint));
    }
    if late_target(new).is_some() && late_target(new) == late_target(old) {
        let what = "CREATE OR REPLACE of a view with LATE ROWS INTO the same table";
        let hint = "Both would write late rows while the new one is filled: DROP the view, then CREATE it.";
        return Err(Error::unsupported(what, hint));
    }
    Ok(())
}

/// Materialized views that hang on the old view keep it; plain views need its columns.
fn check_readers(catalog: &Snapshot, old: &Object, new: Option<&Schema>) -> Result<()> {
    let readers: Vec<&Arc<Object>> = catalog.dependents(old.id).collect();
    let depends = |reader: &&&Arc<Object>| format!("{} depends on {}", described(reader), described(old));
    let computed: Vec<String> =
        readers.iter().filter(|o| matches!(o.kind, Kind::MaterializedView(_))).map(|o| depends(&o)).collect();
    if !computed.is_empty() {
        let message = format!("cannot replace {} because other materialized views depend on it", described(old));
        let hint = "Create it under another name, with new views on it, then ALTER MATERIALIZED VIEW .. SWAP WITH.";
        return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(computed.join("\n"))
            .with_hint(hint));
    }
    let sinks: Vec<String> = readers.iter().filter(|o| matches!(o.kind, Kind::Sink(_))).map(|o| depends(&o)).collect();
    if !sinks.is_empty() {
        let message = format!("cannot replace {} because sinks write it", described(old));
        return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(sinks.join("\n"))
            .with_hint("DROP the sinks first, and create them anew in other folders."));
    }
    let Some(new) = new.filter(|_| !readers.is_empty()) else { return Ok(()) };
    let columns =
        |schema: &Schema| schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>();
    if columns(&old.schema) == columns(new) {
        return Ok(());
    }
    let message = format!("cannot replace {} with other columns because views depend on it", described(old));
    let lines: Vec<String> = readers.iter().map(|o| depends(&o)).collect();
    Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(lines.join("\n"))
        .with_hint("Keep the columns, their order and types, or drop these views first."))
}
