//! Between the publisher, which never waits, and a sink's thread: what is to be written, epoch by epoch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::folder::Manifest;
use super::item::Size;
use super::sinks::Budget;
use super::{Description, Item, SinkPhase, SinkStatus};
use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::metrics::add;

/// An epoch's item.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) epoch: Epoch,
    pub(super) item: Item,
    bytes: usize,
    /// Of these in memory, for it alone.
    pub(super) held: usize,
    rows: u64,
}

/// How a sink's thread is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The sink is gone, or the server stops: what waits is written, if that is possible at once.
    Finish,
    /// It has ended.
    Ended,
}

/// A running sink.
pub struct Sink {
    /// For ever.
    pub id: ObjectId,
    /// The relation whose changes it writes.
    pub input: ObjectId,
    /// How it was described.
    pub description: Description,
    name: Mutex<String>,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    /// Counts what changed, for those who wait without a thread.
    progress: watch::Sender<u64>,
    pub(super) budget: Arc<Budget>,
    /// Tells the sequencer that there is room.
    wake: Box<dyn Fn() + Send + Sync>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) items: VecDeque<Queued>,
    bytes: usize,
    /// Of these in memory, for it alone.
    pub(super) held: usize,
    rows: u64,
    /// When the oldest of them came.
    since: Option<Instant>,
    /// The newest epoch of which everything has come.
    through: Epoch,
    /// Up to here it is to be written at once.
    flush: Epoch,
    /// Up to here it is written, as far as the folder tells.
    written: Option<Epoch>,
    /// This process created it.
    is_new: bool,
    /// The last epoch that the log had when it was read back, and those that are lost.
    logged: Option<(Epoch, Vec<(Epoch, Epoch)>)>,
    pub(super) phase: SinkPhase,
    is_away: bool,
    pub(super) error: Option<Error>,
    /// It failed, and goes on behind this epoch at a later start.
    pub(super) held_at: Option<Epoch>,
    /// What waits could not be put on disk.
    pub(super) is_cramped: bool,
    /// Failed attempts, ever.
    pub(super) refusals: u64,
    ending: Option<Ending>,
    /// Its bytes do not count: it is being dropped.
    pub(super) is_leaving: bool,
    figures: (u64, u64, u64),
}

/// What the thread is to do.
pub(super) enum Work {
    /// Write these into one part; there is one at least.
    Write(Vec<Queued>),
    End,
}

impl Sink {
    pub(super) fn new(
        (id, input): (ObjectId, ObjectId),
        name: &str,
        description: Description,
        is_new: bool,
        budget: Arc<Budget>,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            rows: 0,
            since: None,
            through: Epoch(0),
            flush: Epoch(0),
            written: None,
            is_new,
            logged: None,
            phase: SinkPhase::Starting,
            is_away: false,
            error: None,
            held_at: None,
            is_cramped: false,
            held: 0,
            refusals: 0,
            ending: None,
            is_leaving: false,
            figures: (0, 0, 0),
        };
        let (state, name) = (Mutex::new(state), Mutex::new(name.to_owned()));
        let (changed, progress, thread) = (Condvar::new(), watch::Sender::new(0), Mutex::new(None));
        Self { id, input, description, name, state, changed, progress, budget, wake, thread }
    }

    /// Its thread, to be waited for.
    pub(super) fn runs_on(&self, thread: JoinHandle<()>) {
        *self.thread.lock() = Some(thread);
    }

    /// Its name now.
    pub fn name(&self) -> String {
        self.name.lock().clone()
    }

    /// It has another name; its files go on as they were called.
    pub fn rename(&self, name: &str) {
        name.clone_into(&mut self.name.lock());
    }

    /// Takes an epoch's item. Epochs ascend.
    pub fn push(&self, epoch: Epoch, item: Item) {
        let mut state = self.state.lock();
        debug_assert!(epoch > state.through, "epoch {epoch} comes after {}", state.through);
        let is_done = state.written.is_some_and(|written| epoch <= written);
        let has_failed = state.phase == SinkPhase::Failed && !state.is_put_off();
        if is_done || has_failed || state.ending.is_some() {
            return;
        }
        let (Size { bytes, rows }, held) = item.size();
        state.items.push_back(Queued { epoch, item, bytes, held, rows });
        state.held += held;
        state.bytes += bytes;
        state.rows += rows;
        state.since.get_or_insert_with(Instant::now);
        if !state.is_leaving {
            self.budget.take(held);
        }
        self.make_room(&mut state);
        // Otherwise the thread knows how long it may sleep.
        let is_news = state.items.len() == 1 || self.due(&state).is_some_and(|due| due <= Instant::now());
        drop(state);
        if is_news {
            self.changed.notify_all();
        }
    }

    /// Everything up to an epoch has come.
    pub fn advance(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        state.through = state.through.max(epoch);
        let is_waited_for = state.flush >= epoch;
        drop(state);
        if is_waited_for {
            self.tell();
        }
    }

    /// The relation left the clock, or came back.
    pub fn set_away(&self, is_away: bool) {
        self.state.lock().is_away = is_away;
    }

    /// Everything up to here is in parts that survive a power loss, or changed nothing.
    pub fn durable(&self) -> Epoch {
        self.state.lock().durable()
    }

    /// Waits for its thread's end.
    pub(super) fn join(&self) {
        if let Some(thread) = self.thread.lock().take() {
            // Its panic was said already.
            let _ = thread.join();
        }
    }

    /// The same; `None`: it has failed for good.
    pub(super) fn position(&self) -> Option<Epoch> {
        let state = self.state.lock();
        (state.phase != SinkPhase::Failed || state.is_put_off()).then(|| state.durable())
    }

    /// Its figures now.
    pub fn status(&self) -> SinkStatus {
        let state = self.state.lock();
        let phase = match state.phase {
            SinkPhase::Running if state.is_away => SinkPhase::Waiting,
            phase => phase,
        };
        let (parts, rows, bytes) = state.figures;
        let error = state.error.as_ref().map(|e| e.message().to_owned());
        SinkStatus { phase, epoch: state.durable(), parts, rows, bytes, queued_bytes: state.bytes, error }
    }

    /// Writes everything up to an epoch that has come, now. Dropping the future takes nothing back.
    ///
    /// Errors: what keeps it from being written.
    pub async fn flush(&self, epoch: Epoch) -> Result<()> {
        let mut progress = self.progress.subscribe();
        let refusals = {
            let mut state = self.state.lock();
            state.flush = state.flush.max(epoch);
            state.refusals
        };
        self.changed.notify_all();
        loop {
            progress.mark_unchanged();
            {
                let state = self.state.lock();
                if state.phase != SinkPhase::Failed && state.durable() >= epoch.min(state.through) {
                    return Ok(());
                }
                if state.refusals > refusals || state.phase == SinkPhase::Failed || state.ending.is_some() {
                    let gone = || Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the sink was dropped");
                    return Err(state.error.clone().unwrap_or_else(gone));
                }
            }
            // The sender is ours: it is there.
            let _ = progress.changed().await;
        }
    }

    /// What waits above an epoch, and up to where it is written.
    pub fn waiting(&self, above: Epoch) -> (Epoch, Vec<(Epoch, Item)>) {
        let state = self.state.lock();
        let waiting = state.items.iter().filter(|queued| queued.epoch > above);
        (state.durable(), waiting.map(|queued| (queued.epoch, queued.item.clone())).collect())
    }

    /// What waits does not hold back the sequencer any more: the sink is to go.
    pub fn leave(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.is_leaving, true) {
            self.budget.give_back(state.held);
        }
        drop(state);
        (self.wake)();
    }

    /// It is not dropped after all.
    pub fn stay(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_leaving, false) {
            self.budget.take(state.held);
        }
    }

    /// No more comes: what waits is written, if that is possible at once, and the thread ends.
    pub fn end(&self) {
        self.state.lock().ending.get_or_insert(Ending::Finish);
        self.changed.notify_all();
    }

    /// Waits until the thread has ended.
    ///
    /// Errors: what kept the rest from being written.
    pub async fn ended(&self) -> Result<()> {
        let mut progress = self.progress.subscribe();
        loop {
            progress.mark_unchanged();
            {
                let state = self.state.lock();
                if state.ending == Some(Ending::Ended) {
                    let left = !state.items.is_empty() || state.phase == SinkPhase::Failed;
                    return state.error.clone().filter(|_| left).map_or(Ok(()), Err);
                }
            }
            let _ = progress.changed().await;
        }
    }

    pub(super) fn tell(&self) {
        self.progress.send_modify(|count| *count += 1);
    }

    /// The log was read back, up to an epoch, but for those that are lost (after one, up to another). What is wrong is said now: the sink is not dropped any more in what is read back.
    pub fn recovered(&self, last: Epoch, lost: &[(Epoch, Epoch)]) {
        let mut state = self.state.lock();
        state.logged = Some((last, lost.to_vec()));
        let error = match state.ahead() {
            None if state.is_put_off() => return self.say_failed(&state),
            None => state.error.clone().filter(|_| state.phase == SinkPhase::Failed),
            error => error,
        };
        if let Some(error) = error {
            self.give_up(&mut state, error);
        }
    }

    /// The thread: the folder is open.
    pub(super) fn opened(&self, manifest: &Manifest) -> Result<()> {
        let mut state = self.state.lock();
        state.written = manifest.written.map(Epoch);
        if let Some(error) = state.ahead() {
            return Err(error);
        }
        state.phase = SinkPhase::Running;
        state.error = None;
        self.is_written(&mut state, manifest);
        Ok(())
    }

    /// The thread: everything that the manifest says is written.
    pub(super) fn wrote(&self, manifest: &Manifest, last: Epoch) {
        let mut state = self.state.lock();
        state.phase = SinkPhase::Running;
        state.error = None;
        let rows = manifest.rows.saturating_sub(state.figures.1);
        add(&self.budget.metrics.sink_rows, "sink", &self.name(), rows);
        self.forget(&mut state, last);
        self.is_written(&mut state, manifest);
    }

    fn is_written(&self, state: &mut State, manifest: &Manifest) {
        state.figures = (manifest.parts, manifest.rows, manifest.bytes);
        state.written = manifest.written.map(Epoch);
        if let Some(written) = state.written {
            self.forget(state, written);
        }
        self.tell();
        (self.wake)();
    }

    fn forget(&self, state: &mut State, last: Epoch) {
        while state.items.front().is_some_and(|queued| queued.epoch <= last)
            && let Some(queued) = state.items.pop_front()
        {
            state.bytes -= queued.bytes;
            state.held -= queued.held;
            state.rows -= queued.rows;
            if !state.is_leaving {
                self.budget.give_back(queued.held);
            }
        }
        state.since = (!state.items.is_empty()).then(Instant::now);
    }

    /// The thread: the disk refused; true when it is to end. Waits for a while, or until somebody wants it now.
    pub(super) fn refused(&self, error: &Error, pause: std::time::Duration) -> bool {
        let mut state = self.state.lock();
        state.refusals += 1;
        add(&self.budget.metrics.sink_refusals, "sink", &self.name(), 1);
        let is_news = state.error.as_ref().is_none_or(|known| known.message() != error.message());
        state.phase = SinkPhase::Retrying;
        state.error = Some(error.clone());
        self.tell();
        if is_news {
            tracing::warn!("sink \"{}\" tries again: {error}", self.name());
        }
        let (until, flush) = (Instant::now() + pause, state.flush);
        while state.ending.is_none() && state.flush == flush && state.phase == SinkPhase::Retrying {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.ending.is_some() || state.phase == SinkPhase::Failed
    }

    /// The thread: it cannot go on.
    pub(super) fn fail(&self, error: Error) {
        self.give_up(&mut self.state.lock(), error);
    }

    /// It cannot go on: nothing waits for it any more.
    pub(super) fn give_up(&self, state: &mut State, error: Error) {
        (state.phase, state.error, state.held_at) = (SinkPhase::Failed, Some(error), None);
        state.refusals += 1;
        self.say_failed(state);
        let last = state.through.max(state.items.back().map_or(Epoch(0), |queued| queued.epoch));
        self.forget(state, last);
        self.tell();
        (self.wake)();
    }

    /// Says why, once it is certain: until the log is read back it may turn out to have been dropped.
    pub(super) fn say_failed(&self, state: &State) {
        if let Some(error) = state.error.as_ref().filter(|_| state.logged.is_some() || state.is_new) {
            tracing::error!("sink \"{}\" cannot go on: {error}", self.name());
        }
    }

    /// The thread: has ended.
    pub(super) fn has_ended(&self) {
        self.state.lock().ending = Some(Ending::Ended);
        self.leave();
        self.tell();
    }

    /// The thread: waits until it is to end.
    pub(super) fn wait_for_end(&self) {
        let mut state = self.state.lock();
        while state.ending.is_none() {
            self.changed.wait(&mut state);
        }
    }

    /// The thread: waits until a part is due.
    pub(super) fn next(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            let due = self.due(&state);
            match (due, state.ending) {
                (None, Some(_)) => return Work::End,
                (None, None) => self.changed.wait(&mut state),
                (Some(due), None) if due > Instant::now() => drop(self.changed.wait_until(&mut state, due)),
                (Some(_), _) => return Work::Write(self.part(&state)),
            }
        }
    }

    /// When the next part is done; `None`: there is nothing to write.
    fn due(&self, state: &State) -> Option<Instant> {
        let (first, since) = (state.items.front()?, state.since?);
        let roll = &self.description.roll;
        let is_due = state.flush >= first.epoch
            || state.ending.is_some()
            || state.bytes >= roll.bytes
            || state.rows >= roll.rows
            || self.budget.is_short();
        if is_due { Some(since) } else { since.checked_add(roll.interval) }
    }

    /// The oldest items, up to the size of a part: whole epochs, one at least.
    fn part(&self, state: &State) -> Vec<Queued> {
        let roll = &self.description.roll;
        let (mut bytes, mut rows) = (0, 0);
        let fits = |queued: &&Queued| {
            let fits = bytes < roll.bytes && rows < roll.rows;
            bytes += queued.bytes;
            rows += queued.rows;
            fits
        };
        state.items.iter().take_while(fits).cloned().collect()
    }
}

impl State {
    /// It failed, and goes on at a later start.
    pub(super) fn is_put_off(&self) -> bool {
        self.held_at.is_some()
    }

    /// What is written and was never logged: what comes with these epochs would be taken for written.
    fn ahead(&self) -> Option<Error> {
        let (written, (last, lost)) = (self.written?, self.logged.as_ref()?);
        let lost = lost.iter().find(|(from, to)| *from < written && written <= *to);
        let last = lost.map_or(*last, |(from, _)| *from);
        (written > last).then(|| {
            let message = format!("files up to epoch {written} are there, and the server knows epochs up to {last}");
            Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_detail("The data directory is an older copy, or began with a checkpoint whose input log is lost.")
                .with_hint("DROP the sink, and create it anew in another folder.")
        })
    }

    pub(super) fn durable(&self) -> Epoch {
        if let Some(held) = self.held_at {
            return held;
        }
        self.items.front().map_or(self.through, |queued| Epoch(queued.epoch.0.saturating_sub(1)))
    }
}
