//! For tests: a disk in memory that fails, tears, fills up and forgets.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;

use super::luck::{Lot, Luck, failed};
use super::{Disk, DiskFile};

/// Sectors are written whole or not at all.
const SECTOR: usize = 512;

/// A file: what survives a power loss, and what the kernel holds.
#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    cached: Vec<u8>,
    /// What the next sync writes. After one that failed the kernel takes it for written.
    dirty: Vec<Range<usize>>,
    is_named: bool,
}

#[derive(Default)]
struct Platter {
    files: BTreeMap<String, Content>,
    /// Files that are gone as long as the power stays.
    removed: BTreeMap<String, Content>,
    /// Bytes that still fit; a file that grows takes them.
    room: Option<usize>,
}

/// A disk in memory that fails, tears, fills up and forgets.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    platter: Arc<Mutex<Platter>>,
    luck: Luck,
}

impl MemoryDisk {
    /// Of a process with this luck.
    pub fn with(luck: Luck) -> Self {
        Self { platter: Arc::default(), luck }
    }

    /// Does something, of which nothing is done when it fails.
    fn read<T>(&self, act: impl FnOnce(&Platter) -> io::Result<T>) -> io::Result<T> {
        match self.luck.draw() {
            Lot::Done => act(&self.platter.lock()),
            Lot::Failed(_) | Lot::Gone => Err(failed()),
        }
    }

    /// Does something, or all of it and fails.
    fn change_names(&self, act: impl FnOnce(&mut Platter)) -> io::Result<()> {
        let lot = self.luck.draw();
        if matches!(lot, Lot::Done | Lot::Failed(0.5..)) {
            act(&mut self.platter.lock());
        }
        if lot == Lot::Done { Ok(()) } else { Err(failed()) }
    }

    /// Everything fails from now on.
    pub fn die(&self) {
        self.luck.die();
    }

    /// Everything fails after so many operations.
    pub fn die_after(&self, operations: u32) {
        self.luck.die_after(operations);
    }

    /// How many bytes its files may still grow; all that one likes when there is no number.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.platter.lock().room = bytes;
    }

    /// Does something to a file behind everybody's back.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.platter.lock().files.get_mut(name).expect("the file").cached);
    }

    /// Its files: bytes that the kernel holds, and that are written.
    pub fn describe(&self) -> String {
        let platter = self.platter.lock();
        let file = |(name, content): (&String, &Content)| {
            let number = name.trim_start_matches('0');
            let named = if content.is_named { "" } else { " without a name" };
            format!("{number} {} {}{named}", content.cached.len(), content.durable.len())
        };
        platter.files.iter().map(file).collect::<Vec<_>>().join(", ")
    }

    /// The process is killed: what the kernel holds stays.
    pub fn kill(&self) {
        self.luck.revive();
        self.platter.lock().room = None;
    }

    /// The power fails: of what was not synced, some sectors are there, and some names.
    pub fn lose_power(&self, random: &mut SmallRng) {
        self.kill();
        let mut platter = self.platter.lock();
        let mut back = std::mem::take(&mut platter.removed);
        back.retain(|name, _| !platter.files.contains_key(name) && random.random());
        platter.files.append(&mut back);
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
            content.dirty.clear();
            content.is_named = true;
        }
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.read(|platter| Ok(platter.files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.read(|platter| {
            let content = platter.files.get(name).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
            Ok(content.cached.clone())
        })
    }

    fn read_head(&self, name: &str, most: usize) -> io::Result<(Vec<u8>, u64)> {
        let bytes = Disk::read(self, name)?;
        Ok((bytes[..most.min(bytes.len())].to_vec(), bytes.len() as u64))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.change_names(|platter| {
            platter.files.entry(name.to_owned()).or_default();
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(|platter| {
            if let Some(content) = platter.files.remove(name).filter(|content| content.is_named) {
                platter.removed.insert(name.to_owned(), content);
            }
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        let lies = self.luck.lies();
        self.change_names(|platter| {
            if !lies {
                platter.files.values_mut().for_each(|content| content.is_named = true);
                platter.removed.clear();
            }
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
        let lot = self.disk.luck.draw();
        let bytes = match lot {
            Lot::Done => bytes,
            Lot::Failed(part) => &bytes[..(bytes.len() as f64 * part) as usize],
            Lot::Gone => return Err(failed()),
        };
        let mut platter = self.disk.platter.lock();
        let Platter { files, room, .. } = &mut *platter;
        let content = files.entry(self.name.clone()).or_default();
        let offset = offset as usize;
        let grows = (offset + bytes.len()).saturating_sub(content.cached.len());
        let fits = room.map_or(grows, |room| grows.min(room));
        let written = bytes.len() - (grows - fits);
        if let Some(room) = room {
            *room -= fits;
        }
        let end = offset + written;
        content.cached.resize(content.cached.len().max(end), 0);
        content.cached[offset..end].copy_from_slice(&bytes[..written]);
        content.dirty.push(offset..end);
        match lot {
            Lot::Done if fits < grows => Err(io::Error::from(ErrorKind::StorageFull)),
            Lot::Done => Ok(()),
            Lot::Failed(_) | Lot::Gone => Err(failed()),
        }
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.disk.change_names(|platter| {
            platter.files.entry(self.name.clone()).or_default().cached.resize(length as usize, 0);
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let lies = self.disk.luck.lies();
        let lot = self.disk.luck.draw();
        let mut platter = self.disk.platter.lock();
        let content = platter.files.entry(self.name.clone()).or_default();
        match lot {
            Lot::Done if lies => Ok(()),
            Lot::Done => {
                content.durable.resize(content.cached.len(), 0);
                for range in content.dirty.drain(..) {
                    let end = range.end.min(content.cached.len());
                    let range = range.start.min(end)..end;
                    content.durable[range.clone()].copy_from_slice(&content.cached[range]);
                }
                Ok(())
            }
            Lot::Failed(_) => {
                content.dirty.clear();
                Err(failed())
            }
            Lot::Gone => Err(failed()),
        }
    }
}
