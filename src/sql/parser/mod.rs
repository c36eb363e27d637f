//! Text -> [`Statement`]s: a statement parser of ours over sqlparser's tokens, queries and expressions.
//!
//! * [`tokens`]: text to tokens; * [`cursor`]: words, names, and PostgreSQL's syntax errors;
//! * [`statement`]: the first word decides; * [`query`]: SELECT, INSERT, UPDATE, DELETE, COPY, SUBSCRIBE;
//! * [`create`], [`sink`]: CREATE; * [`alter`]: ALTER; * [`objects`]: DROP, COMMENT; * [`session`]: transactions, cursors, settings, EXPLAIN.

mod alter;
mod create;
pub(in crate::sql) mod cursor;
mod objects;
mod query;
mod session;
mod sink;
mod statement;
pub(in crate::sql) mod tokens;

use datafusion::sql::sqlparser::tokenizer::{Location, Token};

use crate::error::Result;

use super::Statement;
use super::statement::{Expr, Query, Text};
use cursor::{Cursor, Source};

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What it says.
    pub statement: Statement,
    /// Its own text, without surrounding white space and semicolon.
    pub text: String,
    /// 0-based offset, in characters, of `text` in the whole text: add it to error positions of the binder.
    pub offset: usize,
}

/// Splits and parses a text; an empty one (or only comments and semicolons) gives no statement.
///
/// Errors: 42601 with a position (in the whole text), 0A000 for what later versions will do.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    let whole = Source::new(text);
    let tokens = whole.tokenize()?;
    let mut parsed = Vec::new();
    for piece in tokens.split(|t| t.token == Token::SemiColon) {
        let significant = |t: &&_| !matches!(cursor::token_of(t), Token::Whitespace(_) | Token::EOF);
        let (Some(first), Some(last)) = (piece.iter().find(significant), piece.iter().rfind(significant)) else {
            continue;
        };
        let (start, end) = (whole.offset(first.span.start), whole.offset(last.span.end));
        let own = Source::new(whole.slice(start, end));
        let at = |error: crate::error::Error| match error.parts().position {
            Some(position) => error.with_position(position + start),
            None => error,
        };
        tokens::check_depth(piece)?;
        let statement = own.tokenize().and_then(|tokens| Cursor::new(&own, tokens).whole_statement()).map_err(at)?;
        parsed.push(Parsed { statement, text: own.text().to_owned(), offset: start });
    }
    Ok(parsed)
}

/// The tree of a query that is known to be one query.
pub(crate) fn reparse_query(text: &str) -> Result<Query> {
    let source = Source::new(text);
    let mut cursor = Cursor::new(&source, source.tokenize()?);
    let query = cursor.query()?;
    if cursor.at_end() { Ok(query) } else { Err(cursor.error_here()) }
}

/// The tree of an expression that the catalog keeps as text (defaults, watermarks).
pub(crate) fn reparse_expr(text: &str) -> Result<Expr> {
    let source = Source::new(text);
    let mut cursor = Cursor::new(&source, source.tokenize()?);
    let expr = cursor.expr()?;
    if cursor.at_end() { Ok(expr) } else { Err(cursor.error_here()) }
}

impl<T> Text<T> {
    /// A tree whose spans count in `text` itself.
    pub fn whole(tree: T, text: impl Into<String>) -> Self {
        Self { tree, text: text.into(), offset: 0, start: Location::new(1, 1) }
    }
}

/// The first `$n` of a text and its 1-based position.
pub(crate) fn first_parameter(text: &str) -> Option<(String, usize)> {
    let source = Source::new(text);
    let tokens = source.tokenize().ok()?;
    tokens.iter().find_map(|t| match &t.token {
        Token::Placeholder(name) => Some((name.clone(), source.offset(t.span.start) + 1)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
