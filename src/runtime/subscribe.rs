//! SUBSCRIBE: a view's changes, epoch by epoch, through a bounded buffer.

use crate::data::{Changes, Epoch};
use crate::error::{Error, Result};

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum SubscriptionEvent {
    /// Consolidated changes of one epoch, retractions before insertions; an epoch's changes may come in several batches.
    /// The snapshot comes first, as insertions.
    Changes {
        /// The epoch.
        epoch: Epoch,
        /// Rows of the view's schema with their diffs.
        changes: Changes,
    },
    /// Nothing with this or an earlier epoch follows.
    Progress(Epoch),
}

/// A running subscription; dropping it ends it.
pub struct Subscription {}

impl Subscription {
    /// The next event; `None` after UP TO. Cancel-safe: nothing is lost when the future is dropped.
    ///
    /// Errors: `53400` the buffer was full (the hint names the epoch to resume from), `55000` the view left the clock or was dropped.
    pub async fn next(&mut self) -> Result<Option<SubscriptionEvent>> {
        Err(Error::internal("not built yet"))
    }

    /// What is there now, without waiting: `Ok(None)` when nothing is (or after the end, see [`Self::is_ended`]).
    pub fn try_next(&mut self) -> Result<Option<SubscriptionEvent>> {
        Err(Error::internal("not built yet"))
    }

    /// Whether UP TO was reached and everything was read.
    pub fn is_ended(&self) -> bool {
        true
    }
}
