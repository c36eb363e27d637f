//! Seeded histories on a disk that fails, tears, fills up and forgets.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::segment::SYNCED;
use super::*;
use crate::log::{Ddl, Disk, DiskFile};

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

/// A disk in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Platter>>);

impl Memory {
    fn act<T>(&self, act: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.0.lock();
        if let Some(left) = &mut platter.left {
            *left = left.saturating_sub(1);
            platter.dead |= *left == 0;
        }
        if platter.dead { Err(io::Error::other("the disk is gone")) } else { act(&mut platter) }
    }

    /// The process is killed: what the kernel holds stays.
    fn kill(&self) {
        let mut platter = self.0.lock();
        (platter.left, platter.dead, platter.room) = (None, false, None);
    }

    /// The power fails: of what was not synced, some sectors are there, and some names.
    fn lose_power(&self, random: &mut SmallRng) {
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

impl Disk for Memory {
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
    disk: Memory,
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

fn record(number: u64, length: usize) -> Record {
    let payload = (0..length).map(|i| (number as usize * 31 + i * i) as u8).collect();
    Record::Ddl(Ddl { epoch: Epoch(number), dropped: vec![], payload })
}

/// What the log tells, and whoever waits for it.
#[derive(Clone, Default)]
struct Told(Arc<(Mutex<(u64, bool)>, parking_lot::Condvar)>);

impl Told {
    fn hear(&self, news: &LogNews) {
        let mut told = self.0.0.lock();
        match news {
            LogNews::Durable(_, epoch) => told.0 = epoch.0,
            LogNews::Failed(_) => told.1 = true,
            LogNews::Full(_) => {}
        }
        self.0.1.notify_all();
    }

    /// The newest epoch that is durable, once that is `epoch` or the log has failed.
    fn wait(&self, epoch: u64) -> u64 {
        let mut told = self.0.0.lock();
        while told.0 < epoch && !told.1 {
            self.0.1.wait(&mut told);
        }
        told.0
    }
}

fn pace(random: &mut SmallRng) -> Pace {
    Pace { segment_bytes: random.random_range(200..4000), retry: Duration::from_millis(1) }
}

fn epochs(files: &LogFiles) -> Result<Vec<u64>> {
    files.records(Wanted::All).map(|record| Ok(record?.epoch().0)).collect()
}

/// Writes, kills, loses power and fills the disk; after each start everything that was acknowledged is there, in order.
fn history(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let disk = Memory::default();
    let (mut next, mut acknowledged) = (1, 0);
    for life in 0..random.random_range(2..6) {
        let files =
            LogFiles::find(Arc::new(disk.clone())).unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let found = epochs(&files).unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let there = found.len() as u64;
        assert!(found.iter().copied().eq(1..=there), "seed {seed}, life {life}: {found:?}");
        assert!(there >= acknowledged && there < next, "seed {seed}, life {life}: {there} of {acknowledged}..{next}");
        next = there + 1;
        let told = Told::default();
        let hears = told.clone();
        if random.random_bool(0.3) {
            disk.0.lock().left = Some(random.random_range(1..40));
        }
        let Ok(mut log) = DurableLog::start_at(files, pace(&mut random), move |news| hears.hear(&news)) else {
            disk.kill();
            continue;
        };
        // Found is durable, and may be lost no more.
        acknowledged = there;
        if random.random_bool(0.2) {
            disk.0.lock().room = Some(random.random_range(0..3000));
        }
        for _ in 0..random.random_range(0..30) {
            log.append(&record(next, random.random_range(0..900))).unwrap();
            next += 1;
            if random.random_bool(0.3) {
                // Somebody tidies up.
                disk.0.lock().room = None;
                acknowledged = acknowledged.max(told.wait(next - 1));
            }
        }
        let is_power = random.random_bool(0.5);
        // It is gone in the midst of what it does.
        let mut platter = disk.0.lock();
        (platter.dead, platter.room) = (true, None);
        drop(platter);
        acknowledged = acknowledged.max(told.wait(0));
        drop(log);
        acknowledged = acknowledged.max(told.wait(0));
        if is_power { disk.lose_power(&mut random) } else { disk.kill() }
    }
}

/// `HIGHWATER_LOG_SEEDS=from..to` runs other histories than the first few hundred.
#[test]
fn what_was_acknowledged_is_read_back() {
    let seeds = std::env::var("HIGHWATER_LOG_SEEDS").ok();
    let range =
        seeds.as_deref().and_then(|s| s.split_once("..")).map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
    let (from, to) = range.unwrap_or((0, 400));
    (from..to).for_each(history);
}

/// A log of three files, stopped.
fn sound() -> Memory {
    let disk = Memory::default();
    let told = Told::default();
    let hears = told.clone();
    let files = LogFiles::find(Arc::new(disk.clone())).unwrap();
    let pace = Pace { segment_bytes: 600, retry: Duration::ZERO };
    let mut log = DurableLog::start_at(files, pace, move |news| hears.hear(&news)).unwrap();
    for number in 1..=9 {
        log.append(&record(number, 120)).unwrap();
        told.wait(number);
    }
    drop(log);
    disk
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    let disk = sound();
    let names = disk.list().unwrap();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        for at in 0..disk.read(&name).unwrap().len() {
            let flip = || disk.0.lock().files.get_mut(&name).unwrap().cached[at] ^= 1 << (at % 8);
            flip();
            let read = LogFiles::find(Arc::new(disk.clone())).and_then(|files| epochs(&files));
            match read {
                Ok(found) => assert!(name == SYNCED && found.len() == 9, "byte {at} of {name}: {found:?}"),
                Err(error) => {
                    assert_eq!(error.code(), crate::error::SqlState::DATA_CORRUPTED);
                    assert!(error.message().contains(".log\""), "byte {at} of {name}: {error}");
                }
            }
            flip();
        }
    }
}

#[test]
fn a_file_that_is_gone_or_short_is_noticed() {
    for name in sound().list().unwrap().into_iter().filter(|name| name != SYNCED) {
        let disk = sound();
        disk.remove(&name).unwrap();
        let error = LogFiles::find(Arc::new(disk)).err().unwrap();
        assert_eq!(error.message(), format!("\"{name}\" is missing from the input log"));
        let disk = sound();
        let length = disk.read(&name).unwrap().len();
        disk.0.lock().files.get_mut(&name).unwrap().cached.truncate(length - 1);
        let error = LogFiles::find(Arc::new(disk)).and_then(|files| epochs(&files)).unwrap_err();
        assert_eq!(error.code(), crate::error::SqlState::DATA_CORRUPTED, "{error}");
    }
}

#[test]
fn a_disk_that_lied_is_told_from_a_torn_end() {
    let disk = Memory::default();
    let told = Told::default();
    let hears = told.clone();
    let files = LogFiles::find(Arc::new(disk.clone())).unwrap();
    let mut log = DurableLog::start(files, move |news| hears.hear(&news)).unwrap();
    log.append(&record(1, 10)).unwrap();
    told.wait(1);
    log.append(&record(2, 700)).unwrap();
    told.wait(2);
    drop(log);
    // The file's end is lost, the mark is not.
    disk.0.lock().files.values_mut().next().unwrap().cached.truncate(100);
    let error = LogFiles::find(Arc::new(disk)).err().unwrap();
    assert!(error.message().contains("is damaged at byte"), "{error}");
}
