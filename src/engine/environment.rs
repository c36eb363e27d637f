//! [`Shared`]: what a session shares with its streams, its sinks, its functions and other sessions (cancel).

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outcome::Notice;
use super::settings::{self, Scope, Values};
use super::transaction::Transaction;
use super::{Engine, Startup, introspect, micros_now};
use crate::catalog::Snapshot;
use crate::catalog::system::{DATABASE, Environment, OWNER};
use crate::data::{EventTime, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::runtime::{Committed, Requests, Runtime, TableWrite, WriteLease};

/// One session's inside.
pub(super) struct Shared {
    pub engine: Arc<Engine>,
    pub pid: i32,
    pub secret: i32,
    pub user: String,
    pub database: String,
    pub address: Option<SocketAddr>,
    /// Microseconds since 1970.
    pub connected: i64,
    pub settings: Mutex<Values>,
    pub notices: Mutex<Vec<Notice>>,
    pub transaction: Mutex<Transaction>,
    pub activity: Mutex<Activity>,
    /// Cancels the statement that runs now.
    running: Mutex<CancellationToken>,
    /// When statement_timeout ends it.
    pub deadline: Mutex<Option<Instant>>,
    pub terminated: CancellationToken,
    /// What it asks of the runtime, and can take back until it is begun.
    pub requests: Requests,
    /// The engine's, for what can be taken back.
    pub runtime: Runtime,
    /// Computations that nobody waits for any more: see `aside`.
    pub abandoned: AtomicUsize,
}

/// What pg_stat_activity says of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity {
    /// The statement that runs, or ran last.
    pub query: String,
    /// When it began, microseconds since 1970.
    pub since: i64,
    pub running: bool,
    /// pg_cursors.
    pub cursors: Vec<OpenCursor>,
    /// pg_prepared_statements: names and texts.
    pub prepared: Vec<(String, String)>,
}

/// One row of pg_cursors.
#[derive(Clone, Debug)]
pub(super) struct OpenCursor {
    pub name: String,
    pub statement: String,
    pub hold: bool,
    /// Microseconds since 1970.
    pub created: i64,
}

impl Shared {
    pub(super) fn new(engine: Arc<Engine>, pid: i32, startup: Startup) -> Result<Self> {
        let user = if startup.user.is_empty() { OWNER.to_owned() } else { startup.user };
        let database = if startup.database.is_empty() { DATABASE.to_owned() } else { startup.database };
        let mut values = Values::default();
        values.state("session_authorization", user.clone());
        for (name, value) in startup_settings(&startup.options) {
            if settings::find(&name).is_ok_and(|d| d.scope == Scope::Fixed) {
                continue;
            }
            values.start(&name, &value)?;
        }
        // Keys of the process's hasher are random: good enough for a cancel secret on loopback.
        let secret = RandomState::new().hash_one(pid) as i32;
        let requests = Requests::default();
        Ok(Self {
            pid,
            secret,
            user,
            database,
            address: startup.address,
            connected: micros_now(),
            settings: Mutex::new(values),
            notices: Mutex::default(),
            transaction: Mutex::default(),
            activity: Mutex::default(),
            running: Mutex::default(),
            deadline: Mutex::default(),
            runtime: engine.runtime.with(requests.clone()),
            requests,
            engine,
            abandoned: AtomicUsize::new(0),
            terminated: CancellationToken::new(),
        })
    }

    /// A statement begins: what cancel means from now on.
    pub(super) fn begin_statement(&self, text: &str) -> CancellationToken {
        let token = self.terminated.child_token();
        *self.running.lock() = token.clone();
        let mut activity = self.activity.lock();
        text.clone_into(&mut activity.query);
        activity.since = micros_now();
        activity.running = true;
        token
    }

    /// What ends the transaction belongs to the statement that ran last, and can be cancelled too.
    pub(super) fn begin_end(&self) -> CancellationToken {
        let token = self.terminated.child_token();
        self.resume_statement(&token);
        token
    }

    /// Nothing runs any more: a cancel that comes now is for nobody.
    pub(super) fn end_statement(&self) {
        *self.running.lock() = self.terminated.child_token();
        self.activity.lock().running = false;
    }

    /// What began before, with this token, goes on.
    pub(super) fn resume_statement(&self, token: &CancellationToken) {
        *self.running.lock() = token.clone();
        self.activity.lock().running = true;
    }

    /// The statement that runs now.
    pub(super) fn running(&self) -> CancellationToken {
        self.running.lock().clone()
    }

    /// Commits. Once it is admitted nobody can say that it was not: a cancel only hurries it.
    pub(super) async fn commit(&self, writes: Vec<TableWrite>) -> Result<Committed> {
        self.runtime.commit(writes).await
    }

    /// The same, with the right to write alone if there is one.
    pub(super) async fn commit_leased(&self, writes: Vec<TableWrite>, lease: Option<WriteLease>) -> Result<Committed> {
        self.runtime.commit_leased(writes, lease).await
    }

    /// Whether it has been cancelled or has run too long.
    pub(super) fn has_to_end(&self) -> bool {
        self.running.lock().is_cancelled() || self.deadline.lock().is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn cancel(&self) {
        self.running.lock().cancel();
    }

    pub(super) fn terminate(&self) {
        self.terminated.cancel();
    }

    pub(super) fn notice(&self, severity: &'static str, error: Error) {
        self.notices.lock().push(Notice { severity, error });
    }

    /// Why a wait was ended.
    pub(super) fn cancelled(&self) -> Error {
        if self.terminated.is_cancelled() {
            let message = "terminating connection due to administrator command";
            Error::new(SqlState::ADMIN_SHUTDOWN, message)
        } else {
            Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
        }
    }

    /// An error in a statement: an open transaction block fails.
    pub(super) fn fail(&self) {
        self.transaction.lock().fail();
    }
}

/// The settings among the startup parameters; `options` holds `-c name=value` as on PostgreSQL's command line.
fn startup_settings(options: &[(String, String)]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in options {
        match name.as_str() {
            "options" => found.extend(command_line(value)),
            "replication" | "user" | "database" => {}
            _ if name.starts_with("_pq_.") => {}
            _ => found.push((name.clone(), value.clone())),
        }
    }
    found
}

fn command_line(options: &str) -> Vec<(String, String)> {
    let mut words = options.split_ascii_whitespace();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next(),
            other => other,
        };
        if let Some((name, value)) = setting.and_then(|s| s.split_once('=')) {
            found.push((name.replace('-', "_"), value.replace("\\ ", " ")));
        }
    }
    found
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.pid)
    }
}

impl Environment for Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.catalog.snapshot()
    }

    fn user(&self) -> String {
        self.user.clone()
    }

    fn database(&self) -> String {
        self.database.clone()
    }

    fn pid(&self) -> i32 {
        self.pid
    }

    fn setting(&self, name: &str) -> Option<String> {
        let definition = settings::find(name).ok()?;
        if definition.scope != Scope::System {
            return Some(self.settings.lock().get(definition));
        }
        Some(introspect::value_of(self, &self.engine.runtime.settings(), definition))
    }

    fn set_setting(&self, name: &str, value: &str, local: bool) -> Result<String> {
        let mut values = self.settings.lock();
        values.set(name, Some(value), local)?;
        Ok(values.named(name))
    }

    fn signal(&self, pid: i32, terminate: bool) -> bool {
        let Some(other) = self.engine.session(pid) else { return false };
        if terminate {
            other.terminate()
        } else {
            other.cancel()
        }
        true
    }

    fn relation_bytes(&self, oid: u32) -> i64 {
        // Status is answered by the runtime's own threads, at once.
        let status = futures::executor::block_on(self.engine.runtime.status());
        let Ok(status) = status else { return 0 };
        let id = ObjectId(oid);
        let tables = status.tables.iter().filter(|t| t.id == id).map(|t| t.bytes);
        let views = status.views.iter().filter(|v| v.id == id).map(|v| v.bytes);
        tables.chain(views).sum::<u64>().try_into().unwrap_or(i64::MAX)
    }

    fn started(&self) -> i64 {
        self.engine.started
    }

    fn epoch(&self) -> u64 {
        self.engine.runtime.published().0
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, Result<()>> {
        async move {
            tokio::time::sleep(time).await;
            Ok(())
        }
        .boxed()
    }

    fn advance_watermark(&self, source: &str, to: EventTime) -> BoxFuture<'static, Result<EventTime>> {
        let found = self.engine.catalog.snapshot().by_name(source).cloned();
        let runtime = self.engine.runtime.clone();
        let source = source.to_owned();
        async move {
            let missing = || {
                Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{source}\" does not exist")).with_hint(
                    "Name a table or source that is created with WATERMARK FOR; highwater.watermarks has them.",
                )
            };
            let object = found.ok_or_else(missing)?;
            if object.watermark().is_none() {
                let message = format!("\"{source}\" has no watermark");
                let hint = "Only a table or source that is created with WATERMARK FOR has one.";
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint));
            }
            runtime.advance_watermark(object.id, to).await
        }
        .boxed()
    }
}
