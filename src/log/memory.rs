//! The log in memory: the same bytes as on a disk, and lost with the process.

use std::collections::VecDeque;

use crate::data::Epoch;
use crate::error::Result;

use super::frame::{self, MAGIC};
use super::{InputLog, LogPosition, Record};

/// The log's bytes in memory, cut where nobody needs them any more.
#[derive(Debug)]
pub struct MemoryLog {
    /// One frame each, with its epoch.
    frames: VecDeque<(Epoch, Vec<u8>)>,
    bytes: usize,
    keep: bool,
}

impl MemoryLog {
    /// An empty log; with `keep` it is never cut.
    pub fn new(keep: bool) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, keep }
    }
}

impl InputLog for MemoryLog {
    fn append(&mut self, record: &Record) -> Result<LogPosition> {
        let mut bytes = Vec::new();
        frame::write(record, &mut bytes)?;
        self.bytes += bytes.len();
        self.frames.push_back((record.epoch(), bytes));
        Ok(LogPosition(0))
    }

    fn cut(&mut self, epoch: Epoch) -> Result<()> {
        while !self.keep && self.frames.front().is_some_and(|(e, _)| *e < epoch) {
            if let Some((_, frame)) = self.frames.pop_front() {
                self.bytes -= frame.len();
            }
        }
        Ok(())
    }

    fn read_from(&self, epoch: Epoch) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        for (_, frame) in self.frames.iter().skip_while(|(e, _)| *e < epoch) {
            bytes.extend_from_slice(frame);
        }
        Ok(bytes)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Where a log that is read back goes: it is there already.
#[derive(Debug)]
pub struct NoLog;

impl InputLog for NoLog {
    fn append(&mut self, _record: &Record) -> Result<LogPosition> {
        Ok(LogPosition(0))
    }

    fn cut(&mut self, _epoch: Epoch) -> Result<()> {
        Ok(())
    }

    fn read_from(&self, _epoch: Epoch) -> Result<Vec<u8>> {
        Ok(MAGIC.to_vec())
    }

    fn bytes(&self) -> usize {
        0
    }
}
