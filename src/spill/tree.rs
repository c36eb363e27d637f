//! [`Tree`]: sorted key bytes -> value bytes on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::{BlockSizePolicy, BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry, PinningPolicy};
use lsm_tree::{
    AbstractTree, AnyIngestion, AnyTree, Cache, Config, DescriptorTable, Guard, SequenceNumberCounter, Slice,
};

use crate::error::{Error, Result};

/// The value of a key.
pub type Value = Slice;

/// Keys are shorter than this.
pub(super) const KEY_BYTES_MAX: usize = u16::MAX as usize;
/// Sorted runs that wait to be merged, at most; then who writes helps.
const RUNS_MAX: usize = 16;
/// Sorted runs above which they are merged.
const RUNS: usize = 4;
/// Bytes of a table that merging makes.
const TABLE_BYTES: u64 = 32 << 20;
/// Bytes of a block: entries are small, and looked up one by one.
const BLOCK_BYTES: u32 = 4096;
/// Bits of filters per key.
const FILTER_BITS: f32 = 10.0;

/// Entries on disk, for one writer. Its files go with it.
pub struct Tree {
    inner: Arc<Inner>,
    compactor: Compactor,
}

struct Inner {
    tree: Option<AnyTree>,
    folder: PathBuf,
    numbers: SequenceNumberCounter,
    /// Snapshots that are held, by number.
    held: Mutex<BTreeMap<u64, usize>>,
}

impl Inner {
    fn tree(&self) -> Result<&AnyTree> {
        self.tree.as_ref().ok_or_else(|| Error::internal("a tree is used after its end"))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges sorted runs until there are few.
    fn compact(&self) -> Result<()> {
        let tree = self.tree()?;
        let strategy = Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES));
        loop {
            let (runs, before) = (tree.l0_run_count(), tree.table_count());
            // Below it no snapshot looks.
            let oldest = self.held().keys().next().copied().unwrap_or_else(|| self.numbers.get());
            tree.compact(strategy.clone(), oldest).map_err(failed)?;
            if tree.l0_run_count() <= RUNS && (tree.l0_run_count(), tree.table_count()) == (runs, before) {
                return Ok(());
            }
            if tree.l0_run_count() == runs && tree.table_count() == before {
                // Another thread is at it.
                return Ok(());
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.tree.take());
        // What is left is removed with the folder it lies in.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Tree {
    pub(super) fn new(
        folder: PathBuf,
        cache: Arc<Cache>,
        files: Arc<DescriptorTable>,
        compactor: Compactor,
    ) -> Result<Self> {
        let numbers = SequenceNumberCounter::default();
        let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(FILTER_BITS));
        let tree = Config::new(&folder, numbers.clone(), SequenceNumberCounter::default())
            .use_cache(cache)
            .use_descriptor_table(Some(files))
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            .filter_policy(FilterPolicy::all(filter))
            // All but data lies in the cache too, so that it is bounded.
            .index_block_pinning_policy(PinningPolicy::all(false))
            .filter_block_pinning_policy(PinningPolicy::all(false))
            .index_block_partitioning_policy(PinningPolicy::all(true))
            .filter_block_partitioning_policy(PinningPolicy::all(true))
            .open()
            .map_err(failed)?;
        let inner = Inner { tree: Some(tree), folder, numbers, held: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), compactor })
    }

    /// Whether a key of so many bytes can be kept.
    pub fn takes(bytes: usize) -> bool {
        bytes < KEY_BYTES_MAX
    }

    /// The value of a key.
    ///
    /// Errors: `58030` of the disk.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.inner.tree()?.get(key, self.inner.numbers.get()).map_err(failed)
    }

    /// Writes entries, whose keys ascend, none twice; without a value the key goes.
    ///
    /// Errors: `53100`, `58030` of the disk: then nothing of them is there.
    pub fn write<'a>(&mut self, entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Result<()> {
        let mut run = self.run()?;
        for (key, value) in entries {
            run.put(key, value)?;
        }
        run.finish()
    }

    /// Begins to write entries one by one, whose keys ascend, none twice. They are there when it is finished.
    pub fn run(&mut self) -> Result<Run<'_>> {
        let Self { inner, compactor } = self;
        Ok(Run { ingestion: inner.tree()?.ingestion().map_err(failed)?, inner, compactor })
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> Result<()> {
        self.inner.tree()?.clear().map_err(failed)
    }

    /// The entries as they are now, for any thread.
    pub fn snapshot(&self) -> Snapshot {
        let number = self.inner.numbers.get();
        *self.inner.held().entry(number).or_default() += 1;
        Snapshot { inner: Arc::clone(&self.inner), number }
    }

    /// Bytes on disk, about.
    pub fn disk_bytes(&self) -> u64 {
        self.inner.tree().map_or(0, AbstractTree::disk_space)
    }
}

/// Entries that are being written.
pub struct Run<'a> {
    ingestion: AnyIngestion<'a>,
    inner: &'a Arc<Inner>,
    compactor: &'a Compactor,
}

impl Run<'_> {
    /// Writes an entry; without a value the key goes.
    ///
    /// Errors: `53100`, `58030` of the disk: then nothing of the run is there.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        match value {
            Some(value) => self.ingestion.write(key, value),
            None => self.ingestion.write_tombstone(key),
        }
        .map_err(failed)
    }

    /// Ends it: all that was written is there.
    pub fn finish(self) -> Result<()> {
        self.ingestion.finish().map_err(failed)?;
        match self.inner.tree()?.l0_run_count() {
            runs if runs > RUNS_MAX => self.inner.compact(),
            runs if runs > RUNS => {
                self.compactor.wake(self.inner);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The entries of a tree at one moment.
pub struct Snapshot {
    inner: Arc<Inner>,
    number: u64,
}

impl Snapshot {
    /// Entries from a key on, in the order of their keys.
    pub fn from(&self, first: &[u8]) -> Result<impl Iterator<Item = Result<(Value, Value)>> + use<>> {
        let range = self.inner.tree()?.range(first.to_vec().., self.number, None);
        Ok(range.map(|entry| entry.into_inner().map_err(failed)))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut held = self.inner.held();
        if let Some(count) = held.get_mut(&self.number) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.number);
            }
        }
    }
}

/// The thread that merges sorted runs. It ends when nobody can ask it any more.
#[derive(Clone)]
pub(super) struct Compactor(Sender<Arc<Inner>>);

impl Compactor {
    pub fn start() -> Self {
        // One that is full is asked again with the next run.
        let (sender, trees) = crossbeam_channel::bounded::<Arc<Inner>>(64);
        let run = move || {
            for tree in trees {
                if let Err(error) = tree.compact() {
                    tracing::warn!("what was moved out of memory could not be merged: {error}");
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("compactor".into()).spawn(run) {
            tracing::warn!("no thread merges what is moved out of memory: {error}");
        }
        Self(sender)
    }

    fn wake(&self, tree: &Arc<Inner>) {
        let _ = self.0.try_send(Arc::clone(tree));
    }
}

/// What a tree's error is to a user.
fn failed(error: lsm_tree::Error) -> Error {
    let what = "could not use the disk for what does not fit into memory";
    match error {
        lsm_tree::Error::Io(error) => super::failed(what, &error),
        other => Error::internal(format!("{what}: {other}")),
    }
}
