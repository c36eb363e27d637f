//! A log on a disk: who is answered when, and a disk that is full.

use super::*;
use crate::log::{LogFiles, LogPlace, MemoryDisk};

/// A runtime that goes on where the disk's log ends.
async fn recover(disk: &MemoryDisk) -> Runtime {
    let runtime = Runtime::start(RuntimeConfig { failed: |_| (), ..config() }).unwrap();
    let (recovering, files) = (runtime.clone(), LogFiles::find(Arc::new(disk.clone()), LogPlace::START).unwrap());
    let recovered = move || recovering.recover(files, None, vec![], |ddl| rebuild(&ddl.payload));
    tokio::task::spawn_blocking(recovered).await.unwrap().unwrap();
    runtime
}

#[tokio::test]
async fn a_full_disk_refuses_writers_and_goes_on_when_it_has_room() {
    let disk = MemoryDisk::default();
    let runtime = recover(&disk).await;
    runtime.create_table(table(T, true)).await.unwrap();
    runtime.create_view(view(V, &[T])).await.unwrap();
    let shown = commit(&runtime, vec![insert(&[(1, 10)])]).await;
    runtime.wait_published(shown).await.unwrap();
    // Not even one record.
    disk.set_room(Some(10));
    let (first, writes) = (runtime.clone(), vec![insert(&[(2, 20)])]);
    let waiting = tokio::spawn(async move { first.commit(writes).await });
    let mut taken = Vec::new();
    // Those that come before it is noticed wait; the first that is answered is refused.
    while !taken.iter().any(|(_, commit): &(i64, tokio::task::JoinHandle<_>)| commit.is_finished()) {
        let (again, key) = (runtime.clone(), 100 + taken.len() as i64);
        taken.push((key, tokio::spawn(async move { again.commit(vec![insert(&[(key, 20)])]).await })));
        tokio::task::yield_now().await;
    }
    let message = "the disk of the data directory is full";
    refused(runtime.create_table(plain(LATE)).await, SqlState::DISK_FULL, message);
    // What is not durable is not shown.
    assert_eq!(runtime.snapshot(ReadMode::Latest).await.map(|s| s.version(V, "v").unwrap().rows()).unwrap(), 1);
    disk.set_room(None);
    waiting.await.unwrap().unwrap();
    let mut expected = vec![(1, 10), (2, 20)];
    for (key, commit) in taken {
        match commit.await.unwrap() {
            Ok(_) => expected.push((key, 20)),
            Err(error) => assert_eq!(error.code(), SqlState::DISK_FULL),
        }
    }
    commit(&runtime, vec![insert(&[(3, 30)])]).await;
    expected.insert(2, (3, 30));
    expected.sort_unstable();
    assert_eq!(read(&runtime, T).await, expected);
    let epoch = runtime.acknowledged();
    runtime.shutdown().await;

    disk.kill();
    let again = recover(&disk).await;
    assert_eq!(read(&again, T).await, expected);
    assert_eq!(read(&again, V).await, expected);
    assert!(commit(&again, vec![insert(&[(4, 40)])]).await > epoch);
    again.shutdown().await;
}

#[tokio::test]
async fn nobody_waits_for_what_a_disk_that_is_gone_keeps_from_coming() {
    let disk = MemoryDisk::default();
    let runtime = recover(&disk).await;
    runtime.create_table(table(T, true)).await.unwrap();
    let (one, other) = (runtime.clone(), runtime.clone());
    let waiting = tokio::spawn(async move { one.wait_published(Epoch(1000)).await });
    let running = tokio::spawn(async move { other.wait_running(V).await });
    tokio::task::yield_now().await;
    disk.die();
    for ended in
        [runtime.commit(vec![insert(&[(1, 10)])]).await.map(drop), waiting.await.unwrap(), running.await.unwrap()]
    {
        assert_eq!(ended.unwrap_err().code(), SqlState::ADMIN_SHUTDOWN);
    }
    // What comes later is told so too.
    assert_eq!(runtime.wait_published(Epoch(1000)).await.unwrap_err().code(), SqlState::ADMIN_SHUTDOWN);
    runtime.shutdown().await;
}

#[tokio::test]
async fn nobody_waits_for_a_sequencer_that_panicked() {
    let disk = MemoryDisk::default();
    let runtime = recover(&disk).await;
    runtime.create_table(table(T, true)).await.unwrap();
    runtime.shutdown().await;
    let runtime = Runtime::start(RuntimeConfig { failed: |_| (), ..config() }).unwrap();
    let other = runtime.clone();
    let waiting = tokio::spawn(async move { other.wait_published(Epoch(1000)).await });
    let (again, files) = (runtime.clone(), LogFiles::find(Arc::new(disk), LogPlace::START).unwrap());
    let panics = move || again.recover(files, None, vec![], |_| panic!("it was asked to"));
    assert!(tokio::task::spawn_blocking(panics).await.unwrap().is_err());
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), SqlState::ADMIN_SHUTDOWN);
    runtime.shutdown().await;
}
