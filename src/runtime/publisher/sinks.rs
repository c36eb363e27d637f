//! What the sinks are given: their first rows, then what each epoch changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::data::{Changes, Epoch, ObjectId};
use crate::sink::{Item, Sink};
use crate::store::Version;

use super::super::checkpoint::{LeftImage, StoreImage};
use super::Publisher;

/// A sink, and how far it is.
pub(super) struct Tap {
    sink: Arc<Sink>,
    input: ObjectId,
    state: State,
}

enum State {
    /// It begins with what is there at the end of this epoch.
    Waiting(Epoch),
    Running,
    /// The relation is away; what it was when it left, at the end of which epoch.
    Away(Option<Version>, Epoch),
}

impl Publisher {
    pub(super) fn add_sink(&mut self, sink: Arc<Sink>, input: ObjectId, from: Epoch) {
        // With state that was restored, its first epoch is published: it had what was there.
        let state = if from <= self.published { State::Running } else { State::Waiting(from) };
        self.taps.insert(sink.id, Tap { sink, input, state });
    }

    /// Before an epoch is published: sinks that begin before it take the rows as they are.
    pub(super) fn begin_sinks(&mut self, epoch: Epoch) {
        for tap in self.taps.values_mut() {
            let State::Waiting(from) = tap.state else { continue };
            if from < epoch {
                let is_there = self.views.get(&tap.input).is_none_or(|view| view.left.is_none());
                let there = self.objects.get(&tap.input).filter(|_| is_there);
                tap.begin(from, there.map(|entry| entry.version.clone()));
            }
        }
    }

    /// An epoch is published, and changed these.
    pub(super) fn feed_sinks(&mut self, epoch: Epoch, changed: &HashMap<ObjectId, Vec<Changes>>) {
        for tap in self.taps.values_mut() {
            let is_there = self.views.get(&tap.input).is_none_or(|view| view.left.is_none());
            let now = self.objects.get(&tap.input).filter(|_| is_there).map(|entry| &entry.version);
            let changes = changed.get(&tap.input);
            match std::mem::replace(&mut tap.state, State::Running) {
                State::Waiting(from) if from > epoch => tap.state = State::Waiting(from),
                State::Waiting(from) => tap.begin(from, now.cloned()),
                State::Running => {
                    if let Some(changes) = changes.filter(|changes| !changes.is_empty()) {
                        tap.sink.push(epoch, Item::Changes(changes.clone()));
                    }
                }
                // It is back with the epoch that it says something of.
                State::Away(old, since) => match now.filter(|_| changes.is_some()) {
                    Some(new) => {
                        tap.sink.set_away(false);
                        if old.is_some() || tap.sink.description.snapshot {
                            tap.sink.push(epoch, Item::Difference { old, since, new: new.clone() });
                        }
                    }
                    None => tap.state = State::Away(old, since),
                },
            }
            tap.sink.advance(epoch);
        }
    }

    /// What sinks saw of relations that are away.
    pub(super) fn sinks_left(&self) -> BTreeMap<ObjectId, LeftImage> {
        let left = |(id, tap): (&ObjectId, &Tap)| match &tap.state {
            State::Away(version, since) => {
                let rows = version.as_ref().map(|version| StoreImage { next_row: 0, chunks: version.image() });
                Some((*id, LeftImage { rows, since: *since }))
            }
            State::Waiting(_) | State::Running => None,
        };
        self.taps.iter().filter_map(left).collect()
    }

    /// A sink's relation was away when the checkpoint was taken that a start begins with.
    pub(super) fn restore_left(&mut self, sink: ObjectId, rows: Option<Version>, since: Epoch) {
        if let Some(tap) = self.taps.get_mut(&sink) {
            tap.state = State::Away(rows, since);
            tap.sink.set_away(true);
        }
    }

    /// Views left the clock, as they were published last.
    pub(super) fn sinks_wait(&mut self, views: &[ObjectId]) {
        for tap in self.taps.values_mut().filter(|tap| views.contains(&tap.input)) {
            if matches!(tap.state, State::Running) {
                let last = self.objects.get(&tap.input).map(|entry| entry.version.clone());
                // One that was left out while the log was read back: who has written anything cannot go on.
                let since = if last.is_some() { self.published } else { Epoch(0) };
                tap.state = State::Away(last, since);
                tap.sink.set_away(true);
            }
        }
    }
}

impl Tap {
    fn begin(&mut self, from: Epoch, there: Option<Version>) {
        self.state = match there {
            Some(version) => {
                if self.sink.description.snapshot {
                    self.sink.push(from, Item::Snapshot(version));
                }
                State::Running
            }
            // What it reads could not be read back: it begins when it is there.
            None => {
                self.sink.set_away(true);
                State::Away(None, Epoch(from.0.saturating_sub(1)))
            }
        };
    }
}
