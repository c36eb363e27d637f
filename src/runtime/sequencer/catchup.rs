//! Later views on sources that are already being read: each reads them from the start with readers of its own, and
//! joins the shared readers exactly where they are.
//!
//! While it catches up the shared readers are slowed to a quarter of its pace; when it is near they are held, it reads the
//! rest, and joins. So catching up always ends. Rows are judged as they were the first time: by their partition's
//! watermark, hand-made moves included.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{Changes, ObjectId, Partition};
use crate::error::{Error, Result, SqlState};
use crate::log::{Position, SourceRange};

use super::super::arrival::Clock;
use super::super::command::Command;
use super::super::ingest::{Arrived, From, Piece, Queue};
use super::hydrate::Stored;
use super::netting::shape;
use super::past::Backlog;
use super::reader::start_reader_of;
use super::views::ViewState;
use super::{Barrier, Sequencer};

/// The progress of a view that has read all, and whose first epoch is not published.
const ALMOST: f64 = 99.9;

/// A view that reads what was before it.
#[derive(Default)]
pub(super) struct CatchUp {
    /// Large tables and views: read first, since nobody is held up by that.
    pub(super) stored: Vec<Stored>,
    /// How often changes of these were read.
    pub(super) rounds: usize,
    /// Instead of what they hold now: what tables and views held at an epoch that is past.
    pub(super) past: Option<Backlog>,
    parts: Vec<CatchPart>,
    /// Rows on their way to the workers, by batch: free when only we hold them.
    pub(super) fed: Vec<(Arc<Vec<Changes>>, usize)>,
    /// The barrier is set.
    joining: bool,
    /// Rows of sources that nobody had read before, when inputs are recorded.
    read: BTreeMap<ObjectId, Vec<Changes>>,
}

struct CatchPart {
    source: ObjectId,
    index: usize,
    queue: Arc<Queue>,
    clock: Clock,
    /// Where it began: at the first row that is kept.
    begin: Position,
    position: Position,
    goal: Goal,
    holds: bool,
    done: bool,
}

/// What a view read on its own: ranges, and, when inputs are recorded, the rows of sources that nobody had read before.
pub(super) type CaughtUp = (Vec<SourceRange>, Vec<(ObjectId, Vec<Changes>)>);

/// Where a catching-up reader has to get.
#[derive(Clone, PartialEq, Eq)]
enum Goal {
    /// To the same row as the shared reader of its partition.
    Shared,
    /// To the offset of its group, whose other sources are being read; then it becomes the shared reader.
    Group(String),
}

impl CatchUp {
    pub(super) fn close(&mut self) {
        for part in &self.parts {
            part.queue.close();
        }
    }

    pub(super) fn rows_fed(&self) -> usize {
        self.fed.iter().map(|(_, rows)| rows).sum()
    }

    /// Whether it waits for its turn to join.
    pub(super) fn is_joining(&self) -> bool {
        self.joining
    }
}

impl Sequencer {
    /// Starts catching up on the inputs of a new view: sources that are already being read, large tables and views. False
    /// when there is nothing to.
    pub(super) fn start_catch_up(&mut self, view: ObjectId, inputs: &[ObjectId]) -> Result<bool> {
        if let Some(as_of) = self.views.get(&view).and_then(ViewState::as_of) {
            let past = Some(self.backlog(inputs, as_of)?);
            self.catchups.insert(view, CatchUp { past, ..CatchUp::default() });
            return Ok(true);
        }
        let mut parts = Vec::new();
        for id in inputs {
            let Some(feed) = self.feeds.get(id).filter(|f| !f.is_table) else { continue };
            let Some(again) = feed.again() else { continue };
            let goal = match feed.connector.group() {
                _ if feed.is_open() => Goal::Shared,
                Some(group) if self.group_offset(&group) > 0 => Goal::Group(group),
                Some(_) | None => continue,
            };
            for index in 0..feed.connector.partitions() {
                let mut clock = Clock::new(Partition { source: *id, index }, feed.watermark.clone());
                if let Some(archive) = &feed.archive {
                    (clock.rows, clock.watermark) = archive.start();
                }
                let begin = Position { offset: clock.rows, skip: 0 };
                let (from, again) = (From::Position(begin), Arc::clone(&again));
                let queue = start_reader_of(&self.config, &self.shared, feed, again, index, from)?;
                let (goal, index, position) = (goal.clone(), index as usize, begin);
                let (holds, done) = (false, false);
                parts.push(CatchPart { source: *id, index, queue, clock, begin, position, goal, holds, done });
            }
        }
        let stored = self.large_inputs(inputs);
        if parts.is_empty() && stored.is_empty() {
            return Ok(false);
        }
        for part in &parts {
            self.hold(part.source, part.index, &part.goal, |p| p.slowed += 1);
        }
        self.catchups.insert(view, CatchUp { stored, parts, ..CatchUp::default() });
        Ok(true)
    }

    /// How far the open sources of a group are.
    fn group_offset(&self, group: &str) -> u64 {
        let members = self.feeds.values().filter(|f| f.connector.group().as_deref() == Some(group));
        members.flat_map(|f| &f.parts).map(|p| p.position.offset).max().unwrap_or(0)
    }

    /// Does something to the shared partitions that a catching-up one has to reach.
    fn hold(&mut self, source: ObjectId, index: usize, goal: &Goal, act: impl Fn(&mut super::sources::Part)) {
        match goal {
            Goal::Shared => {
                if let Some(part) = self.feeds.get_mut(&source).and_then(|f| f.parts.get_mut(index)) {
                    act(part);
                }
            }
            Goal::Group(group) => {
                let members = self.feeds.values_mut().filter(|f| f.connector.group().as_ref() == Some(group));
                members.flat_map(|f| &mut f.parts).for_each(act);
            }
        }
    }

    /// How much a view that has not joined has taken in of what was there before it, in percent.
    pub(super) fn progress(&self, view: ObjectId) -> f64 {
        let Some(catchup) = self.catchups.get(&view) else {
            // Small inputs are read when it joins; then its operators work.
            return if self.views.get(&view).is_some_and(ViewState::is_published) { ALMOST } else { 0.0 };
        };
        let stored = catchup.stored.iter().map(Stored::progress);
        let stored = stored.map(|(read, rows)| (read as u64, rows as u64));
        let parts = catchup.parts.iter().map(|part| {
            let at = if part.goal == Goal::Shared { part.clock.rows } else { part.position.offset };
            (at, at + self.rows_left(part))
        });
        let (read, all) = stored.chain(parts).fold((0, 0), |(a, b), (read, all)| (a + read, b + all));
        let taken = read.saturating_sub(catchup.rows_fed() as u64);
        if all == 0 { 0.0 } else { (taken as f64 / all as f64 * 100.0).min(ALMOST) }
    }

    /// Lets go of what a catching-up view held.
    pub(super) fn end_catch_up(&mut self, view: ObjectId) -> Result<CaughtUp> {
        let Some(mut catchup) = self.catchups.remove(&view) else { return Ok((vec![], vec![])) };
        catchup.close();
        let mut ranges = Vec::new();
        for part in std::mem::take(&mut catchup.parts) {
            let held = usize::from(part.holds);
            self.hold(part.source, part.index, &part.goal, |p| {
                p.slowed -= 1;
                p.held -= held;
                p.credit = 0;
            });
            let (from, rows) = (part.begin, part.clock.rows - part.begin.offset);
            let ahead = part.clock.turned_away.clone();
            ranges.push(SourceRange { partition: part.clock.partition, from, to: part.position, rows, ahead });
            // Only when it has got there; a view that was given up leaves no reader.
            if part.done && matches!(part.goal, Goal::Group(_)) {
                self.open_feed_at(part.source, part.position.offset, vec![part.clock])?;
            }
        }
        Ok((ranges, catchup.read.into_iter().collect()))
    }

    /// Moves all catching-up views on; those that have got there ask for a quiet moment to join.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        let views: Vec<ObjectId> = self.catchups.keys().copied().collect();
        for view in views {
            if self.views.get(&view).is_none_or(|v| v.is_cancelled()) {
                self.give_up(view, None)?;
                continue;
            }
            let Some(mut catchup) = self.catchups.remove(&view) else { continue };
            let moved = self.move_on(view, &mut catchup);
            let ready = moved.as_ref().is_ok_and(|done| *done) && !catchup.joining;
            catchup.joining |= ready;
            self.catchups.insert(view, catchup);
            match moved {
                Ok(_) if ready => self.barriers.push_back(Barrier::Join(view)),
                Ok(_) => {}
                Err(error) => self.give_up(view, Some(error))?,
            }
        }
        Ok(())
    }

    /// Feeds a view what it can take now; true when it has got there.
    fn move_on(&mut self, view: ObjectId, catchup: &mut CatchUp) -> Result<bool> {
        if catchup.joining {
            return Ok(true);
        }
        if !self.read_stored(view, catchup)? || !self.read_past(view, catchup)? {
            return Ok(false);
        }
        catchup.fed.retain(|(batches, _)| Arc::strong_count(batches) > 1);
        let limit = self.config.limits.ingest_rows;
        let CatchUp { parts, fed, read, .. } = catchup;
        for part in parts.iter_mut().filter(|p| !p.done) {
            loop {
                let left = self.rows_left(part);
                let near = self.config.limits.ingest_rows as u64;
                if left <= near && !part.holds {
                    part.holds = true;
                    self.hold(part.source, part.index, &part.goal, |p| p.held += 1);
                }
                if left == 0 {
                    part.done = true;
                    break;
                }
                if fed.iter().map(|(_, rows)| rows).sum::<usize>() >= limit {
                    break;
                }
                let Some(item) = part.queue.pop() else { break };
                let piece = self.next_piece(part, item, left)?;
                if let Some(piece) = piece {
                    let changes = self.feed_piece(view, part, piece, fed)?;
                    if self.config.record_digests && part.goal != Goal::Shared && !changes.is_empty() {
                        read.entry(part.source).or_default().push(changes);
                    }
                }
            }
        }
        Ok(catchup.parts.iter().all(|p| p.done))
    }

    /// How far a part has to go: rows, or offsets in a group.
    fn rows_left(&self, part: &CatchPart) -> u64 {
        match &part.goal {
            Goal::Shared => {
                let shared = self.feeds.get(&part.source).and_then(|f| f.parts.get(part.index));
                shared.map_or(0, |p| p.clock.rows.saturating_sub(part.clock.rows))
            }
            Goal::Group(group) => self.group_offset(group).saturating_sub(part.position.offset),
        }
    }

    /// A piece that ends no later than the goal and than the next hand-made move of the watermark.
    fn next_piece(&self, part: &mut CatchPart, item: Arrived, left: u64) -> Result<Option<Piece>> {
        let mut piece = match item {
            Arrived::Piece(piece) => piece,
            Arrived::Mark(_) => return Ok(None),
            Arrived::Failed(error) => return Err(error),
            Arrived::End { .. } => {
                let message = "a source ended before the place where it was read before";
                return Err(Error::new(SqlState::IO_ERROR, message).with_hint(
                    "Its files must not change while views read them: drop the source and create it anew.",
                ));
            }
        };
        let mut rows = piece.rows.num_rows() as u64;
        if part.goal == Goal::Shared {
            let shared = self.feeds.get(&part.source).and_then(|f| f.parts.get(part.index));
            let floors = shared.map_or(&[][..], |p| p.clock.floors.as_slice());
            let at = part.clock.rows;
            for (_, floor) in floors.iter().filter(|(a, _)| *a == at) {
                part.clock.raise(*floor);
            }
            let next = floors.iter().map(|(at, _)| *at).filter(|at| *at > part.clock.rows).min();
            rows = rows.min(left).min(next.map_or(u64::MAX, |at| at - part.clock.rows));
        }
        if (rows as usize) < piece.rows.num_rows() {
            let first = piece.cut(rows as usize);
            part.queue.unpop(Arrived::Piece(piece));
            piece = first;
        }
        if let Some(shared) = self.feeds.get(&part.source).and_then(|f| f.parts.get(part.index)) {
            // Its rows are judged by the clock of then.
            let at = part.clock.rows;
            piece.ahead = shared.clock.turned_away.within(at..at + piece.rows.num_rows() as u64);
        }
        Ok(Some(piece))
    }

    fn feed_piece(
        &mut self,
        view: ObjectId,
        part: &mut CatchPart,
        piece: Piece,
        fed: &mut Vec<(Arc<Vec<Changes>>, usize)>,
    ) -> Result<Changes> {
        let rows = piece.rows.num_rows();
        part.position = piece.end();
        let limit = self.feeds.get(&part.source).and_then(|f| f.ahead);
        let (changes, _) = part.clock.admit_piece(&piece, limit)?;
        self.hold(part.source, part.index, &part.goal, |p| p.credit += rows / 4 + 1);
        if rows > 0 {
            let batches = self.feed_view(view, part.source, std::slice::from_ref(&changes))?;
            fed.push((batches, rows));
        }
        Ok(changes)
    }

    /// Sends a hydrating view rows of one of its inputs.
    pub(in crate::runtime) fn feed_view(
        &self,
        view: ObjectId,
        object: ObjectId,
        changes: &[Changes],
    ) -> Result<Arc<Vec<Changes>>> {
        let Some(workers) = &self.workers else { return Ok(Arc::default()) };
        let batch_rows = if self.config.one_row_batches { 1 } else { self.config.limits.batch_rows };
        let batches = Arc::new(shape(changes, batch_rows, workers.peers())?);
        workers.send(Command::Feed { view, object, batches: Arc::clone(&batches) });
        Ok(batches)
    }
}
