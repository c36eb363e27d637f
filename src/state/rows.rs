//! [`RowState`]: a multiset of rows, found by key. One side of a join.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;

use super::{Part, State, part};
use crate::data::{BUCKETS, Bucket, Epoch, EventTime, KeyEncoder, hash};
use crate::error::Result;

/// Rows with weights, by key.
pub struct RowState {
    schema: SchemaRef,
    encoder: KeyEncoder,
    converter: RowConverter,
    keys: HashTable<u32>,
    key_slots: Vec<KeySlot>,
    free_keys: Vec<u32>,
    rows: HashTable<u32>,
    row_slots: Vec<RowSlot>,
    free_rows: Vec<u32>,
    removed: Box<[u64; BUCKETS]>,
    touched: Vec<u32>,
    heap: usize,
}

#[derive(Default)]
struct KeySlot {
    bytes: Box<[u8]>,
    rows: Vec<u32>,
    touched: u64,
}

#[derive(Default)]
struct RowSlot {
    bytes: Box<[u8]>,
    weight: i64,
    key: u32,
    /// Position in the key's list of rows.
    place: u32,
}

impl RowState {
    /// Empty; rows of a schema, by these columns.
    pub fn new(schema: &SchemaRef, key: &[usize]) -> Result<Self> {
        let field = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
        let schema = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()));
        let sort = |f: &Arc<Field>| SortField::new(f.data_type().clone());
        Ok(Self {
            encoder: KeyEncoder::new(&schema, key)?,
            converter: RowConverter::new(schema.fields().iter().map(sort).collect())?,
            schema,
            keys: HashTable::new(),
            key_slots: vec![],
            free_keys: vec![],
            rows: HashTable::new(),
            row_slots: vec![],
            free_rows: vec![],
            removed: Box::new([0; BUCKETS]),
            touched: vec![],
            heap: 0,
        })
    }

    /// The row bytes of a batch, for [`Self::add`].
    pub fn row_bytes(&self, rows: &RecordBatch) -> Result<Rows> {
        Ok(self.converter.convert_columns(rows.columns())?)
    }

    /// Adds `diff` times a row under a key.
    pub fn add(&mut self, key: &[u8], row: &[u8], diff: i64) {
        let row_hash = hash(row);
        let found = self.rows.find(row_hash, |&r| *self.row_slots[r as usize].bytes == *row).copied();
        let id = match found {
            Some(id) => {
                let slot = &mut self.row_slots[id as usize];
                slot.weight += diff;
                let (weight, key) = (slot.weight, slot.key);
                self.touched.push(key);
                if weight == 0 {
                    self.remove(id, row_hash);
                }
                return;
            }
            None => take_slot(&mut self.row_slots, &mut self.free_rows),
        };
        let key = self.key_slot(key);
        let list = &mut self.key_slots[key as usize].rows;
        let place = list.len() as u32;
        list.push(id);
        self.row_slots[id as usize] = RowSlot { bytes: row.into(), weight: diff, key, place };
        let slots = &self.row_slots;
        self.rows.insert_unique(row_hash, id, |&r| hash(&slots[r as usize].bytes));
        self.heap += row.len() + 4;
        self.touched.push(key);
    }

    fn key_slot(&mut self, key: &[u8]) -> u32 {
        let h = hash(key);
        if let Some(&found) = self.keys.find(h, |&k| *self.key_slots[k as usize].bytes == *key) {
            return found;
        }
        let id = take_slot(&mut self.key_slots, &mut self.free_keys);
        self.key_slots[id as usize] = KeySlot { bytes: key.into(), ..KeySlot::default() };
        let slots = &self.key_slots;
        self.keys.insert_unique(h, id, |&k| hash(&slots[k as usize].bytes));
        self.heap += key.len();
        id
    }

    /// Takes a row of weight 0 out. Its key stays until the epoch is settled.
    fn remove(&mut self, id: u32, row_hash: u64) {
        if let Ok(found) = self.rows.find_entry(row_hash, |&r| r == id) {
            found.remove();
        }
        let RowSlot { bytes, key, place, .. } = std::mem::take(&mut self.row_slots[id as usize]);
        self.heap -= bytes.len() + 4;
        let list = &mut self.key_slots[key as usize].rows;
        list.swap_remove(place as usize);
        if let Some(&moved) = list.get(place as usize) {
            self.row_slots[moved as usize].place = place;
        }
        self.free_rows.push(id);
    }

    /// The rows under a key, as ids.
    pub fn matches(&self, key: &[u8]) -> &[u32] {
        let found = self.keys.find(hash(key), |&k| *self.key_slots[k as usize].bytes == *key);
        found.map_or(&[], |&k| &self.key_slots[k as usize].rows)
    }

    /// The weight of a row.
    pub fn weight(&self, id: u32) -> i64 {
        self.row_slots[id as usize].weight
    }

    /// Rows as columns again.
    pub fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows = ids.iter().map(|&id| parser.parse(&self.row_slots[id as usize].bytes));
        Ok(self.converter.convert_rows(rows)?)
    }

    /// Ends an epoch: notes which keys changed, and forgets those without rows.
    pub fn settle(&mut self, epoch: Epoch) {
        for key in std::mem::take(&mut self.touched) {
            let slot = &mut self.key_slots[key as usize];
            slot.touched = epoch.0;
            if slot.rows.is_empty() && !slot.bytes.is_empty() {
                let h = hash(&slot.bytes);
                self.removed[usize::from(Bucket::of(h).0)] = epoch.0;
                if let Ok(found) = self.keys.find_entry(h, |&k| k == key) {
                    found.remove();
                }
                self.heap -= slot.bytes.len();
                *slot = KeySlot::default();
                self.free_keys.push(key);
            }
        }
    }
}

/// A free slot's number.
fn take_slot<T: Default>(slots: &mut Vec<T>, free: &mut Vec<u32>) -> u32 {
    free.pop().unwrap_or_else(|| {
        slots.push(T::default());
        slots.len() as u32 - 1
    })
}

impl State for RowState {
    fn snapshot(&self, since: Option<Epoch>) -> Result<Vec<Part>> {
        let mut wanted = [since.is_none(); BUCKETS];
        if let Some(since) = since {
            wanted.iter_mut().zip(self.removed.iter()).for_each(|(w, r)| *w |= *r > since.0);
        }
        let (mut ids, mut hashes) = (vec![], vec![]);
        for slot in self.key_slots.iter().filter(|slot| !slot.rows.is_empty()) {
            let h = hash(&slot.bytes);
            wanted[usize::from(Bucket::of(h).0)] |= since.is_some_and(|s| slot.touched > s.0);
            ids.extend(&slot.rows);
            hashes.extend(slot.rows.iter().map(|_| h));
        }
        let mut columns = self.columns(&ids)?;
        columns.push(Arc::new(ids.iter().map(|&id| self.weight(id)).collect::<Int64Array>()));
        let named = columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c, true));
        let rows = RecordBatch::try_from_iter_with_nullable(named)?;
        part::encode_by_bucket(&rows, &hashes, &wanted, since.is_some())
    }

    fn restore(&mut self, parts: &[Part]) -> Result<()> {
        for part in parts {
            let Some(rows) = part::decode(part)? else { continue };
            let width = rows.num_columns() - 1;
            let data = RecordBatch::try_new(self.schema.clone(), rows.columns()[..width].to_vec())?;
            let weights = rows.column(width).as_primitive::<Int64Type>().clone();
            let (keys, bytes) = (self.encoder.encode(&data)?, self.row_bytes(&data)?);
            for i in 0..data.num_rows() {
                self.add(keys.get(i), bytes.row(i).data(), weights.value(i));
            }
        }
        self.touched.clear();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.heap + self.row_slots.capacity() * size_of::<RowSlot>() + self.key_slots.capacity() * size_of::<KeySlot>()
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn drop_window(&mut self, _window_end: EventTime) -> usize {
        0
    }
}
