//! What waits for a sink that does not get on goes to disk: into a file of the data directory that has no name, so that it
//! is gone with the last that is read of it, or with the process. Nobody needs it after that: the log has it, or a
//! checkpoint.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::feed::{Queued, Sink, State};
use super::item::{Size, Stored};
use super::{Item, SinkPhase};
use crate::config::SINK_SPILL_BYTES;
use crate::data::{Changes, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::log::{read_changes, write_changes};

/// A file without a name.
#[derive(Debug)]
struct Nameless {
    file: File,
    bytes: u64,
    /// Bytes of all such files.
    all: Arc<AtomicU64>,
}

impl Drop for Nameless {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// An item in such a file.
#[derive(Debug)]
struct Spilled {
    file: Arc<Nameless>,
    at: u64,
    bytes: usize,
    crc: u32,
    size: Size,
    is_snapshot: bool,
}

impl Stored for Spilled {
    fn read(&self) -> Result<Vec<Changes>> {
        let mut bytes = vec![0; self.bytes];
        self.file.file.read_exact_at(&mut bytes, self.at)?;
        if crc32fast::hash(&bytes) != self.crc {
            let message = "what waited for a sink on disk is damaged: the checksum does not match";
            return Err(Error::new(SqlState::DATA_CORRUPTED, message));
        }
        read_changes(&bytes)
    }

    fn size(&self) -> Size {
        self.size
    }

    fn is_snapshot(&self) -> bool {
        self.is_snapshot
    }
}

/// Where a runtime's sinks put what they cannot keep.
#[derive(Debug, Default)]
pub(super) struct Spill {
    folder: Option<Box<Path>>,
    /// Bytes that are there.
    bytes: Arc<AtomicU64>,
    files: AtomicU64,
}

impl Spill {
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Box::from), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether there may be more.
    fn has_room(&self) -> bool {
        self.folder.is_some() && self.bytes.load(Ordering::Acquire) < SINK_SPILL_BYTES
    }

    /// Writes what is in memory of these, and gives it back as it is then.
    fn put<'a>(&self, ObjectId(sink): ObjectId, queued: impl Iterator<Item = &'a Queued>) -> Result<Vec<Item>> {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for queued in queued {
            let (Item::Changes(changes) | Item::Rows(changes)) = &queued.item else { continue };
            let own = write_changes(changes)?;
            places.push((bytes.len() as u64, own.len(), crc32fast::hash(&own), &queued.item));
            bytes.extend_from_slice(&own);
        }
        let folder = self.folder.as_deref().ok_or_else(|| Error::internal("there is no folder for what waits"))?;
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{sink}-{}", self.files.fetch_add(1, Ordering::Relaxed)));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        file.write_all_at(&bytes, 0)?;
        let bytes = bytes.len() as u64;
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let file = Arc::new(Nameless { file, bytes, all: Arc::clone(&self.bytes) });
        let item = |(at, bytes, crc, item): (u64, usize, u32, &Item)| {
            let (file, size, is_snapshot) = (Arc::clone(&file), item.size().0, item.is_snapshot());
            Item::Stored(Arc::new(Spilled { file, at, bytes, crc, size, is_snapshot }))
        };
        Ok(places.into_iter().map(item).collect())
    }
}

impl Sink {
    /// Something came. When much waits, and this sink does not get on, what it holds in memory goes to disk.
    pub(super) fn make_room(&self, state: &mut State) {
        let is_behind = state.phase != SinkPhase::Running || self.budget.is_nearly_full();
        if state.is_leaving || state.held == 0 || !is_behind || !self.budget.is_short() {
            return;
        }
        if !self.budget.spill.has_room() {
            if state.is_put_off() {
                let message = format!("more than {} GiB wait for it", SINK_SPILL_BYTES >> 30);
                self.give_up(state, Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
            }
            return;
        }
        match self.budget.spill.put(self.id, state.items.iter().filter(|queued| queued.held > 0)) {
            Ok(stored) => {
                for (queued, item) in state.items.iter_mut().filter(|queued| queued.held > 0).zip(stored) {
                    (queued.item, queued.held) = (item, 0);
                }
                self.budget.give_back(std::mem::take(&mut state.held));
                state.is_cramped = false;
            }
            // It stays in memory: writers wait, as long as there is no room.
            Err(error) if !std::mem::replace(&mut state.is_cramped, true) => {
                tracing::warn!("what waits for sink \"{}\" cannot be put on disk: {error}", self.name());
            }
            Err(_) => {}
        }
    }

    /// The disk refuses, and there is no room for what waits.
    pub(super) fn give_way(&self) {
        let state = self.state.lock();
        let refused = state.error.clone().filter(|_| state.phase == SinkPhase::Retrying);
        drop(state);
        if let Some(error) = refused {
            self.put_off(error);
        }
    }

    /// It goes on at a later start, behind what is written now; until then it keeps what comes.
    pub(super) fn put_off(&self, error: Error) {
        let mut state = self.state.lock();
        state.held_at = Some(state.durable());
        state.phase = SinkPhase::Failed;
        state.error = Some(error.with_hint("It goes on when the server is started again and can write its files."));
        state.refusals += 1;
        self.say_failed(&state);
        self.make_room(&mut state);
        drop(state);
        self.tell();
        self.changed.notify_all();
    }
}
