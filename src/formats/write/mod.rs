//! Rows -> bytes: files that the decoders read back as the same rows.
//!
//! | | values | NULL |
//! |---|---|---|
//! | JSON | one object per line, values as `to_json` prints them, times with zone in UTC | `null` |
//! | CSV | as COPY prints them, times with zone in UTC | the option `null`, by default the empty field |
//! | PARQUET | the columns' own types, intervals as text | NULL |
//!
//! What does not come back as it was: in CSV a text that is the option `null` itself (by default the empty text) is read as
//! NULL, and in JSON so is jsonb's own `null`.

mod csv;
mod json;
mod parquet;

pub use self::parquet::Compression;

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::data::types::sql_name;
use crate::error::{Error, Result};

/// How rows become bytes.
#[derive(Clone, Debug)]
pub enum RowEncoding {
    /// JSON lines.
    Json,
    /// As COPY prints it.
    Csv(super::csv::Options),
    /// Parquet.
    Parquet(Compression),
}

impl RowEncoding {
    /// A file's ending.
    pub fn ending(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv(_) => "csv",
            Self::Parquet(_) => "parquet",
        }
    }

    /// Whether it can hold rows of these columns.
    ///
    /// Errors: `0A000` names the column.
    pub fn check(&self, schema: &SchemaRef) -> Result<()> {
        let Self::Parquet(_) = self else { return Ok(()) };
        match schema.fields().iter().find(|field| is_nested_interval(field.data_type())) {
            None => Ok(()),
            Some(field) => Err(Error::unsupported(
                format!("ENCODE PARQUET of column \"{}\" of type {}", field.name(), sql_name(field)),
                "Parquet has no such intervals: use ENCODE JSON, or cast the column to text in the view.",
            )),
        }
    }

    /// The rows with the types that it stores.
    pub fn storable(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        match self {
            Self::Json | Self::Csv(_) => Ok(rows.clone()),
            Self::Parquet(_) => parquet::storable(rows),
        }
    }

    /// The columns with the types that it stores.
    pub fn stored(&self, schema: &SchemaRef) -> SchemaRef {
        match self {
            Self::Json | Self::Csv(_) => SchemaRef::clone(schema),
            Self::Parquet(_) => parquet::stored(schema),
        }
    }
}

/// Intervals inside of arrays and STRUCTs; those of columns are stored as text.
fn is_nested_interval(data_type: &DataType) -> bool {
    fn has(data_type: &DataType) -> bool {
        matches!(data_type, DataType::Interval(_)) || is_nested_interval(data_type)
    }
    match data_type {
        DataType::List(item) => has(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has(field.data_type())),
        _ => false,
    }
}

/// Writes rows of one schema, [stored](RowEncoding::stored) as the encoding does.
pub enum RowWriter<W: Write + Send> {
    /// JSON and CSV.
    Text(Text, W),
    /// Parquet.
    Parquet(Box<::parquet::arrow::ArrowWriter<W>>),
}

/// A text while it is written.
pub struct Text {
    kind: Kind,
    buffer: String,
}

enum Kind {
    Json(json::Json),
    Csv(csv::Csv),
}

impl<W: Write + Send> RowWriter<W> {
    /// Begins.
    pub fn new(encoding: &RowEncoding, schema: &SchemaRef, out: W) -> Result<Self> {
        let text = |kind, buffer| Text { kind, buffer };
        Ok(match encoding {
            RowEncoding::Json => Self::Text(text(Kind::Json(json::Json::new(schema)), String::new()), out),
            RowEncoding::Csv(options) => {
                let csv = csv::Csv::new(options.clone());
                let header = csv.header(schema);
                Self::Text(text(Kind::Csv(csv), header), out)
            }
            RowEncoding::Parquet(compression) => {
                Self::Parquet(Box::new(parquet::writer(*compression, SchemaRef::clone(schema), out)?))
            }
        })
    }

    /// Writes some rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        match self {
            Self::Text(Text { kind, buffer }, out) => {
                match kind {
                    Kind::Json(json) => json.write(rows, buffer)?,
                    Kind::Csv(csv) => csv.write(rows, buffer)?,
                }
                out.write_all(buffer.as_bytes())?;
                buffer.clear();
                Ok(())
            }
            Self::Parquet(writer) => writer.write(rows).map_err(parquet::failed),
        }
    }

    /// Ends, and gives the output back.
    pub fn finish(self) -> Result<W> {
        match self {
            Self::Text(Text { buffer, .. }, mut out) => {
                out.write_all(buffer.as_bytes())?;
                out.flush()?;
                Ok(out)
            }
            Self::Parquet(writer) => writer.into_inner().map_err(parquet::failed),
        }
    }
}
