//! One view's dataflow on workers of its own, without sequencer, log and publisher: for measuring what they add nothing to.
//!
//! Rows go the way that a source's rows go behind the sequencer: the source's watermark judges each row in arrival order,
//! an epoch's batches and watermarks reach all workers as one command. What the view sends comes out as [`Report`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, unbounded};

use super::arrival::Clock;
use super::command::{Command, EpochInput, Report};
use super::{SourceSpec, ViewSpec, Workers};
use crate::data::{Epoch, EventTime, ObjectId, Partition, PartitionWatermark, WatermarkVector};
use crate::error::Result;
use crate::spill::Memory;

/// A view that runs alone. The caller bounds the epochs under way: it sees their completion in the reports.
pub struct Bare {
    workers: Workers,
    clocks: BTreeMap<ObjectId, Clock>,
    epoch: Epoch,
}

impl Bare {
    /// Starts `peers` workers and the view on them, at epoch 1. The first report is the completion of that epoch.
    pub fn start(peers: usize, view: &ViewSpec, sources: &[SourceSpec]) -> Result<(Self, Receiver<Report>)> {
        Workers::check(&view.graph)?;
        let (sender, reports) = unbounded();
        let workers = Workers::start(peers, &Memory::unbounded(), sender)?;
        let clock = |source: &SourceSpec| {
            let partition = Partition { source: source.id, index: 0 };
            (source.id, Clock::new(partition, source.watermark.clone()))
        };
        let clocks = sources.iter().map(clock).collect();
        let bare = Self { workers, clocks, epoch: Epoch(1) };
        bare.workers.send(Command::Install {
            view: view.id,
            graph: Arc::clone(&view.graph),
            restore: None,
            fill: None,
            track: false,
        });
        let watermarks = bare.watermarks();
        bare.workers.send(Command::Join { view: view.id, epoch: bare.epoch, watermarks, past: None });
        Ok((bare, reports))
    }

    /// Feeds one epoch: the rows of each source, in arrival order.
    pub fn feed(&mut self, rows: impl IntoIterator<Item = (ObjectId, Vec<RecordBatch>)>) -> Result<Epoch> {
        let mut inputs = Vec::new();
        for (source, batches) in rows {
            let Some(clock) = self.clocks.get_mut(&source) else { continue };
            let admitted = batches.into_iter().map(|rows| clock.admit(rows, None)).collect::<Result<Vec<_>>>()?;
            inputs.push((source, admitted));
        }
        let touched = inputs.iter().map(|(source, _)| *source).collect();
        Ok(self.send(inputs, touched))
    }

    /// Ends event time in all sources, in an epoch of its own: every window closes.
    pub fn end(&mut self) -> Epoch {
        for clock in self.clocks.values_mut() {
            clock.raise(EventTime::MAX);
        }
        self.send(Vec::new(), self.clocks.keys().copied().collect())
    }

    /// Ends the workers.
    pub fn stop(self) -> Result<()> {
        self.workers.stop()
    }

    fn send(&mut self, inputs: Vec<(ObjectId, Vec<crate::data::Changes>)>, touched: Vec<ObjectId>) -> Epoch {
        self.epoch = self.epoch.next();
        let input = EpochInput { epoch: self.epoch, inputs, touched, watermarks: self.watermarks() };
        self.workers.send(Command::Epoch(Arc::new(input)));
        self.epoch
    }

    fn watermarks(&self) -> Arc<WatermarkVector> {
        let entry = |clock: &Clock| (clock.partition, PartitionWatermark { watermark: clock.watermark, idle: false });
        Arc::new(WatermarkVector(self.clocks.values().map(entry).collect()))
    }
}
