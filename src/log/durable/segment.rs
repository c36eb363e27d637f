//! The log's files, and what is in them.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::error::{Error, Result, SqlState};

use super::super::disk::Disk;
use super::super::frame::{Frame, MAGIC};
use super::super::{LogPlace, LogReader, Progress, Record, Wanted};
use super::Pace;

/// magic, number, bytes of the file before, crc.
pub(super) const HEADER: usize = 28;
/// How far the log was synced: number, bytes, crc. Written without a sync: see [`super`].
pub(super) const SYNCED: &str = "synced";

/// A file's name.
pub(super) fn name(number: u64) -> String {
    format!("{number:020}.log")
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20).and_then(|digits| digits.parse().ok())
}

/// A file's first bytes.
pub(super) fn header(number: u64, before: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&before.to_le_bytes());
    let crc = crc32fast::hash(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What [`SYNCED`] holds.
pub(super) fn synced(number: u64, bytes: u64) -> [u8; 20] {
    let mut mark = [0; 20];
    mark[..8].copy_from_slice(&number.to_le_bytes());
    mark[8..16].copy_from_slice(&bytes.to_le_bytes());
    let crc = crc32fast::hash(&mark[..16]);
    mark[16..].copy_from_slice(&crc.to_le_bytes());
    mark
}

fn read_synced(bytes: &[u8]) -> Option<(u64, u64)> {
    let (mark, crc) = bytes.split_at_checked(16)?;
    let word = |at: usize| mark[at..at + 8].try_into().map(u64::from_le_bytes);
    (crc == crc32fast::hash(mark).to_le_bytes()).then_some((word(0).ok()?, word(8).ok()?))
}

impl LogPlace {
    /// Where a log begins.
    pub const START: Self = Self { file: 1, byte: HEADER as u64 };

    /// Where one begins that shares no file with a log that went so far, and is lost.
    pub fn beyond(self) -> Self {
        Self { file: self.file + (1 << 20), ..Self::START }
    }
}

/// One file of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Good bytes in it.
    pub(super) bytes: u64,
}

/// A log on a disk, as the last process left it.
pub struct LogFiles {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segments: Vec<Segment>,
    /// Where reading begins.
    pub(super) from: LogPlace,
    /// The oldest file that may be there.
    pub(super) first: u64,
    /// How far the newest file is known to have been synced.
    pub(super) synced: u64,
    pub(super) pace: Pace,
    /// Bytes of what was being written when the last process ended, which nobody was told of; they are cut off.
    pub cut: u64,
}

impl LogFiles {
    /// Looks at the files from a place on, and at the end of the newest. Changes nothing.
    ///
    /// Errors: `XX001` what was acknowledged is damaged or gone (with file and byte), `58030` the disk.
    pub fn find(disk: Arc<dyn Disk>, from: LogPlace) -> Result<Self> {
        let mut numbers: Vec<u64> = disk.list().map_err(io_error)?.iter().filter_map(|n| number(n)).collect();
        numbers.sort_unstable();
        let first = numbers.first().copied().unwrap_or(from.file);
        numbers.retain(|number| *number >= from.file);
        let mark = match disk.read(SYNCED) {
            Ok(bytes) => read_synced(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(io_error(error)),
        };
        let pace = Pace::default();
        let mut files = Self { disk, segments: vec![], from, first, synced: 0, pace, cut: 0 };
        for (i, number) in numbers.iter().copied().enumerate() {
            let expected = from.file + i as u64;
            if number != expected {
                return Err(files.missing(expected));
            }
            let (head, length) = files.disk.read_head(&name(number), HEADER).map_err(io_error)?;
            let promised = mark.filter(|(segment, _)| *segment == number).map_or(0, |(_, bytes)| bytes);
            let is_from = number == from.file && from.byte > LogPlace::START.byte;
            let promised = if is_from { promised.max(from.byte) } else { promised };
            files.synced = promised;
            // Only the newest can end within a record; the others are checked when they are read.
            let good = if i + 1 == numbers.len() { files.good_bytes(number, promised)? } else { length };
            if good < promised {
                let what = format!("it ends there, but {promised} bytes of it had been written for good");
                return Err(files.damaged(number, good, &what));
            }
            let before = files.segments.last().map_or_else(|| own_before(&head), |s| s.bytes);
            if good > 0 && head != header(number, before) {
                return Err(files.damaged(number, 0, "its header is not the one that follows the file before"));
            }
            files.cut += length - good;
            files.segments.push(Segment { number, bytes: good });
        }
        if files.segments.is_empty() && from.byte > LogPlace::START.byte {
            return Err(files.missing(from.file));
        }
        let newest = files.segments.last().map_or(0, |s| s.number);
        if let Some((number, _)) = mark.filter(|(number, _)| *number > newest) {
            return Err(files.missing(number));
        }
        // Nothing of it was ever promised.
        if files.segments.last().is_some_and(|s| s.bytes == 0) {
            files.segments.pop();
        }
        Ok(files)
    }

    /// With files of so many bytes.
    #[cfg(test)]
    pub fn in_files_of(mut self, bytes: u64) -> Self {
        self.pace.segment_bytes = bytes;
        self.pace.retry = std::time::Duration::from_millis(1);
        self
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes that are to be read.
    pub fn bytes(&self) -> u64 {
        let before = if self.segments.is_empty() { 0 } else { self.from.byte - LogPlace::START.byte };
        self.segments.iter().map(|s| s.bytes).sum::<u64>() - before
    }

    /// Bytes of records from a place on.
    pub fn bytes_from(&self, place: LogPlace) -> u64 {
        let skipped = |s: &Segment| if s.number == place.file { place.byte } else { HEADER as u64 };
        let behind = self.segments.iter().filter(|s| s.number >= place.file);
        behind.map(|s| s.bytes.saturating_sub(skipped(s))).sum()
    }

    fn read(&self, number: u64) -> Result<Vec<u8>> {
        self.disk.read(&name(number)).map_err(io_error)
    }

    /// The length of what is good in a file that may end within a record; what is bad within `promised` bytes is damage.
    fn good_bytes(&self, number: u64, promised: u64) -> Result<u64> {
        let bytes = self.read(number)?;
        let torn = |at: usize, what: &str| match at as u64 {
            at if at < promised => Err(self.damaged(number, at, what)),
            at => Ok(at),
        };
        if bytes.len() < HEADER || bytes[..HEADER] != header(number, own_before(&bytes)) {
            return torn(0, "the checksum of its header does not match");
        }
        let mut at = HEADER;
        while at < bytes.len() {
            match Frame::read(&bytes[at..]) {
                Ok((_, length)) => at += length,
                Err(what) => return torn(at, &what),
            }
        }
        Ok(at as u64)
    }

    fn missing(&self, number: u64) -> Error {
        corrupted(format!("\"{}\" is missing from the input log", self.disk.path(&name(number))))
    }

    fn damaged(&self, number: u64, at: u64, what: &str) -> Error {
        corrupted(format!("\"{}\" is damaged at byte {at}: {what}", self.disk.path(&name(number))))
    }
}

impl LogReader for LogFiles {
    fn records(&self, wanted: Wanted) -> Box<dyn Iterator<Item = Result<Record>> + '_> {
        let what = match wanted {
            Wanted::All => "reading back the input log",
            Wanted::Leaves => "looking through the input log",
        };
        let progress = Progress::new(what, Self::bytes(self));
        Box::new(Records { files: self, next: 0, open: None, wanted, ended: false, progress })
    }

    fn bytes(&self) -> u64 {
        Self::bytes(self)
    }
}

/// The records of all files.
struct Records<'a> {
    files: &'a LogFiles,
    next: usize,
    /// The file that is read, its good bytes, and how far it is read.
    open: Option<(u64, Vec<u8>, usize)>,
    wanted: Wanted,
    ended: bool,
    progress: Progress,
}

impl Records<'_> {
    fn read(&mut self) -> Result<Option<Record>> {
        loop {
            let Some((number, bytes, at)) = &mut self.open else {
                let Some(segment) = self.files.segments.get(self.next) else { return Ok(None) };
                self.next += 1;
                let mut bytes = self.files.read(segment.number)?;
                bytes.truncate(segment.bytes as usize);
                let at = if segment.number == self.files.from.file { self.files.from.byte as usize } else { HEADER };
                self.open = Some((segment.number, bytes, at));
                continue;
            };
            if *at == bytes.len() {
                self.open = None;
                continue;
            }
            let damaged = |what: &str| self.files.damaged(*number, *at as u64, what);
            let (frame, length) = Frame::read(&bytes[*at..]).map_err(|what| damaged(&what))?;
            let record = match self.wanted {
                Wanted::Leaves if !frame.is_leave() => None,
                Wanted::Leaves | Wanted::All => Some(frame.decode().map_err(|error| damaged(error.message()))?),
            };
            *at += length;
            if let Some(line) = self.progress.add(length as u64) {
                let epoch = record.as_ref().map_or_else(String::new, |r| format!(", at epoch {}", r.epoch()));
                tracing::info!("{line}{epoch}");
            }
            if record.is_some() {
                return Ok(record);
            }
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}

/// The bytes of the file before, as a header says.
fn own_before(header: &[u8]) -> u64 {
    header.get(16..24).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn corrupted(message: String) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, message)
        .with_hint("what was acknowledged cannot be read back: put the data directory back from a copy")
}

pub(super) fn io_error(error: io::Error) -> Error {
    Error::new(SqlState::IO_ERROR, format!("the input log: {error}"))
}
