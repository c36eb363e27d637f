//! The writer's index: row identity -> ids of the rows that have it.
//!
//! It is a hash table, of 24 bytes an entry. When memory is short, entries that were not used for a while move to a tree on
//! disk. What is asked for is read back first, all of it at once and in the order of the keys ([`Index::load`]); whatever
//! else is done to the index is done in memory. So an entry says how it stands to the tree's: whether that is read
//! ([`BELOW`]), there ([`LISTED`]), and out of date ([`DIRTY`]).

use arrow::array::{ArrayRef, RecordBatch};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128;

use crate::data::KeyEncoder;
use crate::error::{Error, Result};
use crate::spill::{Memory, Tree};

/// The identity of every row: the hash of its key bytes. 128 bits, so that equal means the same key.
pub(super) fn identities(encoder: &KeyEncoder, rows: &RecordBatch) -> Result<Vec<u128>> {
    Ok(encoder.encode(rows)?.iter().map(xxh3_128).collect())
}

/// The same from the key columns alone, in key order.
pub(super) fn key_identities(encoder: &KeyEncoder, columns: &[ArrayRef], len: usize) -> Result<Vec<u128>> {
    Ok(encoder.encode_columns(columns, len)?.iter().map(xxh3_128).collect())
}

/// Tables that the entries are in, by the first bits of the identity: one is made smaller or larger at a time.
const SHARDS: usize = 64;
/// Entries that are written to the tree at once, about.
const RUN: usize = 1 << 18;

/// No row's id: a place that waits for one, or tells that the tree's entry is no more.
const NOBODY: u64 = (1 << 59) - 1;
/// Its ids are a list, in [`Lists`]: rows of one identity (duplicates). It may hold ids of rows that were deleted by id.
const MANY: u64 = 1 << 63;
/// The tree may have more ids.
const BELOW: u64 = 1 << 62;
/// The tree has an entry.
const LISTED: u64 = 1 << 61;
/// The tree has not these ids.
const DIRTY: u64 = 1 << 60;
/// It was used since it was last looked at.
const USED: u64 = 1 << 59;

/// An identity, and the id (or list) of its rows with what is said of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    identity: [u64; 2],
    ids: u64,
}

impl Entry {
    fn has(&self, flag: u64) -> bool {
        self.ids & flag != 0
    }

    /// An id, or the number of a list.
    fn value(&self) -> u64 {
        self.ids & NOBODY
    }

    fn set_value(&mut self, value: u64) {
        self.ids = self.ids & !NOBODY | value;
    }

    fn key(&self) -> [u8; 16] {
        (u128::from(self.identity[0]) << 64 | u128::from(self.identity[1])).to_be_bytes()
    }
}

fn halves(identity: u128) -> [u64; 2] {
    [(identity >> 64) as u64, identity as u64]
}

/// An identity is a hash already.
fn hash_of(entry: &Entry) -> u64 {
    entry.identity[1]
}

/// Lists of ids, by number.
#[derive(Debug, Default)]
struct Lists {
    all: Vec<Vec<u64>>,
    free: Vec<u64>,
    /// In all of them.
    ids: usize,
}

impl Lists {
    fn add(&mut self, list: Vec<u64>) -> u64 {
        self.ids += list.len();
        if let Some(number) = self.free.pop() {
            self.all[number as usize] = list;
            return number;
        }
        self.all.push(list);
        self.all.len() as u64 - 1
    }

    fn push(&mut self, number: u64, id: u64) {
        self.ids += 1;
        self.all[number as usize].push(id);
    }

    fn remove(&mut self, number: u64) {
        self.ids -= std::mem::take(&mut self.all[number as usize]).len();
        self.free.push(number);
    }

    fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Vec<u64>>() + self.ids * size_of::<u64>()
    }
}

/// Identity -> row ids.
pub(super) struct Index {
    shards: Vec<HashTable<Entry>>,
    lists: Lists,
    /// Entries that were moved out of memory.
    tree: Option<Tree>,
    /// No identity is of two rows: what is inserted has no entry in the tree.
    unique: bool,
    /// The next shard from which entries move.
    hand: usize,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({} bytes)", self.bytes())
    }
}

impl Index {
    /// `unique`: no identity is ever inserted while a row has it.
    pub(super) fn new(unique: bool) -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, lists: Lists::default(), tree: None, unique, hand: 0 }
    }

    fn get(&self, identity: u128) -> Option<&Entry> {
        let halves = halves(identity);
        self.shards[shard(halves)].find(halves[1], |entry| entry.identity == halves)
    }

    fn get_mut(&mut self, identity: u128) -> Option<&mut Entry> {
        let halves = halves(identity);
        self.shards[shard(halves)].find_mut(halves[1], |entry| entry.identity == halves)
    }

    /// Has in memory what there is of these identities. To be called before they are asked for, or taken out.
    pub(super) fn load(&mut self, identities: &[u128]) -> Result<()> {
        if self.tree.is_none() {
            return Ok(());
        }
        let mut wanted = vec![];
        for identity in identities {
            match self.get_mut(*identity) {
                Some(entry) if !entry.has(BELOW) => entry.ids |= USED,
                Some(_) | None => wanted.push(*identity),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        for identity in wanted {
            let Some(tree) = &self.tree else { break };
            let found = tree.get(&identity.to_be_bytes())?;
            let mut ids = found.as_deref().map(read_ids).transpose()?.unwrap_or_default();
            let listed = if ids.is_empty() { 0 } else { LISTED };
            let halves = halves(identity);
            match self.shards[shard(halves)].find_mut(halves[1], |entry| entry.identity == halves) {
                Some(entry) => {
                    ids.extend_from_slice(ids_of(entry, &self.lists, &mut 0));
                    if entry.has(MANY) {
                        self.lists.remove(entry.value());
                    }
                    entry.ids = place(&mut self.lists, ids) | listed | DIRTY;
                }
                None if ids.is_empty() => {}
                None => {
                    let entry = Entry { identity: halves, ids: place(&mut self.lists, ids) | listed };
                    self.shards[shard(halves)].insert_unique(halves[1], entry, hash_of);
                }
            }
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, identity: u128, id: u64) {
        let halves = halves(identity);
        let table = &mut self.shards[shard(halves)];
        let Some(entry) = table.find_mut(halves[1], |entry| entry.identity == halves) else {
            let below = if self.tree.is_some() && !self.unique { BELOW } else { 0 };
            table.insert_unique(halves[1], Entry { identity: halves, ids: id | below | DIRTY }, hash_of);
            return;
        };
        entry.ids |= DIRTY;
        if entry.has(MANY) {
            self.lists.push(entry.value(), id);
        } else if entry.value() == NOBODY {
            entry.set_value(id);
        } else {
            let list = self.lists.add(vec![entry.value(), id]);
            entry.set_value(list);
            entry.ids |= MANY;
        }
    }

    /// Knows a row again that was deleted; its id may still be there.
    pub(super) fn reinsert(&mut self, identity: u128, id: u64) {
        let known = self.get(identity).is_some_and(|entry| ids_of(entry, &self.lists, &mut 0).contains(&id));
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
        let entry = self.get(identity)?;
        if !entry.has(MANY) {
            return (n == 0 && entry.value() != NOBODY && is_live(entry.value())).then_some(entry.value());
        }
        self.lists.all[entry.value() as usize].iter().rev().copied().filter(|id| is_live(*id)).nth(n)
    }

    /// Takes one live row of this identity out; its place is kept for [`Self::fill`].
    pub(super) fn take(&mut self, identity: u128, is_live: impl Fn(u64) -> bool) -> Option<u64> {
        let halves = halves(identity);
        let entry = self.shards[shard(halves)].find_mut(halves[1], |entry| entry.identity == halves)?;
        entry.ids |= USED;
        let value = entry.value();
        if entry.has(MANY) {
            let list = &mut self.lists.all[value as usize];
            let at = list.iter().rposition(|id| is_live(*id))?;
            self.lists.ids -= 1;
            entry.ids |= DIRTY;
            return Some(list.remove(at));
        }
        if value == NOBODY {
            return None;
        }
        entry.ids |= DIRTY | NOBODY;
        Some(value)
    }

    /// Knows a row, in the place that [`Self::take`] left if there is one; whether there was.
    pub(super) fn fill(&mut self, identity: u128, id: u64) -> bool {
        if let Some(entry) = self.get_mut(identity)
            && entry.ids & (MANY | NOBODY) == NOBODY
        {
            entry.set_value(id);
            entry.ids |= DIRTY;
            return true;
        }
        self.insert(identity, id);
        false
    }

    /// Forgets the place of a row that was taken out, if it was not filled.
    pub(super) fn sweep(&mut self, identity: u128) {
        let empty = self.get(identity).is_some_and(|entry| ids_of(entry, &self.lists, &mut 0).is_empty());
        if empty {
            self.forget(identity);
        }
    }

    /// Forgets a row that was deleted, where that is cheap; dead ids at the end of a long list go with it.
    pub(super) fn remove(&mut self, identity: u128, id: u64, is_live: impl Fn(u64) -> bool) {
        let Some(entry) = self.get(identity) else { return };
        let value = entry.value();
        let gone = if entry.has(MANY) {
            let list = &mut self.lists.all[value as usize];
            let before = list.len();
            while list.last().is_some_and(|last| *last == id || !is_live(*last)) {
                list.pop();
            }
            self.lists.ids -= before - list.len();
            list.is_empty()
        } else {
            value == id
        };
        if gone {
            self.forget(identity);
        } else if let Some(entry) = self.get_mut(identity) {
            entry.ids |= DIRTY;
        }
    }

    /// Forgets an identity that has no row any more.
    fn forget(&mut self, identity: u128) {
        let halves = halves(identity);
        let found = self.shards[shard(halves)].find_entry(halves[1], |entry| entry.identity == halves);
        let Ok(mut found) = found else { return };
        let entry = found.get_mut();
        if entry.has(MANY) {
            self.lists.remove(entry.value());
        }
        if entry.has(LISTED) {
            // The tree has to be told.
            entry.ids = NOBODY | LISTED | DIRTY;
        } else {
            found.remove();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum::<usize>() + self.lists.bytes()
    }

    /// Bytes on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.tree.as_ref().map_or(0, Tree::disk_bytes)
    }

    /// Moves entries to disk, those first that were not used since it was last done, until so many bytes are left.
    pub(super) fn shrink(&mut self, bytes: usize, memory: &Memory) -> Result<()> {
        if self.tree.is_none() {
            self.tree = Some(memory.tree()?);
        }
        let (mut left, mut moving) = (self.bytes(), Vec::new());
        // What was used is passed over once.
        for _ in 0..2 * SHARDS {
            if left <= bytes {
                break;
            }
            let table = &mut self.shards[self.hand];
            self.hand = (self.hand + 1) % SHARDS;
            let before = table.allocation_size();
            let unused = |entry: &mut Entry| {
                let used = entry.has(USED);
                entry.ids &= !USED;
                !used
            };
            moving.extend(table.extract_if(unused));
            table.shrink_to(table.len() + table.len() / 4, hash_of);
            left -= before - table.allocation_size();
            if moving.len() >= RUN {
                left -= self.moved(std::mem::take(&mut moving))?;
            }
        }
        self.moved(moving).map(drop)
    }

    /// Writes entries that were taken out, or puts them back; returns how many bytes their lists had.
    fn moved(&mut self, mut moving: Vec<Entry>) -> Result<usize> {
        moving.sort_unstable_by_key(|entry| entry.identity);
        let written = self.write(&moving);
        if written.is_err() {
            for entry in moving {
                self.shards[shard(entry.identity)].insert_unique(hash_of(&entry), entry, hash_of);
            }
            return written.map(|()| 0);
        }
        let before = self.lists.bytes();
        moving.iter().filter(|entry| entry.has(MANY)).for_each(|entry| self.lists.remove(entry.value()));
        if self.lists.free.len() > self.lists.all.len() / 2 {
            let mut lists = Lists::default();
            let entries = self.shards.iter_mut().flat_map(HashTable::iter_mut).filter(|entry| entry.has(MANY));
            for entry in entries {
                let list = std::mem::take(&mut self.lists.all[entry.value() as usize]);
                entry.set_value(lists.add(list));
            }
            self.lists = lists;
        }
        Ok(before.saturating_sub(self.lists.bytes()))
    }

    fn write(&mut self, moving: &[Entry]) -> Result<()> {
        let Some(tree) = &mut self.tree else { return Ok(()) };
        // Key and ids, one entry after the other, and where each begins.
        let (mut bytes, mut begins) = (Vec::with_capacity(moving.len() * 24), Vec::with_capacity(moving.len()));
        for entry in moving.iter().filter(|entry| entry.has(DIRTY)) {
            let mut one = 0;
            let ids = ids_of(entry, &self.lists, &mut one);
            if ids.is_empty() && !entry.has(LISTED) {
                continue;
            }
            begins.push(bytes.len());
            bytes.extend_from_slice(&entry.key());
            if entry.has(BELOW)
                && let Some(more) = tree.get(&entry.key())?
            {
                bytes.extend_from_slice(&more);
            }
            ids.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes()));
        }
        let ends = begins.iter().skip(1).copied().chain([bytes.len()]);
        let entries = begins.iter().zip(ends).map(|(begin, end)| bytes[*begin..end].split_at(size_of::<u128>()));
        if begins.is_empty() {
            return Ok(());
        }
        tree.write(entries.map(|(key, ids)| (key, Some(ids).filter(|ids| !ids.is_empty()))))
    }
}

/// The first bits of an identity.
fn shard(halves: [u64; 2]) -> usize {
    (halves[0] >> (64 - SHARDS.ilog2())) as usize
}

/// The ids of an entry; `one` is the place for a single one.
fn ids_of<'a>(entry: &Entry, lists: &'a Lists, one: &'a mut u64) -> &'a [u64] {
    match (entry.has(MANY), entry.value()) {
        (true, list) => &lists.all[list as usize],
        (false, NOBODY) => &[],
        (false, id) => {
            *one = id;
            std::slice::from_ref(one)
        }
    }
}

/// How an entry has these ids.
fn place(lists: &mut Lists, ids: Vec<u64>) -> u64 {
    match ids.as_slice() {
        [] => NOBODY,
        [id] => *id,
        _ => lists.add(ids) | MANY,
    }
}

fn read_ids(bytes: &[u8]) -> Result<Vec<u64>> {
    let (words, rest) = bytes.as_chunks::<8>();
    match rest {
        [] => Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect()),
        _ => Err(Error::internal("an entry of an index that was moved out of memory is damaged")),
    }
}
