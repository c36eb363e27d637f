//! A whole runtime, end to end, with synthetic operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;

use super::workers::tests::{by_key, changes, counting, graph, node, pass, passing, rows, schema, union};
use super::*;
use crate::data::{Changes, Epoch, ObjectId, Watermarks};
use crate::error::{Result, SqlState};
use crate::operators::{Fuel, Graph, Operator, Output, Step};

const T: ObjectId = ObjectId(1);
const LATE: ObjectId = ObjectId(2);
const V: ObjectId = ObjectId(10);
const W: ObjectId = ObjectId(11);

/// What `ddl` bytes say: kind and id, or nothing to replay.
fn rebuild(ddl: &[u8]) -> Result<Option<Spec>> {
    Ok(match ddl {
        [b't', id] => Some(Spec::Table(table(ObjectId((*id).into())))),
        [b'v', id] => Some(Spec::View(counted(ObjectId((*id).into()), T))),
        _ => None,
    })
}

fn table(id: ObjectId) -> TableSpec {
    TableSpec {
        id,
        name: format!("t{id}"),
        schema: schema(),
        primary_key: vec![],
        watermark: None,
        append_only: false,
        connector: None,
        ddl: vec![b't', id.0 as u8],
    }
}

fn view(id: ObjectId, graph: Arc<Graph>) -> ViewSpec {
    ViewSpec {
        id,
        name: format!("v{id}"),
        schema: schema(),
        graph,
        tables: Default::default(),
        late_into: None,
        subscription: None,
        ddl: vec![b'w', id.0 as u8],
    }
}

fn counted(id: ObjectId, object: ObjectId) -> ViewSpec {
    ViewSpec { ddl: vec![b'v', id.0 as u8], ..view(id, counting(object)) }
}

fn batch(values: &[(i64, i64)]) -> RecordBatch {
    changes(&values.iter().map(|(k, v)| (*k, *v, 1)).collect::<Vec<_>>()).rows
}

async fn insert(runtime: &Runtime, values: &[(i64, i64)]) -> Epoch {
    let write =
        TableWrite::Insert { table: T.into(), rows: batch(values), on_conflict: OnConflict::Error, returning: false };
    runtime.commit(vec![write]).await.unwrap().epoch
}

async fn delete(runtime: &Runtime, values: &[(i64, i64)]) -> Epoch {
    let target = Target::Rows(batch(values));
    runtime
        .commit(vec![TableWrite::Delete { table: T.into(), target, predicate: None, returning: false }])
        .await
        .unwrap()
        .epoch
}

/// The rows of an object at the newest acknowledged epoch, sorted.
async fn read(runtime: &Runtime, object: ObjectId) -> Vec<(i64, i64)> {
    let snapshot = runtime.snapshot(ReadMode::Acknowledged).await.unwrap();
    let batches = snapshot.version(object, "x").unwrap().batches().unwrap();
    let all = batches.into_iter().flat_map(|b| rows(&Changes::insertions(b)));
    let mut all: Vec<_> = all.map(|(k, v, _)| (k, v)).collect();
    all.sort_unstable();
    all
}

async fn start(workers: usize) -> Runtime {
    let config = RuntimeConfig { workers, keep_log: true, record_digests: true, ..RuntimeConfig::default() };
    let runtime = Runtime::start(config).unwrap();
    runtime.create_table(table(T)).await.unwrap();
    runtime
}

fn subscribe(view: ObjectId) -> SubscribeSpec {
    SubscribeSpec { view, snapshot: true, as_of: None, up_to: None, progress: false, buffer: 1 << 20 }
}

/// The next changes: epoch, and rows in the order in which they came.
async fn next(subscription: &mut Subscription) -> (Epoch, Vec<(i64, i64, i64)>) {
    match subscription.next().await.unwrap() {
        Some(SubscriptionEvent::Changes { epoch, changes }) => (epoch, rows(&changes)),
        other => panic!("expected changes, not {other:?}"),
    }
}

fn code<T>(result: Result<T>) -> SqlState {
    result.map(drop).unwrap_err().code()
}

#[tokio::test]
async fn views_follow_tables() {
    for workers in [1, 3] {
        let runtime = start(workers).await;
        insert(&runtime, &[(1, 1), (1, 2), (2, 1)]).await;
        runtime.create_view(counted(V, T)).await.unwrap();
        assert_eq!(read(&runtime, V).await, [(1, 2), (2, 1)]);
        insert(&runtime, &[(3, 1), (3, 1)]).await;
        delete(&runtime, &[(1, 1)]).await;
        assert_eq!(read(&runtime, V).await, [(1, 1), (2, 1), (3, 2)]);
        assert_eq!(read(&runtime, T).await, [(1, 2), (2, 1), (3, 1), (3, 1)]);
        // A view on the view: what was there, and what comes.
        runtime.create_view(view(W, passing(V))).await.unwrap();
        delete(&runtime, &[(3, 1), (3, 1), (2, 1)]).await;
        assert_eq!(read(&runtime, W).await, [(1, 1)]);
        assert_eq!(read(&runtime, W).await, read(&runtime, V).await);
        let status = runtime.status().await.unwrap();
        let figures: Vec<_> = status.views.iter().map(|v| (v.id, v.rows, v.phase, v.lag_ms)).collect();
        assert_eq!(figures, [(V, 1, ViewPhase::Running, 0), (W, 1, ViewPhase::Running, 0)]);
        assert_eq!(status.tables.iter().map(|t| (t.id, t.rows)).collect::<Vec<_>>(), [(T, 1)]);
        runtime.drop_objects(vec![V, W], vec![]).await.unwrap();
        assert!(runtime.status().await.unwrap().views.is_empty());
        let snapshot = runtime.snapshot(ReadMode::Acknowledged).await.unwrap();
        let error = snapshot.version(V, "x").unwrap_err();
        assert_eq!(error.code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!(error.message(), "materialized view \"x\" cannot be read yet: it has not joined the clock");
        insert(&runtime, &[(9, 9)]).await;
        assert_eq!(read(&runtime, T).await, [(1, 2), (9, 9)]);
        runtime.shutdown().await;
    }
}

#[tokio::test]
async fn subscribers_get_the_rows_and_then_each_epochs_net_changes() {
    let runtime = start(2).await;
    runtime.create_view(counted(V, T)).await.unwrap();
    let first = insert(&runtime, &[(1, 1)]).await;
    let mut all = runtime.subscribe(subscribe(V)).await.unwrap();
    assert_eq!(next(&mut all).await, (first, vec![(1, 1, 1)]));
    let second = insert(&runtime, &[(1, 2), (2, 2)]).await;
    let (epoch, got) = next(&mut all).await;
    assert_eq!((epoch, got[0]), (second, (1, 1, -1)), "retractions first");
    let mut got = got;
    got.sort_unstable();
    assert_eq!(got, [(1, 1, -1), (1, 2, 1), (2, 1, 1)]);
    // Epochs that change nothing say nothing, but are progress.
    let spec = SubscribeSpec { progress: true, snapshot: false, ..subscribe(V) };
    let mut progress = runtime.subscribe(spec.clone()).await.unwrap();
    let Some(SubscriptionEvent::Progress(at)) = progress.next().await.unwrap() else { panic!("no progress") };
    assert_eq!(at, second);
    let third = delete(&runtime, &[(1, 1)]).await;
    assert_eq!(next(&mut progress).await.0, third);
    assert_eq!(next(&mut all).await.0, third);
    // Resuming: only what follows, and up to an end.
    let spec = SubscribeSpec { as_of: Some(first), up_to: Some(second), snapshot: false, ..subscribe(V) };
    let mut resumed = runtime.subscribe(spec).await.unwrap();
    let (epoch, mut again) = next(&mut resumed).await;
    again.sort_unstable();
    assert_eq!((epoch, again), (second, got));
    assert!(resumed.next().await.unwrap().is_none() && resumed.is_ended());
    // The rows as they were.
    let spec = SubscribeSpec { as_of: Some(first), up_to: Some(first), ..subscribe(V) };
    let mut then = runtime.subscribe(spec).await.unwrap();
    assert_eq!(next(&mut then).await, (first, vec![(1, 1, 1)]));
    assert!(then.next().await.unwrap().is_none());
    let spec = SubscribeSpec { as_of: Some(Epoch(1)), ..subscribe(V) };
    assert_eq!(code(runtime.subscribe(spec).await), SqlState::SNAPSHOT_TOO_OLD);
    let spec = SubscribeSpec { as_of: Some(second), up_to: Some(first), ..subscribe(V) };
    assert_eq!(code(runtime.subscribe(spec).await), SqlState::INVALID_PARAMETER_VALUE);
    runtime.drop_objects(vec![V], vec![]).await.unwrap();
    assert_eq!(code(all.next().await), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
}

#[tokio::test]
async fn duplicates_within_an_epoch_are_one_row_with_its_weight() {
    let runtime = start(1).await;
    runtime.create_view(view(V, passing(T))).await.unwrap();
    let mut subscription = runtime.subscribe(subscribe(V)).await.unwrap();
    let epoch = insert(&runtime, &[(1, 1), (2, 1), (1, 1)]).await;
    assert_eq!(next(&mut subscription).await, (epoch, vec![(1, 1, 2), (2, 1, 1)]));
    assert_eq!(read(&runtime, V).await, [(1, 1), (1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_told_where_to_resume() {
    let runtime = start(1).await;
    runtime.create_view(view(V, passing(T))).await.unwrap();
    let mut slow = runtime.subscribe(SubscribeSpec { buffer: 400, ..subscribe(V) }).await.unwrap();
    let mut epochs = vec![];
    for i in 0..100 {
        epochs.push(insert(&runtime, &[(i, i)]).await);
        read(&runtime, V).await;
    }
    let mut last = Epoch(0);
    let error = loop {
        match slow.next().await {
            Ok(Some(SubscriptionEvent::Changes { epoch, .. })) => last = epoch,
            Ok(other) => panic!("unexpected {other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
    assert!(last > Epoch(0) && last < epochs[99]);
    assert!(error.parts().hint.as_ref().unwrap().contains(&format!("AS OF {last},")), "{:?}", error.parts());
    let spec = SubscribeSpec { as_of: Some(last), snapshot: false, up_to: Some(epochs[99]), ..subscribe(V) };
    let mut resumed = runtime.subscribe(spec).await.unwrap();
    let mut rest = 0;
    while resumed.next().await.unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, epochs.iter().filter(|e| **e > last).count());
}

#[tokio::test]
async fn errors_stand_while_their_rows_do_and_late_rows_are_kept() {
    let runtime = start(2).await;
    runtime.create_table(table(LATE)).await.unwrap();
    let target = LateTarget { table: LATE, columns: vec![Some(0), Some(1)] };
    let spec = ViewSpec { late_into: Some(target), ..view(V, passing(T)) };
    runtime.create_view(spec).await.unwrap();
    insert(&runtime, &[(1, -1), (2, -1), (3, -2), (4, -2)]).await;
    delete(&runtime, &[(1, -1)]).await;
    let epoch = runtime.flush().await.unwrap();
    assert!(epoch > Epoch(0));
    let errors = runtime.errors().await.unwrap();
    assert_eq!(errors.iter().map(|e| (e.error.message.as_ref(), e.error.diff)).collect::<Vec<_>>(), [("2", 1)]);
    assert_eq!(runtime.snapshot(ReadMode::Latest).await.unwrap().standing_errors(V), 1);
    let late = runtime.late_rows(Some(V)).await.unwrap();
    assert_eq!(late.len(), 2);
    assert_eq!(late[0].row, r#"{"k": 3, "v": -2}"#);
    assert_eq!(read(&runtime, LATE).await, [(3, -2), (4, -2)], "written back");
    let counters = runtime.status().await.unwrap().views[0].counters;
    assert_eq!((counters.late_rejected, counters.failed_rows), (2, 2));
}

#[tokio::test]
async fn other_workers_take_over_under_running_subscriptions() {
    let runtime = start(2).await;
    runtime.create_view(counted(V, T)).await.unwrap();
    runtime.create_view(view(W, passing(V))).await.unwrap();
    let mut subscription = runtime.subscribe(SubscribeSpec { snapshot: false, ..subscribe(W) }).await.unwrap();
    for (i, workers) in [3, 1, 2].into_iter().enumerate() {
        let i = i as i64;
        let epoch = insert(&runtime, &[(i, 0), (7, i)]).await;
        assert_eq!(next(&mut subscription).await.0, epoch);
        runtime.restart(workers).await.unwrap();
        assert_eq!(read(&runtime, W).await.len() as i64, i + 2);
    }
    assert_eq!(read(&runtime, W).await, [(0, 1), (1, 1), (2, 1), (7, 3)]);
    delete(&runtime, &[(7, 0)]).await;
    assert_eq!(read(&runtime, W).await, [(0, 1), (1, 1), (2, 1), (7, 2)]);
}

#[tokio::test]
async fn a_log_replays_to_the_same_changes_on_any_number_of_workers() {
    let runtime = start(2).await;
    runtime.create_view(counted(V, T)).await.unwrap();
    for i in 0..20 {
        insert(&runtime, &[(i % 3, i), (i % 5, i)]).await;
        if i % 4 == 3 {
            delete(&runtime, &[(i % 3, i)]).await;
        }
    }
    runtime.create_view(counted(W, T)).await.unwrap();
    insert(&runtime, &[(1, 1)]).await;
    runtime.drop_objects(vec![W], b"drop".to_vec()).await.unwrap();
    insert(&runtime, &[(2, 2)]).await;
    let (rows, log) = (read(&runtime, V).await, runtime.log_bytes().await.unwrap());
    let digests = runtime.digests().await.unwrap();
    assert!(digests.len() > 20);
    for workers in [1, 3] {
        let config = RuntimeConfig { workers, keep_log: true, record_digests: true, ..RuntimeConfig::default() };
        let log = log.clone();
        let again = tokio::task::spawn_blocking(move || Runtime::replay(config, &log, |ddl| rebuild(&ddl.payload)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(again.digests().await.unwrap(), digests);
        assert_eq!(again.published(), runtime.published());
        assert_eq!(read(&again, V).await, rows);
        insert(&again, &[(1, 1)]).await;
    }
}

#[tokio::test]
async fn a_union_of_a_view_and_its_table_is_one_epoch() {
    let runtime = start(2).await;
    runtime.create_view(counted(V, T)).await.unwrap();
    let both = graph(vec![node("Union", vec![(union(V), by_key()), (union(T), by_key())], pass)]);
    runtime.create_view(view(W, both)).await.unwrap();
    let mut subscription = runtime.subscribe(subscribe(W)).await.unwrap();
    for i in 0..50 {
        let epoch = insert(&runtime, &[(i, 100 + i)]).await;
        let (at, mut got) = next(&mut subscription).await;
        got.sort_unstable();
        assert_eq!((at, got), (epoch, vec![(i, 1, 1), (i, 100 + i, 1)]));
    }
}

/// Takes in nothing while its gate is closed, and keeps its worker from everything else.
struct Gate(Arc<AtomicBool>);

impl Operator for Gate {
    fn apply(&mut self, _: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        while !self.0.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        out.send(changes);
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}

#[tokio::test]
async fn writers_go_on_while_a_new_view_reads_a_large_table() {
    let limits = Limits { hydrate_rows: 10, ingest_rows: 100, ..Limits::default() };
    let config = RuntimeConfig { workers: 2, keep_log: true, record_digests: true, limits, ..RuntimeConfig::default() };
    let runtime = Runtime::start(config).unwrap();
    runtime.create_table(table(T)).await.unwrap();
    for from in 0..10 {
        insert(&runtime, &(0..100).map(|i| (i % 50, from * 100 + i)).collect::<Vec<_>>()).await;
    }
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let mut slow = node("Gate", vec![(union(T), by_key())], pass);
    slow.build = Arc::new(move |_| Ok(Box::new(Gate(Arc::clone(&gate)))));
    let writes = async {
        for i in 0..20 {
            delete(&runtime, &[(i, i), ((i + 7) % 50, 100 + i + 7)]).await;
            insert(&runtime, &[(i, 100_000 + i)]).await;
            // Nobody waits for the new view.
            assert_eq!(read(&runtime, T).await.len(), 1000 - (i + 1) as usize);
        }
        open.store(true, Ordering::Release);
    };
    let (joined, ()) = tokio::join!(runtime.create_view(view(V, graph(vec![slow]))), writes);
    joined.unwrap();
    assert_eq!(read(&runtime, V).await, read(&runtime, T).await);
    // With state, on a view, and one that is given up on the way.
    let given_up = runtime.create_view(counted(ObjectId(12), V));
    let _ = tokio::time::timeout(Duration::from_millis(1), given_up).await;
    let more = async {
        for i in 0..20 {
            insert(&runtime, &[(i, 200_000 + i)]).await;
        }
    };
    let (joined, ()) = tokio::join!(runtime.create_view(counted(W, V)), more);
    joined.unwrap();
    assert_eq!(read(&runtime, W).await, counts(&read(&runtime, T).await));
    delete(&runtime, &[(7, 200_007), (8, 200_008)]).await;
    assert_eq!(read(&runtime, W).await, counts(&read(&runtime, T).await));
    runtime.shutdown().await;
}

fn counts(rows: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut counts = std::collections::BTreeMap::new();
    rows.iter().for_each(|(k, _)| *counts.entry(*k).or_default() += 1);
    counts.into_iter().collect()
}

/// Passes rows on, but does not end an epoch while it is told to stall.
struct Stalling(Arc<AtomicBool>);

impl Operator for Stalling {
    fn apply(&mut self, _: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        out.send(changes);
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(if self.0.load(Ordering::Relaxed) { Step::More } else { Step::Done })
    }
}

#[tokio::test]
async fn a_view_that_is_too_slow_leaves_the_clock_and_comes_back() {
    let runtime = start(2).await;
    let stall = Arc::new(AtomicBool::new(false));
    let stalling = Arc::clone(&stall);
    let mut slow = node("Stalling", vec![(union(T), by_key())], pass);
    slow.build = Arc::new(move |_| Ok(Box::new(Stalling(Arc::clone(&stalling)))));
    runtime.create_view(view(V, graph(vec![slow]))).await.unwrap();
    runtime.create_view(view(W, passing(V))).await.unwrap();
    let other = ObjectId(12);
    runtime.create_view(counted(other, T)).await.unwrap();
    let mut subscription = runtime.subscribe(SubscribeSpec { snapshot: false, ..subscribe(W) }).await.unwrap();
    runtime.alter_system(Settings { max_lag: Duration::from_secs(2), ..Settings::default() }).await.unwrap();
    insert(&runtime, &[(1, 1)]).await;
    assert_eq!(read(&runtime, W).await, [(1, 1)]);
    next(&mut subscription).await;
    stall.store(true, Ordering::Relaxed);
    insert(&runtime, &[(2, 2)]).await;
    // This waits until the slow ones have left.
    assert_eq!(read(&runtime, other).await, [(1, 1), (2, 1)]);
    let snapshot = runtime.snapshot(ReadMode::Acknowledged).await.unwrap();
    assert_eq!(code(snapshot.version(V, "x")), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(code(snapshot.version(W, "x")), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(code(subscription.next().await), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    stall.store(false, Ordering::Relaxed);
    insert(&runtime, &[(3, 3)]).await;
    let back = async {
        while runtime.snapshot(ReadMode::Latest).await.unwrap().version(W, "x").is_err() {
            insert(&runtime, &[(4, 4)]).await;
            read(&runtime, other).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.unwrap();
    insert(&runtime, &[(5, 5)]).await;
    assert_eq!(read(&runtime, W).await, read(&runtime, T).await);
}
