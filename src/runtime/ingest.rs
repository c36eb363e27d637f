//! One thread per open source partition: reader -> pieces -> a bounded queue, from which the sequencer admits them.
//!
//! The thread evaluates the WATERMARK expression, in arrival order; it knows nothing of epochs. It ends when the source
//! ends or fails, or when its queue is closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::connectors::{BadRecord, Connector, Read};
use crate::data::RowRanges;
use crate::error::{Error, Result};
use crate::log::Position;

use super::ahead::MaxAhead;
use super::arrival::Times;
use super::message::Message;
use super::replay::Again;
use super::{Limits, WatermarkSpec};

/// How long a reader may block before it looks whether it is still wanted.
const WAIT: Duration = Duration::from_millis(50);
/// The same while somebody waits for the source to pause.
const SHORT: Duration = Duration::from_millis(1);
/// A source that never pauses is taken to have given what it had received when this time has passed.
const MARK_AFTER: Duration = Duration::from_secs(1);

/// Some rows of a partition.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) rows: RecordBatch,
    pub(super) times: Option<Times>,
    pub(super) bad: Vec<BadRecord>,
    /// Rows too far ahead of the clock.
    pub(super) ahead: RowRanges,
    /// Where the reader stood before it.
    pub(super) offset: u64,
    /// Where it stands behind it.
    pub(super) next_offset: u64,
    /// Rows of the read that came before these: more than 0 when a piece was cut.
    pub(super) skip: u64,
    pub(super) bytes: usize,
    /// Whether it reaches the end of the read.
    pub(super) last: bool,
}

impl Piece {
    /// Where the reader stands behind it.
    pub(super) fn end(&self) -> Position {
        if self.last {
            return Position { offset: self.next_offset, skip: 0 };
        }
        Position { offset: self.offset, skip: self.skip + self.rows.num_rows() as u64 }
    }

    /// Cuts off the first `rows` rows; bad records stay with the first part.
    pub(super) fn cut(&mut self, rows: usize) -> Self {
        let rest = self.rows.num_rows() - rows;
        let first = Self {
            rows: self.rows.slice(0, rows),
            times: self.times.as_ref().map(|t| t.slice(0, rows)),
            bad: std::mem::take(&mut self.bad),
            ahead: self.ahead.within(0..rows as u64),
            offset: self.offset,
            next_offset: self.next_offset,
            skip: self.skip,
            bytes: self.bytes * rows / (rows + rest).max(1),
            last: false,
        };
        self.rows = self.rows.slice(rows, rest);
        self.ahead = self.ahead.within(rows as u64..(rows + rest) as u64);
        self.times = self.times.as_ref().map(|t| t.slice(rows, rest));
        self.skip += rows as u64;
        self.bytes -= first.bytes;
        first
    }
}

/// What comes out of a queue, in order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are pieces")]
pub(super) enum Arrived {
    /// Rows.
    Piece(Piece),
    /// The answer to [`Queue::mark`]: everything received before it has been read.
    Mark(u64),
    /// A bounded source has ended.
    End {
        /// What must not differ on replay.
        fingerprint: String,
    },
    /// The source failed; nothing follows.
    Failed(Error),
}

/// The bounded queue between a reader's thread and the sequencer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Arrived>,
    rows: usize,
    bytes: usize,
    closed: bool,
    /// The newest mark asked for, and since when.
    wanted: Option<(u64, Instant)>,
    /// The sequencer was woken and has not looked yet.
    woken: bool,
}

impl Queue {
    /// Takes the next item.
    pub(super) fn pop(&self) -> Option<Arrived> {
        let mut state = self.state.lock();
        state.woken = false;
        let item = state.items.pop_front()?;
        if let Arrived::Piece(piece) = &item {
            state.rows -= piece.rows.num_rows();
            state.bytes -= piece.bytes;
            self.room.notify_one();
        }
        Some(item)
    }

    /// Gives back what was taken and not used up.
    pub(super) fn unpop(&self, item: Arrived) {
        let mut state = self.state.lock();
        if let Arrived::Piece(piece) = &item {
            state.rows += piece.rows.num_rows();
            state.bytes += piece.bytes;
        }
        state.items.push_front(item);
    }

    /// Looks at the offset behind the next piece; `None` when the next item is no piece or is not there.
    pub(super) fn next_boundary(&self) -> Option<u64> {
        match self.state.lock().items.front()? {
            Arrived::Piece(piece) => Some(piece.next_offset),
            Arrived::Mark(_) | Arrived::End { .. } | Arrived::Failed(_) => None,
        }
    }

    /// Whether there is anything, and whether it is something else than a piece.
    pub(super) fn peek(&self) -> Option<bool> {
        let mut state = self.state.lock();
        state.woken = false;
        state.items.front().map(|item| !matches!(item, Arrived::Piece(_)))
    }

    /// Rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.state.lock().rows
    }

    /// Asks for an [`Arrived::Mark`] behind everything that the source has received by now.
    pub(super) fn mark(&self, number: u64, now: Instant) {
        self.state.lock().wanted = Some((number, now));
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.room.notify_all();
    }
}

/// Where a reader begins.
pub(super) enum From {
    /// There; the rows to skip, and what was wrong before them, were admitted before.
    Position(Position),
    /// Where this reader is, behind these pieces.
    Reader(Again),
}

/// What a reader's thread needs.
pub(super) struct Ingest {
    pub(super) connector: Arc<dyn Connector>,
    pub(super) partition: u32,
    pub(super) from: From,
    pub(super) watermark: Option<WatermarkSpec>,
    pub(super) ahead: Option<MaxAhead>,
    pub(super) limits: Limits,
    pub(super) inbox: Sender<Message>,
    pub(super) name: String,
}

impl Ingest {
    /// Starts the thread.
    pub(super) fn start(self) -> Result<Arc<Queue>> {
        let queue = Arc::new(Queue { state: Mutex::default(), room: Condvar::new() });
        let theirs = Arc::clone(&queue);
        std::thread::Builder::new().name(format!("read {}", self.name)).spawn(move || self.run(&theirs))?;
        Ok(queue)
    }

    fn run(mut self, queue: &Queue) {
        let from = std::mem::replace(&mut self.from, From::Position(Position::default()));
        if let Err(error) = self.read(queue, from) {
            self.push(queue, Arrived::Failed(error));
        }
    }

    fn read(&self, queue: &Queue, from: From) -> Result<()> {
        let (mut reader, mut offset, mut skip) = match from {
            From::Position(from) => (self.connector.open(self.partition, from.offset)?, from.offset, from.skip),
            From::Reader(Again { reader, offset, left }) => {
                for mut piece in left {
                    // It was read to be judged by the log.
                    piece.ahead = self.ahead.map(|limit| limit.find(&piece.rows)).transpose()?.unwrap_or_default();
                    if !self.push(queue, Arrived::Piece(piece)) {
                        return Ok(());
                    }
                }
                (reader, offset, 0)
            }
        };
        // The mark to be answered, and whether the reader itself tells when it has got there.
        let mut marked: Option<(u64, bool)> = None;
        loop {
            // A pause answers only the mark that was asked for before the read began.
            let asked = queue.state.lock().wanted.map(|(number, _)| number);
            let mark = marked.or_else(|| asked.map(|number| (number, reader.mark())));
            let read = reader.read(if mark.is_some() { SHORT } else { WAIT })?;
            let there = matches!(read, Read::Waiting | Read::End) || mark.is_some_and(|_| reader.is_past_mark());
            match read {
                Read::Rows { rows, bad, next_offset } => {
                    let times = self.watermark.as_ref().map(|spec| Times::of(spec, &rows)).transpose()?;
                    let ahead = self.ahead.map(|limit| limit.find(&rows)).transpose()?.unwrap_or_default();
                    let bytes = rows.get_array_memory_size();
                    let mut piece = Piece { rows, times, bad, ahead, offset, next_offset, skip: 0, bytes, last: true };
                    offset = next_offset;
                    if skip > 0 {
                        let skipped = skip.min(piece.rows.num_rows() as u64);
                        piece.cut(skipped as usize);
                        skip -= skipped;
                    }
                    if !self.push(queue, Arrived::Piece(piece)) {
                        return Ok(());
                    }
                }
                Read::Waiting => {}
                Read::End => {
                    let fingerprint = self.connector.fingerprint()?;
                    self.push(queue, Arrived::End { fingerprint });
                    return Ok(());
                }
            }
            marked = mark.filter(|_| !there);
            if !self.answer_mark(queue, mark.filter(|_| there).map(|(number, _)| number), mark) {
                return Ok(());
            }
        }
    }

    /// Answers the mark at which the reader is, or one that has waited long for a reader that cannot tell; false when the
    /// queue is closed.
    fn answer_mark(&self, queue: &Queue, there: Option<u64>, mark: Option<(u64, bool)>) -> bool {
        let mark = {
            let mut state = queue.state.lock();
            if state.closed {
                return false;
            }
            let is_blind = mark.is_none_or(|(_, tells)| !tells);
            let old = state.wanted.filter(|(_, since)| is_blind && since.elapsed() >= MARK_AFTER);
            let answer = there.max(old.map(|(number, _)| number));
            // A newer one may have been asked for meanwhile.
            state.wanted = state.wanted.filter(|(number, _)| answer.is_none_or(|a| *number > a));
            answer
        };
        mark.is_none_or(|number| self.push(queue, Arrived::Mark(number)))
    }

    /// Waits for room, then appends and wakes the sequencer; false when the queue is closed.
    fn push(&self, queue: &Queue, item: Arrived) -> bool {
        let mut state = queue.state.lock();
        if let Arrived::Piece(piece) = &item {
            let (rows, bytes) = (piece.rows.num_rows(), piece.bytes);
            while !state.closed
                && !state.items.is_empty()
                && (state.rows + rows > self.limits.ingest_rows || state.bytes + bytes > self.limits.ingest_bytes)
            {
                queue.room.wait(&mut state);
            }
            state.rows += rows;
            state.bytes += bytes;
        }
        if state.closed {
            return false;
        }
        state.items.push_back(item);
        let wake = !std::mem::replace(&mut state.woken, true);
        drop(state);
        !wake || self.inbox.send(Message::Ingest).is_ok()
    }
}
