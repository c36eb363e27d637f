//! Types that are strings inside: varchar(n), bytea, json; uuid; and a row's fields in composite text.

use std::borrow::Cow;
use std::fmt::{self, Write};

use arrow::datatypes::Field;

use super::invalid;
use crate::data::types::{pg_type, sql_name};
use crate::error::{Error, Result, SqlState};

/// A string for a text-like column: checks varchar(n)'s length, pads char(n), checks json.
pub fn parse_text<'a>(text: &'a str, field: &Field) -> Result<Cow<'a, str>> {
    if field.metadata().is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    let pg = pg_type(field);
    match pg.oid {
        1042 | 1043 if pg.typmod > 4 => fit(text, (pg.typmod - 4) as usize, pg.oid == 1042, field),
        114 => super::json::check(text).map(|()| Cow::Borrowed(text)),
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// Cuts spaces beyond `limit` characters off; anything else beyond is 22001.
fn fit<'a>(text: &'a str, limit: usize, pad: bool, field: &Field) -> Result<Cow<'a, str>> {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        if text[end..].trim_end_matches(' ').is_empty() {
            return Ok(Cow::Borrowed(&text[..end]));
        }
        let message = format!("value too long for type {}", sql_name(field));
        return Err(Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message));
    }
    if pad {
        return Ok(Cow::Owned(format!("{text:<limit$}")));
    }
    Ok(Cow::Borrowed(text))
}

/// `\x` and hex digits, or the escape format.
pub fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escape(text),
    }
}

fn parse_hex(hex: &str) -> Result<Vec<u8>> {
    let error = |m: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, m);
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    let mut high = None;
    for c in hex.chars() {
        if high.is_none() && c.is_ascii_whitespace() {
            continue;
        }
        let digit = c.to_digit(16).ok_or_else(|| error(format!("invalid hexadecimal digit: \"{c}\"")))? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    if high.is_some() {
        return Err(error("invalid hexadecimal data: odd number of digits".to_owned()));
    }
    Ok(bytes)
}

fn parse_escape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            [b'\\', ..] => {
                return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea"));
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
}

/// `\x0001ff`.
pub fn write_bytea(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.write_str("\\x")?;
    // Pieces of text: one call per byte would be slow.
    for piece in bytes.chunks(32) {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(piece) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        out.write_str(std::str::from_utf8(&text[..piece.len() * 2]).unwrap_or_default())?;
    }
    Ok(())
}

/// Hex digits, with hyphens after any pair that ends a group of four, in braces or not.
pub fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    let wrong = || invalid("uuid", text);
    let bytes = text.as_bytes();
    let mut rest = match bytes {
        [b'{', inside @ .., b'}'] => inside,
        other => other,
    };
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8).ok_or_else(wrong);
    let mut uuid = [0; 16];
    for (i, byte) in uuid.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else { return Err(wrong()) };
        *byte = digit(*high)? << 4 | digit(*low)?;
        rest = match tail {
            [b'-', tail @ ..] if i % 2 == 1 && i < 15 => tail,
            _ => tail,
        };
    }
    if rest.is_empty() { Ok(uuid) } else { Err(wrong()) }
}

/// Lower case, with hyphens in their places.
pub fn write_uuid(out: &mut impl Write, uuid: &[u8]) -> fmt::Result {
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.write_char('-')?;
        }
        write!(out, "{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::types::varchar;

    #[test]
    fn bytea_in_both_formats() {
        assert_eq!(parse_bytea("\\x00 fF").unwrap(), [0, 255]);
        assert_eq!(parse_bytea("a\\\\b\\001").unwrap(), b"a\\b\x01");
        assert_eq!(parse_bytea("\\xabc").unwrap_err().message(), "invalid hexadecimal data: odd number of digits");
        assert_eq!(parse_bytea("\\xzz").unwrap_err().message(), "invalid hexadecimal digit: \"z\"");
        assert_eq!(parse_bytea("\\9").unwrap_err().code().0, "22P02");
        let mut text = String::new();
        write_bytea(&mut text, &[0x00, 0x01, 0xfe]).unwrap();
        assert_eq!(text, "\\x0001fe");
    }

    #[test]
    fn varchar_cuts_only_spaces() {
        let field = varchar("c", Some(3), true);
        assert_eq!(parse_text("é12  ", &field).unwrap(), "é12");
        let error = parse_text("abcd", &field).unwrap_err();
        assert_eq!(error.to_string(), "22001: value too long for type character varying(3)");
    }

    #[test]
    fn uuids_in_all_spellings() {
        let mut shown = String::new();
        write_uuid(&mut shown, &parse_uuid("{A0EEBC99-9C0B4EF8-BB6D6BB9BD380A11}").unwrap()).unwrap();
        assert_eq!(shown, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        for text in [
            "",
            "a0eebc999c0b4ef8bb6d6bb9bd380a1",
            "a0-eebc999c0b4ef8bb6d6bb9bd380a11",
            "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
        ] {
            assert_eq!(
                parse_uuid(text).unwrap_err().message(),
                format!("invalid input syntax for type uuid: \"{text}\"")
            );
        }
        let last = "a0eebc999c0b4ef8bb6d6bb9bd380a11-";
        assert!(parse_uuid(last).is_err());
    }
}
