//! Keys -> dense entry numbers, for one table of groups.
//!
//! A single key column of at most 64 bits is kept as integers; everything else as key bytes.

use arrow::array::{Array, Int64Array};
use arrow::buffer::NullBuffer;
use hashbrown::HashTable;

use crate::data::{Keys as KeyBytes, hash};

/// The keys of a batch, ready for [`Interner::intern`].
pub(super) enum BatchKeys {
    /// All the same: there are no key columns.
    Empty,
    /// 64-bit words.
    Words(Int64Array),
    /// Key bytes.
    Bytes(KeyBytes),
}

/// Dense numbers for keys. Numbers of removed keys are used again.
pub(super) struct Interner {
    keys: Keys,
    free: Vec<u32>,
    /// Entries ever made: numbers are below it.
    length: u32,
}

enum Keys {
    Empty { entry: Option<u32> },
    Words { table: HashTable<u32>, words: Vec<i64>, null: Option<u32> },
    Bytes { table: HashTable<u32>, keys: Vec<Box<[u8]>> },
}

/// Mixes a word for the hash table (not the stable hash).
#[inline]
fn mix(word: i64) -> u64 {
    let wide = u128::from(word as u64 ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
    (wide as u64) ^ ((wide >> 64) as u64)
}

impl Interner {
    /// For keys of the form that `word` tells: [`is_word`] of the one key column.
    pub fn new(columns: usize, word: bool) -> Self {
        let keys = match (columns, word) {
            (0, _) => Keys::Empty { entry: None },
            (_, true) => Keys::Words { table: HashTable::new(), words: vec![], null: None },
            (_, false) => Keys::Bytes { table: HashTable::new(), keys: vec![] },
        };
        Self { keys, free: vec![], length: 0 }
    }

    /// Numbers the keys of rows `offset..offset + length`, into `entries` (cleared first).
    pub fn intern(&mut self, batch: &BatchKeys, offset: usize, length: usize, entries: &mut Vec<u32>) {
        entries.clear();
        entries.reserve(length);
        let Self { keys, free, length: next } = self;
        let mut fresh = || {
            free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            })
        };
        match (keys, batch) {
            (Keys::Empty { entry }, _) => {
                let entry = *entry.get_or_insert_with(fresh);
                entries.extend(std::iter::repeat_n(entry, length));
            }
            (Keys::Words { table, words, null }, BatchKeys::Words(column)) => {
                let values = &column.values()[offset..offset + length];
                let nulls = column.nulls().filter(|n| n.null_count() > 0);
                for (i, &word) in values.iter().enumerate() {
                    if nulls.is_some_and(|n| n.is_null(offset + i)) {
                        entries.push(*null.get_or_insert_with(&mut fresh));
                        continue;
                    }
                    let found = table.find(mix(word), |&e| words[e as usize] == word);
                    entries.push(match found {
                        Some(&entry) => entry,
                        None => {
                            let entry = fresh();
                            put(words, entry, word);
                            table.insert_unique(mix(word), entry, |&e| mix(words[e as usize]));
                            entry
                        }
                    });
                }
            }
            (Keys::Bytes { table, keys }, BatchKeys::Bytes(batch)) => {
                for i in offset..offset + length {
                    let key = batch.get(i);
                    let h = hash(key);
                    let found = table.find(h, |&e| *keys[e as usize] == *key);
                    entries.push(match found {
                        Some(&entry) => entry,
                        None => {
                            let entry = fresh();
                            put(keys, entry, key.into());
                            table.insert_unique(h, entry, |&e| hash(&keys[e as usize]));
                            entry
                        }
                    });
                }
            }
            (Keys::Words { .. } | Keys::Bytes { .. }, _) => debug_assert!(false, "keys of another form"),
        }
    }

    /// Forgets an entry's key; its number is used again.
    pub fn remove(&mut self, entry: u32) {
        match &mut self.keys {
            Keys::Empty { entry: held } => *held = None,
            Keys::Words { null, .. } if *null == Some(entry) => *null = None,
            Keys::Words { table, words, .. } => {
                if let Ok(found) = table.find_entry(mix(words[entry as usize]), |&e| e == entry) {
                    found.remove();
                }
            }
            Keys::Bytes { table, keys } => {
                if let Ok(found) = table.find_entry(hash(&keys[entry as usize]), |&e| e == entry) {
                    found.remove();
                }
                keys[entry as usize] = Box::default();
            }
        }
        self.free.push(entry);
    }

    /// Entry numbers are below this.
    pub fn capacity(&self) -> usize {
        self.length as usize
    }

    /// Keys held.
    pub fn len(&self) -> usize {
        self.length as usize - self.free.len()
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        match &self.keys {
            Keys::Empty { .. } => 0,
            Keys::Words { table, words, .. } => table.capacity() * 5 + words.capacity() * 8,
            Keys::Bytes { table, keys } => {
                let sample = keys.iter().take(16).map(|k| k.len()).sum::<usize>() / keys.len().clamp(1, 16);
                table.capacity() * 5 + keys.capacity() * (16 + sample)
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

    /// The key bytes of an entry.
    pub fn key(&self, entry: u32) -> &[u8] {
        match &self.keys {
            Keys::Bytes { keys, .. } => &keys[entry as usize],
            Keys::Empty { .. } | Keys::Words { .. } => &[],
        }
    }
}

/// Writes `value` at `entry`, growing the vector by default values.
fn put<T: Default + Clone>(values: &mut Vec<T>, entry: u32, value: T) {
    let entry = entry as usize;
    if entry >= values.len() {
        values.resize(entry + 1, T::default());
    }
    values[entry] = value;
}
