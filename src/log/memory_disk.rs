//! For tests: a disk in memory that fails, tears, fills up and forgets.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;

use super::{Disk, DiskFile};

/// Sectors are written whole or not at all.
const SECTOR: usize = 512;

/// A file: what survives a power loss, and what the kernel holds.
#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    cached: Vec<u8>,
    is_named: bool,
}

#[derive(Default)]
struct Platter {
    files: BTreeMap<String, Content>,
    /// Operations until everything fails.
    left: Option<u32>,
    dead: bool,
    /// Bytes that still fit; a file that grows takes them.
    room: Option<usize>,
    /// Syncs say that they did and do not.
    lies: bool,
}

/// A disk in memory that fails, tears, fills up and forgets.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Platter>>);

impl MemoryDisk {
    fn act<T>(&self, act: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.0.lock();
        if let Some(left) = &mut platter.left {
            *left = left.saturating_sub(1);
            platter.dead |= *left == 0;
        }
        if platter.dead { Err(io::Error::other("the disk is gone")) } else { act(&mut platter) }
    }

    /// Everything fails from now on.
    pub fn die(&self) {
        self.0.lock().dead = true;
    }

    /// Everything fails after so many operations.
    pub fn die_after(&self, operations: u32) {
        self.0.lock().left = Some(operations);
    }

    /// How many bytes its files may still grow; all that one likes when there is no number.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.0.lock().room = bytes;
    }

    /// Does something to a file behind everybody's back.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.0.lock().files.get_mut(name).expect("the file").cached);
    }

    /// The process is killed: what the kernel holds stays.
    pub fn kill(&self) {
        let mut platter = self.0.lock();
        (platter.left, platter.dead, platter.room) = (None, false, None);
    }

    /// The power fails: of what was not synced, some sectors are there, and some names.
    pub fn lose_power(&self, random: &mut SmallRng) {
        self.kill();
        let mut platter = self.0.lock();
        platter.files.retain(|_, content| content.is_named || random.random());
        for content in platter.files.values_mut() {
            let (one, other) = (content.durable.len(), content.cached.len());
            let length = random.random_range(one.min(other)..=one.max(other));
            let mut now = vec![0; length];
            for at in (0..length).step_by(SECTOR) {
                let end = (at + SECTOR).min(length);
                let source = if random.random() { &content.cached } else { &content.durable };
                if let Some(sector) = source.get(at..end.min(source.len())) {
                    now[at..at + sector.len()].copy_from_slice(sector);
                }
            }
            content.durable.clone_from(&now);
            content.cached = now;
            content.is_named = true;
        }
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.act(|platter| Ok(platter.files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.act(|platter| {
            let content = platter.files.get(name).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
            Ok(content.cached.clone())
        })
    }

    fn read_head(&self, name: &str, most: usize) -> io::Result<(Vec<u8>, u64)> {
        let bytes = self.read(name)?;
        Ok((bytes[..most.min(bytes.len())].to_vec(), bytes.len() as u64))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.act(|platter| {
            platter.files.entry(name.to_owned()).or_default();
            Ok(())
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.act(|platter| {
            platter.files.remove(name);
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.act(|platter| {
            platter.files.values_mut().for_each(|content| content.is_named = true);
            Ok(())
        })
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    name: String,
}

impl DiskFile for MemoryFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.act(|platter| {
            let content = platter.files.entry(self.name.clone()).or_default();
            let offset = offset as usize;
            let grows = (offset + bytes.len()).saturating_sub(content.cached.len());
            let fits = platter.room.map_or(grows, |room| grows.min(room));
            let written = bytes.len() - (grows - fits);
            if let Some(room) = &mut platter.room {
                *room -= fits;
            }
            let end = offset + written;
            content.cached.resize(content.cached.len().max(end), 0);
            content.cached[offset..end].copy_from_slice(&bytes[..written]);
            if fits < grows { Err(io::Error::from(ErrorKind::StorageFull)) } else { Ok(()) }
        })
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.disk.act(|platter| {
            platter.files.entry(self.name.clone()).or_default().cached.resize(length as usize, 0);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.act(|platter| {
            let lies = platter.lies;
            let content = platter.files.entry(self.name.clone()).or_default();
            if !lies {
                content.durable.clone_from(&content.cached);
            }
            Ok(())
        })
    }
}
