//! Simple queries: a string with any number of statements, run one after the other; an error ends them all.

use std::time::Instant;

use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::response::EmptyQueryResponse;

use super::connection::{Connection, Stop, unpanicked};
use super::encode::RowEncoder;
use super::rows::RowStream;
use super::socket::End;
use super::{Format, report};
use crate::engine::Parsed;
use crate::engine::outcome::Outcome;

impl Connection {
    /// Runs a query string and says ReadyForQuery.
    pub(super) async fn simple(&mut self, text: &str) -> Result<(), End> {
        self.statements.remove("");
        self.portals.remove("");
        // Statements of the extended protocol before it, without Sync, belong to a transaction that ends here.
        let before = if std::mem::take(&mut self.implicit) { self.end_implicit(true).await } else { Ok(()) };
        let done = match before {
            Ok(()) => self.statements(text).await,
            failed => failed,
        };
        if let Err(stop) = done {
            self.fail(stop)?;
        }
        self.offset = 0;
        if self.is_idle() {
            self.portals.clear();
        }
        self.ready();
        Ok(())
    }

    async fn statements(&mut self, text: &str) -> Result<(), Stop> {
        let parsed = unpanicked(|| self.session.parse(text))?;
        match parsed.as_slice() {
            [] => self.writer.put(Backend::EmptyQueryResponse(EmptyQueryResponse::new())),
            [one] => {
                self.offset = offset(text, &mut 0, one);
                self.statement(one).await?;
            }
            many => {
                self.session.begin_implicit();
                let mut done = Ok(());
                let mut from = 0;
                for one in many {
                    self.offset = offset(text, &mut from, one);
                    done = self.statement(one).await;
                    if done.is_err() {
                        break;
                    }
                }
                match done {
                    Ok(()) => self.end_implicit(true).await?,
                    Err(Stop::Error(error)) => {
                        self.end_implicit(false).await?;
                        return Err(error.into());
                    }
                    end => return end,
                }
            }
        }
        Ok(())
    }

    async fn statement(&mut self, parsed: &Parsed) -> Result<(), Stop> {
        let start = Instant::now();
        self.metrics.statements.inc();
        let prepared = self.prepare(parsed, &[]).await?;
        let outcome = self.execute_prepared(&prepared, Vec::new()).await?;
        self.notices();
        match outcome {
            Outcome::Done { tag } => self.writer.put(report::complete(tag)),
            Outcome::Empty => self.writer.put(Backend::EmptyQueryResponse(EmptyQueryResponse::new())),
            Outcome::Rows { columns, rows, tag } => {
                let formats = vec![Format::Text; columns.len()];
                self.writer.put(report::columns(&columns, &formats));
                let encoder = RowEncoder::new(&columns, formats, self.zone());
                let mut rows = RowStream::new(rows, self.session.cancel_token());
                let (sent, _) = self.send_rows(&mut rows, &encoder, None).await?;
                drop(rows);
                self.notices();
                self.writer.put(report::complete(format!("{tag} {sent}")));
            }
            Outcome::CopyOut { schema, rows, format } => {
                let tag = self.copy_out(schema, rows, format).await?;
                self.notices();
                self.writer.put(report::complete(tag));
            }
            Outcome::CopyIn { schema, format, sink } => {
                let tag = self.copy_in(schema, format, sink).await?;
                self.notices();
                self.writer.put(report::complete(tag));
            }
        }
        self.metrics.statement_seconds.observe(start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Where a statement's own text starts in the whole string, in characters. `from` (a byte offset) is moved behind it.
fn offset(text: &str, from: &mut usize, statement: &Parsed) -> usize {
    let Some(at) = text.get(*from..).and_then(|rest| rest.find(statement.text.as_str())) else { return 0 };
    let start = *from + at;
    *from = start + statement.text.len();
    text[..start].chars().count()
}
