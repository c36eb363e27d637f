//! Watermarks that no row moves: of partitions that are silent for long, which stop holding back the others of their
//! source, and those that are moved by hand.

use std::time::Instant;

use tokio::sync::oneshot::Sender as Reply;

use crate::data::{EventTime, ObjectId, Partition};
use crate::error::{Error, Result, SqlState};

use super::Sequencer;
use super::sources::Part;

impl Sequencer {
    /// Lets partitions that have been silent for long stop holding back the others of their source.
    pub(super) fn check_idle(&mut self) -> Result<()> {
        let now = Instant::now();
        let timeout = self.config.settings.idle_timeout;
        let silent = |p: &&Part| can_idle(p) && now.duration_since(p.last_row) >= timeout;
        let several = self.feeds.values().filter(|f| f.watermark.is_some() && f.parts.len() > 1);
        let idle: Vec<Partition> =
            several.flat_map(|f| f.parts.iter().filter(silent).map(|p| p.clock.partition)).collect();
        if idle.is_empty() || self.is_blocked() {
            return Ok(());
        }
        self.settle_open()?;
        for partition in idle {
            self.move_watermark(partition, EventTime::MIN, true);
        }
        Ok(())
    }

    /// `highwater.advance_watermark`.
    pub(super) fn advance(&mut self, source: ObjectId, to: EventTime, reply: Reply<Result<EventTime>>) -> Result<()> {
        if reply.is_closed() {
            return Ok(());
        }
        let partitions: Vec<Partition> = self.partitions_with_watermark(source);
        if partitions.is_empty() {
            let error = Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "the relation has no watermark that could be moved",
            )
            .with_hint("Declare WATERMARK FOR on it; a source has a watermark once a view reads it.");
            let _ = reply.send(Err(error));
            return Ok(());
        }
        // Decisions stand before the rows of their epoch: see EpochRecord::moves.
        self.settle_open()?;
        for partition in partitions {
            self.move_watermark(partition, to, false);
        }
        let now = self.open.watermark(&self.vector, source);
        self.open.advances.push((reply, now));
        Ok(())
    }

    /// When the next partition may become idle.
    pub(super) fn next_idle(&self) -> Option<Instant> {
        let timeout = self.config.settings.idle_timeout;
        let several = self.feeds.values().filter(|f| f.watermark.is_some() && f.parts.len() > 1);
        several.flat_map(|f| f.parts.iter().filter(|p| can_idle(p)).map(|p| p.last_row + timeout)).min()
    }
}

fn can_idle(part: &Part) -> bool {
    !part.idle && !part.ended && part.failed.is_none() && part.queue.is_some()
}
