//! Arrow to PostgreSQL: DataRow messages in text and binary, straight into the connection's buffer.

use arrow::array::{Array, ListArray, RecordBatch};
use arrow::datatypes::Field;
use bytes::{BufMut, BytesMut};

use super::Format;
use crate::data::text::{Column, TimeZone, Values};
use crate::engine::outcome;
use crate::error::{Error, Result, SqlState};

/// Days from 1970-01-01, where Arrow counts from, to 2000-01-01, where PostgreSQL does.
pub const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub const EPOCH_MICROS: i64 = 10_957 * 86_400_000_000;

/// What a binary jsonb begins with.
pub const JSONB_VERSION: u8 = 1;

/// How the rows of one result are written.
pub struct RowEncoder {
    fields: Vec<Field>,
    formats: Vec<Format>,
    zone: TimeZone,
}

impl RowEncoder {
    /// An encoder for result columns, with one format for each.
    pub fn new(columns: &[outcome::Column], formats: Vec<Format>, zone: TimeZone) -> Self {
        Self { fields: columns.iter().map(|c| c.field.clone()).collect(), formats, zone }
    }

    /// Prepares a batch: typed once, then written row by row.
    pub fn batch(&self, batch: &RecordBatch) -> Result<Rows<'_>> {
        if batch.num_columns() != self.fields.len() {
            let (got, expected) = (batch.num_columns(), self.fields.len());
            return Err(Error::internal(format!("a result batch has {got} columns instead of {expected}")));
        }
        let columns = batch.columns().iter().zip(&self.fields);
        let columns = columns.map(|(array, field)| Column::new(array.as_ref(), field)).collect::<Result<_>>()?;
        Ok(Rows { encoder: self, columns, rows: batch.num_rows() })
    }
}

/// A batch that is ready to be written.
pub struct Rows<'a> {
    encoder: &'a RowEncoder,
    columns: Vec<Column>,
    rows: usize,
}

impl Rows<'_> {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Appends a row's DataRow message.
    pub fn write(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        out.put_u8(b'D');
        let start = out.len();
        out.put_i32(0);
        out.put_i16(self.columns.len() as i16);
        for (column, format) in self.columns.iter().zip(&self.encoder.formats) {
            sized(out, column, row, |out| {
                match format {
                    Format::Text => column.write(row, &self.encoder.zone, out),
                    Format::Binary => write_binary(column, row, out)?,
                }
                Ok(())
            })?;
        }
        patch(out, start, 0)
    }
}

/// Writes a value's length and the value; -1 for NULL.
fn sized(
    out: &mut BytesMut,
    column: &Column,
    row: usize,
    write: impl FnOnce(&mut BytesMut) -> Result<()>,
) -> Result<()> {
    if column.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    let start = out.len();
    out.put_i32(0);
    write(out)?;
    patch(out, start, 4)
}

/// Puts the length of what follows `start` there, less `except`.
fn patch(out: &mut BytesMut, start: usize, except: usize) -> Result<()> {
    let length = i32::try_from(out.len() - start - except)
        .map_err(|_| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is longer than 2 GB"))?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A value in the binary format of its type, without its length.
pub fn write_binary(column: &Column, row: usize, out: &mut BytesMut) -> Result<()> {
    match &column.values {
        Values::Bool(a) => out.put_u8(a.value(row).into()),
        Values::Int16(a) => out.put_i16(a.value(row)),
        Values::Int32(a) => out.put_i32(a.value(row)),
        Values::Int64(a) => out.put_i64(a.value(row)),
        Values::Oid(a) => out.put_u32(a.value(row) as u32),
        Values::Float32(a) => out.put_f32(a.value(row)),
        Values::Float64(a) => out.put_f64(a.value(row)),
        Values::Numeric { array, scale, trim } => {
            let mut text = String::new();
            let _ = crate::data::text::number::write_numeric(&mut text, array.value(row), *scale, *trim);
            write_numeric(&text, out);
        }
        Values::WideNumeric(a) => write_numeric(&a.value_as_string(row), out),
        Values::Text(a) => write_text(a.value(row), column.pg.oid, out),
        Values::Bytes(a) => out.put_slice(a.value(row)),
        Values::Date(a) => out.put_i32(match a.value(row) {
            infinite @ (i32::MAX | i32::MIN) => infinite,
            days => days.saturating_sub(EPOCH_DAYS),
        }),
        Values::Time(a) => out.put_i64(a.value(row)),
        Values::Timestamp(a) | Values::Timestamptz(a) => out.put_i64(match a.value(row) {
            infinite @ (i64::MAX | i64::MIN) => infinite,
            micros => micros.saturating_sub(EPOCH_MICROS),
        }),
        Values::Interval(a) => {
            let value = a.value(row);
            out.put_i64(value.nanoseconds / 1000);
            out.put_i32(value.days);
            out.put_i32(value.months);
        }
        Values::Uuid(a) => out.put_slice(a.value(row)),
        Values::Jsonb(a) => {
            out.put_u8(JSONB_VERSION);
            out.put_slice(a.value(row).as_bytes());
        }
        Values::List { array, items, .. } => write_array(array, items, row, out)?,
        Values::Record { columns, .. } => {
            out.put_i32(columns.len() as i32);
            for column in columns {
                out.put_u32(column.pg.oid);
                sized(out, column, row, |out| write_binary(column, row, out))?;
            }
        }
    }
    Ok(())
}

/// Types that are strings here but not in PostgreSQL's binary format.
fn write_text(text: &str, oid: u32, out: &mut BytesMut) {
    match oid {
        // regclass and its like, given by name: only the text form knows the name.
        24 | 26 | 2205 | 2206 | 4089 | 4096 => out.put_u32(text.parse().unwrap_or(0)),
        _ => out.put_slice(text.as_bytes()),
    }
}

/// Numeric in base 10000, from its decimal text.
fn write_numeric(text: &str, out: &mut BytesMut) {
    let (text, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = |digits: &[u8]| digits.iter().fold(0u16, |n, b| n * 10 + u16::from(b - b'0'));
    let mut groups: Vec<u16> = Vec::with_capacity(12);
    let (head, rest) = whole.as_bytes().split_at(whole.len() % 4);
    if !head.is_empty() {
        groups.push(number(head));
    }
    groups.extend(rest.chunks(4).map(number));
    let mut weight = groups.len() as i16 - 1;
    for chunk in fraction.as_bytes().chunks(4) {
        groups.push(number(chunk) * 10u16.pow(4 - chunk.len() as u32));
    }
    let leading = groups.iter().take_while(|g| **g == 0).count();
    weight -= leading as i16;
    let end = groups.iter().rposition(|g| *g != 0).map_or(leading, |i| i + 1);
    let digits = &groups[leading.min(end)..end];
    if digits.is_empty() {
        weight = 0;
    }
    out.put_i16(digits.len() as i16);
    out.put_i16(weight);
    out.put_u16(if negative && !digits.is_empty() { 0x4000 } else { 0 });
    out.put_u16(fraction.len() as u16);
    digits.iter().for_each(|d| out.put_u16(*d));
}

/// An array with its dimensions. Rows of unequal length have no binary form.
fn write_array(list: &ListArray, items: &Column, row: usize, out: &mut BytesMut) -> Result<()> {
    let range = |list: &ListArray, row: usize| {
        let offsets = list.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    };
    let mut rows = range(list, row);
    let mut dimensions = vec![rows.len() as i32];
    let mut leaf = items;
    while let Values::List { array, items, .. } = &leaf.values {
        let width = if rows.is_empty() { 0 } else { range(array, rows.start).len() };
        if rows.clone().any(|row| array.is_null(row) || range(array, row).len() != width) {
            let message = "multidimensional arrays must have array expressions with matching dimensions";
            return Err(Error::new(SqlState("2202E"), message));
        }
        if !rows.is_empty() {
            rows = range(array, rows.start).start..range(array, rows.end - 1).end;
        }
        dimensions.push(width as i32);
        leaf = items;
    }
    if rows.is_empty() {
        dimensions.clear();
    }
    out.put_i32(dimensions.len() as i32);
    out.put_i32(rows.clone().any(|row| leaf.is_null(row)).into());
    out.put_u32(leaf.pg.oid);
    for dimension in &dimensions {
        out.put_i32(*dimension);
        out.put_i32(1);
    }
    if dimensions.is_empty() {
        return Ok(());
    }
    for row in rows {
        sized(out, leaf, row, |out| write_binary(leaf, row, out))?;
    }
    Ok(())
}

/// One row of COPY in the text format, with its newline.
pub fn write_copy_text(columns: &[Column], row: usize, copy: &outcome::CopyFormat, zone: &TimeZone, out: &mut String) {
    let delimiter = char::from(copy.delimiter);
    let special = |c: char| c.is_ascii_control() || c == '\\' || c == delimiter;
    let is_plain = |value: &str| !value.contains(special);
    write_copy(columns, row, copy, zone, out, is_plain, |value, out| escape(value, delimiter, out));
}

/// One row of COPY in CSV, with its newline.
pub fn write_copy_csv(columns: &[Column], row: usize, copy: &outcome::CopyFormat, zone: &TimeZone, out: &mut String) {
    let is_plain = |value: &str| is_plain_in_csv(value, copy, columns.len() == 1);
    write_copy(columns, row, copy, zone, out, is_plain, |value, out| quote(value, copy, out));
}

/// Values are written in their places at once; one that is not plain there is taken out, and written with its escapes.
fn write_copy(
    columns: &[Column],
    row: usize,
    copy: &outcome::CopyFormat,
    zone: &TimeZone,
    out: &mut String,
    is_plain: impl Fn(&str) -> bool,
    escape: impl Fn(&str, &mut String),
) {
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push(copy.delimiter.into());
        }
        if column.is_null(row) {
            out.push_str(&copy.null);
            continue;
        }
        let from = out.len();
        column.write(row, zone, out);
        if !is_plain(&out[from..]) {
            let value = out.split_off(from);
            escape(&value, out);
        }
    }
    out.push('\n');
}

fn escape(value: &str, delimiter: char, out: &mut String) {
    for c in value.chars() {
        match c {
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c == '\\' || c == delimiter => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
}

/// The first line of COPY with HEADER.
pub fn write_header(names: &[&str], copy: &outcome::CopyFormat, out: &mut String) {
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            out.push(copy.delimiter.into());
        }
        let is_plain = !copy.csv || is_plain_in_csv(name, copy, names.len() == 1);
        if is_plain { out.push_str(name) } else { quote(name, copy, out) }
    }
    out.push('\n');
}

/// Whether a CSV reader takes a value as it is; `alone`: it is the only one of its row.
fn is_plain_in_csv(value: &str, copy: &outcome::CopyFormat, alone: bool) -> bool {
    let special = |c: char| c == char::from(copy.delimiter) || c == char::from(copy.quote) || c == '\n' || c == '\r';
    !value.contains(special) && value != copy.null && !(alone && value == "\\.")
}

fn quote(value: &str, copy: &outcome::CopyFormat, out: &mut String) {
    let (quote, escape) = (char::from(copy.quote), char::from(copy.escape));
    out.push(quote);
    for c in value.chars() {
        if c == quote || c == escape {
            out.push(escape);
        }
        out.push(c);
    }
    out.push(quote);
}

/// One row of COPY in the binary format.
pub fn write_copy_binary(columns: &[Column], row: usize, out: &mut BytesMut) -> Result<()> {
    out.put_i16(columns.len() as i16);
    columns.iter().try_for_each(|column| sized(out, column, row, |out| write_binary(column, row, out)))
}

/// What COPY's binary format begins with.
pub const COPY_BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const COPY_BINARY_TRAILER: &[u8] = &[0xff, 0xff];
