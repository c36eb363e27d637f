//! Sources: several readers, groups, partitions, the end.

use super::*;

#[tokio::test]
async fn later_views_on_a_source_see_what_the_first_saw() {
    for source_rows in [1, 13, 65_536] {
        let limits = Limits { source_rows, ingest_rows: 20, ..Limits::default() };
        let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
        let there = Arc::new(AtomicU64::new(90));
        let follow = Numbers { ends: false, there: Arc::clone(&there), ..Numbers::new(0, 7) };
        runtime.create_source(source(S, follow)).await.unwrap();
        runtime.create_view(view(V, &[S])).await.unwrap();
        runtime.flush().await.unwrap();
        let (good, late) = judged(90);
        assert!(late.len() > 5);
        assert_eq!(read(&runtime, V).await, good);
        // By hand, in the middle: the later view meets it at the same row.
        runtime.advance_watermark(S, EventTime(120)).await.unwrap();
        there.store(150, Ordering::Release);
        runtime.create_view(view(W, &[S])).await.unwrap();
        there.store(220, Ordering::Release);
        runtime.flush().await.unwrap();
        let first = read(&runtime, V).await;
        assert_eq!(read(&runtime, W).await, first);
        assert!(first.iter().filter(|(k, _)| *k >= 90).all(|(_, v)| *v >= 120));
        let status = runtime.status().await.unwrap();
        let rejected: Vec<u64> = status.views.iter().map(|v| v.counters.late_rejected).collect();
        assert_eq!(rejected, [220 - first.len() as u64; 2]);
        assert_eq!((status.sources[0].rows, status.sources[0].offset, status.sources[0].status), (220, 440, "running"));
        // The last reader gone, the source is read from its start again.
        runtime.drop_objects(vec![V, W], vec![]).await.unwrap();
        assert_eq!(runtime.status().await.unwrap().sources[0].status, "idle");
        runtime.shutdown().await;
    }
}

#[tokio::test]
async fn bounded_sources_end_and_replay() {
    let runtime = start(false).await;
    runtime.create_source(source(S, Numbers::new(200, 7))).await.unwrap();
    runtime.create_view(view(V, &[S, T])).await.unwrap();
    commit(&runtime, vec![insert(&[(1000, 1000)])]).await;
    runtime.flush().await.unwrap();
    runtime.create_view(view(W, &[S])).await.unwrap();
    let (good, _) = judged(200);
    assert_eq!(read(&runtime, W).await, good);
    assert_eq!(read(&runtime, V).await, [good, vec![(1000, 1000)]].concat());
    let status = runtime.status().await.unwrap();
    let of = |id| status.watermarks.iter().find(|w| w.id == id).unwrap().watermark;
    assert_eq!((of(S), of(T)), (EventTime::MAX, EventTime(990)));
    assert_eq!(status.sources[0].status, "ended");
    runtime.restart(3).await.unwrap();
    commit(&runtime, vec![insert(&[(1001, 1001)])]).await;
    assert_eq!(read(&runtime, V).await.len(), judged(200).0.len() + 2);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_group_moves_together_and_takes_new_members_in() {
    let limits = Limits { source_rows: 10, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
    let group = Numbers { group: Some("g"), ..Numbers::new(200, 7) };
    runtime.create_source(source(S, group.clone())).await.unwrap();
    runtime.create_source(source(R, group)).await.unwrap();
    runtime.create_view(view(V, &[S])).await.unwrap();
    runtime.create_view(view(W, &[R, S])).await.unwrap();
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, V).await, judged(200).0);
    let twice = judged(200).0.into_iter().flat_map(|r| [r, r]).collect::<Vec<_>>();
    assert_eq!(read(&runtime, W).await, twice);
    // In every epoch both stand at the same offset.
    for epoch in runtime.inputs().await.unwrap() {
        let counts: Vec<usize> = epoch.inputs.iter().map(|(_, c)| c.iter().map(Changes::len).sum()).collect();
        assert!(counts.len() < 2 || counts[0] == counts[1], "{counts:?}");
    }
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_table_with_a_connector_keeps_the_newest_row_of_a_key() {
    let runtime = Runtime::start(config()).unwrap();
    let connector: Option<Arc<dyn Connector>> = Some(Arc::new(Numbers::new(100, 9)));
    let by_value = TableSpec { primary_key: vec![1], connector, ddl: vec![], ..table(T, true) };
    runtime.create_table(by_value).await.unwrap();
    runtime.flush().await.unwrap();
    let mut newest = std::collections::BTreeMap::new();
    newest.extend(numbers(0, 100).into_iter().map(|(k, v)| (v, k)));
    let mut expected: Vec<(i64, i64)> = newest.into_iter().map(|(v, k)| (k, v)).collect();
    expected.sort_unstable();
    assert!(expected.len() < 100);
    assert_eq!(read(&runtime, T).await, expected);
    commit(&runtime, vec![delete(Target::All)]).await;
    assert!(read(&runtime, T).await.is_empty());
    runtime.shutdown().await;
}

/// Partition, watermark, whether it is idle, and which partition holds the source back.
async fn partitions(runtime: &Runtime) -> Vec<(u32, i64, bool, Option<String>)> {
    let status = runtime.status().await.unwrap();
    status.watermarks.into_iter().map(|w| (w.partition, w.watermark.0, w.idle, w.held_by)).collect()
}

#[tokio::test]
async fn a_silent_partition_stops_holding_back_the_others() {
    let never = Settings { idle_timeout: Duration::from_secs(3600), ..Settings::default() };
    let runtime = Runtime::start(RuntimeConfig { settings: never.clone(), ..config() }).unwrap();
    let (spec, there) = two([98, 14]);
    runtime.create_source(spec).await.unwrap();
    runtime.create_view(view(V, &[S])).await.unwrap();
    runtime.flush().await.unwrap();
    let top = |rows| numbers(0, rows).iter().map(|(_, v)| *v).max().unwrap() - 10;
    let held = |index: u32| Some(format!("s{S}/{index}"));
    assert_eq!(partitions(&runtime).await, [(0, top(98), false, held(1)), (1, top(14), false, held(1))]);
    // Both fall silent; then the first goes on, and the second no longer holds it back.
    let settings = Settings { idle_timeout: Duration::from_millis(50), ..Settings::default() };
    runtime.alter_system(settings).await.unwrap();
    while partitions(&runtime).await.iter().any(|p| !p.2) {
        tokio::task::yield_now().await;
    }
    runtime.alter_system(never).await.unwrap();
    there[0].store(196, Ordering::Release);
    runtime.flush().await.unwrap();
    assert_eq!(partitions(&runtime).await, [(0, top(196), false, held(0)), (1, top(14), true, held(0))]);
    let rejected = |status: crate::runtime::Status| status.views[0].counters.late_rejected;
    let before = rejected(runtime.status().await.unwrap());
    // Back again, far behind: what the others have promised meanwhile is kept, so its rows are late.
    there[1].store(42, Ordering::Release);
    runtime.flush().await.unwrap();
    assert_eq!(partitions(&runtime).await, [(0, top(196), false, held(0)), (1, top(196), false, held(0))]);
    assert_eq!(rejected(runtime.status().await.unwrap()) - before, 28);
    there[1].store(294, Ordering::Release);
    runtime.flush().await.unwrap();
    assert_eq!(partitions(&runtime).await, [(0, top(196), false, held(0)), (1, top(294), false, held(0))]);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}
