//! What a checkpoint's manifest names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::PartRef;
use crate::data::{Epoch, ObjectId, WatermarkVector};
use crate::log::LateOrigin;
use crate::operators::Counters;

use super::super::{Missing, Settings};
use super::image::{AwayImage, ClockImage, PartImage};

/// An [`super::image::Image`] whose rows are in packs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) settings: Settings,
    pub(super) catalog: Vec<CatalogRef>,
    /// As pairs: JSON has no other keys than texts.
    pub(super) vector: Vec<(crate::data::Partition, crate::data::PartitionWatermark)>,
    pub(super) tables: BTreeMap<ObjectId, TableRef>,
    pub(super) feeds: BTreeMap<ObjectId, FeedRef>,
    pub(super) views: BTreeMap<ObjectId, ViewRef>,
    pub(super) away: Vec<AwayImage>,
    pub(super) late: Vec<(LateOrigin, PartRef)>,
    pub(super) source_errors: BTreeMap<ObjectId, SourceErrorsRef>,
    pub(super) sinks: BTreeMap<ObjectId, SinkRef>,
}

/// What a sink has not written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SinkRef {
    pub(super) durable: Epoch,
    /// The last epoch in each part.
    pub(super) items: Vec<(Epoch, PartRef)>,
    /// What its relation was when it left the clock, and when that was.
    #[serde(default)]
    pub(super) away: Option<(Epoch, Option<StoreRef>)>,
}

/// What made an object, or changed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CatalogRef {
    pub(super) dropped: Vec<ObjectId>,
    pub(super) payload: PartRef,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct StoreRef {
    pub(super) next_row: u64,
    pub(super) chunks: Vec<ChunkRef>,
    /// Per chunk with deleted rows: its position u32, and the bits.
    pub(super) deleted: Option<PartRef>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ChunkRef {
    pub(super) rows: PartRef,
    /// Row ids count from here; else they are a column.
    pub(super) first: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct HistoryRef {
    pub(super) since: Epoch,
    /// The last epoch in each part.
    pub(super) kept: Vec<(Epoch, PartRef)>,
    /// The same of what left when its retention was over.
    #[serde(default)]
    pub(super) expired: Vec<(Epoch, PartRef)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TableRef {
    pub(super) rows: StoreRef,
    pub(super) clock: ClockImage,
    pub(super) history: Option<HistoryRef>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FeedRef {
    pub(super) parts: Vec<PartImage>,
    pub(super) decisions: Vec<PartRef>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ViewRef {
    pub(super) joined: Epoch,
    pub(super) shape: u64,
    pub(super) states: Vec<StateRef>,
    pub(super) rows: StoreRef,
    pub(super) history: HistoryRef,
    pub(super) counters: Counters,
    pub(super) errors: Option<PartRef>,
    pub(super) late: Option<PartRef>,
}

/// One state of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct StateRef {
    pub(super) node: usize,
    pub(super) slot: u8,
    /// Oldest first.
    pub(super) deltas: Vec<DeltaRef>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct DeltaRef {
    /// The copy's number.
    pub(super) number: u64,
    pub(super) cleared: Vec<i64>,
    pub(super) emitted: Vec<i64>,
    pub(super) removed: Option<PartRef>,
    pub(super) rows: Option<PartRef>,
    /// The worker that made it, and of how many.
    #[serde(default)]
    pub(super) made_by: Option<(usize, usize)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SourceErrorsRef {
    pub(super) name: String,
    pub(super) missing: Missing,
    pub(super) errors: Option<PartRef>,
}

impl Content {
    /// All parts.
    pub(super) fn parts(&mut self) -> Vec<&mut PartRef> {
        let mut parts: Vec<&mut PartRef> = vec![];
        parts.extend(self.catalog.iter_mut().map(|c| &mut c.payload));
        for table in self.tables.values_mut() {
            table.rows.parts(&mut parts);
            table.history.iter_mut().for_each(|history| history.parts(&mut parts));
        }
        parts.extend(self.feeds.values_mut().flat_map(|feed| &mut feed.decisions));
        for view in self.views.values_mut() {
            view.rows.parts(&mut parts);
            view.history.parts(&mut parts);
            parts.extend(view.errors.iter_mut().chain(&mut view.late));
            let deltas = view.states.iter_mut().flat_map(|state| &mut state.deltas);
            parts.extend(deltas.flat_map(|delta| delta.removed.iter_mut().chain(&mut delta.rows)));
        }
        parts.extend(self.late.iter_mut().map(|(_, part)| part));
        for sink in self.sinks.values_mut() {
            parts.extend(sink.items.iter_mut().map(|(_, part)| part));
            if let Some((_, Some(rows))) = &mut sink.away {
                rows.parts(&mut parts);
            }
        }
        parts.extend(self.source_errors.values_mut().filter_map(|errors| errors.errors.as_mut()));
        parts
    }

    /// The watermarks.
    pub(super) fn watermarks(&self) -> WatermarkVector {
        WatermarkVector(self.vector.iter().copied().collect())
    }
}

impl HistoryRef {
    fn parts<'a>(&'a mut self, parts: &mut Vec<&'a mut PartRef>) {
        parts.extend(self.kept.iter_mut().chain(&mut self.expired).map(|(_, part)| part));
    }
}

impl StoreRef {
    fn parts<'a>(&'a mut self, parts: &mut Vec<&'a mut PartRef>) {
        parts.extend(self.chunks.iter_mut().map(|chunk| &mut chunk.rows));
        parts.extend(&mut self.deleted);
    }
}
