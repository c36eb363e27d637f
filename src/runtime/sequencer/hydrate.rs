//! Tables and views that a new view reads, when they are large: read as they are while the clock goes on, then what has
//! changed since, until so little is left that it is read when the view joins.
//!
//! Everything that is read so is fed at time 0 of the view's dataflow, so only its sum counts: at the join the view has
//! been given what its inputs hold then. What still happens while the clock stands: the last changes are fed, operators
//! step what they have taken in, and the view's first rows go into its store.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::data::{Changes, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::store::Version;

use super::Sequencer;
use super::catchup::CatchUp;

/// How often what has changed meanwhile is read before the view joins all the same: writers are faster than it is.
const ROUNDS: usize = 8;

/// A table or view that is being read.
pub(super) struct Stored {
    object: ObjectId,
    /// What was read of it, when all below has been fed.
    version: Version,
    /// The next chunk, while it is read for the first time.
    chunk: Option<usize>,
    /// Rows of the chunks before it.
    read: usize,
    /// What had changed since the version before.
    changes: VecDeque<Changes>,
}

impl Stored {
    /// Whether anything is left to feed.
    fn has_more(&self) -> bool {
        self.chunk.is_some() || !self.changes.is_empty()
    }

    /// Rows that were read, and rows that there are.
    pub(super) fn progress(&self) -> (usize, usize) {
        if self.chunk.is_some() { (self.read, self.version.rows()) } else { (self.version.rows(), self.version.rows()) }
    }

    /// What to feed next.
    fn next(&mut self) -> Result<Option<Changes>> {
        if let Some(chunk) = self.chunk {
            if let Some(rows) = self.version.batch(chunk)? {
                self.chunk = Some(chunk + 1);
                self.read += rows.num_rows();
                return Ok(Some(Changes::insertions(rows)));
            }
            self.chunk = None;
        }
        Ok(self.changes.pop_front())
    }
}

impl Sequencer {
    /// The tables and views that a new view had better read before it joins: none when they are small.
    pub(super) fn large_inputs(&self, objects: &[ObjectId]) -> Vec<Stored> {
        let published = self.shared.published();
        let version = |id: &ObjectId| Some((*id, published.find(*id)?));
        let versions: Vec<(ObjectId, Version)> = objects.iter().filter_map(version).collect();
        if versions.iter().map(|(_, v)| v.rows()).sum::<usize>() <= self.config.limits.hydrate_rows {
            return vec![];
        }
        let stored = |(object, version)| Stored { object, version, chunk: Some(0), read: 0, changes: VecDeque::new() };
        versions.into_iter().map(stored).collect()
    }

    /// Feeds a catching-up view what its tables and views hold; true when little is left.
    pub(super) fn read_stored(&mut self, view: ObjectId, catchup: &mut CatchUp) -> Result<bool> {
        while !catchup.stored.is_empty() && catchup.rounds <= ROUNDS {
            for at in 0..catchup.stored.len() {
                while catchup.rows_fed() < self.config.limits.ingest_rows {
                    let object = catchup.stored[at].object;
                    let Some(changes) = catchup.stored[at].next()? else { break };
                    if !changes.is_empty() {
                        let fed = self.feed_view(view, object, std::slice::from_ref(&changes))?;
                        catchup.fed.push((fed, changes.len()));
                    }
                }
            }
            catchup.fed.retain(|(batches, _)| Arc::strong_count(batches) > 1);
            // A row's retraction is not fed before the row was taken in.
            if !catchup.fed.is_empty() || catchup.stored.iter().any(Stored::has_more) {
                return Ok(false);
            }
            let newer = catchup.stored.iter().map(|s| self.since(s)).collect::<Result<Vec<_>>>()?;
            let rows: usize = newer.iter().flat_map(|(_, changes)| changes).map(Changes::len).sum();
            if rows <= self.config.limits.hydrate_rows {
                catchup.rounds = ROUNDS + 1;
                break;
            }
            for (stored, (version, changes)) in catchup.stored.iter_mut().zip(newer) {
                (stored.version, stored.changes) = (version, changes.into());
            }
            catchup.rounds += 1;
        }
        Ok(true)
    }

    /// What is published of a table or view now, and how it differs from what was read.
    fn since(&self, stored: &Stored) -> Result<(Version, Vec<Changes>)> {
        let version = self.shared.published().version(stored.object, &self.called(stored.object))?;
        let changes = version.since(&stored.version)?.ok_or_else(|| self.left(stored.object))?;
        Ok((version, changes))
    }

    /// A quiet moment: what a view that joins has not read yet of the tables and views that it read before.
    pub(super) fn rest_of(&mut self, view: ObjectId) -> Result<BTreeMap<ObjectId, Vec<Changes>>> {
        let Some(catchup) = self.catchups.get_mut(&view) else { return Ok(BTreeMap::new()) };
        let stored = std::mem::take(&mut catchup.stored);
        let mut rest = BTreeMap::new();
        for stored in stored {
            let (_, changes) = self.since(&stored)?;
            rest.insert(stored.object, stored.changes.into_iter().chain(changes).collect());
        }
        Ok(rest)
    }

    /// The store that was read is not there any more.
    pub(super) fn left(&self, object: ObjectId) -> Error {
        let message = format!("{} left the clock while a view that reads it was being filled", self.called(object));
        Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_hint("Create the view again when highwater.views shows it as running.")
    }

    /// What messages call a table or view.
    pub(super) fn called(&self, object: ObjectId) -> String {
        let view = self.views.get(&object).map(|v| v.spec.called());
        let away = || self.away.get(&object).map(|a| a.spec.called());
        let table = || self.tables.get(&object).map(|t| format!("table \"{}\"", t.spec.name));
        view.or_else(away).or_else(table).unwrap_or_else(|| "a materialized view".to_owned())
    }
}
