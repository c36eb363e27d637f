//! `to_char`, `to_timestamp`, `to_date`, `to_number`: PostgreSQL's format patterns.
//!
//! * `pattern`: a format, taken apart;
//! * `write`: times by patterns; `number`: numbers by templates;
//! * `read`: times from texts.

mod number;
mod pattern;
mod read;
mod write;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};

use super::datetime::{DAY, Fields, SECOND, infinite, no_timestamp};
use super::native::{Call, Function, Overload, T};
use crate::data::text::number::{parse_numeric, write_f64, write_numeric};
use crate::data::types::NUMERIC_DEFAULT;
use crate::error::{Error, Result, SqlState};
use number::write_number;
use pattern::Formats;
use read::read_time;
use write::write_time;

pub(super) const ALL: &[&Function] = &[
    &Function::new(
        "to_char",
        &[
            Overload(&[T::Timestamp, T::Text], T::Text),
            Overload(&[T::Timestamptz, T::Text], T::Text),
            Overload(&[T::Interval, T::Text], T::Text),
            Overload(&[T::Numeric, T::Text], T::Text),
            Overload(&[T::Float8, T::Text], T::Text),
        ],
        to_char,
    ),
    &Function::new(
        "to_timestamp",
        &[Overload(&[T::Float8], T::Timestamptz), Overload(&[T::Text, T::Text], T::Timestamptz)],
        to_timestamp,
    ),
    &Function::new("to_date", &[Overload(&[T::Text, T::Text], T::Date)], to_date),
    &Function::new("to_number", &[Overload(&[T::Text, T::Text], T::Numeric)], to_number),
];

fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let (values, formats) = (&call.args[0], call.args[1].as_string::<i32>());
    let mut parsed = Formats::default();
    let mut one = |row: usize| -> Result<Option<String>> {
        if values.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let format = formats.value(row);
        Ok(Some(match values.data_type() {
            DataType::Timestamp(_, zone) => {
                let utc = values.as_primitive::<TimestampMicrosecondType>().value(row);
                if infinite(utc) {
                    return Ok(None);
                }
                let zone = zone.is_some().then_some(call.zone);
                let local = zone.map_or(utc, |z| z.to_local(utc));
                let offset = zone.map(|z| (z, z.offset_at(utc)));
                write_time(&Fields::of(local), parsed.get(format), offset)
            }
            DataType::Interval(_) => {
                let i = values.as_primitive::<IntervalMonthDayNanoType>().value(row);
                let micros = i.nanoseconds / 1000;
                let fields = Fields {
                    days: i64::from(i.days),
                    year: i64::from(i.months / 12),
                    month: (i.months % 12).unsigned_abs(),
                    day: i.days.unsigned_abs(),
                    time: micros,
                };
                write_time(&fields, parsed.get(format), None)
            }
            DataType::Decimal128(_, scale) => {
                let mut digits = String::new();
                let value = values.as_primitive::<Decimal128Type>().value(row);
                let _ = write_numeric(&mut digits, value, *scale, false);
                write_number(&digits, format)?
            }
            _ => {
                let mut digits = String::new();
                let value = values.as_primitive::<Float64Type>().value(row);
                if value.abs() < 1e17 {
                    let _ = write!(digits, "{value}");
                } else {
                    let _ = write_f64(&mut digits, value);
                }
                write_number(&digits, format)?
            }
        }))
    };
    Ok(Arc::new((0..call.rows).map(&mut one).collect::<Result<StringArray>>()?))
}

fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args.len() == 1 {
        let one = |seconds: f64| match seconds {
            f64::INFINITY => Ok(i64::MAX),
            f64::NEG_INFINITY => Ok(i64::MIN),
            s if s.is_finite() && s.abs() < 9e12 => Ok((s * 1e6).round() as i64),
            s => Err(no_timestamp(s)),
        };
        let out: TimestampMicrosecondArray = call.args[0].as_primitive::<Float64Type>().try_unary(one)?;
        return Ok(Arc::new(out.with_timezone("UTC")));
    }
    let (texts, formats) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let mut parsed = Formats::default();
    let mut one = |row: usize| -> Result<Option<i64>> {
        if texts.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let (text, format) = (texts.value(row), formats.value(row));
        let read = read_time(text, format, parsed.get(format))?;
        let local = read.days(text)?.saturating_mul(DAY).saturating_add(read.clock());
        Ok(Some(match read.offset {
            Some(offset) => local - offset * SECOND,
            None => call.zone.to_utc(local),
        }))
    };
    let out = (0..call.rows).map(&mut one).collect::<Result<TimestampMicrosecondArray>>()?;
    Ok(Arc::new(out.with_timezone("UTC")))
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, formats) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let mut parsed = Formats::default();
    let mut one = |row: usize| -> Result<Option<i32>> {
        if texts.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let (text, format) = (texts.value(row), formats.value(row));
        let day = read_time(text, format, parsed.get(format))?.days(text)?;
        let range = |_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""));
        i32::try_from(day).map(Some).map_err(range)
    };
    Ok(Arc::new((0..call.rows).map(&mut one).collect::<Result<Date32Array>>()?))
}

/// The digits of a text; grouping and currency are passed over.
fn to_number(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, formats) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let one = |(text, format): (Option<&str>, Option<&str>)| -> Result<Option<i128>> {
        let (Some(text), Some(_)) = (text, format) else { return Ok(None) };
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
        parse_numeric(&digits, NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1, false).map(Some)
    };
    let out = texts.iter().zip(formats).map(one).collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(out.with_precision_and_scale(NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1)?))
}
