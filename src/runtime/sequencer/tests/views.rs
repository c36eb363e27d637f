//! Views: creations that are given up, slow ones.

use super::*;

#[tokio::test]
async fn a_creation_that_is_dropped_leaves_no_view() {
    let runtime = Runtime::start(config()).unwrap();
    let follow = Numbers { ends: false, ..Numbers::new(20_000, 100) };
    runtime.create_source(source(S, follow)).await.unwrap();
    runtime.create_view(view(V, &[S])).await.unwrap();
    runtime.flush().await.unwrap();
    for id in 20..25 {
        let given_up = runtime.create_view(view(ObjectId(id), &[S]));
        let _ = tokio::time::timeout(Duration::from_millis(1), given_up).await;
    }
    runtime.create_view(view(W, &[S])).await.unwrap();
    assert_eq!(read(&runtime, V).await, read(&runtime, W).await);
    let left: Vec<ObjectId> = runtime.status().await.unwrap().views.iter().map(|v| v.id).collect();
    assert_eq!(left, [V, W]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn an_id_whose_drop_is_pending_is_not_used_again() {
    let runtime = start(false).await;
    commit(&runtime, vec![insert(&[(1, 1)])]).await;
    for _ in 0..20 {
        let given_up = runtime.create_view(view(V, &[T]));
        let _ = tokio::time::timeout(Duration::from_micros(300), given_up).await;
        // Whether its drop is through or not: an answer.
        if let Err(error) = runtime.create_view(view(V, &[T])).await {
            assert_eq!(error.code(), SqlState::INTERNAL_ERROR);
        }
        runtime.drop_objects(vec![V], vec![]).await.unwrap();
    }
    runtime.create_view(view(V, &[T])).await.unwrap();
    assert_eq!(read(&runtime, V).await, [(1, 1)]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_view_that_is_too_slow_leaves_the_clock_and_comes_back() {
    let settings = Settings { max_lag: Duration::from_millis(60), ..Settings::default() };
    let runtime = Runtime::start(RuntimeConfig { settings, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    let stuck: Arc<AtomicBool> = Arc::default();
    runtime.create_view(ViewSpec { graph: graph(&[T], &stuck), ..view(V, &[T]) }).await.unwrap();
    runtime.create_view(view(W, &[V])).await.unwrap();
    let spec = SubscribeSpec { view: V, snapshot: true, as_of: None, up_to: None, progress: true, buffer: 1 << 20 };
    let mut subscription = runtime.subscribe(spec).await.unwrap();
    stuck.store(true, Ordering::Release);
    commit(&runtime, vec![insert(&[(1, 1)])]).await;
    // The table goes on without it.
    assert_eq!(read(&runtime, T).await, [(1, 1)]);
    let snapshot = runtime.snapshot(ReadMode::Latest).await.unwrap();
    for view in [V, W] {
        assert_eq!(snapshot.version(view, "x").unwrap_err().code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    }
    let ended = loop {
        match subscription.next().await {
            Ok(Some(SubscriptionEvent::Changes { .. } | SubscriptionEvent::Progress(_))) => {}
            Ok(None) => panic!("ended without an error"),
            Err(error) => break error,
        }
    };
    assert_eq!(ended.code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    stuck.store(false, Ordering::Release);
    runtime.alter_system(Settings::default()).await.unwrap();
    while runtime.status().await.unwrap().views.iter().any(|v| v.phase != ViewPhase::Running) {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&runtime, W).await, [(1, 1)]);
    commit(&runtime, vec![insert(&[(2, 2)])]).await;
    assert_eq!(read(&runtime, W).await, [(1, 1), (2, 2)]);
    runtime.shutdown().await;
}
