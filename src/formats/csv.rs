//! CSV: fields by position or by the names in a header; an empty field is NULL.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use regex::Regex;

use super::align::{Align, bad_bytes};
use super::{BadRecord, Cut, Decoded, Decoder, RecordReader, Records};
use crate::error::{Error, Result, SqlState};

/// How a CSV text is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Between fields.
    pub delimiter: u8,
    /// Whether the first record holds the columns' names.
    pub header: bool,
    /// What stands for NULL.
    pub null: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { delimiter: b',', header: true, null: String::new() }
    }
}

impl Options {
    /// What ends a record.
    pub fn cut(&self) -> Cut {
        Cut::Csv { delimiter: self.delimiter }
    }

    /// The fields of one record, as text.
    pub fn fields(&self, record: &[u8]) -> Vec<String> {
        let mut fields = vec![Vec::new()];
        let (mut quoted, mut at_start) = (false, true);
        let mut bytes = record.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let Some(field) = fields.last_mut() else { break };
            match byte {
                b'"' if quoted && bytes.peek() == Some(&b'"') => {
                    bytes.next();
                    field.push(b'"');
                }
                b'"' if quoted => quoted = false,
                b'"' if at_start => quoted = true,
                _ if byte == self.delimiter && !quoted => fields.push(Vec::new()),
                _ => field.push(byte),
            }
            at_start = byte == self.delimiter && !quoted;
        }
        fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
    }

    /// The columns' names and types as a text of some records suggests them.
    ///
    /// Errors: `22P04` when it is not CSV, or has no record to look at; `42701` when two columns have one name.
    pub fn infer(&self, text: impl Read, origin: &str) -> Result<SchemaRef> {
        let mut records = RecordReader::new(text, self.cut());
        let sample = records.read(INFER_RECORDS)?;
        if sample.is_empty() {
            let error = Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("\"{origin}\" is empty"));
            return Err(error.with_hint("Declare the columns of the source."));
        }
        let format = Format::default().with_header(self.header).with_delimiter(self.delimiter);
        let (schema, _) = format.infer_schema(sample.bytes(), None).map_err(|e| {
            let hint = "Declare the columns of the source: records that do not fit them are reported.";
            let why =
                self.uneven(&sample).unwrap_or_else(|| e.to_string().trim_start_matches("Csv error: ").to_owned());
            Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("\"{origin}\": {why}")).with_hint(hint)
        })?;
        let mut names = HashSet::new();
        if let Some(twice) = schema.fields().iter().find(|field| !names.insert(field.name())) {
            let message = format!("column \"{}\" specified more than once", twice.name());
            let error = Error::new(SqlState::DUPLICATE_COLUMN, message);
            return Err(
                error.with_hint("Declare the columns of the source: of equal names in the header, the first is read.")
            );
        }
        let fields = schema.fields().iter().map(|field| Field::new(field.name(), inferred(field.data_type()), true));
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }
}

impl Options {
    /// Which record has another number of fields than the first.
    fn uneven(&self, records: &Records) -> Option<String> {
        let count = |at: usize| self.fields(records.get(at)).len();
        let first = count(0);
        let other = (1..records.len()).find(|at| count(*at) != first)?;
        let (line, fields) = (records.line(other), if count(other) == 1 { "field" } else { "fields" });
        Some(format!("the record of line {line} has {} {fields}, the first one {first}", count(other)))
    }
}

/// Records looked at to infer columns.
const INFER_RECORDS: usize = 1000;

/// The SQL type for what Arrow infers.
fn inferred(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Date32 => data_type.clone(),
        DataType::Timestamp(..) => crate::data::types::timestamp(),
        _ => DataType::Utf8,
    }
}

/// Decodes CSV records.
#[derive(Debug)]
pub struct Csv {
    options: Options,
    /// One column of text per field of a record, in order.
    fields: SchemaRef,
    /// What stands for NULL, if it is not the empty field.
    null: Option<Regex>,
    align: Align,
}

impl Csv {
    /// Decodes records whose fields have these names (the header's, or the target's own) into rows of `target`.
    pub fn new(options: Options, names: &[String], target: SchemaRef) -> Result<Self> {
        let fields = names.iter().map(|name| Field::new(name, DataType::Utf8, true));
        let fields = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let null = match options.null.as_str() {
            "" => None,
            null => {
                let exactly = format!("^{}$", regex::escape(null));
                Some(Regex::new(&exactly).map_err(|e| Error::internal(e.to_string()))?)
            }
        };
        Ok(Self { options, fields, null, align: Align::new(target) })
    }

    /// All records at once, if they are all well-formed.
    fn split(&self, bytes: &[u8], records: usize) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut reader = ReaderBuilder::new(Arc::clone(&self.fields))
            .with_delimiter(self.options.delimiter)
            .with_batch_size(records + 1);
        if let Some(null) = &self.null {
            reader = reader.with_null_regex(null.clone());
        }
        let mut decoder = reader.build_decoder();
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = decoder.decode(rest)?;
            if taken == 0 {
                break;
            }
            rest = &rest[taken..];
        }
        let empty = RecordBatch::new_empty(Arc::clone(&self.fields));
        Ok(decoder.flush()?.unwrap_or(empty))
    }

    /// The well-formed ones of some records, and their positions; the others are bad.
    fn one_by_one(
        &self,
        records: &Records,
        bad: &mut BTreeMap<usize, BadRecord>,
        origin: &str,
    ) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut kept) = (Vec::new(), Vec::new());
        for at in 0..records.len() {
            let record = records.get(at);
            let why = if records.is_endless(at) {
                Some("unterminated CSV quoted field".to_owned())
            } else {
                match self.split(records.whole(at), 1) {
                    Ok(batch) if batch.num_rows() == 1 => None,
                    Ok(_) => Some("unquoted carriage return in a record".to_owned()),
                    Err(error) => Some(self.reason(record, &error)),
                }
            };
            match why {
                None => {
                    bytes.extend_from_slice(records.whole(at));
                    kept.push(at);
                }
                Some(why) => {
                    let message = format!("{origin}:{}: {why}", records.line(at));
                    bad.insert(at, bad_bytes(SqlState::BAD_COPY_FILE_FORMAT, message, record));
                }
            }
        }
        (bytes, kept)
    }

    /// PostgreSQL's words for a record that is not CSV, or has another number of fields.
    fn reason(&self, record: &[u8], error: &arrow::error::ArrowError) -> String {
        if std::str::from_utf8(record).is_err() {
            return "invalid byte sequence for encoding \"UTF8\"".to_owned();
        }
        let expected = self.fields.fields();
        let found = self.options.fields(record).len();
        match found.cmp(&expected.len()) {
            Ordering::Less => format!("missing data for column \"{}\"", expected[found].name()),
            Ordering::Greater => "extra data after last expected column".to_owned(),
            Ordering::Equal => error.to_string().trim_start_matches("Csv error: ").to_owned(),
        }
    }
}

impl Decoder for Csv {
    fn decode(&self, records: &Records, origin: &str) -> Result<Decoded> {
        let mut bad = BTreeMap::new();
        let whole = self.split(records.bytes(), records.len()).ok();
        let whole = whole.filter(|batch| batch.num_rows() == records.len() && !records.has_endless());
        let (text, kept) = match whole {
            Some(batch) => (batch, None),
            None => {
                let (bytes, kept) = self.one_by_one(records, &mut bad, origin);
                (self.split(&bytes, kept.len())?, Some(kept))
            }
        };
        let text = match text.num_columns() {
            // Without columns, rows have to be counted by hand.
            0 => {
                let options = RecordBatchOptions::new().with_row_count(Some(text.num_rows()));
                RecordBatch::try_new_with_options(text.schema(), Vec::new(), &options)?
            }
            _ => text,
        };
        let (rows, refused) = self.align.convert(&text, BTreeMap::new())?;
        for (row, (code, why)) in refused {
            let at = kept.as_ref().map_or(row, |kept| kept[row]);
            let message = format!("{origin}:{}: {why}", records.line(at));
            bad.insert(at, bad_bytes(code, message, records.get(at)));
        }
        Ok(Decoded { rows, bad: bad.into_values().collect() })
    }
}
