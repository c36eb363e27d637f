//! The columns of a source: what its first file tells, checked against what was declared.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::one;
use super::paths::Listed;
use crate::connectors::encoding::Encoding;
use crate::connectors::options::nearest;
use crate::data::types;
use crate::error::{Error, Result, SqlState};
use crate::formats::{convertible, infer, lines};

/// The columns as the first file tells them.
pub(super) fn told(file: &Listed, encoding: &Encoding) -> Result<SchemaRef> {
    match encoding {
        Encoding::Parquet => {
            let found = one::parquet_schema(file)?;
            let fields = found.fields().iter().map(|field| {
                let data_type = sql_type(field.data_type()).ok_or_else(|| {
                    let what = format!("column \"{}\" of Parquet type {}", field.name(), field.data_type());
                    Error::unsupported(what, "Declare the columns to read, without this one.")
                })?;
                Ok(Field::new(field.name(), data_type, field.is_nullable()))
            });
            Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
        }
        Encoding::Csv(options) if !options.header => {
            let error =
                Error::new(SqlState::INVALID_TABLE_DEFINITION, "a CSV file without header does not name columns");
            Err(error.with_hint("Declare the columns of the source, in the order of the fields."))
        }
        Encoding::Csv(options) => options.infer(file.bytes()?, &file.name),
        Encoding::Json => infer(file.bytes()?, &file.name),
        Encoding::Text => lines::columns(None),
    }
}

/// The declared columns, if the first file has them. Later files may lack one: it is NULL there.
pub(super) fn declared(declared: &SchemaRef, file: &Listed, encoding: &Encoding) -> Result<SchemaRef> {
    match encoding {
        Encoding::Parquet => {
            let found = one::parquet_schema(file)?;
            for field in declared.fields() {
                let Ok(in_file) = found.field_with_name(field.name()) else {
                    return Err(no_column(field, file, found.fields().iter().map(|f| f.name().as_str())));
                };
                if !convertible(in_file.data_type(), field.data_type()) {
                    let message = format!(
                        "column \"{}\" is {} but in file \"{}\" it is {}",
                        field.name(),
                        types::sql_name(field),
                        file.name,
                        types::sql_name(in_file)
                    );
                    return Err(Error::new(SqlState::DATATYPE_MISMATCH, message));
                }
            }
        }
        Encoding::Csv(options) => {
            if options.header {
                let names = one::open_text(file, encoding)?.1.unwrap_or_default();
                for field in declared.fields() {
                    if !names.contains(field.name()) {
                        return Err(no_column(field, file, names.iter().map(String::as_str)));
                    }
                }
            }
        }
        Encoding::Json => {}
        Encoding::Text => return lines::columns(Some(declared)),
    }
    Ok(Arc::clone(declared))
}

fn no_column<'a>(field: &Field, file: &Listed, found: impl Iterator<Item = &'a str> + Clone) -> Error {
    let message = format!("file \"{}\" has no column \"{}\"", file.name, field.name());
    let error = Error::new(SqlState::UNDEFINED_COLUMN, message);
    match nearest(field.name(), found.clone()) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error.with_hint(format!("Its columns are: {}.", found.take(30).collect::<Vec<_>>().join(", "))),
    }
}

/// The Arrow type that carries a Parquet column in SQL.
fn sql_type(found: &DataType) -> Option<DataType> {
    Some(match found {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Decimal128(..) => found.clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => sql_type(value)?,
        // Parquet's UUID, and what has its length.
        DataType::FixedSizeBinary(types::UUID_BYTES) => types::UUID,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(arrow::datatypes::TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => types::timestamp(),
        DataType::Timestamp(_, Some(_)) => types::timestamptz(),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            types::list_of(&Field::new("item", sql_type(item.data_type())?, true))
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let field = |field: &Arc<Field>| Some(Field::new(field.name(), sql_type(field.data_type())?, true));
            types::record(fields.iter().map(field).collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    })
}
