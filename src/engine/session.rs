//! A session: one client's settings, transaction, cursors and prepared statements.

use datafusion::scalar::ScalarValue;
use tokio_util::sync::CancellationToken;

use super::outcome::{Description, Notice, Outcome, TransactionStatus};
use crate::error::{Error, Result};

/// One statement's syntax.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Its own text, without what surrounds it in a multi-statement string.
    pub text: String,
}

/// A statement that is bound: it can be described, and executed any number of times. Re-bound by itself when the catalog
/// has changed.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Parameters and result columns.
    pub description: Description,
}

/// One client's session. `execute` is not re-entrant; dropping the session rolls back, closes cursors and ends streams.
pub struct Session {
    /// `pg_backend_pid()`.
    pub pid: i32,
    /// With the pid, what a cancel request must know.
    pub secret: i32,
}

impl Session {
    /// Splits and parses a query string; an empty one gives no statement. In a failed transaction this still works.
    pub fn parse(&self, _text: &str) -> Result<Vec<Parsed>> {
        Err(Error::internal("not built yet"))
    }

    /// Binds a statement. `parameter_oids`: the client's types for `$1`, ..; 0 or missing is to be inferred.
    /// In a failed transaction everything but COMMIT and ROLLBACK is 25P02.
    pub fn prepare(&mut self, _parsed: &Parsed, _parameter_oids: &[u32]) -> Result<Prepared> {
        Err(Error::internal("not built yet"))
    }

    /// Runs a bound statement with values for its parameters (types as in its description). Row streams are ended with
    /// 57014 by cancel and statement_timeout; an error in a stream fails the transaction by itself.
    pub async fn execute(&mut self, _prepared: &Prepared, _parameters: Vec<ScalarValue>) -> Result<Outcome> {
        Err(Error::internal("not built yet"))
    }

    /// A multi-statement simple query is one implicit transaction: call before its first and after its last statement.
    /// `commit` false (a statement failed) rolls back. Explicit BEGIN/COMMIT inside end and open as PostgreSQL does.
    pub fn begin_implicit(&mut self) {}

    /// See [`Self::begin_implicit`].
    pub async fn end_implicit(&mut self, _commit: bool) -> Result<()> {
        Ok(())
    }

    /// ReadyForQuery's letter.
    pub fn transaction_status(&self) -> TransactionStatus {
        TransactionStatus::Idle
    }

    /// The wire saw an error on its own (bad parameter bytes, a failed COPY decode): fails an open transaction.
    pub fn fail_transaction(&mut self) {}

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Reported settings (ParameterStatus) at the start of a session.
    pub fn parameters(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Reported settings that changed since the last call.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// A setting's value as SHOW prints it: `TimeZone`, `DateStyle`, `IntervalStyle`, `bytea_output`, `extra_float_digits`.
    pub fn setting(&self, _name: &str) -> Option<String> {
        None
    }

    /// The token of the statement that runs now; the wire may cancel it (client vanished, shutdown).
    pub fn cancel_token(&self) -> CancellationToken {
        CancellationToken::new()
    }

    /// Ends when the server wants this session gone (shutdown: 57P01).
    pub fn terminated(&self) -> CancellationToken {
        CancellationToken::new()
    }
}
