//! What tables and views were at an epoch that is past: what AS OF goes back to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::data::{Changes, Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::store::{Past, Version};

use super::super::message::{Backwards, PastInputs, PastWanted};
use super::Publisher;
use super::history::History;

impl Publisher {
    /// The rows of now, and the history, if it goes back so far.
    fn kept(&self, id: ObjectId, as_of: Epoch) -> Result<(Version, Option<&History>)> {
        let (called, history) = match (self.views.get(&id), self.tables.get(&id)) {
            (Some(view), _) => (view.called(), &view.history),
            (None, Some(table)) => (format!("table \"{}\"", table.name), &table.history),
            (None, None) => return Err(Error::internal(format!("object {id} has no history"))),
        };
        let version = self.shared.published().version(id, &called)?;
        let since = history.as_ref().map_or(self.published, |h| h.since);
        if as_of < since {
            return Err(too_old(&called, as_of, since));
        }
        Ok((version, history.as_ref()))
    }

    /// What SELECT .. AS OF makes the rows of then of.
    pub(super) fn backwards(&self, objects: &[ObjectId], as_of: Epoch) -> Result<HashMap<ObjectId, Backwards>> {
        let one = |id: &ObjectId| {
            let (now, history) = self.kept(*id, as_of)?;
            Ok((*id, Backwards { now, later: history.map_or_else(Vec::new, |h| h.between(as_of)) }))
        };
        objects.iter().map(one).collect()
    }

    /// What is wanted, if the histories go back so far.
    pub(super) fn past(&self, wanted: &PastWanted) -> Result<PastInputs> {
        let PastWanted { objects, as_of, rows: with_rows } = wanted;
        let (mut rows, mut later) = (Vec::new(), BTreeMap::<Epoch, Vec<_>>::new());
        for id in objects {
            let (version, history) = self.kept(*id, *as_of)?;
            let kept = || history.iter().flat_map(|h| h.after(*as_of));
            if *with_rows {
                let changes = history.map_or_else(Vec::new, |h| h.between(*as_of));
                rows.extend(before(&version, &changes)?.into_iter().map(|rows| (*id, rows)));
            }
            for (epoch, changes) in kept() {
                later.entry(epoch).or_default().push((*id, changes.to_vec()));
            }
        }
        Ok(PastInputs { rows, later, through: self.published })
    }

    /// Views that did not change give memory back too.
    pub(super) fn relieve(&mut self) {
        if self.config.memory.is_short() {
            self.views.values_mut().for_each(|view| view.store.relieve());
        }
    }

    /// The histories of all views and tables.
    pub(super) fn histories(&mut self) -> impl Iterator<Item = &mut History> {
        let tables = self.tables.values_mut().map(|t| &mut t.history);
        self.views.values_mut().map(|v| &mut v.history).chain(tables).flatten()
    }
}

/// AS OF lies before what is kept.
pub(super) fn too_old(called: &str, as_of: Epoch, since: Epoch) -> Error {
    let message = format!("the history of {called} does not go back to epoch {as_of}");
    Error::new(SqlState::SNAPSHOT_TOO_OLD, message)
        .with_hint(format!("The oldest epoch is {since}; the setting history says how long changes are kept."))
}

/// The rows of which `later` made the present ones.
pub(super) fn before(now: &Version, later: &[Changes]) -> Result<Vec<RecordBatch>> {
    if later.is_empty() {
        return now.batches();
    }
    let mut batches: Vec<RecordBatch> = Arc::new(Past::of(now.clone(), later)?).batches().collect::<Result<_>>()?;
    // In the order of insertion, and then what is gone.
    let gone = batches.pop();
    batches.reverse();
    batches.extend(gone);
    batches.retain(|rows| rows.num_rows() > 0);
    Ok(batches)
}
