//! Archives: the raw rows of a source that passes only once, kept so that later views can read them.
//!
//! ```sql
//! CREATE SOURCE s (.., WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH (connector = 'socket', .., archive = '30 days') ..
//! ```
//!
//! ```text
//!  sequencer --rows of each epoch--> tail (memory, bounded) --published epochs--> groups of Parquet files
//!                                      |                                            |
//!                  a later view, SELECT <-- rows in arrival order, from the first that is kept
//! ```
//!
//! **What is kept.** The rows that were accepted, in arrival order, numbered; a *group* has consecutive ones, divided into a
//! file per day of event time: `DIR/archive/<source>/<day>/<first>-<end>-<k>of<n>-..parquet` with the source's columns,
//! `hw_epoch` and `hw_row`. Small groups are merged with their neighbour, so that there are few. Such a source is read
//! from CREATE on, whether views read it or not.
//!
//! **A later view** reads from the first row that is kept to the shared reader's position and joins it exactly there, as on
//! a source that can be read again (`runtime::sequencer::catchup`). Its clock begins with the watermark that stood before
//! that row, and with watermarks moved by hand where they were: each row is judged as it was the first time.
//!
//! **Exactly once.** Groups are written of published, and so durable, epochs only. A checkpoint is there only after all rows
//! until its epoch are in groups; the log behind it has the others. So at a start the groups reach at least to the
//! checkpoint, and rows of the log that are in groups already are known by their numbers. A group is there when all of its
//! files are; what is not whole, or is in a larger group, is removed when the archive is opened.
//!
//! **Retention.** A group goes when the watermark has passed its latest row by the retention, the oldest first: what is
//! kept begins at one row. Its files are removed once three checkpoints were taken since, as the log may still have a view
//! join that read it, and not while somebody reads. When the source is dropped all groups go: their files are removed as
//! soon as the DROP is durable, or, when a view has read them lately, once three checkpoints were taken since. What a process that
//! ended left of them is removed by the next start.
//!
//! **Bounded.** The tail is written when it has [`ROLL_BYTES`], and above [`TAIL_BYTES`] no epoch is closed, so that the source is slowed; a
//! disk that refuses is tried again.
//!
//! Uses: error, data, formats, connectors, checkpoint

mod group;
mod reader;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex};

use crate::checkpoint::Objects;
use crate::data::{Changes, Epoch, EventTime, batch_bytes};
use crate::error::{Error, Result, SqlState};

pub use group::check;
pub use reader::History;

use group::{Group, Numbered};

/// Bytes of rows in memory from which on they are written.
pub const ROLL_BYTES: usize = 16 << 20;
/// Bytes of rows in memory above which no more are taken.
pub const TAIL_BYTES: usize = 128 << 20;
/// Rows of a group from which on it is not merged.
const GROUP_ROWS: u64 = 131_072;
/// How often writing is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Checkpoints that have to be taken before what is gone is removed: two are kept, and a view may have joined while the
/// first one was written.
const KEPT_FOR: u32 = 3;

/// The rows of one source.
pub struct Archive {
    objects: Arc<dyn Objects>,
    schema: SchemaRef,
    /// The column of event time.
    time: usize,
    /// Microseconds.
    retention: i64,
    state: Mutex<State>,
    /// Rows have come.
    more: Condvar,
    /// Held while groups are written.
    writing: Mutex<()>,
    /// A thread writes.
    busy: AtomicBool,
    /// Says that there is room again.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct State {
    /// Ascending, without gaps.
    groups: Vec<Group>,
    /// Those of which files lacked at the start. Rows that did not come again from the log cannot be read.
    partial: Vec<Group>,
    /// Those whose retention is over, and how many checkpoints were taken since.
    gone: Vec<(Group, u32)>,
    tail: VecDeque<Entry>,
    tail_bytes: usize,
    /// Behind the last row.
    end: u64,
    published: Epoch,
    watermark: EventTime,
    readers: usize,
    /// How many checkpoints were taken since a view read it.
    unread_for: u32,
    /// The source is gone.
    dropped: bool,
}

/// What an archive keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rows, those that are not in files yet among them.
    pub rows: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// The oldest day of event time that has a file.
    pub oldest: Option<String>,
}

/// Rows that are not in a group yet, of one epoch.
struct Entry {
    first: u64,
    epoch: Epoch,
    /// The watermark at the end of the epoch before.
    before: EventTime,
    rows: RecordBatch,
}

impl Entry {
    fn end(&self) -> u64 {
        self.first + self.rows.num_rows() as u64
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({} rows)", self.state.lock().end)
    }
}

impl Archive {
    /// Opens what is there, perhaps nothing; `time` is the column of event time, `retention` microseconds.
    pub fn open(objects: Arc<dyn Objects>, schema: SchemaRef, time: usize, retention: i64) -> Result<Arc<Self>> {
        let (mut groups, mut partial, rest) = group::whole(objects.list()?);
        for name in rest {
            objects.remove(&name)?;
        }
        // A process that ended may have been at removing what was over, or at writing what the log still has.
        let now = groups.iter().map(|group| group.before.0).max().unwrap_or(i64::MIN);
        for group in partial.extract_if(.., |group| group.is_over(retention, now)) {
            group.remove(objects.as_ref())?;
        }
        for group in &partial {
            let (first, end) = (group.first, group.end);
            tracing::warn!("of rows {first} to {end} of an archive files lack: what the log has not cannot be read");
        }
        groups.iter_mut().try_for_each(|group| group.measure(objects.as_ref()))?;
        let end = groups.last().map_or(0, |group| group.end);
        // An earlier process may have had a view read it.
        let unread_for = if groups.is_empty() { KEPT_FOR } else { 0 };
        let (gone, tail, published, watermark) = (vec![], VecDeque::new(), Epoch(0), EventTime::MIN);
        let (tail_bytes, readers, dropped) = (0, 0, false);
        let state =
            State { groups, partial, gone, tail, tail_bytes, end, published, watermark, readers, unread_for, dropped };
        let state = Mutex::new(state);
        let (more, writing, busy, wake) = (Condvar::new(), Mutex::new(()), AtomicBool::new(false), OnceLock::new());
        Ok(Arc::new(Self { objects, schema, time, retention, state, more, writing, busy, wake }))
    }

    /// Who is told that there is room again.
    pub fn on_room(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    /// A checkpoint says that so many rows have come.
    pub fn resume(&self, rows: u64) {
        let mut state = self.state.lock();
        state.end = state.end.max(rows);
    }

    /// Takes the rows of one epoch, the first of which has this number; those that it has are left out.
    pub fn append(&self, first: u64, before: EventTime, epoch: Epoch, changes: &[Changes]) {
        let mut state = self.state.lock();
        state.watermark = state.watermark.max(before);
        let mut at = first;
        for Changes { rows, .. } in changes {
            let known = usize::try_from(state.end.saturating_sub(at)).unwrap_or(usize::MAX).min(rows.num_rows());
            let new = rows.slice(known, rows.num_rows() - known);
            let first = at + known as u64;
            at += rows.num_rows() as u64;
            if new.num_rows() > 0 {
                state.end = at;
                state.tail_bytes += batch_bytes(&new);
                state.tail.push_back(Entry { first, epoch, before, rows: new });
            }
        }
        drop(state);
        self.more.notify_all();
    }

    /// Everything until an epoch is published: it may be written.
    pub fn published(self: &Arc<Self>, epoch: Epoch) {
        let mut state = self.state.lock();
        state.published = state.published.max(epoch);
        if state.tail_bytes >= ROLL_BYTES && !self.busy.swap(true, Ordering::AcqRel) {
            let archive = Arc::downgrade(self);
            let write = move || {
                while let Some(archive) = archive.upgrade() {
                    let epoch = archive.state.lock().published;
                    match archive.write_to(epoch) {
                        Ok(()) => {
                            archive.busy.store(false, Ordering::Release);
                            return archive.wake.get().into_iter().for_each(|wake| wake());
                        }
                        Err(error) => tracing::warn!("an archive cannot be written, and is tried again: {error}"),
                    }
                    drop(archive);
                    std::thread::sleep(RETRY);
                }
            };
            if std::thread::Builder::new().name("archive".into()).spawn(write).is_err() {
                self.busy.store(false, Ordering::Release);
            }
        }
    }

    /// Whether it takes more rows.
    pub fn has_room(&self) -> bool {
        self.state.lock().tail_bytes < TAIL_BYTES
    }

    /// Writes all rows until an epoch, which is published.
    ///
    /// Errors: `53100` there is no room, `58030`.
    pub fn write_to(&self, epoch: Epoch) -> Result<()> {
        let _writing = self.writing.lock();
        let (new, merged) = {
            let state = self.state.lock();
            if state.dropped {
                return Ok(());
            }
            let ready: Vec<&Entry> = state.tail.iter().take_while(|entry| entry.epoch <= epoch).collect();
            let Some(first) = ready.first() else { return Ok(()) };
            let mut rows: u64 = ready.iter().map(|entry| entry.rows.num_rows() as u64).sum();
            let mut merged: Vec<Group> = Vec::new();
            for last in state.groups.iter().rev() {
                let begins = merged.first().map_or(first.first, |group| group.first);
                if last.end != begins || last.rows() > 2 * rows || last.rows() + rows > GROUP_ROWS {
                    break;
                }
                rows += last.rows();
                merged.insert(0, last.clone());
            }
            let new: Vec<(u64, Epoch, EventTime, RecordBatch)> =
                ready.iter().map(|entry| (entry.first, entry.epoch, entry.before, entry.rows.clone())).collect();
            (new, merged)
        };
        let before = merged.first().map_or(new[0].2, |group| group.before);
        let mut parts = Vec::new();
        for group in &merged {
            parts.push(group.read(self.objects.as_ref(), &self.schema)?);
        }
        for (first, epoch, _, rows) in &new {
            parts.push(Numbered::of(&self.schema, *first, *epoch, rows)?);
        }
        let rows = Numbered::concat(&self.schema, &parts)?;
        let group = Group::write(self.objects.as_ref(), &rows, self.time, before)?;
        let mut state = self.state.lock();
        while state.tail.front().is_some_and(|entry| entry.end() <= group.end) {
            let Some(entry) = state.tail.pop_front() else { break };
            state.tail_bytes = state.tail_bytes.saturating_sub(batch_bytes(&entry.rows));
        }
        let kept = state.groups.len() - merged.len();
        state.groups.truncate(kept);
        state.groups.push(group);
        self.expire(&mut state);
        drop(state);
        // They are in the new one.
        merged.iter().try_for_each(|group| group.remove(self.objects.as_ref()))
    }

    /// Lets go of the oldest groups whose retention is over.
    fn expire(&self, state: &mut State) {
        let EventTime(now) = state.watermark;
        let over = |group: &Group| group.is_over(self.retention, now);
        state.partial.retain(|group| !over(group));
        while state.groups.first().is_some_and(over) {
            let group = state.groups.remove(0);
            state.gone.push((group, 0));
        }
    }

    /// A checkpoint was taken: what is gone for long is removed.
    pub fn checkpoint_taken(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.gone.iter_mut().for_each(|(_, checkpoints)| *checkpoints += 1);
        state.unread_for = if state.readers > 0 { 0 } else { state.unread_for.saturating_add(1) };
        drop(state);
        self.remove_gone()
    }

    /// The source was dropped, and that is durable: a thread removes what is of no use any more.
    pub fn leave(self: &Arc<Self>) {
        let archive = Arc::clone(self);
        let leave = move || {
            if let Err(error) = archive.let_go() {
                tracing::warn!("the archive of a source that was dropped is removed by the next start: {error}");
            }
        };
        if std::thread::Builder::new().name("archive".into()).spawn(leave).is_err() {
            tracing::warn!("the archive of a source that was dropped is removed by the next start");
        }
    }

    fn let_go(&self) -> Result<()> {
        // Who writes is done.
        let _writing = self.writing.lock();
        let mut state = self.state.lock();
        state.dropped = true;
        // The log behind the checkpoints may still have a view join that read it.
        let unread_for = state.unread_for;
        let groups = std::mem::take(&mut state.groups);
        state.gone.extend(groups.into_iter().map(|group| (group, unread_for)));
        if state.readers == 0 {
            state.tail.clear();
            state.tail_bytes = 0;
        }
        drop(state);
        self.remove_gone()
    }

    /// Removes the files of what is gone for long enough.
    fn remove_gone(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.readers > 0 {
            return Ok(());
        }
        let (removed, kept) = std::mem::take(&mut state.gone).into_iter().partition(|(_, n)| *n >= KEPT_FOR);
        state.gone = kept;
        drop(state);
        let removed: Vec<(Group, u32)> = removed;
        removed.iter().try_for_each(|(group, _)| group.remove(self.objects.as_ref()))
    }

    /// Whether nothing is left of one that was let go of.
    pub fn is_gone(&self) -> bool {
        let state = self.state.lock();
        state.dropped && state.gone.is_empty()
    }

    /// What it keeps.
    pub fn kept(&self) -> Kept {
        let state = self.state.lock();
        let first = state.groups.first().map(|group| group.first).or(state.tail.front().map(|entry| entry.first));
        let oldest = state.groups.iter().filter_map(Group::oldest_day).min();
        Kept {
            rows: first.map_or(0, |first| state.end - first),
            bytes: state.groups.iter().map(|group| group.bytes).sum(),
            oldest: oldest.map(str::to_owned),
        }
    }

    /// The first row that is kept, and the watermark before it. Of which files lack is kept too, and not readable.
    pub fn start(&self) -> (u64, EventTime) {
        let state = self.state.lock();
        let groups = state.groups.iter().chain(&state.partial).map(|group| (group.first, group.before));
        let entry = state.tail.front().map(|entry| (entry.first, entry.before));
        groups.chain(entry).min_by_key(|(first, _)| *first).unwrap_or((state.end, state.watermark))
    }

    /// The watermark before a row at which a reader began.
    pub fn watermark_before(&self, row: u64) -> EventTime {
        let state = self.state.lock();
        let groups = state.gone.iter().map(|(group, _)| group).chain(&state.groups);
        let mut known = groups.map(|group| (group.first, group.before));
        let known = known.find(|(first, _)| *first == row).map(|(_, before)| before);
        let entry = || state.tail.iter().find(|entry| entry.first == row).map(|entry| entry.before);
        known.or_else(entry).unwrap_or(EventTime::MIN)
    }

    /// Behind the last row, or behind the last of those that are published.
    fn end(&self, published: bool) -> u64 {
        let state = self.state.lock();
        let hidden = state.tail.iter().find(|entry| entry.epoch > state.published);
        hidden.filter(|_| published).map_or(state.end, |entry| entry.first)
    }

    /// Rows from one on; none when it has not come within a time.
    fn rows_from(&self, row: u64, wait: Duration) -> Result<Option<RecordBatch>> {
        loop {
            let found = {
                let mut state = self.state.lock();
                if state.end <= row {
                    self.more.wait_for(&mut state, wait);
                    if state.end <= row {
                        return Ok(None);
                    }
                }
                if let Some(entry) = state.tail.iter().find(|entry| (entry.first..entry.end()).contains(&row)) {
                    let skip = usize::try_from(row - entry.first).unwrap_or(0);
                    return Ok(Some(entry.rows.slice(skip, entry.rows.num_rows() - skip)));
                }
                let mut groups = state.gone.iter().map(|(group, _)| group).chain(&state.groups);
                groups.find(|group| (group.first..group.end).contains(&row)).cloned()
            };
            let Some(group) = found else {
                let message = format!("row {row} of an archive is not there");
                return Err(Error::new(SqlState::DATA_CORRUPTED, message)
                    .with_hint("Put its files back; they are in the folder archive of the data directory."));
            };
            match group.read(self.objects.as_ref(), &self.schema) {
                Ok(rows) => return rows.rows(&self.schema, usize::try_from(row - group.first).unwrap_or(0)).map(Some),
                // It was merged meanwhile.
                Err(error) if error.code() == SqlState::UNDEFINED_FILE && !self.has(&group) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn has(&self, group: &Group) -> bool {
        let state = self.state.lock();
        state.groups.contains(group) || state.gone.iter().any(|(gone, _)| gone == group)
    }
}
