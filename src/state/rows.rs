//! [`RowState`]: a multiset of rows, found by key. One side of a join.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;

use super::State;
use super::delta::{Capture, Delta, Rotation, batch};
use crate::data::{Bucket, EventTime, KeyEncoder, hash};
use crate::error::Result;
use crate::spill::Account;

/// Changed rows that are noted at least before it is looked for those that were noted twice.
const NOTED: usize = 1024;

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
    touched: Vec<u32>,
    /// How far the copying is: rows whose weights changed since the last copy, some of them twice; those that went; the
    /// row that the rotation copies next.
    rotation: Rotation,
    changed: Vec<u32>,
    gone: Vec<Box<[u8]>>,
    cursor: u32,
    heap: usize,
}

#[derive(Default)]
struct KeySlot {
    bytes: Box<[u8]>,
    rows: Vec<u32>,
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
            touched: vec![],
            rotation: Rotation::default(),
            changed: vec![],
            gone: vec![],
            cursor: 0,
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
                self.note(id);
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
        self.note(id);
    }

    /// Notes a row for the next copy.
    fn note(&mut self, id: u32) {
        if self.rotation.on {
            self.changed.push(id);
            if self.changed.len() > NOTED + 2 * self.row_slots.len() {
                self.changed.sort_unstable();
                self.changed.dedup();
            }
        }
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
        if self.rotation.on {
            self.gone.push(bytes);
        }
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

    /// Ends an epoch: forgets keys without rows.
    pub fn settle(&mut self) {
        for key in std::mem::take(&mut self.touched) {
            let slot = &mut self.key_slots[key as usize];
            if slot.rows.is_empty() && !slot.bytes.is_empty() {
                let h = hash(&slot.bytes);
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

impl RowState {
    /// Rows and their weights.
    fn dump(&self, ids: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.columns(ids)?;
        columns.push(Arc::new(ids.iter().map(|&id| self.weight(id)).collect::<Int64Array>()));
        batch(columns)
    }

    /// Loads rows, in the place of those that are there; a weight of 0 takes one out.
    fn load(&mut self, rows: &RecordBatch, owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        let width = self.schema.fields().len();
        let data = RecordBatch::try_new(self.schema.clone(), rows.columns()[..width].to_vec())?;
        let weights = rows.columns().get(width).map(|column| column.as_primitive::<Int64Type>());
        let (keys, bytes) = (self.encoder.encode(&data)?, self.row_bytes(&data)?);
        for i in 0..data.num_rows() {
            let key = keys.get(i);
            if !owns(Bucket::of(hash(key))) {
                continue;
            }
            let row = bytes.row(i);
            let found = self.rows.find(hash(row.data()), |&r| *self.row_slots[r as usize].bytes == *row.data());
            let now = found.map_or(0, |&id| self.weight(id));
            let weight = weights.map_or(0, |weights| weights.value(i));
            if weight != now {
                self.add(key, row.data(), weight - now);
            }
        }
        Ok(())
    }
}

impl State for RowState {
    fn bound(&mut self, _account: Account) {}

    fn relieve(&mut self) -> Result<()> {
        Ok(())
    }

    fn track(&mut self, covered: bool) {
        self.rotation.track(covered);
        self.cursor = 0;
    }

    fn capture(&mut self, capture: &mut Capture) -> Result<Vec<Delta>> {
        let mut delta = Delta::default();
        let gone = std::mem::take(&mut self.gone);
        if !gone.is_empty() {
            let parser = self.converter.parser();
            let columns = self.converter.convert_rows(gone.iter().map(|bytes| parser.parse(bytes)))?;
            delta.removed.push(batch(columns)?);
        }
        let mut ids = std::mem::take(&mut self.changed);
        ids.sort_unstable();
        ids.dedup();
        let (covered, cursor) = (self.rotation.covered, self.cursor);
        // In the first round the others are copied when it is their turn.
        ids.retain(|&id| self.row_slots[id as usize].weight != 0 && (covered || id < cursor));
        let mut left = self.rotation.turn(capture, ids.len() + gone.len());
        let changed = ids.len();
        while left > 0 && (self.cursor as usize) < self.row_slots.len() {
            if self.row_slots[self.cursor as usize].weight != 0 {
                ids.push(self.cursor);
                left -= 1;
            }
            self.cursor += 1;
        }
        let round = self.cursor as usize >= self.row_slots.len();
        if round {
            self.cursor = 0;
        }
        self.rotation.turned(capture, ids.len() - changed, round);
        self.rotation.tell(&mut delta);
        if !ids.is_empty() {
            ids.sort_unstable();
            ids.dedup();
            delta.rows.push(self.dump(&ids)?);
        }
        Ok(vec![delta])
    }

    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        for rows in deltas.iter().flat_map(|delta| delta.removed.iter().chain(&delta.rows)) {
            self.load(rows, owns)?;
        }
        // Rows that went have left keys.
        self.settle();
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
