//! [`Cursor`]: sqlparser's parser with the words, names and errors of PostgreSQL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Ident};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::tokens;
use crate::error::{Error, Result, SqlState};
use crate::functions::text::is_reserved;
use crate::sql::dialect::HighwaterDialect;
use crate::sql::statement::{Expr, Name, Query, Text};

pub(super) static DIALECT: HighwaterDialect = HighwaterDialect;

/// Nesting that a statement may have: beyond it the recursive parser and planner would overflow their stack.
pub(super) const DEPTH_MAX: usize = 200;

pub(super) fn token_of(token: &TokenWithSpan) -> &Token {
    &token.token
}

/// A text, and where its lines begin.
pub(crate) struct Source<'a> {
    text: &'a str,
    /// Character offset of each line.
    lines: Vec<usize>,
    /// Byte offset of each character, and the length.
    bytes: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut lines = vec![0];
        let mut bytes = Vec::with_capacity(text.len() + 1);
        for (character, (byte, c)) in text.char_indices().enumerate() {
            bytes.push(byte);
            if c == '\n' {
                lines.push(character + 1);
            }
        }
        bytes.push(text.len());
        Self { text, lines, bytes }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// 0-based character offset; the end of the text for the empty location.
    pub(crate) fn offset(&self, at: Location) -> usize {
        let end = self.bytes.len() - 1;
        let line = usize::try_from(at.line).unwrap_or(usize::MAX).checked_sub(1);
        match line.and_then(|l| self.lines.get(l)) {
            Some(start) => (start + usize::try_from(at.column).unwrap_or(1).saturating_sub(1)).min(end),
            None => end,
        }
    }

    /// The text between two character offsets.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'a str {
        let at = |i: usize| self.bytes.get(i).copied().unwrap_or(self.text.len());
        self.text.get(at(start)..at(end.max(start))).unwrap_or("")
    }

    pub(super) fn tokenize(&self) -> Result<Vec<TokenWithSpan>> {
        tokens::tokenize(self)
    }
}

/// The parser of one statement.
pub(super) struct Cursor<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) parser: Parser<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source<'a>, tokens: Vec<TokenWithSpan>) -> Self {
        let tokens = tokens::as_of(tokens::table_queries(tokens));
        let parser = Parser::new(&DIALECT).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
        Self { source, parser }
    }

    /// Runs one of sqlparser's own rules.
    pub(super) fn rule<T>(
        &mut self,
        rule: impl FnOnce(&mut Parser<'a>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        rule(&mut self.parser).map_err(|error| self.syntax_error(&error))
    }

    /// Takes the next token if it is this unquoted word.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        if found {
            self.parser.next_token();
        }
        found
    }

    /// Takes all of these words, or none.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(n, w)| self.is_word(n, w));
        if all {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        all
    }

    pub(super) fn peek_word(&self, word: &str) -> bool {
        self.is_word(0, word)
    }

    pub(super) fn peek_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, w)| self.is_word(n, w))
    }

    fn is_word(&self, n: usize, word: &str) -> bool {
        matches!(&self.parser.peek_nth_token_ref(n).token,
            Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// The next token's text in lower case, if it is an unquoted word.
    pub(super) fn next_word(&self) -> Option<String> {
        match &self.parser.peek_token_ref().token {
            Token::Word(w) if w.quote_style.is_none() => Some(w.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { Err(self.error_here()) }
    }

    pub(super) fn expect_words(&mut self, words: &[&str]) -> Result<()> {
        words.iter().try_for_each(|w| self.expect_word(w))
    }

    pub(super) fn token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn peek(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<()> {
        if self.token(token) { Ok(()) } else { Err(self.error_here()) }
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek(&Token::EOF)
    }

    /// 1-based position of the next token.
    pub(super) fn position(&self) -> usize {
        match self.parser.peek_token_ref() {
            t if t.token == Token::EOF => self.source.offset(Location::empty()) + 1,
            t => self.source.offset(t.span.start) + 1,
        }
    }

    /// 0-based offset behind the last token taken.
    pub(super) fn end(&self) -> usize {
        self.source.offset(self.parser.get_current_token().span.end)
    }

    /// `syntax error at or near "next token"`.
    pub(super) fn error_here(&self) -> Error {
        self.error_at(self.position() - 1)
    }

    fn error_at(&self, offset: usize) -> Error {
        let end = self.source.offset(Location::empty());
        if offset >= end {
            return Error::syntax("syntax error at end of input", Some(end + 1));
        }
        let tokens = self.source.tokenize().unwrap_or_default();
        let token = tokens.iter().find(|t| self.source.offset(t.span.start) == offset);
        let text = match token {
            Some(t) => self.source.slice(offset, self.source.offset(t.span.end)),
            None => self.source.slice(offset, offset + 1),
        };
        Error::syntax(format!("syntax error at or near \"{text}\""), Some(offset + 1))
    }

    /// sqlparser's error as PostgreSQL words it: it ends with ` at Line: 1, Column: 5`.
    fn syntax_error(&self, error: &ParserError) -> Error {
        let message = match error {
            ParserError::TokenizerError(m) | ParserError::ParserError(m) => m,
            ParserError::RecursionLimitExceeded => {
                return Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                    .with_hint(format!("Expressions and subqueries nest up to about {DEPTH_MAX} levels."));
            }
        };
        let location = message.rfind(" at Line: ").and_then(|at| {
            let (line, column) = message[at + 10..].split_once(", Column: ")?;
            Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
        });
        // sqlparser may have tried something else since.
        if let Some(error) = tokens::inner_as_of(self.source) {
            return error;
        }
        match location {
            Some(at) => self.error_at(self.source.offset(at)),
            None => self.error_here(),
        }
    }

    /// An identifier, folded, with its position.
    pub(super) fn ident(&mut self) -> Result<(String, usize)> {
        let position = self.position();
        if !matches!(self.parser.peek_token_ref().token, Token::Word(_)) {
            return Err(self.error_here());
        }
        let ident = self.rule(|p| p.parse_identifier())?;
        Ok((fold(&ident), position))
    }

    /// `[schema.]name`; a database `highwater.` before the schema is let pass.
    pub(super) fn name(&mut self) -> Result<Name> {
        let (parts, position) = self.parts()?;
        name_of_parts(parts, position)
    }

    /// The parts of a dotted name, folded, and the position of the first.
    pub(super) fn parts(&mut self) -> Result<(Vec<String>, usize)> {
        let (first, position) = self.ident()?;
        let mut parts = vec![first];
        while self.token(&Token::Period) {
            parts.push(self.ident()?.0);
        }
        Ok((parts, position))
    }

    pub(super) fn names(&mut self) -> Result<Vec<Name>> {
        let mut names = vec![self.name()?];
        while self.token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// `(a, b)`.
    pub(super) fn column_list(&mut self) -> Result<Vec<(String, usize)>> {
        self.expect(&Token::LParen)?;
        let mut columns = vec![self.ident()?];
        while self.token(&Token::Comma) {
            columns.push(self.ident()?);
        }
        self.expect(&Token::RParen)?;
        Ok(columns)
    }

    pub(super) fn string(&mut self) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) | Token::UnicodeStringLiteral(s) => {
                let s = s.clone();
                self.parser.next_token();
                Ok(s)
            }
            Token::DollarQuotedString(s) => {
                let s = s.value.clone();
                self.parser.next_token();
                Ok(s)
            }
            _ => Err(self.error_here()),
        }
    }

    /// An unsigned whole number.
    pub(super) fn number(&mut self) -> Result<u64> {
        let value = match &self.parser.peek_token_ref().token {
            Token::Number(n, _) => n.parse().ok(),
            _ => None,
        };
        match value {
            Some(n) => {
                self.parser.next_token();
                Ok(n)
            }
            None => Err(self.error_here()),
        }
    }

    pub(super) fn text_since(&self, offset: usize) -> String {
        self.source.slice(offset, self.end()).to_owned()
    }

    /// A query that a clause of ours may follow.
    pub(super) fn query(&mut self) -> Result<Query> {
        let (offset, start) = (self.position() - 1, self.parser.peek_token_ref().span.start);
        let tree = self.rule(|p| p.parse_query());
        let tree = tree.map_err(|error| tokens::partitioned_window(self.source).unwrap_or(error))?;
        self.check_names(tree.as_ref())?;
        Ok(Text { tree, text: self.text_since(offset), offset, start })
    }

    /// sqlparser lets reserved words be tables.
    fn check_names(&self, query: &ast::Query) -> Result<()> {
        let (mut reserved, mut foreign) = (None, None);
        let _ = ast::visit_relations(query, |name| {
            if name.0.len() > 2 && foreign.is_none() {
                foreign = self.name_of(name).err();
            }
            for ident in name.0.iter().filter_map(|p| p.as_ident()) {
                if ident.quote_style.is_none() && is_reserved(&ident.value.to_ascii_lowercase()) {
                    reserved = Some(ident.span);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        match (reserved, foreign) {
            (Some(span), _) => Err(self.error_at(self.source.offset(span.start))),
            (None, Some(foreign)) => Err(foreign),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn expr(&mut self) -> Result<Expr> {
        let (offset, start) = (self.position() - 1, self.parser.peek_token_ref().span.start);
        let tree = self.rule(|p| p.parse_expr())?;
        Ok(Text { tree, text: self.text_since(offset), offset, start })
    }

    /// Name and position of an object that sqlparser parsed.
    pub(super) fn name_of(&self, name: &ast::ObjectName) -> Result<Name> {
        let idents: Vec<&Ident> = name.0.iter().filter_map(|p| p.as_ident()).collect();
        let position = idents.first().map_or(0, |i| self.source.offset(i.span.start) + 1);
        name_of_parts(idents.into_iter().map(fold).collect(), position)
    }

    pub(super) fn ident_of(&self, ident: &Ident) -> (String, usize) {
        (fold(ident), self.source.offset(ident.span.start) + 1)
    }
}

pub(super) fn name_of_parts(mut parts: Vec<String>, position: usize) -> Result<Name> {
    if parts.len() == 3 && parts.first().is_some_and(|p| p == "highwater") {
        parts.remove(0);
    }
    let name = parts.pop().unwrap_or_default();
    match parts.len() {
        0 => Ok(Name { schema: None, name, position }),
        1 => Ok(Name { schema: parts.pop(), name, position }),
        _ => Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("cross-database references are not implemented: \"{}.{name}\"", parts.join(".")),
        )
        .with_position(position)),
    }
}

/// Lower case unless quoted.
pub(crate) fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        None => ident.value.to_ascii_lowercase(),
        Some(_) => ident.value.clone(),
    }
}
