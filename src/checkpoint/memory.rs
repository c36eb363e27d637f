//! For tests: objects in memory, of which putting can fail, and of which some come back when the power fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;

use super::Objects;
use crate::error::{Error, Result, SqlState};
use crate::log::{Lot, Luck};

#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Bytes>,
    /// Gone as long as the power stays.
    removed: BTreeMap<String, Bytes>,
    /// Changes that still succeed; all when there is no number.
    left: Option<u32>,
}

/// Objects in memory.
#[derive(Clone, Default)]
pub struct MemoryObjects {
    shelf: Arc<Mutex<Shelf>>,
    luck: Luck,
}

impl MemoryObjects {
    /// Of a process with this luck.
    pub fn with(luck: Luck) -> Self {
        Self { shelf: Arc::default(), luck }
    }

    /// So many changes succeed from now on, then none; all without a number.
    pub fn allow(&self, changes: Option<u32>) {
        self.shelf.lock().left = changes;
    }

    /// The power fails: what was removed may be there again.
    pub fn lose_power(&self, random: &mut SmallRng) {
        let mut shelf = self.shelf.lock();
        for (name, bytes) in std::mem::take(&mut shelf.removed) {
            if random.random() {
                shelf.objects.entry(name).or_insert(bytes);
            }
        }
    }

    /// Changes the bytes of an object behind everybody's back.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shelf = self.shelf.lock();
        if let Some(bytes) = shelf.objects.get_mut(name) {
            let mut changed = bytes.to_vec();
            change(&mut changed);
            *bytes = changed.into();
        }
    }

    /// Changes something; how much of it is done when it fails, of 1, is told.
    fn act(&self, act: impl FnOnce(&mut Shelf, f64)) -> Result<()> {
        let lot = self.luck.draw();
        let mut shelf = self.shelf.lock();
        if shelf.left == Some(0) {
            return Err(Error::new(SqlState::DISK_FULL, "no room"));
        }
        shelf.left = shelf.left.map(|left| left - 1);
        match lot {
            Lot::Done => {
                act(&mut shelf, 1.0);
                return Ok(());
            }
            Lot::Failed(part) => act(&mut shelf, part),
            Lot::Gone => {}
        }
        Err(failed())
    }

    fn read<T>(&self, read: impl FnOnce(&Shelf) -> Result<T>) -> Result<T> {
        match self.luck.draw() {
            Lot::Done => read(&self.shelf.lock()),
            Lot::Failed(_) | Lot::Gone => Err(failed()),
        }
    }
}

fn failed() -> Error {
    Error::new(SqlState::IO_ERROR, "the disk is gone")
}

impl Objects for MemoryObjects {
    /// One that fails leaves nothing, or a part of the object, or all of it.
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.act(|shelf, part| {
            let length = if part > 0.7 { bytes.len() } else { (bytes.len() as f64 * (part - 0.2) * 2.0) as usize };
            if part > 0.2 {
                shelf.objects.insert(name.to_owned(), bytes.slice(..length));
            }
        })
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.read(|shelf| {
            let missing = || Error::new(SqlState::UNDEFINED_FILE, format!("\"{name}\" is not there"));
            shelf.objects.get(name).cloned().ok_or_else(missing)
        })
    }

    fn get_range(&self, name: &str, at: u64, bytes: u64) -> Result<Bytes> {
        let all = self.get(name)?;
        if at + bytes > all.len() as u64 {
            return Err(Error::new(SqlState::DATA_CORRUPTED, format!("\"{name}\" is short")));
        }
        Ok(all.slice(at as usize..(at + bytes) as usize))
    }

    fn size(&self, name: &str) -> Result<u64> {
        Ok(self.get(name)?.len() as u64)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.read(|shelf| Ok(shelf.objects.keys().cloned().collect()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.act(|shelf, part| {
            if part > 0.5
                && let Some(bytes) = shelf.objects.remove(name)
            {
                shelf.removed.insert(name.to_owned(), bytes);
            }
        })
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}
