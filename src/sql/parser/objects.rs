//! DROP, COMMENT ON.

use super::cursor::{Cursor, name_of_parts};
use crate::error::{Error, Result};
use crate::sql::statement::{Comment, Drop, RelationKind, Statement};

impl Cursor<'_> {
    /// TABLE, SOURCE, SINK, VIEW, MATERIALIZED VIEW.
    pub(super) fn relation_kind(&mut self) -> Option<RelationKind> {
        if self.word("table") {
            Some(RelationKind::Table)
        } else if self.word("source") {
            Some(RelationKind::Source)
        } else if self.word("sink") {
            Some(RelationKind::Sink)
        } else if self.word("view") {
            Some(RelationKind::View)
        } else if self.words(&["materialized", "view"]) {
            Some(RelationKind::MaterializedView)
        } else {
            None
        }
    }

    /// Refuses what is no relation; `verb` is DROP, ALTER, ..
    pub(super) fn refused_kind(&self, verb: &str) -> Error {
        match self.next_word() {
            Some(word)
                if matches!(
                    word.as_str(),
                    "index"
                        | "function"
                        | "schema"
                        | "database"
                        | "sequence"
                        | "type"
                        | "domain"
                        | "role"
                        | "user"
                        | "extension"
                        | "trigger"
                        | "aggregate"
                        | "procedure"
                        | "owned"
                        | "default"
                ) =>
            {
                Error::unsupported(format!("{verb} {}", word.to_uppercase()), "There is nothing of that kind.")
            }
            _ => self.error_here(),
        }
    }

    pub(super) fn drop_statement(&mut self) -> Result<Statement> {
        self.expect_word("drop")?;
        let Some(kind) = self.relation_kind() else { return Err(self.refused_kind("DROP")) };
        let if_exists = self.words(&["if", "exists"]);
        let names = self.names()?;
        let cascade = self.word("cascade");
        if !cascade {
            self.word("restrict");
        }
        Ok(Statement::Drop(Drop { kind, names, if_exists, cascade }))
    }

    pub(super) fn comment(&mut self) -> Result<Statement> {
        self.expect_words(&["comment", "on"])?;
        let (kind, name, column) = if self.word("column") {
            let (mut parts, position) = self.parts()?;
            let column = parts.pop();
            if parts.is_empty() {
                return Err(Error::syntax("column name must be qualified", Some(position)));
            }
            (RelationKind::Table, name_of_parts(parts, position)?, column)
        } else {
            let Some(kind) = self.relation_kind() else { return Err(self.refused_kind("COMMENT ON")) };
            (kind, self.name()?, None)
        };
        self.expect_word("is")?;
        let text = if self.word("null") { None } else { Some(self.string()?) };
        Ok(Statement::Comment(Comment { kind, name, column, text }))
    }
}
