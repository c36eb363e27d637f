//! Transactions, cursors, settings, prepared statements, SHOW, EXPLAIN.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::error::{Error, Result, SqlState};
use crate::sql::interval;
use crate::sql::statement::{
    Declare, Discard, Explain, ExplainOptions, Explained, Fetch, RelationKind, Show, Statement, Streamed,
    TransactionModes,
};

impl Cursor<'_> {
    pub(super) fn transaction(&mut self) -> Result<Statement> {
        let word = self.ident()?.0;
        match word.as_str() {
            "begin" => {
                self.work();
                Ok(Statement::Begin(self.transaction_modes()?))
            }
            "start" => {
                self.expect_word("transaction")?;
                Ok(Statement::Begin(self.transaction_modes()?))
            }
            "commit" | "end" => {
                if self.peek_word("prepared") {
                    return Err(two_phase("COMMIT PREPARED"));
                }
                self.work();
                self.no_chain()?;
                Ok(Statement::Commit)
            }
            "savepoint" => Ok(Statement::Savepoint(self.ident()?.0)),
            "release" => {
                self.word("savepoint");
                Ok(Statement::Release(self.ident()?.0))
            }
            _ => {
                if self.peek_word("prepared") {
                    return Err(two_phase("ROLLBACK PREPARED"));
                }
                self.work();
                if self.word("to") {
                    self.word("savepoint");
                    return Ok(Statement::RollbackTo(self.ident()?.0));
                }
                self.no_chain()?;
                Ok(Statement::Rollback)
            }
        }
    }

    fn work(&mut self) {
        if !self.word("work") {
            self.word("transaction");
        }
    }

    fn no_chain(&mut self) -> Result<()> {
        if self.words(&["and", "chain"]) {
            return Err(Error::unsupported("AND CHAIN", "Send BEGIN after it."));
        }
        self.words(&["and", "no", "chain"]);
        Ok(())
    }

    fn transaction_modes(&mut self) -> Result<TransactionModes> {
        let mut modes = TransactionModes::default();
        loop {
            if self.words(&["isolation", "level"]) {
                let level = self.words(&["serializable"])
                    || self.words(&["repeatable", "read"])
                    || self.words(&["read", "committed"])
                    || self.words(&["read", "uncommitted"]);
                if !level {
                    return Err(self.error_here());
                }
            } else if self.words(&["read", "only"]) {
                modes.read_only = Some(true);
            } else if self.words(&["read", "write"]) {
                modes.read_only = Some(false);
            } else if !self.words(&["not", "deferrable"]) && !self.word("deferrable") {
                return Ok(modes);
            }
            self.token(&Token::Comma);
        }
    }

    pub(super) fn declare(&mut self) -> Result<Statement> {
        self.expect_word("declare")?;
        let (name, _) = self.ident()?;
        loop {
            if self.word("binary") {
                return Err(Error::unsupported(
                    "BINARY cursors",
                    "Ask for binary format in the protocol's Bind message.",
                ));
            } else if self.word("scroll") {
                return Err(Error::unsupported("SCROLL cursors", "Declare it with NO SCROLL; rows are read forward."));
            } else if !(self.word("insensitive") || self.word("asensitive") || self.words(&["no", "scroll"])) {
                break;
            }
        }
        self.expect_word("cursor")?;
        let hold = self.words(&["with", "hold"]);
        if !hold {
            self.words(&["without", "hold"]);
        }
        self.expect_word("for")?;
        let source = self.streamed()?;
        Ok(Statement::Declare(Declare { name, hold, source }))
    }

    pub(super) fn fetch(&mut self) -> Result<Statement> {
        let skip = self.word("move");
        if !skip {
            self.expect_word("fetch")?;
        }
        let count = self.fetch_count()?;
        if !self.word("from") {
            self.word("in");
        }
        let (cursor, _) = self.ident()?;
        let mut timeout_ms = None;
        if self.word("with") {
            self.expect(&Token::LParen)?;
            let (option, position) = self.ident()?;
            if option != "timeout" {
                return Err(super::query::unknown_option(
                    &option,
                    "FETCH",
                    "The option is timeout, as in timeout = '1s'.",
                )
                .with_position(position));
            }
            self.expect(&Token::Eq)?;
            let value = self.option_value()?;
            timeout_ms = Some(interval::duration_ms(&value)?);
            self.expect(&Token::RParen)?;
        }
        Ok(Statement::Fetch(Fetch { cursor, count, timeout_ms, skip }))
    }

    /// Rows at most; `None` is ALL.
    fn fetch_count(&mut self) -> Result<Option<u64>> {
        for backward in ["backward", "prior", "first", "last", "absolute", "relative"] {
            if self.peek_word(backward) && !self.behind_is_end() {
                let message = "cursor can only scan forward";
                return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("Use FETCH NEXT, FETCH FORWARD n or FETCH ALL."));
            }
        }
        if self.word("next") {
            return Ok(Some(1));
        }
        let forward = self.word("forward");
        if self.word("all") {
            return Ok(None);
        }
        match &self.parser.peek_token_ref().token {
            Token::Number(..) => self.number().map(Some),
            Token::Minus => Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")),
            _ => {
                let _ = forward;
                Ok(Some(1))
            }
        }
    }

    /// FETCH last: a cursor may be called like a direction.
    fn behind_is_end(&self) -> bool {
        self.parser.peek_nth_token_ref(1).token == Token::EOF
    }

    pub(super) fn close(&mut self) -> Result<Statement> {
        self.expect_word("close")?;
        Ok(Statement::Close(self.all_or_name()?))
    }

    fn all_or_name(&mut self) -> Result<Option<String>> {
        if self.word("all") { Ok(None) } else { Ok(Some(self.ident()?.0)) }
    }

    pub(super) fn show(&mut self) -> Result<Statement> {
        let describe = self.word("describe") || self.word("desc");
        if describe {
            if !self.word("table") {
                self.relation_kind();
            }
            return Ok(Statement::Show(Show::Columns(self.name()?)));
        }
        self.expect_word("show")?;
        let show = if self.word("all") {
            Show::All
        } else if self.word("tables") {
            Show::Relations(RelationKind::Table)
        } else if self.word("sources") {
            Show::Relations(RelationKind::Source)
        } else if self.word("sinks") {
            Show::Relations(RelationKind::Sink)
        } else if self.word("views") {
            Show::Relations(RelationKind::View)
        } else if self.words(&["materialized", "views"]) {
            Show::Relations(RelationKind::MaterializedView)
        } else if self.words(&["columns", "from"]) || self.words(&["columns", "in"]) {
            Show::Columns(self.name()?)
        } else if self.word("create") {
            let Some(kind) = self.relation_kind() else { return Err(self.error_here()) };
            Show::Create(kind, self.name()?)
        } else if self.words(&["time", "zone"]) {
            Show::Setting("timezone".to_owned())
        } else if self.words(&["transaction", "isolation", "level"]) {
            Show::Setting("transaction_isolation".to_owned())
        } else if self.words(&["session", "authorization"]) {
            Show::Setting("session_authorization".to_owned())
        } else {
            Show::Setting(self.setting_name()?)
        };
        Ok(Statement::Show(show))
    }

    pub(super) fn explain(&mut self) -> Result<Statement> {
        self.expect_word("explain")?;
        let mut options = ExplainOptions { analyze: false, verbose: false, json: false, timing: true, summary: true };
        if self.peek(&Token::LParen) && !self.query_in_parentheses() {
            self.token(&Token::LParen);
            loop {
                let (option, position) = self.ident()?;
                self.explain_option(&option, &mut options).map_err(|e| match e.parts().position {
                    Some(_) => e,
                    None => e.with_position(position),
                })?;
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        } else {
            options.analyze = self.word("analyze") || self.word("analyse");
            options.verbose = self.word("verbose");
        }
        let start = self.position() - 1;
        let what = if self.words(&["create", "materialized", "view"]) {
            if options.analyze {
                let hint = "Create the view, and then EXPLAIN ANALYZE MATERIALIZED VIEW.";
                return Err(Error::unsupported("EXPLAIN ANALYZE of CREATE MATERIALIZED VIEW", hint));
            }
            Explained::View(Box::new(self.materialized_view(start)?))
        } else if self.words(&["materialized", "view"]) {
            Explained::Running(self.name()?)
        } else if let Some(other) =
            ["insert", "update", "delete", "create", "execute", "declare"].iter().find(|word| self.peek_word(word))
        {
            let hint = "EXPLAIN takes a query, SUBSCRIBE, CREATE MATERIALIZED VIEW, or MATERIALIZED VIEW v.";
            let explain = if options.analyze { "EXPLAIN ANALYZE" } else { "EXPLAIN" };
            return Err(Error::unsupported(format!("{explain} of {}", other.to_uppercase()), hint));
        } else {
            match self.streamed()? {
                Streamed::Query(query) => Explained::Query(query),
                Streamed::Subscribe(_) if options.analyze => {
                    let hint = "Create a view, and then EXPLAIN ANALYZE MATERIALIZED VIEW.";
                    return Err(Error::unsupported("EXPLAIN ANALYZE of SUBSCRIBE", hint));
                }
                Streamed::Subscribe(subscribe) => Explained::Subscribe(subscribe),
            }
        };
        Ok(Statement::Explain(Explain { options, what }))
    }

    fn query_in_parentheses(&self) -> bool {
        matches!(&self.parser.peek_nth_token_ref(1).token, Token::LParen)
            || matches!(&self.parser.peek_nth_token_ref(1).token, Token::Word(w)
                if ["select", "with", "values", "table"].contains(&w.value.to_ascii_lowercase().as_str()))
    }

    fn explain_option(&mut self, option: &str, options: &mut ExplainOptions) -> Result<()> {
        match option {
            "verbose" => options.verbose = self.boolean_option()?,
            "analyze" | "analyse" => options.analyze = self.boolean_option()?,
            "timing" => options.timing = self.boolean_option()?,
            "summary" => options.summary = self.boolean_option()?,
            "costs" | "buffers" | "wal" | "settings" | "generic_plan" | "memory" => {
                if self.boolean_option()? {
                    let what = format!("EXPLAIN option {}", option.to_uppercase());
                    return Err(Error::unsupported(what, "Leave it out."));
                }
            }
            "format" => {
                let format = if self.next_word().is_some() { self.ident()?.0 } else { self.string()? };
                options.json = match format.to_ascii_lowercase().as_str() {
                    "text" => false,
                    "json" => true,
                    other => {
                        let what = format!("EXPLAIN format {}", other.to_uppercase());
                        return Err(Error::unsupported(what, "Use FORMAT TEXT or FORMAT JSON."));
                    }
                };
            }
            other => {
                let hint = "Options are ANALYZE, VERBOSE, FORMAT, TIMING and SUMMARY.";
                return Err(Error::syntax(format!("unrecognized EXPLAIN option \"{other}\""), None).with_hint(hint));
            }
        }
        Ok(())
    }

    pub(super) fn set(&mut self) -> Result<Statement> {
        self.expect_word("set")?;
        if self.words(&["session", "characteristics", "as", "transaction"]) || self.word("transaction") {
            return Ok(Statement::SetTransaction(self.transaction_modes()?));
        }
        if self.word("constraints") {
            return Err(Error::unsupported("SET CONSTRAINTS", "Constraints are checked by each statement."));
        }
        let local = self.word("local");
        if !local && !self.peek_words(&["session", "authorization"]) {
            self.word("session");
        }
        let set = |name: &str, value| Ok(Statement::Set { name: name.to_owned(), value, local });
        if self.words(&["time", "zone"]) {
            return set("timezone", self.zone_value()?);
        }
        if self.word("names") {
            let value = if self.word("default") { None } else { Some(self.option_value()?) };
            return set("client_encoding", value);
        }
        if self.words(&["session", "authorization"]) {
            return set("session_authorization", self.default_or_value()?);
        }
        if self.word("role") {
            self.token(&Token::Eq);
            return set("role", self.default_or_value()?);
        }
        let name = self.setting_name()?;
        let value = self.setting_value()?;
        Ok(Statement::Set { name, value, local })
    }

    fn zone_value(&mut self) -> Result<Option<String>> {
        if self.word("local") || self.word("default") {
            return Ok(None);
        }
        if self.word("interval") {
            let text = self.string()?;
            for word in ["hour", "to", "minute"] {
                self.word(word);
            }
            return Ok(Some(text));
        }
        self.option_value().map(Some)
    }

    fn default_or_value(&mut self) -> Result<Option<String>> {
        if self.word("default") { Ok(None) } else { self.option_value().map(Some) }
    }

    /// `a` or `a.b`, in lower case.
    pub(super) fn setting_name(&mut self) -> Result<String> {
        let (mut name, _) = self.ident()?;
        while self.token(&Token::Period) {
            name = format!("{name}.{}", self.ident()?.0);
        }
        Ok(name.to_lowercase())
    }

    /// `= | TO value, ..`; `None` is DEFAULT.
    pub(super) fn setting_value(&mut self) -> Result<Option<String>> {
        if !self.token(&Token::Eq) {
            self.expect_word("to")?;
        }
        if self.word("default") {
            return Ok(None);
        }
        let mut values = vec![self.option_value()?];
        while self.token(&Token::Comma) {
            values.push(self.option_value()?);
        }
        Ok(Some(values.join(", ")))
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.expect_word("reset")?;
        if self.words(&["time", "zone"]) {
            return Ok(Statement::Reset(Some("timezone".to_owned())));
        }
        if self.words(&["session", "authorization"]) {
            return Ok(Statement::Reset(Some("session_authorization".to_owned())));
        }
        if self.word("all") { Ok(Statement::Reset(None)) } else { Ok(Statement::Reset(Some(self.setting_name()?))) }
    }

    pub(super) fn discard(&mut self) -> Result<Statement> {
        self.expect_word("discard")?;
        let position = self.position();
        let what = match self.ident()?.0.as_str() {
            "all" => Discard::All,
            "plans" => Discard::Plans,
            "sequences" => Discard::Sequences,
            "temp" | "temporary" => Discard::Temporary,
            other => return Err(Error::syntax(format!("syntax error at or near \"{other}\""), Some(position))),
        };
        Ok(Statement::Discard(what))
    }

    pub(super) fn prepare(&mut self) -> Result<Statement> {
        self.expect_word("prepare")?;
        if self.peek_word("transaction") {
            return Err(two_phase("PREPARE TRANSACTION"));
        }
        let (name, _) = self.ident()?;
        let mut types = vec![];
        if self.token(&Token::LParen) {
            loop {
                types.push(self.rule(|p| p.parse_data_type())?);
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        }
        self.expect_word("as")?;
        let start = self.position() - 1;
        let statement = self.statement()?;
        Ok(Statement::Prepare { name, types, statement: Box::new(statement), text: self.text_since(start) })
    }

    pub(super) fn execute(&mut self) -> Result<Statement> {
        self.expect_word("execute")?;
        let (name, _) = self.ident()?;
        let mut arguments = vec![];
        if self.token(&Token::LParen) && !self.token(&Token::RParen) {
            loop {
                arguments.push(self.expr()?);
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        }
        Ok(Statement::Execute { name, arguments })
    }

    pub(super) fn deallocate(&mut self) -> Result<Statement> {
        self.expect_word("deallocate")?;
        self.word("prepare");
        Ok(Statement::Deallocate(self.all_or_name()?))
    }

    pub(super) fn unlisten(&mut self) -> Result<Statement> {
        self.expect_word("unlisten")?;
        if !self.token(&Token::Mul) {
            self.ident()?;
        }
        Ok(Statement::Unlisten)
    }
}

fn two_phase(what: &str) -> Error {
    Error::unsupported(what, "Use COMMIT; there are no two-phase transactions.")
}
