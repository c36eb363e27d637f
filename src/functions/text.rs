//! Functions on text that DataFusion does not have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::Int32Type;

use super::native::{Call, Function, Overload, T};
use crate::config::TEXT_BYTES_MAX;
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[
    &Function::new("quote_ident", &[Overload(&[T::Text], T::Text)], |c| each(c, quote_ident)),
    &Function::new("quote_literal", &[Overload(&[T::Text], T::Text)], |c| each(c, quote_literal)),
    &Function::new("quote_nullable", &[Overload(&[T::Text], T::Text)], quote_nullable),
    &Function::new("chr", &[Overload(&[T::Int4], T::Text)], chr),
    &Function::new("repeat", &[Overload(&[T::Text, T::Int4], T::Text)], repeat),
    &Function::new("lpad", PAD, |c| pad(c, |text, fill| fill + text)),
    &Function::new("rpad", PAD, |c| pad(c, |text, fill| text.to_owned() + &fill)),
];

const PAD: &[Overload] = &[Overload(&[T::Text, T::Int4], T::Text), Overload(&[T::Text, T::Int4, T::Text], T::Text)];

fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let one = |code: Option<i32>| -> Result<Option<String>> {
        let Some(code) = code else { return Ok(None) };
        if code == 0 {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "null character not permitted"));
        }
        let Ok(positive) = u32::try_from(code) else {
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "character number must be positive"));
        };
        let valid = char::from_u32(positive).ok_or_else(|| {
            let wrong = if positive > 0x10_FFFF { "too large for encoding" } else { "not valid for encoding" };
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("requested character {wrong}: {code}"))
        });
        valid.map(|c| Some(c.to_string()))
    };
    let codes = call.args[0].as_primitive::<Int32Type>().iter();
    Ok(Arc::new(codes.map(one).collect::<Result<StringArray>>()?))
}

/// A text that a function makes is not longer than [`TEXT_BYTES_MAX`].
pub(super) fn check_length(bytes: usize) -> Result<()> {
    if bytes <= TEXT_BYTES_MAX {
        return Ok(());
    }
    let hint = format!("A text that a function makes has at most {TEXT_BYTES_MAX} bytes.");
    Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large").with_hint(hint))
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let mut made = 0usize;
    let mut one = |(text, count): (Option<&str>, Option<i32>)| -> Result<Option<String>> {
        let (Some(text), Some(count)) = (text, count) else { return Ok(None) };
        let count = usize::try_from(count).unwrap_or(0);
        made = made.saturating_add(text.len().saturating_mul(count));
        check_length(made)?;
        Ok(Some(text.repeat(count)))
    };
    let texts = call.args[0].as_string::<i32>().iter();
    let pairs = texts.zip(call.args[1].as_primitive::<Int32Type>());
    Ok(Arc::new(pairs.map(&mut one).collect::<Result<StringArray>>()?))
}

/// Fills a text up to a number of characters, or cuts it.
fn pad(call: &Call<'_>, join: fn(&str, String) -> String) -> Result<ArrayRef> {
    let fills = call.args.get(2).map(|f| f.as_string::<i32>());
    let mut made = 0usize;
    let mut one = |(n, (text, width)): (usize, (Option<&str>, Option<i32>))| -> Result<Option<String>> {
        let fill = match fills {
            Some(fills) if fills.is_null(n) => return Ok(None),
            Some(fills) => fills.value(n),
            None => " ",
        };
        let (Some(text), Some(width)) = (text, width) else { return Ok(None) };
        let width = usize::try_from(width).unwrap_or(0);
        let own = text.chars().count();
        if own >= width {
            return Ok(Some(text.chars().take(width).collect()));
        }
        made = made.saturating_add(text.len()).saturating_add((width - own).saturating_mul(fill.len().max(1)));
        check_length(made)?;
        let filling = if fill.is_empty() { String::new() } else { fill.chars().cycle().take(width - own).collect() };
        Ok(Some(join(text, filling)))
    };
    let texts = call.args[0].as_string::<i32>().iter();
    let pairs = texts.zip(call.args[1].as_primitive::<Int32Type>()).enumerate();
    Ok(Arc::new(pairs.map(&mut one).collect::<Result<StringArray>>()?))
}

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
