//! Cuts a stream of bytes into records: lines, or CSV records (whose quoted fields may hold line ends).
//!
//! Blank lines are no records. A record that does not end within [`RECORD_BYTES_MAX`] (a quote that nobody closes) is
//! given up: its first line is reported, and cutting goes on behind that line.

use std::io::Read;

use memchr::{memchr, memchr_iter, memchr2};

use crate::error::{Error, Result};

/// A longer record is not decoded.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Why a record is a bad one that does not end within [`RECORD_BYTES_MAX`].
pub(super) const TOO_LONG: &str = "the line is too long: a record has at most 4 MiB";

/// Fewer records are handed out at a time when they are long.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Bytes asked of the stream at a time.
pub const CHUNK_BYTES: usize = 256 << 10;

/// A run of records, each ended by a line end.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// Per record: where it ends in `bytes`, behind its line end.
    ends: Vec<usize>,
    /// Per record: the line on which it starts, from 1.
    lines: Vec<u64>,
    /// Positions of records that were given up because they do not end.
    endless: Vec<usize>,
}

impl Records {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All records, one behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One record, without its line end.
    pub fn get(&self, at: usize) -> &[u8] {
        let whole = self.whole(at);
        &whole[..whole.len() - 1]
    }

    /// One record, with its line end.
    pub fn whole(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    /// The line on which a record starts, from 1.
    pub fn line(&self, at: usize) -> u64 {
        self.lines[at]
    }

    /// Whether a record was given up, and only its first line is here.
    pub fn is_endless(&self, at: usize) -> bool {
        self.endless.binary_search(&at).is_ok()
    }

    /// Whether some record was given up.
    pub fn has_endless(&self) -> bool {
        !self.endless.is_empty()
    }

    /// The same without the first few.
    #[must_use]
    pub fn behind(&self, first: usize) -> Self {
        let mut rest = Self::default();
        for at in first..self.len() {
            if self.is_endless(at) {
                rest.endless.push(rest.len());
            }
            rest.push(self.get(at), self.line(at));
        }
        rest
    }

    fn has_room(&self, max: usize) -> bool {
        self.len() < max && self.bytes.len() < BATCH_BYTES_MAX
    }

    /// Adds a record.
    pub fn push(&mut self, record: &[u8], line: u64) {
        self.bytes.extend_from_slice(record);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
        self.lines.push(line);
    }
}

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A line end; blank lines are no records.
    Lines,
    /// A line end; blank lines are records too.
    AllLines,
    /// A line end outside quotes.
    Csv {
        /// Between fields: a quote opens only at a field's start.
        delimiter: u8,
    },
}

/// Cuts bytes as they come into records; the bytes may end anywhere.
#[derive(Debug)]
pub struct Cutter {
    cut: Cut,
    /// A longer record is given up.
    limit: usize,
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` starts.
    start: usize,
    /// Lines passed.
    line: u64,
    /// Bytes that came so far.
    came: u64,
    ended: bool,
    /// What follows, up to the next line end, belongs to a line that was given up.
    passing: bool,
}

/// Where a record lies in the buffer.
enum Found {
    /// Its length without, and with, the line end.
    Record(usize, usize),
    /// Not all of it has come yet.
    Partial,
    /// It does not end; the same for its first line.
    Endless(usize, usize),
    /// Not even its first line ends; how much of it is here.
    Overlong(usize),
}

impl Cutter {
    /// Starts at the beginning of a stream; a byte order mark is passed over.
    pub fn new(cut: Cut) -> Self {
        Self {
            cut,
            limit: RECORD_BYTES_MAX,
            buffer: Vec::new(),
            start: 0,
            line: 0,
            came: 0,
            ended: false,
            passing: false,
        }
    }

    /// Gives records up that are longer than so many bytes.
    pub fn limited(cut: Cut, limit: usize) -> Self {
        Self { limit, ..Self::new(cut) }
    }

    /// Goes on in a stream: behind so many lines, perhaps within a line that was given up.
    pub fn resume(cut: Cut, lines: u64, within: bool) -> Self {
        Self { line: lines, came: u64::from(lines > 0 || within), passing: within, ..Self::new(cut) }
    }

    /// Where it stands, as [`Cutter::resume`] takes it: the lines passed, and whether it is within one that was given up.
    pub fn place(&self) -> (u64, bool) {
        (self.line, self.passing)
    }

    /// Takes what `fill` appends to the buffer; gives back what `fill` does.
    pub fn fill<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.buffer.drain(..self.start);
        self.start = 0;
        let had = self.buffer.len();
        let filled = fill(&mut self.buffer);
        let first = self.came == 0;
        self.came += (self.buffer.len() - had) as u64;
        if first && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.start = 3;
        }
        if self.passing {
            let end = memchr(b'\n', &self.buffer);
            self.start = end.map_or(self.buffer.len(), |end| end + 1);
            self.passing = end.is_none();
        }
        filled
    }

    /// Nothing more comes: what is left is the last record, with or without a line end.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// What came and is no whole record yet.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The line on which the next record starts, from 1.
    pub fn next_line(&self) -> u64 {
        self.line + 1
    }

    /// Moves whole records to `records`, until there are `max`, or many bytes, or no more; whether it is no more.
    pub fn cut(&mut self, records: &mut Records, max: usize) -> bool {
        while records.has_room(max) {
            match self.find() {
                Found::Record(length, whole) => self.take(records, length, whole),
                Found::Endless(length, whole) => {
                    records.endless.push(records.len());
                    self.take(records, length, whole);
                }
                Found::Overlong(length) => {
                    records.endless.push(records.len());
                    self.take(records, length, length);
                    self.passing = true;
                }
                Found::Partial => return true,
            }
        }
        false
    }

    fn take(&mut self, records: &mut Records, length: usize, whole: usize) {
        let bytes = &self.buffer[self.start..self.start + length];
        let record = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let line = self.line + 1;
        self.line += bytecount(&self.buffer[self.start..self.start + whole]).max(1);
        // A blank line is passed over, except where it stands for a record that was given up.
        if !record.is_empty() || self.cut == Cut::AllLines || records.endless.last() == Some(&records.len()) {
            records.push(record, line);
        }
        self.start += whole;
    }

    fn find(&self) -> Found {
        let unread = &self.buffer[self.start..];
        let end = match self.cut {
            Cut::Lines | Cut::AllLines => memchr(b'\n', unread),
            Cut::Csv { delimiter } => csv_end(unread, delimiter),
        };
        if let Some(end) = end {
            return Found::Record(end, end + 1);
        }
        if unread.len() <= self.limit && !self.ended {
            return Found::Partial;
        }
        match memchr(b'\n', unread) {
            Some(end) => Found::Endless(end, end + 1),
            None if unread.is_empty() => Found::Partial,
            // The last line of the stream needs no line end, but its quotes have to be closed.
            None if self.ended && self.open_at_end(unread) => Found::Endless(unread.len(), unread.len()),
            None if self.ended => Found::Record(unread.len(), unread.len()),
            None => Found::Overlong(unread.len()),
        }
    }

    fn open_at_end(&self, record: &[u8]) -> bool {
        match self.cut {
            Cut::Lines | Cut::AllLines => false,
            Cut::Csv { delimiter } => csv_end(&[record, b"\n"].concat(), delimiter).is_none(),
        }
    }
}

/// Reads records from a stream.
#[derive(Debug)]
pub struct RecordReader<R> {
    stream: R,
    cutter: Cutter,
    /// Why the stream cannot be read further.
    failed: Option<Error>,
}

impl<R: Read> RecordReader<R> {
    /// Starts at the beginning of a stream; a byte order mark is passed over.
    pub fn new(stream: R, cut: Cut) -> Self {
        Self { stream, cutter: Cutter::new(cut), failed: None }
    }

    /// The next records, `max` at most; none at the end of the stream. Where it cannot be read, its whole records come first.
    pub fn read(&mut self, max: usize) -> Result<Records> {
        let mut records = Records::default();
        loop {
            self.cutter.cut(&mut records, max);
            if self.cutter.ended || !records.has_room(max) {
                return Ok(records);
            }
            if let Some(error) = &self.failed {
                return if records.is_empty() { Err(error.clone()) } else { Ok(records) };
            }
            let stream = (&mut self.stream).take(CHUNK_BYTES as u64);
            match self.cutter.fill(|buffer| { stream }.read_to_end(buffer)) {
                Ok(read) if read < CHUNK_BYTES => self.cutter.end(),
                Ok(_) => {}
                Err(error) => self.failed = Some(error.into()),
            }
        }
    }

    /// Passes over records without keeping them; the number passed is less than `count` only at the stream's end.
    pub fn skip(&mut self, count: u64) -> Result<u64> {
        let mut skipped = 0;
        while skipped < count {
            let records = self.read((count - skipped).min(8192) as usize)?;
            if records.is_empty() {
                break;
            }
            skipped += records.len() as u64;
        }
        Ok(skipped)
    }
}

/// The line end that ends the CSV record at the start of `bytes`.
fn csv_end(bytes: &[u8], delimiter: u8) -> Option<usize> {
    /// Where in a field the scan is.
    #[derive(Clone, Copy)]
    enum At {
        Start,
        Plain,
        Quoted,
        /// Behind a quote in a quoted field: its end, or half of a doubled one.
        Quote,
    }
    // Most records have no quote: their line end is the first one.
    let first = memchr2(b'"', b'\n', bytes)?;
    if bytes[first] == b'\n' {
        return Some(first);
    }
    let mut field = At::Start;
    for (at, byte) in bytes.iter().enumerate() {
        field = match (field, *byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (At::Start | At::Plain | At::Quote, b'\n') => return Some(at),
            (At::Start | At::Quote, b'"') => At::Quoted,
            (_, byte) if byte == delimiter => At::Start,
            (At::Start | At::Plain | At::Quote, _) => At::Plain,
        };
    }
    None
}

fn bytecount(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, cut: Cut, expected: &[(u64, &str)]) {
        let mut reader = RecordReader::new(text.as_bytes(), cut);
        let mut found = Vec::new();
        loop {
            let records = reader.read(2).unwrap();
            if records.is_empty() {
                break;
            }
            for at in 0..records.len() {
                found.push((records.line(at), String::from_utf8(records.get(at).to_vec()).unwrap()));
            }
        }
        let found: Vec<(u64, &str)> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_counted_and_blank_ones_passed_over() {
        check("\u{feff}a\r\n\n b\nc", Cut::Lines, &[(1, "a"), (3, " b"), (4, "c")]);
        check("", Cut::Lines, &[]);
        check("a\n\n\r\nc", Cut::AllLines, &[(1, "a"), (2, ""), (3, ""), (4, "c")]);
    }

    #[test]
    fn quotes_hold_line_ends_only_at_a_fields_start() {
        let csv = Cut::Csv { delimiter: b',' };
        check(
            "1,\"a\nb\"\n2,x\"\n3,\"\"\"\n\"\"\",\n",
            csv,
            &[(1, "1,\"a\nb\""), (3, "2,x\""), (4, "3,\"\"\"\n\"\"\",")],
        );
    }

    #[test]
    fn a_quote_that_nobody_closes_costs_one_line() {
        let csv = Cut::Csv { delimiter: b',' };
        check("1,\"a\n2,b\n3,c\n", csv, &[(1, "1,\"a"), (2, "2,b"), (3, "3,c")]);
    }

    #[test]
    fn a_line_without_end_is_one_record_that_was_given_up() {
        let text = format!("a\n{}\nb\n", "x".repeat(RECORD_BYTES_MAX + 3 * CHUNK_BYTES));
        let mut reader = RecordReader::new(text.as_bytes(), Cut::AllLines);
        let records = reader.read(9).unwrap();
        let lines: Vec<_> = (0..records.len()).map(|at| (records.line(at), records.is_endless(at))).collect();
        assert_eq!(lines, [(1, false), (2, true), (3, false)]);
        assert_eq!(records.get(2), b"b");
    }

    #[test]
    fn skipping_stops_at_the_end() {
        let mut reader = RecordReader::new("a\nb\nc\n".as_bytes(), Cut::Lines);
        assert_eq!(reader.skip(2).unwrap(), 2);
        assert_eq!(reader.read(9).unwrap().get(0), b"c");
        assert_eq!(reader.skip(2).unwrap(), 0);
    }
}
