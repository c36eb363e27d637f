//! [`Store`]: the one writer of a table's or view's rows.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arrow::array::{RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;

use crate::data::{Changes, KeyEncoder, batch_bytes};
use crate::error::{Error, Result};
use crate::spill::{Account, Holder, Memory};

use super::chunk::{Chunk, Data};
use super::ids::Ids;
use super::index::{Index, identities, key_identities};
use super::merge::tidy;
use super::{CHUNK_BYTES, CHUNK_ROWS, Version};

/// Bytes that a small batch may have for nothing.
const SPARE_BYTES: usize = 64 << 10;

/// The rows of a table or view, for its one writer.
///
/// Invariants: row ids ascend with insertion and are never reused; chunks are merged only in [`Store::seal`], never inside
/// a transaction, so that [`Store::rollback`] can undo it.
#[derive(Debug)]
pub struct Store {
    pub(super) schema: SchemaRef,
    pub(super) key: Option<Arc<[usize]>>,
    encoder: Arc<KeyEncoder>,
    pub(super) chunks: Vec<Chunk>,
    /// Built when it is needed first, if not on the way: append-only views never do.
    pub(super) index: Option<Index>,
    pub(super) next_row: u64,
    pub(super) rows: usize,
    journal: Option<Journal>,
    changed: bool,
    sealed: Option<Version>,
    /// Where chunks are counted.
    pub(super) memory: Arc<Memory>,
    /// Of the index and the masks.
    pub(super) account: Account,
    /// Chunks that are no more in the list, but perhaps in a version that somebody reads.
    pub(super) gone: Vec<Weak<Data>>,
    /// Whether the disk refused something.
    pub(super) refused: bool,
}

/// What a transaction has done so far.
#[derive(Debug)]
struct Journal {
    first_new: u64,
    deleted: Vec<u64>,
}

impl Store {
    /// An empty store; `key` names the columns whose values identify a row, `None` when only the whole row does.
    pub fn new(schema: SchemaRef, key: Option<&[usize]>) -> Result<Self> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let encoder = match key {
            Some(key) => KeyEncoder::new(&schema, key)?,
            None => KeyEncoder::exact(&schema, &all)?,
        };
        let encoder = Arc::new(encoder);
        let key = key.map(Arc::from);
        let memory = Memory::unbounded();
        Ok(Self {
            schema,
            key,
            encoder,
            chunks: vec![],
            index: None,
            next_row: 0,
            rows: 0,
            journal: None,
            changed: true,
            sealed: None,
            account: memory.account(Holder::Rows),
            memory,
            gone: vec![],
            refused: false,
        })
    }

    /// The same store, whose rows go to disk when this memory is short.
    pub fn bounded(mut self, memory: &Arc<Memory>) -> Self {
        self.memory = Arc::clone(memory);
        self.account = memory.account(Holder::Rows);
        self.chunks.iter().for_each(|chunk| chunk.count_in(memory));
        self
    }

    /// The same store, still empty, whose index is built on the way, for rows of which many will be taken out: built later
    /// it would keep everybody waiting.
    pub fn indexed(mut self) -> Self {
        debug_assert!(self.chunks.is_empty());
        self.index = Some(Index::new(self.key.is_some()));
        self
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The key columns.
    pub fn key(&self) -> Option<&[usize]> {
        self.key.as_deref()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Approximate bytes, in memory and on disk, the index included.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum::<usize>() + self.index.as_ref().map_or(0, Index::bytes)
    }

    /// The identities of rows.
    pub fn identities(&self, rows: &RecordBatch) -> Result<Vec<u128>> {
        identities(&self.encoder, rows)
    }

    /// The identities of keys: the key columns alone, in key order.
    pub fn key_identities(&self, keys: &RecordBatch) -> Result<Vec<u128>> {
        key_identities(&self.encoder, keys.columns(), keys.num_rows())
    }

    /// A row of this identity, by id.
    pub fn find(&mut self, identity: u128) -> Result<Option<u64>> {
        Ok(self.find_all(&[identity])?.pop().flatten())
    }

    /// For each of these identities a row, by id.
    pub fn find_all(&mut self, identities: &[u128]) -> Result<Vec<Option<u64>>> {
        self.load(identities)?;
        let (chunks, Some(index)) = (&self.chunks, &self.index) else { return Ok(vec![None; identities.len()]) };
        let find = |identity: &u128| index.find(*identity, |id| position(chunks, id).is_some());
        Ok(identities.iter().map(find).collect())
    }

    /// For rows with these identities: their ids, a different one each; `None` when one is not there.
    pub fn find_distinct(&mut self, identities: &[u128]) -> Result<Option<Vec<u64>>> {
        self.load(identities)?;
        let (chunks, Some(index)) = (&self.chunks, &self.index) else { return Ok(None) };
        let mut taken: HashMap<u128, usize> = HashMap::new();
        let mut ids = Vec::with_capacity(identities.len());
        for identity in identities {
            let nth = taken.entry(*identity).or_default();
            let Some(id) = index.nth(*identity, *nth, |id| position(chunks, id).is_some()) else { return Ok(None) };
            *nth += 1;
            ids.push(id);
        }
        Ok(Some(ids))
    }

    /// All rows with their ids.
    pub fn batches_with_ids(&self) -> Result<Vec<(RecordBatch, UInt64Array)>> {
        self.chunks.iter().map(|c| Ok((c.live_rows()?, c.live_ids()?))).collect()
    }

    /// Whether a row is there.
    pub fn contains(&self, id: u64) -> bool {
        position(&self.chunks, id).is_some()
    }

    /// Appends rows of the store's schema; returns the id of the first, the others follow.
    pub fn insert(&mut self, rows: &RecordBatch) -> Result<u64> {
        let identities = match &self.index {
            Some(_) => identities(&self.encoder, rows)?,
            None => vec![],
        };
        self.append(rows, &identities).map(|(first, _)| first)
    }

    /// Appends rows whose identities are known.
    pub fn insert_identified(&mut self, rows: &RecordBatch, identities: &[u128]) -> Result<u64> {
        debug_assert_eq!(rows.num_rows(), identities.len());
        self.append(rows, identities).map(|(first, _)| first)
    }

    /// Appends rows; returns the first one's id, and how many of them took the index's place of one that was taken out.
    fn append(&mut self, rows: &RecordBatch, identities: &[u128]) -> Result<(u64, usize)> {
        let (first, mut filled) = (self.next_row, 0);
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())?;
        if let Some(index) = &mut self.index {
            for (identity, id) in identities.iter().zip(first..) {
                filled += usize::from(index.fill(*identity, id));
            }
        }
        let pieces = batch_bytes(&rows).div_ceil(CHUNK_BYTES).max(1);
        let piece = rows.num_rows().div_ceil(pieces).clamp(1, CHUNK_ROWS);
        for offset in (0..rows.num_rows()).step_by(piece) {
            let slice = self.owned(rows.slice(offset, piece.min(rows.num_rows() - offset)))?;
            self.chunks.push(Chunk::new(slice, Ids::From(first + offset as u64), &self.memory));
        }
        self.next_row += rows.num_rows() as u64;
        self.rows += rows.num_rows();
        self.changed |= rows.num_rows() > 0;
        Ok((first, filled))
    }

    /// Where memory is bounded, rows that are a small part of something larger do not keep that in memory.
    fn owned(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if self.memory.limit().is_none() || rows.get_array_memory_size() <= 2 * batch_bytes(&rows) + SPARE_BYTES {
            return Ok(rows);
        }
        let all = UInt32Array::from_iter_values(0..rows.num_rows() as u32);
        Ok(take_record_batch(&rows, &all)?)
    }

    /// Deletes a row; false when it is not there.
    pub fn delete(&mut self, id: u64) -> Result<bool> {
        let Some((c, p)) = position(&self.chunks, id) else { return Ok(false) };
        let identity = match self.index.is_some() {
            true => identities(&self.encoder, &self.chunks[c].take(&[p as u32])?)?.first().copied(),
            false => None,
        };
        identity.map_or(Ok(()), |identity| self.load(&[identity]))?;
        self.delete_at(id, c, p, identity);
        Ok(true)
    }

    /// Deletes the rows with these ids, which are these; those that are not there are left out.
    pub fn delete_rows(&mut self, ids: &[u64], rows: &RecordBatch) -> Result<()> {
        debug_assert_eq!(ids.len(), rows.num_rows());
        let identities = match self.index.is_some() {
            true => identities(&self.encoder, rows)?,
            false => vec![],
        };
        if self.index.is_some() {
            self.load(&identities)?;
        }
        for (i, id) in ids.iter().enumerate() {
            if let Some((c, p)) = position(&self.chunks, *id) {
                self.delete_at(*id, c, p, identities.get(i).copied());
            }
        }
        Ok(())
    }

    pub(super) fn encoder(&self) -> &KeyEncoder {
        &self.encoder
    }

    /// Deletes live rows of one chunk, whose identities are known.
    pub(super) fn delete_positions(&mut self, chunk: usize, positions: &[u32], identities: &[u128]) {
        for (position, identity) in positions.iter().zip(identities) {
            let position = *position as usize;
            self.delete_at(self.chunks[chunk].id(position), chunk, position, Some(*identity));
        }
    }

    fn delete_at(&mut self, id: u64, chunk: usize, position_in: usize, identity: Option<u128>) {
        self.chunks[chunk].delete(position_in);
        let chunks = &self.chunks;
        if let (Some(index), Some(identity)) = (&mut self.index, identity) {
            index.remove(identity, id, |id| position(chunks, id).is_some());
        }
        self.rows -= 1;
        self.changed = true;
        if let Some(journal) = &mut self.journal {
            journal.deleted.push(id);
        }
    }

    /// The rows with these ids, in that order; all must be there.
    pub fn take(&self, ids: &[u64]) -> Result<RecordBatch> {
        if ids.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let found: Option<Vec<(usize, usize)>> = ids.iter().map(|&id| position(&self.chunks, id)).collect();
        let mut found = found.ok_or_else(|| Error::internal("a row that was asked for by id is not in the store"))?;
        let mut used: Vec<usize> = found.iter().map(|(c, _)| *c).collect();
        used.sort_unstable();
        used.dedup();
        let (mut batches, mut wanted) = (Vec::with_capacity(used.len()), vec![Vec::new(); used.len()]);
        for (c, p) in &mut found {
            *c = used.binary_search(c).unwrap_or_default();
            if !self.chunks[used[*c]].is_resident() {
                // Of a chunk that is read from disk only what is asked for stays.
                wanted[*c].push(*p as u32);
                *p = wanted[*c].len() - 1;
            }
        }
        for (c, wanted) in used.into_iter().zip(wanted) {
            let chunk = &self.chunks[c];
            batches.push(if wanted.is_empty() { chunk.passing_rows()? } else { chunk.take(&wanted)? });
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        Ok(interleave_record_batch(&batches, &found)?)
    }

    /// Applies one epoch's consolidated changes: retractions first, then insertions. Returns how many retractions met no
    /// row (none, unless an operator is wrong).
    pub fn apply(&mut self, changes: &Changes) -> Result<u64> {
        let Some(diffs) = &changes.diffs else {
            self.insert(&changes.rows)?;
            return Ok(0);
        };
        let identities = self.identities(&changes.rows)?;
        let retracted: Vec<u128> =
            identities.iter().zip(diffs.values()).filter(|(_, d)| **d < 0).map(|(identity, _)| *identity).collect();
        self.load(&retracted)?;
        let (mut missing, mut taken, mut hint) = (0, vec![], 0);
        for (&identity, &diff) in identities.iter().zip(diffs.values()).filter(|(_, d)| **d < 0) {
            for _ in 0..diff.unsigned_abs() {
                if self.take_out(identity, &mut hint) {
                    taken.push(identity);
                } else {
                    missing += 1;
                }
            }
        }
        let filled = self.insert_weighted(changes, diffs.values(), &identities)?;
        if let Some(index) = self.index.as_mut().filter(|_| filled < taken.len()) {
            taken.into_iter().for_each(|identity| index.sweep(identity));
        }
        Ok(missing)
    }

    /// Deletes a row of this identity, if there is one; `hint` is the chunk where the last one was found.
    fn take_out(&mut self, identity: u128, hint: &mut usize) -> bool {
        let chunks = &self.chunks;
        let taken = self.index.as_mut().and_then(|i| i.take(identity, |id| position(chunks, id).is_some()));
        let Some(id) = taken else { return false };
        let near = self.chunks.get(*hint).and_then(|chunk| chunk.position(id)).map(|p| (*hint, p));
        let Some((c, p)) = near.or_else(|| position(&self.chunks, id)) else { return false };
        *hint = c;
        self.chunks[c].delete(p);
        self.rows -= 1;
        self.changed = true;
        if let Some(journal) = &mut self.journal {
            journal.deleted.push(id);
        }
        true
    }

    /// Inserts what has positive weights; returns how many rows took a place in the index that was left for them.
    fn insert_weighted(&mut self, changes: &Changes, diffs: &[i64], identities: &[u128]) -> Result<usize> {
        let first = diffs.iter().position(|d| *d > 0).unwrap_or(diffs.len());
        if diffs[first..].iter().all(|d| *d == 1) {
            // Consolidated changes come in this order. A slice would keep the retracted rows in memory.
            if first == diffs.len() {
                return Ok(0);
            }
            let rows = match first {
                0 => changes.rows.clone(),
                _ => changes.take(&UInt32Array::from_iter_values(first as u32..diffs.len() as u32))?.rows,
            };
            return self.append(&rows, &identities[first..]).map(|(_, filled)| filled);
        }
        let copies = (0u32..).zip(diffs).flat_map(|(i, d)| std::iter::repeat_n(i, usize::try_from(*d).unwrap_or(0)));
        let indices: Vec<u32> = copies.collect();
        if indices.is_empty() {
            return Ok(0);
        }
        let identities: Vec<u128> = indices.iter().map(|&i| identities[i as usize]).collect();
        let rows = changes.take(&indices.into())?.rows;
        self.append(&rows, &identities).map(|(_, filled)| filled)
    }

    /// Deletes all rows.
    pub fn truncate(&mut self) {
        for c in 0..self.chunks.len() {
            for p in 0..self.chunks[c].len() {
                if self.chunks[c].is_live(p) {
                    let id = self.chunks[c].id(p);
                    self.chunks[c].delete(p);
                    self.rows -= 1;
                    if let Some(journal) = &mut self.journal {
                        journal.deleted.push(id);
                    }
                }
            }
        }
        self.changed = true;
        // Rebuilt from what is live when it is needed next.
        self.index = None;
    }

    /// Begins a transaction.
    pub fn begin(&mut self) {
        self.journal = Some(Journal { first_new: self.next_row, deleted: vec![] });
    }

    /// Ends a transaction and keeps what it did.
    pub fn commit(&mut self) {
        self.journal = None;
    }

    /// Ends a transaction and undoes what it did.
    pub fn rollback(&mut self) -> Result<()> {
        let Some(journal) = self.journal.take() else { return Ok(()) };
        while self.chunks.last().is_some_and(|c| c.first_id() >= journal.first_new) {
            let Some(chunk) = self.chunks.pop() else { break };
            self.rows -= chunk.live();
            if let Some(index) = &mut self.index {
                let chunks = &self.chunks;
                let identities = identities(&self.encoder, &chunk.passing_rows()?)?;
                index.load(&identities)?;
                for (p, identity) in identities.into_iter().enumerate() {
                    index.remove(identity, chunk.id(p), |id| position(chunks, id).is_some());
                }
            }
        }
        for id in journal.deleted {
            if let Some(c) = chunk_of(&self.chunks, id)
                && let Some(p) = self.chunks[c].any_position(id)
                && !self.chunks[c].is_live(p)
            {
                self.chunks[c].undelete(p);
                self.rows += 1;
                if let Some(index) = &mut self.index {
                    let row = self.chunks[c].take(&[p as u32])?;
                    let identities = identities(&self.encoder, &row)?;
                    index.load(&identities)?;
                    identities.into_iter().for_each(|identity| index.reinsert(identity, id));
                }
            }
        }
        Ok(())
    }

    /// The rows as they are now. Merges small chunks.
    pub fn seal(&mut self) -> Result<Version> {
        debug_assert!(self.journal.is_none(), "sealed inside a transaction");
        if let Some(version) = self.sealed.as_ref().filter(|_| !self.changed) {
            return Ok(version.clone());
        }
        self.chunks = tidy(&self.schema, &self.chunks, &self.memory, &mut self.gone)?;
        self.relieve();
        let version = Version {
            schema: Arc::clone(&self.schema),
            key: self.key.clone(),
            encoder: Arc::clone(&self.encoder),
            chunks: Arc::new(self.chunks.clone()),
            rows: self.rows,
            bytes: self.bytes(),
            bounded: self.memory.limit().is_some(),
        };
        self.changed = false;
        self.sealed = Some(version.clone());
        Ok(version)
    }

    /// Has in memory what the index knows of these identities.
    fn load(&mut self, identities: &[u128]) -> Result<()> {
        if self.index.is_none() {
            let built = self.build_index();
            if built.is_err() {
                self.index = None;
            }
            built?;
        }
        self.index.as_mut().map_or(Ok(()), |index| index.load(identities))
    }

    fn build_index(&mut self) -> Result<()> {
        self.index = Some(Index::new(self.key.is_some()));
        for c in 0..self.chunks.len() {
            let chunk = &self.chunks[c];
            let identities = identities(&self.encoder, &chunk.passing_rows()?)?;
            let Some(index) = &mut self.index else { break };
            for (p, identity) in identities.into_iter().enumerate() {
                if chunk.is_live(p) {
                    index.insert(identity, chunk.id(p));
                }
            }
            self.relieve();
        }
        Ok(())
    }
}

/// The chunk that may hold a row.
fn chunk_of(chunks: &[Chunk], id: u64) -> Option<usize> {
    chunks.partition_point(|c| c.first_id() <= id).checked_sub(1)
}

/// Chunk and position of a live row.
fn position(chunks: &[Chunk], id: u64) -> Option<(usize, usize)> {
    let c = chunk_of(chunks, id)?;
    Some((c, chunks[c].position(id)?))
}
