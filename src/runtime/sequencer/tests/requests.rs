//! Requests: begun and answered, or taken back.

use super::*;
use crate::runtime::Requests;

/// A runtime whose view V does not get through what table T gets, and a handle of which requests can be taken back.
async fn held_up() -> (Runtime, Arc<AtomicBool>, Runtime, Requests) {
    let runtime = start(false).await;
    runtime.create_table(plain(LATE)).await.unwrap();
    let stuck: Arc<AtomicBool> = Arc::default();
    runtime.create_view(ViewSpec { graph: graph(&[T], &stuck), ..view(V, &[T]) }).await.unwrap();
    stuck.store(true, Ordering::Release);
    let requests = Requests::default();
    let session = runtime.with(requests.clone());
    // As many as there is room for.
    for i in 0..4 {
        commit(&session, vec![insert(&[(i, i)])]).await;
        assert!(requests.take_back(), "nothing is asked for");
    }
    (runtime, stuck, session, requests)
}

#[tokio::test]
async fn what_waits_is_taken_back_and_leaves_nothing() {
    let (runtime, stuck, session, requests) = held_up().await;
    {
        let waiting = session.commit(vec![insert(&[(9, 9)])]);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        // The sequencer has seen it when it has answered this.
        runtime.status().await.unwrap();
        assert!(requests.take_back());
        assert!(futures::poll!(&mut waiting).is_pending());
    }
    {
        let waiting = session.create_table(plain(ObjectId(77)));
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        // Dropped, as of a client that has gone.
    }
    {
        let waiting = session.drop_objects(vec![LATE], vec![]);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        runtime.status().await.unwrap();
        assert!(requests.take_back());
    }
    stuck.store(false, Ordering::Release);
    assert_eq!(read(&runtime, T).await, [(0, 0), (1, 1), (2, 2), (3, 3)]);
    assert_eq!(read(&runtime, LATE).await, []);
    assert!(runtime.snapshot(ReadMode::Latest).await.unwrap().version(ObjectId(77), "x").is_err());
    assert_eq!(commit(&session, vec![insert(&[(4, 4)])]).await, runtime.acknowledged());
    runtime.shutdown().await;
}

#[tokio::test]
async fn what_has_begun_is_answered() {
    let runtime = start(false).await;
    let requests = Requests::default();
    let session = runtime.with(requests.clone());
    for i in 0..200 {
        let asking = session.commit(vec![insert(&[(i, i)])]);
        let interrupting = async {
            for _ in 0..i % 20 {
                tokio::task::yield_now().await;
            }
            requests.take_back()
        };
        let (answer, taken_back) = tokio::join!(asking, interrupting);
        assert!(answer.is_ok() || taken_back);
        assert_eq!(read(&runtime, T).await.contains(&(i, i)), answer.is_ok());
    }
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_view_that_holds_up_its_own_drop_leaves_for_it() {
    let (runtime, stuck, session, _) = held_up().await;
    let dropped = tokio::spawn(async move { session.drop_objects(vec![V], vec![]).await });
    dropped.await.unwrap().unwrap();
    assert_eq!(commit(&runtime, vec![insert(&[(4, 4)])]).await, runtime.acknowledged());
    assert_eq!(read(&runtime, T).await.len(), 5);
    stuck.store(false, Ordering::Release);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn at_the_end_what_waits_is_refused() {
    let (runtime, _stuck, session, _) = held_up().await;
    let waiting = tokio::spawn(async move { session.commit(vec![insert(&[(9, 9)])]).await });
    runtime.shutdown().await;
    assert_eq!(waiting.await.unwrap().err().map(|e| e.code()), Some(SqlState::ADMIN_SHUTDOWN));
}
