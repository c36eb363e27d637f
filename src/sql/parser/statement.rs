//! The first word decides which statement it is.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::error::{Error, Result};
use crate::sql::Statement;

impl Cursor<'_> {
    /// A statement up to the end of the text.
    pub(super) fn whole_statement(mut self) -> Result<Statement> {
        let statement = self.statement()?;
        if self.at_end() {
            return Ok(statement);
        }
        Err(if self.peek_as_of() {
            without_as_of(&statement).with_position(self.position())
        } else {
            self.error_here()
        })
    }

    pub(super) fn statement(&mut self) -> Result<Statement> {
        let Some(word) = self.next_word() else {
            return if self.peek(&Token::LParen) { self.query_statement() } else { Err(self.error_here()) };
        };
        match word.as_str() {
            "select" | "with" | "values" | "table" => self.query_statement(),
            "insert" => self.insert(),
            "update" => self.update(),
            "delete" => self.delete(),
            "truncate" => self.truncate(),
            "copy" => self.copy(),
            "subscribe" => Ok(Statement::Subscribe(self.subscribe()?)),
            "create" => self.create(),
            "drop" => self.drop_statement(),
            "alter" => self.alter(),
            "rebuild" => self.rebuild(),
            "comment" => self.comment(),
            "flush" => self.lone(Statement::Flush),
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => self.transaction(),
            "declare" => self.declare(),
            "fetch" | "move" => self.fetch(),
            "close" => self.close(),
            "show" | "describe" | "desc" => self.show(),
            "explain" => self.explain(),
            "set" => self.set(),
            "reset" => self.reset(),
            "discard" => self.discard(),
            "prepare" => self.prepare(),
            "execute" => self.execute(),
            "deallocate" => self.deallocate(),
            "unlisten" => self.unlisten(),
            other => Err(refused(other).unwrap_or_else(|| self.error_here())),
        }
    }

    /// A statement of one word.
    pub(super) fn lone(&mut self, statement: Statement) -> Result<Statement> {
        self.parser.next_token();
        Ok(statement)
    }
}

/// AS OF behind a statement that does not take it.
fn without_as_of(statement: &Statement) -> Error {
    let (what, hint) = match statement {
        Statement::Insert(_) => {
            ("INSERT .. AS OF", "COPY (SELECT .. AS OF e) TO STDOUT gives the rows, and COPY t FROM STDIN takes them.")
        }
        Statement::CreateView(_) | Statement::CreateMaterializedView(_) => {
            ("AS OF in a view", "A view follows what it reads; SELECT .. FROM view AS OF e shows what it was.")
        }
        _ => ("AS OF in this statement", "Put it at the end of a SELECT."),
    };
    Error::unsupported(what, hint)
}

/// PostgreSQL's statements that Highwater does not have.
fn refused(word: &str) -> Option<Error> {
    let hint = match word {
        "listen" | "notify" => "Use SUBSCRIBE to be told of changes.",
        "refresh" => "Materialized views keep themselves up to date; nothing has to be refreshed.",
        "merge" => "Use INSERT .. ON CONFLICT DO UPDATE.",
        "lock" => "Transactions see one epoch and conflicts are detected at COMMIT; no lock is needed.",
        "grant" | "revoke" | "reassign" => "There are no privileges: all who may connect may do everything.",
        "vacuum" | "analyze" | "cluster" | "reindex" | "checkpoint" => "Nothing of that kind has to be maintained.",
        "call" | "do" => "There are no procedures; send the statements themselves.",
        "import" | "security" | "load" => "There is nothing like it.",
        _ => return None,
    };
    Some(Error::unsupported(word.to_uppercase(), hint))
}
