//! CREATE OR REPLACE MATERIALIZED VIEW: the old view answers until the new one has caught up, then the new one does.
//!
//! The new view is filled without a name, beside the old one. When it is on the clock, both show the same epochs; at one of
//! them the old one goes, and the new one takes its name. Whatever goes wrong before, a crash too, leaves the old one:
//! a view that never took the other's place is dropped. Subscriptions to the old one end and say at which epoch.
//!
//! A sink writes the old one on, so that it cannot be replaced either. Plain views that name it mean the new one from then on, so it has to have their columns. Other materialized views, and
//! what they have computed, hang on the old one: then it cannot be replaced.

use std::sync::Arc;

use arrow::datatypes::Schema;
use tokio::sync::OwnedMutexGuard;

use super::Engine;
use super::ddl::{Ddl, described};
use super::session::Session;
use super::stream::Guard;
use super::views::PlannedView;
use super::warnings;
use crate::catalog::Snapshot;
use crate::catalog::object::{Kind, MaterializedView, Object};
use crate::data::ObjectId;
use crate::error::{Error, Result, SqlState};
use crate::runtime::{ReadMode, ViewSpec};
use crate::sql::statement::CreateMaterializedView;

/// A view that is to take another's place.
struct Replacement {
    engine: Arc<Engine>,
    object: Object,
    old: ObjectId,
    /// The catalog that it was planned over.
    then: Arc<Snapshot>,
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
        let id = object.id;
        let replacement = Replacement { engine: engine.clone(), object, old: old.id, then };
        engine.temporary.lock().insert(id, planned.bound.depends.clone());
        engine.replacements.lock().insert(id);
        if self.shared.settings.lock().on("background_ddl") {
            let name = old.name.clone();
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
        Ok(true)
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
        engine.runtime.replace_view(gone, ddl).await?;
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

/// The new view does not hang on the old one, and does not write what the old one writes.
fn check_replaceable(catalog: &Snapshot, old: &Object, new: &Object) -> Result<()> {
    let hanging = catalog.dependents_deep(old.id);
    let reads = new.depends();
    if reads.contains(&old.id) || hanging.iter().any(|o| reads.contains(&o.id)) {
        let message = format!("the new materialized view \"{}\" reads the old one", old.name);
        let hint = "Create it under another name, then ALTER MATERIALIZED VIEW .. SWAP WITH.";
        return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message).with_hint(hint));
    }
    let late = |object: &Object| match &object.kind {
        Kind::MaterializedView(MaterializedView { late_into, .. }) => *late_into,
        Kind::Table(_) | Kind::Source(_) | Kind::View(_) | Kind::Sink(_) => None,
    };
    if late(new).is_some() && late(new) == late(old) {
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
