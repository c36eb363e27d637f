//! Reads followed files by the journal, and where it ends, further.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::files::{News, read_at, reopen};
use super::journal::{Run, What};
use super::{Follow, gone};
use crate::connectors::{BadRecord, Read, Reader};
use crate::error::Result;
use crate::formats::{CHUNK_BYTES, Cutter, Decoder, Records};

/// How often patterns are looked at for new files, unless somebody waits for a pause.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A wait so short says that somebody waits.
const HURRY: Duration = Duration::from_millis(5);

/// One reader of the stream.
pub(super) struct Tail {
    follow: Arc<Follow>,
    /// The run that is read, or comes next.
    run: usize,
    /// Records of it that were read.
    within: u64,
    offset: u64,
    /// Records still to be passed over.
    skip: u64,
    /// Where the next bytes of the run are, when it was not read again so far: byte, lines, within a line given up.
    place: Option<(u64, u64, bool)>,
    /// The run, being read again.
    again: Option<Again>,
    /// By file.
    decoders: HashMap<usize, Arc<dyn Decoder>>,
    looked: Option<Instant>,
}

/// A run that is read again.
struct Again {
    file: fs::File,
    name: String,
    cutter: Cutter,
    at: u64,
    has_header: bool,
}

/// What comes next.
enum Next {
    /// The bytes are at hand.
    News(Run, Records, String),
    /// Of this run, which was read before, up to so many records.
    Again(Run, u64),
    Nothing,
}

impl Tail {
    pub(super) fn new(follow: Arc<Follow>, offset: u64) -> Self {
        Self {
            follow,
            run: 0,
            within: 0,
            offset: 0,
            skip: offset,
            place: None,
            again: None,
            decoders: HashMap::new(),
            looked: None,
        }
    }

    /// What was read before, or what is new.
    fn next(&mut self, look: bool) -> Result<Next> {
        let follow = Arc::clone(&self.follow);
        let mut stream = follow.stream.lock();
        if let Some(run) = stream.journal.run(self.run)
            && self.within >= run.records
            && stream.journal.run(self.run + 1).is_some()
        {
            self.run += 1;
            (self.within, self.place, self.again) = (0, None, None);
        }
        if stream.journal.records() > self.offset
            && let Some(run) = stream.journal.run(self.run)
        {
            let end = stream.journal.end_of_read(self.offset).min(self.offset + run.records - self.within);
            return Ok(Next::Again(run.clone(), end - self.offset));
        }
        let found = match stream.files.news(&follow)? {
            None if look => match stream.files.look(&follow) {
                None => stream.files.news(&follow)?,
                found => found,
            },
            found => found,
        };
        let Some(News { run, records, place }) = found else { return Ok(Next::Nothing) };
        let name = stream.files.get(run.file).map(|file| file.name.clone()).unwrap_or_default();
        stream.decide(&run, place);
        if stream.journal.run(self.run).is_some_and(|mine| self.within + run.records > mine.records) {
            // It did not grow the run that this reader is in.
            self.run += 1;
            self.within = 0;
        }
        (self.place, self.again) = (Some(place), None);
        Ok(Next::News(run, records, name))
    }

    /// The next records of a run that was read before.
    fn reread(&mut self, run: &Run, count: u64) -> Result<(Records, String)> {
        let What::Bytes { to, .. } = run.what else { return Ok((Records::default(), String::new())) };
        if self.again.is_none() {
            self.again = Some(self.open(run)?);
        }
        let Some(again) = &mut self.again else { return Ok((Records::default(), String::new())) };
        Ok((again.records(count, to)?, again.name.clone()))
    }

    fn open(&self, run: &Run) -> Result<Again> {
        let What::Bytes { from, lines, within, .. } = run.what else { return Err(gone("")) };
        let (from, lines, within) = self.place.unwrap_or((from, lines, within));
        let stream = self.follow.stream.lock();
        let file = stream.files.get(run.file).ok_or_else(|| gone(""))?;
        let name = file.name.clone();
        let opened = reopen(file)?;
        let encoding = &self.follow.encoding;
        let cutter = match from {
            0 => Cutter::new(encoding.cut()),
            _ => Cutter::resume(encoding.cut(), lines, within),
        };
        Ok(Again { file: opened, name, cutter, at: from, has_header: from == 0 && encoding.is_headed() })
    }

    fn decode(&mut self, file: usize, records: &Records, name: &str) -> Result<(RecordBatch, Vec<BadRecord>)> {
        let follow = Arc::clone(&self.follow);
        let decoder = match self.decoders.entry(file) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let stream = follow.stream.lock();
                let names = stream.files.get(file).and_then(|file| file.names.clone());
                entry.insert(follow.encoding.decoder(names.as_deref(), &follow.schema)?)
            }
        };
        let decoded = decoder.decode(records, name)?;
        Ok((decoded.rows, decoded.bad))
    }

    /// What a run gives, as a read; `None` when it is passed over.
    fn give(&mut self, run: &Run, records: &Records, name: &str) -> Result<Option<Read>> {
        let (rows, bad, count) = match &run.what {
            What::Report(code, message) => {
                let bad = BadRecord { code: *code, message: message.clone(), record: String::new() };
                (RecordBatch::new_empty(Arc::clone(&self.follow.schema)), vec![bad], 1)
            }
            What::Bytes { .. } => {
                let (rows, bad) = self.decode(run.file, records, name)?;
                (rows, bad, records.len() as u64)
            }
        };
        self.within += count;
        self.offset += count;
        let skipped = self.skip.min(count);
        self.skip -= skipped;
        match skipped == count {
            true => Ok(None),
            false => Ok(Some(Read::Rows { rows, bad, next_offset: self.offset })),
        }
    }
}

impl Again {
    /// The next records, as many as that.
    fn records(&mut self, count: u64, to: u64) -> Result<Records> {
        let mut records = Records::default();
        loop {
            if self.has_header {
                let mut header = Records::default();
                self.cutter.cut(&mut header, 1);
                self.has_header = header.is_empty();
            }
            if !self.has_header && !self.cutter.cut(&mut records, count as usize) {
                return Ok(records);
            }
            if self.at == to {
                // Only the last line of a file has no end.
                self.cutter.end();
                self.cutter.cut(&mut records, count as usize);
                return if records.is_empty() { Err(gone(&self.name)) } else { Ok(records) };
            }
            let (file, from) = (&self.file, self.at);
            let chunk = (to - from).min(CHUNK_BYTES as u64) as usize;
            let read = self.cutter.fill(|buffer| read_at(file, from, chunk, buffer))?;
            if read == 0 {
                return Err(gone(&self.name));
            }
            self.at += read as u64;
        }
    }
}

impl Reader for Tail {
    fn read(&mut self, wait: Duration) -> Result<Read> {
        let mut waited = false;
        loop {
            let look = wait < HURRY || self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
            let read = match self.next(look)? {
                Next::News(run, records, name) => self.give(&run, &records, &name)?,
                Next::Again(run, count) => {
                    let (records, name) = self.reread(&run, count)?;
                    self.give(&run, &records, &name)?
                }
                Next::Nothing => {
                    if look {
                        self.looked = Some(Instant::now());
                    }
                    if waited || wait.is_zero() {
                        return Ok(Read::Waiting);
                    }
                    waited = true;
                    std::thread::sleep(wait);
                    None
                }
            };
            if let Some(read) = read {
                return Ok(read);
            }
        }
    }
}
