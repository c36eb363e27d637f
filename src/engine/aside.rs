//! What a statement computes, it computes aside: away from the threads that serve connections.
//!
//! A future can be dropped only where it waits, and one call of one function over one batch may take many seconds
//! (`regexp_replace` over 100 MB, a constant that the optimizer folds). So a connection never computes: it waits, in
//! [`Guard::wait`](super::stream::Guard::wait), for what a *job* sends, and can stop waiting at any moment.
//!
//! * **Jobs** run on a tokio runtime of their own. Each optimizes and plans, evaluates, or runs a plan and sends its
//!   batches ([`Shared::aside`], [`Shared::rows_aside`]). Its first step has a thread of the blocking pool, which is woken
//!   faster than a worker; what is not done then goes on as a task. A step of a task that may be long gives its thread's
//!   other work to another thread first ([`crate::sql::interrupt::alone`]), as do the tasks that DataFusion spawns. So no
//!   job holds up another, and the threads of connections, timers and sockets see nothing of it but less processor time.
//! * **A job is pure.** It reads snapshots and computes. What has an effect (a commit, a name in the catalog, the rows
//!   of a transaction block) is done by the session after the job's answer came, so an abandoned job changes nothing.
//!   (The functions that are called for their effect, `set_config` or `pg_cancel_backend`, are the exception.)
//! * **Abandoned.** When the session stops waiting, the job is told ([`Job::ended`]) and aborted: it is dropped where it
//!   next waits or yields, which DataFusion's operators do batch by batch, and at the latest when its one long step is
//!   done. What it holds stays accounted (in the pool of [`QUERY_BYTES`](crate::config::QUERY_BYTES)) until then.
//! * **Bounds.** A session with [`ABANDONED_OF_SESSION`] abandoned jobs that still compute, or any when there are
//!   [`ABANDONED`] of all sessions, waits before its next job until one of them has ended; the wait is under
//!   statement_timeout and ends at once when it is cancelled. So a cancel is always answered at once.
//! * **Views are not jobs.** Their expressions run on the workers, where no statement is to be cancelled: calls over
//!   constants are computed when a view is planned, which is a job, and whatever looks at rows takes the time it takes.
//! * **Panics** are caught in the job, and are its statement's error.
//! * Batches leave a job in pieces that a connection can encode between two looks at the clock. A job is one batch
//!   ahead of its reader; that of a cursor makes a batch only when it is asked for one.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::environment::Shared;
use super::stream::Batches;
use crate::config::{ABANDONED, ABANDONED_OF_SESSION, BATCH_ROWS, PIECE_BYTES, QUERY_THREADS, STACK_BYTES};
use crate::error::{Error, Result, SqlState};
use crate::sql::interrupt::{Ended, alone};

/// Where jobs run, and how many of them nobody waits for any more.
pub(super) struct Aside {
    /// Taken when the engine goes.
    runtime: Option<Runtime>,
    abandoned: AtomicUsize,
    /// An abandoned job has ended.
    fewer: Notify,
}

/// When a job makes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One ahead of the reader.
    Ahead,
    /// When it is asked for.
    Asked,
}

impl Aside {
    /// `partitions`: threads that one query may use.
    pub(super) fn start(partitions: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(partitions.max(2))
            .max_blocking_threads(QUERY_THREADS)
            // Whatever runs here may be deep, and memory of a stack is taken only as it is used.
            .thread_stack_size(2 * STACK_BYTES)
            .thread_name("highwater-query")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), abandoned: AtomicUsize::new(0), fewer: Notify::new() })
    }

    fn spawn(&self, job: Arc<Job>, work: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = &self.runtime else { return };
        let handle = runtime.handle().clone();
        let mut work = Box::pin(work);
        runtime.spawn_blocking(move || {
            let done = handle.block_on(poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())));
            if !done {
                job.goes_on(&handle, work);
            }
        });
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // The engine may go on any thread, that of its last job too.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

const RUNS: u8 = 0;
const ABANDONED_NOW: u8 = 1;
const DONE: u8 = 2;

/// What a job and whoever waits for it know of each other.
struct Job {
    shared: Arc<Shared>,
    state: AtomicU8,
    /// Ends it where it waits.
    abort: Mutex<Option<AbortHandle>>,
}

impl Job {
    /// Tells the job's plan whether it is still wanted.
    fn ended(self: &Arc<Self>) -> Ended {
        let job = Arc::clone(self);
        Arc::new(move || job.state.load(Ordering::Relaxed) == ABANDONED_NOW)
    }

    /// Its first step has left something to be done.
    fn goes_on(&self, runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
        let mut abort = self.abort.lock();
        if self.state.load(Ordering::SeqCst) == RUNS {
            *abort = Some(runtime.spawn(alone(work)).abort_handle());
        }
    }

    fn count(&self, more: bool) {
        let aside = &self.shared.engine.aside;
        for counter in [&self.shared.abandoned, &aside.abandoned] {
            if more {
                counter.fetch_add(1, Ordering::SeqCst)
            } else {
                counter.fetch_sub(1, Ordering::SeqCst)
            };
        }
        if !more {
            aside.fewer.notify_waiters();
        }
    }

    /// Nothing is left to compute.
    fn done(&self) {
        if self.state.swap(DONE, Ordering::SeqCst) == ABANDONED_NOW {
            self.count(false);
        }
    }
}

/// The job's end: whether it is complete, panicked or was aborted.
struct Present(Arc<Job>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.done();
    }
}

/// The end of whoever waits for it.
struct Waiting(Arc<Job>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let job = &self.0;
        if job.state.load(Ordering::SeqCst) != RUNS {
            return;
        }
        // Counted before it can be counted out.
        job.count(true);
        let swapped = job.state.compare_exchange(RUNS, ABANDONED_NOW, Ordering::SeqCst, Ordering::SeqCst);
        if swapped.is_err() {
            job.count(false);
        }
        if let Some(task) = job.abort.lock().as_ref() {
            task.abort();
        }
    }
}

impl Shared {
    /// Computes something aside. Dropped, it is abandoned.
    pub(super) async fn aside<T, F>(self: &Arc<Self>, work: impl FnOnce(Ended) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.room_aside().await;
        let (sender, answer) = oneshot::channel();
        let waiting = self.job(|job| async move {
            let present = Present(Arc::clone(&job));
            let done = caught(async { work(job.ended()).await }).await;
            drop(present);
            let _ = sender.send(done);
        });
        let answer = answer.await.unwrap_or_else(|_| Err(self.cancelled()));
        drop(waiting);
        answer
    }

    /// As [`Self::aside`], for what computes without a wait.
    pub(super) async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.aside(|_| async { work() }).await
    }

    /// Runs aside what `start` gives. The stream is abandoned when it is dropped; errors of the start are told here.
    pub(super) async fn rows_aside<F>(
        self: &Arc<Self>,
        pace: Pace,
        start: impl FnOnce(Ended) -> F + Send + 'static,
    ) -> Result<Batches>
    where
        F: Future<Output = Result<SendableRecordBatchStream>> + Send + 'static,
    {
        self.room_aside().await;
        let (sender, started) = oneshot::channel();
        let (batches, received) = mpsc::channel(1);
        let (ask, asked) = mpsc::channel(1);
        let waiting = self.job(|job| async move {
            let present = Present(Arc::clone(&job));
            let mut source = match caught(async { start(job.ended()).await }).await {
                Ok(rows) => Source { rows, rest: Pieces::default() },
                Err(error) => {
                    drop(present);
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            let mut first = if pace == Pace::Ahead { source.first().await } else { First::default() };
            let second = first.second.take();
            if first.ended {
                drop((source, present));
                let _ = sender.send(Ok(first));
            } else if sender.send(Ok(first)).is_ok() {
                let asked = (pace == Pace::Asked).then_some(asked);
                send(source, second, &batches, asked, present).await;
            }
        });
        let first = started.await.unwrap_or_else(|_| Err(self.cancelled()))?;
        let ask = (pace == Pace::Asked).then_some(ask);
        let rows = Received { first, received, ask, asked: false, _waiting: waiting };
        Ok(futures::stream::unfold(rows, Received::next).boxed())
    }

    /// Waits until there are few enough abandoned jobs.
    async fn room_aside(&self) {
        let aside = &self.engine.aside;
        let room = || {
            self.abandoned.load(Ordering::SeqCst) < ABANDONED_OF_SESSION
                && aside.abandoned.load(Ordering::SeqCst) < ABANDONED
        };
        if !room() {
            let message = "too many cancelled statements still compute: waiting for one of them";
            let hint = "What is cancelled computes on to the end of the batch that it is at.";
            self.notice("WARNING", Error::new(SqlState::WARNING, message).with_hint(hint));
        }
        while !room() {
            let mut fewer = pin!(aside.fewer.notified());
            fewer.as_mut().enable();
            if !room() {
                fewer.await;
            }
        }
    }

    fn job<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Job>) -> F) -> Waiting
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let job = Arc::new(Job { shared: Arc::clone(self), state: AtomicU8::new(RUNS), abort: Mutex::default() });
        self.engine.aside.spawn(Arc::clone(&job), work(Arc::clone(&job)));
        Waiting(job)
    }
}

/// A panic is the statement's error.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
}

/// A running plan.
struct Source {
    rows: SendableRecordBatchStream,
    rest: Pieces,
}

/// What a job tells at once.
#[derive(Default)]
struct First {
    item: Option<Result<RecordBatch>>,
    second: Option<Result<RecordBatch>>,
    /// There is no more.
    ended: bool,
}

impl Source {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(piece) = self.rest.next() {
            return Some(Ok(piece));
        }
        match caught(async { Ok(self.rows.next().await.transpose()?) }).await {
            Ok(None) => None,
            Ok(Some(batch)) => {
                self.rest = Pieces::of(&batch);
                Some(Ok(self.rest.next().unwrap_or(batch)))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// The first batch. When it came quickly it is looked whether it was all: most results are short.
    async fn first(&mut self) -> First {
        let began = Instant::now();
        let item = self.next().await;
        if !matches!(item, Some(Ok(_))) {
            return First { item, second: None, ended: true };
        }
        let second = if began.elapsed() < QUICK { self.next().now_or_never() } else { None };
        First { item, ended: matches!(second, Some(None)), second: second.flatten() }
    }
}

/// A first batch that took longer is sent before it is looked for a second.
const QUICK: Duration = Duration::from_millis(1);

/// Sends a plan's batches as fast as they are taken; with `asked`, when they are asked for.
async fn send(
    mut source: Source,
    mut next: Option<Result<RecordBatch>>,
    batches: &mpsc::Sender<Result<RecordBatch>>,
    mut asked: Option<mpsc::Receiver<()>>,
    present: Present,
) {
    loop {
        if let Some(asked) = &mut asked
            && asked.recv().await.is_none()
        {
            return;
        }
        let Ok(place) = batches.reserve().await else { return };
        let item = match next.take() {
            Some(item) => Some(item),
            None => source.next().await,
        };
        match item {
            Some(Ok(batch)) => place.send(Ok(batch)),
            last => {
                drop((source, present));
                if let Some(error) = last {
                    place.send(error);
                }
                return;
            }
        }
    }
}

/// A batch in pieces that are quickly sent to a client.
#[derive(Default)]
struct Pieces {
    /// What is left, and the rows of a piece.
    rest: Option<(RecordBatch, usize)>,
}

impl Pieces {
    fn of(batch: &RecordBatch) -> Self {
        let rows = batch.num_rows();
        let mut bytes = batch.get_array_memory_size();
        if bytes > PIECE_BYTES {
            // It may be a slice of more.
            let own = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
            bytes = batch.columns().iter().map(own).sum();
        }
        let most = (PIECE_BYTES / (bytes / rows.max(1)).max(1)).clamp(1, BATCH_ROWS);
        Self { rest: Some((batch.clone(), most)) }
    }

    fn next(&mut self) -> Option<RecordBatch> {
        let (batch, most) = self.rest.take()?;
        let rows = batch.num_rows();
        if rows <= most {
            return Some(batch);
        }
        self.rest = Some((batch.slice(most, rows - most), most));
        Some(batch.slice(0, most))
    }
}

/// The reader's end of a job that sends rows.
struct Received {
    first: First,
    received: mpsc::Receiver<Result<RecordBatch>>,
    /// Asks for a batch.
    ask: Option<mpsc::Sender<()>>,
    /// It was asked for, and has not come.
    asked: bool,
    _waiting: Waiting,
}

impl Received {
    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        if let Some(item) = self.first.item.take() {
            return Some((item, self));
        }
        if self.first.ended {
            return None;
        }
        if let Some(ask) = self.ask.as_ref().filter(|_| !self.asked) {
            let _ = ask.try_send(());
        }
        self.asked = true;
        let item = self.received.recv().await?;
        self.asked = false;
        Some((item, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::{Engine, Startup};

    #[tokio::test(flavor = "multi_thread")]
    async fn who_abandons_too_many_waits_and_nobody_else() {
        let engine = Engine::start(EngineConfig { workers: 1, ..EngineConfig::default() }).unwrap();
        let (one, other) = (engine.connect(Startup::default()).unwrap(), engine.connect(Startup::default()).unwrap());
        let (open, gate) = crossbeam_channel::bounded::<()>(0);
        for _ in 0..ABANDONED_OF_SESSION {
            let gate = gate.clone();
            let job = one.shared.compute(move || {
                let _ = gate.recv();
                Ok(())
            });
            assert!(futures::poll!(pin!(job)).is_pending());
        }
        assert_eq!(engine.aside.abandoned.load(Ordering::SeqCst), ABANDONED_OF_SESSION);
        let mut next = pin!(one.shared.compute(|| Ok(1)));
        assert!(futures::poll!(&mut next).is_pending());
        assert_eq!(one.shared.notices.lock().len(), 1);
        assert_eq!(other.shared.compute(|| Ok(2)).await.unwrap(), 2);
        drop(open);
        assert_eq!(next.await.unwrap(), 1);
        tokio::task::block_in_place(|| engine.shutdown());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_an_error_and_a_wait_holds_no_thread() {
        let engine = Engine::start(EngineConfig { workers: 1, ..EngineConfig::default() }).unwrap();
        let session = engine.connect(Startup::default()).unwrap();
        let panicked = session.shared.compute(|| -> Result<()> { panic!("it was asked to") }).await;
        assert!(panicked.unwrap_err().message().contains("it was asked to"));
        // More waits at once than there are threads.
        let (open, _) = tokio::sync::watch::channel(false);
        let wait = |_| {
            let mut gate = open.subscribe();
            session.shared.aside(move |_| async move {
                let _ = gate.wait_for(|open| *open).await;
                Ok(())
            })
        };
        let waits = futures::future::join_all((0..2 * QUERY_THREADS).map(wait));
        let opens = async {
            tokio::task::yield_now().await;
            open.send_replace(true);
        };
        let (done, ()) = tokio::join!(waits, opens);
        assert!(done.into_iter().all(|done| done.is_ok()));
        assert_eq!(engine.aside.abandoned.load(Ordering::SeqCst), 0);
        tokio::task::block_in_place(|| engine.shutdown());
    }
}
