//! The writer's index: row identity -> ids of the rows that have it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use arrow::array::{ArrayRef, RecordBatch};
use xxhash_rust::xxh3::xxh3_128;

use crate::data::KeyEncoder;
use crate::error::Result;

/// The identity of every row: the hash of its key bytes. 128 bits, so that equal means the same key.
pub(super) fn identities(encoder: &KeyEncoder, rows: &RecordBatch) -> Result<Vec<u128>> {
    Ok(encoder.encode(rows)?.iter().map(xxh3_128).collect())
}

/// The same from the key columns alone, in key order.
pub(super) fn key_identities(encoder: &KeyEncoder, columns: &[ArrayRef], len: usize) -> Result<Vec<u128>> {
    Ok(encoder.encode_columns(columns, len)?.iter().map(xxh3_128).collect())
}

/// Identity -> row ids.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashMap<u128, Slot, BuildHasherDefault<Identity>>,
}

/// No row's id: a place that waits for one.
const NOBODY: u64 = u64::MAX;

#[derive(Debug)]
enum Slot {
    One(u64),
    /// Rows of one identity (duplicates). May hold ids of rows that were deleted by id.
    Many(Vec<u64>),
}

impl Index {
    pub(super) fn insert(&mut self, identity: u128, id: u64) {
        use std::collections::hash_map::Entry;
        match self.slots.entry(identity) {
            Entry::Vacant(slot) => {
                slot.insert(Slot::One(id));
            }
            Entry::Occupied(mut slot) => match slot.get_mut() {
                Slot::One(first) => *slot.get_mut() = Slot::Many(vec![*first, id]),
                Slot::Many(ids) => ids.push(id),
            },
        }
    }

    /// Knows a row again that was deleted; its id may still be there.
    pub(super) fn reinsert(&mut self, identity: u128, id: u64) {
        let known = match self.slots.get(&identity) {
            Some(Slot::One(one)) => *one == id,
            Some(Slot::Many(ids)) => ids.contains(&id),
            None => false,
        };
        if !known {
            self.insert(identity, id);
        }
    }

    /// One live row of this identity.
    pub(super) fn find(&self, identity: u128, is_live: impl Fn(u64) -> bool) -> Option<u64> {
        self.nth(identity, 0, is_live)
    }

    /// The n-th live row of this identity.
    pub(super) fn nth(&self, identity: u128, n: usize, is_live: impl Fn(u64) -> bool) -> Option<u64> {
        match self.slots.get(&identity)? {
            Slot::One(id) => (n == 0 && is_live(*id)).then_some(*id),
            Slot::Many(ids) => ids.iter().rev().copied().filter(|id| is_live(*id)).nth(n),
        }
    }

    /// Takes one live row of this identity out; its place is kept for [`Self::fill`].
    pub(super) fn take(&mut self, identity: u128, is_live: impl Fn(u64) -> bool) -> Option<u64> {
        match self.slots.get_mut(&identity)? {
            Slot::One(id) if *id == NOBODY => None,
            Slot::One(id) => Some(std::mem::replace(id, NOBODY)),
            Slot::Many(ids) => {
                let at = ids.iter().rposition(|id| is_live(*id))?;
                Some(ids.remove(at))
            }
        }
    }

    /// Knows a row, in the place that [`Self::take`] left if there is one; whether there was.
    pub(super) fn fill(&mut self, identity: u128, id: u64) -> bool {
        if let Some(Slot::One(place)) = self.slots.get_mut(&identity)
            && *place == NOBODY
        {
            *place = id;
            return true;
        }
        self.insert(identity, id);
        false
    }

    /// Forgets the place of a row that was taken out, if it was not filled.
    pub(super) fn sweep(&mut self, identity: u128) {
        let empty = match self.slots.get(&identity) {
            Some(Slot::One(id)) => *id == NOBODY,
            Some(Slot::Many(ids)) => ids.is_empty(),
            None => false,
        };
        if empty {
            self.slots.remove(&identity);
        }
    }

    /// Forgets a row that was deleted, where that is cheap; dead ids at the end of a long list go with it.
    pub(super) fn remove(&mut self, identity: u128, id: u64, is_live: impl Fn(u64) -> bool) {
        let gone = match self.slots.get_mut(&identity) {
            Some(Slot::One(one)) => *one == id,
            Some(Slot::Many(ids)) => {
                while ids.last().is_some_and(|last| *last == id || !is_live(*last)) {
                    ids.pop();
                }
                ids.is_empty()
            }
            None => false,
        };
        if gone {
            self.slots.remove(&identity);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * (size_of::<(u128, Slot)>() + 1)
    }
}

/// An identity is a hash already.
#[derive(Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, identity: u128) {
        self.0 = identity as u64;
    }
}
