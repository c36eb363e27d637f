//! CREATE SINK.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::catalog::object::ConnectorOptions;
use crate::error::{Error, Result};
use crate::sql::statement::{CreateSink, Statement};

impl Cursor<'_> {
    pub(super) fn create_sink(&mut self) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        if self.peek_word("as") {
            return Err(Error::unsupported("CREATE SINK .. AS", "Create a materialized view, and the sink FROM it."));
        }
        self.expect_word("from")?;
        let from = self.name()?;
        let (mut options, mut format, mut encode, mut encode_options) = (vec![], String::new(), None, vec![]);
        loop {
            if self.word("with") {
                options = self.options()?;
            } else if self.word("format") {
                format = self.ident()?.0.to_uppercase();
                self.expect_word("encode")?;
                encode = Some(self.ident()?.0.to_uppercase());
                encode_options = if self.peek(&Token::LParen) { self.options()? } else { vec![] };
            } else {
                break;
            }
        }
        let at = options.iter().position(|(key, _)| key == "connector");
        let connector = at.map(|at| options.remove(at).1).unwrap_or_default();
        let connector = ConnectorOptions { options, connector, encode, encode_options };
        Ok(Statement::CreateSink(CreateSink { name, if_not_exists, from, connector, format }))
    }
}
