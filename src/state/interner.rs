//! Keys -> dense entry numbers, for one table of groups.
//!
//! A single key column of at most 64 bits is kept as integers, beside their entry in the hash table, so that a look-up
//! touches nothing else. Text and everything else (as key bytes) lie one behind the other in a heap of their own. Up to
//! 15 bytes lie, packed into a word of 128 bits, in the hash table too; for longer ones it has a part of the hash, so that
//! the heap is read for one candidate only.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use hashbrown::HashTable;

use crate::data::{Keys as KeyBytes, hash, is_word};
use crate::error::{Error, Result};

/// In which form the keys of a table are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// There are no key columns.
    Empty,
    /// One column of words.
    Words,
    /// One column of text or bytes.
    Text,
    /// Key bytes.
    Bytes,
}

impl Form {
    /// For key columns of these types.
    pub fn of(types: &[&DataType]) -> Self {
        match types {
            [] => Self::Empty,
            [one] if is_word(one) => Self::Words,
            [DataType::Utf8 | DataType::Binary] => Self::Text,
            _ => Self::Bytes,
        }
    }
}

/// The keys of a batch, ready for [`Interner::intern`].
pub(super) enum BatchKeys {
    /// All the same: there are no key columns.
    Empty,
    /// 64-bit words.
    Words(Int64Array),
    /// Text or bytes.
    Text(ArrayRef),
    /// Key bytes.
    Bytes(KeyBytes),
}

/// Bytes of a key that is packed.
const SHORT: u32 = 15;

mod disk;

/// Dense numbers for keys. Numbers of removed keys are used again.
pub(super) struct Interner {
    keys: Keys,
    numbers: Numbers,
}

enum Keys {
    Empty { entry: Option<u32> },
    Words { table: HashTable<(i64, u32)>, words: Vec<i64>, null: Option<u32> },
    Bytes { short: HashTable<(u128, u32)>, long: HashTable<(u32, u32)>, heap: Heap, null: Option<u32> },
}

/// Entry numbers, and those that are free again.
#[derive(Default)]
struct Numbers {
    free: Vec<u32>,
    /// Entries ever made: numbers are below it.
    length: u32,
    /// Those that were made since it was asked last, if somebody asks.
    made: Option<Vec<u32>>,
}

impl Numbers {
    fn fresh(&mut self) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.length += 1;
            self.length - 1
        });
        if let Some(made) = &mut self.made {
            made.push(number);
        }
        number
    }
}

/// Byte strings by entry.
#[derive(Default)]
struct Heap {
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// Bytes that belong to no entry any more.
    dead: usize,
}

#[derive(Clone, Copy, Default)]
struct Place {
    offset: usize,
    length: u32,
    hash: u64,
}

impl Heap {
    fn get(&self, entry: u32) -> &[u8] {
        let Place { offset, length, .. } = self.places[entry as usize];
        &self.bytes[offset..offset + length as usize]
    }

    fn insert(&mut self, entry: u32, key: &[u8], hash: u64) {
        put(&mut self.places, entry, Place { offset: self.bytes.len(), length: key.len() as u32, hash });
        self.bytes.extend_from_slice(key);
    }

    fn remove(&mut self, entry: u32) {
        self.dead += self.places[entry as usize].length as usize;
        self.places[entry as usize] = Place::default();
        if self.dead > self.bytes.len() / 2 {
            let mut bytes = Vec::with_capacity(self.bytes.len() - self.dead);
            for place in &mut self.places {
                let from = std::mem::replace(&mut place.offset, bytes.len());
                bytes.extend_from_slice(&self.bytes[from..from + place.length as usize]);
            }
            (self.bytes, self.dead) = (bytes, 0);
        }
    }
}

/// Mixes a word for the hash table (not the stable hash).
#[inline]
fn mix(word: i64) -> u64 {
    let wide = u128::from(word as u64 ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Mixes a packed key for the hash table.
#[inline]
fn mix_packed(packed: u128) -> u64 {
    mix(packed as i64 ^ mix((packed >> 64) as i64) as i64)
}

/// At most 15 bytes as one number, different ones for different bytes: the last byte is their length.
#[inline]
fn pack(key: &[u8]) -> Option<u128> {
    let length = key.len();
    let byte = |i: usize| u128::from(key[i]) << (8 * i);
    let bits = match length {
        0 => 0,
        1..=3 => byte(0) | byte(length / 2) | byte(length - 1),
        // The two halves overlap in equal bytes.
        4..=7 => {
            let half = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |b| u128::from(u32::from_le_bytes(*b)));
            half(key.first_chunk()) | half(key.last_chunk()) << (8 * (length - 4))
        }
        8..=15 => {
            let half = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |b| u128::from(u64::from_le_bytes(*b)));
            half(key.first_chunk()) | half(key.last_chunk()) << (8 * (length - 8))
        }
        _ => return None,
    };
    Some(bits | (length as u128) << 120)
}

/// The first `length` of sixteen bytes, packed as [`pack`] does it.
#[inline]
fn pack_first(bytes: &[u8; 16], length: usize) -> Option<u128> {
    const KEPT: [u128; SHORT as usize + 1] = {
        let mut kept = [0; SHORT as usize + 1];
        let mut length = 0;
        while length <= SHORT as usize {
            kept[length] = (1 << (8 * length)) - 1;
            length += 1;
        }
        kept
    };
    let kept = KEPT.get(length)?;
    Some(u128::from_le_bytes(*bytes) & kept | (length as u128) << 120)
}

impl Interner {
    /// For keys of a form.
    pub fn new(form: Form) -> Self {
        let keys = match form {
            Form::Empty => Keys::Empty { entry: None },
            Form::Words => Keys::Words { table: HashTable::new(), words: vec![], null: None },
            Form::Text | Form::Bytes => {
                let (short, long) = (HashTable::new(), HashTable::new());
                Keys::Bytes { short, long, heap: Heap::default(), null: None }
            }
        };
        Self { keys, numbers: Numbers::default() }
    }

    /// Numbers the keys of rows `offset..offset + length`, into `entries` (cleared first).
    pub fn intern(&mut self, batch: &BatchKeys, offset: usize, length: usize, entries: &mut Vec<u32>) {
        entries.clear();
        entries.reserve(length);
        let rows = offset..offset + length;
        match batch {
            BatchKeys::Empty => {
                let Keys::Empty { entry } = &mut self.keys else { return };
                let entry = *entry.get_or_insert_with(|| self.numbers.fresh());
                entries.extend(std::iter::repeat_n(entry, length));
            }
            BatchKeys::Words(column) => {
                let values = column.values();
                match column.nulls().filter(|n| n.null_count() > 0) {
                    None => self.all_words(&values[rows], entries),
                    Some(nulls) => {
                        entries.extend(rows.map(|i| self.word(nulls.is_valid(i).then(|| values[i]))));
                    }
                }
            }
            BatchKeys::Text(column) => match column.as_string_opt::<i32>() {
                Some(text) if text.null_count() == 0 => self.all_texts(text, rows, entries),
                Some(text) => {
                    let value = |i: usize| text.is_valid(i).then(|| text.value(i).as_bytes());
                    entries.extend(rows.map(|i| self.nullable(value(i))));
                }
                None => {
                    let Some(bytes) = column.as_binary_opt::<i32>() else { return };
                    entries.extend(rows.map(|i| self.nullable(bytes.is_valid(i).then(|| bytes.value(i)))));
                }
            },
            BatchKeys::Bytes(keys) => entries.extend(rows.map(|i| self.bytes(keys.get(i)))),
        }
    }

    /// Numbers all keys of another table of the same form, of which none was removed, in the order of their entries.
    pub fn intern_all(&mut self, from: &Self, entries: &mut Vec<u32>) {
        debug_assert!(from.numbers.free.is_empty());
        entries.clear();
        entries.reserve(from.capacity());
        let all = 0..from.numbers.length;
        match &from.keys {
            Keys::Empty { .. } => self.intern(&BatchKeys::Empty, 0, from.capacity(), entries),
            Keys::Words { words, null, .. } => {
                // A null's place may lie behind the last word's.
                let word = |e: u32| (*null != Some(e)).then(|| words[e as usize]);
                entries.extend(all.map(|e| self.word(word(e))));
            }
            Keys::Bytes { heap, null, .. } => entries
                .extend(all.map(|e| if *null == Some(e) { self.nullable(None) } else { self.bytes(heap.get(e)) })),
        }
    }

    fn all_words(&mut self, batch: &[i64], entries: &mut Vec<u32>) {
        let Keys::Words { table, words, .. } = &mut self.keys else { return };
        for &word in batch {
            let hash = mix(word);
            entries.push(match table.find(hash, |(known, _)| *known == word) {
                Some(&(_, entry)) => entry,
                None => {
                    let entry = self.numbers.fresh();
                    put(words, entry, word);
                    table.insert_unique(hash, (word, entry), |(word, _)| mix(*word)).get().1
                }
            });
        }
    }

    #[inline]
    fn word(&mut self, word: Option<i64>) -> u32 {
        let Keys::Words { table, words, null } = &mut self.keys else { return wrong_form() };
        let Some(word) = word else { return *null.get_or_insert_with(|| self.numbers.fresh()) };
        let hash = mix(word);
        if let Some(&(_, entry)) = table.find(hash, |(known, _)| *known == word) {
            return entry;
        }
        let entry = self.numbers.fresh();
        put(words, entry, word);
        table.insert_unique(hash, (word, entry), |(word, _)| mix(*word));
        entry
    }

    fn nullable(&mut self, key: Option<&[u8]>) -> u32 {
        match (key, &mut self.keys) {
            (Some(key), _) => self.bytes(key),
            (None, Keys::Bytes { null, .. }) => *null.get_or_insert_with(|| self.numbers.fresh()),
            (None, Keys::Empty { .. } | Keys::Words { .. }) => wrong_form(),
        }
    }

    fn all_texts(&mut self, texts: &StringArray, rows: Range<usize>, entries: &mut Vec<u32>) {
        let (offsets, bytes) = (texts.value_offsets(), texts.value_data());
        for row in rows {
            let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
            let packed = match bytes[from..].first_chunk() {
                Some(sixteen) => pack_first(sixteen, to - from),
                None => pack(&bytes[from..to]),
            };
            entries.push(self.packed(packed, &bytes[from..to]));
        }
    }

    #[inline]
    fn bytes(&mut self, key: &[u8]) -> u32 {
        self.packed(pack(key), key)
    }

    #[inline]
    fn packed(&mut self, packed: Option<u128>, key: &[u8]) -> u32 {
        let Keys::Bytes { short, heap, .. } = &mut self.keys else { return wrong_form() };
        let Some(packed) = packed else { return self.long(key) };
        let hash = mix_packed(packed);
        if let Some(&(_, entry)) = short.find(hash, |(known, _)| *known == packed) {
            return entry;
        }
        let entry = self.numbers.fresh();
        heap.insert(entry, key, hash);
        short.insert_unique(hash, (packed, entry), |(packed, _)| mix_packed(*packed));
        entry
    }

    fn long(&mut self, key: &[u8]) -> u32 {
        let Keys::Bytes { long, heap, .. } = &mut self.keys else { return wrong_form() };
        let hash = hash(key);
        let tag = hash as u32;
        if let Some(&(_, entry)) = long.find(hash, |&(t, e)| t == tag && heap.get(e) == key) {
            return entry;
        }
        let entry = self.numbers.fresh();
        heap.insert(entry, key, hash);
        long.insert_unique(hash, (tag, entry), |&(_, e)| heap.places[e as usize].hash);
        entry
    }

    /// Forgets an entry's key; its number is used again.
    pub fn remove(&mut self, entry: u32) {
        match &mut self.keys {
            Keys::Empty { entry: held } => *held = None,
            Keys::Words { null, .. } | Keys::Bytes { null, .. } if *null == Some(entry) => *null = None,
            Keys::Words { table, words, .. } => {
                if let Ok(found) = table.find_entry(mix(words[entry as usize]), |&(_, e)| e == entry) {
                    found.remove();
                }
            }
            Keys::Bytes { short, long, heap, .. } => {
                let Place { hash, length, .. } = heap.places[entry as usize];
                if length <= SHORT {
                    if let Ok(found) = short.find_entry(hash, |&(_, e)| e == entry) {
                        found.remove();
                    }
                } else if let Ok(found) = long.find_entry(hash, |&(_, e)| e == entry) {
                    found.remove();
                }
                heap.remove(entry);
            }
        }
        self.numbers.free.push(entry);
    }

    /// Forgets all keys, but not the memory that it has.
    pub fn clear(&mut self) {
        match &mut self.keys {
            Keys::Empty { entry } => *entry = None,
            Keys::Words { table, words, null } => {
                table.clear();
                words.clear();
                *null = None;
            }
            Keys::Bytes { short, long, heap, null } => {
                short.clear();
                long.clear();
                heap.bytes.clear();
                heap.places.clear();
                heap.dead = 0;
                *null = None;
            }
        }
        self.numbers.free.clear();
        self.numbers.length = 0;
    }

    /// Entry numbers are below this.
    pub fn capacity(&self) -> usize {
        self.numbers.length as usize
    }

    /// The entries that have keys, ascending.
    pub fn held(&self) -> Vec<u32> {
        let mut is_held = vec![true; self.capacity()];
        self.numbers.free.iter().for_each(|&free| is_held[free as usize] = false);
        (0..).zip(is_held).filter_map(|(entry, is_held)| is_held.then_some(entry)).collect()
    }

    /// Keys held.
    pub fn len(&self) -> usize {
        self.capacity() - self.numbers.free.len()
    }

    /// Heap bytes, about.
    pub fn bytes_held(&self) -> usize {
        match &self.keys {
            Keys::Empty { .. } => 0,
            Keys::Words { table, words, .. } => table.capacity() * 17 + words.capacity() * 8,
            Keys::Bytes { short, long, heap, .. } => {
                let tables = short.capacity() * 33 + long.capacity() * 9;
                tables + heap.places.capacity() * size_of::<Place>() + heap.bytes.capacity()
            }
        }
    }

    /// The keys of entries, as the words they were.
    pub fn words(&self, entries: &[u32]) -> Option<Int64Array> {
        let Keys::Words { words, null, .. } = &self.keys else { return None };
        let values: Vec<i64> = entries.iter().map(|&e| words.get(e as usize).copied().unwrap_or(0)).collect();
        let nulls =
            null.filter(|n| entries.contains(n)).map(|n| entries.iter().map(|&e| e != n).collect::<NullBuffer>());
        Some(Int64Array::new(values.into(), nulls))
    }

    /// The keys of entries, as the text or bytes that they were.
    pub fn text(&self, entries: &[u32], data_type: &DataType) -> Result<ArrayRef> {
        let Keys::Bytes { heap, null, .. } = &self.keys else { return Err(Error::internal("keys are no text")) };
        let mut bytes = Vec::with_capacity(entries.len() * 16);
        let mut lengths = Vec::with_capacity(entries.len());
        for &entry in entries {
            let key = if *null == Some(entry) { &[] } else { heap.get(entry) };
            lengths.push(key.len());
            bytes.extend_from_slice(key);
        }
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let nulls =
            null.filter(|n| entries.contains(n)).map(|n| entries.iter().map(|&e| e != n).collect::<NullBuffer>());
        Ok(match data_type {
            DataType::Utf8 => Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?),
            _ => Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls)?),
        })
    }

    /// The key bytes of an entry.
    pub fn key(&self, entry: u32) -> &[u8] {
        match &self.keys {
            Keys::Bytes { heap, .. } => heap.get(entry),
            Keys::Empty { .. } | Keys::Words { .. } => &[],
        }
    }
}

/// Keys come in the form of the table: both are made for the same columns.
fn wrong_form() -> u32 {
    debug_assert!(false, "keys of another form");
    0
}

/// Writes `value` at `entry`, growing the vector by default values.
fn put<T: Default + Clone>(values: &mut Vec<T>, entry: u32, value: T) {
    let entry = entry as usize;
    if entry >= values.len() {
        values.resize(entry + 1, T::default());
    }
    values[entry] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_removed_texts_are_used_again_and_their_bytes_go() {
        let mut interner = Interner::new(Form::Text);
        let mut entries = vec![];
        let texts = |values: &[Option<&str>]| BatchKeys::Text(Arc::new(StringArray::from(values.to_vec())));
        interner.intern(&texts(&[Some("alpha"), None, Some(""), Some("alpha"), None]), 0, 5, &mut entries);
        assert_eq!(entries, vec![0, 1, 2, 0, 1]);
        interner.remove(0);
        interner.remove(1);
        assert_eq!(interner.len(), 1);
        interner.intern(&texts(&[Some("x"), Some("beta"), Some(""), None]), 1, 3, &mut entries);
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1], 2);
        let back = interner.text(&entries, &DataType::Utf8).unwrap();
        assert_eq!(back.as_string::<i32>(), &StringArray::from(vec![Some("beta"), Some(""), None]));
        let Keys::Bytes { heap, .. } = &interner.keys else { panic!("no bytes") };
        assert_eq!((heap.bytes.len(), heap.dead), (4, 0));
    }

    #[test]
    fn packed_keys_differ_when_their_bytes_do() {
        let text = b"abcdefghijklmnopqrstuvwxyz";
        let keys: Vec<&[u8]> = (0..=15).map(|n| &text[..n]).chain((1..=15).map(|n| &text[1..=n])).collect();
        let packed: std::collections::BTreeSet<u128> = keys.iter().filter_map(|k| pack(k)).collect();
        assert_eq!(packed.len(), keys.len());
        assert_eq!((pack(b"\0"), pack(b"\0\0") == pack(b"\0"), pack(&text[..16])), (Some(1 << 120), false, None));
        assert_ne!(pack(b"abcdefgh1"), pack(b"abcdefgh2"));
        let first = text.first_chunk().unwrap();
        assert!((0..=16).all(|n| pack_first(first, n) == pack(&text[..n])));
        let mut interner = Interner::new(Form::Text);
        let mut entries = vec![];
        let texts = StringArray::from(vec!["channel-1", "a text of more than 15 bytes", "channel-1", "", "abc"]);
        interner.intern(&BatchKeys::Text(Arc::new(texts.clone())), 0, 5, &mut entries);
        assert_eq!(entries, vec![0, 1, 0, 2, 3]);
        assert_eq!(interner.text(&entries, &DataType::Utf8).unwrap().as_string::<i32>(), &texts);
    }

    #[test]
    fn all_keys_of_one_table_go_into_another() {
        let (mut from, mut to) = (Interner::new(Form::Words), Interner::new(Form::Words));
        let (mut entries, mut moved) = (vec![], vec![]);
        to.intern(&BatchKeys::Words(Int64Array::from(vec![9, 8])), 0, 2, &mut entries);
        from.intern(&BatchKeys::Words(Int64Array::from(vec![Some(8), Some(7), None])), 0, 3, &mut entries);
        to.intern_all(&from, &mut moved);
        assert_eq!(moved, vec![1, 2, 3]);
        assert_eq!(to.words(&moved).unwrap(), Int64Array::from(vec![Some(8), Some(7), None]));
    }
}
