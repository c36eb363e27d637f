//! Values as text, exactly as PostgreSQL reads and prints them: the *in* and *out* functions of the types.
//!
//! [`parse`] reads one value, [`Builder`] a column of them (COPY, CSV), [`Column`] prints, typed once per batch. The
//! functions of single types are public as well, for casts.
//!
//! | type | file |
//! |---|---|
//! | boolean, integers, floats, numeric | [`number`] |
//! | date, time, timestamp, timestamptz | [`datetime`], [`calendar`], `plain`, [`TimeZone`] |
//! | interval | [`interval`] |
//! | bytea, varchar(n), uuid | [`string`] |
//! | json, jsonb | [`json`] |
//! | arrays | `array` |
//! | STRUCT | `record` |
//!
//! Uses: error

pub mod array;
mod builder;
pub mod calendar;
mod column;
pub mod datetime;
pub mod interval;
pub mod json;
mod json_column;
mod json_number;
pub mod number;
mod plain;
pub mod record;
pub mod string;
mod zone;

pub use builder::Builder;
pub use column::{Column, Values};
pub use json_column::JsonColumn;
pub use zone::TimeZone;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::ScalarValue;

use super::types::{NUMERIC_DEFAULT, UUID_BYTES, item, pg_type};
use crate::error::{Error, Result, SqlState};

/// 22P02.
pub fn invalid(name: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {name}: \"{text}\""))
}

/// 22007.
pub fn invalid_datetime(name: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {name}: \"{text}\""))
}

/// 22003.
pub fn out_of_range(name: &str, text: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{text}\" is out of range for type {name}"))
}

/// Reads a value of a column's type. `zone` is the session's: it counts for timestamptz without a zone.
pub fn parse(text: &str, field: &Field, zone: &TimeZone) -> Result<ScalarValue> {
    use ScalarValue as S;
    let int = |min: i64, max: i64, name| number::parse_int(text, min, max, name);
    let oid = pg_type(field).oid;
    Ok(match field.data_type() {
        DataType::Boolean => S::Boolean(Some(number::parse_bool(text)?)),
        DataType::Int16 => S::Int16(Some(int(i16::MIN.into(), i16::MAX.into(), "smallint")? as i16)),
        DataType::Int32 if is_oid(oid) => S::Int32(Some(int(0, u32::MAX.into(), "oid")? as u32 as i32)),
        DataType::UInt32 if is_oid(oid) => S::UInt32(Some(int(0, u32::MAX.into(), "oid")? as u32)),
        DataType::Int64 if is_oid(oid) => S::Int64(Some(int(0, u32::MAX.into(), "oid")?)),
        DataType::Int32 => S::Int32(Some(int(i32::MIN.into(), i32::MAX.into(), "integer")? as i32)),
        DataType::Int64 => S::Int64(Some(int(i64::MIN, i64::MAX, "bigint")?)),
        DataType::Float32 => S::Float32(Some(number::parse_f32(text)?)),
        DataType::Float64 => S::Float64(Some(number::parse_f64(text)?)),
        DataType::Decimal128(p, s) => {
            S::Decimal128(Some(number::parse_numeric(text, *p, *s, (*p, *s) != NUMERIC_DEFAULT)?), *p, *s)
        }
        DataType::Utf8 => S::Utf8(Some(string::parse_text(text, field)?.into_owned())),
        DataType::Binary => S::Binary(Some(string::parse_bytea(text)?)),
        DataType::Date32 => S::Date32(Some(datetime::parse_date(text)?)),
        DataType::Time64(TimeUnit::Microsecond) => S::Time64Microsecond(Some(datetime::parse_time(text)?)),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            S::TimestampMicrosecond(Some(datetime::parse_timestamp(text)?), None)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(tz)) => {
            S::TimestampMicrosecond(Some(datetime::parse_timestamptz(text, zone)?), Some(tz.clone()))
        }
        DataType::Interval(_) => S::IntervalMonthDayNano(Some(interval::parse_interval(text)?)),
        DataType::FixedSizeBinary(UUID_BYTES) => {
            S::FixedSizeBinary(UUID_BYTES, Some(string::parse_uuid(text)?.to_vec()))
        }
        DataType::LargeUtf8 => S::LargeUtf8(Some(json::normalise(text)?)),
        DataType::List(_) => array::parse_array(text, &item(field), zone)?,
        DataType::Struct(fields) => record::parse_record(text, fields, zone)?,
        DataType::Null => S::Null,
        // Other Arrow types are not types of columns; they arise in plans and are cast from the nearest of ours.
        other => parse(text, &nearest(other)?, zone)?.cast_to(other)?,
    })
}

/// The column type whose text an Arrow type without one of its own is read as.
fn nearest(other: &DataType) -> Result<Field> {
    let data_type = column::canonical(other);
    if &data_type == other {
        return Err(Error::internal(format!("no text form for {other}")));
    }
    Ok(Field::new("", data_type, true))
}

fn is_oid(oid: u32) -> bool {
    matches!(oid, 26 | 24 | 2205 | 2206 | 4089 | 4096)
}

/// Prints one value of an array; NULL prints nothing. For more than one row make a [`Column`] once.
pub fn write(array: &dyn Array, row: usize, field: &Field, zone: &TimeZone, out: &mut String) -> Result<()> {
    Column::new(array, field)?.write(row, zone, out);
    Ok(())
}

/// A single value's text; `None` for NULL.
pub fn display(value: &ScalarValue, field: &Field, zone: &TimeZone) -> Result<Option<String>> {
    let column = Column::new(value.to_array()?.as_ref(), field)?;
    if column.is_null(0) {
        return Ok(None);
    }
    let mut out = String::new();
    column.write(0, zone, &mut out);
    Ok(Some(out))
}

/// A row as PostgreSQL prints a composite value: `(1,,"a b")`. Times with zone are in UTC.
pub fn row_text(columns: &[Column], row: usize) -> String {
    let mut out = String::new();
    // Strings take whatever is written.
    let _ = record::write_record(&mut out, columns, row, &TimeZone::utc());
    out
}

/// A row for `Failing row contains (..).`: values with `, ` between, `null` for NULL, long ones cut.
pub fn row_detail(columns: &[Column], row: usize) -> String {
    const LONGEST: usize = 64;
    let zone = TimeZone::utc();
    let mut out = String::from("(");
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if column.is_null(row) {
            out.push_str("null");
            continue;
        }
        let from = out.len();
        column.write(row, &zone, &mut out);
        if out.len() - from > LONGEST {
            let end = (from..=from + LONGEST).rev().find(|i| out.is_char_boundary(*i)).unwrap_or(from);
            out.truncate(end);
            out.push_str("...");
        }
    }
    out.push(')');
    out
}

/// The columns of a batch, ready to print.
pub fn columns(batch: &RecordBatch) -> Result<Vec<Column>> {
    batch
        .columns()
        .iter()
        .zip(batch.schema().fields())
        .map(|(array, field)| Column::new(array.as_ref(), field))
        .collect()
}
