//! [`RowState`]: a multiset of rows, found by key. One side of a join.

mod capture;
mod disk;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;

use super::delta::{Delta, Rotation};
use crate::data::{KeyEncoder, hash};
use crate::error::Result;
use disk::Disk;

/// What is known of a key: it was used since it was last looked for what may leave; it is on disk; as it is; it
/// is leaving.
const USED: u8 = 1;
const ON_DISK: u8 = 2;
const CLEAN: u8 = 4;
const LEAVING: u8 = 8;

/// Bytes that a row and a key take beside their own: the allocator's, and the hash tables'.
const ROW_BYTES: usize = 24;
const KEY_BYTES: usize = 56;

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
    /// Behind which of the keys on disk, once all rows in memory have had their turn.
    disk_cursor: Option<Vec<u8>>,
    /// What was copied when changed rows went to disk.
    copied: Vec<Delta>,
    disk: Option<Disk>,
    heap: usize,
}

#[derive(Default)]
struct KeySlot {
    bytes: Box<[u8]>,
    rows: Vec<u32>,
    flags: u8,
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
            disk_cursor: None,
            copied: vec![],
            disk: None,
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
                self.touch(key);
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
        self.heap += row.len() + ROW_BYTES;
        self.touch(key);
        self.note(id);
    }

    /// Notes that a key's rows change.
    fn touch(&mut self, key: u32) {
        let flags = &mut self.key_slots[key as usize].flags;
        *flags = (*flags | USED) & !CLEAN;
        self.touched.push(key);
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
        self.heap += key.len() + KEY_BYTES;
        id
    }

    /// Takes a row of weight 0 out. Its key stays until the epoch is settled.
    fn remove(&mut self, id: u32, row_hash: u64) {
        if let Ok(found) = self.rows.find_entry(row_hash, |&r| r == id) {
            found.remove();
        }
        let RowSlot { bytes, key, place, .. } = std::mem::take(&mut self.row_slots[id as usize]);
        self.heap -= bytes.len() + ROW_BYTES;
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

    /// The rows under a key, as ids. Where not all are in memory, [`Self::fetch`] comes before it.
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
                self.heap -= slot.bytes.len() + KEY_BYTES;
                if slot.flags & ON_DISK != 0 {
                    self.disk.as_mut().into_iter().for_each(|disk| disk.entries.forget(&slot.bytes));
                }
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
