//! The thread that writes and syncs.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::data::{Epoch, Packer};
use crate::error::{Error, Result, SqlState, caught};

use super::super::disk::{Disk, DiskFile};
use super::super::frame;
use super::super::{LogPlace, LogPosition, Record};
use super::segment::{HEADER, LogFiles, SYNCED, Segment, header, io_error, name, synced};
use super::{LogNews, Pace, State};

/// Bytes written in one go, unless one record is larger.
const GROUP_BYTES: usize = 16 << 20;

/// A record to write.
pub(super) struct Append {
    pub(super) record: Record,
    pub(super) position: LogPosition,
}

/// Its bytes.
struct Encoded {
    frame: Vec<u8>,
    position: LogPosition,
    /// The last epoch that is whole with it.
    closed: Epoch,
}

impl Append {
    fn encode(self, packer: &mut Packer) -> Result<Encoded> {
        let mut frame = Vec::new();
        frame::write_packed(&self.record, packer, &mut frame)?;
        Ok(Encoded { frame, position: self.position, closed: self.record.closed() })
    }
}

/// The newest file, open.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    state: Arc<State>,
    file: Option<Box<dyn DiskFile>>,
    mark: Box<dyn DiskFile>,
    segment: Segment,
    pace: Pace,
}

impl Writer {
    /// Opens the newest file behind its good bytes, and syncs it.
    pub(super) fn open(files: &LogFiles, state: Arc<State>) -> Result<Self> {
        let disk = Arc::clone(&files.disk);
        let newest = files.segments.last().copied();
        let segment = newest.unwrap_or(Segment { number: files.from.file - 1, bytes: 0 });
        let mark = disk.open(SYNCED).map_err(io_error)?;
        let mut writer = Self { disk, state, file: None, mark, segment, pace: files.pace };
        let opened = match newest {
            Some(segment) => writer.reopen(segment, files.synced),
            None => writer.next_file(),
        };
        opened.and_then(|()| writer.sync()).map_err(io_error)?;
        writer.tell_end();
        Ok(writer)
    }

    /// What was not known to be synced is written once more: after a sync that failed the kernel takes it for written, and
    /// the next sync would say that it is.
    fn reopen(&mut self, segment: Segment, synced: u64) -> io::Result<()> {
        // A file behind it never got its header.
        let torn = name(segment.number + 1);
        if self.disk.list()?.contains(&torn) {
            self.disk.remove(&torn)?;
        }
        let mut file = self.disk.open(&name(segment.number))?;
        file.set_len(segment.bytes)?;
        let bytes = self.disk.read(&name(segment.number))?;
        file.write_at(bytes.get(synced as usize..).unwrap_or_default(), synced)?;
        self.file = Some(file);
        self.disk.sync_names()
    }

    /// Begins the next file; the one before must be synced.
    fn next_file(&mut self) -> io::Result<()> {
        let number = self.segment.number + 1;
        let mut file = self.disk.open(&name(number))?;
        file.write_at(&header(number, self.segment.bytes), 0)?;
        file.sync()?;
        self.disk.sync_names()?;
        self.file = Some(file);
        self.segment = Segment { number, bytes: HEADER as u64 };
        Ok(())
    }

    /// Syncs what was written, and notes that it is.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.sync()?;
        }
        self.mark.write_at(&synced(self.segment.number, self.segment.bytes), 0)
    }

    fn tell_end(&self) {
        *self.state.end.lock() = Some(LogPlace { file: self.segment.number, byte: self.segment.bytes });
    }

    /// Until the queue is gone.
    pub(super) fn run(&mut self, queue: &Receiver<Append>, news: &dyn Fn(LogNews)) {
        if let Err(error) = caught(|| self.serve(queue, news)) {
            news(LogNews::Failed(error));
        }
    }

    fn serve(&mut self, queue: &Receiver<Append>, news: &dyn Fn(LogNews)) -> Result<()> {
        let (mut next, mut packer): (Option<Encoded>, _) = (None, Packer::new()?);
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match queue.recv() {
                    Ok(first) => first.encode(&mut packer)?,
                    Err(_) => return Ok(()),
                },
            };
            let mut group = first.frame;
            let (mut position, mut epoch) = (first.position, first.closed);
            while group.len() < GROUP_BYTES
                && let Ok(more) = queue.try_recv()
            {
                let more = more.encode(&mut packer)?;
                if self.segment.bytes + (group.len() + more.frame.len()) as u64 > self.pace.segment_bytes {
                    next = Some(more);
                    break;
                }
                group.extend_from_slice(&more.frame);
                (position, epoch) = (more.position, more.closed);
            }
            let began = Instant::now();
            match self.write(&group, news) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    let message = format!("the input log cannot be written: {error}");
                    return Err(Error::new(SqlState::IO_ERROR, message));
                }
            }
            self.tell_end();
            self.state.bytes.fetch_add(group.len() as u64, Ordering::AcqRel);
            self.state.durable.store(position.0, Ordering::Release);
            news(LogNews::Durable { position, epoch, bytes: group.len(), took: began.elapsed() });
        }
    }

    /// Writes and syncs; waits while the disk is full. False when that is given up because the process ends.
    fn write(&mut self, group: &[u8], news: &dyn Fn(LogNews)) -> io::Result<bool> {
        loop {
            match self.put(group) {
                Ok(()) => break,
                Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                    if !self.state.full.swap(true, Ordering::AcqRel) {
                        tracing::warn!("the disk of the data directory is full: writers are refused until it has room");
                        news(LogNews::Full(true));
                    }
                    if self.state.stopping.load(Ordering::Acquire) {
                        return Ok(false);
                    }
                    std::thread::sleep(self.pace.retry);
                }
                Err(error) => return Err(error),
            }
        }
        self.sync()?;
        if self.state.full.swap(false, Ordering::AcqRel) {
            tracing::info!("the disk of the data directory has room again");
            news(LogNews::Full(false));
        }
        Ok(true)
    }

    /// Writes behind what is there. After an error nothing has changed that anybody reads.
    fn put(&mut self, group: &[u8]) -> io::Result<()> {
        let length = group.len() as u64;
        if self.segment.bytes > HEADER as u64 && self.segment.bytes + length > self.pace.segment_bytes {
            self.next_file()?;
        }
        let at = self.segment.bytes;
        if let Some(file) = &mut self.file {
            file.write_at(group, at)?;
        }
        self.segment.bytes += length;
        Ok(())
    }
}
