//! What is in a checkpoint, in memory: copied at a quiet moment, or read back at a start.
//!
//! Copying it is cheap, since nearly all of it is shared: rows of tables and views never change, state gives what
//! changed. Of what grows by and by (state, history) a copy holds what came since the last one, and what was read back
//! holds all.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::data::{Changes, Epoch, EventTime, ObjectId, Partition, RowRanges, WatermarkVector};
use crate::error::{Error, Result};
use crate::log::{LateOrigin, LogPlace, Position};
use crate::operators::{Counters, LateRows, RowError};
use crate::sink::Item;
use crate::state::Delta;
use crate::store::ChunkImage;

use super::super::{Missing, Settings, ViewPhase};

/// Everything, at an epoch.
#[derive(Default)]
pub(in crate::runtime) struct Image {
    /// The last epoch in it; all until then are published.
    pub(in crate::runtime) epoch: Epoch,
    /// From here on the log says what followed; `None` while it is not written.
    pub(in crate::runtime) log: Option<LogPlace>,
    pub(in crate::runtime) settings: Settings,
    /// It is a checkpoint once these are written until its epoch.
    pub(in crate::runtime) archives: Vec<Arc<Archive>>,
    /// What made the objects that there are, in order.
    pub(in crate::runtime) catalog: Vec<CatalogEntry>,
    pub(in crate::runtime) vector: Arc<WatermarkVector>,
    pub(in crate::runtime) tables: BTreeMap<ObjectId, TableImage>,
    pub(in crate::runtime) feeds: BTreeMap<ObjectId, FeedImage>,
    /// Views on the clock.
    pub(in crate::runtime) views: BTreeMap<ObjectId, ViewImage>,
    /// Views that have left it.
    pub(in crate::runtime) away: Vec<AwayImage>,
    /// Late rows that wait to be written back.
    pub(in crate::runtime) late: Vec<(LateOrigin, Vec<RecordBatch>)>,
    /// What is wrong with sources.
    pub(in crate::runtime) source_errors: BTreeMap<ObjectId, SourceErrors>,
    pub(in crate::runtime) sinks: BTreeMap<ObjectId, SinkImage>,
    /// At a start: views on the clock that are to be filled anew.
    pub(in crate::runtime) left: BTreeMap<ObjectId, LeftImage>,
}

/// What a sink has not written yet.
#[derive(Clone, Default)]
pub(in crate::runtime) struct SinkImage {
    /// Up to here it is written.
    pub(in crate::runtime) durable: Epoch,
    pub(in crate::runtime) items: Vec<(Epoch, Item)>,
    pub(in crate::runtime) away: Option<LeftImage>,
}

/// What a sink's relation was when it left the clock; no rows: the sink has never seen it.
#[derive(Clone, Default)]
pub(in crate::runtime) struct LeftImage {
    pub(in crate::runtime) rows: Option<StoreImage>,
    pub(in crate::runtime) since: Epoch,
}

/// A catalog change.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// Objects that it drops.
    pub dropped: Vec<ObjectId>,
    /// The catalog's own.
    pub payload: Arc<[u8]>,
}

/// The rows of a table or view.
#[derive(Clone, Default)]
pub(in crate::runtime) struct StoreImage {
    pub(in crate::runtime) next_row: u64,
    pub(in crate::runtime) chunks: Vec<ChunkImage>,
}

impl Image {
    /// Writes what archives have until its epoch.
    pub(super) fn write_archives(&self) -> Result<()> {
        self.archives.iter().try_for_each(|archive| archive.write_to(self.epoch))
    }

    /// It is a checkpoint now: what archives let go of before may be removed.
    pub(super) fn is_taken(&self) {
        for error in self.archives.iter().filter_map(|archive| archive.checkpoint_taken().err()) {
            tracing::warn!("what an archive does not keep cannot be removed: {error}");
        }
    }
}

/// What a table or view changed lately.
#[derive(Clone, Default)]
pub(in crate::runtime) struct HistoryImage {
    /// The oldest epoch whose rows can still be told.
    pub(in crate::runtime) since: Epoch,
    pub(in crate::runtime) kept: Vec<(Epoch, Arc<[Changes]>)>,
    /// What left when its retention was over; each epoch is among those of `kept`.
    pub(in crate::runtime) expired: Vec<(Epoch, Arc<[Changes]>)>,
}

/// A table.
#[derive(Clone)]
pub(in crate::runtime) struct TableImage {
    pub(in crate::runtime) rows: StoreImage,
    pub(in crate::runtime) clock: ClockImage,
    /// `None` before its first epoch.
    pub(in crate::runtime) history: Option<HistoryImage>,
}

/// A partition's watermark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct ClockImage {
    pub(in crate::runtime) partition: Partition,
    pub(in crate::runtime) watermark: EventTime,
    pub(in crate::runtime) rows: u64,
    pub(in crate::runtime) late: u64,
    pub(in crate::runtime) floors: Vec<(u64, EventTime)>,
    pub(in crate::runtime) turned_away: RowRanges,
}

/// What a connector feeds.
#[derive(Clone, Default)]
pub(in crate::runtime) struct FeedImage {
    pub(in crate::runtime) parts: Vec<PartImage>,
    /// What the connector has decided.
    pub(in crate::runtime) decisions: Vec<Arc<[u8]>>,
}

/// A partition that is being read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct PartImage {
    pub(in crate::runtime) clock: ClockImage,
    pub(in crate::runtime) position: Position,
    pub(in crate::runtime) bad: u64,
    pub(in crate::runtime) ended: bool,
    pub(in crate::runtime) idle: bool,
    /// SQLSTATE and message of what ended its reading.
    pub(in crate::runtime) failed: Option<(String, String)>,
}

/// A view on the clock.
#[derive(Default)]
pub(in crate::runtime) struct ViewImage {
    /// Its first epoch: it may have left since, and come back.
    pub(in crate::runtime) joined: Epoch,
    /// Tells what its graph looks like: state fits no other.
    pub(in crate::runtime) shape: u64,
    /// By node and slot.
    pub(in crate::runtime) states: Vec<StateImage>,
    pub(in crate::runtime) shown: ShownImage,
}

/// What was copied of one state of a node.
pub(in crate::runtime) struct StateImage {
    pub(in crate::runtime) node: usize,
    /// The copy's.
    pub(in crate::runtime) number: u64,
    pub(in crate::runtime) delta: Delta,
}

/// What the publisher has of a view.
#[derive(Clone, Default)]
pub(in crate::runtime) struct ShownImage {
    pub(in crate::runtime) rows: StoreImage,
    pub(in crate::runtime) history: HistoryImage,
    pub(in crate::runtime) counters: Counters,
    /// With a number that changes whenever it does, and is 0 while there is nothing in it.
    pub(in crate::runtime) errors: (u64, Arc<ErrorsImage>),
    pub(in crate::runtime) late: (u64, Vec<(Epoch, LateRows)>),
}

/// A book of errors.
#[derive(Clone, Debug, Default)]
pub(in crate::runtime) struct ErrorsImage {
    pub(in crate::runtime) standing: i64,
    pub(in crate::runtime) kept: Vec<(Epoch, RowError)>,
}

impl ErrorsImage {
    /// As it is written down.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let kept: Vec<_> = self
            .kept
            .iter()
            .map(|(epoch, e)| (epoch, e.operator.as_ref(), e.code.0, e.message.as_ref(), e.row.as_str(), e.diff))
            .collect();
        serde_json::to_vec(&(self.standing, kept)).map_err(|e| Error::internal(e.to_string()))
    }
}

/// What is wrong with a source.
#[derive(Clone, Default)]
pub(in crate::runtime) struct SourceErrors {
    pub(in crate::runtime) name: String,
    pub(in crate::runtime) missing: Missing,
    pub(in crate::runtime) errors: (u64, Arc<ErrorsImage>),
}

/// A view that has left the clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct AwayImage {
    pub(in crate::runtime) view: ObjectId,
    pub(in crate::runtime) for_good: bool,
    pub(in crate::runtime) phase: ViewPhase,
    /// Why; a view that is paused without a reason reads one that is.
    pub(in crate::runtime) reason: Option<String>,
    /// It comes back with a view that it reads.
    #[serde(default)]
    pub(in crate::runtime) followed: bool,
    pub(in crate::runtime) pause_ms: u64,
}

impl AwayImage {
    /// A view that is to be filled anew at once.
    pub(in crate::runtime) fn filled_anew(view: ObjectId) -> Self {
        Self { view, for_good: false, phase: ViewPhase::Lagging, reason: None, followed: false, pause_ms: 0 }
    }
}

/// What the publisher copies.
#[derive(Default)]
pub(in crate::runtime) struct PublishedImage {
    /// Of sinks whose relation is away.
    pub(in crate::runtime) left: BTreeMap<ObjectId, LeftImage>,
    pub(in crate::runtime) views: BTreeMap<ObjectId, ShownImage>,
    pub(in crate::runtime) tables: BTreeMap<ObjectId, HistoryImage>,
    pub(in crate::runtime) source_errors: BTreeMap<ObjectId, SourceErrors>,
}
