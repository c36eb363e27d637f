//! The extended protocol: statements are parsed, bound to portals, described and executed, in batches ended by Sync.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::Field;
use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::data::NoData;
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::EmptyQueryResponse;

use super::connection::{Connection, Stop, unpanicked};
use super::encode::RowEncoder;
use super::frontend::{Bind, Message, Parse, Target, violation};
use super::rows::RowStream;
use super::socket::End;
use super::{Format, decode, report};
use crate::config::MAX_PREPARED;
use crate::data::types::pg_type;
use crate::engine::Prepared;
use crate::engine::outcome::{Column, Outcome};
use crate::error::{Error, Result, SqlState};

/// A statement that was parsed.
pub struct Statement {
    /// `None` for an empty string.
    prepared: Option<Prepared>,
}

impl Statement {
    fn parameters(&self) -> &[Field] {
        self.prepared.as_ref().map_or(&[], |p| &p.description.parameters)
    }

    fn columns(&self) -> Option<&[Column]> {
        self.prepared.as_ref()?.description.columns.as_deref()
    }
}

/// A statement with its parameters.
pub struct Portal {
    statement: Arc<Statement>,
    parameters: Vec<ScalarValue>,
    /// One for each result column.
    formats: Vec<Format>,
    state: State,
    /// It is a FETCH from a cursor of DECLARE, made for one Execute.
    fetch: bool,
}

enum State {
    /// It was not executed.
    Bound,
    /// Some of its rows were sent.
    Suspended { rows: RowStream, encoder: RowEncoder, tag: &'static str },
    /// All were sent; the command's word, if it is one with rows.
    Finished(Option<&'static str>),
}

impl Connection {
    /// Parse: makes a statement.
    pub(super) async fn parse(&mut self, parse: Parse) -> Result<(), Stop> {
        if !parse.name.is_empty() && self.statements.contains_key(&parse.name) {
            let message = format!("prepared statement \"{}\" already exists", parse.name);
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message).into());
        }
        if self.statements.len() >= MAX_PREPARED {
            return Err(too_many("prepared statements").into());
        }
        self.statements.remove("");
        let parsed = unpanicked(|| self.session.parse(&parse.query))?;
        let prepared = match parsed.as_slice() {
            [] => None,
            [one] => Some(self.prepare(one, &parse.types).await?),
            _ => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(Error::syntax(message, None).into());
            }
        };
        self.statements.insert(parse.name, Arc::new(Statement { prepared }));
        self.notices();
        self.writer.put(Backend::ParseComplete(ParseComplete::new()));
        Ok(())
    }

    /// Bind: makes a portal.
    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), Stop> {
        let statement = self.find_statement(&bind.statement)?.clone();
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, message).into());
        }
        if self.portals.len() >= MAX_PREPARED {
            return Err(too_many("portals").into());
        }
        let parameters = self.parameters(&bind, statement.parameters())?;
        let columns = statement.columns().map_or(0, <[Column]>::len);
        let formats = spread(&bind.results, columns).ok_or_else(|| {
            let given = bind.results.len();
            violation(format!("bind message has {given} result formats but query has {columns} columns"))
        })??;
        self.portals.insert(bind.portal, Portal { statement, parameters, formats, state: State::Bound, fetch: false });
        self.writer.put(Backend::BindComplete(BindComplete::new()));
        Ok(())
    }

    fn parameters(&mut self, bind: &Bind, types: &[Field]) -> Result<Vec<ScalarValue>> {
        let (given, needed) = (bind.values.len(), types.len());
        let formats = spread(&bind.formats, given).ok_or_else(|| {
            let formats = bind.formats.len();
            violation(format!("bind message has {formats} parameter formats but {given} parameters"))
        })??;
        if given != needed {
            return Err(violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {needed}",
                bind.statement
            )));
        }
        let zone = self.zone();
        let values = bind.values.iter().zip(types).zip(formats).enumerate();
        values
            .map(|(i, ((value, field), format))| decode::parameter(value.as_deref(), field, format, i + 1, &zone))
            .collect()
    }

    fn find_statement(&self, name: &str) -> Result<&Arc<Statement>> {
        self.statements.get(name).ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                _ => format!("prepared statement \"{name}\" does not exist"),
            };
            Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// Describe.
    pub(super) fn describe(&mut self, target: Target) -> Result<(), Stop> {
        let (statement, formats) = match &target {
            Target::Statement(name) => {
                let statement = self.find_statement(name)?.clone();
                let formats = vec![Format::Text; statement.columns().map_or(0, <[Column]>::len)];
                self.writer.put(report::parameters(statement.parameters()));
                (statement, formats)
            }
            Target::Portal(name) => match (self.portals.get(name), self.session.cursor_columns(name)) {
                (Some(portal), _) => (portal.statement.clone(), portal.formats.clone()),
                // A cursor of DECLARE is a portal too.
                (None, Some(columns)) => {
                    let formats = vec![Format::Text; columns.len()];
                    self.writer.put(report::columns(&columns, &formats));
                    return Ok(());
                }
                (None, None) => return Err(no_portal(name).into()),
            },
        };
        self.writer.put(match statement.columns() {
            Some(columns) => report::columns(columns, &formats),
            None => Backend::NoData(NoData::new()),
        });
        Ok(())
    }

    /// Close; what is not there is closed as well.
    pub(super) fn close(&mut self, target: Target) {
        match target {
            Target::Statement(name) => drop(self.statements.remove(&name)),
            Target::Portal(name) => drop(self.portals.remove(&name)),
        }
        self.writer.put(Backend::CloseComplete(CloseComplete::new()));
    }

    /// Execute.
    pub(super) async fn execute(&mut self, name: String, max_rows: u32) -> Result<(), Stop> {
        let mut portal = match self.portals.remove(&name) {
            Some(portal) => portal,
            None => self.cursor_portal(&name, max_rows).await?,
        };
        let start = Instant::now();
        if matches!(portal.state, State::Bound) {
            self.metrics.statements.inc();
            self.open_implicit().await?;
        }
        // A portal that fails is gone.
        self.run_portal(&name, &mut portal, max_rows).await?;
        if !portal.fetch {
            self.portals.insert(name, portal);
        }
        self.metrics.statement_seconds.observe(start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Execute on a cursor of DECLARE fetches from it.
    async fn cursor_portal(&mut self, name: &str, max_rows: u32) -> Result<Portal, Stop> {
        let columns = self.session.cursor_columns(name).ok_or_else(|| no_portal(name))?;
        let count = if max_rows > 0 { max_rows.to_string() } else { "ALL".to_owned() };
        let sql = format!("FETCH {count} FROM \"{}\"", name.replace('"', "\"\""));
        let parsed = self.session.parse(&sql)?;
        let prepared = match parsed.first() {
            Some(one) => Some(self.prepare(one, &[]).await?),
            None => None,
        };
        let formats = vec![Format::Text; columns.len()];
        let statement = Arc::new(Statement { prepared });
        Ok(Portal { statement, parameters: Vec::new(), formats, state: State::Bound, fetch: true })
    }

    /// Several statements before one Sync are one transaction. Whether there are more is seen by reading on.
    async fn open_implicit(&mut self) -> Result<(), Stop> {
        if self.implicit || !self.is_idle() {
            return Ok(());
        }
        loop {
            let last = match self.ahead.back() {
                Some((_, message)) => message,
                None => {
                    let message = self.next().await?;
                    self.ahead.push_back(message);
                    continue;
                }
            };
            match last {
                Ok(Message::Close(_) | Message::Describe(_)) if self.ahead.len() < 16 => {
                    let message = self.reader_next().await?;
                    self.ahead.push_back(message);
                }
                Ok(Message::Parse(_) | Message::Bind(_) | Message::Execute { .. }) => {
                    self.session.begin_implicit();
                    self.implicit = true;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    /// A message from the socket, behind those that were read ahead.
    async fn reader_next(&mut self) -> Result<(u8, Result<Message>), Stop> {
        let ahead = std::mem::take(&mut self.ahead);
        let message = self.next().await;
        self.ahead = ahead;
        Ok(message?)
    }

    async fn run_portal(&mut self, name: &str, portal: &mut Portal, max_rows: u32) -> Result<(), Stop> {
        let statement = portal.statement.clone();
        let Some(prepared) = &statement.prepared else {
            self.writer.put(Backend::EmptyQueryResponse(EmptyQueryResponse::new()));
            return Ok(());
        };
        let limit = (max_rows > 0 && !portal.fetch).then(|| u64::from(max_rows));
        let (mut rows, encoder, tag) = match std::mem::replace(&mut portal.state, State::Finished(None)) {
            State::Suspended { rows, encoder, tag } => {
                self.session.resume_statement(&rows.cancel);
                (rows, encoder, tag)
            }
            State::Finished(Some(tag)) => {
                portal.state = State::Finished(Some(tag));
                self.writer.put(report::complete(format!("{tag} 0")));
                return Ok(());
            }
            State::Finished(None) => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into());
            }
            State::Bound => {
                let outcome = self.execute_prepared(prepared, std::mem::take(&mut portal.parameters)).await?;
                self.notices();
                match outcome {
                    Outcome::Rows { columns, rows, tag } => {
                        same_columns(statement.columns(), &columns)?;
                        let encoder = RowEncoder::new(&columns, portal.formats.clone(), self.zone());
                        (RowStream::new(rows, self.session.cancel_token()), encoder, tag)
                    }
                    other => return self.finish(other).await,
                }
            }
        };
        let (sent, ended) = self.send_rows(&mut rows, &encoder, limit).await?;
        self.session.end_statement();
        self.notices();
        if ended {
            portal.state = State::Finished(Some(tag));
            self.writer.put(report::complete(format!("{tag} {sent}")));
        } else {
            portal.state = State::Suspended { rows, encoder, tag };
            self.writer.put(Backend::PortalSuspended(PortalSuspended::new()));
        }
        Ok(())
    }

    /// Completes an outcome that can't be suspended.
    async fn finish(&mut self, outcome: Outcome) -> Result<(), Stop> {
        let tag = match outcome {
            Outcome::Done { tag } => tag,
            Outcome::CopyOut { schema, rows, format } => self.copy_out(schema, rows, format).await?,
            Outcome::CopyIn { schema, format, sink } => self.copy_in(schema, format, sink).await?,
            Outcome::Empty | Outcome::Rows { .. } => {
                self.writer.put(Backend::EmptyQueryResponse(EmptyQueryResponse::new()));
                return Ok(());
            }
        };
        self.notices();
        self.writer.put(report::complete(tag));
        Ok(())
    }

    /// Sync: ends the batch, and its transaction.
    pub(super) async fn sync(&mut self) -> Result<(), End> {
        let failed = std::mem::take(&mut self.skipping);
        if std::mem::take(&mut self.implicit)
            && let Err(stop) = self.end_implicit(!failed).await
        {
            self.fail(stop)?;
        }
        // Portals live as long as their transaction.
        if self.is_idle() {
            self.portals.clear();
        }
        self.ready();
        Ok(())
    }
}

/// Format codes for `count` values: none is text for all, one is for all.
fn spread(codes: &[i16], count: usize) -> Option<Result<Vec<Format>>> {
    match codes {
        [] => Some(Ok(vec![Format::Text; count])),
        [one] => Some(Format::of(*one).map(|format| vec![format; count])),
        each if each.len() == count => Some(each.iter().map(|code| Format::of(*code)).collect()),
        _ => None,
    }
}

/// A client that was told one row shape must not get another.
fn same_columns(described: Option<&[Column]>, columns: &[Column]) -> Result<()> {
    let oids = |columns: &[Column]| columns.iter().map(|c| pg_type(&c.field).oid).collect::<Vec<_>>();
    if described.is_some_and(|described| oids(described) == oids(columns)) {
        return Ok(());
    }
    Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type")
        .with_hint("Prepare the statement again."))
}

fn no_portal(name: &str) -> Error {
    Error::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn too_many(what: &str) -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a connection can have {MAX_PREPARED} {what} at most"))
        .with_hint("Close those that are not used any more.")
}
