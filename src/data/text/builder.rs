//! Columns from text: what COPY FROM and CSV sources decode into.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, FixedSizeBinaryBuilder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, LargeStringBuilder,
    StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder, new_empty_array,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::ScalarValue;

use super::zone::TimeZone;
use super::{datetime, interval, json, number, string};
use crate::data::types::{NUMERIC_DEFAULT, UUID_BYTES};
use crate::error::Result;

/// Collects one column's values.
pub struct Builder {
    field: Field,
    zone: TimeZone,
    kind: Kind,
}

enum Kind {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Numeric(Decimal128Builder, u8, i8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Timestamptz(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Jsonb(LargeStringBuilder),
    /// Arrays and rare types, value by value.
    Scalars(Vec<ScalarValue>),
}

impl Builder {
    /// A builder for a column; `zone` is for timestamptz without a zone.
    pub fn new(field: &Field, zone: &TimeZone) -> Self {
        Self { field: field.clone(), zone: zone.clone(), kind: Kind::new(field) }
    }

    /// Adds a value, `None` for NULL. On an error nothing is added.
    pub fn append(&mut self, text: Option<&str>) -> Result<()> {
        let Some(text) = text else {
            self.append_null();
            return Ok(());
        };
        match &mut self.kind {
            Kind::Bool(b) => b.append_value(number::parse_bool(text)?),
            Kind::Int16(b) => {
                b.append_value(number::parse_int(text, i16::MIN.into(), i16::MAX.into(), "smallint")? as i16)
            }
            Kind::Int32(b) => {
                b.append_value(number::parse_int(text, i32::MIN.into(), i32::MAX.into(), "integer")? as i32)
            }
            Kind::Int64(b) => b.append_value(number::parse_int(text, i64::MIN, i64::MAX, "bigint")?),
            Kind::Float32(b) => b.append_value(number::parse_f32(text)?),
            Kind::Float64(b) => b.append_value(number::parse_f64(text)?),
            Kind::Numeric(b, p, s) => b.append_value(number::parse_numeric(text, *p, *s, (*p, *s) != NUMERIC_DEFAULT)?),
            Kind::Text(b) => b.append_value(string::parse_text(text, &self.field)?),
            Kind::Bytes(b) => b.append_value(string::parse_bytea(text)?),
            Kind::Date(b) => b.append_value(datetime::parse_date(text)?),
            Kind::Time(b) => b.append_value(datetime::parse_time(text)?),
            Kind::Timestamp(b) => b.append_value(datetime::parse_timestamp(text)?),
            Kind::Timestamptz(b) => b.append_value(datetime::parse_timestamptz(text, &self.zone)?),
            Kind::Interval(b) => b.append_value(interval::parse_interval(text)?),
            Kind::Uuid(b) => b.append_value(string::parse_uuid(text)?)?,
            Kind::Jsonb(b) => b.append_value(json::normalise(text)?),
            Kind::Scalars(values) => values.push(super::parse(text, &self.field, &self.zone)?),
        }
        Ok(())
    }

    /// Adds NULL.
    pub fn append_null(&mut self) {
        match &mut self.kind {
            Kind::Bool(b) => b.append_null(),
            Kind::Int16(b) => b.append_null(),
            Kind::Int32(b) => b.append_null(),
            Kind::Int64(b) => b.append_null(),
            Kind::Float32(b) => b.append_null(),
            Kind::Float64(b) => b.append_null(),
            Kind::Numeric(b, ..) => b.append_null(),
            Kind::Text(b) => b.append_null(),
            Kind::Bytes(b) => b.append_null(),
            Kind::Date(b) => b.append_null(),
            Kind::Time(b) => b.append_null(),
            Kind::Timestamp(b) | Kind::Timestamptz(b) => b.append_null(),
            Kind::Interval(b) => b.append_null(),
            Kind::Uuid(b) => b.append_null(),
            Kind::Jsonb(b) => b.append_null(),
            Kind::Scalars(values) => {
                values.push(ScalarValue::try_from(self.field.data_type()).unwrap_or(ScalarValue::Null));
            }
        }
    }

    /// The column so far, of the field's type; the builder is empty again.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.kind {
            Kind::Bool(b) => Arc::new(b.finish()),
            Kind::Int16(b) => Arc::new(b.finish()),
            Kind::Int32(b) => Arc::new(b.finish()),
            Kind::Int64(b) => Arc::new(b.finish()),
            Kind::Float32(b) => Arc::new(b.finish()),
            Kind::Float64(b) => Arc::new(b.finish()),
            Kind::Numeric(b, p, s) => Arc::new(b.finish().with_precision_and_scale(*p, *s)?),
            Kind::Text(b) => Arc::new(b.finish()),
            Kind::Bytes(b) => Arc::new(b.finish()),
            Kind::Date(b) => Arc::new(b.finish()),
            Kind::Time(b) => Arc::new(b.finish()),
            Kind::Timestamp(b) => Arc::new(b.finish()),
            Kind::Timestamptz(b) => {
                let array = b.finish();
                match self.field.data_type() {
                    DataType::Timestamp(_, Some(zone)) => Arc::new(array.with_timezone(zone.clone())),
                    _ => Arc::new(array),
                }
            }
            Kind::Interval(b) => Arc::new(b.finish()),
            Kind::Uuid(b) => Arc::new(b.finish()),
            Kind::Jsonb(b) => Arc::new(b.finish()),
            Kind::Scalars(values) if values.is_empty() => new_empty_array(self.field.data_type()),
            Kind::Scalars(values) => ScalarValue::iter_to_array(std::mem::take(values))?,
        })
    }
}

impl Kind {
    fn new(field: &Field) -> Self {
        match field.data_type() {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 if field.metadata().is_empty() => Self::Int32(Int32Builder::new()),
            DataType::Int64 if field.metadata().is_empty() => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal128(p, s) => Self::Numeric(Decimal128Builder::new(), *p, *s),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Self::Timestamptz(TimestampMicrosecondBuilder::new())
            }
            DataType::Interval(_) => Self::Interval(IntervalMonthDayNanoBuilder::new()),
            DataType::FixedSizeBinary(UUID_BYTES) => Self::Uuid(FixedSizeBinaryBuilder::new(UUID_BYTES)),
            DataType::LargeUtf8 => Self::Jsonb(LargeStringBuilder::new()),
            _ => Self::Scalars(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::Column;
    use crate::data::types::{JSONB, UUID, interval, timestamp, timestamptz, varchar};

    #[test]
    fn every_type_reads_what_it_prints() {
        let field = |t| Field::new("c", t, true);
        let list = DataType::new_list(DataType::Utf8, true);
        for (field, text) in [
            (field(DataType::Boolean), "t"),
            (field(DataType::Int16), "-32768"),
            (field(DataType::Int32), "2147483647"),
            (field(DataType::Int64), "-9223372036854775808"),
            (field(DataType::Float32), "0.1"),
            (field(DataType::Float64), "1e+300"),
            (field(DataType::Decimal128(10, 2)), "-12.30"),
            (field(DataType::Decimal128(38, 10)), "-12.3"),
            (field(DataType::Utf8), "é \\ \""),
            (varchar("c", Some(5), true), "abc"),
            (field(DataType::Binary), "\\x00ff"),
            (field(DataType::Date32), "0044-03-15 BC"),
            (field(DataType::Time64(TimeUnit::Microsecond)), "23:59:59.000001"),
            (field(timestamp()), "10000-01-01 00:00:00"),
            (field(timestamptz()), "2026-01-01 00:00:00+00"),
            (field(interval()), "1 year -2 days +00:00:01"),
            (field(UUID), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (field(JSONB), "{\"a\": [1, null]}"),
            (field(DataType::new_list(UUID, true)), "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"),
            (field(DataType::new_list(JSONB, true)), "{\"{\\\"a\\\": 1}\",2}"),
            (field(list), "{a,NULL,\"b c\"}"),
        ] {
            let mut builder = Builder::new(&field, &TimeZone::utc());
            builder.append(Some(text)).unwrap();
            builder.append(None).unwrap();
            assert!(field.data_type() == &DataType::Utf8 || builder.append(Some("\\q")).is_err(), "{field}");
            let array = builder.finish().unwrap();
            assert_eq!(array.data_type(), field.data_type());
            let column = Column::new(array.as_ref(), &field).unwrap();
            let mut shown = String::new();
            column.write(0, &TimeZone::utc(), &mut shown);
            assert_eq!(shown, text);
            assert!(column.is_null(1) && column.len() == 2);
            assert_eq!(builder.finish().unwrap().len(), 0);
        }
    }
}
