//! JSON lines: one object per line; a key that is not there is NULL, one that is no column is passed over. Objects are STRUCTs,
//! arrays are arrays, and a jsonb column takes either as it is written (`documents`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use serde_json::Value;

use super::align::{Align, bad_bytes};
use super::documents;
use super::records::TOO_LONG;
use super::{Decoded, Decoder, Records};
use crate::data::text::json::members;
use crate::data::text::{TimeZone, parse};
use crate::data::types;
use crate::error::{Result, SqlState};

/// What Arrow reads for a column: text, and lists and structs of it, where the type's own reader has to read it.
fn raw(data_type: &DataType) -> DataType {
    use DataType as D;
    match data_type {
        D::List(item) => match item.data_type() {
            D::Boolean | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 => data_type.clone(),
            item => D::List(Arc::new(Field::new("item", raw(item), true))),
        },
        D::Struct(fields) => {
            types::record(fields.iter().map(|field| Field::new(field.name(), raw(field.data_type()), true)))
        }
        _ => D::Utf8,
    }
}

/// Decodes JSON lines.
#[derive(Debug)]
pub struct Json {
    /// The target's columns as text, where text is what their type is parsed from.
    text: SchemaRef,
    /// The target's columns that take members as they are written.
    documents: Vec<Field>,
    align: Align,
}

impl Json {
    /// Decodes into rows of `target`.
    pub fn new(target: SchemaRef) -> Self {
        let (documents, others): (Vec<_>, Vec<_>) =
            target.fields().iter().map(|f| f.as_ref().clone()).partition(documents::is_document);
        let fields = others.iter().map(|field| Field::new(field.name(), raw(field.data_type()), true));
        let text = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { text, documents, align: Align::new(target) }
    }

    /// All records at once, if they are all well-formed.
    fn parse(&self, bytes: &[u8], records: usize) -> Result<RecordBatch, ArrowError> {
        let mut decoder = ReaderBuilder::new(Arc::clone(&self.text))
            .with_batch_size(records + 1)
            .with_coerce_primitive(true)
            .build_decoder()?;
        decoder.decode(bytes)?;
        let empty = RecordBatch::new_empty(Arc::clone(&self.text));
        Ok(decoder.flush()?.unwrap_or(empty))
    }

    /// Why a record is not one JSON object.
    fn fault(&self, record: &[u8]) -> Option<(SqlState, String)> {
        let bad = |why: String| Some((SqlState::INVALID_TEXT_REPRESENTATION, why));
        let Ok(text) = std::str::from_utf8(record) else {
            let why = "invalid byte sequence for encoding \"UTF8\"".to_owned();
            return Some((SqlState::CHARACTER_NOT_IN_REPERTOIRE, why));
        };
        let value = serde_json::from_str::<Value>(text);
        match &value {
            // What is nested deeper than Serde reads may be JSON.
            Err(_)
                if members(text)
                    .map_or_else(|e| e.code() == SqlState::STATEMENT_TOO_COMPLEX, |found| found.is_some()) => {}
            Err(error) => return bad(format!("invalid input syntax for type json: {error}")),
            Ok(value) if !value.is_object() => return bad("the record is not a JSON object".to_owned()),
            Ok(_) => {}
        }
        match self.parse(record, 1) {
            Ok(batch) if batch.num_rows() == 1 => None,
            Ok(_) => bad("the record is not one JSON object".to_owned()),
            Err(_) => bad(self.misfit(value.ok().as_ref()).unwrap_or_else(|| "the record fits no columns".to_owned())),
        }
    }

    /// Which member is not what its column is.
    fn misfit(&self, record: Option<&Value>) -> Option<String> {
        let members = record?.as_object()?;
        self.text.fields().iter().find_map(|field| {
            let why = shape(members.get(field.name())?, field.data_type())?;
            Some(format!("{why} in column \"{}\"", field.name()))
        })
    }
}

/// Why a value cannot be read as what Arrow reads for its column.
fn shape(value: &Value, wanted: &DataType) -> Option<String> {
    let found = match value {
        Value::Null => return None,
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a scalar",
    };
    match (wanted, value) {
        (DataType::List(item), Value::Array(items)) => items.iter().find_map(|value| shape(value, item.data_type())),
        (DataType::List(_), _) => Some(format!("expected a JSON array, found {found}")),
        (DataType::Struct(fields), Value::Object(members)) => fields.iter().find_map(|field| {
            let why = shape(members.get(field.name())?, field.data_type())?;
            Some(format!("{why} in field \"{}\"", field.name()))
        }),
        (DataType::Struct(_), _) => Some(format!("expected a JSON object, found {found}")),
        (_, Value::Array(_) | Value::Object(_)) => Some(format!("expected a scalar, found {found}")),
        (DataType::Utf8, _) => None,
        (wanted, value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let field = Field::new("", wanted.clone(), true);
            let error = parse(&text, &field, &TimeZone::utc()).err();
            error.map(|error| error.message().to_owned())
        }
    }
}

impl Decoder for Json {
    fn decode(&self, records: &Records, origin: &str) -> Result<Decoded> {
        let mut bad = BTreeMap::new();
        let whole = self.parse(records.bytes(), records.len()).ok();
        let whole = whole.filter(|batch| batch.num_rows() == records.len() && !records.has_endless());
        let (parsed, kept) = match whole {
            Some(batch) => (batch, None),
            None => {
                let (mut bytes, mut kept) = (Vec::new(), Vec::new());
                for at in 0..records.len() {
                    let record = records.get(at);
                    let too_long = || (SqlState::PROGRAM_LIMIT_EXCEEDED, TOO_LONG.to_owned());
                    let fault = if records.is_endless(at) { Some(too_long()) } else { self.fault(record) };
                    if let Some((code, why)) = fault {
                        let message = format!("{origin}:{}: {why}", records.line(at));
                        bad.insert(at, bad_bytes(code, message, record));
                        continue;
                    }
                    bytes.extend_from_slice(records.whole(at));
                    kept.push(at);
                }
                (self.parse(&bytes, kept.len())?, Some(kept))
            }
        };
        let record = |row: usize| records.get(kept.as_ref().map_or(row, |kept| kept[row]));
        let (parsed, refused) = documents::add(parsed, &self.documents, record)?;
        let (rows, refused) = self.align.convert(&parsed, refused)?;
        for (row, (code, why)) in refused {
            let at = kept.as_ref().map_or(row, |kept| kept[row]);
            let message = format!("{origin}:{}: {why}", records.line(at));
            bad.insert(at, bad_bytes(code, message, records.get(at)));
        }
        Ok(Decoded { rows, bad: bad.into_values().collect() })
    }
}
