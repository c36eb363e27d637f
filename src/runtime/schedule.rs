//! What the stages of one dataflow share on one worker: which epochs are to be ended, and what was said on the way.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use crossbeam_channel::Sender;
use timely::progress::frontier::MutableAntichain;

use super::command::Report;
use crate::config::BATCH_ROWS;
use crate::data::{Arrival, Changes, Epoch, ObjectId, Watermarks};
use crate::operators::Output;

/// One epoch that a dataflow has to end, or its hydration, which is at timely time 0.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) time: u64,
    /// As reported.
    pub(super) epoch: Epoch,
    pub(super) watermarks: Watermarks,
    /// Whether it may end: hydration ends when the view joins.
    pub(super) ready: bool,
    /// Whether operators step it: a restored view's join is not.
    pub(super) step: bool,
}

/// The epochs of a dataflow that are not complete, ascending. Written when the epoch's command comes, before any input
/// advances, so a frontier never passes an epoch that is not here.
pub(super) struct Schedule {
    entries: VecDeque<Entry>,
    /// Entries completed and removed.
    passed: usize,
}

impl Schedule {
    pub(super) fn new() -> Self {
        let hydration = Entry { time: 0, epoch: Epoch(0), watermarks: Watermarks::default(), ready: false, step: true };
        Self { entries: VecDeque::from([hydration]), passed: 0 }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Lets hydration end.
    pub(super) fn join(&mut self, join: impl FnOnce(&mut Entry)) {
        if let Some(first) = self.entries.front_mut() {
            join(first);
        }
    }

    pub(super) fn get(&self, position: usize) -> Option<Entry> {
        self.entries.get(position.checked_sub(self.passed)?).cloned()
    }

    pub(super) fn pop_passed(&mut self, frontier: &MutableAntichain<u64>) -> Option<Entry> {
        let first = self.entries.front()?;
        if !first.ready || frontier.less_equal(&first.time) {
            return None;
        }
        self.passed += 1;
        self.entries.pop_front()
    }
}

/// Rows for one view that imports, with their times.
pub(super) type Exported = RefCell<VecDeque<(u64, Changes)>>;

/// What a view's last stage leaves for views on this view, on one worker.
#[derive(Default)]
pub(super) struct Export {
    /// All epochs below are ended on this worker.
    pub(super) finished: Cell<u64>,
    /// The last epoch that it was told to end.
    pub(super) scheduled: Cell<u64>,
    /// One queue per view that imports.
    pub(super) readers: RefCell<Vec<Weak<Exported>>>,
}

/// Rows of a view that is being filled before they are told; few in debug builds, so that tests come here.
const FILLED_ROWS: usize = if cfg!(debug_assertions) { 8 } else { BATCH_ROWS };

/// What the stages of one dataflow share on one worker.
pub(super) struct Shared {
    pub(super) view: ObjectId,
    /// Which time it is filled, if it says so.
    pub(super) fill: Option<u64>,
    pub(super) worker: usize,
    pub(super) reports: Sender<Report>,
    pub(super) schedule: Rc<RefCell<Schedule>>,
    pub(super) export: Rc<Export>,
    /// Errors, late rows and counters of all stages, by time.
    pub(super) aside: RefCell<BTreeMap<u64, Output>>,
    /// Figures have changed since they were last sent.
    pub(super) busy: Rc<Cell<bool>>,
}

impl Shared {
    /// Reports rows of a view that is being filled, if they are many: nobody reads them before it has joined.
    pub(super) fn fill(&self, rows: &mut Vec<Changes>) {
        if let Some(fill) = self.fill.filter(|_| rows.iter().map(Changes::len).sum::<usize>() >= FILLED_ROWS) {
            let _ = self.reports.send(Report::Filled { view: self.view, fill, rows: std::mem::take(rows) });
        }
    }

    /// Reports what the view sent in an epoch, and hands it to the views on it.
    pub(super) fn publish(&self, entry: &Entry, rows: Vec<Changes>) {
        for queue in self.export.readers.borrow().iter().filter_map(Weak::upgrade) {
            // Below a materialized view rows are judged by the watermark at the end of the epoch before.
            let settled = |r: &Changes| Changes { arrival: Arrival::Settled, ..r.clone() };
            queue.borrow_mut().extend(rows.iter().map(|r| (entry.time, settled(r))));
        }
        let mut output = Output { rows, ..Output::default() };
        let mut aside = self.aside.borrow_mut();
        let later = aside.split_off(&(entry.time + 1));
        for part in std::mem::replace(&mut *aside, later).into_values() {
            merge(&mut output, part);
        }
        if !is_empty(&output) {
            let report = Report::Output { view: self.view, epoch: entry.epoch, worker: self.worker, output };
            // Nobody listens any more only when the process ends.
            let _ = self.reports.send(report);
        }
        self.export.finished.set(entry.time + 1);
    }
}

pub(super) fn merge(into: &mut Output, mut from: Output) {
    into.errors.append(&mut from.errors);
    into.late.append(&mut from.late);
    into.counters.add(&from.counters);
}

pub(super) fn is_empty(output: &Output) -> bool {
    output.rows.is_empty()
        && output.errors.is_empty()
        && output.late.is_empty()
        && output.counters == crate::operators::Counters::default()
}
