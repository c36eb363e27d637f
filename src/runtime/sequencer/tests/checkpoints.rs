//! Servers one after the other on a log and checkpoints, of which some are never finished.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::checkpoint::{MemoryObjects, Objects, Owner};
use crate::log::{Ddl, Disk, LogFiles, LogPlace, MemoryDisk};
use crate::runtime::{Checkpoint, Kept};
use crate::spill::Memory;

/// Bytes of each file that are flipped, about.
const FLIPS: usize = 200;

/// Files of the log are small.
const FILE_BYTES: u64 = 4096;

/// A runtime that goes on with the newest checkpoint and the log behind it.
fn recover(
    disk: &MemoryDisk,
    objects: &MemoryObjects,
    workers: usize,
    last_checkpoint: bool,
) -> Result<(Runtime, Option<Epoch>)> {
    let settings = Settings { checkpoint_interval: Duration::from_millis(1), ..Settings::default() };
    recover_as(disk, objects, RuntimeConfig { workers, settings, keep_log: false, last_checkpoint, ..config() })
}

fn recover_as(disk: &MemoryDisk, objects: &MemoryObjects, config: RuntimeConfig) -> Result<(Runtime, Option<Epoch>)> {
    let runtime = Runtime::start(config)?;
    let objects: Arc<dyn Objects> = Arc::new(objects.clone());
    let log: Arc<dyn Disk> = Arc::new(disk.clone());
    let newest = Checkpoint::to_begin_with(&objects, &log, &Memory::unbounded())?;
    let epoch = newest.as_ref().map(Checkpoint::epoch);
    let from = newest.as_ref().map_or(LogPlace::START, Checkpoint::log);
    let files = LogFiles::find(log, from)?.in_files_of(FILE_BYTES);
    runtime.recover(files, Some(Kept { objects, owner: Owner::default(), newest }), vec![], |ddl: &Ddl| {
        rebuild(&ddl.payload)
    })?;
    Ok((runtime, epoch))
}

/// Writes, ends at any moment, also while a checkpoint is written; after each start everything acknowledged is there.
fn history(seed: u64) -> bool {
    let mut random = SmallRng::seed_from_u64(seed);
    let (disk, objects) = (MemoryDisk::default(), MemoryObjects::default());
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut expected, mut last, mut began) = (BTreeMap::new(), Epoch(0), false);
    for life in 0..random.random_range(2..5) {
        objects.allow(None);
        let (runtime, epoch) = recover(&disk, &objects, random.random_range(1..4), random.random_bool(0.5))
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        began |= epoch.is_some();
        tokio.block_on(async {
            if life == 0 {
                runtime.create_table(keyed(T)).await.unwrap();
                runtime.create_view(view(V, &[T])).await.unwrap();
            }
            let all: Vec<(i64, i64)> = expected.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(read(&runtime, T).await, all, "seed {seed}, life {life}: the table, from {epoch:?}");
            assert_eq!(read(&runtime, V).await, all, "seed {seed}, life {life}: the view, from {epoch:?}");
            if random.random_bool(0.6) {
                objects.allow(Some(random.random_range(0..8)));
            }
            for _ in 0..random.random_range(1..25) {
                let (key, value) = (random.random_range(0..12), random.random_range(0..1000));
                let write = match random.random_bool(0.3) {
                    true => delete(Target::Keys(batch(&[(key, 0)]).project(&[0]).unwrap())),
                    false => insert_into(T, &[(key, value)], OnConflict::Replace),
                };
                let is_insert = matches!(write, TableWrite::Insert { .. });
                let Ok(committed) = runtime.commit(vec![write]).await else { continue };
                assert!(committed.epoch >= last, "seed {seed}: epoch {} again", committed.epoch);
                last = committed.epoch;
                if !is_insert {
                    expected.remove(&key);
                } else {
                    expected.insert(key, value);
                }
            }
            let all: Vec<(i64, i64)> = expected.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(read(&runtime, V).await, all, "seed {seed}, life {life}: the view at its end");
            runtime.shutdown().await;
        });
        if random.random_bool(0.5) { disk.lose_power(&mut random) } else { disk.kill() }
    }
    began
}

/// `HIGHWATER_CHECKPOINT_SEEDS=from..to` runs other histories than the first few, and flips every byte below.
#[test]
fn what_was_acknowledged_is_there_whatever_became_of_checkpoints() {
    let seeds = std::env::var("HIGHWATER_CHECKPOINT_SEEDS").ok();
    let range =
        seeds.as_deref().and_then(|s| s.split_once("..")).map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
    let (from, to) = range.unwrap_or((0_u64, 40));
    let began = (from..to).filter(|seed| history(*seed)).count();
    assert!(began > 0, "no start began with a checkpoint");
}

#[test]
fn every_flipped_byte_of_checkpoints_is_noticed_or_harmless() {
    let every = std::env::var("HIGHWATER_CHECKPOINT_SEEDS").is_ok();
    let (disk, objects) = (MemoryDisk::default(), MemoryObjects::default());
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (runtime, _) = recover(&disk, &objects, 2, false).unwrap();
    tokio.block_on(async {
        runtime.create_table(keyed(T)).await.unwrap();
        runtime.create_view(view(V, &[T])).await.unwrap();
        for key in 0.. {
            commit(&runtime, vec![insert(&[(key, key)])]).await;
            if runtime.status().await.unwrap().checkpoints.len() >= 3 {
                break;
            }
        }
        runtime.shutdown().await;
    });
    let shelf: Arc<dyn Objects> = Arc::new(objects.clone());
    let whole = Checkpoint::newest(&shelf, &Memory::unbounded()).unwrap().unwrap();
    let older = Checkpoint::check(&shelf).unwrap()[0].1;
    assert!(older < whole.epoch());
    for name in shelf.list().unwrap() {
        // Each start reads all of it: some of the bytes are enough for every time.
        let size = shelf.size(&name).unwrap() as usize;
        for at in (0..size).step_by(if every { 1 } else { (size / FLIPS).max(17) }) {
            let flip = || objects.change(&name, |bytes| bytes[at] ^= 1 << (at % 8));
            flip();
            match Checkpoint::newest(&shelf, &Memory::unbounded()) {
                // What it does not name, or what another one names.
                Ok(Some(newest)) => assert!([older, whole.epoch()].contains(&newest.epoch()), "byte {at} of {name}"),
                Ok(None) => panic!("byte {at} of {name}: no checkpoint is left"),
                // Both name it.
                Err(error) => assert_eq!(error.code(), SqlState::DATA_CORRUPTED, "byte {at} of {name}: {error}"),
            }
            flip();
        }
    }
}

/// The first checkpoint of all is torn when the power fails: the log says the same. It stands by until there are two.
#[test]
fn a_torn_first_checkpoint_is_no_loss() {
    let (disk, objects) = (MemoryDisk::default(), MemoryObjects::default());
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seldom = Settings { checkpoint_interval: Duration::from_secs(3600), ..Settings::default() };
    let config = || RuntimeConfig { settings: seldom.clone(), keep_log: false, last_checkpoint: true, ..config() };
    let all: Vec<(i64, i64)> = (0..100).map(|key| (key, key)).collect();
    let (runtime, _) = recover_as(&disk, &objects, config()).unwrap();
    tokio.block_on(async {
        runtime.create_table(keyed(T)).await.unwrap();
        runtime.create_view(view(V, &[T])).await.unwrap();
        for row in &all {
            commit(&runtime, vec![insert(&[*row])]).await;
        }
        runtime.shutdown().await;
    });
    let manifests = || -> Vec<String> {
        objects.list().unwrap().into_iter().filter(|name| name.ends_with(".checkpoint")).collect()
    };
    let logs = || disk.list().unwrap().into_iter().filter(|name| name.ends_with(".log")).count();
    assert!(manifests().len() == 1 && logs() > 2, "{:?}, {} files of the log", manifests(), logs());
    objects.change(&manifests()[0], |bytes| bytes.truncate(bytes.len() / 2));
    let before = logs();
    for (is_torn, checkpoints) in [(true, 1), (false, 2)] {
        let (runtime, from) = recover_as(&disk, &objects, config()).unwrap();
        assert_eq!(from.is_none(), is_torn);
        assert_eq!(tokio.block_on(read(&runtime, T)), all);
        assert_eq!(tokio.block_on(read(&runtime, V)), all);
        tokio.block_on(async {
            commit(&runtime, vec![insert_into(T, &[(0, 0)], OnConflict::Replace)]).await;
            runtime.shutdown().await;
        });
        assert_eq!(manifests().len(), checkpoints);
    }
    assert!(logs() < before, "{} of {before} files of the log are left", logs());

    // With less than the whole log it is damage.
    for name in manifests() {
        objects.change(&name, |bytes| bytes.truncate(bytes.len() / 2));
    }
    let error = recover_as(&disk, &objects, config()).map(drop).unwrap_err();
    assert!(error.code() == SqlState::DATA_CORRUPTED && error.message().starts_with("no checkpoint can be used"));
}

/// How many checkpoints were taken.
async fn taken(runtime: &Runtime) -> u64 {
    runtime.status().await.unwrap().checkpoints.last().map_or(0, |checkpoint| checkpoint.number)
}

/// Space follows what is kept: the log before the older of two checkpoints is removed, and a pack of which little is of use
/// is written anew.
#[test]
fn what_is_of_no_use_any_more_is_removed() {
    let (disk, objects) = (MemoryDisk::default(), MemoryObjects::default());
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Nothing is taken before all rows are there: one pack has them, and what made the table.
    let settings = Settings {
        checkpoint_interval: Duration::from_secs(3600),
        history: Duration::from_millis(1),
        ..Settings::default()
    };
    let config = RuntimeConfig { workers: 1, settings: settings.clone(), keep_log: false, ..config() };
    let (runtime, _) = recover_as(&disk, &objects, config).unwrap();
    let packs = || -> Vec<(String, u64)> {
        let names = objects.list().unwrap().into_iter().filter(|name| name.ends_with(".pack"));
        names.map(|name| (name.clone(), objects.size(&name).unwrap())).collect()
    };
    tokio.block_on(async {
        runtime.create_table(keyed(T)).await.unwrap();
        let many: Vec<(i64, i64)> = (0..20_000).map(|k| (k, k)).collect();
        commit(&runtime, vec![insert(&many)]).await;
        let often = Settings { checkpoint_interval: Duration::from_millis(1), ..settings };
        runtime.alter_system(often).await.unwrap();
        while taken(&runtime).await == 0 {
            tokio::task::yield_now().await;
        }
        let first = packs().into_iter().max_by_key(|(_, bytes)| *bytes).unwrap();
        assert!(first.1 > 50_000, "{first:?}");
        commit(&runtime, vec![delete(Target::Keys(batch(&many[10..]).project(&[0]).unwrap()))]).await;
        for value in 0.. {
            commit(&runtime, vec![insert_into(T, &[(0, value)], OnConflict::Replace)]).await;
            let all: u64 = packs().iter().map(|(_, bytes)| bytes).sum();
            let logs: Vec<String> = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".log")).collect();
            let number = |name: &String| name.trim_end_matches(".log").parse::<u64>().unwrap();
            let first_log = logs.iter().map(number).min().unwrap();
            if !packs().contains(&first) && all < first.1 / 2 && first_log > 5 && logs.len() < 5 {
                break;
            }
            assert!(value < 100_000, "{:?} are there of {first:?}, and {logs:?}", packs());
        }
        assert_eq!(read(&runtime, T).await.len(), 10);
        runtime.shutdown().await;
    });
    let (runtime, from) = recover(&disk, &objects, 2, false).unwrap();
    assert!(from.is_some());
    assert_eq!(tokio.block_on(read(&runtime, T)).len(), 10);
}
