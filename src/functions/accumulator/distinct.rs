//! DISTINCT: the values that each group has seen, and how often, in one hash table for all groups.
//!
//! A value of at most 64 bits is kept as a word; everything else as key bytes.

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use hashbrown::HashTable;

use super::Rows;
use super::extreme::{decode_words, is_coded, word_codes};
use super::lists::{lists, unlist};
use crate::data::{KeyEncoder, hash, key_form};
use crate::error::Result;

/// The values seen per entry.
pub(super) struct Distinct {
    inputs: Vec<DataType>,
    /// Numbers of slots, by entry and value.
    table: HashTable<u32>,
    /// Per slot.
    entries: Vec<u32>,
    counts: Vec<i64>,
    values: Values,
    free: Vec<u32>,
    /// Per entry: how many values it holds.
    held: Vec<u32>,
}

/// The value of each slot.
enum Values {
    Words(Vec<i64>),
    Bytes { encoder: KeyEncoder, keys: Vec<Box<[u8]>>, heap: usize },
}

/// Rows of its own making: entries, arguments, diffs.
pub(super) type Made = (Vec<u32>, Vec<ArrayRef>, Vec<i64>);

/// Mixes an entry and a word (not the stable hash).
#[inline]
fn mix(entry: u32, word: i64) -> u64 {
    let salted = word as u64 ^ u64::from(entry).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let wide = u128::from(salted ^ 0xA076_1D64_78BD_642F) * 0xD6E8_FEB8_6659_FD93_u128;
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[inline]
fn mix_bytes(entry: u32, key: &[u8]) -> u64 {
    mix(entry, hash(key) as i64)
}

impl Distinct {
    /// Over arguments of these types, the first `strict` of which are never NULL.
    pub fn new(inputs: &[DataType], strict: usize) -> Result<Self> {
        let words = matches!(inputs, [one] if strict > 0 && is_coded(one) && !matches!(one, DataType::Decimal128(..)));
        let values = if words {
            Values::Words(vec![])
        } else {
            let fields: Vec<Field> = inputs.iter().map(|t| Field::new("v", t.clone(), true)).collect();
            let all: Vec<usize> = (0..inputs.len()).collect();
            Values::Bytes { encoder: KeyEncoder::new(&Schema::new(fields), &all)?, keys: vec![], heap: 0 }
        };
        let (entries, counts, free, held) = (vec![], vec![], vec![], vec![]);
        Ok(Self { inputs: inputs.to_vec(), table: HashTable::new(), entries, counts, values, free, held })
    }

    pub fn resize(&mut self, entries: usize) {
        self.held.resize(entries, 0);
    }

    /// Forgets groups: those without rows have no values left, unless more were taken back than came.
    pub fn reset(&mut self, entries: &[u32]) {
        if entries.iter().all(|&entry| self.held[entry as usize] == 0) {
            return;
        }
        let mut is_gone = vec![false; self.held.len()];
        entries.iter().for_each(|&entry| is_gone[entry as usize] = true);
        let of = |slot: &u32| is_gone[self.entries[*slot as usize] as usize];
        let gone: Vec<u32> = self.table.iter().filter(|slot| of(slot)).copied().collect();
        gone.into_iter().for_each(|slot| self.remove(slot));
    }

    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Words(words) => words.capacity() * 8,
            Values::Bytes { keys, heap, .. } => keys.capacity() * 16 + heap,
        };
        self.table.capacity() * 5 + self.entries.capacity() * 12 + self.held.capacity() * 4 + values
    }

    fn hash_of(&self, slot: u32) -> u64 {
        let entry = self.entries[slot as usize];
        match &self.values {
            Values::Words(words) => mix(entry, words[slot as usize]),
            Values::Bytes { keys, .. } => mix_bytes(entry, &keys[slot as usize]),
        }
    }

    fn remove(&mut self, slot: u32) {
        let hash = self.hash_of(slot);
        if let Ok(found) = self.table.find_entry(hash, |s| *s == slot) {
            found.remove();
        }
        if let Values::Bytes { keys, heap, .. } = &mut self.values {
            *heap -= keys[slot as usize].len();
            keys[slot as usize] = Box::default();
        }
        self.held[self.entries[slot as usize] as usize] -= 1;
        self.counts[slot as usize] = 0;
        self.free.push(slot);
    }

    /// A slot for an entry's value, which the caller puts at its place.
    fn fresh(&mut self, entry: u32) -> u32 {
        self.held[entry as usize] += 1;
        match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                self.counts.push(0);
                self.entries.len() as u32 - 1
            }
        }
    }

    /// Adds `diff` to the count of a word; whether it came (1), left (-1), or neither.
    #[inline]
    fn add_word(&mut self, entry: u32, word: i64, diff: i64) -> i64 {
        let Values::Words(words) = &self.values else { return 0 };
        let hash = mix(entry, word);
        let entries = &self.entries;
        let found = self.table.find(hash, |s| words[*s as usize] == word && entries[*s as usize] == entry).copied();
        let slot = match found {
            Some(slot) => slot,
            None => {
                let slot = self.fresh(entry);
                let Values::Words(words) = &mut self.values else { return 0 };
                put(words, slot, word);
                let (words, entries) = (&*words, &self.entries);
                self.table.insert_unique(hash, slot, |s| mix(entries[*s as usize], words[*s as usize]));
                slot
            }
        };
        self.count(slot, diff)
    }

    /// As [`Self::add_word`], of key bytes.
    #[inline]
    fn add_bytes(&mut self, entry: u32, key: &[u8], diff: i64) -> i64 {
        let Values::Bytes { keys, .. } = &self.values else { return 0 };
        let hash = mix_bytes(entry, key);
        let entries = &self.entries;
        let found = self.table.find(hash, |s| *keys[*s as usize] == *key && entries[*s as usize] == entry).copied();
        let slot = match found {
            Some(slot) => slot,
            None => {
                let slot = self.fresh(entry);
                let Values::Bytes { keys, heap, .. } = &mut self.values else { return 0 };
                *heap += key.len();
                put(keys, slot, key.into());
                let (keys, entries) = (&*keys, &self.entries);
                self.table.insert_unique(hash, slot, |s| mix_bytes(entries[*s as usize], &keys[*s as usize]));
                slot
            }
        };
        self.count(slot, diff)
    }

    #[inline]
    fn count(&mut self, slot: u32, diff: i64) -> i64 {
        let count = &mut self.counts[slot as usize];
        let before = *count;
        *count += diff;
        let after = *count;
        if after == 0 {
            self.remove(slot);
        }
        i64::from(after > 0) - i64::from(before > 0)
    }

    /// The rows by which a value comes to a group (+1) or leaves it (-1).
    /// A value comes as the same one that it leaves as: as its key form.
    pub fn transitions(&mut self, rows: &Rows<'_>) -> Result<Made> {
        let (mut places, mut entries, mut diffs) = (vec![], vec![], vec![]);
        let mut note = |i: usize, entry: u32, change: i64| {
            if change != 0 {
                places.push(i as u32);
                entries.push(entry);
                diffs.push(change);
            }
        };
        match &self.values {
            Values::Words(_) => {
                let words = word_codes(&key_form(rows.argument(0)?)?)?;
                let words = words.values();
                rows.each(|i, e, d| note(i, e, self.add_word(e, words[i], d)));
            }
            Values::Bytes { encoder, .. } => {
                let keys = encoder.encode_columns(rows.arguments, rows.entries.len())?;
                rows.each(|i, e, d| note(i, e, self.add_bytes(e, keys.get(i), d)));
            }
        }
        let places = UInt32Array::from(places);
        let arguments = rows.arguments.iter().map(|a| key_form(&take(a, &places, None)?)).collect::<Result<_>>()?;
        Ok((entries, arguments, diffs))
    }

    /// What entries have seen.
    pub fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut positions = vec![u32::MAX; self.held.len()];
        entries.iter().enumerate().for_each(|(i, &e)| positions[e as usize] = i as u32);
        let place = |slot: &u32| (positions[self.entries[*slot as usize] as usize], *slot);
        let mut found: Vec<(u32, u32)> = self.table.iter().map(place).filter(|(i, _)| *i != u32::MAX).collect();
        found.sort_unstable();
        let slots = || found.iter().map(|(_, slot)| *slot as usize);
        let values = match &self.values {
            Values::Words(words) => {
                vec![decode_words(slots().map(|s| words[s]).collect::<Int64Array>(), &self.inputs[0])]
            }
            Values::Bytes { encoder, keys, .. } => encoder.decode(slots().map(|s| keys[s].as_ref()))?,
        };
        let index: Vec<u32> = found.iter().map(|(i, _)| *i).collect();
        lists(entries.len(), &index, values, slots().map(|s| self.counts[s]).collect())
    }

    /// The rows that [`Self::dump`] stands for.
    pub fn dumped(&self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<Made> {
        unlist(entries, self.inputs.len(), columns)
    }
}

/// Writes `value` at `slot`, which is at most one behind the end.
fn put<T>(values: &mut Vec<T>, slot: u32, value: T) {
    match values.get_mut(slot as usize) {
        Some(place) => *place = value,
        None => values.push(value),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn changes(distinct: &mut Distinct, entries: &[u32], column: ArrayRef, diffs: &[i64]) -> Vec<(u32, i64)> {
        distinct.resize(2);
        let rows = Rows { entries, arguments: &[column], mask: None, diffs: Some(diffs) };
        let (entries, _, diffs) = distinct.transitions(&rows).unwrap();
        entries.into_iter().zip(diffs).collect()
    }

    #[test]
    fn a_value_comes_once_and_leaves_with_its_last_copy() {
        for strings in [false, true] {
            let column = |values: &[i64]| -> ArrayRef {
                match strings {
                    true => Arc::new(StringArray::from_iter_values(values.iter().map(ToString::to_string))),
                    false => Arc::new(Int64Array::from(values.to_vec())),
                }
            };
            let t = if strings { DataType::Utf8 } else { DataType::Int64 };
            let mut distinct = Distinct::new(&[t], 1).unwrap();
            let came = changes(&mut distinct, &[0, 1, 0, 0], column(&[7, 7, 7, 8]), &[1, 1, 1, 1]);
            assert_eq!(came, [(0, 1), (1, 1), (0, 1)]);
            assert_eq!(changes(&mut distinct, &[0, 1], column(&[7, 7]), &[-1, -1]), [(1, -1)]);
            let dump = distinct.dump(&[1, 0]).unwrap();
            assert_eq!(dump[1].as_list::<i32>().value(1).as_primitive::<Int64Type>().values(), &[1, 1]);
            assert_eq!(changes(&mut distinct, &[0, 0], column(&[7, 8]), &[-1, -1]), [(0, -1), (0, -1)]);
            assert_eq!((distinct.table.len(), &distinct.held[..]), (0, &[0, 0][..]));
        }
    }
}
