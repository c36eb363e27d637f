//! Transactions: keys, conflicts, late rows, their place in epochs.

use super::*;

#[tokio::test]
async fn keys_are_unique_and_failed_transactions_leave_nothing() {
    let runtime = start(true).await;
    commit(&runtime, vec![insert(&[(1, 10), (2, 20)])]).await;
    let double = runtime.commit(vec![insert(&[(3, 30)]), insert(&[(4, 40), (2, 0)])]).await;
    let message = "duplicate key value violates unique constraint \"t1_pkey\"";
    let error = refused(double, SqlState::UNIQUE_VIOLATION, message);
    assert_eq!(error.parts().detail.as_deref(), Some("Key (k)=(2) already exists."));
    refused(runtime.commit(vec![insert(&[(7, 1), (7, 2)])]).await, SqlState::UNIQUE_VIOLATION, message);
    assert_eq!(read(&runtime, T).await, [(1, 10), (2, 20)]);

    let nothing = runtime.commit(vec![insert_into(T, &[(2, 0), (3, 3), (3, 4)], OnConflict::Nothing)]).await.unwrap();
    assert_eq!(nothing.results[0].count, 1);
    // DO UPDATE SET v = t.v + excluded.v WHERE excluded.v > 5.
    let sum = binary(column("v", 1), Op::Plus, column("v", 3));
    let filter = Some(binary(column("v", 3), Op::Gt, lit(5i64)));
    let upsert = OnConflict::Update { assignments: vec![(1, sum)], filter };
    let done = runtime.commit(vec![insert_into(T, &[(1, 6), (2, 1), (5, 50)], upsert.clone())]).await.unwrap();
    assert_eq!(done.results[0].count, 2);
    assert_eq!(rows(done.results[0].returned.as_ref().unwrap()), [(5, 50), (1, 16)]);
    assert_eq!(read(&runtime, T).await, [(1, 16), (2, 20), (3, 3), (5, 50)]);
    let twice = runtime.commit(vec![insert_into(T, &[(1, 6), (1, 7)], upsert)]).await;
    refused(twice, SqlState::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time");

    // UPDATE t SET k = k + 1: keys may move through each other.
    let shift = vec![(0, binary(column("k", 0), Op::Plus, lit(1i64)))];
    let update = |target, predicate, assignments| TableWrite::Update {
        table: T.into(),
        target,
        predicate,
        assignments,
        returning: false,
    };
    commit(&runtime, vec![update(Target::All, None, shift.clone())]).await;
    assert_eq!(read(&runtime, T).await, [(2, 16), (3, 20), (4, 3), (6, 50)]);
    let predicate = Some(binary(column("v", 1), Op::Eq, lit(16i64)));
    let clash = runtime.commit(vec![update(Target::All, predicate, shift)]).await;
    refused(clash, SqlState::UNIQUE_VIOLATION, message);
    let null = vec![(0, lit(datafusion::common::ScalarValue::Int64(None)))];
    let keys = batch(&[(2, 0), (9, 0)]).project(&[0]).unwrap();
    let nulled = runtime.commit(vec![update(Target::Keys(keys.clone()), None, null)]).await;
    let message = "null value in column \"k\" of relation \"t1\" violates not-null constraint";
    let error = refused(nulled, SqlState::NOT_NULL_VIOLATION, message);
    assert_eq!(error.parts().detail.as_deref(), Some("Failing row contains (null, 16)."));
    let gone = runtime.commit(vec![delete(Target::Keys(keys))]).await.unwrap();
    assert_eq!(rows(gone.results[0].returned.as_ref().unwrap()), [(2, 16)]);
    commit(&runtime, vec![TableWrite::Truncate { table: T.into() }, insert(&[(8, 8)])]).await;
    assert_eq!(read(&runtime, T).await, [(8, 8)]);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn rows_that_changed_since_they_were_read_are_a_conflict() {
    let runtime = start(false).await;
    commit(&runtime, vec![insert(&[(1, 10), (2, 20), (2, 20)])]).await;
    let version = runtime.snapshot(ReadMode::Acknowledged).await.unwrap().version(T, "x").unwrap();
    let ids: Vec<u64> = version.batches_with_ids().unwrap().iter().flat_map(|(_, ids)| ids.values().to_vec()).collect();
    let replace = |ids: Vec<u64>, new: &[(i64, i64)]| {
        let target = Target::RowIds(ids);
        runtime.commit(vec![TableWrite::Replace { table: T.into(), target, rows: batch(new), returning: false }])
    };
    assert_eq!(replace(vec![ids[0]], &[(1, 11)]).await.unwrap().results[0].count, 1);
    assert!(is_conflict(&replace(vec![ids[0]], &[(1, 12)]).await.unwrap_err()));
    commit(&runtime, vec![delete(Target::Rows(batch(&[(2, 20), (2, 20)])))]).await;
    let again = runtime.commit(vec![insert(&[(5, 5)]), delete(Target::Rows(batch(&[(2, 20)])))]).await;
    assert!(is_conflict(&again.unwrap_err()));
    assert_eq!(read(&runtime, T).await, [(1, 11)]);

    // Whoever locks writes alone, until it commits or goes.
    let lease = runtime.lock_writes().await.unwrap();
    let other = runtime.clone();
    let waits = tokio::spawn(async move { other.commit(vec![insert(&[(3, 3)])]).await.unwrap().epoch });
    assert_eq!(read(&runtime, T).await, [(1, 11)]);
    let mine = runtime.commit_leased(vec![insert(&[(4, 4)])], Some(lease)).await.unwrap().epoch;
    assert!(waits.await.unwrap() >= mine);
    drop(runtime.lock_writes().await.unwrap());
    commit(&runtime, vec![insert(&[(6, 6)])]).await;
    assert_eq!(read(&runtime, T).await, [(1, 11), (3, 3), (4, 4), (6, 6)]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn transactions_are_netted_and_judged_row_by_row() {
    let runtime = start(false).await;
    runtime.create_table(plain(LATE)).await.unwrap();
    let late_into = Some(LateTarget { table: LATE, columns: vec![Some(0), Some(1)] });
    runtime.create_view(ViewSpec { late_into, ..view(V, &[T]) }).await.unwrap();
    // 100 moves the watermark to 90: 95 is on time, 80 late; 200 comes and goes in one transaction and moves nothing.
    let gone = batch(&[(9, 200)]);
    let writes = vec![insert(&[(1, 100), (2, 95), (3, 80), (9, 200)]), delete(Target::Rows(gone)), insert(&[(4, 90)])];
    commit(&runtime, writes).await;
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, V).await, [(1, 100), (2, 95), (4, 90)]);
    assert_eq!(read(&runtime, LATE).await, [(3, 80)]);
    // A late retraction is not written back.
    commit(&runtime, vec![delete(Target::Rows(batch(&[(3, 80)]))), insert(&[(5, 50)])]).await;
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, LATE).await, [(3, 80), (5, 50)]);
    let status = runtime.status().await.unwrap();
    let watermark = status.watermarks.iter().find(|w| w.id == T).unwrap();
    assert_eq!((watermark.watermark, watermark.rows, watermark.late), (EventTime(90), 6, 3));
    assert_eq!(status.views[0].counters.late_rejected, 3);
    let late = runtime.late_rows(Some(V)).await.unwrap();
    assert_eq!(
        late.iter().map(|l| (l.diff, l.event_time.0, l.watermark.0)).collect::<Vec<_>>(),
        [(1, 80, 90), (-1, 80, 90), (1, 50, 90)]
    );

    // By hand.
    assert_eq!(runtime.advance_watermark(T, EventTime(150)).await.unwrap(), EventTime(150));
    assert_eq!(runtime.advance_watermark(T, EventTime(10)).await.unwrap(), EventTime(150));
    commit(&runtime, vec![insert(&[(6, 149), (7, 150)])]).await;
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, LATE).await, [(3, 80), (5, 50), (6, 149)]);
    let none = runtime.advance_watermark(LATE, EventTime(1)).await;
    assert_eq!(none.unwrap_err().code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn transactions_above_the_budget_are_alone_and_above_the_limit_refused() {
    let limits = Limits { epoch_rows: 100, max_transaction: 1 << 20, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    runtime.create_view(view(V, &[T])).await.unwrap();
    let many: Vec<(i64, i64)> = (0..5000).map(|i| (i, i)).collect();
    let all = (0..20).map(|i| {
        let (runtime, rows) = (runtime.clone(), if i == 7 { many.clone() } else { vec![(i, 100_000)] });
        tokio::spawn(async move { (rows.len(), commit(&runtime, vec![insert(&rows)]).await) })
    });
    let committed = futures::future::join_all(all.collect::<Vec<_>>()).await;
    let committed: Vec<(usize, Epoch)> = committed.into_iter().map(Result::unwrap).collect();
    let large = committed.iter().find(|(rows, _)| *rows > 1).unwrap().1;
    assert_eq!(committed.iter().filter(|(_, epoch)| *epoch == large).count(), 1);
    assert_eq!(read(&runtime, T).await.len(), 5019);
    let huge: Vec<(i64, i64)> = (0..100_000).map(|i| (i, i)).collect();
    let refusal = runtime.commit(vec![insert(&huge)]).await;
    refused(refusal, SqlState::PROGRAM_LIMIT_EXCEEDED, "transaction is too large");
    runtime.shutdown().await;
}

#[tokio::test]
async fn an_epoch_stays_open_for_its_interval_unless_somebody_waits() {
    let settings = Settings { epoch_interval: Duration::from_secs(3600), ..Settings::default() };
    let runtime = Runtime::start(RuntimeConfig { settings, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    runtime.create_view(view(V, &[T])).await.unwrap();
    let commits = futures::future::join_all((0..5).map(|i| commit(&runtime, vec![insert(&[(i, i)])])));
    let (epochs, flushed) = tokio::join!(commits, runtime.flush());
    assert_eq!(epochs, [epochs[0]; 5]);
    assert!(flushed.unwrap() >= epochs[0]);
    assert_eq!(read(&runtime, V).await.len(), 5);
    // An advance and a change of the setting close the epoch that is open.
    let (epoch, moved) =
        tokio::join!(commit(&runtime, vec![insert(&[(6, 6)])]), runtime.advance_watermark(T, EventTime(3)));
    assert!(epoch > epochs[0] && moved.is_ok());
    runtime.create_view(view(W, &[T])).await.unwrap();
    let (last, changed) =
        tokio::join!(commit(&runtime, vec![insert(&[(7, 7)])]), runtime.alter_system(Settings::default()));
    changed.unwrap();
    assert!(last > epoch);
    assert_eq!(read(&runtime, W).await.len(), 7);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}
