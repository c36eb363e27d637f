//! Parquet, in columns as they are.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{self, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::data::text::{Column, TimeZone};
use crate::error::{Error, Result};

/// How pages are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Small.
    #[default]
    Zstd,
    /// Fast.
    Snappy,
    /// Not at all.
    None,
}

impl Compression {
    /// By the option's value.
    pub fn named(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "zstd" => Self::Zstd,
            "snappy" => Self::Snappy,
            "none" | "uncompressed" => Self::None,
            _ => return None,
        })
    }
}

pub(super) fn writer<W: Write + Send>(compression: Compression, schema: SchemaRef, out: W) -> Result<ArrowWriter<W>> {
    let compression = match compression {
        Compression::Zstd => basic::Compression::ZSTD(ZstdLevel::default()),
        Compression::Snappy => basic::Compression::SNAPPY,
        Compression::None => basic::Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder().set_compression(compression).build();
    ArrowWriter::try_new(out, schema, Some(properties)).map_err(failed)
}

/// What the disk said stays what the disk said.
pub(super) fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(io) => Error::from(*io),
            Err(other) => Error::internal(format!("a Parquet file cannot be written: {other}")),
        },
        other => Error::internal(format!("a Parquet file cannot be written: {other}")),
    }
}

pub(super) fn stored(schema: &SchemaRef) -> SchemaRef {
    if !schema.fields().iter().any(|field| is_interval(field)) {
        return SchemaRef::clone(schema);
    }
    let field = |field: &Arc<Field>| match is_interval(field) {
        true => Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable())),
        false => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

pub(super) fn storable(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let stored = stored(&schema);
    if Arc::ptr_eq(&schema, &stored) {
        return Ok(rows.clone());
    }
    let column = |(array, field): (&ArrayRef, &Arc<Field>)| match is_interval(field) {
        true => as_text(array, field),
        false => Ok(Arc::clone(array)),
    };
    let columns = rows.columns().iter().zip(schema.fields()).map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(stored, columns, &options)?)
}

fn is_interval(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Interval(_))
}

fn as_text(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let (column, zone) = (Column::new(array.as_ref(), field)?, TimeZone::utc());
    let text = |row| {
        let mut text = String::new();
        column.write(row, &zone, &mut text);
        (!column.is_null(row)).then_some(text)
    };
    Ok(Arc::new((0..array.len()).map(text).collect::<StringArray>()))
}
