//! The open epoch, and how it is closed: into the log, to the publisher, to the workers, and answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Changes, Epoch, EventTime, ObjectId, Partition, PartitionWatermark, WatermarkVector};
use crate::error::Result;
use crate::log::{EpochRecord, Fault, LateOrigin, Record, SourceEnd, SourceRange, TableChanges, WatermarkMove};
use crate::operators::RowError;

use super::super::Committed;
use super::super::command::{Command, EpochInput};
use super::super::message::{EpochInfo, Publish, input_epoch};
use super::Sequencer;
use super::answers::Answer;
use super::netting::shape;
use super::sources::READER;

/// What the next epoch has so far.
#[derive(Default)]
pub(in crate::runtime) struct OpenEpoch {
    /// Netted and judged, in order.
    pub(in crate::runtime) tables: BTreeMap<ObjectId, Vec<Changes>>,
    /// Tables whose heads changed: these need a new version.
    pub(in crate::runtime) changed_tables: BTreeSet<ObjectId>,
    /// Rows of sources, by partition, in arrival order.
    pub(in crate::runtime) sources: BTreeMap<Partition, Vec<Changes>>,
    pub(in crate::runtime) ranges: Vec<SourceRange>,
    /// Partitions whose rows go into the log themselves.
    pub(in crate::runtime) unreplayable: BTreeSet<Partition>,
    /// Watermarks as they came to stand.
    pub(in crate::runtime) watermarks: BTreeMap<Partition, PartitionWatermark>,
    pub(in crate::runtime) moves: Vec<WatermarkMove>,
    pub(in crate::runtime) ends: Vec<SourceEnd>,
    pub(in crate::runtime) late: Vec<LateOrigin>,
    pub(in crate::runtime) errors: Vec<(ObjectId, String, RowError)>,
    pub(in crate::runtime) acks: Vec<(Reply<Result<Committed>>, Committed)>,
    pub(in crate::runtime) ddl: Vec<Reply<Result<Epoch>>>,
    pub(in crate::runtime) advances: Vec<(Reply<Result<EventTime>>, EventTime)>,
    pub(in crate::runtime) rows: usize,
    pub(in crate::runtime) source_rows: usize,
    pub(in crate::runtime) bytes: usize,
    /// A sink begins with it of which the log has no more than that it was created.
    pub(in crate::runtime) begins: bool,
    /// Holds a transaction that is to be alone.
    pub(in crate::runtime) full: bool,
}

impl OpenEpoch {
    /// Whether closing it would say nothing.
    pub(in crate::runtime) fn is_empty(&self) -> bool {
        self.changed_tables.is_empty()
            && self.ranges.is_empty()
            && self.sources.is_empty()
            && self.watermarks.is_empty()
            && self.moves.is_empty()
            && self.ends.is_empty()
            && self.errors.is_empty()
            && self.acks.is_empty()
            && self.ddl.is_empty()
            && self.advances.is_empty()
            && self.late.is_empty()
            && !self.begins
    }

    /// Whether rows have come in: decisions about watermarks stand before them.
    pub(in crate::runtime) fn has_rows(&self) -> bool {
        !self.tables.is_empty() || !self.sources.is_empty() || !self.ranges.is_empty() || !self.ends.is_empty()
    }

    /// A source's watermark as it would be if the epoch closed now.
    pub(in crate::runtime) fn watermark(&self, vector: &WatermarkVector, source: ObjectId) -> EventTime {
        let mut vector = vector.clone();
        vector.0.extend(self.watermarks.iter().map(|(p, w)| (*p, *w)));
        vector.source(source)
    }
}

impl OpenEpoch {
    /// The same, where a source has several partitions; else nobody asks.
    pub(in crate::runtime) fn watermark_of(
        &self,
        vector: &WatermarkVector,
        source: ObjectId,
        partitions: usize,
    ) -> Option<EventTime> {
        (partitions > 1).then(|| self.watermark(vector, source))
    }
}

/// An epoch under way.
pub(in crate::runtime) struct InFlight {
    pub(in crate::runtime) epoch: Epoch,
    pub(in crate::runtime) rows: usize,
    pub(in crate::runtime) bytes: usize,
    pub(in crate::runtime) closed: Instant,
    /// A view joins with it: hydration may take its time.
    pub(in crate::runtime) join: bool,
}

impl Sequencer {
    /// Closes the open epoch if there is something in it and room for one more.
    pub(super) fn close_if_possible(&mut self) -> Result<bool> {
        if self.open.is_empty() {
            (self.opened, self.hurry) = (None, false);
            return Ok(false);
        }
        self.opened.get_or_insert_with(Instant::now);
        if !self.has_room() || !self.is_due() {
            return Ok(false);
        }
        self.close()?;
        Ok(true)
    }

    /// Whether the open epoch has been open for epoch_interval, is full, or is waited for.
    fn is_due(&self) -> bool {
        let interval = self.config.settings.epoch_interval;
        interval.is_zero()
            || self.hurry
            || self.is_source_full()
            || self.is_blocked()
            || self.lease.is_some()
            || !self.flushes.is_empty()
            || !self.open.ddl.is_empty()
            || !self.open.advances.is_empty()
            || self.opened.is_none_or(|since| since.elapsed() >= interval)
    }

    /// When the open epoch will have been open for epoch_interval.
    pub(super) fn next_close(&self) -> Option<Instant> {
        let opened = self.opened.filter(|_| !self.open.is_empty() && self.has_room())?;
        opened.checked_add(self.config.settings.epoch_interval)
    }

    /// Whether the epochs under way, and what sinks have to write, leave room for another.
    pub(in crate::runtime) fn has_room(&self) -> bool {
        let limits = &self.config.limits;
        self.in_flight.len() < limits.epochs_in_flight
            && self.shared.sinks.has_room()
            && self.archives_have_room()
            && (self.in_flight.is_empty()
                || self.in_flight.iter().map(|e| e.rows).sum::<usize>() < limits.rows_in_flight
                    && self.in_flight.iter().map(|e| e.bytes).sum::<usize>() < limits.bytes_in_flight)
    }

    /// Closes the open epoch, if rows have come in, whatever is under way: what follows is to stand before rows.
    pub(super) fn settle_open(&mut self) -> Result<()> {
        if self.open.has_rows() { self.close() } else { Ok(()) }
    }

    /// Notes where a partition's watermark stands now.
    pub(in crate::runtime) fn note_watermark(&mut self, partition: Partition, watermark: EventTime, idle: bool) {
        let entry = PartitionWatermark { watermark, idle };
        let before = self.open.watermarks.get(&partition).or_else(|| self.vector.0.get(&partition));
        if before != Some(&entry) {
            self.open.watermarks.insert(partition, entry);
        }
    }

    /// Closes the open epoch: from here on it is in the log.
    pub(in crate::runtime) fn close(&mut self) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        (self.opened, self.hurry) = (None, false);
        let epoch = self.next_epoch;
        self.next_epoch = epoch.next();
        self.log_epoch(epoch, &open)?;
        self.archive(epoch, &open);
        if !open.watermarks.is_empty() {
            Arc::make_mut(&mut self.vector).0.extend(open.watermarks.iter().map(|(p, w)| (*p, *w)));
        }
        let input = self.input(epoch, &open)?;
        let views = self.concerned(&input.touched);
        let mut tables = BTreeMap::new();
        for id in &open.changed_tables {
            if let Some(table) = self.tables.get_mut(id) {
                let changes = open.tables.get(id).cloned().unwrap_or_default();
                tables.insert(*id, (table.store.seal()?, changes));
            }
        }
        let closed = Instant::now();
        let transactions = open.acks.len();
        let _ = self.shared.publisher.send(Publish::Epoch(EpochInfo {
            epoch,
            views: views.clone(),
            tables,
            errors: open.errors,
            rows: open.rows,
            bytes: open.bytes,
            transactions,
            closed,
            closed_at: SystemTime::now(),
            watermarks: Arc::clone(&self.vector),
        }));
        if self.config.record_digests {
            self.record(epoch, &open.tables, &open.sources);
        }
        if let Some(workers) = self.workers.as_ref().filter(|_| !views.is_empty()) {
            workers.send(Command::Epoch(Arc::new(input)));
        }
        let in_flight = InFlight { epoch, rows: open.rows, bytes: open.bytes, closed, join: false };
        self.shared.held.in_flight.fetch_add(in_flight.bytes, Ordering::Relaxed);
        self.in_flight.push_back(in_flight);
        for origin in &open.late {
            self.late_written.push((origin.epoch, epoch));
        }
        if !open.acks.is_empty() || !open.ddl.is_empty() || !open.advances.is_empty() {
            let (acks, ddl, advances) = (open.acks, open.ddl, open.advances);
            self.answer(Answer::Epoch { epoch, acks, ddl, advances });
        }
        Ok(())
    }

    /// Logs what the connectors of some partitions decided, before the record that speaks of what they read.
    pub(super) fn log_decisions(&mut self, ranges: &[SourceRange]) -> Result<()> {
        for object in ranges.iter().map(|range| range.partition.source).collect::<BTreeSet<_>>() {
            let decided = self.feeds.get(&object).map(|feed| feed.connector.take_decisions()).transpose()?;
            if let Some(payload) = decided.flatten() {
                self.keep_decisions(object, &payload);
                self.append(&Record::Decisions { epoch: self.next_epoch, object, payload })?;
            }
        }
        Ok(())
    }

    /// Keeps what a connector decided for checkpoints.
    pub(in crate::runtime) fn keep_decisions(&mut self, object: ObjectId, payload: &[u8]) {
        let keeps = self.keeps_checkpoints();
        if let Some(feed) = self.feeds.get_mut(&object).filter(|_| keeps) {
            feed.decisions.push(Arc::from(payload));
        }
    }

    fn log_epoch(&mut self, epoch: Epoch, open: &OpenEpoch) -> Result<()> {
        self.log_decisions(&open.ranges)?;
        let table = |(id, changes): (&ObjectId, &Vec<Changes>)| TableChanges {
            object: *id,
            partition: 0,
            changes: changes.clone(),
        };
        let row = |(p, changes): (&Partition, &Vec<Changes>)| TableChanges {
            object: p.source,
            partition: p.index,
            changes: changes.clone(),
        };
        let logged = |(object, _, error): &&(ObjectId, String, RowError)| {
            error.operator.as_ref() == READER || !self.is_read_again(*object)
        };
        let record = Record::Epoch(EpochRecord {
            epoch,
            tables: open.tables.iter().map(table).collect(),
            ranges: open.ranges.clone(),
            rows: open.sources.iter().filter(|(p, _)| open.unreplayable.contains(p)).map(row).collect(),
            moves: open.moves.clone(),
            ends: open.ends.clone(),
            late: open.late.clone(),
            faults: open.errors.iter().filter(logged).map(fault).collect(),
        });
        self.append(&record)
    }

    /// Whether replay reads an input again, and so comes upon its bad records.
    fn is_read_again(&self, object: ObjectId) -> bool {
        self.feeds.get(&object).is_some_and(|feed| !feed.is_table && feed.connector.replayable())
    }

    /// What the workers get: only what some view reads.
    fn input(&self, epoch: Epoch, open: &OpenEpoch) -> Result<EpochInput> {
        let peers = self.workers.as_ref().map_or(1, |w| w.peers());
        let batch_rows = if self.config.one_row_batches { 1 } else { self.config.limits.batch_rows };
        let mut changes: BTreeMap<ObjectId, Vec<Changes>> = BTreeMap::new();
        for (id, own) in &open.tables {
            changes.entry(*id).or_default().extend(own.iter().cloned());
        }
        for (partition, own) in &open.sources {
            changes.entry(partition.source).or_default().extend(own.iter().cloned());
        }
        let mut touched: BTreeSet<ObjectId> = changes.keys().copied().collect();
        touched.extend(open.watermarks.keys().map(|p| p.source));
        changes.retain(|id, _| self.is_read(*id));
        let mut inputs = Vec::with_capacity(changes.len());
        for (id, own) in changes {
            inputs.push((id, shape(&own, batch_rows, peers)?));
        }
        let touched = touched.into_iter().collect();
        Ok(EpochInput { epoch, inputs, touched, watermarks: Arc::clone(&self.vector) })
    }

    fn record(
        &mut self,
        epoch: Epoch,
        tables: &BTreeMap<ObjectId, Vec<Changes>>,
        sources: &BTreeMap<Partition, Vec<Changes>>,
    ) {
        let mut inputs: Vec<(ObjectId, Vec<Changes>)> = tables.iter().map(|(id, c)| (*id, c.clone())).collect();
        inputs.extend(sources.iter().map(|(p, c)| (p.source, c.clone())));
        self.inputs.push(input_epoch(epoch, inputs, &self.vector));
    }

    /// An epoch is published: there is room again.
    pub(in crate::runtime) fn published(&mut self, epoch: Epoch) -> Result<()> {
        let (now, mut rows, mut began) = (Instant::now(), 0, None);
        while self.in_flight.front().is_some_and(|e| e.epoch <= epoch) {
            let Some(done) = self.in_flight.pop_front() else { break };
            began.get_or_insert(done.closed);
            rows += done.rows;
            self.shared.held.in_flight.fetch_sub(done.bytes, Ordering::Relaxed);
        }
        if let Some(began) = began {
            let took = now.saturating_duration_since(began.max(self.moved));
            self.pace.published(rows, took, self.config.settings.max_lag, self.config.limits.epoch_rows);
            self.moved = now;
        }
        self.archives_published(epoch);
        self.late_written.retain(|(_, written)| *written > epoch || !self.flushes.is_empty());
        self.log.cut(epoch.next())?;
        if self.config.memory.is_short() {
            self.tables.values_mut().for_each(|table| table.store.relieve());
        }
        self.views_published(epoch)
    }
}

/// As the log keeps it.
fn fault((object, _, error): &(ObjectId, String, RowError)) -> Fault {
    Fault {
        object: *object,
        operator: error.operator.to_string(),
        code: error.code.0.to_owned(),
        message: error.message.to_string(),
        row: error.row.clone(),
    }
}
