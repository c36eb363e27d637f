//! What was read of followed files, in which order: runs of one file, and where reads ended.

use std::collections::VecDeque;

use crate::error::SqlState;
use crate::formats::BATCH_RECORDS_MAX;

/// The newest ends of reads that are kept. Reads before them end anew, at multiples of a batch: nobody but the log of
/// what is not yet published asks for the same ends.
const ENDS_MAX: usize = 1 << 20;

/// What all readers have in common.
#[derive(Debug, Default)]
pub(super) struct Journal {
    runs: Vec<Run>,
    /// Records up to the end of each read, ascending.
    ends: VecDeque<u64>,
    /// Records so far, good or bad.
    records: u64,
}

/// Consecutive records of one file, or something to report.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Position in the list of files.
    pub file: usize,
    pub what: What,
    /// Records in it.
    pub records: u64,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Bytes from .. to, where so many lines are before them, perhaps within a line that was given up.
    Bytes { from: u64, to: u64, lines: u64, within: bool },
    /// No record, but counted as a bad one.
    Report(SqlState, String),
}

impl Journal {
    /// Appends what was found in one read.
    pub(super) fn append(&mut self, run: Run) {
        self.records += run.records;
        self.ends.push_back(self.records);
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
        if let (Some(last), What::Bytes { from, to, .. }) = (self.runs.last_mut(), &run.what)
            && let What::Bytes { to: end, .. } = &mut last.what
            && last.file == run.file
            && *end == *from
        {
            *end = *to;
            last.records += run.records;
            return;
        }
        self.runs.push(run);
    }

    pub(super) fn run(&self, at: usize) -> Option<&Run> {
        self.runs.get(at)
    }

    /// Records of all reads.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Where a read that begins at `offset` ends, at the latest.
    pub(super) fn end_of_read(&self, offset: u64) -> u64 {
        let next = self.ends.partition_point(|end| *end <= offset);
        let batch = offset + BATCH_RECORDS_MAX as u64;
        match self.ends.get(next) {
            Some(end) if next > 0 || self.ends.len() < ENDS_MAX => *end,
            // Before all ends that are kept.
            Some(end) => batch.min(*end),
            None => batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_file_grow_together_and_reads_keep_their_ends() {
        let mut journal = Journal::default();
        let bytes = |from, to| What::Bytes { from, to, lines: from / 2, within: false };
        for (file, from, to) in [(0, 0, 4), (0, 4, 10), (1, 0, 2), (0, 10, 12)] {
            journal.append(Run { file, what: bytes(from, to), records: (to - from) / 2 });
        }
        let runs: Vec<_> = (0..).map_while(|at| journal.run(at)).map(|run| (run.file, run.records)).collect();
        assert_eq!(runs, [(0, 5), (1, 1), (0, 1)]);
        let ends: Vec<_> = [0, 1, 2, 4, 5, 6].iter().map(|offset| journal.end_of_read(*offset)).collect();
        assert_eq!(ends, [2, 2, 5, 5, 6, 7]);
        assert_eq!(journal.records(), 7);
    }
}
