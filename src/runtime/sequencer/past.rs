//! Subscriptions to tables and queries as of an epoch that is past: their views read what their inputs held then, and join
//! through what changed since, epoch by epoch.
//!
//! The rows are read while the clock goes on, like those of other large inputs; what changed since, which the history
//! bounds, when the view joins.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::data::{Changes, Epoch, ObjectId};
use crate::error::{Error, Result};

use super::super::command::{EpochInput, PastEpochs};
use super::super::message::{PastInputs, PastWanted, Publish};
use super::Sequencer;
use super::catchup::CatchUp;
use super::netting::shape;

/// What such a view has not been fed yet.
pub(super) struct Backlog {
    as_of: Epoch,
    objects: Vec<ObjectId>,
    rows: VecDeque<(ObjectId, RecordBatch)>,
    later: BTreeMap<Epoch, Vec<(ObjectId, Vec<Changes>)>>,
    /// What changed after it is not among `later`.
    through: Epoch,
}

impl Sequencer {
    /// What these tables and views were at an epoch, and what has changed since.
    pub(super) fn backlog(&self, objects: &[ObjectId], as_of: Epoch) -> Result<Backlog> {
        let PastInputs { rows, later, through } = self.past(objects, as_of, true)?;
        Ok(Backlog { as_of, objects: objects.to_vec(), rows: rows.into(), later, through })
    }

    fn past(&self, objects: &[ObjectId], as_of: Epoch, rows: bool) -> Result<PastInputs> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        let wanted = PastWanted { objects: objects.to_vec(), as_of, rows };
        let _ = self.shared.publisher.send(Publish::Past(wanted, reply));
        answer.recv().map_err(|_| Error::internal("the publisher is gone"))?
    }

    /// Feeds a view the rows of then; true when it has been given them all.
    pub(super) fn read_past(&mut self, view: ObjectId, catchup: &mut CatchUp) -> Result<bool> {
        let CatchUp { past: Some(past), fed, .. } = catchup else { return Ok(true) };
        fed.retain(|(batches, _)| Arc::strong_count(batches) > 1);
        while fed.iter().map(|(_, rows)| rows).sum::<usize>() < self.config.limits.ingest_rows {
            let Some((object, rows)) = past.rows.pop_front() else { return Ok(true) };
            let count = rows.num_rows();
            fed.push((self.feed_view(view, object, &[Changes::insertions(rows)])?, count));
        }
        Ok(past.rows.is_empty())
    }

    /// A quiet moment: all that changed since the epoch as of which a view joins.
    pub(super) fn rest_of_past(&mut self, view: ObjectId) -> Result<Option<PastEpochs>> {
        let Some(past) = self.catchups.get_mut(&view).and_then(|c| c.past.take()) else { return Ok(None) };
        let mut later = past.later;
        later.extend(self.past(&past.objects, past.through, false)?.later);
        let peers = self.workers.as_ref().map_or(1, |w| w.peers());
        let batch_rows = if self.config.one_row_batches { 1 } else { self.config.limits.batch_rows };
        let mut inputs = Vec::with_capacity(later.len());
        for (epoch, changes) in later {
            let shaped = changes.into_iter().map(|(id, changes)| Ok((id, shape(&changes, batch_rows, peers)?)));
            let shaped = shaped.collect::<Result<_>>()?;
            inputs.push(EpochInput { epoch, inputs: shaped, touched: vec![], watermarks: Arc::clone(&self.vector) });
        }
        Ok(Some(PastEpochs { as_of: past.as_of, inputs }))
    }
}
