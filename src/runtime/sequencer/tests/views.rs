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

/// Takes rows only when it is told to.
struct Hesitant {
    rows: Arc<std::sync::Mutex<usize>>,
}

impl Operator for Hesitant {
    fn apply(&mut self, _: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        loop {
            let mut rows = self.rows.lock().unwrap();
            if *rows >= changes.len() {
                *rows -= changes.len();
                break;
            }
            drop(rows);
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
async fn the_progress_of_a_view_that_is_being_filled() {
    let limits = Limits { hydrate_rows: 0, ingest_rows: 1, batch_rows: 1000, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { workers: 1, limits, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    // Each transaction is a chunk of its own: large ones are not merged.
    for part in 0..4 {
        let rows: Vec<(i64, i64)> = (0..10_000).map(|i| (part * 10_000 + i, i)).collect();
        commit(&runtime, vec![insert(&rows)]).await;
    }
    let may: Arc<std::sync::Mutex<usize>> = Arc::default();
    let hesitant = |rows: &Arc<std::sync::Mutex<usize>>| {
        let rows = Arc::clone(rows);
        let mut graph = Graph::clone(&graph(&[T], &Arc::default()));
        graph.nodes[0].build = Arc::new(move |_| Ok(Box::new(Hesitant { rows: Arc::clone(&rows) })));
        ViewSpec { graph: Arc::new(graph), ..view(V, &[T]) }
    };
    runtime.create_view_at_once(hesitant(&may)).await.unwrap();
    let progress = async || runtime.status().await.unwrap().views.iter().find(|v| v.id == V).and_then(|v| v.progress);
    for expected in [0.0, 25.0, 50.0, 75.0] {
        while progress().await.unwrap() < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(progress().await, Some(expected));
        *may.lock().unwrap() += 10_000;
    }
    while progress().await != Some(100.0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&runtime, V).await.len(), 40_000);
    // One that is dropped while it is filled leaves nothing.
    runtime.drop_objects(vec![V], vec![]).await.unwrap();
    *may.lock().unwrap() = 10_000;
    runtime.create_view_at_once(hesitant(&may)).await.unwrap();
    while progress().await.unwrap() < 25.0 {
        tokio::task::yield_now().await;
    }
    *may.lock().unwrap() = 1_000_000;
    runtime.drop_objects(vec![V], vec![]).await.unwrap();
    assert_eq!(progress().await, None);
    commit(&runtime, vec![insert(&[(7, 7)])]).await;
    runtime.create_view(view(W, &[T])).await.unwrap();
    assert_eq!(read(&runtime, W).await.len(), 40_001);
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_table_is_altered_while_a_view_is_being_filled_from_it() {
    let limits = Limits { hydrate_rows: 0, ingest_rows: 1, batch_rows: 1000, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { workers: 1, limits, ..config() }).unwrap();
    let plain = TableSpec { watermark: None, ..table(T, false) };
    runtime.create_table(plain.clone()).await.unwrap();
    for part in 0..3 {
        let rows: Vec<(i64, i64)> = (0..10_000).map(|i| (part * 10_000 + i, i)).collect();
        commit(&runtime, vec![insert(&rows)]).await;
    }
    let may = Arc::new(std::sync::Mutex::new(10_000));
    let before = Shape { schema: schema(), numbers: ColumnNumbers::default() };
    let planned = Planned { shape: before.clone(), used: [1, 2].into() };
    let spec = |id| {
        let rows = Arc::clone(&may);
        let mut graph = Graph::clone(&graph(&[T], &Arc::default()));
        graph.nodes[0].build = Arc::new(move |_| Ok(Box::new(Hesitant { rows: Arc::clone(&rows) })));
        ViewSpec { graph: Arc::new(graph), tables: [(T, planned.clone())].into(), ..view(id, &[T]) }
    };
    runtime.create_view_at_once(spec(V)).await.unwrap();
    while runtime.status().await.unwrap().views[0].progress.unwrap() < 30.0 {
        tokio::task::yield_now().await;
    }
    // A column comes in front of the others.
    let mut numbers = ColumnNumbers::default();
    numbers.remove(2, 0);
    numbers.add(1);
    let fields: Vec<Field> = ["v", "c"].map(|name| Field::new(name, DataType::Int64, true)).into();
    let now = Shape { schema: Arc::new(Schema::new(fields)), numbers };
    let altered = TableSpec { schema: now.carrier(), ..plain };
    let seven = Arc::new(Int64Array::from(vec![7])) as ArrayRef;
    let alter = |spec: &TableSpec| TableAlter {
        spec: spec.clone(),
        added: vec![(3, Arc::clone(&seven))],
        each: vec![],
        valued: false,
        required: vec![1],
        dropped: vec![],
    };
    // The view reads what would go: it goes too. One that reads the rest is filled anew.
    *may.lock().unwrap() = 10_000_000;
    let rest = Planned { shape: before, used: [2].into() };
    let open: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let rest = ViewSpec { tables: [(T, rest)].into(), schema: Arc::new(Schema::new(open)), ..spec(W) };
    runtime.create_view_at_once(rest.clone()).await.unwrap();
    let epoch = runtime.alter_table(alter(&altered)).await.unwrap();
    assert!(runtime.published() >= epoch);
    while runtime.status().await.unwrap().views.iter().any(|v| v.phase != ViewPhase::Running) {
        tokio::task::yield_now().await;
    }
    let views: Vec<ObjectId> = runtime.status().await.unwrap().views.iter().map(|v| v.id).collect();
    assert_eq!(views, [W]);
    let version = runtime.snapshot(ReadMode::Acknowledged).await.unwrap().version(W, "w").unwrap();
    let nulls: usize = version.batches().unwrap().iter().map(|rows| rows.column(0).null_count()).sum();
    assert_eq!((version.rows(), nulls), (30_000, 30_000));
    // What was planned over the old columns comes too late where it reads what went, and is recast else.
    let error = runtime.create_view(spec(V)).await.unwrap_err();
    assert_eq!(error.code(), SqlState::UNDEFINED_COLUMN);
    runtime.drop_objects(vec![W], vec![]).await.unwrap();
    runtime.create_view(rest).await.unwrap();
    let write = TableWrite::Insert {
        table: TableRef { id: T, numbers: Some(ColumnNumbers::default()) },
        rows: batch(&[(1, 1)]),
        on_conflict: OnConflict::Error,
        returning: false,
    };
    assert!(is_altered(&runtime.commit(vec![write]).await.unwrap_err()));
    let old = TableSpec { schema: schema(), ..altered };
    let error = runtime.alter_table(TableAlter { added: vec![], required: vec![0], ..alter(&old) }).await.unwrap_err();
    assert_eq!(error.code(), SqlState::NOT_NULL_VIOLATION);
    runtime.shutdown().await;
}
