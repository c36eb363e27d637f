//! The loop of a connection, and what runs a statement beside the watch on its client.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::extended::{Portal, Statement};
use super::frontend::{self, Message, violation};
use super::report;
use super::socket::{End, Reader, Writer};
use crate::config::SHUTDOWN_S;
use crate::data::text::TimeZone;
use crate::engine::outcome::TransactionStatus;
use crate::engine::{Engine, Parsed, Prepared, Session};
use crate::error::{Error, Result, SqlState};
use crate::metrics::{self, Metrics};

/// Why a statement's work stops early.
#[derive(Debug)]
pub enum Stop {
    /// The statement failed; the connection goes on.
    Error(Error),
    /// The connection ends.
    End(End),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// One client's connection after its startup.
pub struct Connection {
    pub(super) engine: Arc<Engine>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) session: Session,
    pub(super) statements: HashMap<String, Arc<Statement>>,
    pub(super) portals: HashMap<String, Portal>,
    /// Messages that were read to see what comes.
    pub(super) ahead: VecDeque<(u8, Result<Message>)>,
    /// After an error in the extended protocol, messages are skipped until Sync.
    pub(super) skipping: bool,
    /// The statements since the last Sync are one transaction.
    pub(super) implicit: bool,
    /// Where the statement that runs starts in its query string, in characters.
    pub(super) offset: usize,
    terminated: CancellationToken,
    zone: (String, TimeZone),
}

impl Connection {
    /// A connection whose client was greeted.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, reader: Reader, writer: Writer, session: Session) -> Self {
        Self {
            engine,
            metrics,
            reader,
            writer,
            terminated: session.terminated(),
            session,
            statements: HashMap::new(),
            portals: HashMap::new(),
            ahead: VecDeque::new(),
            skipping: false,
            implicit: false,
            offset: 0,
            zone: ("UTC".to_owned(), TimeZone::utc()),
        }
    }

    /// Gives the socket back, for a last word. The session ends.
    pub fn into_socket(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// Serves the client until the connection ends.
    pub async fn run(&mut self) -> End {
        self.ready();
        loop {
            let end = match self.next().await {
                Ok((tag, message)) => self.handle(tag, message).await.err(),
                Err(end) => Some(end),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// The next message. What is buffered is sent first, unless more messages are here already.
    pub(super) async fn next(&mut self) -> Result<(u8, Result<Message>), End> {
        if let Some(message) = self.ahead.pop_front() {
            return Ok(message);
        }
        if let Some(message) = self.reader.message().now_or_never() {
            return message;
        }
        self.flush(None).await.map_err(|stop| match stop {
            Stop::End(end) => end,
            Stop::Error(error) => End::Fatal(error),
        })?;
        tokio::select! {
            message = self.reader.message() => message,
            () = self.terminated.cancelled() => Err(End::Fatal(shut_down())),
        }
    }

    async fn handle(&mut self, tag: u8, message: Result<Message>) -> Result<(), End> {
        if self.terminated.is_cancelled() {
            return Err(End::Fatal(shut_down()));
        }
        if self.skipping && !matches!(message, Ok(Message::Sync | Message::Terminate)) {
            return Ok(());
        }
        let done = match message {
            Ok(Message::Query(text)) => return self.simple(&text).await,
            Ok(Message::Sync) => return self.sync().await,
            Ok(Message::Terminate) => return Err(End::Gone),
            Ok(Message::Password) => return Err(End::Fatal(violation("invalid frontend message type 112"))),
            // What is left of a COPY that failed.
            Ok(Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_)) => return Ok(()),
            Ok(Message::Flush) => self.flush(None).await,
            Ok(Message::FunctionCall) => {
                Err(Error::unsupported("the function call interface", "call the function in a SELECT").into())
            }
            Ok(Message::Parse(parse)) => self.parse(parse).await,
            Ok(Message::Bind(bind)) => self.bind(bind),
            Ok(Message::Describe(target)) => self.describe(target),
            Ok(Message::Execute { portal, max_rows }) => self.execute(portal, max_rows).await,
            Ok(Message::Close(target)) => {
                self.close(target);
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => Ok(()),
            Err(stop) => {
                self.fail(stop)?;
                if frontend::is_extended(tag) {
                    self.skipping = true;
                } else {
                    self.ready();
                }
                Ok(())
            }
        }
    }

    /// Tells the client of an error, and fails its transaction; or ends the connection.
    pub(super) fn fail(&mut self, stop: Stop) -> Result<(), End> {
        let error = match stop {
            Stop::End(end) => return Err(end),
            // The engine ends a session's statement and the session.
            Stop::Error(error) if error.code() == SqlState::ADMIN_SHUTDOWN => return Err(End::Fatal(error)),
            Stop::Error(error) => error,
        };
        metrics::add(&self.metrics.errors, "sqlstate", error.code().0, 1);
        if error.code() == SqlState::INTERNAL_ERROR {
            tracing::error!(%error, "a statement failed with an internal error");
        }
        self.session.fail_transaction();
        self.session.end_statement();
        self.notices();
        self.writer.put(report::error(&error, "ERROR", self.offset));
        self.offset = 0;
        Ok(())
    }

    /// ReadyForQuery, with what changed before.
    pub(super) fn ready(&mut self) {
        self.session.end_statement();
        self.notices();
        for (name, value) in self.session.take_parameter_changes() {
            self.writer.put(report::parameter(name, value));
        }
        self.writer.put(report::ready(self.session.transaction_status()));
        self.metrics.bytes_sent.inc_by(std::mem::take(&mut self.writer.sent));
    }

    /// Sends the session's notices.
    pub(super) fn notices(&mut self) {
        for notice in self.session.take_notices() {
            self.writer.put(report::notice(&notice));
        }
    }

    /// Whether the session is outside of any transaction block.
    pub(super) fn is_idle(&self) -> bool {
        self.session.transaction_status() == TransactionStatus::Idle
    }

    /// Why the statement's token is cancelled: by a client, or because the server ends.
    pub(super) fn ended(&self) -> Error {
        if self.terminated.is_cancelled() {
            return shut_down();
        }
        Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
    }

    /// The session's time zone.
    pub(super) fn zone(&mut self) -> TimeZone {
        match self.session.setting("TimeZone") {
            Some(name) if name != self.zone.0 => {
                let zone = TimeZone::parse(&name).unwrap_or_default();
                self.zone = (name, zone.clone());
                zone
            }
            _ => self.zone.1.clone(),
        }
    }

    /// Sends what is buffered, however slowly the client reads. `cancel`: the statement that is sending.
    pub(super) async fn flush(&mut self, cancel: Option<&CancellationToken>) -> Result<(), Stop> {
        let cancelled = async {
            match cancel {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            sent = self.writer.flush() => return Ok(sent?),
            () = self.reader.gone() => return Err(End::Gone.into()),
            () = cancelled => return Err(self.ended().into()),
            () = self.terminated.cancelled() => {}
        }
        let _ = timeout(Duration::from_secs(SHUTDOWN_S), self.writer.flush()).await;
        Err(End::Fatal(shut_down()).into())
    }

    /// Binds a statement, beside the watch on the client.
    pub(super) async fn prepare(&mut self, parsed: &Parsed, types: &[u32]) -> Result<Prepared, Stop> {
        let (pid, secret) = (self.session.pid, self.session.secret);
        let engine = &self.engine;
        let work = self.session.prepare(parsed, types);
        watched(&mut self.reader, || engine.cancel(pid, secret), work).await
    }

    /// Runs a session's future beside the watch on the client; when the client goes, it is cancelled.
    pub(super) async fn execute_prepared(
        &mut self,
        prepared: &Prepared,
        parameters: Vec<datafusion::common::ScalarValue>,
    ) -> Result<crate::engine::outcome::Outcome, Stop> {
        let (pid, secret) = (self.session.pid, self.session.secret);
        let engine = &self.engine;
        let work = self.session.execute(prepared, parameters);
        watched(&mut self.reader, || engine.cancel(pid, secret), work).await
    }

    /// As [`Self::execute_prepared`], for the end of an implicit transaction.
    pub(super) async fn end_implicit(&mut self, commit: bool) -> Result<(), Stop> {
        let (pid, secret) = (self.session.pid, self.session.secret);
        let engine = &self.engine;
        watched(&mut self.reader, || engine.cancel(pid, secret), self.session.end_implicit(commit)).await
    }
}

/// Runs a future to its end and watches the client meanwhile. When the client goes, `cancel` is called, and the future
/// gets a little time to end by itself, so that what it works on is left in order. A panic is an error of the statement.
pub async fn watched<T>(
    reader: &mut Reader,
    cancel: impl Fn(),
    work: impl Future<Output = Result<T>>,
) -> Result<T, Stop> {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return Ok(done.unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))?),
        () = reader.gone() => cancel(),
    }
    let _ = timeout(Duration::from_secs(SHUTDOWN_S), work).await;
    Err(End::Gone.into())
}

/// Runs a piece of the session's work that does not wait; a panic is an error of the statement.
pub fn unpanicked<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
}

/// `57P01`
pub fn shut_down() -> Error {
    Error::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}
