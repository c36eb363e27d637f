//! Keys as they are on disk: bytes in an order of their own, NULL first; and which entries were made for keys that may be
//! there.

use super::{Interner, Keys};

/// The first byte: whether there is a key.
const NULL: u8 = 0;
const KEY: u8 = 1;

impl Interner {
    /// Notes from now on for which keys entries are made.
    pub fn note_made(&mut self) {
        self.numbers.made.get_or_insert_default();
    }

    /// The entries that were made since it was asked last.
    pub fn made(&mut self) -> Vec<u32> {
        self.numbers.made.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Writes the key of an entry behind what is there.
    pub fn write_key(&self, entry: u32, to: &mut Vec<u8>) {
        match &self.keys {
            Keys::Empty { .. } => to.push(NULL),
            Keys::Words { null, .. } | Keys::Bytes { null, .. } if *null == Some(entry) => to.push(NULL),
            Keys::Words { words, .. } => {
                to.push(KEY);
                // With the sign turned, bytes come in the order of the words.
                to.extend_from_slice(&(words[entry as usize] ^ i64::MIN).to_be_bytes());
            }
            Keys::Bytes { heap, .. } => {
                to.push(KEY);
                to.extend_from_slice(heap.get(entry));
            }
        }
    }

    /// How many bytes [`Self::write_key`] writes, at most.
    pub fn key_bytes(&self, entry: u32) -> usize {
        match &self.keys {
            Keys::Empty { .. } => 1,
            Keys::Words { .. } => 1 + size_of::<i64>(),
            Keys::Bytes { heap, .. } => 1 + heap.places.get(entry as usize).map_or(0, |place| place.length as usize),
        }
    }

    /// The number of a key that [`Self::write_key`] wrote.
    pub fn intern_key(&mut self, key: &[u8]) -> u32 {
        let key = key.split_first().filter(|(first, _)| **first == KEY).map(|(_, key)| key);
        match (&self.keys, key) {
            (Keys::Words { .. }, key) => self.word(key.and_then(word)),
            (Keys::Bytes { .. }, key) => self.nullable(key),
            (Keys::Empty { .. }, _) => 0,
        }
    }

    /// Whether a key that [`Self::write_key`] wrote has an entry.
    pub fn holds_key(&self, key: &[u8]) -> bool {
        let key = key.split_first().filter(|(first, _)| **first == KEY).map(|(_, key)| key);
        match (&self.keys, key) {
            (Keys::Empty { entry }, _) => entry.is_some(),
            (Keys::Words { null, .. } | Keys::Bytes { null, .. }, None) => null.is_some(),
            (Keys::Words { table, .. }, Some(key)) => {
                word(key).is_some_and(|word| table.find(super::mix(word), |(known, _)| *known == word).is_some())
            }
            (Keys::Bytes { short, long, heap, .. }, Some(key)) => match super::pack(key) {
                Some(packed) => short.find(super::mix_packed(packed), |(known, _)| *known == packed).is_some(),
                None => {
                    let hash = super::hash(key);
                    long.find(hash, |&(tag, entry)| tag == hash as u32 && heap.get(entry) == key).is_some()
                }
            },
        }
    }
}

fn word(key: &[u8]) -> Option<i64> {
    key.try_into().ok().map(|bytes| i64::from_be_bytes(bytes) ^ i64::MIN)
}
