//! SUBSCRIBE: a view's changes, epoch by epoch, through a bounded buffer.
//!
//! The publisher puts events into the buffer and never waits. A reader that lets its buffer fill up reads what is in it,
//! and is then told the epoch to resume from. The snapshot does not count: it shares the view's rows, wherever they are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::data::{Changes, Epoch};
use crate::error::{Error, Result, SqlState};
use crate::store::Version;

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
struct Buffer {
    state: Mutex<State>,
    notify: Notify,
    all: Arc<Unread>,
}

/// What all subscribers together have not read.
pub(super) struct Unread {
    bytes: AtomicUsize,
    /// At most; then those end that have more than their share.
    most: usize,
}

impl Unread {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), most })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether there is room for more, of one who will have as much, among so many.
    fn has_room(&self, more: usize, own: usize, open: i64) -> bool {
        let open = usize::try_from(open).unwrap_or_default().max(1);
        self.bytes.load(Ordering::Relaxed).saturating_add(more) <= self.most || own <= self.most / open
    }
}

#[derive(Default)]
struct State {
    /// With the bytes that count.
    events: VecDeque<(Queued, usize)>,
    bytes: usize,
    end: Option<End>,
    /// The subscriber has gone.
    gone: bool,
}

enum Queued {
    Event(SubscriptionEvent),
    /// A chunk of the snapshot, which is read when it is its turn.
    Stored(Epoch, Version, usize),
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
        while let Some((event, bytes)) = state.events.pop_front() {
            state.bytes -= bytes;
            self.buffer.all.bytes.fetch_sub(bytes, Ordering::Relaxed);
            let (epoch, version, chunk) = match event {
                Queued::Event(event) => return Ok(Some(event)),
                Queued::Stored(epoch, version, chunk) => (epoch, version, chunk),
            };
            // The publisher does not wait for the disk.
            drop(state);
            if let Some(rows) = version.batch(chunk)?.filter(|rows| rows.num_rows() > 0) {
                return Ok(Some(SubscriptionEvent::Changes { epoch, changes: Changes::insertions(rows) }));
            }
            state = self.buffer.state.lock();
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
        self.buffer.all.bytes.fetch_sub(std::mem::take(&mut state.bytes), Ordering::Relaxed);
        self.open.dec();
    }
}

/// The publisher's end of a subscription.
pub(super) struct Subscriber {
    buffer: Arc<Buffer>,
    open: Gauge,
    up_to: Option<Epoch>,
    progress: bool,
    limit: usize,
    /// Everything up to it is in the buffer.
    through: Epoch,
}

impl Subscriber {
    /// Both ends; what follows is above `as_of`.
    pub(super) fn new(spec: &SubscribeSpec, as_of: Epoch, open: &Gauge, all: &Arc<Unread>) -> (Self, Subscription) {
        let (state, notify, all) = (Mutex::default(), Notify::new(), Arc::clone(all));
        let buffer = Arc::new(Buffer { state, notify, all });
        open.inc();
        let subscription = Subscription { buffer: Arc::clone(&buffer), open: open.clone() };
        let SubscribeSpec { up_to, progress, buffer: limit, .. } = *spec;
        (Self { buffer, open: open.clone(), up_to, progress, limit, through: as_of }, subscription)
    }

    /// The rows at the first epoch.
    pub(super) fn snapshot(&mut self, batches: Vec<Changes>) {
        let mut state = self.buffer.state.lock();
        let epoch = self.through;
        let batches = batches.into_iter().filter(|c| !c.is_empty());
        state.events.extend(batches.map(|changes| (Queued::Event(SubscriptionEvent::Changes { epoch, changes }), 0)));
    }

    /// The same, when they are still the view's.
    pub(super) fn stored(&mut self, version: Version) {
        let mut state = self.buffer.state.lock();
        let chunks = (0..version.chunks()).map(|chunk| (Queued::Stored(self.through, version.clone(), chunk), 0));
        state.events.extend(chunks);
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
            if state.gone {
                return false;
            }
            let (own, all) = (state.bytes + bytes, &self.buffer.all);
            // One epoch alone always fits: resuming would meet it again.
            if state.bytes > 0 && (own > self.limit || !all.has_room(bytes, own, self.open.get())) {
                drop(state);
                let limit = (own > self.limit).then_some(self.limit);
                self.fail(full(self.through, limit, all.most));
                return false;
            }
            state.bytes = own;
            all.bytes.fetch_add(bytes, Ordering::Relaxed);
            let event = SubscriptionEvent::Changes { epoch, changes: changes.clone() };
            state.events.push_back((Queued::Event(event), bytes));
        }
        self.advance(epoch)
    }

    fn advance(&mut self, epoch: Epoch) -> bool {
        self.through = epoch;
        let mut state = self.buffer.state.lock();
        let ended = self.up_to.is_some_and(|u| epoch >= u);
        if self.progress {
            if let Some((Queued::Event(SubscriptionEvent::Progress(_)), _)) = state.events.back() {
                state.events.pop_back();
            }
            state.events.push_back((Queued::Event(SubscriptionEvent::Progress(epoch)), 0));
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

/// `limit` of its own buffer, or else what all buffers may have.
fn full(through: Epoch, limit: Option<usize>, most: usize) -> Error {
    let resume = format!("Resume with SUBSCRIBE .. WITH (SNAPSHOT false) AS OF {through}");
    let (what, hint) = match limit {
        Some(limit) => (
            format!("its buffer of {limit} bytes is full"),
            format!("{resume}, or raise the setting subscribe_buffer."),
        ),
        None => (
            format!("the {most} bytes that all subscriptions may leave unread are used up"),
            format!("{resume}, or start the server with a larger --memory-limit."),
        ),
    };
    Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, format!("the subscription was not read, and {what}"))
        .with_detail(format!("Everything up to epoch {through} was sent."))
        .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};

    use super::*;
    use crate::data::ObjectId;

    fn changes(rows: i64) -> Changes {
        let column: Int64Array = (0..rows).collect();
        Changes::insertions(RecordBatch::try_from_iter([("a", Arc::new(column) as _)]).unwrap())
    }

    #[test]
    fn who_leaves_more_than_a_share_unread_ends_when_all_leave_too_much() {
        let (open, unread) = (Gauge::default(), Unread::new(10_000));
        let spec = SubscribeSpec {
            view: ObjectId(1),
            snapshot: false,
            as_of: None,
            up_to: None,
            progress: false,
            buffer: 1 << 20,
        };
        let subscribe = || Subscriber::new(&spec, Epoch(0), &open, &unread);
        let ((mut slow, mut slows), (mut quick, mut quicks), (mut small, _smalls)) =
            (subscribe(), subscribe(), subscribe());
        let rows = changes(100);
        let fit = 10_000 / rows.bytes();
        for epoch in 1..=2 * fit as u64 {
            let more = slow.send(Epoch(epoch), Some(&rows));
            assert!(quick.send(Epoch(epoch), Some(&rows)));
            assert!(quicks.try_next().unwrap().is_some());
            // Within its share it goes on, whatever others have.
            assert!(epoch > 2 || small.send(Epoch(epoch), Some(&rows)));
            if !more {
                assert!(epoch as usize > fit / 3);
                break;
            }
            assert!((epoch as usize) < fit, "nobody was ended");
        }
        let error = loop {
            if let Err(error) = slows.try_next() {
                break error;
            }
        };
        assert_eq!(error.code(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        assert!(error.message().contains("all subscriptions"), "{}", error.message());
        assert_eq!(unread.bytes.load(Ordering::Relaxed), 2 * rows.bytes());
    }
}
