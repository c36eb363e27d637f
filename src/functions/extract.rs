//! `extract` and `date_part`: one field of a date, time, timestamp or interval.
//!
//! Of an infinite time, a field that grows with time is infinite and any other NULL. What `extract` gives is numeric, which
//! has no infinity here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::datatypes::{
    DataType, Date32Type, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};

use super::datetime::{DAY, Fields, Units, counted_year, infinite, unit_of, unknown_unit};
use super::native::{Call, Function, Overload, T};
use crate::data::types::{sql_name, timestamp};
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[
    &Function { by_constant: Some(extract_type), ..Function::new("extract", PARTS, extract) },
    &Function::new("date_part", PARTS, date_part),
];

const PARTS: &[Overload] = &[
    Overload(&[T::Text, T::Timestamp], T::Float8),
    Overload(&[T::Text, T::Timestamptz], T::Float8),
    Overload(&[T::Text, T::Date], T::Float8),
    Overload(&[T::Text, T::Time], T::Float8),
    Overload(&[T::Text, T::Interval], T::Float8),
];

/// The scale that `extract` gives a unit.
fn scale_of(unit: &str) -> i8 {
    match unit {
        "second" | "epoch" | "julian" => 6,
        "milliseconds" => 3,
        _ => 0,
    }
}

fn extract_type(unit: &str) -> Option<T> {
    Some(T::Scaled(scale_of(&unit_of(unit))))
}

/// A unit's value.
#[derive(Clone, Copy)]
enum Part {
    Millionths(i128),
    /// Of an infinite time.
    Infinite {
        negative: bool,
    },
}

impl Part {
    fn float(self) -> f64 {
        match self {
            Self::Millionths(v) => v as f64 / 1e6,
            Self::Infinite { negative: false } => f64::INFINITY,
            Self::Infinite { negative: true } => f64::NEG_INFINITY,
        }
    }
}

/// NULL: a field of an infinite time that comes and goes.
fn part(unit: &str, value: &Value, data_type: &DataType) -> Result<Option<Part>> {
    let found = match value {
        Value::Moment { local, utc, offset } => {
            let zone = offset.or((infinite(*utc) && data_type != &DataType::Date32).then_some(0));
            let found = moment_part(unit, *local, *utc, zone, data_type);
            if infinite(*utc) && found.is_some() {
                return Ok(GROWING.contains(&unit).then_some(Part::Infinite { negative: *utc < 0 }));
            }
            found
        }
        Value::Time(t) => time_part(unit, *t).or_else(|| (unit == "epoch").then_some(i128::from(*t))),
        Value::Interval(i) => interval_part(unit, *i),
    };
    match found {
        Some(v) => Ok(Some(Part::Millionths(v))),
        None if UNITS.contains(&unit) => {
            let message = format!(
                "unit \"{unit}\" not supported for type {}",
                sql_name(&Field::new("", data_type.clone(), true))
            );
            Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message))
        }
        None => Err(unknown_unit(unit, data_type)),
    }
}

/// Units that some type has.
const UNITS: [&str; 22] = [
    "microseconds",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
    "epoch",
    "julian",
    "isoyear",
    "dow",
    "isodow",
    "doy",
    "timezone",
    "timezone_hour",
    "timezone_minute",
];

/// Whether a unit grows with time, so that it is infinite of an infinite time.
pub fn grows(unit: &str) -> bool {
    GROWING.contains(&unit_of(unit).as_str())
}

/// Units that grow with time.
const GROWING: [&str; 7] = ["epoch", "julian", "year", "isoyear", "decade", "century", "millennium"];

enum Value {
    /// `offset`: seconds, where there is a zone.
    Moment {
        local: i64,
        utc: i64,
        offset: Option<i32>,
    },
    Time(i64),
    Interval(IntervalMonthDayNano),
}

const MILLION: i128 = 1_000_000;

fn time_part(unit: &str, time: i64) -> Option<i128> {
    let time = i128::from(time);
    Some(match unit {
        "hour" => time / (3600 * MILLION) * MILLION,
        "minute" => time / (60 * MILLION) % 60 * MILLION,
        "second" => time % (60 * MILLION),
        "milliseconds" => time % (60 * MILLION) * 1000,
        "microseconds" => time % (60 * MILLION) * MILLION,
        _ => return None,
    })
}

fn moment_part(unit: &str, local: i64, utc: i64, offset: Option<i32>, data_type: &DataType) -> Option<i128> {
    let f = Fields::of(local);
    let year = counted_year(f.year);
    if data_type != &DataType::Date32
        && let Some(part) = time_part(unit, f.time)
    {
        return Some(part);
    }
    let whole = match unit {
        "epoch" => return Some(i128::from(utc)),
        "julian" => {
            return Some(i128::from(f.days + 2_440_588) * MILLION + i128::from(f.time) * MILLION / i128::from(DAY));
        }
        "year" => year,
        "month" => f.month.into(),
        "day" => f.day.into(),
        "quarter" => i64::from((f.month - 1) / 3 + 1),
        "week" => f.iso_week().1,
        "isoyear" => counted_year(f.iso_week().0),
        "dow" => f.weekday(),
        "isodow" => f.iso_weekday(),
        "doy" => f.day_of_year(),
        "decade" => f.year.div_euclid(10),
        "century" => {
            if year > 0 {
                (year + 99) / 100
            } else {
                -((99 - year) / 100)
            }
        }
        "millennium" => {
            if year > 0 {
                (year + 999) / 1000
            } else {
                -((999 - year) / 1000)
            }
        }
        "timezone" => offset?.into(),
        "timezone_hour" => (offset? / 3600).into(),
        "timezone_minute" => (offset? / 60 % 60).into(),
        _ => return None,
    };
    Some(i128::from(whole) * MILLION)
}

fn interval_part(unit: &str, i: IntervalMonthDayNano) -> Option<i128> {
    let micros = i128::from(i.nanoseconds / 1000);
    let (years, months) = (i128::from(i.months / 12), i128::from(i.months % 12));
    Some(match unit {
        "epoch" => {
            // A year has 365.25 days, a month 30.
            (years * 31_557_600 + months * 2_592_000 + i128::from(i.days) * 86_400) * MILLION + micros
        }
        "year" => years * MILLION,
        "month" => months * MILLION,
        "quarter" => (months / 3 + 1) * MILLION,
        "day" => i128::from(i.days) * MILLION,
        "decade" => years / 10 * MILLION,
        "century" => years / 100 * MILLION,
        "millennium" => years / 1000 * MILLION,
        "hour" => micros / (3600 * MILLION) * MILLION,
        "minute" => micros / (60 * MILLION) % 60 * MILLION,
        "second" => micros % (60 * MILLION),
        "milliseconds" => micros % (60 * MILLION) * 1000,
        "microseconds" => micros % (60 * MILLION) * MILLION,
        _ => return None,
    })
}

/// The units asked for; `day`: a date has no more than a day's units.
fn parts(call: &Call<'_>, day: bool) -> Result<Vec<Option<Part>>> {
    let mut units = Units::new(&call.args[0]);
    let values = &call.args[1];
    let data_type = values.data_type();
    let value = |row: usize| -> Value {
        match data_type {
            DataType::Date32 => {
                let local = midnight(values.as_primitive::<Date32Type>().value(row));
                Value::Moment { local, utc: local, offset: None }
            }
            DataType::Timestamp(_, zone) => {
                let utc = values.as_primitive::<TimestampMicrosecondType>().value(row);
                match zone {
                    Some(_) => {
                        Value::Moment { local: call.zone.to_local(utc), utc, offset: Some(call.zone.offset_at(utc)) }
                    }
                    None => Value::Moment { local: utc, utc, offset: None },
                }
            }
            DataType::Time64(_) => Value::Time(values.as_primitive::<Time64MicrosecondType>().value(row)),
            _ => Value::Interval(values.as_primitive::<IntervalMonthDayNanoType>().value(row)),
        }
    };
    let seen_as = if data_type == &DataType::Date32 && !day { timestamp() } else { data_type.clone() };
    (0..call.rows)
        .map(|row| match units.at(row) {
            Some(unit) if values.is_valid(row) => part(unit, &value(row), &seen_as),
            _ => Ok(None),
        })
        .collect()
}

fn midnight(days: i32) -> i64 {
    match days {
        i32::MAX => i64::MAX,
        i32::MIN => i64::MIN,
        days => i64::from(days).saturating_mul(DAY),
    }
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let parts = parts(call, true)?;
    let DataType::Decimal128(precision, scale) = call.result else {
        return Ok(Arc::new(parts.into_iter().map(|p| p.map(Part::float)).collect::<Float64Array>()));
    };
    let divisor = 10i128.pow(u32::from((6 - scale).unsigned_abs()));
    let number = |part| match part {
        Part::Millionths(v) => Ok(v / divisor),
        Part::Infinite { .. } => {
            let hint = "Use date_part(), whose double precision has it.";
            Err(Error::unsupported("infinity as numeric, what extract() gives of an infinite time", hint))
        }
    };
    let out = parts.into_iter().map(|p| p.map(number).transpose()).collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(out.with_precision_and_scale(*precision, *scale)?))
}

fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    // PostgreSQL's takes a date for its midnight.
    let floats = parts(call, false)?.into_iter().map(|p| p.map(Part::float));
    Ok(Arc::new(floats.collect::<Float64Array>()))
}
