//! SUBSCRIBE: a view's changes, epoch by epoch, through a bounded buffer.
//!
//! The publisher puts events into the buffer and never waits. A reader that lets its buffer fill up reads what is in it,
//! and is then told the epoch to resume from. The snapshot does not count: it shares the view's rows.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::data::{Changes, Epoch};
use crate::error::{Error, Result, SqlState};

use super::SubscribeSpec;

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
pub struct Subscription {
    buffer: Arc<Buffer>,
    /// Of open subscriptions.
    open: Gauge,
}

/// Between the publisher and one subscriber.
#[derive(Default)]
struct Buffer {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Default)]
struct State {
    /// With the bytes that count.
    events: VecDeque<(SubscriptionEvent, usize)>,
    bytes: usize,
    end: Option<End>,
    /// The subscriber has gone.
    gone: bool,
}

enum End {
    /// UP TO.
    Reached,
    Failed(Error),
}

impl Subscription {
    /// The next event; `None` after UP TO. Cancel-safe: nothing is lost when the future is dropped.
    ///
    /// Errors: `53400` the buffer was full (the hint names the epoch to resume from), `55000` the view left the clock or was dropped.
    pub async fn next(&mut self) -> Result<Option<SubscriptionEvent>> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(Some(event));
            }
            if self.is_ended() {
                return Ok(None);
            }
            // A permit is stored when nobody waits, so an event that came meanwhile wakes us too.
            self.buffer.notify.notified().await;
        }
    }

    /// What is there now, without waiting: `Ok(None)` when nothing is (or after the end, see [`Self::is_ended`]).
    pub fn try_next(&mut self) -> Result<Option<SubscriptionEvent>> {
        let mut state = self.buffer.state.lock();
        if let Some((event, bytes)) = state.events.pop_front() {
            state.bytes -= bytes;
            return Ok(Some(event));
        }
        match &state.end {
            Some(End::Failed(error)) => Err(error.clone()),
            Some(End::Reached) | None => Ok(None),
        }
    }

    /// Whether UP TO was reached and everything was read.
    pub fn is_ended(&self) -> bool {
        let state = self.buffer.state.lock();
        state.events.is_empty() && matches!(state.end, Some(End::Reached))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.buffer.state.lock();
        state.gone = true;
        state.events.clear();
        self.open.dec();
    }
}

/// The publisher's end of a subscription.
pub(super) struct Subscriber {
    buffer: Arc<Buffer>,
    up_to: Option<Epoch>,
    progress: bool,
    limit: usize,
    /// Everything up to it is in the buffer.
    through: Epoch,
}

impl Subscriber {
    /// Both ends; what follows is above `as_of`.
    pub(super) fn new(spec: &SubscribeSpec, as_of: Epoch, open: &Gauge) -> (Self, Subscription) {
        let buffer = Arc::new(Buffer::default());
        open.inc();
        let subscription = Subscription { buffer: Arc::clone(&buffer), open: open.clone() };
        let SubscribeSpec { up_to, progress, buffer: limit, .. } = *spec;
        (Self { buffer, up_to, progress, limit, through: as_of }, subscription)
    }

    /// The rows at the first epoch.
    pub(super) fn snapshot(&mut self, batches: Vec<Changes>) {
        let mut state = self.buffer.state.lock();
        let epoch = self.through;
        let batches = batches.into_iter().filter(|c| !c.is_empty());
        state.events.extend(batches.map(|changes| (SubscriptionEvent::Changes { epoch, changes }, 0)));
    }

    /// Says that the first epoch is told; false when there is nothing to come.
    pub(super) fn begin(&mut self) -> bool {
        self.advance(self.through)
    }

    /// Says that nothing happened up to an epoch; false when the subscription has ended.
    pub(super) fn catch_up(&mut self, epoch: Epoch) -> bool {
        if epoch > self.through { self.advance(epoch) } else { true }
    }

    /// Sends what an epoch changed, consolidated (nothing: the view did not change); false when the subscription has ended.
    pub(super) fn send(&mut self, epoch: Epoch, changes: Option<&Changes>) -> bool {
        debug_assert!(epoch > self.through);
        if let Some(changes) = changes.filter(|c| !c.is_empty()) {
            let bytes = changes.bytes();
            let mut state = self.buffer.state.lock();
            // One epoch alone always fits: resuming would meet it again.
            if state.bytes > 0 && state.bytes + bytes > self.limit {
                drop(state);
                self.fail(full(self.through, self.limit));
                return false;
            }
            state.bytes += bytes;
            state.events.push_back((SubscriptionEvent::Changes { epoch, changes: changes.clone() }, bytes));
        }
        self.advance(epoch)
    }

    fn advance(&mut self, epoch: Epoch) -> bool {
        self.through = epoch;
        let mut state = self.buffer.state.lock();
        let ended = self.up_to.is_some_and(|u| epoch >= u);
        if self.progress {
            if let Some((SubscriptionEvent::Progress(_), _)) = state.events.back() {
                state.events.pop_back();
            }
            state.events.push_back((SubscriptionEvent::Progress(epoch), 0));
        }
        if ended {
            state.end = Some(End::Reached);
        }
        let more = !ended && !state.gone;
        drop(state);
        self.buffer.notify.notify_one();
        more
    }

    /// Ends it with an error, behind what is in the buffer.
    pub(super) fn fail(&self, error: Error) {
        self.buffer.state.lock().end.get_or_insert(End::Failed(error));
        self.buffer.notify.notify_one();
    }
}

fn full(through: Epoch, limit: usize) -> Error {
    Error::new(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        format!("the subscription was not read, and its buffer of {limit} bytes is full"),
    )
    .with_detail(format!("Everything up to epoch {through} was sent."))
    .with_hint(format!(
        "Resume with SUBSCRIBE .. WITH (SNAPSHOT false) AS OF {through}, or raise the setting subscribe_buffer."
    ))
}
