//! Rows of COPY FROM STDIN: text, CSV and binary to batches, with the line and column of what is wrong.

use std::borrow::Cow;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use memchr::{memchr2, memchr3};

use super::decode::{self, Binary, utf8};
use super::encode::COPY_BINARY_HEADER;
use crate::config::{COPY_BATCH_ROWS, COPY_MAX_LINE};
use crate::data::text::{Builder, TimeZone};
use crate::engine::outcome::CopyFormat;
use crate::error::{Error, Result, SqlState};

/// Collects bytes and gives batches.
pub struct Decoder {
    schema: SchemaRef,
    format: CopyFormat,
    buffer: Vec<u8>,
    /// Where the bytes begin that were not yet read.
    start: usize,
    /// Up to where the current line was searched for its end.
    scanned: usize,
    /// The search is inside of a CSV quote.
    quoted: bool,
    /// No more bytes come.
    ended: bool,
    /// The end-of-data mark was seen.
    marked: bool,
    /// The line that is read, from 1; rows in binary.
    line: u64,
    rows: usize,
    columns: Columns,
}

enum Columns {
    Text(Vec<Builder>),
    Binary { values: Vec<Vec<ScalarValue>>, header: bool },
}

impl Decoder {
    /// A decoder for columns; `zone` is for timestamptz without a zone.
    pub fn new(schema: SchemaRef, format: CopyFormat, zone: TimeZone) -> Self {
        let columns = if format.binary {
            Columns::Binary { values: vec![Vec::new(); schema.fields().len()], header: false }
        } else {
            Columns::Text(schema.fields().iter().map(|field| Builder::new(field, &zone)).collect())
        };
        Self {
            schema,
            format,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            quoted: false,
            ended: false,
            marked: false,
            line: 0,
            rows: 0,
            columns,
        }
    }

    /// More bytes; they end anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        if !self.marked {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The client has sent everything.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The same behind so many lines.
    #[must_use]
    pub fn behind(mut self, lines: u64) -> Self {
        self.line = lines;
        self
    }

    /// The line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next full batch, or at the end the last one.
    pub fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.rows < COPY_BATCH_ROWS && !self.marked {
            let more = match self.columns {
                Columns::Text(_) => self.text_row()?,
                Columns::Binary { .. } => self.binary_row()?,
            };
            if !more {
                break;
            }
        }
        if self.rows == 0 || (self.rows < COPY_BATCH_ROWS && !self.ended) {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = match &mut self.columns {
            Columns::Text(builders) => builders.iter_mut().map(Builder::finish).collect::<Result<_>>()?,
            Columns::Binary { values, .. } => {
                let columns = values.iter_mut().zip(self.schema.fields());
                columns.map(|(values, field)| decode::column(std::mem::take(values), field)).collect::<Result<_>>()?
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        // NOT NULL is the sink's to judge: a batch of nullable columns takes whatever came.
        let fields: Vec<_> = self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = arrow::datatypes::Schema::new_with_metadata(fields, self.schema.metadata().clone());
        Ok(Some(RecordBatch::try_new_with_options(schema.into(), arrays, &options)?))
    }

    /// Reads a line; false when there is none yet.
    fn text_row(&mut self) -> Result<bool> {
        let Some((end, next)) = self.line_end()? else { return Ok(false) };
        let start = std::mem::replace(&mut self.start, next);
        self.scanned = next;
        self.quoted = false;
        self.line += 1;
        // The bytes are lent out while the line is read.
        let buffer = std::mem::take(&mut self.buffer);
        let read = self.text_line(&buffer[start..end]);
        self.buffer = buffer;
        if self.marked {
            self.buffer.clear();
            (self.start, self.scanned) = (0, 0);
        }
        read.map(|()| true)
    }

    fn text_line(&mut self, line: &[u8]) -> Result<()> {
        let line = utf8(line).map_err(|error| self.at(error, None, ""))?;
        if line == "\\." {
            self.marked = true;
            return Ok(());
        }
        if !(self.format.header && self.line == 1) {
            self.fields(line)?;
            self.rows += 1;
        }
        Ok(())
    }

    /// Where the line ends and where the next one begins.
    fn line_end(&mut self) -> Result<Option<(usize, usize)>> {
        let mut at = self.scanned;
        while at < self.buffer.len() {
            // Most bytes mean nothing here: on to the next one that does.
            let rest = &self.buffer[at..];
            let mark = match self.format.csv {
                true => memchr3(b'\n', self.format.quote, self.format.escape, rest),
                false => memchr2(b'\n', b'\\', rest),
            };
            at += mark.unwrap_or(rest.len());
            let Some(&byte) = self.buffer.get(at) else { break };
            if self.format.csv {
                if self.quoted && byte == self.format.escape && byte != self.format.quote {
                    at += 1;
                } else if byte == self.format.quote {
                    self.quoted = !self.quoted;
                }
            } else if byte == b'\\' {
                // Whatever follows a backslash does not end the line.
                if at + 1 == self.buffer.len() && !self.ended {
                    break;
                }
                at += 2;
                continue;
            }
            if byte == b'\n' && !self.quoted {
                let cr = at > self.start && self.buffer[at - 1] == b'\r';
                return Ok(Some((at - usize::from(cr), at + 1)));
            }
            at += 1;
        }
        self.scanned = at;
        if self.buffer.len() - self.start > COPY_MAX_LINE {
            let message = format!("a line of COPY is longer than {COPY_MAX_LINE} bytes");
            return Err(self.at(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message), None, ""));
        }
        if !self.ended || self.start == self.buffer.len() {
            return Ok(None);
        }
        if self.quoted {
            self.line += 1;
            return Err(self.at(bad_format("unterminated CSV quoted field"), None, ""));
        }
        let cr = self.buffer.last() == Some(&b'\r');
        Ok(Some((self.buffer.len() - usize::from(cr), self.buffer.len())))
    }

    fn fields(&mut self, line: &str) -> Result<()> {
        let mut rest = Some(line);
        for i in 0..self.schema.fields().len() {
            let Some(text) = rest else {
                let message = format!("missing data for column \"{}\"", self.schema.field(i).name());
                return Err(self.at(bad_format(message), None, line));
            };
            let field = if self.format.csv { csv_field(text, &self.format) } else { text_field(text, &self.format) };
            let (value, tail) = field.map_err(|error| self.at(error, None, line))?;
            rest = tail;
            let Columns::Text(builders) = &mut self.columns else { continue };
            builders[i]
                .append(value.as_deref())
                .map_err(|error| self.at(error, Some(i), &value.unwrap_or_default()))?;
        }
        match rest {
            Some(_) if !(line.is_empty() && self.schema.fields().is_empty()) => {
                Err(self.at(bad_format("extra data after last expected column"), None, line))
            }
            _ => Ok(()),
        }
    }

    /// Says where an error is, as PostgreSQL's CONTEXT does.
    fn at(&self, error: Error, column: Option<usize>, text: &str) -> Error {
        let mut place = format!("COPY, line {}", self.line.max(1));
        if let Some(column) = column {
            place.push_str(&format!(", column {}", self.schema.field(column).name()));
        }
        if !text.is_empty() {
            let mut shown: String = text.chars().take(100).collect();
            if shown.len() < text.len() {
                shown.push_str("...");
            }
            place.push_str(&format!(": \"{shown}\""));
        }
        let detail = match &error.parts().detail {
            Some(detail) => format!("{detail}\n{place}"),
            None => place,
        };
        error.with_detail(detail)
    }

    /// Reads a row of the binary format; false when it is not complete yet.
    fn binary_row(&mut self) -> Result<bool> {
        self.scanned = self.start;
        match self.binary_try() {
            Ok(Some(used)) => {
                self.start += used;
                self.scanned = self.start;
                Ok(true)
            }
            Ok(None) if self.ended => {
                self.line += 1;
                Err(self.at(bad_format("unexpected EOF in COPY data"), None, ""))
            }
            Ok(None) if self.buffer.len() - self.start > COPY_MAX_LINE => {
                let message = format!("a row of COPY is longer than {COPY_MAX_LINE} bytes");
                Err(self.at(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message), None, ""))
            }
            Ok(None) => Ok(false),
            Err(error) => Err(self.at(error, None, "")),
        }
    }

    /// Reads the header or a row from the buffer; tells how many bytes it took.
    fn binary_try(&mut self) -> Result<Option<usize>> {
        let Columns::Binary { values, header } = &mut self.columns else { return Ok(None) };
        let mut cursor = Cursor { bytes: &self.buffer[self.start..], at: 0 };
        if !*header {
            let Some(signature) = cursor.take(11) else { return Ok(None) };
            if signature != &COPY_BINARY_HEADER[..11] {
                return Err(bad_format("COPY file signature not recognized"));
            }
            let (Some(_), Some(extension)) = (cursor.i32(), cursor.i32()) else { return Ok(None) };
            if cursor.take(usize::try_from(extension).unwrap_or(0)).is_none() {
                return Ok(None);
            }
            *header = true;
            return Ok(Some(cursor.at));
        }
        let Some(count) = cursor.i16() else { return Ok(None) };
        if count == -1 {
            self.marked = true;
            return Ok(Some(cursor.at));
        }
        if usize::try_from(count).ok() != Some(values.len()) {
            return Err(bad_format(format!("row field count is {count}, expected {}", values.len())));
        }
        let mut row = Vec::with_capacity(values.len());
        for field in self.schema.fields() {
            let Some(length) = cursor.i32() else { return Ok(None) };
            if length == -1 {
                row.push(ScalarValue::try_from(field.data_type())?);
                continue;
            }
            let length = usize::try_from(length).map_err(|_| bad_format("invalid field size"))?;
            let Some(bytes) = cursor.take(length) else { return Ok(None) };
            row.push(decode::binary(bytes, field).map_err(|error| match error {
                Binary::Format => Error::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format"),
                Binary::Other(error) => error,
            })?);
        }
        values.iter_mut().zip(row).for_each(|(values, value)| values.push(value));
        self.rows += 1;
        self.line += 1;
        Ok(Some(cursor.at))
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}

fn bad_format(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

type Field<'a> = (Option<Cow<'a, str>>, Option<&'a str>);

/// The first field of a line in the text format, and what follows its delimiter.
fn text_field<'a>(line: &'a str, format: &CopyFormat) -> Result<Field<'a>> {
    let bytes = line.as_bytes();
    let (mut from, mut escaped) = (0, false);
    let end = loop {
        let mark = bytes.get(from..).and_then(|rest| memchr2(format.delimiter, b'\\', rest));
        let Some(at) = mark.map(|mark| from + mark) else { break bytes.len() };
        if bytes[at] == format.delimiter {
            break at;
        }
        escaped = true;
        from = at + 2;
    };
    let rest = (end < bytes.len()).then(|| &line[end + 1..]);
    let raw = line.get(..end).unwrap_or(line);
    if raw == format.null {
        return Ok((None, rest));
    }
    let value = if escaped { Cow::Owned(unescape(raw)?) } else { Cow::Borrowed(raw) };
    Ok((Some(value), rest))
}

fn unescape(raw: &str) -> Result<String> {
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escape, tail)) = rest.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = tail;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => out.push(number(u32::from(escape - b'0'), 2, 8, &mut rest)),
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => out.push(number(0, 2, 16, &mut rest)),
            other => out.push(*other),
        }
    }
    utf8(&out).map(str::to_owned)
}

/// At most `digits` more digits of a number.
fn number(mut value: u32, digits: usize, radix: u32, rest: &mut &[u8]) -> u8 {
    for _ in 0..digits {
        let Some((digit, tail)) = rest.split_first() else { break };
        let Some(digit) = char::from(*digit).to_digit(radix) else { break };
        value = value * radix + digit;
        *rest = tail;
    }
    value as u8
}

/// The first field of a CSV line, and what follows its delimiter.
fn csv_field<'a>(line: &'a str, format: &CopyFormat) -> Result<Field<'a>> {
    let bytes = line.as_bytes();
    let plain = memchr2(format.delimiter, format.quote, bytes).unwrap_or(bytes.len());
    if bytes.get(plain) != Some(&format.quote) {
        let rest = (plain < bytes.len()).then(|| &line[plain + 1..]);
        let value = &line[..plain];
        return Ok(((value != format.null).then_some(Cow::Borrowed(value)), rest));
    }
    let mut value = Vec::with_capacity(bytes.len());
    let mut quoted = false;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let next = bytes.get(at + 1);
        if quoted && byte == format.escape && next.is_some_and(|n| *n == format.quote || *n == format.escape) {
            value.extend(next);
            at += 2;
            continue;
        }
        match byte {
            b if b == format.quote => quoted = !quoted,
            b if b == format.delimiter && !quoted => break,
            b => value.push(b),
        }
        at += 1;
    }
    if quoted {
        return Err(bad_format("unterminated CSV quoted field"));
    }
    let rest = (at < bytes.len()).then(|| &line[at + 1..]);
    // Only whole characters are copied, as all marks are ASCII.
    Ok((Some(Cow::Owned(utf8(&value)?.to_owned())), rest))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use bytes::BytesMut;

    use super::*;
    use crate::data::text::{columns, row_text};
    use crate::server::pg::encode::{COPY_BINARY_TRAILER, write_copy_binary, write_copy_csv, write_copy_text};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Utf8, true)]))
    }

    fn text() -> CopyFormat {
        let null = "\\N".to_owned();
        CopyFormat { csv: false, binary: false, delimiter: b'\t', null, header: false, quote: b'"', escape: b'"' }
    }

    fn csv() -> CopyFormat {
        CopyFormat { csv: true, delimiter: b',', null: String::new(), ..text() }
    }

    /// Feeds the input in pieces of every size: where messages end must not matter.
    fn read(input: &[u8], format: &CopyFormat) -> Result<Vec<String>> {
        let mut all: Option<Result<Vec<String>>> = None;
        for piece in [1, 2, 3, 7, input.len().max(1)] {
            let mut decoder = Decoder::new(schema(), format.clone(), TimeZone::utc());
            let mut rows = Vec::new();
            let mut run = || -> Result<()> {
                for chunk in input.chunks(piece) {
                    decoder.push(chunk);
                    assert!(decoder.batch()?.is_none());
                }
                decoder.end();
                while let Some(batch) = decoder.batch()? {
                    let columns = columns(&batch)?;
                    rows.extend((0..batch.num_rows()).map(|row| row_text(&columns, row)));
                }
                Ok(())
            };
            let result = run().map(|()| rows);
            assert!(all.as_ref().is_none_or(|all| *all == result), "{all:?} {result:?}");
            all = Some(result);
        }
        all.unwrap()
    }

    #[test]
    fn text_rows() {
        let rows = read(b"1\tx\n2\t\\N\r\n3\ta\\tb\\\\\\x41\\101\\\nc\n4\t\\\xc3\xa9\n\\.\nrubbish", &text()).unwrap();
        assert_eq!(rows, ["(1,x)", "(2,)", "(3,\"a\tb\\\\AA\nc\")", "(4,é)"]);
        assert_eq!(read(b"", &text()).unwrap(), [""; 0]);
        assert_eq!(read(b"1\tx", &text()).unwrap(), ["(1,x)"]);
    }

    #[test]
    fn csv_rows() {
        let rows = read(b"1,x\n2,\n3,\"\"\n4,\"a,\"\"b\"\"\nc\"\r\n5,\xc3\xa9\n", &csv()).unwrap();
        assert_eq!(rows, ["(1,x)", "(2,)", "(3,\"\")", "(4,\"a,\"\"b\"\"\nc\")", "(5,é)"]);
        let header = CopyFormat { header: true, ..csv() };
        assert_eq!(read(b"a,b\n1,x\n", &header).unwrap(), ["(1,x)"]);
        let escape = CopyFormat { escape: b'\\', ..csv() };
        assert_eq!(read(b"1,\"a\\\"b\\\\\"\n", &escape).unwrap(), ["(1,\"a\"\"b\\\\\")"]);
    }

    #[test]
    fn errors_say_where() {
        let wrong = |input: &[u8], format: &CopyFormat| {
            let error = read(input, format).unwrap_err();
            (error.message().to_owned(), error.parts().detail.clone().unwrap_or_default())
        };
        let (message, detail) = wrong(b"1\tx\nq\ty\n", &text());
        assert_eq!(message, "invalid input syntax for type integer: \"q\"");
        assert_eq!(detail, "COPY, line 2, column a: \"q\"");
        let (message, detail) = wrong(b"1\n", &text());
        assert_eq!(message, "missing data for column \"b\"");
        assert_eq!(detail, "COPY, line 1: \"1\"");
        assert_eq!(wrong(b"1,2,3\n", &csv()).0, "extra data after last expected column");
        assert_eq!(wrong(b"1,\"x\n", &csv()).0, "unterminated CSV quoted field");
        assert_eq!(wrong(b"1\t\xff\n", &text()).0, "invalid byte sequence for encoding \"UTF8\": 0xff");
        assert_eq!(wrong(b"1\t\\xff\n", &text()).0, "invalid byte sequence for encoding \"UTF8\": 0xff");
        for (input, format) in [(&b"1\tx\0\n"[..], text()), (b"1\t\\000\n", text()), (b"1,x\0\n", csv())] {
            assert_eq!(wrong(input, &format).0, "invalid byte sequence for encoding \"UTF8\": 0x00");
        }
        let binary = CopyFormat { binary: true, ..text() };
        assert_eq!(wrong(b"PGCOPX\n\xff\r\n\0\0\0\0\0\0\0\0\0", &binary).0, "COPY file signature not recognized");
        let mut cut = COPY_BINARY_HEADER.to_vec();
        assert_eq!(wrong(&cut, &binary).0, "unexpected EOF in COPY data");
        cut.extend([0, 1]);
        assert_eq!(wrong(&cut, &binary).0, "row field count is 1, expected 2");
    }

    #[test]
    fn what_copy_writes_it_reads() {
        let input = b"1,x\n2,\n3,\"\"\n4,\"a,\"\"b\"\"\n\\c\t\"\n5,\\N\n6,\"\\.\"\n";
        let mut decoder = Decoder::new(schema(), csv(), TimeZone::utc());
        decoder.push(input);
        decoder.end();
        let batch = decoder.batch().unwrap().unwrap();
        let columns = columns(&batch).unwrap();
        let rows: Vec<String> = (0..batch.num_rows()).map(|row| row_text(&columns, row)).collect();
        for format in [text(), csv()] {
            let mut out = String::new();
            for row in 0..batch.num_rows() {
                let write = if format.csv { write_copy_csv } else { write_copy_text };
                write(&columns, row, &format, &TimeZone::utc(), &mut out);
            }
            assert_eq!(read(out.as_bytes(), &format).unwrap(), rows, "{out}");
        }
        let mut out = BytesMut::from(COPY_BINARY_HEADER);
        (0..batch.num_rows()).for_each(|row| write_copy_binary(&columns, row, &mut out).unwrap());
        out.extend_from_slice(COPY_BINARY_TRAILER);
        assert_eq!(read(&out, &CopyFormat { binary: true, ..text() }).unwrap(), rows);
    }
}
