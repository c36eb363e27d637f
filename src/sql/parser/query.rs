//! SELECT, INSERT, UPDATE, DELETE, TRUNCATE, COPY, SUBSCRIBE.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, fold};
use crate::error::{Error, Result, SqlState};
use crate::sql::Statement;
use crate::sql::statement::{
    AsOf, ConflictUpdate, CopyFormat, CopyFrom, CopyOptions, CopyTo, Delete, Envelope, EnvelopeKind, Insert, Name,
    OnConflict, Query, Select, Streamed, Subscribe, Update,
};

impl Cursor<'_> {
    pub(super) fn query_statement(&mut self) -> Result<Statement> {
        let query = self.query()?;
        if self.words(&["emit", "changes"]) {
            let mut subscribe = Subscribe::new(query, None);
            self.subscribe_options(&mut subscribe)?;
            return Ok(Statement::Subscribe(subscribe));
        }
        Ok(Statement::Query(Select { query, as_of: self.as_of()? }))
    }

    /// Whether AS OF comes next, with something that is no alias.
    pub(super) fn peek_as_of(&self) -> bool {
        self.peek_words(&["as", "of"])
            && matches!(&self.parser.peek_token_ref().token, Token::Word(word) if word.keyword == Keyword::NoKeyword)
    }

    /// `AS OF 5` and `AS OF $1`.
    fn as_of(&mut self) -> Result<Option<AsOf>> {
        if !self.peek_as_of() {
            return Ok(None);
        }
        self.words(&["as", "of"]);
        let parameter = match &self.parser.peek_token_ref().token {
            Token::Number(..) => return self.number().map(|epoch| Some(AsOf::Epoch(epoch))),
            Token::Placeholder(name) => name.strip_prefix('$').and_then(|n| n.parse::<u16>().ok()).filter(|n| *n > 0),
            _ => {
                let hint = "AS OF takes the number of an epoch; highwater.epochs says when each was closed.";
                return Err(Error::unsupported("AS OF a time", hint).with_position(self.position()));
            }
        };
        let parameter = parameter.ok_or_else(|| self.error_here())?;
        self.parser.next_token();
        Ok(Some(AsOf::Parameter(parameter.into())))
    }

    pub(super) fn insert(&mut self) -> Result<Statement> {
        self.expect_word("insert")?;
        let token = self.parser.get_current_token().clone();
        if !self.peek_word("into") {
            return Err(self.error_here());
        }
        let ast::Statement::Insert(insert) = self.rule(|p| p.parse_insert(token))? else {
            return Err(self.error_here());
        };
        let ast::TableObject::TableName(name) = &insert.table else { return Err(self.error_here()) };
        let columns = insert.columns.iter().map(|c| self.column_of(c)).collect::<Result<_>>()?;
        let on_conflict = insert.on.map(|on| self.on_conflict(on)).transpose()?;
        Ok(Statement::Insert(Box::new(Insert {
            target: self.name_of(name)?,
            alias: insert.table_alias.map(|a| fold(&a.alias)),
            columns,
            source: insert.source.map(|tree| Query::whole(tree, self.source.text())),
            on_conflict,
            returning: insert.returning,
            text: self.source.text().to_owned(),
        })))
    }

    fn column_of(&self, name: &ast::ObjectName) -> Result<(String, usize)> {
        let name = self.name_of(name)?;
        match name.schema {
            None => Ok((name.name, name.position)),
            Some(schema) => {
                Err(Error::unsupported(format!("column \"{schema}.{}\"", name.name), "Name the column only."))
            }
        }
    }

    fn on_conflict(&self, on: ast::OnInsert) -> Result<OnConflict> {
        let ast::OnInsert::OnConflict(on) = on else {
            return Err(Error::unsupported("ON DUPLICATE KEY", "Use ON CONFLICT (columns) DO UPDATE."));
        };
        let target = match on.conflict_target {
            None => vec![],
            Some(ast::ConflictTarget::Columns(columns)) => columns.iter().map(|c| self.ident_of(c)).collect(),
            Some(ast::ConflictTarget::OnConstraint(_)) => {
                return Err(Error::unsupported("ON CONFLICT ON CONSTRAINT", "Name the key's columns in parentheses."));
            }
        };
        let update = match on.action {
            ast::OnConflictAction::DoNothing => None,
            ast::OnConflictAction::DoUpdate(update) => {
                Some(ConflictUpdate { assignments: update.assignments, filter: update.selection })
            }
        };
        if update.is_some() && target.is_empty() {
            let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, message).with_hint("For example, ON CONFLICT (column_name).")
            );
        }
        Ok(OnConflict { target, update })
    }

    pub(super) fn update(&mut self) -> Result<Statement> {
        self.expect_word("update")?;
        let token = self.parser.get_current_token().clone();
        let ast::Statement::Update(update) = self.rule(|p| p.parse_update(token))? else {
            return Err(self.error_here());
        };
        if update.limit.is_some() || update.or.is_some() {
            return Err(Error::unsupported("this form of UPDATE", "Use UPDATE t SET .. WHERE .."));
        }
        let (target, alias) = self.target(&update.table)?;
        let from = match update.from {
            None => vec![],
            Some(ast::UpdateTableFromKind::AfterSet(from)) => from,
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => {
                return Err(Error::syntax("syntax error at or near \"FROM\"", None));
            }
        };
        Ok(Statement::Update(Box::new(Update {
            target,
            alias,
            assignments: update.assignments,
            from,
            filter: update.selection,
            returning: update.returning,
            text: self.source.text().to_owned(),
        })))
    }

    pub(super) fn delete(&mut self) -> Result<Statement> {
        self.expect_word("delete")?;
        if !self.peek_word("from") {
            return Err(self.error_here());
        }
        let token = self.parser.get_current_token().clone();
        let ast::Statement::Delete(delete) = self.rule(|p| p.parse_delete(token))? else {
            return Err(self.error_here());
        };
        let ast::FromTable::WithFromKeyword(from) = &delete.from else { return Err(self.error_here()) };
        let [table] = from.as_slice() else {
            return Err(Error::unsupported("DELETE from several tables", "Use DELETE FROM t USING .."));
        };
        if delete.limit.is_some() || !delete.order_by.is_empty() {
            return Err(Error::unsupported("DELETE .. ORDER BY .. LIMIT", "Choose the rows in WHERE."));
        }
        let (target, alias) = self.target(table)?;
        Ok(Statement::Delete(Box::new(Delete {
            target,
            alias,
            using: delete.using.unwrap_or_default(),
            filter: delete.selection,
            returning: delete.returning,
            text: self.source.text().to_owned(),
        })))
    }

    fn target(&self, table: &ast::TableWithJoins) -> Result<(Name, Option<String>)> {
        match &table.relation {
            ast::TableFactor::Table { name, alias, args: None, .. } if table.joins.is_empty() => {
                Ok((self.name_of(name)?, alias.as_ref().map(|a| fold(&a.name))))
            }
            _ => Err(Error::new(SqlState::WRONG_OBJECT_TYPE, "the target of UPDATE and DELETE must be a table")),
        }
    }

    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.expect_word("truncate")?;
        self.word("table");
        self.word("only");
        let names = self.names()?;
        if self.words(&["restart", "identity"]) {
            return Err(Error::unsupported("TRUNCATE .. RESTART IDENTITY", "There are no sequences; leave it out."));
        }
        if !self.words(&["continue", "identity"]) {
            self.word("restrict");
        }
        if self.word("cascade") {
            return Err(Error::unsupported("TRUNCATE .. CASCADE", "There are no foreign keys; leave it out."));
        }
        Ok(Statement::Truncate(names))
    }

    pub(super) fn subscribe(&mut self) -> Result<Subscribe> {
        self.expect_word("subscribe")?;
        self.word("to");
        let mut subscribe = if self.token(&Token::LParen) {
            let query = self.query()?;
            if self.peek_as_of() {
                let hint = "Put it behind the parentheses: SUBSCRIBE (SELECT ..) AS OF 5.";
                return Err(Error::unsupported("AS OF in SUBSCRIBE's query", hint).with_position(self.position()));
            }
            self.expect(&Token::RParen)?;
            Subscribe::new(query, None)
        } else if self.peek_word("select") || self.peek_word("with") {
            Err(self.error_here().with_hint("Put the query in parentheses: SUBSCRIBE (SELECT ..)."))?
        } else {
            let offset = self.position() - 1;
            let name = self.name()?;
            let text = self.text_since(offset);
            Subscribe::new(super::reparse_query(&format!("SELECT * FROM {text}"))?, Some(name))
        };
        self.subscribe_options(&mut subscribe)?;
        Ok(subscribe)
    }

    fn subscribe_options(&mut self, subscribe: &mut Subscribe) -> Result<()> {
        loop {
            if self.word("with") {
                self.expect(&Token::LParen)?;
                loop {
                    let (option, position) = self.ident()?;
                    self.token(&Token::Eq);
                    let on = self.boolean_option()?;
                    match option.as_str() {
                        "snapshot" => subscribe.snapshot = on,
                        "progress" => subscribe.progress = on,
                        _ => {
                            return Err(unknown_option(&option, "SUBSCRIBE", "Options are SNAPSHOT and PROGRESS.")
                                .with_position(position));
                        }
                    }
                    if !self.token(&Token::Comma) {
                        break;
                    }
                }
                self.expect(&Token::RParen)?;
            } else if self.words(&["as", "of"]) {
                subscribe.as_of = Some(self.number()?);
            } else if self.words(&["up", "to"]) {
                subscribe.up_to = Some(self.number()?);
            } else if self.word("envelope") {
                subscribe.envelope = Some(self.envelope()?);
            } else if self.peek_word("within") {
                let hint = "Rows of an epoch come with retractions first; leave it out.";
                return Err(Error::unsupported("WITHIN TIMESTAMP ORDER BY", hint));
            } else if self.peek_word("limit") || self.peek_word("fetch") {
                let hint = "Leave it out, and stop reading when you have enough, or end it at an epoch with UP TO.";
                return Err(Error::unsupported("LIMIT in a subscription", hint).with_position(self.position()));
            } else {
                return range(subscribe.as_of, subscribe.up_to);
            }
        }
    }

    /// UPSERT or DEBEZIUM, and perhaps `(KEY (columns))`.
    fn envelope(&mut self) -> Result<Envelope> {
        let kind = match self.next_word().as_deref() {
            Some("upsert") => EnvelopeKind::Upsert,
            Some("debezium") => EnvelopeKind::Debezium,
            Some(other) => {
                let hint = "Use ENVELOPE UPSERT (KEY (a, b)) or ENVELOPE DEBEZIUM (KEY (a, b)), or leave it out.";
                return Err(Error::unsupported(format!("ENVELOPE {}", other.to_uppercase()), hint));
            }
            None => return Err(self.error_here()),
        };
        self.parser.next_token();
        let mut key = None;
        if self.token(&Token::LParen) {
            self.expect_word("key")?;
            key = Some(self.column_list()?);
            self.expect(&Token::RParen)?;
        }
        Ok(Envelope { kind, key })
    }

    /// `true`, `on`, `'false'`, 1, ..; nothing at all means true.
    pub(super) fn boolean_option(&mut self) -> Result<bool> {
        let value = match &self.parser.peek_token_ref().token {
            Token::Word(w) => w.value.to_ascii_lowercase(),
            Token::SingleQuotedString(s) => s.to_ascii_lowercase(),
            Token::Number(n, _) => n.clone(),
            _ => return Ok(true),
        };
        let on = match value.as_str() {
            "true" | "on" | "yes" | "1" => true,
            "false" | "off" | "no" | "0" => false,
            _ => return Err(self.error_here()),
        };
        self.parser.next_token();
        Ok(on)
    }

    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.expect_word("copy")?;
        self.word("binary")
            .then(|| Error::unsupported("COPY BINARY t", "Use WITH (FORMAT binary)."))
            .map_or(Ok(()), Err)?;
        if self.token(&Token::LParen) {
            let source = self.streamed()?;
            self.expect(&Token::RParen)?;
            self.copy_target("to", "stdout")?;
            return Ok(Statement::CopyTo(CopyTo { source, options: self.copy_options()? }));
        }
        let offset = self.position() - 1;
        let target = self.name()?;
        let name_text = self.text_since(offset);
        let columns = if self.peek(&Token::LParen) { self.column_list()? } else { vec![] };
        if self.peek_word("from") {
            self.copy_target("from", "stdin")?;
            let options = self.copy_options()?;
            if self.peek_word("where") {
                let hint = "COPY into a table of its own, and INSERT INTO .. SELECT .. WHERE from that.";
                return Err(Error::unsupported("COPY FROM .. WHERE", hint).with_position(self.position()));
            }
            return Ok(Statement::CopyFrom(CopyFrom { target, columns, options }));
        }
        let quoted: Vec<String> = columns.iter().map(|(c, _)| format!("\"{}\"", c.replace('"', "\"\""))).collect();
        let list = if quoted.is_empty() { "*".to_owned() } else { quoted.join(", ") };
        let query = super::reparse_query(&format!("SELECT {list} FROM {name_text}"))?;
        self.copy_target("to", "stdout")?;
        let source = Streamed::Query(Select { query, as_of: None });
        Ok(Statement::CopyTo(CopyTo { source, options: self.copy_options()? }))
    }

    /// A query, a subscription, or a query with EMIT CHANGES.
    pub(super) fn streamed(&mut self) -> Result<Streamed> {
        if self.peek_word("subscribe") {
            return Ok(Streamed::Subscribe(Box::new(self.subscribe()?)));
        }
        let query = self.query()?;
        if self.words(&["emit", "changes"]) {
            let mut subscribe = Subscribe::new(query, None);
            self.subscribe_options(&mut subscribe)?;
            return Ok(Streamed::Subscribe(Box::new(subscribe)));
        }
        Ok(Streamed::Query(Select { query, as_of: self.as_of()? }))
    }

    fn copy_target(&mut self, direction: &str, stream: &str) -> Result<()> {
        self.expect_word(direction)?;
        if self.word(stream) {
            return Ok(());
        }
        let file =
            self.peek_word("program") || matches!(self.parser.peek_token_ref().token, Token::SingleQuotedString(_));
        if !file {
            return Err(self.error_here());
        }
        let what = format!("COPY {} a file", direction.to_uppercase());
        let hint = format!("Use COPY {} {}; psql's \\copy does.", direction.to_uppercase(), stream.to_uppercase());
        Err(Error::unsupported(what, hint))
    }

    fn copy_options(&mut self) -> Result<CopyOptions> {
        let mut options = CopyOptions::default();
        self.word("with");
        if self.token(&Token::LParen) {
            loop {
                let (option, position) = self.ident()?;
                self.copy_option(&mut options, &option, position)?;
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
            return Ok(options);
        }
        while let Some(option) = self.next_word().filter(|o| o != "where") {
            let position = self.position();
            self.parser.next_token();
            self.word("as");
            match option.as_str() {
                "csv" => options.format = CopyFormat::Csv,
                "binary" => options.format = CopyFormat::Binary,
                "header" => options.header = true,
                other => self.copy_option(&mut options, other, position)?,
            }
        }
        Ok(options)
    }

    fn copy_option(&mut self, options: &mut CopyOptions, option: &str, position: usize) -> Result<()> {
        match option {
            "format" => {
                let format = if self.next_word().is_some() { self.ident()?.0 } else { self.string()? };
                options.format = match format.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    other => {
                        let message = format!("COPY format \"{other}\" not recognized");
                        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(position));
                    }
                };
            }
            "delimiter" | "delimiters" => options.delimiter = Some(self.one_byte("delimiter")?),
            "null" => options.null = Some(self.string()?),
            "header" => options.header = self.boolean_option()?,
            "quote" => options.quote = Some(self.one_byte("quote")?),
            "escape" => options.escape = Some(self.one_byte("escape")?),
            "encoding" => {
                let encoding = self.string()?;
                if !matches!(encoding.to_ascii_lowercase().replace('-', "").as_str(), "utf8" | "unicode") {
                    return Err(Error::unsupported(format!("COPY encoding \"{encoding}\""), "Send UTF-8."));
                }
            }
            "force_quote" | "force_not_null" | "force_null" | "freeze" | "force" | "oids" => {
                return Err(Error::unsupported(format!("COPY option {}", option.to_uppercase()), "Leave it out."));
            }
            other => {
                return Err(Error::syntax(format!("option \"{other}\" not recognized"), Some(position)));
            }
        }
        Ok(())
    }

    fn one_byte(&mut self, what: &str) -> Result<char> {
        let s = self.string()?;
        let mut chars = s.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() => Ok(c),
            _ => Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("COPY {what} must be a single one-byte character"),
            )),
        }
    }
}

/// AS OF and UP TO in their order.
fn range(as_of: Option<u64>, up_to: Option<u64>) -> Result<()> {
    match (as_of, up_to) {
        (Some(from), Some(to)) if to < from => {
            let message = format!("UP TO {to} lies before AS OF {from}");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_hint("AS OF is where the subscription begins, UP TO where it ends."))
        }
        _ => Ok(()),
    }
}

/// 22023, as PostgreSQL words it.
pub(super) fn unknown_option(option: &str, of: &str, hint: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized {of} option \"{option}\"")).with_hint(hint)
}

impl Subscribe {
    fn new(query: Query, relation: Option<Name>) -> Self {
        Self { query, relation, snapshot: true, progress: false, as_of: None, up_to: None, envelope: None }
    }
}
