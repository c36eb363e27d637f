//! Keys -> dense entry numbers, for one table of groups.
//!
//! A single key column of at most 64 bits is kept as integers; everything else as key bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
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

/// Whether a key column of this type is kept as 64-bit words.
pub(super) fn is_word(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int64
            | DataType::Int32
            | DataType::Int16
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

/// A key column as words.
pub(super) fn to_words(column: &ArrayRef) -> Option<Int64Array> {
    fn wide<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &ArrayRef) -> Int64Array {
        column.as_primitive::<T>().unary::<_, Int64Type>(Into::into)
    }
    fn same<T: ArrowPrimitiveType<Native = i64>>(column: &ArrayRef) -> Int64Array {
        column.as_primitive::<T>().reinterpret_cast::<Int64Type>()
    }
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().clone(),
        DataType::Int32 => wide::<Int32Type>(column),
        DataType::Int16 => wide::<Int16Type>(column),
        DataType::Date32 => wide::<Date32Type>(column),
        DataType::Time64(TimeUnit::Microsecond) => same::<Time64MicrosecondType>(column),
        DataType::Timestamp(TimeUnit::Microsecond, _) => same::<TimestampMicrosecondType>(column),
        _ => return None,
    })
}

/// Words as the key column that they were.
pub(super) fn from_words(words: Int64Array, data_type: &DataType) -> ArrayRef {
    fn narrow<T: ArrowPrimitiveType<Native: TryFrom<i64> + Default>>(words: &Int64Array) -> PrimitiveArray<T> {
        words.unary(|w| T::Native::try_from(w).unwrap_or_default())
    }
    match data_type {
        DataType::Int32 => Arc::new(narrow::<Int32Type>(&words)),
        DataType::Int16 => Arc::new(narrow::<Int16Type>(&words)),
        DataType::Date32 => Arc::new(narrow::<Date32Type>(&words)),
        DataType::Time64(_) => Arc::new(words.reinterpret_cast::<Time64MicrosecondType>()),
        DataType::Timestamp(_, zone) => {
            Arc::new(words.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone.clone()))
        }
        _ => Arc::new(words),
    }
}
