//! [`Spilled`]: what a state has on disk, whatever it keeps: values under keys, and the keys that are of no use any more.

use std::collections::{BTreeSet, btree_set};
use std::iter::Peekable;

use crate::error::Result;
use crate::spill::{Account, Run, Tree, Value};

/// Keys that went, at most, before they are taken out of the tree.
const GONE: usize = 65_536;

/// Entries of a state that are on disk. A key that is found here and in memory is as it is in memory.
pub(super) struct Spilled {
    pub account: Account,
    /// Made with the first entry.
    tree: Option<Tree>,
    /// Keys in the tree that are of no use.
    gone: BTreeSet<Box<[u8]>>,
    /// It was said that the disk takes no more.
    refused: bool,
}

impl Spilled {
    pub fn new(account: Account) -> Self {
        Self { account, tree: None, gone: BTreeSet::new(), refused: false }
    }

    /// The value of a key, if it is of use.
    ///
    /// Errors: `58030` of the disk.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        match &self.tree {
            Some(tree) if !self.gone.contains(key) => tree.get(key),
            Some(_) | None => Ok(None),
        }
    }

    /// All entries that are of use from a key on, in the order of their keys.
    pub fn from(&self, first: &[u8]) -> Result<impl Iterator<Item = Result<(Value, Value)>> + use<'_>> {
        let entries = self.tree.as_ref().map(|tree| tree.snapshot().from(first)).transpose()?;
        let is_of_use =
            |entry: &Result<(Value, Value)>| entry.as_ref().map_or(true, |(key, _)| !self.gone.contains(&**key));
        Ok(entries.into_iter().flatten().filter(is_of_use))
    }

    /// Notes that an entry is of no use any more.
    pub fn forget(&mut self, key: &[u8]) {
        self.gone.insert(key.into());
    }

    /// Takes all keys out that begin so.
    pub fn drop_prefix(&mut self, prefix: &[u8]) -> Result<()> {
        let Some(tree) = &mut self.tree else { return Ok(()) };
        self.gone.retain(|key| !key.starts_with(prefix));
        let entries = tree.snapshot().from(prefix)?;
        let mut run = tree.run()?;
        for entry in entries {
            let (key, _) = entry?;
            if !key.starts_with(prefix) {
                break;
            }
            run.put(&key, None)?;
        }
        run.finish()
    }

    /// Writes entries, and takes out on the way what is of no use.
    ///
    /// Errors: `53100`, `58030` of the disk: then nothing has changed there.
    pub fn write(&mut self, fill: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        let tree = match &mut self.tree {
            Some(tree) => tree,
            none => none.insert(self.account.memory().tree()?),
        };
        let mut writing = Writing { run: tree.run()?, gone: self.gone.iter().peekable() };
        fill(&mut writing)?;
        writing.finish()?;
        self.gone.clear();
        self.account.spilled(tree.disk_bytes());
        Ok(())
    }

    /// Takes keys out that are of no use, when they are many. What the disk refuses is tried again.
    pub fn tidy(&mut self) {
        if self.gone.len() >= GONE {
            let _ = self.write(|_| Ok(()));
        }
    }

    /// Whether something could be moved. What the disk refuses stays in memory, and it is said once.
    pub fn is_moved(&mut self, done: Result<()>) -> bool {
        let was_refused = std::mem::replace(&mut self.refused, done.is_err());
        match done {
            Err(error) if !was_refused => tracing::warn!("state stays in memory, above its limit: {error}"),
            Ok(()) | Err(_) => {}
        }
        !self.refused
    }
}

/// Entries that are being written, whose keys ascend.
pub(super) struct Writing<'a> {
    run: Run<'a>,
    gone: Peekable<btree_set::Iter<'a, Box<[u8]>>>,
}

impl Writing<'_> {
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        while let Some(gone) = self.gone.next_if(|gone| ***gone <= *key) {
            if **gone < *key {
                self.run.put(gone, None)?;
            }
        }
        self.run.put(key, Some(value))
    }

    fn finish(self) -> Result<()> {
        let Self { mut run, gone } = self;
        gone.into_iter().try_for_each(|key| run.put(key, None))?;
        run.finish()
    }
}
