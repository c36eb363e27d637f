//! A checkpoint whose input log is lost: what was written behind it is gone, and its epochs are told to nobody again.
//!
//! The checkpoint becomes one of a later epoch than any that the lost log can have had. So no epoch means two things: who
//! knows one that is lost (a subscription that resumes, a sink's files) finds that out.

use crate::checkpoint::Owner;
use crate::data::Epoch;
use crate::log::LogPlace;

use super::Checkpoint;

/// Epochs that are skipped at least.
const SKIPPED: u64 = 1 << 20;

impl Checkpoint {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.loaded.manifest.number
    }

    /// Who wrote it.
    pub fn owner(&self) -> &Owner {
        &self.loaded.manifest.owner
    }

    /// Epochs of which nothing is known any more: after the first of two, up to the second.
    pub fn lost(&self) -> &[(Epoch, Epoch)] {
        &self.loaded.manifest.lost
    }

    /// An epoch that the server that wrote it cannot have reached: one takes longer than a microsecond.
    pub fn beyond(&self) -> Epoch {
        let since = chrono::Utc::now().timestamp_micros().saturating_sub(self.loaded.manifest.taken);
        Epoch(self.epoch().0 + u64::try_from(since).unwrap_or(0).max(SKIPPED))
    }

    /// From now on it is of this epoch, and another log follows it.
    pub fn without_log(mut self, epoch: Epoch, log: LogPlace) -> Self {
        let manifest = &mut self.loaded.manifest;
        manifest.lost.push((manifest.epoch, epoch));
        (manifest.epoch, manifest.log) = (epoch, log);
        (self.image.epoch, self.image.log) = (epoch, Some(log));
        let tables = self.image.tables.values_mut().filter_map(|table| table.history.as_mut());
        for history in tables.chain(self.image.views.values_mut().map(|view| &mut view.shown.history)) {
            (history.since, history.kept) = (epoch, vec![]);
        }
        self
    }
}
