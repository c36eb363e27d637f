//! JSON as PostgreSQL reads and prints it.
//!
//! `json` keeps its text and is only checked; `jsonb` has one text per value: keys ordered by length, then by bytes, of
//! equal keys the last, numbers as numeric prints them, `", "` and `": "` between. [`order_key`] orders values as jsonb's
//! operators and ORDER BY do: `1.0` equals `1.00`. GROUP BY, DISTINCT and keys compare texts, and tell these apart. The
//! reader is ours because it has to keep every digit of a number and to say in PostgreSQL's words what is wrong.

use std::fmt::Write as _;

use super::json_number as number;
use crate::error::{Error, Result, SqlState};

/// Values nested deeper are refused, so that no document exhausts the stack.
const DEPTH_MAX: usize = 200;

/// A value of jsonb.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Json {
    Null,
    Bool(bool),
    /// As numeric prints it.
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// Ordered by the keys' length, then by their bytes; each key once.
    Object(Vec<(String, Json)>),
}

/// Reads a value. Errors: 22P02, 22P05 `\u0000`, 22003 a number beyond numeric.
pub fn parse(text: &str) -> Result<Json> {
    let mut parser = Parser::new(text, Mode::Value)?;
    let value = parser.value(0)?;
    parser.end()?;
    Ok(value)
}

/// Checks a value of `json`, whose text is kept. Errors: 22P02.
pub fn check(text: &str) -> Result<()> {
    let mut parser = Parser::new(text, Mode::Check)?;
    parser.value(0)?;
    parser.end()
}

/// The text that a value of jsonb is kept as.
pub fn normalise(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    write(&parse(text)?, &mut out);
    Ok(out)
}

/// The members of an object as they are written, in order; `None` when the text is no object.
pub fn members(text: &str) -> Result<Option<Vec<(String, &str)>>> {
    let mut parser = Parser::new(text, Mode::Parts)?;
    if parser.token.kind != Kind::Punctuation(b'{') {
        return Ok(None);
    }
    let mut found = Vec::new();
    parser.object(0, &mut |key, raw, _| found.push((key, raw)))?;
    parser.end()?;
    Ok(Some(found))
}

/// The elements of an array as they are written; `None` when the text is no array.
pub fn elements(text: &str) -> Result<Option<Vec<&str>>> {
    let mut parser = Parser::new(text, Mode::Parts)?;
    if parser.token.kind != Kind::Punctuation(b'[') {
        return Ok(None);
    }
    let mut found = Vec::new();
    parser.array(0, &mut |raw, _| found.push(raw))?;
    parser.end()?;
    Ok(Some(found))
}

/// What `->>` makes of a value's text: a string without its quotes, `None` for null, all others as they are.
pub fn unquoted(text: &str) -> Result<Option<String>> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    if text == "null" {
        return Ok(None);
    }
    if !text.starts_with('"') {
        return Ok(Some(text.to_owned()));
    }
    Parser::new(text, Mode::Parts)?.string().map(Some)
}

/// Members in jsonb's order, of equal keys the last.
pub fn object(mut members: Vec<(String, Json)>) -> Json {
    members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let mut kept: Vec<(String, Json)> = Vec::with_capacity(members.len());
    for member in members {
        match kept.last_mut() {
            Some(last) if last.0 == member.0 => *last = member,
            _ => kept.push(member),
        }
    }
    Json::Object(kept)
}

/// Prints a value as jsonb.
pub fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(digits) => out.push_str(digits),
        Json::String(text) => write_string(text, out),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (i, (key, item)) in members.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_string(key, out);
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// A string in quotes.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Bytes that compare as PostgreSQL compares jsonb: by kind, numbers by value, longer arrays and objects behind shorter.
pub fn order_key(value: &Json, out: &mut Vec<u8>) {
    let length = |n: usize, out: &mut Vec<u8>| out.extend_from_slice(&(n as u64).to_be_bytes());
    match value {
        // An empty array sorts before everything: so it is in PostgreSQL, by accident, for ever.
        Json::Array(items) if items.is_empty() => out.push(0),
        Json::Null => out.push(1),
        Json::String(text) => {
            out.push(2);
            string_key(text, out);
        }
        Json::Number(digits) => {
            out.push(3);
            number::order_key(digits, out);
        }
        Json::Bool(value) => out.extend_from_slice(&[4, u8::from(*value)]),
        Json::Array(items) => {
            out.push(5);
            length(items.len(), out);
            items.iter().for_each(|item| order_key(item, out));
        }
        Json::Object(members) => {
            out.push(6);
            length(members.len(), out);
            for (key, item) in members {
                string_key(key, out);
                order_key(item, out);
            }
        }
    }
}

/// Text that ends before anything longer with the same beginning.
fn string_key(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        // 0 ends the text; a 0 inside is 0 1.
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    String,
    Number,
    True,
    False,
    Null,
    /// `{ } [ ] : ,`
    Punctuation(u8),
    End,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

struct Parser<'a> {
    text: &'a str,
    /// The token that is looked at.
    token: Token,
    /// Where the token before it ended.
    before: usize,
    mode: Mode,
}

/// What is wanted of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Is it JSON?
    Check,
    /// Where do its parts stand?
    Parts,
    /// Its value.
    Value,
}

fn invalid(detail: String) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").with_detail(detail)
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, mode: Mode) -> Result<Self> {
        let token = Token { kind: Kind::End, start: 0, end: 0 };
        let mut parser = Self { text, token, before: 0, mode };
        parser.advance()?;
        Ok(parser)
    }

    fn advance(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut at = self.token.end;
        self.before = at;
        while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        let (kind, end) = match bytes.get(at) {
            None => (Kind::End, at),
            Some(&c @ (b'{' | b'}' | b'[' | b']' | b':' | b',')) => (Kind::Punctuation(c), at + 1),
            Some(b'"') => (Kind::String, self.string_end(at)?),
            Some(b'-' | b'0'..=b'9') => (Kind::Number, self.number_end(at)?),
            Some(_) => self.word(at)?,
        };
        self.token = Token { kind, start: at, end };
        Ok(())
    }

    fn word(&self, at: usize) -> Result<(Kind, usize)> {
        let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii();
        let length = self.text.as_bytes()[at..].iter().take_while(|b| part(b)).count();
        let end = at + length.max(1);
        match &self.text[at..end] {
            "true" => Ok((Kind::True, end)),
            "false" => Ok((Kind::False, end)),
            "null" => Ok((Kind::Null, end)),
            other => Err(invalid(format!("Token \"{other}\" is invalid."))),
        }
    }

    fn number_end(&self, at: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = at + usize::from(bytes[at] == b'-');
        let whole = digits(end);
        let mut right = whole == 1 || (whole > 1 && bytes[end] != b'0');
        end += whole;
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            right &= fraction > 0;
            end += 1 + fraction;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            end += 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            right &= exponent > 0;
            end += exponent;
        }
        let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii();
        let junk = bytes[end..].iter().take_while(|b| part(b)).count();
        if right && junk == 0 {
            return Ok(end);
        }
        Err(invalid(format!("Token \"{}\" is invalid.", &self.text[at..end + junk])))
    }

    /// The end of a string; what is in it is read by [`Self::string`].
    fn string_end(&self, at: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let mut end = at + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => return Ok(end + 1),
                Some(b'\\') => end += 2,
                Some(c) if *c < b' ' => {
                    return Err(invalid(format!("Character with value 0x{c:02x} must be escaped.")));
                }
                Some(_) => end += 1,
                None => return Err(invalid(format!("Token \"{}\" is invalid.", &self.text[at..]))),
            }
        }
    }

    /// The string that the token is, its escapes resolved.
    fn string(&self) -> Result<String> {
        let mut rest = &self.text[self.token.start + 1..self.token.end - 1];
        let mut out = String::with_capacity(rest.len());
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(escaped) = rest.chars().next() else { break };
            rest = &rest[escaped.len_utf8()..];
            out.push(match escaped {
                '"' | '\\' | '/' => escaped,
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => match self.unicode(&mut rest)? {
                    Some(c) => c,
                    None => continue,
                },
                other => return Err(invalid(format!("Escape sequence \"\\{other}\" is invalid."))),
            });
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands behind `\u`; a pair of surrogates is one character. `None`: only checked.
    fn unicode(&self, rest: &mut &str) -> Result<Option<char>> {
        let hex = |rest: &mut &str| -> Result<u32> {
            let digits = rest.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            let wrong = || invalid("\"\\u\" must be followed by four hexadecimal digits.".to_owned());
            let code = u32::from_str_radix(digits.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
            *rest = &rest[4..];
            Ok(code)
        };
        let code = hex(rest)?;
        if self.mode == Mode::Check {
            return Ok(None);
        }
        let alone = || invalid("Unicode low surrogate must follow a high surrogate.".to_owned());
        let code = match code {
            0 => {
                let error = Error::new(SqlState("22P05"), "unsupported Unicode escape sequence");
                return Err(error.with_detail("\\u0000 cannot be converted to text."));
            }
            0xd800..=0xdbff => {
                *rest = rest.strip_prefix("\\u").ok_or_else(alone)?;
                match hex(rest)? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                    0xd800..=0xdbff => {
                        return Err(invalid("Unicode high surrogate must not follow a high surrogate.".to_owned()));
                    }
                    _ => return Err(alone()),
                }
            }
            code => code,
        };
        char::from_u32(code).map(Some).ok_or_else(alone)
    }

    fn found(&self, expected: &str) -> Error {
        if self.token.kind == Kind::End {
            return invalid("The input string ended unexpectedly.".to_owned());
        }
        let found = &self.text[self.token.start..self.token.end];
        invalid(format!("Expected {expected}, but found \"{found}\"."))
    }

    fn end(&mut self) -> Result<()> {
        if self.token.kind == Kind::End { Ok(()) } else { Err(self.found("end of input")) }
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > DEPTH_MAX {
            let error = Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded");
            return Err(error.with_hint(format!("JSON is read to a depth of {DEPTH_MAX}.")));
        }
        let value = match self.token.kind {
            Kind::Null => Json::Null,
            Kind::True => Json::Bool(true),
            Kind::False => Json::Bool(false),
            // What a part is the reader of the part says: json takes a \u0000, text does not.
            Kind::String if self.mode == Mode::Parts => {
                Parser { mode: Mode::Check, ..*self }.string()?;
                Json::Null
            }
            Kind::String => Json::String(self.string()?),
            Kind::Number if self.mode == Mode::Value => {
                Json::Number(number::normalise(&self.text[self.token.start..self.token.end])?)
            }
            Kind::Number => Json::Null,
            Kind::Punctuation(b'{') => {
                let (mut members, keep) = (Vec::new(), self.mode == Mode::Value);
                self.object(depth, &mut |key, _, value| {
                    if keep {
                        members.push((key, value));
                    }
                })?;
                return Ok(object(members));
            }
            Kind::Punctuation(b'[') => {
                let (mut items, keep) = (Vec::new(), self.mode == Mode::Value);
                self.array(depth, &mut |_, item| {
                    if keep {
                        items.push(item);
                    }
                })?;
                return Ok(Json::Array(items));
            }
            Kind::Punctuation(_) | Kind::End => return Err(self.found("JSON value")),
        };
        self.advance()?;
        Ok(value)
    }

    /// Hands out each element: its text, its value.
    fn array(&mut self, depth: usize, element: &mut dyn FnMut(&'a str, Json)) -> Result<()> {
        self.advance()?;
        if self.token.kind != Kind::Punctuation(b']') {
            loop {
                let start = self.token.start;
                let value = self.value(depth + 1)?;
                element(&self.text[start..self.before], value);
                match self.token.kind {
                    Kind::Punctuation(b',') => self.advance()?,
                    Kind::Punctuation(b']') => break,
                    _ => return Err(self.found("\",\" or \"]\"")),
                }
            }
        }
        self.advance()
    }

    /// Hands out each member: its key, its text, its value.
    fn object(&mut self, depth: usize, member: &mut dyn FnMut(String, &'a str, Json)) -> Result<()> {
        self.advance()?;
        if self.token.kind == Kind::Punctuation(b'}') {
            return self.advance();
        }
        if self.token.kind != Kind::String {
            return Err(self.found("string or \"}\""));
        }
        loop {
            if self.token.kind != Kind::String {
                return Err(self.found("string"));
            }
            let key = self.string()?;
            self.advance()?;
            if self.token.kind != Kind::Punctuation(b':') {
                return Err(self.found("\":\""));
            }
            self.advance()?;
            let start = self.token.start;
            let value = self.value(depth + 1)?;
            member(key, &self.text[start..self.before], value);
            match self.token.kind {
                Kind::Punctuation(b',') => self.advance()?,
                Kind::Punctuation(b'}') => return self.advance(),
                _ => return Err(self.found("\",\" or \"}\"")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_per_value() {
        for (text, normal) in [
            (r#" {"bb":1,"a" : [1,2 , {}], "bb":  2}"#, r#"{"a": [1, 2, {}], "bb": 2}"#),
            (r#"{"b":1,"aa":2,"a":3,"":null}"#, r#"{"": null, "a": 3, "b": 1, "aa": 2}"#),
            ("[1.50, -0, 1e3, 1.5E-2, 12345678901234567890123]", "[1.50, 0, 1000, 0.015, 12345678901234567890123]"),
            (r#""\u00e9\ud83d\ude00\/\n\u0001""#, "\"é😀/\\n\\u0001\""),
            ("true", "true"),
            ("[]", "[]"),
        ] {
            assert_eq!(normalise(text).unwrap(), normal);
            assert_eq!(normalise(normal).unwrap(), normal);
            check(text).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_postgres_does() {
        for (text, detail) in [
            ("", "The input string ended unexpectedly."),
            ("[1", "The input string ended unexpectedly."),
            ("{a", "Token \"a\" is invalid."),
            ("01", "Token \"01\" is invalid."),
            ("1.", "Token \"1.\" is invalid."),
            ("-", "Token \"-\" is invalid."),
            ("\"a", "Token \"\"a\" is invalid."),
            ("{1", "Expected string or \"}\", but found \"1\"."),
            ("{\"a\" 1}", "Expected \":\", but found \"1\"."),
            ("{\"a\":1,}", "Expected string, but found \"}\"."),
            ("{\"a\":1 2}", "Expected \",\" or \"}\", but found \"2\"."),
            ("[1 2]", "Expected \",\" or \"]\", but found \"2\"."),
            ("[,]", "Expected JSON value, but found \",\"."),
            ("1 1", "Expected end of input, but found \"1\"."),
            ("\"\\q\"", "Escape sequence \"\\q\" is invalid."),
            ("\"\\u12\"", "\"\\u\" must be followed by four hexadecimal digits."),
            ("\"a\nb\"", "Character with value 0x0a must be escaped."),
            ("\"\\udc00\"", "Unicode low surrogate must follow a high surrogate."),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.parts().detail.as_deref(), Some(detail), "{text}");
            assert_eq!((error.code().0, error.message()), ("22P02", "invalid input syntax for type json"));
        }
        assert_eq!(parse("\"\\u0000\"").unwrap_err().code().0, "22P05");
        check("\"\\u0000\"").unwrap();
        assert_eq!(parse(&"[".repeat(100_000)).unwrap_err().code().0, "54001");
    }

    #[test]
    fn values_order_as_postgres_orders_them() {
        let ascending = [
            "[]",
            "null",
            "\"\"",
            "\"a\"",
            "\"ab\"",
            "\"b\"",
            "-10",
            "-9.5",
            "-0.1",
            "0",
            "0.02",
            "0.1",
            "9",
            "10",
            "1e30",
            "false",
            "true",
            "[3]",
            "[1,2]",
            "[1,3]",
            "{}",
            "{\"a\":1}",
            "{\"b\":0}",
            "{\"a\":1,\"b\":2}",
        ];
        let key = |text: &str| {
            let mut out = Vec::new();
            order_key(&parse(text).unwrap(), &mut out);
            out
        };
        for pair in ascending.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        assert_eq!(key("[1.0]"), key("[1.00]"));
    }

    #[test]
    fn members_keep_their_text() {
        let found = members(r#"{"a": {"x" :1}, "b":[1, 2] , "a":"é"}"#).unwrap().unwrap();
        let texts: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(texts, [("a", r#"{"x" :1}"#), ("b", "[1, 2]"), ("a", "\"é\"")]);
        assert!(members("[1]").unwrap().is_none());
    }
}
