//! Statements about the session itself: SET, RESET, DISCARD; PREPARE, EXECUTE, DEALLOCATE.

use std::sync::Arc;

use arrow::datatypes::Field;

use super::outcome::Outcome;
use super::session::{Parsed, Prepared, Session, done, in_block};
use super::settings;
use super::stream::Guard;
use crate::data::types::{by_oid, dimensions, leaf};
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

    /// The client's types of parameters, without those of arrays whose place wants more dimensions: an array's oid says
    /// nothing of them.
    pub(super) fn placed(&self, statement: &Statement, oids: &[u32]) -> Vec<u32> {
        let declared = |oid: &u32| by_oid(*oid).filter(|f| dimensions(f.data_type()) > 0);
        if !oids.iter().any(|oid| declared(oid).is_some()) {
            return oids.to_vec();
        }
        let open: Vec<u32> = oids.iter().map(|oid| if declared(oid).is_some() { 0 } else { *oid }).collect();
        let Ok((_, fields, _)) = self.bound(statement, &open) else { return oids.to_vec() };
        let fits = |declared: &Field, wanted: &Field| {
            let (declared, wanted) = (leaf(declared), leaf(wanted));
            let (declared, wanted) = (declared.data_type(), wanted.data_type());
            declared == wanted || declared.is_numeric() && wanted.is_numeric()
        };
        let placed = oids.iter().enumerate().map(|(i, oid)| match (declared(oid), fields.get(i)) {
            (Some(own), Some(wanted)) if dimensions(wanted.data_type()) > 1 && fits(&own, wanted) => 0,
            _ => *oid,
        });
        placed.collect()
    }

    pub(super) fn sql_prepared(&self, name: &str) -> Result<&Prepared> {
        let missing = || {
            let message = format!("prepared statement \"{name}\" does not exist");
            Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        };
        self.prepared.get(name).ok_or_else(missing)
    }

    pub(super) fn prepare_sql(
        &mut self,
        name: &str,
        types: &[sql::TypeName],
        statement: &Statement,
        text: &str,
    ) -> Result<Outcome> {
        if self.prepared.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        let oids = types.iter().map(sql::type_oid).collect::<Result<Vec<_>>>()?;
        let parsed = Parsed { text: text.to_owned(), statement: Arc::new(statement.clone()) };
        let prepared = self.bind(&parsed, &oids)?;
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
        let value = |(argument, field): (&sql::statement::Expr, &Field)| {
            self.binder_session(|b| b.constant(&argument.tree, Some(field)))
        };
        let parameters = arguments.iter().zip(wanted).map(value).collect::<Result<Vec<_>>>()?;
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
