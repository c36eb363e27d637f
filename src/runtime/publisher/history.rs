//! What views and tables changed lately, epoch by epoch: what SUBSCRIBE .. AS OF goes back to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::data::{Changes, Epoch};

use super::super::checkpoint::HistoryImage;

/// One epoch's changes of one view or table.
struct Kept {
    epoch: Epoch,
    published: Instant,
    /// Shared with checkpoints: there are many epochs, and all wait while a copy is taken.
    changes: Arc<[Changes]>,
    /// What left then because its retention was over, as retractions: nobody is told.
    expired: Vec<Changes>,
    bytes: usize,
}

/// The changes of one view or table above [`History::since`].
pub(super) struct History {
    kept: VecDeque<Kept>,
    /// The oldest epoch whose rows can still be told.
    pub(super) since: Epoch,
    pub(super) bytes: usize,
}

impl History {
    fn new(since: Epoch) -> Self {
        Self { kept: VecDeque::new(), since, bytes: 0 }
    }

    /// What is kept above an epoch.
    pub(super) fn image(&self, above: Epoch) -> HistoryImage {
        let start = self.kept.partition_point(|k| k.epoch <= above);
        let kept = self.kept.range(start..).map(|k| (k.epoch, Arc::clone(&k.changes))).collect();
        let left = self.kept.range(start..).filter(|k| !k.expired.is_empty());
        HistoryImage {
            since: self.since,
            kept,
            expired: left.map(|k| (k.epoch, k.expired.as_slice().into())).collect(),
        }
    }

    /// What images gave, kept for as long as if it had been published just now.
    pub(super) fn restored(image: HistoryImage) -> Self {
        let mut history = Self::new(image.since);
        let now = Instant::now();
        let mut expired: BTreeMap<Epoch, Arc<[Changes]>> = image.expired.into_iter().collect();
        for (epoch, changes) in image.kept {
            let expired = expired.remove(&epoch).map_or_else(Vec::new, |expired| expired.to_vec());
            history.push(epoch, now, changes, expired);
        }
        history
    }

    /// Keeps what an epoch changed; the first one begins the history, and what it brought is not told.
    pub(super) fn add(history: &mut Option<Self>, epoch: Epoch, published: Instant, changes: Vec<Changes>) {
        Self::add_both(history, epoch, published, changes, vec![]);
    }

    /// The same, and what left in it because its retention was over.
    pub(super) fn add_both(
        history: &mut Option<Self>,
        epoch: Epoch,
        published: Instant,
        changes: Vec<Changes>,
        expired: Vec<Changes>,
    ) {
        match history {
            Some(history) if !changes.is_empty() || !expired.is_empty() => {
                history.push(epoch, published, changes, expired);
            }
            Some(_) => {}
            None => *history = Some(Self::new(epoch)),
        }
    }

    fn push(&mut self, epoch: Epoch, published: Instant, changes: impl Into<Arc<[Changes]>>, expired: Vec<Changes>) {
        let changes = changes.into();
        let bytes = changes.iter().chain(&expired).map(Changes::bytes).sum();
        self.bytes += bytes;
        self.kept.push_back(Kept { epoch, published, changes, expired, bytes });
    }

    /// Forgets what was published before.
    pub(super) fn forget_before(&mut self, published: Instant) {
        while self.kept.front().is_some_and(|k| k.published < published) {
            self.forget_oldest();
        }
    }

    /// Forgets one epoch.
    pub(super) fn forget_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.since = oldest.epoch;
            self.bytes -= oldest.bytes;
        }
    }

    /// The oldest epoch with changes that are kept.
    pub(super) fn oldest(&self) -> Option<Epoch> {
        self.kept.front().map(|k| k.epoch)
    }

    /// The changes after an epoch, ascending.
    pub(super) fn after(&self, epoch: Epoch) -> impl DoubleEndedIterator<Item = (Epoch, &[Changes])> {
        let start = self.kept.partition_point(|k| k.epoch <= epoch);
        self.kept.range(start..).map(|k| (k.epoch, &*k.changes))
    }

    /// What made the rows of an epoch the present ones: the changes after it, and what has left since.
    pub(super) fn between(&self, epoch: Epoch) -> Vec<Changes> {
        let start = self.kept.partition_point(|k| k.epoch <= epoch);
        self.kept.range(start..).flat_map(|k| k.changes.iter().chain(&k.expired)).cloned().collect()
    }
}
