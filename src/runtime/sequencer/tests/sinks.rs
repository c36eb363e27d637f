//! Sinks that have no room: they hold back the epochs, and let go of them.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::catalog::object::{self, ConnectorOptions};
use crate::runtime::SinkSpec;
use crate::sink::{Description, Input};

const K: ObjectId = ObjectId(20);

/// A sink of the table that writes lines of JSON, an hour after they came, or when it has to.
fn sink(folder: &Path) -> SinkSpec {
    let options = [("path", folder.to_str().unwrap()), ("roll_interval", "1 h")];
    let connector = ConnectorOptions {
        connector: "file".into(),
        options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        encode: Some("JSON".into()),
        encode_options: vec![],
    };
    let sink = object::Sink { input: T, connector, format: "UPSERT".into(), prefix: "k".into(), token: "t".into() };
    let input = Input { called: "table t", schema: &schema(), key: Some(&[0]), append_only: false };
    let description = Description::build(&sink, input, None).unwrap();
    description.claim().unwrap();
    SinkSpec { id: K, name: "k".into(), input: T, description, ddl: vec![] }
}

fn written(folder: &Path) -> String {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let text: String = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let keys = text.lines().map(|line| line.split("\"k\":").nth(1).unwrap().split(',').next().unwrap());
    keys.collect::<Vec<_>>().join(" ")
}

/// A commit that waits as long as there is no room.
async fn waiting(runtime: &Runtime, key: i64) -> tokio::task::JoinHandle<Result<crate::runtime::Committed>> {
    let again = runtime.clone();
    let commit = tokio::spawn(async move { again.commit(vec![insert(&[(key, 0)])]).await });
    for _ in 0..100 {
        runtime.status().await.unwrap();
    }
    assert!(!commit.is_finished());
    commit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_without_room_holds_back_the_epochs() {
    let temporary = TempDir::new().unwrap();
    let (folder, hidden) = (temporary.path().join("out"), temporary.path().join("hidden"));
    let limits = Limits { sink_bytes: 1, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
    runtime.create_table(table(T, true)).await.unwrap();
    commit(&runtime, vec![insert(&[(1, 0)])]).await;
    let from = runtime.create_sink(sink(&folder)).await.unwrap();
    assert_eq!(runtime.sinks().all().len(), 1);
    let k = runtime.sinks().get(K).unwrap();
    runtime.wait_published(from).await.unwrap();
    k.flush(from).await.unwrap();
    assert!(runtime.sinks().durable().unwrap() >= from);
    assert_eq!(written(&folder), "1");

    std::fs::rename(&folder, &hidden).unwrap();
    let epoch = commit(&runtime, vec![insert(&[(2, 0)])]).await;
    runtime.wait_published(epoch).await.unwrap();
    assert_eq!(k.flush(epoch).await.unwrap_err().code(), SqlState::UNDEFINED_FILE);
    assert!(runtime.sinks().durable().unwrap() < epoch);
    let third = waiting(&runtime, 3).await;
    std::fs::rename(&hidden, &folder).unwrap();
    k.flush(Epoch(epoch.0 + 1)).await.unwrap();
    let epoch = third.await.unwrap().unwrap().epoch;
    runtime.wait_published(epoch).await.unwrap();
    k.flush(epoch).await.unwrap();
    assert_eq!(written(&folder), "1 2 3");

    // What is dropped holds nobody back, and says what it has not written.
    std::fs::rename(&folder, &hidden).unwrap();
    let epoch = commit(&runtime, vec![insert(&[(4, 0)])]).await;
    runtime.wait_published(epoch).await.unwrap();
    assert_eq!(k.flush(epoch).await.unwrap_err().code(), SqlState::UNDEFINED_FILE);
    let fifth = waiting(&runtime, 5).await;
    runtime.drop_objects(vec![K], vec![]).await.unwrap();
    fifth.await.unwrap().unwrap();
    assert_eq!(k.ended().await.unwrap_err().code(), SqlState::UNDEFINED_FILE);
    assert!(runtime.sinks().all().is_empty() && runtime.sinks().durable().is_none());
    assert_eq!(written(&hidden), "1 2 3");
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_sink_that_does_not_get_on_goes_to_disk() {
    let temporary = TempDir::new().unwrap();
    let (folder, hidden) = (temporary.path().join("out"), temporary.path().join("hidden"));
    let limits = Limits { sink_bytes: 100, ..Limits::default() };
    let sink_folder = Some(temporary.path().join("sinks"));
    let runtime = Runtime::start(RuntimeConfig { limits, sink_folder, ..config() }).unwrap();
    runtime.create_table(table(T, true)).await.unwrap();
    let from = runtime.create_sink(sink(&folder)).await.unwrap();
    let k = runtime.sinks().get(K).unwrap();
    runtime.wait_published(from).await.unwrap();
    k.flush(from).await.unwrap();
    std::fs::rename(&folder, &hidden).unwrap();
    let mut last = from;
    for key in 0..50 {
        last = commit(&runtime, vec![insert(&[(key, 0)])]).await;
        runtime.wait_published(last).await.unwrap();
    }
    assert!(k.flush(last).await.is_err());
    let status = k.status();
    assert!(status.queued_bytes > 1000, "{status:?}");
    // The files have no names.
    assert_eq!(std::fs::read_dir(temporary.path().join("sinks")).unwrap().count(), 0);
    let (_, waiting) = k.waiting(from);
    let stored = waiting.iter().filter(|(_, item)| matches!(item, crate::sink::Item::Stored(_))).count();
    assert!(waiting.len() == 50 && stored > 40, "{stored} of {}", waiting.len());
    std::fs::rename(&hidden, &folder).unwrap();
    k.flush(last).await.unwrap();
    let all: Vec<String> = (0..50).map(|key: i64| key.to_string()).collect();
    assert_eq!(written(&folder), all.join(" "));
    assert_eq!(k.status().queued_bytes, 0);
    runtime.shutdown().await;
}
