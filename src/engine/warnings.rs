//! What the rows that somebody reads lack: nothing vanishes silently.

use std::sync::Arc;

use super::environment::Shared;
use crate::catalog::Snapshot as Catalog;
use crate::catalog::object::{Kind, Object};
use crate::data::ObjectId;
use crate::error::{Error, SqlState};
use crate::runtime::{Missing, Snapshot};

/// Warns of what is left out of the tables and views that a query reads: by an expression that failed, by a record that
/// could not be read, by a source that failed.
pub(super) fn of_reading(shared: &Shared, reads: &[Arc<Object>], snapshot: &Snapshot) {
    for object in reads.iter().filter(|o| matches!(o.kind, Kind::MaterializedView(_))) {
        let errors = snapshot.standing_errors(object.id);
        if errors > 0 {
            let message = format!("materialized view \"{}\" leaves out what {errors} errors stand for", object.name);
            warn(shared, Error::new(SqlState::WARNING, message).with_hint(see_errors(object)));
        }
    }
    if snapshot.missing().is_empty() {
        return;
    }
    let catalog = shared.engine.catalog.snapshot();
    for object in reads.iter().filter(|o| !matches!(o.kind, Kind::Source(_))) {
        for (source, missing) in behind(&catalog, object.id, snapshot) {
            warn_of(shared, object, source, missing);
        }
    }
}

/// Warns of failed sources: of all, or of those behind one view.
pub(super) fn of_failures(shared: &Shared, view: Option<ObjectId>, snapshot: &Snapshot) {
    if snapshot.missing().is_empty() {
        return;
    }
    let catalog = shared.engine.catalog.snapshot();
    let mut sources = match view {
        Some(view) => behind(&catalog, view, snapshot),
        None => snapshot.missing().iter().filter_map(|(id, missing)| Some((catalog.get(*id)?, missing))).collect(),
    };
    sources.sort_by_key(|(source, _)| source.id);
    for (source, missing) in sources {
        if let Some(failure) = &missing.failure {
            let message = format!("{} failed, and nothing more comes from it", called(source));
            warn(shared, Error::new(SqlState::WARNING, message).with_detail(&**failure).with_hint(REPAIR));
        }
    }
}

const REPAIR: &str = "Repair what it reads, and create it and its views again. See highwater.sources.";

fn warn_of(shared: &Shared, object: &Object, source: &Object, missing: &Missing) {
    let of = if object.id == source.id { String::new() } else { format!(" of {}", called(source)) };
    if missing.bad_records > 0 {
        let records = if missing.bad_records == 1 { "record" } else { "records" };
        let message =
            format!("{} leaves out {} {records}{of} that could not be read", called(object), missing.bad_records);
        warn(shared, Error::new(SqlState::WARNING, message).with_hint(see_errors(source)));
    }
    if let Some(failure) = &missing.failure {
        let message = match object.id == source.id {
            true => format!("{} has only what was read before its reading failed", called(object)),
            false => format!("{} has only what was read{of} before that failed", called(object)),
        };
        warn(shared, Error::new(SqlState::WARNING, message).with_detail(&**failure).with_hint(REPAIR));
    }
}

fn called(object: &Object) -> String {
    format!("{} \"{}\"", object.kind_name(), object.name)
}

fn see_errors(object: &Object) -> String {
    format!("See them with SELECT * FROM highwater.errors WHERE view = '{}'.", object.name)
}

fn warn(shared: &Shared, error: Error) {
    shared.notice("WARNING", error);
}

/// Of what something is missing that an object is made of, itself and through other views, oldest first.
fn behind<'a>(catalog: &'a Catalog, object: ObjectId, snapshot: &'a Snapshot) -> Vec<(&'a Arc<Object>, &'a Missing)> {
    let (mut open, mut seen) = (vec![object], Vec::new());
    while let Some(id) = open.pop() {
        if !seen.contains(&id) {
            seen.push(id);
            match catalog.get(id).map(|object| &object.kind) {
                Some(Kind::View(view)) => open.extend(&view.depends),
                Some(Kind::MaterializedView(view)) => open.extend(&view.depends),
                Some(Kind::Table(_) | Kind::Source(_) | Kind::Sink(_)) | None => {}
            }
        }
    }
    seen.sort_unstable();
    seen.into_iter().filter_map(|id| Some((catalog.get(id)?, snapshot.missing().get(&id)?))).collect()
}
