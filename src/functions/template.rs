//! `format('%s is %10I', ..)`: texts from a template, as PostgreSQL reads it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field};

use super::native::{Call, Function};
use super::text::{check_length, quote_ident, quote_literal};
use crate::data::text::Column;
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[&Function::of("format", types, format)];

fn types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    types.first().filter(|t| matches!(t, DataType::Utf8 | DataType::Null))?;
    let known = types.iter().map(|t| if t.is_null() { DataType::Utf8 } else { t.clone() }).collect();
    Some((known, Field::new("", DataType::Utf8, true)))
}

fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let templates = call.args[0].as_string::<i32>();
    let columns = call.args.iter().zip(call.fields).skip(1).map(|(a, f)| Column::new(a, f));
    let columns = columns.collect::<Result<Vec<Column>>>()?;
    let mut made = 0usize;
    let mut one = |row: usize| -> Result<Option<String>> {
        if templates.is_null(row) {
            return Ok(None);
        }
        let value = |at: usize| -> Option<Option<String>> {
            let column = columns.get(at)?;
            if column.is_null(row) {
                return Some(None);
            }
            let mut out = String::new();
            column.write(row, call.zone, &mut out);
            Some(Some(out))
        };
        let text =
            Template { rest: templates.value(row).chars(), next: 0, value: &value, out: String::new() }.fill()?;
        made = made.saturating_add(text.len());
        check_length(made)?;
        Ok(Some(text))
    };
    Ok(Arc::new((0..call.rows).map(&mut one).collect::<Result<StringArray>>()?))
}

/// A template that is being filled in.
struct Template<'a> {
    rest: std::str::Chars<'a>,
    /// The argument that follows the last one used, from 0.
    next: usize,
    value: &'a dyn Fn(usize) -> Option<Option<String>>,
    out: String,
}

/// What stands between `%` and the letter.
#[derive(Default)]
struct Specifier {
    /// From 1.
    argument: Option<usize>,
    left: bool,
    width: i32,
}

impl Template<'_> {
    fn fill(mut self) -> Result<String> {
        while let Some(c) = self.rest.next() {
            if c != '%' {
                self.out.push(c);
                continue;
            }
            if self.peek()? == '%' {
                self.rest.next();
                self.out.push('%');
                continue;
            }
            let specifier = self.specifier()?;
            let kind = self.peek()?;
            self.rest.next();
            if !matches!(kind, 's' | 'I' | 'L') {
                return Err(escaped(format!("unrecognized format() type specifier \"{kind}\"")));
            }
            let value = self.argument(specifier.argument)?;
            let text = match (kind, value) {
                ('s', value) => value.unwrap_or_default(),
                ('I', None) => {
                    let message = "null values cannot be formatted as an SQL identifier";
                    return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
                }
                ('I', Some(name)) => quote_ident(&name),
                (_, value) => value.map_or_else(|| "NULL".to_owned(), |v| quote_literal(&v)),
            };
            self.push(&text, &specifier)?;
        }
        Ok(self.out)
    }

    fn push(&mut self, text: &str, specifier: &Specifier) -> Result<()> {
        let width = usize::try_from(specifier.width.unsigned_abs()).unwrap_or(usize::MAX);
        let fill = width.saturating_sub(text.chars().count());
        check_length(self.out.len().saturating_add(text.len()).saturating_add(fill))?;
        let left = specifier.left || specifier.width < 0;
        if left {
            self.out.push_str(text);
        }
        self.out.extend(std::iter::repeat_n(' ', fill));
        if !left {
            self.out.push_str(text);
        }
        Ok(())
    }

    /// The value of an argument by its number, or of the next one.
    fn argument(&mut self, number: Option<usize>) -> Result<Option<String>> {
        let at = number.map_or(self.next, |n| n - 1);
        self.next = at + 1;
        (self.value)(at).ok_or_else(|| invalid("too few arguments for format()"))
    }

    fn peek(&self) -> Result<char> {
        self.rest.clone().next().ok_or_else(|| escaped("unterminated format() type specifier".to_owned()))
    }

    fn digits(&mut self) -> Result<Option<i32>> {
        let mut number = None;
        while let Some(digit) = self.peek()?.to_digit(10) {
            self.rest.next();
            let more = number.unwrap_or(0i32).checked_mul(10).and_then(|n| n.checked_add(digit as i32));
            number =
                Some(more.ok_or_else(|| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "number is out of range"))?);
        }
        Ok(number)
    }

    fn specifier(&mut self) -> Result<Specifier> {
        let mut specifier = Specifier::default();
        if let Some(number) = self.digits()? {
            if self.peek()? != '$' {
                // A width, and nothing else.
                return Ok(Specifier { width: number, ..specifier });
            }
            specifier.argument = Some(position(number)?);
            self.rest.next();
            self.peek()?;
        }
        while self.peek()? == '-' {
            specifier.left = true;
            self.rest.next();
        }
        if self.peek()? != '*' {
            specifier.width = self.digits()?.unwrap_or(0);
            return Ok(specifier);
        }
        self.rest.next();
        let of = match self.digits()? {
            Some(number) => {
                if self.peek()? != '$' {
                    return Err(invalid("width argument position must be ended by \"$\""));
                }
                self.rest.next();
                self.peek()?;
                Some(position(number)?)
            }
            None => None,
        };
        if let Some(width) = self.argument(of)? {
            specifier.width = width.trim().parse().map_err(|_| {
                let message = format!("invalid input syntax for type integer: \"{width}\"");
                Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
            })?;
        }
        Ok(specifier)
    }
}

/// The number of an argument.
fn position(number: i32) -> Result<usize> {
    let zero = || invalid("format specifies argument 0, but arguments are numbered from 1");
    usize::try_from(number).ok().filter(|n| *n > 0).ok_or_else(zero)
}

fn invalid(message: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn escaped(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("For a single \"%\" use \"%%\".")
}
