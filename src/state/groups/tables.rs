//! [`Tables`]: tables of groups by window or pane, and the memory of some that are over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{GroupLayout, GroupTable};
use crate::error::Result;
use crate::state::interner::Form;

/// Tables kept for their memory: what follows is mostly as large as what went.
const SPARE: usize = 4;

/// Tables by key.
pub(super) struct Tables<K> {
    held: BTreeMap<K, GroupTable>,
    spare: Vec<GroupTable>,
}

impl<K: Ord + Copy> Tables<K> {
    pub fn new() -> Self {
        Self { held: BTreeMap::new(), spare: vec![] }
    }

    /// The table of a key; an empty one if there is none.
    pub fn at(&mut self, key: K, layout: &GroupLayout, form: Form) -> Result<&mut GroupTable> {
        Ok(match self.held.entry(key) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => match self.spare.pop() {
                Some(table) => place.insert(table),
                None => place.insert(GroupTable::new(layout, form)?),
            },
        })
    }

    pub fn get(&self, key: K) -> Option<&GroupTable> {
        self.held.get(&key)
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut GroupTable> {
        self.held.get_mut(&key)
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = (K, &GroupTable)> {
        self.held.iter().map(|(key, table)| (*key, table))
    }

    /// Ascending, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut GroupTable)> {
        self.held.iter_mut().map(|(key, table)| (*key, table))
    }

    /// Those from a key on, ascending.
    pub fn from(&self, first: K) -> impl Iterator<Item = (K, &GroupTable)> {
        self.held.range(first..).map(|(key, table)| (*key, table))
    }

    /// Takes all, to be given back by [`Self::retire`].
    pub fn take_all(&mut self) -> BTreeMap<K, GroupTable> {
        std::mem::take(&mut self.held)
    }

    /// Drops a table; returns how many groups went.
    pub fn remove(&mut self, key: K, layout: &GroupLayout) -> usize {
        let Some(table) = self.held.remove(&key) else { return 0 };
        let groups = table.keys.len();
        self.retire(table, layout);
        groups
    }

    /// Keeps the memory of a table that is over, if it is of use.
    pub fn retire(&mut self, mut table: GroupTable, layout: &GroupLayout) {
        if self.spare.len() < SPARE && !table.is_sparse() && layout.kinds.iter().all(|kind| kind.flat()) {
            table.clear();
            self.spare.push(table);
        }
    }

    pub fn bytes(&self) -> usize {
        self.held.values().chain(&self.spare).map(GroupTable::bytes).sum()
    }
}
