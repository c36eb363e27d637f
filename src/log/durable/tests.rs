//! Seeded histories on a disk that fails, tears, fills up and forgets.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::segment::SYNCED;
use super::*;
use crate::log::{Ddl, Disk, MemoryDisk};

fn record(number: u64, length: usize) -> Record {
    let payload = (0..length).map(|i| (number as usize * 31 + i * i) as u8).collect();
    Record::Ddl(Ddl { epoch: Epoch(number), dropped: vec![], payload })
}

fn start(files: LogFiles, news: impl Fn(LogNews) + Send + 'static) -> Result<DurableLog> {
    OpenLog::open(&files)?.start(files, news)
}

/// What the log tells, and whoever waits for it.
#[derive(Clone, Default)]
struct Told(Arc<(Mutex<(u64, bool)>, parking_lot::Condvar)>);

impl Told {
    fn hear(&self, news: &LogNews) {
        let mut told = self.0.0.lock();
        match news {
            // Each record is of the epoch under way.
            LogNews::Durable { epoch, .. } => told.0 = epoch.0 + 1,
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

fn epochs(files: &LogFiles) -> Result<Vec<u64>> {
    files.records(Wanted::All).map(|record| Ok(record?.epoch().0)).collect()
}

/// Writes, kills, loses power and fills the disk; after each start everything that was acknowledged is there, in order.
fn history(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let disk = MemoryDisk::default();
    let (mut next, mut acknowledged) = (1, 0);
    for life in 0..random.random_range(2..6) {
        let files = LogFiles::find(Arc::new(disk.clone()), LogPlace::START)
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let found = epochs(&files).unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let there = found.len() as u64;
        assert!(found.iter().copied().eq(1..=there), "seed {seed}, life {life}: {found:?}");
        assert!(there >= acknowledged && there < next, "seed {seed}, life {life}: {there} of {acknowledged}..{next}");
        next = there + 1;
        let told = Told::default();
        let hears = told.clone();
        if random.random_bool(0.3) {
            disk.die_after(random.random_range(1..40));
        }
        let files = files.in_files_of(random.random_range(200..4000));
        let Ok(mut log) = start(files, move |news| hears.hear(&news)) else {
            disk.kill();
            continue;
        };
        // Found is durable, and may be lost no more.
        acknowledged = there;
        if random.random_bool(0.2) {
            disk.set_room(Some(random.random_range(0..3000)));
        }
        for _ in 0..random.random_range(0..30) {
            // Some are long enough to be packed.
            let length = if random.random_bool(0.1) { 40_000 } else { random.random_range(0..900) };
            log.append(&record(next, length)).unwrap();
            next += 1;
            if random.random_bool(0.3) {
                // Somebody tidies up.
                disk.set_room(None);
                acknowledged = acknowledged.max(told.wait(next - 1));
            }
        }
        let is_power = random.random_bool(0.5);
        // It is gone in the midst of what it does.
        disk.die();
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
fn sound() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let told = Told::default();
    let hears = told.clone();
    let files = LogFiles::find(Arc::new(disk.clone()), LogPlace::START).unwrap();
    let mut log = start(files.in_files_of(600), move |news| hears.hear(&news)).unwrap();
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
            let flip = || disk.change(&name, |bytes| bytes[at] ^= 1 << (at % 8));
            flip();
            let read = LogFiles::find(Arc::new(disk.clone()), LogPlace::START).and_then(|files| epochs(&files));
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
        let error = LogFiles::find(Arc::new(disk), LogPlace::START).err().unwrap();
        assert_eq!(error.message(), format!("\"{name}\" is missing from the input log"));
        let disk = sound();
        let length = disk.read(&name).unwrap().len();
        disk.change(&name, |bytes| bytes.truncate(length - 1));
        let error = LogFiles::find(Arc::new(disk), LogPlace::START).and_then(|files| epochs(&files)).unwrap_err();
        assert_eq!(error.code(), crate::error::SqlState::DATA_CORRUPTED, "{error}");
    }
}

#[test]
fn a_disk_that_lied_is_told_from_a_torn_end() {
    let disk = MemoryDisk::default();
    let told = Told::default();
    let hears = told.clone();
    let files = LogFiles::find(Arc::new(disk.clone()), LogPlace::START).unwrap();
    let mut log = start(files, move |news| hears.hear(&news)).unwrap();
    log.append(&record(1, 10)).unwrap();
    told.wait(1);
    log.append(&record(2, 700)).unwrap();
    told.wait(2);
    drop(log);
    // The file's end is lost, the mark is not.
    let name = disk.list().unwrap().into_iter().find(|name| name != SYNCED).unwrap();
    disk.change(&name, |bytes| bytes.truncate(100));
    let error = LogFiles::find(Arc::new(disk), LogPlace::START).err().unwrap();
    assert!(error.message().contains("is damaged at byte"), "{error}");
}
