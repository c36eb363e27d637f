//! The log on a disk.
//!
//! ```text
//!  folder  = one file after the other, numbered without a gap, and `synced`; those before a checkpoint are removed
//!  file    = header (magic, number u64, bytes of the file before u64, crc32 u32), record*
//!  synced  = number u64, bytes u64, crc32 u32: so far the log survives
//! ```
//!
//! One thread encodes what was appended meanwhile, packs what is long, writes it in one go and syncs it (group commit), while
//! the sequencer goes on; it then says what has become durable. Only then writers are answered and epochs shown.
//!
//! A process that ends while it writes leaves a torn end, which nobody was told of and which is cut off. Damage to what
//! was acknowledged must not be taken for that: `synced` is written after every sync and before any answer, without a
//! sync of its own. After a kill it is as new as the log, so that a flipped byte in the very last record is seen; after
//! a power loss it may be older, and what lies behind it counts as torn.
//!
//! * The disk is full: what was appended waits until there is room, and [`InputLog::is_full`] says so, so that writers
//!   are refused. Nothing is lost.
//! * A sync fails, or any other write: the process must end. What the kernel then holds of the file is unknown.

mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use parking_lot::Mutex;

use crate::config::LOG_FILE_BYTES;
use crate::data::Epoch;
use crate::error::{Error, Result};

use super::frame;
use super::{InputLog, LogPlace, LogPosition, LogReader, Record, Wanted};

pub use segment::LogFiles;
use writer::{Append, Writer};

/// How files are written.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Bytes of a file, above which the next one begins.
    segment_bytes: u64,
    /// How often a full disk is tried again.
    retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { segment_bytes: LOG_FILE_BYTES, retry: Duration::from_millis(100) }
    }
}

/// What the log's thread has to say.
#[derive(Debug)]
pub enum LogNews {
    /// Everything appended up to there is durable.
    Durable {
        /// Up to here.
        position: LogPosition,
        /// The last epoch that it holds as a whole.
        epoch: Epoch,
        /// Bytes written at once.
        bytes: usize,
        /// How long it took to write and sync them.
        took: Duration,
    },
    /// The disk is full, or has room again.
    Full(bool),
    /// It cannot go on.
    Failed(Error),
}

/// The log on a disk.
pub struct DurableLog {
    queue: Option<Sender<Append>>,
    thread: Option<JoinHandle<()>>,
    appended: u64,
    state: Arc<State>,
    files: LogFiles,
}

/// What its thread says between news.
#[derive(Debug, Default)]
struct State {
    durable: AtomicU64,
    bytes: AtomicU64,
    /// The end of what is durable.
    end: Mutex<Option<LogPlace>>,
    full: AtomicBool,
    stopping: AtomicBool,
}

/// A log of which all that was found is durable, and behind which nothing is written yet.
pub struct OpenLog {
    writer: Writer,
    state: Arc<State>,
}

impl OpenLog {
    /// Cuts the torn end off, and syncs: what a process that was killed had not synced may be lost with the power, until
    /// this returns.
    pub fn open(files: &LogFiles) -> Result<Self> {
        let state = Arc::new(State { bytes: files.bytes().into(), ..State::default() });
        let writer = Writer::open(files, Arc::clone(&state))?;
        Ok(Self { writer, state })
    }

    /// Goes on behind what was found. `news` is called by the log's thread.
    pub fn start(self, files: LogFiles, news: impl Fn(LogNews) + Send + 'static) -> Result<DurableLog> {
        let Self { mut writer, state } = self;
        let (queue, appended) = unbounded();
        let thread =
            std::thread::Builder::new().name("input log".into()).spawn(move || writer.run(&appended, &news))?;
        Ok(DurableLog { queue: Some(queue), thread: Some(thread), appended: 0, state, files })
    }
}

impl InputLog for DurableLog {
    fn append(&mut self, record: &Record) -> Result<LogPosition> {
        self.appended += 1;
        if let Some(queue) = &self.queue {
            // When the thread has failed it has said so.
            let _ = queue.send(Append { record: record.clone(), position: LogPosition(self.appended) });
        }
        Ok(LogPosition(self.appended))
    }

    fn durable(&self) -> LogPosition {
        LogPosition(self.state.durable.load(Ordering::Acquire))
    }

    fn is_full(&self) -> bool {
        self.state.full.load(Ordering::Acquire)
    }

    fn end(&self) -> Option<LogPlace> {
        // First how far it is: the end is not before that.
        let is_all = self.durable().0 >= self.appended;
        (*self.state.end.lock()).filter(|_| is_all)
    }

    fn forget(&mut self, before: LogPlace) -> Result<()> {
        while self.files.first < before.file {
            match self.files.disk.remove(&segment::name(self.files.first)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    // It is only in the way: the next checkpoint, or start, tries again.
                    tracing::warn!("a file of the input log that nobody needs cannot be removed: {error}");
                    break;
                }
                Ok(()) | Err(_) => self.files.first += 1,
            }
        }
        Ok(())
    }

    /// Nothing is forgotten before a checkpoint has it.
    fn cut(&mut self, _epoch: Epoch) -> Result<()> {
        Ok(())
    }

    fn read_from(&self, _epoch: Epoch) -> Result<Vec<u8>> {
        let mut bytes = frame::MAGIC.to_vec();
        for record in LogFiles::find(Arc::clone(&self.files.disk), self.files.from)?.records(Wanted::All) {
            frame::write(&record?, &mut bytes)?;
        }
        Ok(bytes)
    }

    fn bytes(&self) -> usize {
        self.state.bytes.load(Ordering::Acquire) as usize
    }
}

impl Drop for DurableLog {
    /// Writes what was appended, unless the disk is full, and ends the thread.
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::Release);
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the input log's thread panicked");
        }
    }
}
