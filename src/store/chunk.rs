//! A chunk: immutable rows with their ids, and a deletion mask that is copied when a version shares it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, BooleanArray, RecordBatch, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::SchemaRef;

use crate::data::{KeyEncoder, batch_bytes};
use crate::error::Result;

use super::index::identities;

/// The next chunk's serial.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Some consecutive rows of a store.
///
/// Invariant: ids ascend within a chunk and from chunk to chunk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    data: Arc<Data>,
    deleted: Option<Arc<Vec<u64>>>,
    live: usize,
}

#[derive(Debug)]
struct Data {
    rows: RecordBatch,
    ids: Ids,
    bytes: usize,
    /// Tells it apart from all others of this process.
    serial: u64,
    /// For readers' look-ups: identity (its low half) and position, sorted. Built by the first look-up.
    lookup: OnceLock<Vec<(u64, u32)>>,
}

/// The ids of a chunk's rows.
#[derive(Clone, Debug)]
pub(super) enum Ids {
    /// Consecutive ones.
    From(u64),
    /// Any, ascending (after a merge left deleted rows out).
    List(Vec<u64>),
}

impl Chunk {
    pub(super) fn new(rows: RecordBatch, ids: Ids) -> Self {
        debug_assert!(match &ids {
            Ids::From(_) => true,
            Ids::List(list) => list.len() == rows.num_rows() && list.is_sorted(),
        });
        let (live, bytes) = (rows.num_rows(), batch_bytes(&rows));
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self { data: Arc::new(Data { rows, ids, bytes, serial, lookup: OnceLock::new() }), deleted: None, live }
    }

    /// With these rows deleted, as bits: one word for 64 rows.
    pub(super) fn with_deleted(mut self, deleted: Option<Vec<u64>>) -> Self {
        if let Some(mask) = deleted {
            let gone: usize = mask.iter().map(|word| word.count_ones() as usize).sum();
            self.live = self.len().saturating_sub(gone);
            self.deleted = Some(Arc::new(mask));
        }
        self
    }

    /// With the fields of a schema, where it has fields of its own.
    pub(super) fn with_schema(self, schema: &SchemaRef) -> Result<Self> {
        if self.data.rows.schema_ref() == schema {
            return Ok(self);
        }
        let Data { rows, ids, bytes, serial, .. } = self.data.as_ref();
        let (bytes, serial) = (*bytes, *serial);
        let rows = RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())?;
        Ok(Self { data: Arc::new(Data { rows, ids: ids.clone(), bytes, serial, lookup: OnceLock::new() }), ..self })
    }

    pub(super) fn serial(&self) -> u64 {
        self.data.serial
    }

    pub(super) fn ids(&self) -> &Ids {
        &self.data.ids
    }

    pub(super) fn deleted(&self) -> Option<&[u64]> {
        self.deleted.as_ref().map(|mask| mask.as_slice())
    }

    /// All rows, deleted ones too.
    pub(super) fn rows(&self) -> &RecordBatch {
        &self.data.rows
    }

    pub(super) fn len(&self) -> usize {
        self.data.rows.num_rows()
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn bytes(&self) -> usize {
        self.data.bytes
    }

    pub(super) fn id(&self, position: usize) -> u64 {
        match &self.data.ids {
            Ids::From(first) => first + position as u64,
            Ids::List(list) => list[position],
        }
    }

    /// The id of the first row; chunks are never empty.
    pub(super) fn first_id(&self) -> u64 {
        self.id(0)
    }

    /// Where a live row is.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        let position = match &self.data.ids {
            Ids::From(first) => usize::try_from(id.checked_sub(*first)?).ok()?,
            Ids::List(list) => list.binary_search(&id).ok()?,
        };
        (position < self.len() && self.is_live(position)).then_some(position)
    }

    /// Where a row is, live or deleted.
    pub(super) fn any_position(&self, id: u64) -> Option<usize> {
        match &self.data.ids {
            Ids::From(first) => usize::try_from(id.checked_sub(*first)?).ok().filter(|p| *p < self.len()),
            Ids::List(list) => list.binary_search(&id).ok(),
        }
    }

    pub(super) fn is_live(&self, position: usize) -> bool {
        self.deleted.as_ref().is_none_or(|mask| mask[position / 64] >> (position % 64) & 1 == 0)
    }

    /// Marks a row as deleted; false if it was.
    pub(super) fn delete(&mut self, position: usize) -> bool {
        let words = self.len().div_ceil(64);
        let mask = Arc::make_mut(self.deleted.get_or_insert_with(|| Arc::new(vec![0; words])));
        let bit = 1 << (position % 64);
        let was_live = mask[position / 64] & bit == 0;
        mask[position / 64] |= bit;
        self.live -= usize::from(was_live);
        was_live
    }

    /// All positions.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Whether both are the same chunk, whatever was deleted in either.
    pub(super) fn shares_rows(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.data, &other.data)
    }

    /// Whether the same rows are deleted in both, as far as can be seen without looking.
    pub(super) fn shares_mask(&self, other: &Self) -> bool {
        match (&self.deleted, &other.deleted) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Takes a deletion back.
    pub(super) fn undelete(&mut self, position: usize) {
        if let Some(mask) = &mut self.deleted {
            let mask = Arc::make_mut(mask);
            let bit = 1 << (position % 64);
            self.live += usize::from(mask[position / 64] & bit != 0);
            mask[position / 64] &= !bit;
        }
    }

    fn keep(&self) -> Option<BooleanArray> {
        let mask = self.deleted.as_ref().filter(|_| self.live < self.len())?;
        let bits = BooleanBuffer::collect_bool(self.len(), |i| mask[i / 64] >> (i % 64) & 1 == 0);
        Some(BooleanArray::new(bits, None))
    }

    /// The live rows; no copy when nothing is deleted.
    pub(super) fn live_rows(&self) -> Result<RecordBatch> {
        Ok(match self.keep() {
            Some(keep) => filter_record_batch(&self.data.rows, &keep)?,
            None => self.data.rows.clone(),
        })
    }

    /// The ids of the live rows.
    pub(super) fn live_ids(&self) -> Result<UInt64Array> {
        let all = match &self.data.ids {
            Ids::From(first) => UInt64Array::from_iter_values(*first..first + self.len() as u64),
            Ids::List(list) => UInt64Array::from(list.clone()),
        };
        Ok(match self.keep() {
            Some(keep) => {
                let kept = filter(&all, &keep)?;
                UInt64Array::from(kept.to_data())
            }
            None => all,
        })
    }

    /// Positions of live rows whose identity may be this one (its low half matches).
    pub(super) fn candidates(&self, encoder: &KeyEncoder, identity: u128) -> Result<Vec<usize>> {
        let lookup = match self.data.lookup.get() {
            Some(lookup) => lookup,
            None => {
                let identities = identities(encoder, &self.data.rows)?;
                let mut sorted: Vec<(u64, u32)> = identities.iter().map(|&i| i as u64).zip(0..).collect();
                sorted.sort_unstable();
                self.data.lookup.get_or_init(|| sorted)
            }
        };
        let low = identity as u64;
        let start = lookup.partition_point(|(i, _)| *i < low);
        let matching = lookup[start..].iter().take_while(|(i, _)| *i == low);
        Ok(matching.map(|(_, p)| *p as usize).filter(|p| self.is_live(*p)).collect())
    }
}
