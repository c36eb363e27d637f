//! A chunk: immutable rows with their ids, and a deletion mask that is copied when a version shares it.
//!
//! Its rows are in memory, or on disk, or both: what was written to disk once stays valid, since rows never change, so rows
//! that were read back leave memory again without being written. Ids and mask stay in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use crate::data::{KeyEncoder, batch_bytes};
use crate::error::{Error, Result};
use crate::spill::{Account, Extent, Holder, Memory};

use super::ids::Ids;
use super::index::identities;
use super::lookup::{Filter, Lookup};

/// The next chunk's serial.
static SERIAL: AtomicU64 = AtomicU64::new(1);
/// Moves on with every store that looks for what was used longest ago.
static CLOCK: AtomicU64 = AtomicU64::new(1);

/// One of as many rows of a chunk is few.
const FEW: usize = 64;
/// A chunk on disk of which rows were asked for so many times comes back.
const OFTEN: u64 = 16;

/// Some consecutive rows of a store.
///
/// Invariant: ids ascend within a chunk and from chunk to chunk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    data: Arc<Data>,
    deleted: Option<Arc<Vec<u64>>>,
    live: usize,
}

/// What all versions of a chunk share.
#[derive(Debug)]
pub(super) struct Data {
    schema: SchemaRef,
    len: usize,
    ids: Ids,
    /// Of the rows, in memory.
    bytes: usize,
    /// Tells it apart from all others of this process.
    serial: u64,
    /// When its rows were asked for last.
    used: AtomicU64,
    /// How often some of its rows were asked for since they were in memory.
    asked: AtomicU64,
    held: Mutex<Held>,
}

/// Where the rows are: in memory, on disk, or both.
#[derive(Debug)]
struct Held {
    rows: Option<RecordBatch>,
    extent: Option<Arc<Extent>>,
    /// For readers' look-ups; made by the first.
    lookup: Option<Arc<Lookup>>,
    filter: Option<Arc<Filter>>,
    account: Account,
}

impl Held {
    /// Says how much there is of a chunk.
    fn count(&mut self, data: &Data) {
        let rows = if self.rows.is_some() { data.bytes } else { 0 };
        let lookup = if self.lookup.is_some() { Lookup::bytes(data.len) } else { 0 };
        let filter = if self.filter.is_some() { Filter::bytes(data.len) } else { 0 };
        self.account.hold(rows + lookup + filter + data.ids.bytes());
        self.account.spilled(self.extent.as_ref().map_or(0, |extent| extent.bytes()));
    }
}

impl Data {
    fn new(rows: RecordBatch, ids: Ids, bytes: usize, memory: &Arc<Memory>) -> Self {
        let account = memory.account(Holder::Rows);
        let (schema, len) = (rows.schema(), rows.num_rows());
        let held = Held { rows: Some(rows), extent: None, lookup: None, filter: None, account };
        let data = Self {
            schema,
            len,
            ids,
            bytes,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            used: AtomicU64::new(CLOCK.load(Ordering::Relaxed)),
            asked: AtomicU64::new(0),
            held: Mutex::new(held),
        };
        data.held.lock().count(&data);
        data
    }

    /// The rows; what is read back stays, if it is asked for and memory is not short.
    fn rows(&self, stay: bool) -> Result<RecordBatch> {
        self.used.store(CLOCK.load(Ordering::Relaxed), Ordering::Relaxed);
        let extent = {
            let held = self.held.lock();
            match (&held.rows, &held.extent) {
                (Some(rows), _) => return Ok(rows.clone()),
                (None, Some(extent)) => Arc::clone(extent),
                (None, None) => return Err(Error::internal("a chunk has no rows")),
            }
        };
        let rows = extent.read()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())?;
        if stay {
            let mut held = self.held.lock();
            if !held.account.memory().is_short() {
                held.rows = Some(rows.clone());
                held.count(self);
            }
        }
        Ok(rows)
    }

    /// Some of the rows, by position, in any order. Of few, on disk, no more is read than their blocks; of a chunk of which
    /// some are asked for again and again all are read, and stay.
    fn take(&self, positions: &[u32]) -> Result<RecordBatch> {
        let few = positions.len() < self.len / FEW;
        let extent = {
            let held = self.held.lock();
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let on_disk = held.rows.is_none() && few && (asked < OFTEN || held.account.memory().is_short());
            held.extent.as_ref().filter(|_| on_disk).map(Arc::clone)
        };
        let Some(extent) = extent else {
            return Ok(take_record_batch(&self.rows(true)?, &UInt32Array::from(positions.to_vec()))?);
        };
        self.used.store(CLOCK.load(Ordering::Relaxed), Ordering::Relaxed);
        let rows = extent.take(positions)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())?)
    }

    /// When it was used last.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes in memory that it can give back.
    pub(super) fn movable(&self) -> usize {
        let held = self.held.lock();
        let rows = if held.rows.is_some() { self.bytes } else { 0 };
        rows + if held.lookup.is_some() { Lookup::bytes(self.len) } else { 0 }
    }

    /// Bytes in memory that it gives back last.
    pub(super) fn stubborn(&self) -> usize {
        let filter = if self.held.lock().filter.is_some() { Filter::bytes(self.len) } else { 0 };
        self.ids.bytes() + filter
    }

    /// Gives memory back: rows, which go to disk unless they are there, and the list for look-ups.
    pub(super) fn spill(&self) -> Result<()> {
        let mut held = self.held.lock();
        if let (Some(rows), None) = (&held.rows, &held.extent) {
            held.extent = Some(Arc::new(Extent::write(held.account.memory(), rows)?));
        }
        (held.rows, held.lookup) = (None, None);
        self.asked.store(0, Ordering::Relaxed);
        held.count(self);
        Ok(())
    }

    /// As if it had been read when there was room.
    #[cfg(test)]
    pub(super) fn bring_back(&self) -> Result<()> {
        let rows = self.rows(false)?;
        let mut held = self.held.lock();
        held.rows = Some(rows);
        held.count(self);
        Ok(())
    }

    /// Gives back what makes look-ups fast.
    pub(super) fn drop_filter(&self) {
        let mut held = self.held.lock();
        held.filter = None;
        held.count(self);
    }
}

/// A moment has passed: what is used from here on is used later than what was.
pub(super) fn tick() {
    CLOCK.fetch_add(1, Ordering::Relaxed);
}

impl Chunk {
    pub(super) fn new(rows: RecordBatch, ids: Ids, memory: &Arc<Memory>) -> Self {
        let (live, bytes) = (rows.num_rows(), batch_bytes(&rows));
        Self { data: Arc::new(Data::new(rows, ids, bytes, memory)), deleted: None, live }
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
        if &self.data.schema == schema {
            return Ok(self);
        }
        let Data { ids, bytes, serial, used, held, len, .. } = self.data.as_ref();
        let held = held.lock();
        let again = |rows: &RecordBatch| RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec());
        let data = Data {
            schema: Arc::clone(schema),
            len: *len,
            ids: ids.clone(),
            bytes: *bytes,
            serial: *serial,
            used: AtomicU64::new(used.load(Ordering::Relaxed)),
            asked: AtomicU64::new(0),
            held: Mutex::new(Held {
                rows: held.rows.as_ref().map(again).transpose()?,
                extent: held.extent.clone(),
                lookup: None,
                filter: None,
                account: held.account.memory().account(Holder::Rows),
            }),
        };
        drop(held);
        data.held.lock().count(&data);
        Ok(Self { data: Arc::new(data), ..self })
    }

    /// From now on its bytes are those of this memory.
    pub(super) fn count_in(&self, memory: &Arc<Memory>) {
        let mut held = self.data.held.lock();
        if !Arc::ptr_eq(held.account.memory(), memory) {
            held.account = memory.account(Holder::Rows);
            held.count(&self.data);
        }
    }

    pub(super) fn data(&self) -> &Arc<Data> {
        &self.data
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

    /// All rows, deleted ones too; they stay in memory if they are read back and there is room.
    pub(super) fn rows(&self) -> Result<RecordBatch> {
        self.data.rows(true)
    }

    /// All rows, deleted ones too, for one who passes over many chunks: they leave memory again if they were not there.
    pub(super) fn passing_rows(&self) -> Result<RecordBatch> {
        self.data.rows(false)
    }

    /// Some of its rows, by position, in any order.
    pub(super) fn take(&self, positions: &[u32]) -> Result<RecordBatch> {
        self.data.take(positions)
    }

    /// Whether its rows are in memory.
    pub(super) fn is_resident(&self) -> bool {
        self.data.held.lock().rows.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.data.len
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Of its rows, wherever they are.
    pub(super) fn bytes(&self) -> usize {
        self.data.bytes
    }

    /// Of the mask.
    pub(super) fn mask_bytes(&self) -> usize {
        self.deleted.as_ref().map_or(0, |mask| size_of_val(mask.as_slice()))
    }

    pub(super) fn id(&self, position: usize) -> u64 {
        self.data.ids.id(position)
    }

    /// The id of the first row; chunks are never empty.
    pub(super) fn first_id(&self) -> u64 {
        self.id(0)
    }

    /// Where a live row is.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        self.any_position(id).filter(|position| self.is_live(*position))
    }

    /// Where a row is, live or deleted.
    pub(super) fn any_position(&self, id: u64) -> Option<usize> {
        self.data.ids.position(id).filter(|position| *position < self.len())
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

    /// The live rows; no copy when nothing is deleted. As [`Self::passing_rows`].
    pub(super) fn live_rows(&self) -> Result<RecordBatch> {
        let rows = self.passing_rows()?;
        Ok(match self.keep() {
            Some(keep) => filter_record_batch(&rows, &keep)?,
            None => rows,
        })
    }

    /// The ids of all rows.
    pub(super) fn all_ids(&self) -> UInt64Array {
        match &self.data.ids {
            Ids::From(first) => UInt64Array::from_iter_values(*first..first + self.len() as u64),
            Ids::Listed(_) => UInt64Array::from_iter_values((0..self.len()).map(|position| self.id(position))),
        }
    }

    /// The ids of the live rows.
    pub(super) fn live_ids(&self) -> Result<UInt64Array> {
        let all = self.all_ids();
        Ok(match self.keep() {
            Some(keep) => {
                let kept = filter(&all, &keep)?;
                UInt64Array::from(kept.to_data())
            }
            None => all,
        })
    }

    /// Positions of live rows whose identity may be one of these (its low half matches), as many times as they do.
    pub(super) fn candidates(&self, encoder: &KeyEncoder, wanted: &[u128]) -> Result<Vec<(usize, u128)>> {
        let (lookup, filter) = {
            let held = self.data.held.lock();
            (held.lookup.clone(), held.filter.clone())
        };
        if lookup.is_none() && filter.is_some_and(|filter| !wanted.iter().any(|i| filter.may_have(*i))) {
            return Ok(vec![]);
        }
        let lookup = match lookup {
            Some(lookup) => lookup,
            None => self.make_lookup(encoder)?,
        };
        let mut found = vec![];
        for &identity in wanted {
            let candidates = lookup.candidates(identity).iter().map(|p| *p as usize);
            found.extend(candidates.filter(|p| self.is_live(*p)).map(|p| (p, identity)));
        }
        Ok(found)
    }

    fn make_lookup(&self, encoder: &KeyEncoder) -> Result<Arc<Lookup>> {
        let identities = identities(encoder, &self.rows()?)?;
        let lookup = Arc::new(Lookup::new(&identities));
        let mut held = self.data.held.lock();
        let memory = Arc::clone(held.account.memory());
        if memory.limit().is_some() && held.filter.is_none() {
            held.filter = Some(Arc::new(Filter::new(&identities)));
        }
        if !memory.is_short() {
            held.lookup = Some(Arc::clone(&lookup));
        }
        held.count(&self.data);
        Ok(lookup)
    }
}
