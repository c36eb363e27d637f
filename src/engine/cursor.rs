//! DECLARE, FETCH, MOVE, CLOSE: a result, or a subscription, read a piece at a time.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::StreamExt;
use tokio::time::Instant;

use super::aside::Pace;
use super::outcome::{Column, Outcome};
use super::session::Session;
use super::stream::{Batches, Guard};
use super::transaction::Mode;
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::{Declare, Fetch, Streamed};

/// An open cursor.
pub(super) struct Cursor {
    pub columns: Vec<Column>,
    /// Stays open behind COMMIT.
    pub hold: bool,
    pub statement: String,
    /// Microseconds since 1970.
    pub created: i64,
    source: Arc<tokio::sync::Mutex<Source>>,
    /// A subscription: a FETCH that is cancelled ends with what it has.
    is_subscription: bool,
}

/// What a cursor has not given out yet.
struct Source {
    rows: Option<Batches>,
    /// Read, but more than the last FETCH asked for.
    rest: Option<RecordBatch>,
}

impl Session {
    /// DECLARE.
    pub(super) async fn declare(&mut self, declare: &Declare, text: &str, guard: Guard) -> Result<Outcome> {
        if !declare.hold && self.shared.transaction.lock().mode == Mode::None {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
                .with_hint("Send BEGIN first, or declare the cursor WITH HOLD."));
        }
        if self.cursors.contains_key(&declare.name) {
            let message = format!("cursor \"{}\" already exists", declare.name);
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, message));
        }
        let is_subscription = matches!(declare.source, Streamed::Subscribe(_));
        let (columns, rows) = match &declare.source {
            Streamed::Subscribe(subscribe) => guard.wait(self.subscription(subscribe)).await?,
            Streamed::Query(select) => {
                let (bound, query) = guard.wait(self.closed_select(select)).await?;
                let columns = super::query::columns_of(&bound);
                (columns, guard.wait(super::query::run(&self.shared, query, None, Pace::Asked)).await?)
            }
        };
        let source = Arc::new(tokio::sync::Mutex::new(Source { rows: Some(rows), rest: None }));
        let (statement, created) = (text.to_owned(), super::micros_now());
        let cursor = Cursor { columns, hold: declare.hold, statement, created, source, is_subscription };
        self.cursors.insert(declare.name.clone(), cursor);
        Ok(Outcome::Done { tag: "DECLARE CURSOR".into() })
    }

    /// The cursor of this name.
    pub(super) fn cursor(&self, name: &str) -> Result<&Cursor> {
        let missing = || Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"));
        self.cursors.get(name).ok_or_else(missing)
    }

    /// The columns of a cursor, if there is one of this name: clients describe it as a portal.
    pub fn cursor_columns(&self, name: &str) -> Option<Vec<Column>> {
        self.cursors.get(name).map(|cursor| cursor.columns.clone())
    }

    /// FETCH and MOVE.
    pub(super) async fn fetch(&mut self, fetch: &Fetch, guard: Guard) -> Result<Outcome> {
        let cursor = self.cursor(&fetch.cursor)?;
        let deadline = fetch.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        let wanted = fetch.count.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let rows = pieces(cursor, wanted, deadline, guard);
        if !fetch.skip {
            return Ok(Outcome::Rows { columns: cursor.columns.clone(), rows, tag: "FETCH" });
        }
        let moved: Vec<RecordBatch> = futures::TryStreamExt::try_collect(rows).await?;
        let count: usize = moved.iter().map(RecordBatch::num_rows).sum();
        Ok(Outcome::Done { tag: format!("MOVE {count}") })
    }

    /// CLOSE.
    pub(super) fn close(&mut self, name: Option<&str>) -> Result<Outcome> {
        match name {
            None => self.cursors.clear(),
            Some(name) => {
                self.cursor(name)?;
                self.cursors.remove(name);
            }
        }
        let tag = if name.is_none() { "CLOSE CURSOR ALL" } else { "CLOSE CURSOR" };
        Ok(Outcome::Done { tag: tag.into() })
    }
}

/// Up to `wanted` rows as they come; the deadline, or a subscription's cancel, ends them early, and what was not sent
/// stays.
fn pieces(cursor: &Cursor, wanted: usize, deadline: Option<Instant>, guard: Guard) -> Batches {
    let is_subscription = cursor.is_subscription;
    let state = (cursor.source.clone(), wanted, guard);
    futures::stream::unfold(Some(state), move |state| async move {
        let (source, wanted, guard) = state?;
        if wanted == 0 {
            return None;
        }
        let step = tokio::select! {
            biased;
            () = guard.token.cancelled() => {
                let ends_well = is_subscription && !guard.shared.terminated.is_cancelled();
                (!ends_well).then(|| Err(guard.shared.cancelled()))
            }
            step = piece(&source, wanted) => step,
            () = at(deadline) => None,
            error = guard.ended() => {
                if is_subscription && guard.token.is_cancelled() { None } else { Some(Err(error)) }
            }
        };
        match step {
            None => None,
            Some(Ok(batch)) => {
                let left = wanted - batch.num_rows();
                Some((Ok(batch), Some((source, left, guard))))
            }
            Some(Err(error)) => {
                guard.shared.fail();
                Some((Err(error), None))
            }
        }
    })
    .boxed()
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The next rows, at most `wanted`. Cancel-safe: a batch is taken from the stream and split without a wait between.
async fn piece(source: &tokio::sync::Mutex<Source>, wanted: usize) -> Option<Result<RecordBatch>> {
    let mut source = source.lock().await;
    let batch = match source.rest.take() {
        Some(rest) => rest,
        None => loop {
            match source.rows.as_mut()?.next().await {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => break batch,
                Some(Err(error)) => {
                    source.rows = None;
                    return Some(Err(error));
                }
                None => {
                    source.rows = None;
                    return None;
                }
            }
        },
    };
    if batch.num_rows() > wanted {
        source.rest = Some(batch.slice(wanted, batch.num_rows() - wanted));
        return Some(Ok(batch.slice(0, wanted)));
    }
    Some(Ok(batch))
}
