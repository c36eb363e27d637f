//! Other worker threads take over, with the state of the old: what a restart from a snapshot will be.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result};

use super::super::command::{Command, Restored};
use super::super::message::Publish;
use super::{Sequencer, Workers};

impl Sequencer {
    /// A quiet moment: all state becomes bytes, the threads end, `peers` new ones start, and are given the state.
    pub(super) fn restart_workers(&mut self, peers: usize) -> Result<()> {
        let Some(workers) = self.workers.take() else { return Err(Error::internal("the workers are gone")) };
        let snapshot = workers.snapshot();
        if snapshot.is_err() {
            self.workers = Some(workers);
        } else {
            workers.stop()?;
        }
        let mut states: BTreeMap<ObjectId, Restored> = BTreeMap::new();
        for state in snapshot? {
            let restored = states.entry(state.view).or_default();
            restored.nodes.entry(state.node).or_default().extend(state.deltas);
        }
        for table in self.tables.values_mut() {
            table.store = table.store.rebuilt()?;
        }
        let (reply, answer) = crossbeam_channel::bounded(1);
        let _ = self.shared.publisher.send(Publish::Restart(reply));
        answer.recv().map_err(|_| Error::internal("the publisher is gone"))??;

        self.config.workers = peers;
        let workers = Workers::start(peers, &self.config.memory, self.reports.clone())?;
        let epoch = Epoch(self.next_epoch.0 - 1);
        for (view, state) in self.views.iter().filter(|(_, v)| v.is_published()) {
            let restore = Some(Arc::new(states.remove(view).unwrap_or_default()));
            let (view, graph, track) = (*view, Arc::clone(&state.spec.graph), self.tracks(&state.spec));
            workers.send(Command::Install { view, graph, restore, fill: None, track });
            let watermarks = Arc::clone(&self.vector);
            workers.send(Command::Join { view, epoch, watermarks, past: None });
        }
        // Those that wait for their turn to join begin again.
        for (view, state) in self.views.iter().filter(|(_, v)| !v.is_published()) {
            let (view, graph, track) = (*view, Arc::clone(&state.spec.graph), self.tracks(&state.spec));
            let _ = self.shared.publisher.send(Publish::NotFilled(view));
            workers.send(Command::Install { view, graph, restore: None, fill: None, track });
        }
        self.workers = Some(workers);
        Ok(())
    }
}
