//! CREATE TABLE, SOURCE, VIEW, MATERIALIZED VIEW; CREATE SINK is in `sink`.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query::unknown_option;
use crate::catalog::object::{ConnectorOptions, Emit};
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::{
    ColumnDef, CreateMaterializedView, CreateSource, CreateTable, CreateView, Expr, Statement, WatermarkDef,
};
use crate::sql::{interval, types};

/// What stands between the parentheses of CREATE TABLE and CREATE SOURCE.
#[derive(Default)]
struct Elements {
    columns: Vec<ColumnDef>,
    /// The table's name.
    of: String,
    primary_key: Vec<String>,
    /// Where PRIMARY KEY, or its column, stands.
    key_position: usize,
    watermark: Option<WatermarkDef>,
}

/// What stands behind them.
#[derive(Default)]
struct Tail {
    append_only: bool,
    options: Option<Vec<(String, String)>>,
    encode: Option<(String, Vec<(String, String)>)>,
}

impl Cursor<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        let start = self.position() - 1;
        self.expect_word("create")?;
        let or_replace = self.words(&["or", "replace"]);
        if self.peek_word("temp") || self.peek_word("temporary") || self.peek_word("local") || self.peek_word("global")
        {
            return Err(Error::unsupported("CREATE TEMPORARY", "Create a permanent object and drop it when done."));
        }
        if self.word("unlogged") {
            return Err(Error::unsupported("CREATE UNLOGGED TABLE", "Leave UNLOGGED out."));
        }
        if self.word("view") {
            return self.create_view(or_replace);
        }
        if or_replace && ["table", "source", "sink"].into_iter().any(|kind| self.peek_word(kind)) {
            return Err(Error::unsupported("CREATE OR REPLACE here", "DROP the object first, then CREATE it."));
        }
        if self.word("table") {
            self.create_table()
        } else if self.word("source") {
            self.create_source()
        } else if self.word("sink") {
            self.create_sink()
        } else if self.words(&["materialized", "view"]) {
            if or_replace && self.peek_word("if") {
                return Err(self.error_here());
            }
            let view = self.materialized_view(start)?;
            Ok(Statement::CreateMaterializedView(CreateMaterializedView { or_replace, ..view }))
        } else {
            Err(self.refused_create())
        }
    }

    fn refused_create(&self) -> Error {
        let Some(word) = self.next_word() else { return self.error_here() };
        let hint = match word.as_str() {
            "index" | "unique" => "Views are indexed by the key of their rows; declare a PRIMARY KEY on tables.",
            "function" | "procedure" | "aggregate" => "Write the expression in the query.",
            "schema" => "All objects live in schema public.",
            "database" => "There is one database, highwater.",
            "sequence" => "Give the values in INSERT.",
            "trigger" | "rule" => "Use a materialized view.",
            "type" | "domain" | "extension" | "role" | "user" | "collation" | "connection" | "secret" | "server"
            | "foreign" | "policy" | "publication" | "subscription" | "operator" | "cast" | "statistics"
            | "tablespace" | "conversion" | "group" | "language" | "event" | "access" | "text" | "transform"
            | "recursive" => "There is nothing like it.",
            _ => return self.error_here(),
        };
        let what = if word == "unique" { "INDEX".to_owned() } else { word.to_uppercase() };
        Error::unsupported(format!("CREATE {what}"), hint)
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.words(&["if", "not", "exists"])
    }

    fn create_table(&mut self) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        if self.peek_word("as") {
            return Err(Error::unsupported("CREATE TABLE AS", "CREATE the table, then INSERT INTO it a SELECT."));
        }
        let has_elements = self.peek(&Token::LParen);
        let elements = if has_elements { self.elements(&name.name)? } else { Elements::default() };
        if self.peek_word("as") {
            return Err(Error::unsupported("CREATE TABLE AS", "CREATE the table, then INSERT INTO it a SELECT."));
        }
        let tail = self.tail(true)?;
        let connector = connector("table", tail.options, tail.encode)?;
        if !has_elements && connector.is_none() {
            return Err(self.error_here());
        }
        Ok(Statement::CreateTable(CreateTable {
            name,
            if_not_exists,
            columns: elements.columns,
            primary_key: elements.primary_key,
            watermark: elements.watermark,
            append_only: tail.append_only,
            connector,
        }))
    }

    fn create_source(&mut self) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let elements = if self.peek(&Token::LParen) { self.elements(&name.name)? } else { Elements::default() };
        if !elements.primary_key.is_empty() {
            return Err(Error::unsupported("PRIMARY KEY on a source", "Use CREATE TABLE, which keeps the rows."));
        }
        if elements.columns.iter().any(|c| c.default.is_some()) {
            return Err(Error::unsupported("DEFAULT on a source", "Use coalesce() in the view."));
        }
        let tail = self.tail(false)?;
        let connector = connector("source", tail.options, tail.encode)?.ok_or_else(|| {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, "a source needs a connector").with_hint(
                "For example, WITH (connector = 'file', path = '/dir/*.parquet') FORMAT PLAIN ENCODE PARQUET.",
            )
        })?;
        Ok(Statement::CreateSource(CreateSource {
            name,
            if_not_exists,
            columns: elements.columns,
            watermark: elements.watermark,
            connector,
        }))
    }

    fn elements(&mut self, of: &str) -> Result<Elements> {
        let mut elements = Elements { of: of.to_owned(), ..Elements::default() };
        self.expect(&Token::LParen)?;
        if self.token(&Token::RParen) {
            return Ok(elements);
        }
        loop {
            self.element(&mut elements)?;
            if !self.token(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        let Elements { columns, primary_key, watermark, key_position, .. } = &mut elements;
        let exists = |name: &str| columns.iter().any(|c| c.field.name() == name);
        for key in primary_key.iter() {
            if !exists(key) {
                let message = format!("column \"{key}\" named in key does not exist");
                return Err(Error::new(SqlState::UNDEFINED_COLUMN, message).with_position(*key_position));
            }
        }
        if let Some(w) = watermark
            && !columns.is_empty()
            && !exists(&w.column.0)
        {
            let message = format!("column \"{}\" does not exist", w.column.0);
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message).with_position(w.column.1));
        }
        for column in columns.iter_mut().filter(|c| primary_key.contains(c.field.name())) {
            column.field = column.field.clone().with_nullable(false);
        }
        Ok(elements)
    }

    fn element(&mut self, elements: &mut Elements) -> Result<()> {
        if self.words(&["watermark", "for"]) {
            let column = self.ident()?;
            self.expect_word("as")?;
            let expression = self.expr()?;
            if elements.watermark.is_some() {
                return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, "multiple watermarks are not allowed"));
            }
            elements.watermark = Some(WatermarkDef { column, expression });
            return Ok(());
        }
        if self.peek_word("like") {
            return Err(Error::unsupported("CREATE TABLE (LIKE ..)", "Name the columns."));
        }
        let named = self.word("constraint");
        if named {
            self.ident()?;
        }
        let position = self.position();
        if self.words(&["primary", "key"]) {
            let columns = self.column_list()?.into_iter().map(|(c, _)| c).collect();
            return set_key(elements, columns, position);
        }
        for other in ["unique", "check", "foreign", "exclude"] {
            if self.peek_word(other) && (named || !matches!(other, "check" | "unique") || self.constraint_follows()) {
                return Err(Error::unsupported(other.to_uppercase(), "Only PRIMARY KEY and NOT NULL are constraints."));
            }
        }
        if named { Err(self.error_here()) } else { self.column(elements) }
    }

    /// `CHECK (` and `UNIQUE (` are constraints; a column may be called so.
    fn constraint_follows(&self) -> bool {
        self.parser.peek_nth_token_ref(1).token == Token::LParen
    }

    /// A column of ALTER TABLE .. ADD.
    pub(super) fn column_alone(&mut self, of: &str) -> Result<ColumnDef> {
        let mut elements = Elements { of: of.to_owned(), ..Elements::default() };
        self.column(&mut elements)?;
        if !elements.primary_key.is_empty() {
            let hint = "Keys are declared in CREATE TABLE.";
            return Err(Error::unsupported("PRIMARY KEY on a column that is added", hint));
        }
        elements.columns.pop().ok_or_else(|| self.error_here())
    }

    fn column(&mut self, elements: &mut Elements) -> Result<()> {
        let position = self.position();
        let type_position = match self.parser.peek_nth_token_ref(1) {
            t if t.token == Token::EOF => position,
            t => self.source.offset(t.span.start) + 1,
        };
        let def = self.rule(|p| p.parse_column_def())?;
        let (name, _) = self.ident_of(&def.name);
        if elements.columns.iter().any(|c| *c.field.name() == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_position(position));
        }
        let field = types::field(&name, &def.data_type).map_err(|e| e.with_position(type_position))?;
        let mut column = ColumnDef { field, default: None };
        let table = elements.of.clone();
        let twice =
            |what: String| Err(Error::syntax(format!("{what} for column \"{name}\" of table \"{table}\""), None));
        let mut null = None;
        for option in def.options {
            match option.option {
                ast::ColumnOption::Null | ast::ColumnOption::NotNull
                    if null.is_some_and(|n| n != matches!(option.option, ast::ColumnOption::Null)) =>
                {
                    return twice("conflicting NULL/NOT NULL declarations".into());
                }
                ast::ColumnOption::Null => null = Some(true),
                ast::ColumnOption::NotNull => {
                    null = Some(false);
                    column.field = column.field.with_nullable(false);
                }
                ast::ColumnOption::Default(_) if column.default.is_some() => {
                    return twice("multiple default values specified".into());
                }
                ast::ColumnOption::Default(tree) => {
                    column.default = Some(Expr::whole(tree.clone(), tree.to_string()));
                }
                ast::ColumnOption::PrimaryKey(_) => set_key(elements, vec![name.clone()], position)?,
                ast::ColumnOption::Generated { .. } | ast::ColumnOption::Identity(_) => {
                    return Err(Error::unsupported("GENERATED", "Give the value in INSERT, or use DEFAULT."));
                }
                other => {
                    let what = other.to_string().split(['(', ' ']).next().unwrap_or("this").to_uppercase();
                    return Err(Error::unsupported(what, "Only PRIMARY KEY, NOT NULL and DEFAULT stand on a column."));
                }
            }
        }
        elements.columns.push(column);
        Ok(())
    }

    fn tail(&mut self, table: bool) -> Result<Tail> {
        let mut tail = Tail::default();
        loop {
            if table && self.words(&["append", "only"]) {
                tail.append_only = true;
            } else if self.word("with") {
                tail.options = Some(self.options()?);
            } else if self.word("format") {
                let (format, position) = self.ident()?;
                if format != "plain" {
                    return Err(Error::unsupported(format!("FORMAT {}", format.to_uppercase()), "Use FORMAT PLAIN.")
                        .with_position(position));
                }
                self.expect_word("encode")?;
                let encode = self.ident()?.0.to_uppercase();
                let options = if self.peek(&Token::LParen) { self.options()? } else { vec![] };
                tail.encode = Some((encode, options));
            } else if self.word("inherits") || self.word("partition") || self.word("tablespace") || self.word("using") {
                return Err(Error::unsupported("this storage clause", "Leave it out."));
            } else {
                return Ok(tail);
            }
        }
    }

    /// `(a = 'x', b.c = 1, d = true)`; keys in lower case.
    pub(super) fn options(&mut self) -> Result<Vec<(String, String)>> {
        self.expect(&Token::LParen)?;
        let mut options: Vec<(String, String)> = Vec::new();
        loop {
            let (mut key, position) = self.ident()?;
            while self.token(&Token::Period) {
                key = format!("{key}.{}", self.ident()?.0);
            }
            let key = key.to_lowercase();
            self.expect(&Token::Eq)?;
            let value = self.option_value()?;
            if options.iter().any(|(k, _)| *k == key) {
                let message = format!("option \"{key}\" specified more than once");
                return Err(Error::syntax(message, Some(position)));
            }
            options.push((key, value));
            if !self.token(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        Ok(options)
    }

    pub(super) fn option_value(&mut self) -> Result<String> {
        let minus = self.token(&Token::Minus);
        let value = match &self.parser.peek_token_ref().token {
            Token::Number(n, _) if minus => format!("-{n}"),
            Token::Number(n, _) => n.clone(),
            Token::Word(w) if !minus => w.value.clone(),
            _ if !minus => return self.string(),
            _ => return Err(self.error_here()),
        };
        self.parser.next_token();
        Ok(value)
    }

    fn create_view(&mut self, or_replace: bool) -> Result<Statement> {
        if self.if_not_exists() {
            return Err(Error::syntax("syntax error at or near \"NOT\"", None).with_hint("Use CREATE OR REPLACE VIEW."));
        }
        let name = self.name()?;
        let columns = self.view_columns()?;
        if self.peek_word("with") {
            return Err(Error::unsupported("CREATE VIEW .. WITH", "Leave the options out."));
        }
        self.expect_word("as")?;
        let query = self.query()?;
        if self.peek_word("emit") || self.peek_word("allow") || self.peek_word("late") {
            let hint = "A plain view is text; use CREATE MATERIALIZED VIEW.";
            return Err(Error::unsupported("EMIT on a plain view", hint).with_position(self.position()));
        }
        if self.word("with") {
            return Err(Error::unsupported("WITH CHECK OPTION", "Leave it out."));
        }
        Ok(Statement::CreateView(CreateView { name, or_replace, columns, query }))
    }

    fn view_columns(&mut self) -> Result<Vec<String>> {
        let columns = if self.peek(&Token::LParen) { self.column_list()? } else { vec![] };
        Ok(columns.into_iter().map(|(c, _)| c).collect())
    }

    /// Behind CREATE MATERIALIZED VIEW; `start`: where CREATE stands.
    pub(super) fn materialized_view(&mut self, start: usize) -> Result<CreateMaterializedView> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let columns = self.view_columns()?;
        let retention = if self.word("with") { self.view_options()? } else { None };
        self.expect_word("as")?;
        let query = self.query()?;
        let mut view = CreateMaterializedView {
            name,
            or_replace: false,
            if_not_exists,
            columns,
            query,
            emit: Emit::OnUpdate,
            lateness: None,
            retention,
            late_into: None,
            definition: String::new(),
        };
        self.emission(&mut view)?;
        if self.words(&["with", "no", "data"]) {
            return Err(Error::unsupported("WITH NO DATA", "A view always has its data; leave it out."));
        }
        self.words(&["with", "data"]);
        view.definition = self.text_since(start);
        Ok(view)
    }

    /// WITH (retention = '7 days'), microseconds.
    fn view_options(&mut self) -> Result<Option<i64>> {
        let position = self.position();
        let mut retention = None;
        for (option, value) in self.options()? {
            let kept = match option.as_str() {
                "retention" => interval::positive(&value, "retention"),
                other => Err(unknown_option(other, "materialized view", "There is retention.")),
            };
            retention = Some(kept.map_err(|e| e.with_position(position))?);
        }
        Ok(retention)
    }

    fn emission(&mut self, view: &mut CreateMaterializedView) -> Result<()> {
        let mut emitted = false;
        loop {
            let position = self.position();
            if self.word("emit") {
                let again = std::mem::replace(&mut emitted, true);
                if again {
                    return Err(Error::syntax("EMIT specified more than once", Some(position)));
                }
                if self.words(&["on", "update"]) {
                    view.emit = Emit::OnUpdate;
                } else if self.words(&["on", "window", "close"]) {
                    view.emit = Emit::OnWindowClose;
                } else {
                    return Err(self.error_here().with_hint("Use EMIT ON UPDATE or EMIT ON WINDOW CLOSE."));
                }
            } else if self.words(&["allow", "lateness"]) {
                let expr = self.expr()?;
                let micros = interval::constant_micros(&expr.tree).map_err(|e| e.with_position(expr.offset + 1))?;
                if micros < 0 {
                    let message = "lateness must not be negative";
                    let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(expr.offset + 1);
                    return Err(error.with_hint("For example, ALLOW LATENESS INTERVAL '10' SECOND."));
                }
                view.lateness = Some(micros);
            } else if self.words(&["late", "rows", "into"]) {
                view.late_into = Some(self.name()?);
            } else {
                return Ok(());
            }
        }
    }
}

fn set_key(elements: &mut Elements, columns: Vec<String>, position: usize) -> Result<()> {
    if !elements.primary_key.is_empty() {
        let message = format!("multiple primary keys for table \"{}\" are not allowed", elements.of);
        return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message).with_position(position));
    }
    elements.key_position = position;
    for (n, column) in columns.iter().enumerate() {
        if columns[..n].contains(column) {
            let message = format!("column \"{column}\" appears twice in primary key constraint");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_position(position));
        }
    }
    elements.primary_key = columns;
    Ok(())
}

type Options = Vec<(String, String)>;

fn connector(
    what: &str,
    options: Option<Options>,
    encode: Option<(String, Options)>,
) -> Result<Option<ConnectorOptions>> {
    let Some(mut options) = options else {
        return match encode {
            None => Ok(None),
            Some(_) => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "FORMAT .. ENCODE needs a connector")
                .with_hint("Say where the rows come from: WITH (connector = 'file', path = '..').")),
        };
    };
    if what == "table" && options.iter().any(|(k, _)| k == "archive") {
        let hint = "A table keeps all its rows already, and new views read them: leave archive out.";
        return Err(Error::unsupported("an archive of a table", hint));
    }
    let Some(at) = options.iter().position(|(k, _)| k == "connector") else {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("WITH (..) of a {what} needs a connector"))
            .with_hint("Connectors are 'file', 'socket' and 'nexmark'."));
    };
    let (_, connector) = options.remove(at);
    let (encode, encode_options) = encode.map_or((None, vec![]), |(e, o)| (Some(e), o));
    Ok(Some(ConnectorOptions { options, connector, encode, encode_options }))
}
