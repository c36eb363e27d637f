//! What the log's records say.

use serde::{Deserialize, Serialize};

use crate::data::{Changes, Epoch, EventTime, ObjectId, Partition, PartitionWatermark, RowRanges};

/// One record.
#[derive(Clone, Debug)]
pub enum Record {
    /// A catalog change.
    Ddl(Ddl),
    /// A view joins the clock.
    Join(JoinRecord),
    /// A view leaves the clock: it was too slow. It may join again.
    Leave {
        /// The view.
        view: ObjectId,
        /// The epoch under way when it left.
        epoch: Epoch,
        /// The first epoch that it did not show.
        missed: Epoch,
        /// Its rows are of use when the log is read back: a sink goes on from them.
        kept: bool,
    },
    /// A view is paused, or is to come back.
    Pause {
        /// The view.
        view: ObjectId,
        /// The epoch under way when it was.
        epoch: Epoch,
        /// Why it is paused; `None`: it is resumed.
        reason: Option<String>,
        /// Its rows are of use when the log is read back: a sink goes on from them.
        kept: bool,
    },
    /// ALTER SYSTEM: all server-wide settings, opaque here.
    Settings {
        /// The epoch under way when they were changed.
        epoch: Epoch,
        /// The settings.
        payload: Vec<u8>,
    },
    /// What a connector decided; it stands before the first record that speaks of what was read by it.
    Decisions {
        /// The epoch under way.
        epoch: Epoch,
        /// The source or table.
        object: ObjectId,
        /// The connector's own.
        payload: Vec<u8>,
    },
    /// The rows that a table has after a catalog change that gave each of them a value of its own. It stands before the
    /// change; without one behind it, it means nothing.
    Values {
        /// The epoch under way.
        epoch: Epoch,
        /// All rows.
        rows: TableChanges,
    },
    /// The inputs of one epoch.
    Epoch(EpochRecord),
}

impl Record {
    /// The epoch that the record belongs to.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Ddl(ddl) => ddl.epoch,
            Self::Join(join) => join.epoch,
            Self::Leave { epoch, .. }
            | Self::Pause { epoch, .. }
            | Self::Settings { epoch, .. }
            | Self::Decisions { epoch, .. }
            | Self::Values { epoch, .. } => *epoch,
            Self::Epoch(record) => record.epoch,
        }
    }

    /// The last epoch of which the log says everything when it ends with this record.
    pub fn closed(&self) -> Epoch {
        match self {
            Self::Join(_) | Self::Epoch(_) => self.epoch(),
            Self::Ddl(_)
            | Self::Leave { .. }
            | Self::Pause { .. }
            | Self::Settings { .. }
            | Self::Decisions { .. }
            | Self::Values { .. } => Epoch(self.epoch().0.saturating_sub(1)),
        }
    }
}

/// A catalog change. The payload is the catalog's own; the log does not look into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ddl {
    /// The epoch under way when it was made.
    pub epoch: Epoch,
    /// Objects that it drops.
    pub dropped: Vec<ObjectId>,
    /// Opaque.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

/// A view joins the clock: it is hydrated from tables and views as they are at this epoch, and from sources as far as
/// they have been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRecord {
    /// The view.
    pub view: ObjectId,
    /// Its first epoch.
    pub epoch: Epoch,
    /// Sources that it read on its own before it joined.
    pub caught_up: Vec<SourceRange>,
}

/// The inputs of one epoch.
#[derive(Clone, Debug, Default)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// Resulting row changes of tables, netted, in statement order.
    pub tables: Vec<TableChanges>,
    /// What was read of replayable sources.
    pub ranges: Vec<SourceRange>,
    /// The rows of sources that cannot be read again.
    pub rows: Vec<TableChanges>,
    /// Where each partition's watermark came to stand, where it moved by anything but the rows before it.
    pub moves: Vec<WatermarkMove>,
    /// Bounded sources that ended.
    pub ends: Vec<SourceEnd>,
    /// The late rows that `tables` write back.
    pub late: Vec<LateOrigin>,
    /// What was wrong with inputs that are not read again.
    pub faults: Vec<Fault>,
}

/// A bad record of a source that cannot be read again, or a row that its table refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The source or table.
    pub object: ObjectId,
    /// `source`, or `table`.
    pub operator: String,
    /// SQLSTATE.
    pub code: String,
    /// Why.
    pub message: String,
    /// The record, as it is shown.
    pub row: String,
}

/// Changes of one table, or rows of one source.
#[derive(Clone, Debug)]
pub struct TableChanges {
    /// The table or source.
    pub object: ObjectId,
    /// The partition (tables: 0).
    pub partition: u32,
    /// In order.
    pub changes: Vec<Changes>,
}

/// A place in a source partition: rows are counted from the last offset at which it can be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Where to open the partition.
    pub offset: u64,
    /// Rows to skip from there.
    pub skip: u64,
}

/// Consecutive rows of a replayable source partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRange {
    /// Where.
    pub partition: Partition,
    /// First row.
    pub from: Position,
    /// Behind the last row.
    pub to: Position,
    /// Number of rows.
    pub rows: u64,
    /// Of these, by their numbers in the partition: those that were too far ahead of the clock.
    pub ahead: RowRanges,
}

/// A watermark that moved by a decision: by hand, or because its partition went idle or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMove {
    /// Where.
    pub partition: Partition,
    /// It is at least here.
    pub at_least: EventTime,
    /// Whether the partition is idle now.
    pub idle: bool,
}

/// The end of a bounded source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEnd {
    /// Where.
    pub partition: Partition,
    /// What must not differ on replay.
    pub fingerprint: String,
}

/// Late rows written back: those that a view turned away in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LateOrigin {
    /// The view that turned them away.
    pub view: ObjectId,
    /// When.
    pub epoch: Epoch,
}

impl WatermarkMove {
    /// What the partition's entry becomes.
    pub fn apply(&self, entry: PartitionWatermark) -> PartitionWatermark {
        PartitionWatermark { watermark: entry.watermark.max(self.at_least), idle: self.idle }
    }
}
