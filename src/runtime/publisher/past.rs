//! What tables and views were at an epoch that is past: what SUBSCRIBE .. AS OF goes back to.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;

use crate::data::{Changes, Epoch, KeyEncoder, consolidate};
use crate::error::{Error, Result, SqlState};
use crate::store::Version;

use super::super::message::{Past, PastWanted};
use super::Publisher;
use super::history::History;

impl Publisher {
    /// What is wanted, if the histories go back so far.
    pub(super) fn past(&self, wanted: &PastWanted) -> Result<Past> {
        let PastWanted { objects, as_of, rows: with_rows } = wanted;
        let published = self.shared.published();
        let (mut rows, mut later) = (Vec::new(), BTreeMap::<Epoch, Vec<_>>::new());
        for id in objects {
            let (called, history) = match (self.views.get(id), self.tables.get(id)) {
                (Some(view), _) => (view.called(), &view.history),
                (None, Some(table)) => (format!("table \"{}\"", table.name), &table.history),
                (None, None) => return Err(Error::internal(format!("object {id} has no history"))),
            };
            let version = published.version(*id, &called)?;
            let since = history.as_ref().map_or(self.published, |h| h.since);
            if *as_of < since {
                return Err(too_old(&called, *as_of, since));
            }
            let kept = || history.iter().flat_map(|h| h.after(*as_of));
            if *with_rows {
                let changes = history.as_ref().map_or_else(Vec::new, |h| h.between(*as_of));
                rows.extend(before(&version, &changes)?.into_iter().map(|rows| (*id, rows)));
            }
            for (epoch, changes) in kept() {
                later.entry(epoch).or_default().push((*id, changes.to_vec()));
            }
        }
        Ok(Past { rows, later, through: self.published })
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

/// The rows of which `later` made the present ones. New rows are in the last chunks, so the others are not looked at.
pub(super) fn before(now: &Version, later: &[Changes]) -> Result<Vec<RecordBatch>> {
    if later.is_empty() {
        return now.batches();
    }
    let schema = now.schema();
    let encoder = KeyEncoder::exact(schema, &(0..schema.fields().len()).collect::<Vec<_>>())?;
    let net = consolidate(schema, &encoder, later)?;
    let keys = encoder.encode(&net.rows)?;
    let (mut came, mut gone) = (HashMap::new(), Vec::new());
    for i in 0..net.len() {
        match net.diff(i) {
            diff if diff > 0 => drop(came.insert(keys.get(i), diff)),
            diff => gone.extend(std::iter::repeat_n(i as u32, usize::try_from(-diff).unwrap_or(0))),
        }
    }
    let mut batches = Vec::new();
    for chunk in (0..now.chunks()).rev() {
        let Some(rows) = now.batch(chunk)? else { continue };
        if came.is_empty() {
            batches.push(rows);
            continue;
        }
        let keys = encoder.encode(&rows)?;
        let mut keep = vec![true; rows.num_rows()];
        for (i, keep) in keep.iter_mut().enumerate().rev() {
            if let Some(left) = came.get_mut(keys.get(i)) {
                *keep = false;
                *left -= 1;
                if *left == 0 {
                    came.remove(keys.get(i));
                }
            }
        }
        batches.push(filter_record_batch(&rows, &BooleanArray::from(keep))?);
    }
    debug_assert!(came.is_empty(), "the history has rows that are not there");
    batches.reverse();
    batches.push(net.take(&UInt32Array::from(gone))?.rows);
    batches.retain(|rows| rows.num_rows() > 0);
    Ok(batches)
}
