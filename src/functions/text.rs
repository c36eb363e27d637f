//! Functions on text that DataFusion does not have.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};

use super::native::{Call, Function, Overload, T};
use crate::error::Result;

pub(super) const ALL: &[&Function] = &[
    &Function::new("quote_ident", &[Overload(&[T::Text], T::Text)], |c| each(c, quote_ident)),
    &Function::new("quote_literal", &[Overload(&[T::Text], T::Text)], |c| each(c, quote_literal)),
    &Function::new("quote_nullable", &[Overload(&[T::Text], T::Text)], quote_nullable),
];

fn each(call: &Call<'_>, f: fn(&str) -> String) -> Result<ArrayRef> {
    Ok(Arc::new(call.args[0].as_string::<i32>().iter().map(|v| v.map(f)).collect::<StringArray>()))
}

fn quote_nullable(call: &Call<'_>) -> Result<ArrayRef> {
    let quoted = |v: Option<&str>| Some(v.map_or_else(|| "NULL".to_owned(), quote_literal));
    Ok(Arc::new(call.args[0].as_string::<i32>().iter().map(quoted).collect::<StringArray>()))
}

/// An identifier as it must be written in SQL.
pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$')
        && !RESERVED.contains(&name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Whether a word can only be a name in quotes.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// A string constant as it must be written in SQL.
pub(crate) fn quote_literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Words that cannot be names of columns without quotes.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both", "case", "cast", "check",
    "collate", "column", "constraint", "create", "current_catalog", "current_date", "current_role", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except",
    "false", "fetch", "for", "foreign", "from", "grant", "group", "having", "in", "initially", "intersect", "into",
    "lateral", "leading", "limit", "localtime", "localtimestamp", "not", "null", "offset", "on", "only", "or", "order",
    "placing", "primary", "references", "returning", "select", "session_user", "some", "symmetric", "table", "then",
    "to", "trailing", "true", "union", "unique", "user", "using", "variadic", "when", "where", "window", "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_strings_are_quoted_where_they_must_be() {
        assert_eq!(quote_ident("a_1"), "a_1");
        assert_eq!(quote_ident("A\"b"), "\"A\"\"b\"");
        assert_eq!(quote_ident("select"), "\"select\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
    }
}
