//! FLUSH: waits for sources, for publication, and for late rows that were written back.

use std::time::Instant;

use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Epoch, ObjectId};
use crate::error::Result;

use super::Sequencer;

/// A FLUSH that waits.
pub(super) struct FlushWait {
    reply: Reply<Result<Epoch>>,
    /// Partitions of bounded sources, which have to end (`None`), and of others, which have to answer a mark.
    sources: Vec<(ObjectId, usize, Option<u64>)>,
    /// Known once the sources are done.
    target: Option<Epoch>,
    /// How often late rows may still lead on: LATE ROWS INTO has no cycles, so a chain has at most as many links as views.
    rounds: usize,
}

impl Sequencer {
    pub(super) fn flush(&mut self, reply: Reply<Result<Epoch>>) {
        let mut sources = Vec::new();
        for feed in self.feeds.values() {
            for (index, part) in feed.parts.iter().enumerate() {
                let Some(queue) = &part.queue else { continue };
                let mark = if feed.connector.bounded() {
                    None
                } else {
                    self.marks += 1;
                    queue.mark(self.marks, Instant::now());
                    Some(self.marks)
                };
                sources.push((feed.id, index, mark));
            }
        }
        self.flushes.push(FlushWait { reply, sources, target: None, rounds: self.views.len() + 1 });
    }

    pub(super) fn check_flushes(&mut self) {
        if self.flushes.is_empty() {
            return;
        }
        let flushes = std::mem::take(&mut self.flushes);
        for mut flush in flushes {
            if flush.reply.is_closed() {
                continue;
            }
            match self.is_flushed(&mut flush) {
                Some(epoch) => drop(flush.reply.send(Ok(epoch))),
                None => self.flushes.push(flush),
            }
        }
    }

    /// The epoch at which everything is visible, once it is.
    fn is_flushed(&self, flush: &mut FlushWait) -> Option<Epoch> {
        let newest = if self.open.is_empty() { Epoch(self.next_epoch.0 - 1) } else { self.next_epoch };
        let target = match flush.target {
            Some(target) => target,
            None if flush.sources.iter().all(|s| self.is_drained(s)) => newest,
            None => return None,
        };
        flush.target = Some(target);
        let published = self.shared.published().epoch;
        // The publisher shows an epoch before it tells us of it and of its late rows.
        let untold = self.in_flight.front().is_some_and(|e| e.epoch <= target);
        if published < target || untold || self.late.iter().any(|l| l.origin.epoch <= target) {
            return None;
        }
        let open = self.open.late.iter().map(|origin| (origin.epoch, self.next_epoch));
        let written = self.late_written.iter().copied().chain(open);
        let next = written.filter(|(origin, _)| *origin <= target).map(|(_, written)| written).max();
        match next.filter(|next| *next > target) {
            Some(next) if flush.rounds > 0 => {
                flush.rounds -= 1;
                flush.target = Some(next);
                self.is_flushed(flush)
            }
            Some(_) | None => Some(published),
        }
    }

    /// Whether a source has given what it had.
    fn is_drained(&self, (feed, index, mark): &(ObjectId, usize, Option<u64>)) -> bool {
        let Some(part) = self.feeds.get(feed).and_then(|f| f.parts.get(*index)) else { return true };
        part.queue.is_none() || mark.is_some_and(|mark| part.mark >= mark)
    }
}
