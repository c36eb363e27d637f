//! Waits that end: cancel, statement_timeout, and streams under both.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::environment::Shared;
use crate::error::{Error, Result, SqlState};
use crate::stack;

/// Rows of a result.
pub(super) type Batches = BoxStream<'static, Result<RecordBatch>>;

/// What bounds a statement from its beginning to its last row.
#[derive(Clone)]
pub(super) struct Guard {
    pub shared: Arc<Shared>,
    pub token: CancellationToken,
    deadline: Option<Instant>,
}

impl Guard {
    /// A statement begins now; `timeout_ms` 0 is none.
    pub(super) fn new(shared: Arc<Shared>, token: CancellationToken, timeout_ms: u64) -> Self {
        let deadline = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        *shared.deadline.lock() = deadline;
        Self { shared, token, deadline }
    }

    /// Ends when the statement must: why.
    pub(super) async fn ended(&self) -> Error {
        let timeout = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.token.cancelled() => self.shared.cancelled(),
            () = timeout => Error::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"),
        }
    }

    /// Waits, unless the statement is ended before.
    pub(super) async fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let mut future = pin!(future);
        let mut hurried = false;
        loop {
            tokio::select! {
                biased;
                error = self.ended(), if !hurried => {
                    if self.shared.requests.take_back() {
                        return Err(error);
                    }
                    // It has begun, and will be through soon.
                    self.shared.engine.runtime.hurry();
                    hurried = true;
                }
                result = &mut future => return match result {
                    // What it was doing may have noticed first.
                    Err(_) if self.shared.has_to_end() && !hurried => Err(self.ended().await),
                    result => result,
                },
            }
        }
    }

    /// Rows that end with an error when the statement is cancelled or times out; any error fails the transaction.
    pub(super) fn rows(self, rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static) -> Batches {
        let shared = self.shared.clone();
        let steps = futures::stream::unfold(Some((self, rows.boxed())), |state| async move {
            let (guard, mut rows) = state?;
            match guard.wait(async { rows.next().await.transpose() }).await {
                Ok(Some(batch)) => Some((Ok(batch), Some((guard, rows)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let watched = steps.inspect(move |step| {
            if step.is_err() {
                shared.fail();
            }
        });
        watched.boxed()
    }
}

/// One batch as a stream.
pub(super) fn once(batch: RecordBatch) -> Batches {
    futures::stream::once(std::future::ready(Ok(batch))).boxed()
}

/// A statement that panics fails alone; one that is deep has a stack for it.
pub(super) async fn unwinding<T>(text: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    use futures::FutureExt;
    match stack::polled_for_text(text, std::panic::AssertUnwindSafe(future).catch_unwind()).await {
        Ok(result) => result,
        Err(panic) => Err(Error::panicked(panic.as_ref())),
    }
}
