//! Partitions that are silent for long stop holding back the others of their source.

use std::time::Instant;

use crate::data::{EventTime, Partition};
use crate::error::Result;

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
