//! [`Memory`]: the limit, and the accounts of those who hold it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use lsm_tree::{Cache, DescriptorTable};

use super::failed;
use super::tree::{Compactor, Tree};
use crate::error::{Error, Result};

/// Parts of the limit, in sixteenths: what holders keep, what the trees' cache keeps, and what queries may have. The rest
/// is for rows that are under way, for what is copied for a checkpoint, and for the allocator.
const HELD: usize = 7;
const CACHED: usize = 1;
const QUERIED: usize = 3;

/// Cached bytes at least: below that every read goes to disk.
const CACHE_BYTES_MIN: usize = 1 << 20;
/// Files of trees that are open at most.
const OPEN_FILES: usize = 256;

/// Who holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Operators' states.
    State,
    /// Rows of tables and views.
    Rows,
}

impl Holder {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::State, Self::Rows];

    /// As `highwater.memory` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "operator state",
            Self::Rows => "tables and views",
        }
    }
}

/// How much all holders of a kind have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in memory.
    pub memory: usize,
    /// Bytes on disk.
    pub disk: u64,
}

#[derive(Debug, Default)]
struct Held {
    memory: AtomicUsize,
    disk: AtomicU64,
}

/// The memory of a process.
pub struct Memory {
    bound: Option<Bound>,
    held: [Held; Holder::ALL.len()],
}

/// A limit, and where what is beyond it goes.
struct Bound {
    limit: usize,
    folder: PathBuf,
    /// Numbers the folder's entries.
    next: AtomicU64,
    shared: OnceLock<(Arc<Cache>, Arc<DescriptorTable>, Compactor)>,
}

impl Memory {
    /// Without a limit: nothing is spilled.
    pub fn unbounded() -> Arc<Self> {
        Arc::new(Self { bound: None, held: Default::default() })
    }

    /// Of so many bytes; the folder is made, and emptied when it is there.
    ///
    /// Errors: `58030` when it cannot be.
    pub fn bounded(limit: usize, folder: PathBuf) -> Result<Arc<Self>> {
        let failed = |error: &std::io::Error| failed(&format!("could not make \"{}\"", folder.display()), error);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => std::fs::create_dir_all(&folder).map_err(|error| failed(&error))?,
        }
        let bound = Bound { limit, folder, next: AtomicU64::new(0), shared: OnceLock::new() };
        Ok(Arc::new(Self { bound: Some(bound), held: Default::default() }))
    }

    /// Bytes; `None`: there is no limit.
    pub fn limit(&self) -> Option<usize> {
        self.bound.as_ref().map(|bound| bound.limit)
    }

    /// What all queries together may have of it before they use the disk.
    pub fn queries(&self) -> Option<usize> {
        self.limit().map(|limit| part(limit, QUERIED))
    }

    /// What all holders together may have before they use the disk.
    pub fn holders(&self) -> Option<usize> {
        self.limit().map(|limit| part(limit, HELD))
    }

    /// What is cached of trees, and how much may be, in bytes; `None`: there is no limit, and so no tree.
    pub fn cached(&self) -> Option<(u64, u64)> {
        let bound = self.bound.as_ref()?;
        let most = part(bound.limit, CACHED).max(CACHE_BYTES_MIN) as u64;
        Some((bound.shared.get().map_or(0, |(cache, ..)| cache.size()), most))
    }

    /// Where queries put what they have no memory for.
    pub fn query_folder(&self) -> Option<PathBuf> {
        self.bound.as_ref().map(|bound| bound.folder.join("queries"))
    }

    /// How much all holders of a kind have.
    pub fn usage(&self, holder: Holder) -> Usage {
        let held = &self.held[holder as usize];
        Usage { memory: held.memory.load(Ordering::Relaxed), disk: held.disk.load(Ordering::Relaxed) }
    }

    /// Whether holders have more than their part.
    pub fn is_short(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| self.all_held() > part(bound.limit, HELD))
    }

    /// To how much one who holds so many bytes is to shrink, if all together hold too much.
    pub fn share(&self, bytes: usize) -> Option<usize> {
        let most = part(self.bound.as_ref()?.limit, HELD);
        let all = self.all_held();
        // A good deal less than its share, so that it does not shrink again at once.
        (all > most && bytes > 0).then(|| (bytes as u128 * most as u128 / all as u128 * 3 / 4) as usize)
    }

    /// A new holder.
    pub fn account(self: &Arc<Self>, holder: Holder) -> Account {
        Account { memory: Arc::clone(self), holder, bytes: 0, disk: 0 }
    }

    /// A new tree; there is one only where there is a limit.
    pub fn tree(&self) -> Result<Tree> {
        let bound = self.bound()?;
        let (cache, files, compactor) = bound.shared.get_or_init(|| {
            let bytes = part(bound.limit, CACHED).max(CACHE_BYTES_MIN);
            let cache = Cache::with_capacity_bytes(bytes as u64);
            (Arc::new(cache), Arc::new(DescriptorTable::new(OPEN_FILES)), Compactor::start())
        });
        Tree::new(self.place()?, Arc::clone(cache), Arc::clone(files), compactor.clone())
    }

    /// A path that nothing has yet.
    pub(super) fn place(&self) -> Result<PathBuf> {
        let bound = self.bound()?;
        Ok(bound.folder.join(bound.next.fetch_add(1, Ordering::Relaxed).to_string()))
    }

    fn bound(&self) -> Result<&Bound> {
        self.bound.as_ref().ok_or_else(|| Error::internal("memory without a limit is not spilled"))
    }

    fn all_held(&self) -> usize {
        self.held.iter().map(|held| held.memory.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(bound) = &self.bound {
            // What is left is emptied at the next start.
            let _ = std::fs::remove_dir_all(&bound.folder);
        }
    }
}

/// So many sixteenths.
fn part(limit: usize, sixteenths: usize) -> usize {
    limit / 16 * sixteenths
}

/// What one holder has.
pub struct Account {
    memory: Arc<Memory>,
    holder: Holder,
    bytes: usize,
    disk: u64,
}

impl Account {
    /// That of a holder of an unbounded memory.
    pub fn unbounded(holder: Holder) -> Self {
        Memory::unbounded().account(holder)
    }

    /// Whether there is a limit.
    pub fn is_bounded(&self) -> bool {
        self.memory.bound.is_some()
    }

    /// What it is for.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// Where it is.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Says how much is held, in bytes; the answer is to how much it is to shrink, if it is.
    pub fn hold(&mut self, bytes: usize) -> Option<usize> {
        let held = &self.memory.held[self.holder as usize].memory;
        held.fetch_add(bytes, Ordering::Relaxed);
        held.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
        self.memory.share(bytes)
    }

    /// Says how much is on disk.
    pub fn spilled(&mut self, bytes: u64) {
        let held = &self.memory.held[self.holder as usize].disk;
        held.fetch_add(bytes, Ordering::Relaxed);
        held.fetch_sub(std::mem::replace(&mut self.disk, bytes), Ordering::Relaxed);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.hold(0);
        self.spilled(0);
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "memory of {:?} bytes", self.limit())
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {} bytes", self.holder, self.bytes)
    }
}
