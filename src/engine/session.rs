//! A session: one client's settings, transaction, cursors and prepared statements, and the life of a statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use tokio_util::sync::CancellationToken;

use super::binding::Bound;
use super::cursor::Cursor;
use super::environment::{OpenCursor, Shared};
use super::outcome::{Description, Notice, Outcome, TransactionStatus};
use super::settings;
use super::stream::{Guard, unwinding};
use super::transaction::Mode;
use super::warnings;
use crate::catalog::functions;
use crate::catalog::system::Environment;
use crate::config::QUICK_TEXT;
use crate::error::{Error, Result, SqlState};
use crate::runtime::{ReadMode, is_altered};
use crate::sql;
use crate::sql::statement::{Statement, Streamed, TransactionModes};
use crate::stack;

/// One statement's syntax.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Its own text, without what surrounds it in a multi-statement string.
    pub text: String,
    pub(super) statement: Arc<Statement>,
}

/// A statement that is bound: it can be described, and executed any number of times. Re-bound by itself when the catalog
/// has changed, or time has passed.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Parameters and result columns.
    pub description: Description,
    pub(super) parsed: Parsed,
    pub(super) oids: Vec<u32>,
    pub(super) bound: Arc<Bound>,
    /// The catalog's version and the moment at which it was bound.
    pub(super) version: u64,
    pub(super) at: Instant,
}

/// How long a plan may wait for its first execution: `now()` is a constant in it.
const PLAN_AGE: Duration = Duration::from_millis(50);

/// One client's session. `execute` is not re-entrant; dropping the session rolls back, closes cursors and ends streams.
pub struct Session {
    /// `pg_backend_pid()`.
    pub pid: i32,
    /// With the pid, what a cancel request must know.
    pub secret: i32,
    pub(super) shared: Arc<Shared>,
    pub(super) functions: Arc<HashMap<String, Arc<ScalarUDF>>>,
    pub(super) cursors: HashMap<String, Cursor>,
    /// Of PREPARE.
    pub(super) prepared: HashMap<String, Prepared>,
    /// What the client was last told of reported settings.
    reported: BTreeMap<&'static str, String>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let environment: Arc<dyn Environment> = shared.clone();
        let mut functions = functions::all(&environment);
        if shared.engine.config.panic_function {
            functions.insert("panic".to_owned(), functions::panicking());
            functions.insert("panic_at".to_owned(), functions::panicking_at());
        }
        let functions = Arc::new(functions);
        let (pid, secret) = (shared.pid, shared.secret);
        let mut session = Self {
            pid,
            secret,
            shared,
            functions,
            cursors: HashMap::new(),
            prepared: HashMap::new(),
            reported: BTreeMap::new(),
        };
        session.take_parameter_changes();
        session
    }

    /// Splits and parses a query string; an empty one gives no statement. In a failed transaction this still works.
    pub fn parse(&self, text: &str) -> Result<Vec<Parsed>> {
        let parsed = stack::for_text(text, || sql::parse(text))?;
        Ok(parsed.into_iter().map(|p| Parsed { text: p.text, statement: Arc::new(p.statement) }).collect())
    }

    /// Binds a statement. `parameter_oids`: the client's types for `$1`, ..; 0 or missing is to be inferred.
    /// In a failed transaction everything but COMMIT and ROLLBACK is 25P02.
    pub async fn prepare(&mut self, parsed: &Parsed, parameter_oids: &[u32]) -> Result<Prepared> {
        let done = match self.refuse_if_failed(&parsed.statement) {
            // Nothing to be cancelled: it does not wait.
            Ok(()) if parsed.text.len() <= QUICK_TEXT && !matches!(*parsed.statement, Statement::Subscribe(_)) => {
                self.bind(parsed, parameter_oids).await
            }
            Ok(()) => {
                let guard = self.begin_statement(&parsed.text);
                guard.wait(self.bind(parsed, parameter_oids)).await
            }
            Err(error) => Err(error),
        };
        if done.is_err() {
            self.shared.fail();
        }
        done
    }

    fn begin_statement(&self, text: &str) -> Guard {
        self.guard(self.shared.begin_statement(text))
    }

    fn guard(&self, token: CancellationToken) -> Guard {
        let timeout = self.shared.settings.lock().duration_ms("statement_timeout");
        Guard::new(self.shared.clone(), token, timeout)
    }

    /// Runs a bound statement with values for its parameters (types as in its description). Row streams are ended with
    /// 57014 by cancel and statement_timeout; an error in a stream fails the transaction by itself.
    pub async fn execute(&mut self, prepared: &Prepared, parameters: Vec<ScalarValue>) -> Result<Outcome> {
        let guard = self.begin_statement(&prepared.parsed.text);
        self.list_held();
        let done = match unbound(prepared, &parameters) {
            Some(error) => Err(error),
            None => unwinding(&prepared.parsed.text, self.statement(prepared, &parameters, guard)).await,
        };
        if done.is_err() {
            self.shared.fail();
        }
        if matches!(done, Ok(Outcome::Done { .. } | Outcome::Empty) | Err(_)) {
            self.shared.activity.lock().running = false;
        }
        done
    }

    /// A multi-statement simple query is one implicit transaction: call before its first and after its last statement.
    /// `commit` false (a statement failed) rolls back. Explicit BEGIN/COMMIT inside end and open as PostgreSQL does.
    pub fn begin_implicit(&mut self) {
        self.begin(Mode::Implicit, &TransactionModes::default());
    }

    /// See [`Self::begin_implicit`].
    pub async fn end_implicit(&mut self, commit: bool) -> Result<()> {
        let (mode, failed) = {
            let transaction = self.shared.transaction.lock();
            (transaction.mode, transaction.is_failed())
        };
        if mode != Mode::Implicit {
            return Ok(());
        }
        let guard = self.guard(self.shared.begin_end());
        let ended = if commit && !failed { self.commit(&guard).await } else { self.rollback(&guard).await };
        self.shared.activity.lock().running = false;
        ended
    }

    /// ReadyForQuery's letter.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.shared.transaction.lock().status()
    }

    /// The wire saw an error on its own (bad parameter bytes, a failed COPY decode): fails an open transaction.
    pub fn fail_transaction(&mut self) {
        self.shared.fail();
        self.shared.activity.lock().running = false;
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let notices = std::mem::take(&mut *self.shared.notices.lock());
        let least = match self.shared.settings.lock().named("client_min_messages").as_str() {
            "warning" => 1,
            "error" => 2,
            _ => 0,
        };
        let weight = |notice: &Notice| i32::from(notice.severity == "WARNING");
        notices.into_iter().filter(|n| weight(n) >= least).collect()
    }

    /// Reported settings (ParameterStatus) at the start of a session.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let values = self.shared.settings.lock();
        let reported = settings::ALL.iter().filter(|d| d.reported);
        reported.map(|d| (d.name.to_owned(), values.get(d))).collect()
    }

    /// Reported settings that changed since the last call.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        let values = self.shared.settings.lock();
        let mut changes = Vec::new();
        for definition in settings::ALL.iter().filter(|d| d.reported) {
            let value = values.get(definition);
            if self.reported.get(definition.name) != Some(&value) {
                self.reported.insert(definition.name, value.clone());
                changes.push((definition.name.to_owned(), value));
            }
        }
        changes
    }

    /// A setting's value as SHOW prints it: `TimeZone`, `DateStyle`, `IntervalStyle`, `bytea_output`, `extra_float_digits`.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.shared.setting(name)
    }

    /// The token of the statement that runs now; the wire may cancel it (client vanished, shutdown).
    pub fn cancel_token(&self) -> CancellationToken {
        self.shared.running()
    }

    /// The statement's last row was sent, or a portal is suspended: a cancel that comes now is for nobody.
    pub fn end_statement(&mut self) {
        self.shared.end_statement();
    }

    /// A suspended portal goes on: from now on a cancel is for the statement with this token.
    pub fn resume_statement(&mut self, token: &CancellationToken) {
        self.shared.resume_statement(token);
    }

    /// Ends when the server wants this session gone (shutdown: 57P01).
    pub fn terminated(&self) -> CancellationToken {
        self.shared.terminated.clone()
    }

    /// The life of a statement.
    pub(super) async fn statement(
        &mut self,
        prepared: &Prepared,
        parameters: &[ScalarValue],
        guard: Guard,
    ) -> Result<Outcome> {
        let statement = prepared.parsed.statement.as_ref();
        self.refuse_if_failed(statement)?;
        self.check_transaction(statement, &guard).await?;
        let stale =
            prepared.at.elapsed() > PLAN_AGE || self.shared.engine.catalog.snapshot().version != prepared.version;
        let (bound, version) = match (prepared.bound.as_ref(), stale) {
            (Bound::Other, _) | (_, false) => (prepared.bound.clone(), prepared.version),
            (_, true) => {
                let again = guard.wait(self.bind(&prepared.parsed, &prepared.oids)).await?;
                (again.bound, again.version)
            }
        };
        let done = self.bound(prepared, &bound, parameters, guard.clone()).await;
        match done {
            Err(error) if may_be_overtaken(&error) && !matches!(*bound, Bound::Other) && !self.in_transaction() => {
                // When the other statement is done the catalog is as tables and views are.
                drop(guard.wait(async { Ok(self.shared.engine.ddl.lock().await) }).await?);
                if self.shared.engine.catalog.snapshot().version == version {
                    return Err(error);
                }
                let bound = guard.wait(self.bind(&prepared.parsed, &prepared.oids)).await?.bound;
                self.bound(prepared, &bound, parameters, guard).await
            }
            done => done,
        }
    }

    async fn bound(
        &mut self,
        prepared: &Prepared,
        bound: &Bound,
        parameters: &[ScalarValue],
        guard: Guard,
    ) -> Result<Outcome> {
        let parameters = &bound.fit(parameters)?;
        match (prepared.parsed.statement.as_ref(), bound) {
            (_, Bound::Query(bound, as_of)) => self.query(bound, *as_of, parameters, guard).await,
            (Statement::Insert(insert), Bound::Insert(bound)) => {
                self.insert(bound, insert.alias.as_deref(), parameters, guard).await
            }
            (_, Bound::Update(bound)) => self.update(bound, parameters, guard).await,
            (_, Bound::Delete(bound)) => self.delete(bound, parameters, guard).await,
            (statement, Bound::Insert(_) | Bound::Other) => {
                Box::pin(self.other(statement, &prepared.parsed.text, guard)).await
            }
        }
    }

    async fn other(&mut self, statement: &Statement, text: &str, guard: Guard) -> Result<Outcome> {
        match statement {
            Statement::CreateTable(create) => guard.clone().wait(self.create_table(create)).await,
            Statement::CreateSource(create) => guard.clone().wait(self.create_source(create)).await,
            Statement::CreateSink(create) => guard.clone().wait(self.create_sink(create)).await,
            Statement::CreateView(create) => guard.clone().wait(self.create_view(create)).await,
            Statement::CreateMaterializedView(create) => self.create_materialized_view(create, guard).await,
            Statement::Drop(drop) => guard.clone().wait(self.drop_objects(drop)).await,
            Statement::Rename(rename) => guard.clone().wait(self.rename(rename)).await,
            Statement::AlterTable(alter) => guard.clone().wait(self.alter_table(alter)).await,
            Statement::Pause(pause) => guard.clone().wait(self.pause(pause)).await,
            Statement::Rebuild(rebuild) => self.rebuild(rebuild, &guard).await,
            Statement::Comment(comment) => guard.clone().wait(self.comment(comment)).await,
            Statement::AlterSystem { name, value } => {
                guard.clone().wait(self.alter_system(name.as_deref(), value.as_deref())).await
            }
            Statement::Truncate(names) => self.truncate(names, guard).await,
            Statement::CopyFrom(copy) => self.copy_from(copy, guard),
            Statement::CopyTo(copy) => match &copy.source {
                Streamed::Query(select) => self.copy_query(select, &copy.options, guard).await,
                Streamed::Subscribe(subscribe) => self.copy_subscription(subscribe, &copy.options, guard).await,
            },
            Statement::Subscribe(subscribe) => self.subscribe(subscribe, guard).await,
            Statement::Flush => {
                let epoch = guard.clone().wait(self.shared.engine.runtime.flush()).await?;
                guard.wait(self.flush_sinks(epoch)).await?;
                let snapshot = self.shared.engine.runtime.snapshot(ReadMode::Latest).await?;
                warnings::of_failures(&self.shared, None, &snapshot);
                Ok(done("FLUSH"))
            }
            Statement::Declare(declare) => self.declare(declare, text, guard).await,
            Statement::Fetch(fetch) => self.fetch(fetch, guard).await,
            Statement::Close(name) => self.close(name.as_deref()),
            Statement::Show(show) => self.show(show).await,
            Statement::Explain(explain) => self.explain(explain, guard).await,
            Statement::Execute { name, arguments } => self.execute_prepared(name, arguments, guard).await,
            Statement::Prepare { name, types, statement, text } => {
                self.prepare_sql(name, types, statement, text, guard).await
            }
            Statement::Deallocate(name) => self.deallocate(name.as_deref()),
            Statement::Commit => self.commit_statement(&guard).await,
            Statement::Rollback => self.rollback_statement(&guard).await,
            Statement::Begin(_)
            | Statement::Savepoint(_)
            | Statement::Release(_)
            | Statement::RollbackTo(_)
            | Statement::SetTransaction(_) => self.transaction_statement(statement),
            Statement::Set { .. } | Statement::Reset(_) | Statement::Discard(_) => self.settings_statement(statement),
            Statement::Unlisten => Ok(done("UNLISTEN")),
            Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                Err(Error::internal("a statement with a plan came without it"))
            }
        }
    }

    /// Tells pg_cursors and pg_prepared_statements what the session holds.
    fn list_held(&self) {
        let cursor = |(name, cursor): (&String, &Cursor)| OpenCursor {
            name: name.clone(),
            statement: cursor.statement.clone(),
            hold: cursor.hold,
            created: cursor.created,
        };
        let mut activity = self.shared.activity.lock();
        activity.cursors = self.cursors.iter().map(cursor).collect();
        activity.prepared = self.prepared.iter().map(|(name, p)| (name.clone(), p.parsed.text.clone())).collect();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.terminate();
    }
}

/// Whether it may be that what a statement was bound to was altered, or replaced, before the statement read it.
fn may_be_overtaken(error: &Error) -> bool {
    is_altered(error) || error.code() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
}

/// 42P02: a simple query brings no values.
fn unbound(prepared: &Prepared, parameters: &[ScalarValue]) -> Option<Error> {
    if parameters.len() >= prepared.description.parameters.len() {
        return None;
    }
    match sql::first_parameter(&prepared.parsed.text) {
        Some((name, position)) => Some(sql::there_is_no(&name).with_position(position)),
        None => Some(sql::there_is_no("$1")),
    }
}

pub(super) fn done(tag: &str) -> Outcome {
    Outcome::Done { tag: tag.to_owned() }
}

/// 25001 in PostgreSQL's words.
pub(super) fn in_block(what: &str) -> Error {
    Error::new(SqlState::ACTIVE_SQL_TRANSACTION, format!("{what} cannot run inside a transaction block"))
}
