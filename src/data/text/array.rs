//! Array literals: `{1,NULL,"a b",{..}}`.

use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::zone::TimeZone;
use crate::data::types::{self, leaf, sql_name};
use crate::error::{Error, Result, SqlState};

/// Nested arrays deeper than this are refused, as in PostgreSQL.
const MAX_DEPTH: usize = 6;

/// Reads an array literal whose elements are of `item`'s type.
pub fn parse_array(text: &str, item: &Field, zone: &TimeZone) -> Result<ScalarValue> {
    let body = text.trim();
    // `[1:2]={..}`: the bounds say nothing that the elements do not.
    let body = match body.strip_prefix('[') {
        Some(rest) => rest.split_once('=').map(|(_, elements)| elements.trim_start()).unwrap_or(body),
        None => body,
    };
    let mut reader = Reader { text, rest: body };
    let items = reader.items(1)?;
    if !reader.rest.trim().is_empty() {
        return Err(reader.malformed("Junk after closing right brace."));
    }
    check_dimensions(shape(text, &items)?.len(), item)?;
    build(items, item, zone)
}

/// One element; quoted when it could be misread.
pub fn write_element(out: &mut impl Write, element: &str) -> fmt::Result {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace() || c == '\x0b';
    if !element.is_empty() && !element.eq_ignore_ascii_case("null") && !element.contains(special) {
        return out.write_str(element);
    }
    out.write_char('"')?;
    for c in element.chars() {
        if matches!(c, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(c)?;
    }
    out.write_char('"')
}

enum Item {
    Null,
    Text(String),
    Array(Vec<Item>),
}

/// The lengths of an array's dimensions: all parts of one dimension are equally long. Empty: an array without elements.
fn shape(text: &str, items: &[Item]) -> Result<Vec<usize>> {
    let mut inner: Option<Vec<usize>> = None;
    for item in items {
        let found = match item {
            Item::Array(items) if items.is_empty() => return Err(malformed(text, "Unexpected \"}\" character.")),
            Item::Array(items) => shape(text, items)?,
            Item::Null | Item::Text(_) => vec![],
        };
        let differs = "Multidimensional arrays must have sub-arrays with matching dimensions.";
        match &inner {
            None => inner = Some(found),
            Some(first) if *first == found => {}
            Some(first) if found.is_empty() && !first.is_empty() => {
                return Err(malformed(text, "Unexpected array element."));
            }
            Some(first) if first.is_empty() => return Err(malformed(text, "Unexpected \"{\" character.")),
            Some(_) => return Err(malformed(text, differs)),
        }
    }
    Ok(inner.map_or_else(Vec::new, |inner| [vec![items.len()], inner].concat()))
}

/// How many dimensions an array literal has, by the braces it begins with.
pub fn dimensions(text: &str) -> usize {
    let body = match text.trim_start().strip_prefix('[') {
        Some(rest) => rest.split_once('=').map_or(text, |(_, elements)| elements),
        None => text,
    };
    body.chars().filter(|c| !c.is_whitespace()).take_while(|c| *c == '{').count()
}

fn build(items: Vec<Item>, field: &Field, zone: &TimeZone) -> Result<ScalarValue> {
    let values: Vec<ScalarValue> = items
        .into_iter()
        .map(|item| match (item, field.data_type()) {
            (Item::Null, _) => Ok(ScalarValue::try_from(field.data_type())?),
            (Item::Text(element), _) => super::parse(&element, field, zone),
            (Item::Array(items), DataType::List(_)) => build(items, &types::item(field), zone),
            (Item::Array(_), _) => Err(Error::internal("an array has more dimensions than its type")),
        })
        .collect::<Result<_>>()?;
    list(values, field)
}

/// A list of values, of elements of a type.
pub fn list(values: Vec<ScalarValue>, item: &Field) -> Result<ScalarValue> {
    let array = if values.is_empty() {
        arrow::array::new_empty_array(item.data_type())
    } else {
        ScalarValue::iter_to_array(values)?
    };
    let offsets = OffsetBuffer::from_lengths([array.len()]);
    let item = Arc::new(Field::new("item", item.data_type().clone(), true));
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(item, offsets, array, None)?)))
}

/// 0A000: as many dimensions as the type has are held, no others.
pub fn check_dimensions(found: usize, item: &Field) -> Result<()> {
    let declared = types::dimensions(item.data_type()) + 1;
    if found == 0 || found == declared {
        return Ok(());
    }
    let (what, element) =
        (format!("an array of {found} dimension{}", if found == 1 { "" } else { "s" }), sql_name(&leaf(item)));
    let declared = format!("{element}{}", "[]".repeat(declared));
    let hint = format!("Declare the column {element}{0}, or cast the value to that.", "[]".repeat(found));
    Err(Error::unsupported(format!("{what} as a value of {declared}"), hint))
}

fn malformed(text: &str, detail: &str) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""))
        .with_detail(detail)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn malformed(&self, detail: &str) -> Error {
        malformed(self.text, detail)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// An array from its left brace to its right brace.
    fn items(&mut self, depth: usize) -> Result<Vec<Item>> {
        if depth > MAX_DEPTH {
            let message = format!("number of array dimensions ({depth}) exceeds the maximum allowed ({MAX_DEPTH})");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        self.rest = self.rest.trim_start();
        if self.next() != Some('{') {
            return Err(self.malformed("Array value must start with \"{\" or dimension information."));
        }
        let mut items = Vec::new();
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix('}') {
            self.rest = rest;
            return Ok(items);
        }
        loop {
            self.rest = self.rest.trim_start();
            items.push(if self.rest.starts_with('{') { Item::Array(self.items(depth + 1)?) } else { self.element()? });
            self.rest = self.rest.trim_start();
            match self.next() {
                Some(',') => {}
                Some('}') => return Ok(items),
                Some(c) => return Err(self.malformed(&format!("Unexpected \"{c}\" character."))),
                None => return Err(self.malformed("Unexpected end of input.")),
            }
        }
    }

    fn element(&mut self) -> Result<Item> {
        let mut element = String::new();
        if self.rest.starts_with('"') {
            self.next();
            loop {
                match self.next() {
                    Some('"') => return Ok(Item::Text(element)),
                    Some('\\') => element.push(self.next().ok_or_else(|| self.malformed("Unexpected end of input."))?),
                    Some(c) => element.push(c),
                    None => return Err(self.malformed("Unexpected end of input.")),
                }
            }
        }
        let mut escaped = false;
        while let Some(c) = self.rest.chars().next() {
            match c {
                ',' | '}' => break,
                '"' => return Err(self.malformed("Unexpected array element.")),
                '{' => return Err(self.malformed("Unexpected \"{\" character.")),
                '\\' => {
                    self.next();
                    escaped = true;
                    element.push(self.next().ok_or_else(|| self.malformed("Unexpected end of input."))?);
                }
                _ => element.extend(self.next()),
            }
        }
        element.truncate(element.trim_end().len());
        if element.is_empty() && !escaped {
            let c = self.rest.chars().next().unwrap_or(',');
            return Err(self.malformed(&format!("Unexpected \"{c}\" character.")));
        }
        Ok(if !escaped && element.eq_ignore_ascii_case("null") { Item::Null } else { Item::Text(element) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::display;

    fn round(text: &str, item: DataType) -> Result<String> {
        let item = Field::new("item", item, true);
        let value = parse_array(text, &item, &TimeZone::utc())?;
        let field = Field::new("a", DataType::List(item.into()), true);
        Ok(display(&value, &field, &TimeZone::utc())?.unwrap_or_default())
    }

    #[test]
    fn arrays_round() {
        assert_eq!(round("{ 1, NULL ,3 }", DataType::Int32).unwrap(), "{1,NULL,3}");
        assert_eq!(round("{}", DataType::Int32).unwrap(), "{}");
        assert_eq!(round("[1:2]={1,2}", DataType::Int64).unwrap(), "{1,2}");
        let strings = r#"{a,"b c","NULL","","q\"\\",é}"#;
        assert_eq!(round(strings, DataType::Utf8).unwrap(), strings);
        let inner = DataType::new_list(DataType::Int32, true);
        assert_eq!(round("{{1,2},{3,4}}", inner.clone()).unwrap(), "{{1,2},{3,4}}");
        assert_eq!(round("{1}", inner).unwrap_err().code().0, "0A000");
        assert_eq!(round("{{1}}", DataType::Int32).unwrap_err().code().0, "0A000");
        assert_eq!((dimensions("{}"), dimensions("[1:1]={ {1}}"), dimensions("x")), (1, 2, 0));
    }

    #[test]
    fn malformed_arrays() {
        for text in ["", "1", "{1", "{1,", "{1}}", "{,}", "{\"a", "{a\"b}", "{{1}", "{{1,2},{3}}", "{{1},2}", "{1,{2}}"]
        {
            let error = round(text, DataType::Int32).unwrap_err();
            assert_eq!(error.message(), format!("malformed array literal: \"{text}\""), "{text}");
        }
        assert_eq!(
            round("{x}", DataType::Int32).unwrap_err().message(),
            "invalid input syntax for type integer: \"x\""
        );
        assert_eq!(round(&"{".repeat(100_000), DataType::Int32).unwrap_err().code().0, "54000");
    }
}
