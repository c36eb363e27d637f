//! Statements about the session itself: SET, RESET, DISCARD; PREPARE, EXECUTE, DEALLOCATE.

use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::outcome::Outcome;
use super::session::{Parsed, Prepared, Session, done, in_block};
use super::settings;
use super::stream::Guard;
use crate::error::{Error, Result, SqlState};
use crate::sql;
use crate::sql::statement::{Discard, Statement};

impl Session {
    pub(super) fn settings_statement(&mut self, statement: &Statement) -> Result<Outcome> {
        match statement {
            Statement::Set { name, value, local } => {
                if *local && !self.in_transaction() {
                    let message = "SET LOCAL can only be used in transaction blocks";
                    self.shared.notice("WARNING", Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
                    settings::find(name)?;
                } else {
                    self.shared.settings.lock().set(name, value.as_deref(), *local)?;
                }
                Ok(done("SET"))
            }
            Statement::Reset(Some(name)) => {
                self.shared.settings.lock().set(name, None, false)?;
                Ok(done("RESET"))
            }
            Statement::Reset(None) => {
                self.shared.settings.lock().reset_all();
                Ok(done("RESET"))
            }
            Statement::Discard(what) => {
                if *what == Discard::All {
                    if self.in_transaction() {
                        return Err(in_block("DISCARD ALL"));
                    }
                    self.shared.settings.lock().reset_all();
                    self.cursors.clear();
                    self.prepared.clear();
                }
                Ok(done(match what {
                    Discard::All => "DISCARD ALL",
                    Discard::Plans => "DISCARD PLANS",
                    Discard::Sequences => "DISCARD SEQUENCES",
                    Discard::Temporary => "DISCARD TEMP",
                }))
            }
            other => Err(Error::internal(format!("not a setting: {other:?}"))),
        }
    }

    pub(super) fn sql_prepared(&self, name: &str) -> Result<&Prepared> {
        let missing = || {
            let message = format!("prepared statement \"{name}\" does not exist");
            Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        };
        self.prepared.get(name).ok_or_else(missing)
    }

    pub(super) async fn prepare_sql(
        &mut self,
        name: &str,
        types: &[sql::TypeName],
        statement: &Statement,
        text: &str,
        guard: Guard,
    ) -> Result<Outcome> {
        if self.prepared.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        let oids = types.iter().map(sql::type_oid).collect::<Result<Vec<_>>>()?;
        let parsed = Parsed { text: text.to_owned(), statement: Arc::new(statement.clone()) };
        let prepared = guard.wait(self.bind(&parsed, &oids)).await?;
        self.prepared.insert(name.to_owned(), prepared);
        Ok(done("PREPARE"))
    }

    pub(super) async fn execute_prepared(
        &mut self,
        name: &str,
        arguments: &[sql::statement::Expr],
        guard: Guard,
    ) -> Result<Outcome> {
        let prepared = self.sql_prepared(name)?.clone();
        let wanted = &prepared.description.parameters;
        if wanted.len() != arguments.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {} parameters but got {}.", wanted.len(), arguments.len());
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).with_detail(detail));
        }
        let places: Vec<_> = arguments.iter().cloned().zip(wanted.clone()).collect();
        let values = self.bind_aside(move |binder| {
            places.iter().map(|(argument, field)| binder.constant(&argument.tree, Some(field))).collect()
        });
        let parameters: Vec<ScalarValue> = guard.wait(values).await?;
        self.statement(&prepared, &parameters, guard).await
    }

    pub(super) fn deallocate(&mut self, name: Option<&str>) -> Result<Outcome> {
        match name {
            None => self.prepared.clear(),
            Some(name) => {
                self.sql_prepared(name)?;
                self.prepared.remove(name);
            }
        }
        Ok(done(if name.is_none() { "DEALLOCATE ALL" } else { "DEALLOCATE" }))
    }
}
