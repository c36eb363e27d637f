//! [`Sinks`]: all of them, what they may keep together, and up to where they are written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::spill::Spill;
use super::{Description, Sink, writer};
use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::metrics::Metrics;

/// What all sinks together may keep in memory.
pub(super) struct Budget {
    /// Bytes that wait.
    queued: AtomicUsize,
    limit: usize,
    pub(super) spill: Spill,
    pub(super) metrics: Arc<Metrics>,
}

impl Budget {
    pub(super) fn take(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::AcqRel);
        self.metrics.sink_queued_bytes.inc_by(bytes as i64);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::AcqRel);
        self.metrics.sink_queued_bytes.dec_by(bytes as i64);
    }

    /// Whether there is hardly any room left.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.queued.load(Ordering::Acquire) >= self.limit / 4 * 3
    }

    /// Whether parts should be done early.
    pub(super) fn is_short(&self) -> bool {
        self.queued.load(Ordering::Acquire) >= self.limit / 2
    }
}

/// All sinks of a runtime.
pub struct Sinks {
    sinks: RwLock<BTreeMap<ObjectId, Arc<Sink>>>,
    budget: Arc<Budget>,
}

impl Sinks {
    /// None yet; together they keep so many bytes in memory at most, and more in the folder, if there is one.
    pub fn new(limit: usize, folder: Option<&Path>, metrics: Arc<Metrics>) -> Self {
        let budget = Budget { queued: AtomicUsize::new(0), limit, spill: Spill::new(folder), metrics };
        Self { sinks: RwLock::default(), budget: Arc::new(budget) }
    }

    /// Starts a sink on a relation, of this process or of an earlier one; `wake` is called when there is room again.
    pub fn start(
        &self,
        (id, input): (ObjectId, ObjectId),
        name: &str,
        description: Description,
        is_new: bool,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<Sink>> {
        let sink = Arc::new(Sink::new((id, input), name, description, is_new, Arc::clone(&self.budget), wake));
        writer::start(&sink)?;
        self.sinks.write().insert(id, Arc::clone(&sink));
        Ok(sink)
    }

    /// The sink of an id.
    pub fn get(&self, id: ObjectId) -> Option<Arc<Sink>> {
        self.sinks.read().get(&id).cloned()
    }

    /// A sink is not one of them any more.
    pub fn remove(&self, id: ObjectId) -> Option<Arc<Sink>> {
        self.sinks.write().remove(&id)
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<Sink>> {
        self.sinks.read().values().cloned().collect()
    }

    /// Whether one of them writes what a relation changes.
    pub fn reads(&self, relation: ObjectId) -> bool {
        self.sinks.read().values().any(|sink| sink.input == relation)
    }

    /// Whether what waits to be written leaves room for more.
    pub fn has_room(&self) -> bool {
        self.budget.queued.load(Ordering::Acquire) < self.budget.limit
    }

    /// Bytes that wait in memory and on disk, and how many may in memory.
    pub fn waiting(&self) -> (usize, u64, usize) {
        let Budget { queued, spill, limit, .. } = self.budget.as_ref();
        (queued.load(Ordering::Acquire), spill.bytes(), *limit)
    }

    /// The epoch up to which every sink that can go on is durable: a process that starts again from the state of this
    /// epoch, or of an earlier one, gives each sink what it needs. `None`: there is no such sink.
    pub fn durable(&self) -> Option<Epoch> {
        let sinks = self.sinks.read();
        sinks.values().filter_map(|sink| sink.position()).min()
    }

    /// Sinks whose disk refuses go on at a later start.
    pub fn give_way(&self) {
        self.all().iter().for_each(|sink| sink.give_way());
    }

    /// The server stops: what waits is written, if that is possible at once.
    pub fn stop(&self) {
        let sinks = self.all();
        sinks.iter().for_each(|sink| sink.end());
        for sink in sinks {
            sink.join();
        }
    }
}
