//! Records, the values of STRUCT columns: `(1,"a b",)`. A field that is not there is NULL; quotes are doubled in quotes.

use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::Fields;
use datafusion::common::ScalarValue;

use super::Column;
use super::zone::TimeZone;
use crate::error::{Error, Result, SqlState};

/// Reads a record literal of these fields.
pub fn parse_record(text: &str, fields: &Fields, zone: &TimeZone) -> Result<ScalarValue> {
    let mut reader = Reader { text, rest: text.trim_start() };
    if reader.next() != Some('(') {
        return Err(reader.malformed("Missing left parenthesis."));
    }
    let mut values = Vec::with_capacity(fields.len());
    for (n, field) in fields.iter().enumerate() {
        if n > 0 && reader.next() != Some(',') {
            return Err(reader.malformed("Too few columns."));
        }
        values.push(match reader.value()? {
            Some(value) => super::parse(&value, field, zone)?,
            None => ScalarValue::try_from(field.data_type())?,
        });
    }
    if reader.next() != Some(')') {
        return Err(reader.malformed("Too many columns."));
    }
    if !reader.rest.trim_start().is_empty() {
        return Err(reader.malformed("Junk after right parenthesis."));
    }
    record(&values, fields)
}

/// A record of values of its fields' types.
pub fn record(values: &[ScalarValue], fields: &Fields) -> Result<ScalarValue> {
    let columns = values.iter().map(ScalarValue::to_array).collect::<Result<Vec<ArrayRef>, _>>()?;
    let array = StructArray::try_new_with_length(fields.clone(), columns, None, 1)?;
    Ok(ScalarValue::Struct(Arc::new(array)))
}

/// Prints a record of some columns' values.
pub fn write_record(out: &mut impl Write, columns: &[Column], row: usize, zone: &TimeZone) -> fmt::Result {
    let mut value = String::new();
    out.write_char('(')?;
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.write_char(',')?;
        }
        if column.is_null(row) {
            continue;
        }
        value.clear();
        column.write(row, zone, &mut value);
        write_field(out, &value)?;
    }
    out.write_char(')')
}

/// A field inside of a record, in quotes where it needs them.
pub fn write_field(out: &mut impl Write, value: &str) -> fmt::Result {
    let special = |c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace() || c == '\x0b';
    if !value.is_empty() && !value.contains(special) {
        return out.write_str(value);
    }
    out.write_char('"')?;
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            out.write_char(c)?;
        }
        out.write_char(c)?;
    }
    out.write_char('"')
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn malformed(&self, detail: &str) -> Error {
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed record literal: \"{}\"", self.text))
            .with_detail(detail)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Up to the comma or parenthesis that ends it; `None`: nothing stands there.
    fn value(&mut self) -> Result<Option<String>> {
        if self.rest.starts_with([',', ')']) {
            return Ok(None);
        }
        let (mut value, mut quoted) = (String::new(), false);
        while quoted || !self.rest.starts_with([',', ')']) {
            let end = || self.malformed("Unexpected end of input.");
            let c = self.rest.chars().next().ok_or_else(end)?;
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '\\' => value.push(self.next().ok_or_else(|| self.malformed("Unexpected end of input."))?),
                '"' if quoted && self.rest.starts_with('"') => value.extend(self.next()),
                '"' => quoted = !quoted,
                c => value.push(c),
            }
        }
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::data::text::display;
    use crate::data::types::{array, record as record_type};

    fn field() -> Field {
        let inner = record_type([Field::new("x", DataType::Boolean, true)]);
        let list = array("l", &Field::new("item", inner.clone(), true), true);
        let fields = [Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true), list];
        Field::new("s", record_type(fields), true)
    }

    fn round(text: &str) -> Result<String> {
        let value = crate::data::text::parse(text, &field(), &TimeZone::utc())?;
        Ok(display(&value, &field(), &TimeZone::utc())?.unwrap_or_default())
    }

    #[test]
    fn records_round() {
        for text in ["(1,a,{})", "(,,)", "(1,\"\",)", r#"(2,"a ""b"" \\ (c),",)"#, "(1,a,\"{(t),NULL,(f)}\")"] {
            assert_eq!(round(text).unwrap(), text);
        }
        assert_eq!(round(r#" ( 1 , b"c d"\e,{}) "#).unwrap(), r#"(1," bc de",{})"#);
    }

    #[test]
    fn malformed_records() {
        for (text, detail) in [
            ("", "Missing left parenthesis."),
            ("1,2,3", "Missing left parenthesis."),
            ("(1,a)", "Too few columns."),
            ("(1,a,{},)", "Too many columns."),
            ("(1,a,{}) x", "Junk after right parenthesis."),
            ("(1,\"a,{})", "Unexpected end of input."),
            ("(1,a,{}", "Unexpected end of input."),
            ("(1,a\\", "Unexpected end of input."),
        ] {
            let error = round(text).unwrap_err();
            assert_eq!(error.message(), format!("malformed record literal: \"{text}\""));
            assert!(error.to_string().contains(detail), "{text}: {error}");
        }
        assert_eq!(round("(x,,)").unwrap_err().message(), "invalid input syntax for type integer: \"x\"");
    }
}
