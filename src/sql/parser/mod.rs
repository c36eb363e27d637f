//! Text -> [`Statement`]s.

use crate::error::{Error, Result};

use super::Statement;

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
/// Errors: 42601 with a position, 0A000 for what later versions will do.
pub fn parse(_text: &str) -> Result<Vec<Parsed>> {
    Err(Error::internal("not built yet"))
}
