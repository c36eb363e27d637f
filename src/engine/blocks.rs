//! BEGIN, COMMIT, ROLLBACK, SAVEPOINT, and which statements a transaction allows.

use super::micros_now;
use super::outcome::Outcome;
use super::session::{Session, done, in_block};
use super::stream::Guard;
use super::transaction::Mode;
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::{Statement, TransactionModes};

/// What a statement does, as transactions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Reads, or concerns the session alone.
    Reads,
    Writes(&'static str),
    Ddl(&'static str),
    /// Runs outside of blocks only.
    Alone(&'static str),
    /// Ends, or controls, the transaction.
    Control,
}

fn sort(statement: &Statement) -> Sort {
    match statement {
        Statement::Insert(_) => Sort::Writes("INSERT"),
        Statement::Update(_) => Sort::Writes("UPDATE"),
        Statement::Delete(_) => Sort::Writes("DELETE"),
        Statement::Truncate(_) => Sort::Writes("TRUNCATE TABLE"),
        Statement::CopyFrom(_) => Sort::Writes("COPY FROM"),
        Statement::CreateTable(_) => Sort::Ddl("CREATE TABLE"),
        Statement::CreateSource(_) => Sort::Ddl("CREATE SOURCE"),
        Statement::CreateSink(_) => Sort::Ddl("CREATE SINK"),
        Statement::CreateView(_) => Sort::Ddl("CREATE VIEW"),
        Statement::CreateMaterializedView(_) => Sort::Ddl("CREATE MATERIALIZED VIEW"),
        Statement::Drop(_) => Sort::Ddl("DROP"),
        Statement::Rename(_) | Statement::Pause(_) => Sort::Ddl("ALTER"),
        Statement::Rebuild(_) => Sort::Ddl("REBUILD MATERIALIZED VIEW"),
        Statement::AlterTable(_) => Sort::Ddl("ALTER TABLE"),
        Statement::Comment(_) => Sort::Ddl("COMMENT"),
        Statement::AlterSystem { .. } => Sort::Alone("ALTER SYSTEM"),
        Statement::Flush => Sort::Alone("FLUSH"),
        Statement::Begin(_)
        | Statement::Commit
        | Statement::Rollback
        | Statement::Savepoint(_)
        | Statement::Release(_)
        | Statement::RollbackTo(_)
        | Statement::SetTransaction(_) => Sort::Control,
        Statement::Query(_)
        | Statement::CopyTo(_)
        | Statement::Subscribe(_)
        | Statement::Declare(_)
        | Statement::Fetch(_)
        | Statement::Close(_)
        | Statement::Show(_)
        | Statement::Explain(_)
        | Statement::Set { .. }
        | Statement::Reset(_)
        | Statement::Discard(_)
        | Statement::Prepare { .. }
        | Statement::Execute { .. }
        | Statement::Deallocate(_)
        | Statement::Unlisten => Sort::Reads,
    }
}

impl Session {
    /// 25P02, unless the statement ends the failed transaction.
    pub(super) fn refuse_if_failed(&self, statement: &Statement) -> Result<()> {
        let transaction = self.shared.transaction.lock();
        let ends = matches!(statement, Statement::Commit | Statement::Rollback | Statement::RollbackTo(_));
        if !transaction.is_failed() || ends {
            return Ok(());
        }
        let message = "current transaction is aborted, commands ignored until end of transaction block";
        Err(Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message))
    }

    /// Refuses what the open transaction does not allow; a multi-statement query is cut in two before DDL and FLUSH.
    pub(super) async fn check_transaction(&mut self, statement: &Statement, guard: &Guard) -> Result<()> {
        let sort = sort(statement);
        let (mode, read_only, writes) = {
            let transaction = self.shared.transaction.lock();
            (transaction.mode, transaction.read_only, transaction.has_writes())
        };
        let default = self.shared.settings.lock().on("default_transaction_read_only");
        let read_only = if mode == Mode::Block { read_only } else { default };
        if let (true, Sort::Writes(what) | Sort::Ddl(what)) = (read_only, sort) {
            let message = format!("cannot execute {what} in a read-only transaction");
            return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        match (mode, sort) {
            (Mode::Block, Sort::Alone(what)) => Err(in_block(what)),
            (Mode::Block, Sort::Ddl(what)) if writes => {
                let message = format!("{what} cannot run in a transaction block that has written rows");
                let hint = "COMMIT first, or do DDL before the block's first write.";
                Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message).with_hint(hint))
            }
            (Mode::Implicit, Sort::Alone(_) | Sort::Ddl(_)) => {
                self.commit(guard).await?;
                self.begin(Mode::Implicit, &TransactionModes::default());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn begin(&mut self, mode: Mode, modes: &TransactionModes) {
        let settings = self.shared.settings.lock().clone();
        let read_only = modes.read_only.unwrap_or_else(|| settings.on("default_transaction_read_only"));
        self.shared.transaction.lock().begin(mode, read_only, settings, micros_now());
    }

    pub(super) fn transaction_statement(&mut self, statement: &Statement) -> Result<Outcome> {
        let mode = self.shared.transaction.lock().mode;
        match statement {
            Statement::Begin(modes) => {
                if mode == Mode::Block {
                    self.warn(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
                } else {
                    self.begin(Mode::Block, modes);
                }
                Ok(done("BEGIN"))
            }
            Statement::SetTransaction(modes) => {
                let mut transaction = self.shared.transaction.lock();
                if let Some(read_only) = modes.read_only {
                    if transaction.mode == Mode::Block {
                        transaction.read_only = read_only;
                    } else {
                        drop(transaction);
                        let value = if read_only { "on" } else { "off" };
                        self.shared.settings.lock().set("default_transaction_read_only", Some(value), false)?;
                    }
                }
                Ok(done("SET"))
            }
            Statement::Savepoint(name) => {
                only_in_block(mode, "SAVEPOINT")?;
                let settings = self.shared.settings.lock().clone();
                self.shared.transaction.lock().savepoint(name, settings);
                Ok(done("SAVEPOINT"))
            }
            Statement::Release(name) => {
                only_in_block(mode, "RELEASE SAVEPOINT")?;
                self.shared.transaction.lock().release(name)?;
                Ok(done("RELEASE"))
            }
            Statement::RollbackTo(name) => {
                only_in_block(mode, "ROLLBACK TO SAVEPOINT")?;
                let settings = self.shared.transaction.lock().rollback_to(name)?;
                *self.shared.settings.lock() = settings;
                Ok(done("ROLLBACK"))
            }
            other => Err(Error::internal(format!("not a transaction's statement: {other:?}"))),
        }
    }

    pub(super) async fn commit_statement(&mut self, guard: &Guard) -> Result<Outcome> {
        let (mode, failed) = {
            let transaction = self.shared.transaction.lock();
            (transaction.mode, transaction.is_failed())
        };
        if mode != Mode::Block {
            self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
        }
        if failed {
            self.rollback(guard).await?;
            return Ok(done("ROLLBACK"));
        }
        self.commit(guard).await?;
        Ok(done("COMMIT"))
    }

    pub(super) async fn rollback_statement(&mut self, guard: &Guard) -> Result<Outcome> {
        if self.shared.transaction.lock().mode != Mode::Block {
            self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
        }
        self.rollback(guard).await?;
        Ok(done("ROLLBACK"))
    }

    /// Ends the transaction with all its writes in one epoch, or with none and an error.
    pub(super) async fn commit(&mut self, guard: &Guard) -> Result<()> {
        let writes = self.shared.transaction.lock().writes();
        let committed = match writes {
            Ok(writes) if writes.is_empty() => Ok(()),
            Ok(writes) => guard.wait(self.shared.commit(writes)).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            // What it created goes, whether that is waited for or not.
            let _ = self.rollback(guard).await;
            return Err(error);
        }
        self.shared.transaction.lock().end();
        self.shared.settings.lock().end_transaction();
        self.cursors.retain(|_, cursor| cursor.hold);
        Ok(())
    }

    /// Ends the transaction without a trace: writes, settings and objects that it created are gone.
    pub(super) async fn rollback(&mut self, guard: &Guard) -> Result<()> {
        let (created, irrevocable, settings) = {
            let mut transaction = self.shared.transaction.lock();
            let (created, irrevocable) = (std::mem::take(&mut transaction.created), transaction.irrevocable);
            (created, irrevocable, transaction.end())
        };
        if let Some(settings) = settings {
            *self.shared.settings.lock() = settings;
        }
        self.cursors.retain(|_, cursor| cursor.hold);
        if irrevocable {
            self.warn(SqlState::WARNING, "DROP, ALTER and COMMENT of this transaction were not rolled back");
        }
        if created.is_empty() {
            return Ok(());
        }
        let engine = self.shared.engine.clone();
        let dropping = tokio::spawn(async move { engine.drop_created(&created).await });
        guard.wait(async { dropping.await.map_err(|e| Error::internal(e.to_string()))? }).await
    }

    pub(super) fn warn(&self, code: SqlState, message: &str) {
        self.shared.notice("WARNING", Error::new(code, message));
    }
}

fn only_in_block(mode: Mode, what: &str) -> Result<()> {
    if mode == Mode::Block {
        return Ok(());
    }
    let message = format!("{what} can only be used in transaction blocks");
    Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message))
}
