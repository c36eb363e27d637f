//! For tests: objects in memory, of which putting can fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Objects;
use crate::error::{Error, Result, SqlState};

#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Bytes>,
    /// Changes that still succeed; all when there is no number.
    left: Option<u32>,
}

/// Objects in memory.
#[derive(Clone, Default)]
pub struct MemoryObjects(Arc<Mutex<Shelf>>);

impl MemoryObjects {
    /// So many changes succeed from now on, then none; all without a number.
    pub fn allow(&self, changes: Option<u32>) {
        self.0.lock().left = changes;
    }

    /// Changes the bytes of an object behind everybody's back.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shelf = self.0.lock();
        if let Some(bytes) = shelf.objects.get_mut(name) {
            let mut changed = bytes.to_vec();
            change(&mut changed);
            *bytes = changed.into();
        }
    }

    fn act<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Result<T> {
        let mut shelf = self.0.lock();
        if shelf.left == Some(0) {
            return Err(Error::new(SqlState::DISK_FULL, "no room"));
        }
        shelf.left = shelf.left.map(|left| left - 1);
        Ok(act(&mut shelf.objects))
    }
}

impl Objects for MemoryObjects {
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.act(|objects| drop(objects.insert(name.to_owned(), bytes)))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let found = self.0.lock().objects.get(name).cloned();
        found.ok_or_else(|| Error::new(SqlState::UNDEFINED_FILE, format!("\"{name}\" is not there")))
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
        Ok(self.0.lock().objects.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.act(|objects| drop(objects.remove(name)))
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}
