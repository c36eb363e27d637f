//! Text: one column, one row per line; blank lines are rows too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::align::{Align, bad_bytes};
use super::records::TOO_LONG;
use super::{Decoded, Decoder, Records};
use crate::error::{Error, Result, SqlState};

/// The column's name where none was declared.
pub const COLUMN: &str = "line";

/// The declared column, which must be one of text, or `line`.
///
/// Errors: `42P16` other columns.
pub fn columns(declared: Option<&SchemaRef>) -> Result<SchemaRef> {
    let Some(declared) = declared else {
        return Ok(Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, false)])));
    };
    match declared.fields().as_ref() {
        [one] if one.data_type() == &DataType::Utf8 => Ok(Arc::clone(declared)),
        _ => {
            let message = "ENCODE TEXT has one column, of type text: the line";
            let error = Error::new(SqlState::INVALID_TABLE_DEFINITION, message);
            Err(error.with_hint(format!("Declare ({COLUMN} TEXT), or leave the columns out.")))
        }
    }
}

/// Decodes lines.
#[derive(Debug)]
pub struct Lines {
    align: Align,
}

impl Lines {
    /// Decodes into rows of `target`, which has one column of text.
    pub fn new(target: SchemaRef) -> Self {
        Self { align: Align::new(target) }
    }
}

impl Decoder for Lines {
    fn decode(&self, records: &Records, origin: &str) -> Result<Decoded> {
        let mut bad = BTreeMap::new();
        let mut kept = Vec::with_capacity(records.len());
        let mut texts = StringBuilder::with_capacity(records.len(), records.bytes().len());
        for at in 0..records.len() {
            let record = records.get(at);
            match std::str::from_utf8(record) {
                Ok(text) if !records.is_endless(at) && !text.contains('\0') => {
                    texts.append_value(text);
                    kept.push(at);
                }
                found => {
                    let (code, why) = match found {
                        Ok(_) if records.is_endless(at) => (SqlState::PROGRAM_LIMIT_EXCEEDED, TOO_LONG),
                        _ => (SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\""),
                    };
                    let message = format!("{origin}:{}: {why}", records.line(at));
                    bad.insert(at, bad_bytes(code, message, record));
                }
            }
        }
        let field = self.align.target().field(0);
        let schema = Arc::new(Schema::new(vec![Field::new(field.name(), DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(texts.finish())])?;
        let (rows, refused) = self.align.convert(&batch, BTreeMap::new())?;
        for (row, (code, why)) in refused {
            let message = format!("{origin}:{}: {why}", records.line(kept[row]));
            bad.insert(kept[row], bad_bytes(code, message, records.get(kept[row])));
        }
        Ok(Decoded { rows, bad: bad.into_values().collect() })
    }
}
