//! ALTER.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::error::{Error, Result};
use crate::sql::statement::{Action, AlterTable, Name, Pause, Rebuild, RelationKind, Rename, Statement};

impl Cursor<'_> {
    pub(super) fn alter(&mut self) -> Result<Statement> {
        self.expect_word("alter")?;
        if self.word("system") {
            return self.alter_system();
        }
        let Some(kind) = self.relation_kind() else { return Err(self.refused_kind("ALTER")) };
        let if_exists = self.words(&["if", "exists"]);
        self.word("only");
        let name = self.name()?;
        if self.words(&["rename", "to"]) {
            let (to, position) = self.ident()?;
            let to = Name { schema: None, name: to, position };
            return Ok(Statement::Rename(Rename { kind, name, if_exists, to, swap: false }));
        }
        if self.words(&["swap", "with"]) {
            let to = self.name()?;
            return Ok(Statement::Rename(Rename { kind, name, if_exists, to, swap: true }));
        }
        if let Some(word) = self.next_word().filter(|word| word == "pause" || word == "resume") {
            if kind != RelationKind::MaterializedView {
                return Err(Error::unsupported(
                    format!("ALTER .. {} of anything but a materialized view", word.to_uppercase()),
                    "Write ALTER MATERIALIZED VIEW, or leave out of views what they are not to read.",
                ));
            }
            self.expect_word(&word)?;
            return Ok(Statement::Pause(Pause { name, if_exists, resume: word == "resume" }));
        }
        let actions = match self.word("rename") {
            true => vec![self.rename_column()?],
            false => self.actions(kind, &name.name)?,
        };
        Ok(Statement::AlterTable(AlterTable { kind, name, if_exists, actions }))
    }

    /// REBUILD [MATERIALIZED] VIEW v [FROM TIMESTAMP '..'].
    pub(super) fn rebuild(&mut self) -> Result<Statement> {
        self.expect_word("rebuild")?;
        self.word("materialized");
        self.expect_word("view")?;
        let name = self.name()?;
        let mut from = None;
        if self.word("from") {
            if !self.word("timestamptz") {
                self.word("timestamp");
            }
            let position = self.position();
            from = Some((self.string()?, position));
        }
        Ok(Statement::Rebuild(Rebuild { name, from }))
    }

    fn rename_column(&mut self) -> Result<Action> {
        if self.peek_word("constraint") {
            return Err(Error::unsupported("ALTER .. RENAME CONSTRAINT", "Keys are called after their table."));
        }
        self.word("column");
        let (column, _) = self.ident()?;
        self.expect_word("to")?;
        let (to, _) = self.ident()?;
        Ok(Action::Rename { column, to })
    }

    fn actions(&mut self, kind: RelationKind, table: &str) -> Result<Vec<Action>> {
        let mut actions = vec![self.action(kind, table)?];
        while self.token(&Token::Comma) {
            actions.push(self.action(kind, table)?);
        }
        Ok(actions)
    }

    fn action(&mut self, kind: RelationKind, table: &str) -> Result<Action> {
        if self.word("add") {
            self.add_column(table)
        } else if self.word("drop") {
            self.drop_column()
        } else if self.word("alter") {
            self.alter_column()
        } else {
            Err(self.refused_action(kind))
        }
    }

    fn add_column(&mut self, table: &str) -> Result<Action> {
        if !self.word("column")
            && ["constraint", "primary", "unique", "check", "foreign", "exclude"]
                .iter()
                .any(|word| self.peek_word(word))
        {
            let hint = "Keys are declared in CREATE TABLE; NOT NULL is ALTER COLUMN .. SET NOT NULL.";
            return Err(Error::unsupported("ALTER TABLE .. ADD of a constraint", hint));
        }
        let if_not_exists = self.if_not_exists();
        let column = Box::new(self.column_alone(table)?);
        Ok(Action::Add { column, if_not_exists })
    }

    fn drop_column(&mut self) -> Result<Action> {
        if self.peek_word("constraint") {
            let hint = "Keys stay as they are; NOT NULL goes with ALTER COLUMN .. DROP NOT NULL.";
            return Err(Error::unsupported("ALTER TABLE .. DROP CONSTRAINT", hint));
        }
        self.word("column");
        let if_exists = self.words(&["if", "exists"]);
        let (column, _) = self.ident()?;
        let cascade = self.word("cascade");
        if !cascade {
            self.word("restrict");
        }
        Ok(Action::Drop { column, if_exists, cascade })
    }

    fn alter_column(&mut self) -> Result<Action> {
        self.word("column");
        let (column, _) = self.ident()?;
        if self.words(&["set", "default"]) {
            return Ok(Action::Default { column, default: Some(Box::new(self.expr()?)) });
        }
        if self.words(&["drop", "default"]) {
            return Ok(Action::Default { column, default: None });
        }
        if self.words(&["set", "not", "null"]) {
            return Ok(Action::NotNull { column, required: true });
        }
        if self.words(&["drop", "not", "null"]) {
            return Ok(Action::NotNull { column, required: false });
        }
        if self.peek_word("type") || self.words(&["set", "data", "type"]) {
            let hint = "Add a column of the new type, UPDATE it, drop the old one and rename the new one.";
            return Err(Error::unsupported("ALTER COLUMN .. TYPE", hint));
        }
        for word in ["set", "reset", "add", "drop", "restart"] {
            if self.peek_word(word) {
                let hint = "DEFAULT and NOT NULL can be set and dropped.";
                return Err(Error::unsupported(format!("ALTER COLUMN .. {}", word.to_uppercase()), hint));
            }
        }
        Err(self.error_here())
    }

    fn refused_action(&self, kind: RelationKind) -> Error {
        let Some(word) = self.next_word() else { return self.error_here() };
        match word.as_str() {
            "set" | "reset" | "owner" | "enable" | "disable" | "attach" | "detach" | "inherit" | "no" | "validate"
            | "cluster" | "replica" | "force" | "depends" | "of" | "not" => {
                let hint = match kind {
                    RelationKind::Table => {
                        "Columns can be added, dropped, renamed, and have DEFAULT and NOT NULL changed."
                    }
                    _ => "Only RENAME TO is; else DROP the object and CREATE it anew.",
                };
                Error::unsupported(format!("ALTER .. {}", word.to_uppercase()), hint)
            }
            _ => self.error_here(),
        }
    }

    fn alter_system(&mut self) -> Result<Statement> {
        if self.word("reset") {
            let name = if self.word("all") { None } else { Some(self.setting_name()?) };
            return Ok(Statement::AlterSystem { name, value: None });
        }
        self.expect_word("set")?;
        let name = Some(self.setting_name()?);
        let value = self.setting_value()?;
        Ok(Statement::AlterSystem { name, value })
    }
}
