//! What a checkpoint has of clocks, and of partitions that are read.

use super::super::arrival::Clock;
use super::super::checkpoint::{ClockImage, PartImage};
use super::sources::Part;

impl ClockImage {
    pub(super) fn of(clock: &Clock) -> Self {
        Self {
            partition: clock.partition,
            watermark: clock.watermark,
            rows: clock.rows,
            late: clock.late,
            floors: clock.floors.clone(),
            turned_away: clock.turned_away.clone(),
        }
    }

    pub(super) fn restore(self, clock: &mut Clock) {
        (clock.watermark, clock.rows, clock.late) = (self.watermark, self.rows, self.late);
        (clock.floors, clock.turned_away) = (self.floors, self.turned_away);
    }
}

impl PartImage {
    pub(super) fn of(part: &Part) -> Self {
        Self {
            clock: ClockImage::of(&part.clock),
            position: part.position,
            bad: part.bad,
            ended: part.ended,
            idle: part.idle,
            failed: part.failed.as_ref().map(|error| (error.code().0.to_owned(), error.message().to_owned())),
        }
    }
}
