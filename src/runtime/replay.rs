//! Reads an input log back: the same epochs, and per epoch the same changes, whatever the number of workers.
//!
//! Tables get the row changes that the log has; sources are read again, in the ranges that the log has; views join at the
//! epochs at which they joined. Late rows come from the log; what the views turn away is recomputed and dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::connectors::{Read, Reader};
use crate::data::{Changes, Epoch, ObjectId, Partition, RowRanges};
use crate::error::{Error, Result, SqlState};
use crate::log::{
    Ddl, EpochRecord, Fault, JoinRecord, LogReader, Position, Record, SourceEnd, SourceRange, TableChanges, Wanted,
};

use crate::operators::RowError;

use super::Spec;
use super::arrival::{Clock, Times};
use super::ingest::Piece;
use super::lookout::Ahead;
use super::message::Message;
use super::sequencer::{READER, SOURCE, Sequencer};

/// A partition that is read again.
pub(super) struct Again {
    pub(super) reader: Box<dyn Reader>,
    pub(super) offset: u64,
    /// Read, not yet used.
    pub(super) left: VecDeque<Piece>,
}

/// The readers of sources, as far as the log has read them.
pub(super) type ReadAgain = BTreeMap<Partition, Again>;

/// Reads the whole log into a fresh sequencer and waits until everything is published. Gives the readers, where they are.
pub(super) fn run(
    sequencer: &mut Sequencer,
    log: &(impl LogReader + ?Sized),
    mut ahead: Ahead,
    mut rebuild: impl FnMut(&Ddl) -> Result<Option<Spec>>,
) -> Result<ReadAgain> {
    sequencer.replaying = true;
    let mut sources = ReadAgain::new();
    for record in log.records(Wanted::All) {
        match record? {
            Record::Ddl(ddl) if !ddl.dropped.is_empty() => {
                sequencer.quiesce()?;
                sources.retain(|p, _| !ddl.dropped.contains(&p.source));
                match rebuild(&ddl)? {
                    Some(Spec::Alter(alter)) => sequencer.alter_table(alter)?,
                    Some(Spec::Kept(kept)) => drop(sequencer.drop_but(&ddl.dropped, ddl.payload, kept)?),
                    Some(_) | None => drop(sequencer.drop_objects(&ddl.dropped, ddl.payload)?),
                }
            }
            Record::Ddl(ddl) => {
                let spec = rebuild(&ddl)?;
                sequencer.replay_ddl(ddl.epoch, ddl.payload, spec)?;
            }
            Record::Join(join) => ahead.join(sequencer, join, &mut sources)?,
            Record::Settings { payload, .. } => sequencer.replay_settings(&payload)?,
            Record::Decisions { object, payload, .. } => {
                if let Some(feed) = sequencer.feeds.get(&object) {
                    feed.connector.follow_decisions(&payload)?;
                }
                sequencer.keep_decisions(object, &payload);
            }
            Record::Values { rows, .. } => sequencer.values = Some(rows),
            // Done before the epoch that it did not show.
            Record::Leave { .. } => {}
            Record::Pause { view, reason, .. } => {
                ahead.paused(reason.is_some());
                sequencer.replay_pause(view, reason)?;
            }
            Record::Epoch(record) => {
                ahead.leave(sequencer, record.epoch)?;
                sequencer.replay_epoch(record, &mut sources)?;
            }
        }
        sources.retain(|p, _| sequencer.feeds.get(&p.source).is_some_and(|f| !f.parts.is_empty()));
    }
    sequencer.quiesce()?;
    sequencer.replaying = false;
    Ok(sources)
}

impl Sequencer {
    fn replay_ddl(&mut self, epoch: Epoch, payload: Vec<u8>, spec: Option<Spec>) -> Result<()> {
        if let Some(Spec::Alter(alter)) = spec {
            self.quiesce()?;
            return self.alter_table(alter);
        }
        self.log_ddl(payload, vec![])?;
        match spec {
            Some(Spec::Table(spec)) => self.add_table(spec),
            Some(Spec::Source(spec)) => self.add_source(spec),
            Some(Spec::Sink(spec)) => self.sink_again(*spec, epoch),
            Some(Spec::View(spec)) => self.install(spec, None, true),
            Some(Spec::Rename(names)) => {
                names.into_iter().for_each(|(object, name)| self.rename(object, name));
                Ok(())
            }
            Some(Spec::Alter(_) | Spec::Kept(_)) | None => Ok(()),
        }
    }

    fn replay_settings(&mut self, payload: &[u8]) -> Result<()> {
        let settings = serde_json::from_slice(payload)
            .map_err(|e| Error::internal(format!("the input log has settings that cannot be read: {e}")))?;
        self.change_settings(settings)
    }

    /// Waits until all epochs are published.
    pub(super) fn quiesce(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.wait_published()?;
        }
        Ok(())
    }

    fn wait_published(&mut self) -> Result<()> {
        let message = self.inbox.recv().map_err(|_| Error::internal("the publisher is gone"))?;
        match message {
            Message::Published(epoch) => self.published(epoch),
            Message::Late { view, epoch, rows } => {
                self.late_rows(view, epoch, rows);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn replay_join(&mut self, join: JoinRecord, sources: &mut ReadAgain) -> Result<()> {
        self.quiesce()?;
        self.skip_to(join.epoch)?;
        let view = join.view;
        self.reinstall(view)?;
        let read = self.read_again(&join, sources)?;
        self.join(view, join.caught_up, read.into_iter().collect(), BTreeMap::new(), None)
    }

    /// Reads what a view read on its own before it joined, and gives it to it; what is new of sources.
    pub(super) fn read_again(
        &mut self,
        join: &JoinRecord,
        sources: &mut ReadAgain,
    ) -> Result<BTreeMap<ObjectId, Vec<Changes>>> {
        let is_idle = self.is_idle(join.view);
        let mut adopted: BTreeMap<ObjectId, Vec<(Clock, SourceRange, Again)>> = BTreeMap::new();
        let mut read: BTreeMap<ObjectId, Vec<Changes>> = BTreeMap::new();
        for range in &join.caught_up {
            // One that is not computed needs only readers that go on as shared ones.
            let is_shared = self.feeds.get(&range.partition.source).is_some_and(|f| !f.parts.is_empty());
            if is_idle && is_shared {
                continue;
            }
            let (clock, again) = self.feed_again(join.view, range, &mut read)?;
            adopted.entry(range.partition.source).or_default().push((clock, range.clone(), again));
        }
        for (source, parts) in adopted {
            // A member of a group that only this view reads: its reader goes on as the shared one.
            if self.feeds.get(&source).is_some_and(|f| f.parts.is_empty()) {
                let offset = parts.first().map_or(0, |(_, range, _)| range.to.offset);
                let mut clocks = Vec::new();
                for (clock, range, again) in parts {
                    clocks.push(clock);
                    sources.insert(range.partition, again);
                }
                self.open_feed_at(source, offset, clocks)?;
            }
        }
        Ok(read)
    }

    /// Reads what a view read on its own before it joined, judged as the shared reader's rows were.
    fn feed_again(
        &mut self,
        view: ObjectId,
        range: &SourceRange,
        read: &mut BTreeMap<ObjectId, Vec<Changes>>,
    ) -> Result<(Clock, Again)> {
        let Partition { source, index } = range.partition;
        let feed = self.feeds.get(&source).ok_or_else(|| missing(source))?;
        let limit = feed.ahead;
        let mut clock = Clock::new(range.partition, feed.watermark.clone());
        let shared = feed.parts.get(index as usize);
        let floors = shared.map(|p| p.clock.floors.clone()).unwrap_or_default();
        let is_new = shared.is_none();
        // Of an archive it began with the first row that was kept.
        let end = range.from.offset + range.rows;
        if let Some(archive) = &feed.archive {
            (clock.rows, clock.watermark) = (range.from.offset, archive.watermark_before(range.from.offset));
        }
        let mut again = self.open_again_at(range.partition, range.from)?;
        while clock.rows < end {
            let at = clock.rows;
            for (_, floor) in floors.iter().filter(|(a, _)| *a == at) {
                clock.raise(*floor);
            }
            let next = floors.iter().map(|(at, _)| *at).filter(|at| *at > clock.rows).min();
            let most = (end - clock.rows).min(next.map_or(u64::MAX, |at| at - clock.rows));
            let mut piece = self.next_again(&mut again, range.partition, most)?;
            piece.ahead = range.ahead.within(at..at + piece.rows.num_rows() as u64);
            let (changes, _) = clock.admit_piece(&piece, limit)?;
            if !changes.is_empty() {
                self.feed_view(view, source, std::slice::from_ref(&changes))?;
                if is_new && self.config.record_digests {
                    read.entry(source).or_default().push(changes);
                }
            }
        }
        // Reads without rows that follow belong to the range too.
        while again.offset < range.to.offset && again.left.is_empty() {
            let piece = self.next_again(&mut again, range.partition, 0)?;
            if piece.rows.num_rows() > 0 {
                return Err(changed(source));
            }
        }
        Ok((clock, again))
    }

    fn open_again_at(&self, partition: Partition, from: Position) -> Result<Again> {
        let feed = self.feeds.get(&partition.source).ok_or_else(|| missing(partition.source))?;
        let connector = feed.again().unwrap_or_else(|| Arc::clone(&feed.connector));
        let reader = connector.open_at_once(partition.index, from.offset)?;
        let mut again = Again { reader, offset: from.offset, left: VecDeque::new() };
        let mut skip = from.skip;
        while skip > 0 {
            let piece = self.next_again(&mut again, partition, skip)?;
            skip -= piece.rows.num_rows() as u64;
        }
        Ok(again)
    }

    /// The next piece, of at most so many rows.
    fn next_again(&self, again: &mut Again, partition: Partition, most: u64) -> Result<Piece> {
        let feed = self.feeds.get(&partition.source).ok_or_else(|| missing(partition.source))?;
        while again.left.is_empty() {
            match again.reader.read(Duration::from_secs(1))? {
                Read::Rows { rows, bad, next_offset } => {
                    let times = feed.watermark.as_ref().map(|spec| Times::of(spec, &rows)).transpose()?;
                    let bytes = rows.get_array_memory_size();
                    let offset = std::mem::replace(&mut again.offset, next_offset);
                    let ahead = RowRanges::default();
                    let (skip, last) = (0, true);
                    again.left.push_back(Piece { rows, times, bad, ahead, offset, next_offset, skip, bytes, last });
                }
                Read::Waiting => {}
                Read::End => return Err(changed(partition.source)),
            }
        }
        let mut piece = again.left.pop_front().ok_or_else(|| changed(partition.source))?;
        if piece.rows.num_rows() as u64 > most {
            let first = piece.cut(most as usize);
            again.left.push_front(piece);
            piece = first;
        }
        Ok(piece)
    }

    fn replay_epoch(&mut self, record: EpochRecord, sources: &mut ReadAgain) -> Result<()> {
        while !self.has_room() {
            self.sinks_make_room();
            self.wait_published()?;
        }
        self.skip_to(record.epoch)?;
        for moved in &record.moves {
            self.move_watermark(moved.partition, moved.at_least, moved.idle);
        }
        for TableChanges { object, changes, .. } in record.tables {
            self.replay_table(object, changes)?;
        }
        for range in &record.ranges {
            let source = range.partition.source;
            if !self.is_lost(source)
                && let Err(error) = self.replay_range(range, sources)
            {
                self.lose(source, record.epoch, error)?;
            }
        }
        for TableChanges { object, partition, changes } in record.rows {
            for change in changes {
                self.replay_piece((object, partition as usize), change)?;
            }
        }
        for fault in record.faults {
            self.replay_fault(fault)?;
        }
        for end in record.ends.into_iter().filter(|end| !self.is_lost(end.partition.source)).collect::<Vec<_>>() {
            let source = end.partition.source;
            if let Err(error) = self.replay_end(end) {
                self.lose(source, record.epoch, error)?;
            }
        }
        self.late_logged(&record.late);
        self.open.late = record.late;
        self.close()
    }

    fn replay_end(&mut self, end: SourceEnd) -> Result<()> {
        let source = end.partition.source;
        let feed = self.feeds.get(&source).ok_or_else(|| missing(source))?;
        // The rows of a table are in the log.
        if !feed.is_table && feed.connector.fingerprint()? != end.fingerprint {
            return Err(changed(source));
        }
        self.open_for_replay(source)?;
        self.end_partition((source, end.partition.index as usize), end.fingerprint)
    }

    /// Epoch numbers are the log's.
    pub(super) fn skip_to(&mut self, epoch: Epoch) -> Result<()> {
        if epoch < self.next_epoch {
            return Err(Error::internal(format!("the input log has epoch {epoch} twice, or out of order")));
        }
        self.next_epoch = epoch;
        Ok(())
    }

    fn replay_table(&mut self, id: ObjectId, changes: Vec<Changes>) -> Result<()> {
        let Some(table) = self.tables.get_mut(&id) else { return Err(missing(id)) };
        for change in changes {
            table.store.apply(&change)?;
            let judged = table.clock.admit(change.rows, change.diffs)?;
            self.open.rows += judged.len();
            self.open.tables.entry(id).or_default().push(judged);
        }
        self.open.changed_tables.insert(id);
        let (partition, watermark) = (table.clock.partition, table.clock.watermark);
        if table.clock.spec().is_some() {
            self.note_watermark(partition, watermark, false);
        }
        Ok(())
    }

    fn replay_range(&mut self, range: &SourceRange, sources: &mut ReadAgain) -> Result<()> {
        let Partition { source, index } = range.partition;
        self.open_for_replay(source)?;
        let feed = self.feeds.get(&source).ok_or_else(|| missing(source))?;
        if feed.is_table {
            // Its rows are among the table changes.
            if let Some(part) = self.feeds.get_mut(&source).and_then(|f| f.parts.get_mut(index as usize)) {
                part.position = range.to;
                part.clock.rows += range.rows;
            }
            self.open.ranges.push(range.clone());
            return Ok(());
        }
        let mut again = match sources.remove(&range.partition) {
            Some(again) => again,
            None => self.open_again_at(range.partition, range.from)?,
        };
        let is_paced = feed.connector.is_paced();
        let mut rows = 0;
        let place = (source, index as usize);
        loop {
            let part = self.feeds.get(&source).and_then(|f| f.parts.get(place.1));
            let at = part.map_or(0, |p| p.clock.rows);
            // One read of a paced source now was several then: what follows its rows belongs to later ranges.
            if rows >= range.rows && (is_paced || part.is_none_or(|p| p.position >= range.to)) {
                break;
            }
            let mut piece = self.next_again(&mut again, range.partition, range.rows - rows)?;
            if piece.rows.num_rows() == 0 && !piece.last {
                return Err(changed(source));
            }
            let length = piece.rows.num_rows() as u64;
            piece.ahead = range.ahead.within(at..at + length);
            rows += length;
            self.admit_piece(place, piece)?;
        }
        if let Some(part) = self.feeds.get_mut(&source).and_then(|f| f.parts.get_mut(place.1)) {
            part.position = range.to;
        }
        sources.insert(range.partition, again);
        Ok(())
    }

    fn replay_piece(&mut self, place: (ObjectId, usize), change: Changes) -> Result<()> {
        self.open_for_replay(place.0)?;
        let feed = self.feeds.get(&place.0).ok_or_else(|| missing(place.0))?;
        let times = feed.watermark.as_ref().map(|spec| Times::of(spec, &change.rows)).transpose()?;
        let bytes = change.rows.get_array_memory_size();
        let ahead = RowRanges::default();
        let (bad, offset, next_offset, skip, last) = (vec![], 0, 0, 0, true);
        self.admit_piece(place, Piece { rows: change.rows, times, bad, ahead, offset, next_offset, skip, bytes, last })
    }

    /// What the log says was wrong is shown, and counted, again.
    fn replay_fault(&mut self, fault: Fault) -> Result<()> {
        let id = fault.object;
        self.open_for_replay(id)?;
        let name = match (self.feeds.get_mut(&id), self.tables.get(&id)) {
            (Some(feed), _) => {
                match feed.parts.first_mut() {
                    Some(part) if fault.operator == SOURCE => part.bad += 1,
                    Some(part) if fault.operator == READER => {
                        part.failed = Some(Error::new(SqlState::named(&fault.code), &*fault.message));
                    }
                    Some(_) | None => {}
                }
                feed.name.clone()
            }
            (None, Some(table)) => table.spec.name.clone(),
            // It was dropped in the epoch in which it was wrong.
            (None, None) => return Ok(()),
        };
        let error = RowError {
            operator: Arc::from(fault.operator),
            code: SqlState::named(&fault.code),
            message: Arc::from(fault.message),
            row: fault.row,
            diff: 1,
        };
        self.open.errors.push((id, name, error));
        Ok(())
    }

    fn open_for_replay(&mut self, source: ObjectId) -> Result<()> {
        if self.feeds.get(&source).is_some_and(|f| f.parts.is_empty()) { self.open_feed(source) } else { Ok(()) }
    }
}

fn missing(object: ObjectId) -> Error {
    Error::internal(format!("the input log names object {object}, which it did not create"))
}

fn changed(source: ObjectId) -> Error {
    let message = format!("source {source} is not what it was when the log was written");
    Error::new(SqlState::IO_ERROR, message).with_hint("Put its files back as they were.")
}
