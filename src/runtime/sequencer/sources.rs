//! Source partitions: opened with the first view that reads them, admitted piece by piece within the epoch's budget.
//!
//! Partitions of one group (one generator behind several sources) are admitted up to a common offset, so that they move
//! together. A partition that a later view catches up on is slowed, and held for the hand-over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::archive::Archive;
use crate::connectors::{BadRecord, Connector};
use crate::data::{EventTime, ObjectId, Partition, PartitionWatermark, RowRanges, WatermarkVector};
use crate::error::{Error, Result};
use crate::log::{Position, SourceEnd, SourceRange, WatermarkMove};
use crate::operators::RowError;

use super::super::ahead::MaxAhead;
use super::super::arrival::Clock;
use super::super::ingest::{Arrived, From, Piece, Queue};
use super::super::message::Publish;
use super::super::status::{SourceStatus, Status, WatermarkStatus};
use super::super::{SourceSpec, WatermarkSpec};
use super::Sequencer;
use super::reader::start_reader;

/// The operator of bad records, as errors name it.
pub(in crate::runtime) const SOURCE: &str = "source";
/// The operator of the error that ended a source's reading.
pub(in crate::runtime) const READER: &str = "reader";

/// What a connector feeds: a source, or a table.
pub(in crate::runtime) struct Feed {
    pub(in crate::runtime) id: ObjectId,
    pub(in crate::runtime) name: String,
    pub(in crate::runtime) connector: Arc<dyn Connector>,
    /// Of what passes only once.
    pub(in crate::runtime) archive: Option<Arc<Archive>>,
    pub(in crate::runtime) watermark: Option<WatermarkSpec>,
    pub(in crate::runtime) ahead: Option<MaxAhead>,
    pub(in crate::runtime) is_table: bool,
    /// It could not be read back when the server started.
    pub(in crate::runtime) lost: Option<Error>,
    /// What the connector has decided, as it is in the log: kept for checkpoints.
    pub(in crate::runtime) decisions: Vec<Arc<[u8]>>,
    /// Empty while nobody reads it.
    pub(in crate::runtime) parts: Vec<Part>,
}

/// One partition that is being read.
pub(in crate::runtime) struct Part {
    pub(in crate::runtime) clock: Clock,
    /// `None` when it has ended or failed.
    pub(in crate::runtime) queue: Option<Arc<Queue>>,
    pub(in crate::runtime) position: Position,
    pub(in crate::runtime) bad: u64,
    pub(in crate::runtime) ended: bool,
    pub(in crate::runtime) failed: Option<Error>,
    /// The newest mark that came out of the queue.
    pub(super) mark: u64,
    pub(super) last_row: Instant,
    pub(in crate::runtime) idle: bool,
    /// Views that catch up on it.
    pub(super) slowed: usize,
    /// Of these: how many have nearly reached it, so that it must stand still.
    pub(super) held: usize,
    /// Rows that it may give while it is slowed.
    pub(super) credit: usize,
}

impl Feed {
    pub(super) fn for_source(spec: SourceSpec) -> Self {
        let SourceSpec { id, name, watermark, connector, archive, .. } = spec;
        let time = watermark.as_ref().map(|w| w.column);
        Self { watermark, archive, is_table: false, ..Self::for_table(id, name, connector, time) }
    }

    /// `time` is the column whose values may not be too far ahead.
    pub(super) fn for_table(id: ObjectId, name: String, connector: Arc<dyn Connector>, time: Option<usize>) -> Self {
        let (ahead, watermark, archive) = (MaxAhead::of(connector.as_ref(), time), None, None);
        let (lost, decisions, parts) = (None, vec![], vec![]);
        Self { id, name, connector, archive, watermark, ahead, is_table: true, lost, decisions, parts }
    }

    pub(in crate::runtime) fn is_open(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Ends its threads and forgets how far they were.
    pub(super) fn close(&mut self) {
        if self.is_open() {
            self.connector.release();
        }
        for part in self.parts.drain(..) {
            if let Some(queue) = part.queue {
                queue.close();
            }
        }
    }

    /// Fills in its watermarks and partitions.
    pub(super) fn status(&self, vector: &WatermarkVector, lag: impl Fn(EventTime) -> Option<i64>, status: &mut Status) {
        let entries = self.parts.iter().map(|p| vector.0.get(&p.clock.partition).copied());
        let active = entries.flatten().filter(|w| !w.idle).map(|w| w.watermark).min();
        let holder = self
            .parts
            .iter()
            .find(|p| vector.0.get(&p.clock.partition).is_some_and(|w| !w.idle && Some(w.watermark) == active));
        let held_by = holder.map(|p| format!("{}/{}", self.name, p.clock.partition.index));
        for part in &self.parts {
            let partition = part.clock.partition;
            if let Some(w) = vector.0.get(&partition).filter(|_| !self.is_table) {
                status.watermarks.push(WatermarkStatus {
                    id: self.id,
                    source: self.name.clone(),
                    partition: partition.index,
                    watermark: w.watermark,
                    lag_ms: lag(w.watermark),
                    idle: w.idle,
                    rows: part.clock.rows,
                    late: part.clock.late,
                    held_by: held_by.clone(),
                });
            }
            status.sources.push(SourceStatus {
                id: self.id,
                name: self.name.clone(),
                partition: partition.index,
                status: part.status(),
                offset: part.position.offset,
                rows: part.clock.rows,
                bad_records: part.bad,
                queued_rows: part.queue.as_ref().map_or(0, |q| q.rows() as u64),
                error: part.failed.as_ref().map(ToString::to_string).or_else(|| self.connector.trouble()),
                address: self.connector.address(),
                archive: self.archive.as_ref().map(|archive| archive.kept()),
            });
        }
        if self.parts.is_empty() {
            status.sources.push(SourceStatus {
                id: self.id,
                name: self.name.clone(),
                partition: 0,
                status: if self.lost.is_some() { "failed" } else { "idle" },
                offset: 0,
                rows: 0,
                bad_records: 0,
                queued_rows: 0,
                error: self.lost.as_ref().map(ToString::to_string),
                address: self.connector.address(),
                archive: self.archive.as_ref().map(|archive| archive.kept()),
            });
        }
    }
}

impl Part {
    pub(in crate::runtime) fn new(clock: Clock, queue: Option<Arc<Queue>>, position: Position) -> Self {
        Self {
            clock,
            queue,
            position,
            bad: 0,
            ended: false,
            failed: None,
            mark: 0,
            last_row: Instant::now(),
            idle: false,
            slowed: 0,
            held: 0,
            credit: 0,
        }
    }

    /// It is not silent: it was only just opened.
    pub(in crate::runtime) fn touch(&mut self) {
        self.last_row = Instant::now();
    }

    fn status(&self) -> &'static str {
        match (&self.failed, self.ended, self.slowed) {
            (Some(_), _, _) => "failed",
            (None, true, _) => "ended",
            (None, false, 1..) => "held",
            (None, false, 0) => "running",
        }
    }

    /// Whether rows may be taken from it now.
    fn is_admissible(&self) -> bool {
        self.held == 0 && (self.slowed == 0 || self.credit > 0)
    }
}

/// A partition by feed and index.
type Place = (ObjectId, usize);

impl Sequencer {
    /// Opens all partitions of a feed at its beginning.
    pub(in crate::runtime) fn open_feed(&mut self, id: ObjectId) -> Result<()> {
        let Some(feed) = self.feeds.get(&id).filter(|f| !f.is_open()) else { return Ok(()) };
        let clock = |index| Clock::new(Partition { source: id, index }, feed.watermark.clone());
        let clocks = (0..feed.connector.partitions()).map(clock).collect();
        let _ = self.shared.publisher.send(Publish::ReadAnew(id));
        self.open_feed_at(id, 0, clocks)
    }

    /// Opens all partitions of a feed at an offset, with the watermarks that the rows before it made.
    pub(in crate::runtime) fn open_feed_at(&mut self, id: ObjectId, offset: u64, clocks: Vec<Clock>) -> Result<()> {
        let Some(feed) = self.feeds.get_mut(&id) else { return Ok(()) };
        for (index, clock) in (0..).zip(clocks) {
            let partition = clock.partition;
            if feed.watermark.is_some() {
                let entry = PartitionWatermark { watermark: clock.watermark, idle: false };
                Arc::make_mut(&mut self.vector).0.insert(partition, entry);
            }
            let queue = if self.replaying {
                None
            } else {
                Some(start_reader(
                    &self.config,
                    &self.shared,
                    feed,
                    index,
                    From::Position(Position { offset, skip: 0 }),
                )?)
            };
            feed.parts.push(Part::new(clock, queue, Position { offset, skip: 0 }));
        }
        Ok(())
    }

    /// Ends readers that no view needs any more.
    pub(super) fn close_unread_feeds(&mut self) {
        let unread: Vec<ObjectId> =
            self.feeds.values().filter(|f| f.is_open() && !f.is_table && !self.is_wanted(f.id)).map(|f| f.id).collect();
        for id in unread {
            if let Some(feed) = self.feeds.get_mut(&id) {
                feed.close();
                Arc::make_mut(&mut self.vector).0.retain(|p, _| p.source != id);
            }
        }
    }

    /// Takes what the readers have, as far as the open epoch's budget goes; true when something came in.
    pub(super) fn admit_sources(&mut self) -> Result<bool> {
        if self.log.is_full() {
            return Ok(false);
        }
        let mut groups: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        let mut alone: Vec<Place> = Vec::new();
        for feed in self.feeds.values() {
            let places = (0..feed.parts.len()).filter(|&i| feed.parts[i].queue.is_some()).map(|i| (feed.id, i));
            match feed.connector.group() {
                Some(group) => groups.entry(group).or_default().extend(places),
                None => alone.extend(places),
            }
        }
        let mut progress = false;
        // One piece of each in turn, so that none starves the others.
        loop {
            let mut round = false;
            for place in &alone {
                round |= self.admit_one(*place)?;
            }
            for members in groups.values() {
                round |= self.admit_group(members)?;
            }
            progress |= round;
            if !round || self.is_source_full() {
                return Ok(progress);
            }
        }
    }

    pub(super) fn is_source_full(&self) -> bool {
        self.is_full() || self.open.source_rows >= self.source_rows()
    }

    fn source_rows(&self) -> usize {
        self.config.limits.source_rows.min(self.epoch_rows())
    }

    fn part(&self, (feed, index): Place) -> Option<&Part> {
        self.feeds.get(&feed)?.parts.get(index)
    }

    fn part_mut(&mut self, (feed, index): Place) -> Option<&mut Part> {
        self.feeds.get_mut(&feed)?.parts.get_mut(index)
    }

    fn admit_one(&mut self, place: Place) -> Result<bool> {
        if self.is_source_full() {
            return Ok(false);
        }
        let budget = self.source_rows() - self.open.source_rows;
        let Some(part) = self.part(place).filter(|p| p.is_admissible()) else { return Ok(false) };
        let Some(queue) = part.queue.clone() else { return Ok(false) };
        match queue.pop() {
            Some(Arrived::Piece(mut piece)) => {
                if piece.rows.num_rows() > budget {
                    let first = piece.cut(budget);
                    queue.unpop(Arrived::Piece(piece));
                    piece = first;
                }
                self.admit_piece(place, piece)?;
                Ok(true)
            }
            Some(other) => self.control(place, other).map(|()| true),
            None => Ok(false),
        }
    }

    /// Admits a group's pieces up to the nearest common offset.
    fn admit_group(&mut self, members: &[Place]) -> Result<bool> {
        if self.is_source_full() || !members.iter().all(|m| self.part(*m).is_none_or(Part::is_admissible)) {
            return Ok(false);
        }
        let mut queues: Vec<(Place, Arc<Queue>)> = Vec::new();
        for &place in members {
            if let Some(queue) = self.part(place).and_then(|p| p.queue.clone()) {
                while queue.peek() == Some(true) {
                    let Some(item) = queue.pop() else { break };
                    self.control(place, item)?;
                }
                if self.part(place).is_some_and(|p| p.queue.is_some()) {
                    queues.push((place, queue));
                }
            }
        }
        let boundaries: Option<Vec<u64>> = queues.iter().map(|(_, queue)| queue.next_boundary()).collect();
        let Some(boundary) = boundaries.and_then(|b| b.into_iter().min()) else { return Ok(false) };
        for (place, queue) in queues {
            while queue.next_boundary().is_some_and(|b| b <= boundary) {
                if let Some(Arrived::Piece(piece)) = queue.pop() {
                    self.admit_piece(place, piece)?;
                }
            }
        }
        Ok(true)
    }

    /// Takes a piece into the open epoch.
    pub(in crate::runtime) fn admit_piece(&mut self, place: Place, piece: Piece) -> Result<()> {
        let Some(feed) = self.feeds.get(&place.0) else { return Ok(()) };
        let (is_table, name, replayable) = (feed.is_table, feed.name.clone(), feed.connector.replayable());
        let limit = feed.ahead;
        let source_watermark = self.open.watermark_of(&self.vector, place.0, feed.parts.len());
        let Some(part) = self.part_mut(place) else { return Ok(()) };
        let partition = part.clock.partition;
        let (rows, bytes, to) = (piece.rows.num_rows(), piece.bytes, piece.end());
        let mut range =
            SourceRange { partition, from: part.position, to, rows: rows as u64, ahead: RowRanges::default() };
        range.ahead.extend(&piece.ahead, part.clock.rows);
        part.position = to;
        let went_on = part.failed.take().is_some();
        part.bad += piece.bad.len() as u64;
        part.credit = part.credit.saturating_sub(rows);
        if rows > 0 {
            part.last_row = Instant::now();
            if std::mem::take(&mut part.idle)
                && let Some(floor) = source_watermark
            {
                // While it was idle the others went on: they are not taken back.
                part.clock.raise(floor);
            }
        }
        let (changes, ahead) = part.clock.admit_piece(&piece, limit)?;
        part.bad += ahead.len() as u64;
        if is_table {
            if !changes.is_empty() {
                self.accept_rows(place.0, changes.rows)?;
            }
        } else {
            let watermark = part.clock.spec().map(|_| part.clock.watermark);
            if !changes.is_empty() {
                self.open.sources.entry(partition).or_default().push(changes);
            }
            if let Some(watermark) = watermark {
                self.note_watermark(partition, watermark, false);
            }
            self.open.rows += rows;
            self.open.bytes += bytes;
        }
        self.open.source_rows += rows;
        if replayable {
            self.push_range(range);
        } else {
            self.open.unreplayable.insert(partition);
        }
        let bad = piece.bad.into_iter().map(bad_record).chain(ahead);
        self.open.errors.extend(bad.map(|bad| (place.0, name.clone(), bad)));
        self.went_on(place.0, went_on);
        Ok(())
    }

    fn push_range(&mut self, range: SourceRange) {
        let same = |last: &&mut SourceRange| last.partition == range.partition && last.to == range.from;
        match self.open.ranges.iter_mut().rev().find(same) {
            Some(last) => {
                last.to = range.to;
                last.rows += range.rows;
                last.ahead.extend(&range.ahead, 0);
            }
            None => self.open.ranges.push(range),
        }
    }

    /// Takes what is no rows.
    fn control(&mut self, place: Place, item: Arrived) -> Result<()> {
        match item {
            Arrived::Piece(piece) => self.admit_piece(place, piece)?,
            Arrived::Mark(number) => self.part_mut(place).into_iter().for_each(|part| part.mark = number),
            Arrived::End { fingerprint } => self.end_partition(place, fingerprint)?,
            Arrived::Failed(error) => {
                if let Some(part) = self.part_mut(place) {
                    tracing::warn!("a source failed: {error}");
                    part.queue = None;
                    let (code, message) = (error.code(), Arc::from(error.message()));
                    // A server that starts tries again; what fails as before is one error.
                    if part.failed.replace(error).is_some_and(|e| e.message() == &*message) {
                        return Ok(());
                    }
                    let row = RowError { operator: Arc::from(READER), code, message, row: String::new(), diff: 1 };
                    let name = self.feeds.get(&place.0).map(|feed| feed.name.clone());
                    self.open.errors.extend(name.map(|name| (place.0, name, row)));
                }
            }
        }
        Ok(())
    }

    /// A bounded partition has ended: so has its event time.
    pub(in crate::runtime) fn end_partition(&mut self, place: Place, fingerprint: String) -> Result<()> {
        let Some(part) = self.part_mut(place) else { return Ok(()) };
        part.queue = None;
        part.ended = true;
        let (partition, went_on) = (part.clock.partition, part.failed.take().is_some());
        self.open.ends.push(SourceEnd { partition, fingerprint });
        self.went_on(place.0, went_on);
        let Some(feed) = self.feeds.get_mut(&place.0) else { return Ok(()) };
        if feed.is_table {
            let over = feed.parts.iter().all(|p| p.ended);
            if let Some(table) = self.tables.get_mut(&place.0).filter(|t| over && t.clock.spec().is_some()) {
                table.clock.watermark = EventTime::MAX;
                let partition = table.clock.partition;
                self.note_watermark(partition, EventTime::MAX, false);
            }
        } else if feed.watermark.is_some() {
            if let Some(part) = feed.parts.get_mut(place.1) {
                part.clock.watermark = EventTime::MAX;
            }
            self.note_watermark(partition, EventTime::MAX, false);
        }
        Ok(())
    }

    /// The partitions of a table or source that have a watermark.
    pub(super) fn partitions_with_watermark(&self, source: ObjectId) -> Vec<Partition> {
        self.vector.0.keys().filter(|p| p.source == source).copied().collect()
    }

    /// Moves a watermark by a decision, which goes into the log.
    pub(in crate::runtime) fn move_watermark(&mut self, partition: Partition, to: EventTime, idle: bool) {
        let clock = match self.tables.get_mut(&partition.source) {
            Some(table) => Some(&mut table.clock),
            None => self.part_mut((partition.source, partition.index as usize)).map(|part| {
                part.idle = idle;
                &mut part.clock
            }),
        };
        let Some(clock) = clock else { return };
        clock.raise(to);
        let watermark = clock.watermark;
        self.open.moves.push(WatermarkMove { partition, at_least: to, idle });
        self.note_watermark(partition, watermark, idle);
    }
}

fn bad_record(bad: BadRecord) -> RowError {
    RowError {
        operator: Arc::from(SOURCE),
        code: bad.code,
        message: Arc::from(bad.message.as_str()),
        row: bad.record,
        diff: 1,
    }
}
