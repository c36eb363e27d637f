//! Rows to a client: as fast as it reads, and at once when nothing more is ready.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Stop, watched};
use super::encode::RowEncoder;
use crate::error::{Error, Result};

/// A statement's batches, and how far they were sent.
pub struct RowStream {
    stream: BoxStream<'static, Result<RecordBatch>>,
    /// A batch of which some rows were sent: the next row to send.
    rest: Option<(RecordBatch, usize)>,
    /// Cancels the statement.
    pub cancel: CancellationToken,
}

impl RowStream {
    /// Nothing was sent yet.
    pub fn new(stream: BoxStream<'static, Result<RecordBatch>>, cancel: CancellationToken) -> Self {
        Self { stream, rest: None, cancel }
    }
}

impl Connection {
    /// The next batch with the first of its rows that was not sent. While there is none, what is buffered is sent.
    pub(super) async fn next_batch(&mut self, rows: &mut RowStream) -> Result<Option<(RecordBatch, usize)>, Stop> {
        if let Some(rest) = rows.rest.take() {
            return Ok(Some(rest));
        }
        let cancel = rows.cancel.clone();
        let mut next = Box::pin(AssertUnwindSafe(rows.stream.next()).catch_unwind());
        let item = match next.as_mut().now_or_never() {
            Some(item) => item,
            None => {
                self.flush(Some(&cancel)).await?;
                let next = async { Ok(next.await) };
                watched(&mut self.reader, || cancel.cancel(), next).await?
            }
        };
        match item {
            Ok(Some(Ok(batch))) => Ok(Some((batch, 0))),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => Ok(None),
            Err(panic) => Err(Error::panicked(panic.as_ref()).into()),
        }
    }

    /// Sends rows, `limit` at most. Tells how many, and whether the stream has ended.
    pub(super) async fn send_rows(
        &mut self,
        rows: &mut RowStream,
        encoder: &RowEncoder,
        limit: Option<u64>,
    ) -> Result<(u64, bool), Stop> {
        let mut sent = 0;
        while limit.is_none_or(|limit| sent < limit) {
            let Some((batch, first)) = self.next_batch(rows).await? else {
                self.metrics.rows_sent.inc_by(sent);
                return Ok((sent, true));
            };
            let ready = encoder.batch(&batch)?;
            let left = limit.map_or(usize::MAX, |limit| usize::try_from(limit - sent).unwrap_or(usize::MAX));
            let end = ready.len().min(first.saturating_add(left));
            for row in first..end {
                ready.write(row, &mut self.writer.buffer)?;
                if self.writer.is_full() {
                    // A client that reads as fast as we write never makes it wait.
                    if rows.cancel.is_cancelled() {
                        return Err(self.ended().into());
                    }
                    self.flush(Some(&rows.cancel)).await?;
                }
            }
            sent += (end - first) as u64;
            if end < ready.len() {
                rows.rest = Some((batch, end));
            }
        }
        self.metrics.rows_sent.inc_by(sent);
        Ok((sent, false))
    }
}
