//! The two sorts of time, as two types: [`Epoch`] orders the work, [`EventTime`] is data.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ObjectId;

/// The unit of consistency: inputs accepted together. The dataflow's timestamp; starts at 1, never repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point of event time: microseconds since the Unix epoch (UTC, or without zone as the column has none).
///
/// A watermark is an `EventTime` too: [`EventTime::MIN`] promises nothing yet, [`EventTime::MAX`] says that
/// event time has ended (a bounded source that is exhausted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Minus infinity: no promise.
    pub const MIN: Self = Self(i64::MIN);
    /// Plus infinity: the end of event time.
    pub const MAX: Self = Self(i64::MAX);

    /// Moves a point by `micros`; the infinities stay where they are, and results saturate.
    #[must_use]
    pub fn shift(self, micros: i64) -> Self {
        if self == Self::MIN || self == Self::MAX {
            return self;
        }
        Self(self.0.saturating_add(micros))
    }
}

/// One partition of one source or table: the unit that has a watermark. Tables have partition 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The table or source.
    pub source: ObjectId,
    /// Its partition, from 0.
    pub index: u32,
}

/// How far event time has come in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionWatermark {
    /// Running maximum of the WATERMARK expression over the partition's insertions.
    pub watermark: EventTime,
    /// An idle partition does not hold back the others.
    pub idle: bool,
}

/// The watermark of every partition at the end of one epoch. Every watermark in a running view is a pure function of
/// this vector ([`super::WatermarkExpr`]), so all workers agree on it without talking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkVector(pub BTreeMap<Partition, PartitionWatermark>);

impl WatermarkVector {
    /// The watermark of a whole source: the minimum over its partitions that are not idle; if all are idle, the
    /// maximum that they reached. A source without partitions, or never read, promises nothing.
    pub fn source(&self, source: ObjectId) -> EventTime {
        let range = Partition { source, index: 0 }..=Partition { source, index: u32::MAX };
        let mut active: Option<EventTime> = None;
        let mut idle: Option<EventTime> = None;
        for (_, entry) in self.0.range(range) {
            if entry.idle {
                idle = idle.max(Some(entry.watermark));
            } else {
                active = Some(active.map_or(entry.watermark, |w| w.min(entry.watermark)));
            }
        }
        active.or(idle).unwrap_or(EventTime::MIN)
    }
}

/// The watermark vectors that an operator sees in an epoch.
#[derive(Clone, Debug, Default)]
pub struct Watermarks {
    /// At the end of the epoch before: judges rows below stateful operators.
    pub before: Arc<WatermarkVector>,
    /// At the end of this epoch: closes windows. In `apply` it may not be known yet and equals `before`.
    pub now: Arc<WatermarkVector>,
}
