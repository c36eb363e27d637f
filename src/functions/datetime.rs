//! Dates and times: `date_trunc`, `date_bin`, `timezone` (AT TIME ZONE), `age`, `make_*`.
//!
//! A timestamptz is looked at in the session's TimeZone. Windows and bins align to the Unix epoch. The infinities, the ends of
//! the integer's range, are in no day: each function says what it makes of them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, IntervalMonthDayNanoArray, PrimitiveArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    TimestampMicrosecondType,
};

use super::native::{Call, Function, Overload, T};
use crate::data::floor;
use crate::data::text::TimeZone;
use crate::data::text::calendar::{civil, days, days_in_month};
use crate::data::text::datetime::{DATE_FIRST, DATE_LAST, TIMESTAMP_FIRST, TIMESTAMP_LAST};
use crate::data::text::number::write_f64;
use crate::error::{Error, Result, SqlState};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

pub(super) const ALL: &[&Function] = &[
    &Function::new(
        "date_trunc",
        &[
            Overload(&[T::Text, T::Timestamp], T::Timestamp),
            Overload(&[T::Text, T::Timestamptz], T::Timestamptz),
            Overload(&[T::Text, T::Timestamptz, T::Text], T::Timestamptz),
            Overload(&[T::Text, T::Interval], T::Interval),
        ],
        date_trunc,
    ),
    &Function::new(
        "date_bin",
        &[
            Overload(&[T::Interval, T::Timestamp], T::Timestamp),
            Overload(&[T::Interval, T::Timestamptz], T::Timestamptz),
            Overload(&[T::Interval, T::Timestamp, T::Timestamp], T::Timestamp),
            Overload(&[T::Interval, T::Timestamptz, T::Timestamptz], T::Timestamptz),
        ],
        date_bin,
    ),
    &Function::new(
        "timezone",
        &[Overload(&[T::Text, T::Timestamp], T::Timestamptz), Overload(&[T::Text, T::Timestamptz], T::Timestamp)],
        timezone,
    ),
    &Function::new(
        "age",
        &[
            Overload(&[T::Timestamp, T::Timestamp], T::Interval),
            Overload(&[T::Timestamptz, T::Timestamptz], T::Interval),
        ],
        age,
    ),
    &Function::new(
        "isfinite",
        &[
            Overload(&[T::Date], T::Bool),
            Overload(&[T::Timestamp], T::Bool),
            Overload(&[T::Timestamptz], T::Bool),
            Overload(&[T::Interval], T::Bool),
        ],
        is_finite,
    ),
    &Function::new("make_date", &[Overload(&[T::Int4, T::Int4, T::Int4], T::Date)], make_date),
    &Function::new(
        "make_timestamp",
        &[Overload(&[T::Int4, T::Int4, T::Int4, T::Int4, T::Int4, T::Float8], T::Timestamp)],
        make_timestamp,
    ),
];

/// Whether this is one of the infinities.
pub(super) fn infinite(micros: i64) -> bool {
    matches!(micros, i64::MAX | i64::MIN)
}

/// 22008.
pub(super) fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

/// 22008 of seconds that are none.
pub(super) fn no_timestamp(seconds: f64) -> Error {
    let mut text = String::new();
    let written = write_f64(&mut text, seconds).is_ok();
    let message = match written && !seconds.is_nan() {
        true => format!("timestamp out of range: \"{text}\""),
        false => "timestamp cannot be NaN".to_owned(),
    };
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
}

/// A local point of time in its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) days: i64,
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
    /// Microseconds of the day.
    pub(super) time: i64,
}

impl Fields {
    pub(super) fn of(local: i64) -> Self {
        let count = local.div_euclid(DAY);
        let (year, month, day) = civil(count);
        Self { days: count, year, month, day, time: local.rem_euclid(DAY) }
    }

    /// 0: Sunday.
    pub(super) fn weekday(&self) -> i64 {
        (self.days + 4).rem_euclid(7)
    }

    /// 1: Monday, 7: Sunday.
    pub(super) fn iso_weekday(&self) -> i64 {
        (self.days + 3).rem_euclid(7) + 1
    }

    pub(super) fn day_of_year(&self) -> i64 {
        self.days - days(self.year, 1, 1) + 1
    }

    /// ISO year and week.
    pub(super) fn iso_week(&self) -> (i64, i64) {
        let thursday = self.days + 4 - self.iso_weekday();
        let year = civil(thursday).0;
        (year, (thursday - days(year, 1, 1)) / 7 + 1)
    }
}

/// Years as PostgreSQL counts them: there is no year 0.
pub(super) fn counted_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

pub(super) fn unknown_unit(unit: &str, of: &DataType) -> Error {
    let name = crate::data::types::sql_name(&arrow::datatypes::Field::new("", of.clone(), true));
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unit \"{unit}\" not recognized for type {name}"))
}

/// One spelling for each unit.
pub(super) fn unit_of(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let known = match lower.as_str() {
        "years" | "y" | "yr" | "yrs" => "year",
        "months" | "mon" | "mons" => "month",
        "days" | "d" => "day",
        "hours" | "h" | "hr" | "hrs" => "hour",
        "minutes" | "m" | "min" | "mins" => "minute",
        "seconds" | "s" | "sec" | "secs" => "second",
        "millisecond" | "ms" | "msec" | "msecs" => "milliseconds",
        "microsecond" | "us" | "usec" | "usecs" => "microseconds",
        "weeks" | "w" => "week",
        "quarters" | "qtr" => "quarter",
        "decades" => "decade",
        "centuries" | "c" => "century",
        "millennia" | "mil" => "millennium",
        _ => return lower,
    };
    known.to_owned()
}

/// The unit of each row, which is mostly a constant.
pub(super) struct Units<'a> {
    texts: &'a arrow::array::StringArray,
    last: Option<(String, String)>,
}

impl<'a> Units<'a> {
    pub(super) fn new(array: &'a ArrayRef) -> Self {
        Self { texts: array.as_string::<i32>(), last: None }
    }

    pub(super) fn at(&mut self, row: usize) -> Option<&str> {
        if self.texts.is_null(row) {
            return None;
        }
        let text = self.texts.value(row);
        if self.last.as_ref().is_none_or(|(raw, _)| raw != text) {
            self.last = Some((text.to_owned(), unit_of(text)));
        }
        self.last.as_ref().map(|(_, unit)| unit.as_str())
    }
}

/// The start of the unit that holds a local time.
fn truncate(unit: &str, local: i64) -> Option<i64> {
    let length = match unit {
        "microseconds" => 1,
        "milliseconds" => 1000,
        "second" => SECOND,
        "minute" => 60 * SECOND,
        "hour" => 3600 * SECOND,
        "day" => DAY,
        _ => {
            let f = Fields::of(local);
            let start = match unit {
                "week" => f.days + 1 - f.iso_weekday(),
                "month" => days(f.year, f.month, 1),
                "quarter" => days(f.year, (f.month - 1) / 3 * 3 + 1, 1),
                "year" => days(f.year, 1, 1),
                "decade" => days(f.year.div_euclid(10) * 10, 1, 1),
                "century" => days((f.year - 1).div_euclid(100) * 100 + 1, 1, 1),
                "millennium" => days((f.year - 1).div_euclid(1000) * 1000 + 1, 1, 1),
                _ => return None,
            };
            return Some(start.saturating_mul(DAY));
        }
    };
    Some(floor(local, length, 0))
}

fn truncate_interval(unit: &str, i: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let months = |unit: i32| Some(IntervalMonthDayNano::new(i.months / unit * unit, 0, 0));
    let nanos = |unit: i64| Some(IntervalMonthDayNano::new(i.months, i.days, i.nanoseconds / unit * unit));
    match unit {
        "microseconds" => nanos(1000),
        "milliseconds" => nanos(1_000_000),
        "second" => nanos(1_000_000_000),
        "minute" => nanos(60_000_000_000),
        "hour" => nanos(3_600_000_000_000),
        "day" => Some(IntervalMonthDayNano::new(i.months, i.days, 0)),
        "month" => months(1),
        "quarter" => months(3),
        "year" => months(12),
        "decade" => months(120),
        "century" => months(1200),
        "millennium" => months(12000),
        _ => None,
    }
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let mut units = Units::new(&call.args[0]);
    let values = &call.args[1];
    let data_type = values.data_type();
    if matches!(data_type, DataType::Interval(_)) {
        let values = values.as_primitive::<IntervalMonthDayNanoType>();
        let one = |row: usize| match units.at(row) {
            Some(unit) if values.is_valid(row) => {
                truncate_interval(unit, values.value(row)).map(Some).ok_or_else(|| unknown_unit(unit, data_type))
            }
            _ => Ok(None),
        };
        return Ok(Arc::new((0..call.rows).map(one).collect::<Result<IntervalMonthDayNanoArray>>()?));
    }
    let values = values.as_primitive::<TimestampMicrosecondType>();
    let zoned = matches!(data_type, DataType::Timestamp(_, Some(_)));
    let named = call.args.get(2).map(Zones::new);
    let mut named = named.transpose()?;
    let one = |row: usize| -> Result<Option<i64>> {
        let Some(unit) = units.at(row) else { return Ok(None) };
        if values.is_null(row) {
            return Ok(None);
        }
        let t = values.value(row);
        if infinite(t) {
            return Ok(Some(t));
        }
        let zone = match named.as_mut() {
            Some(zones) => match zones.at(row)? {
                Some(zone) => zone,
                None => return Ok(None),
            },
            None => call.zone.clone(),
        };
        let local = if zoned { zone.to_local(t) } else { t };
        let start = truncate(unit, local).ok_or_else(|| unknown_unit(unit, data_type))?;
        Ok(Some(if zoned { zone.to_utc(start) } else { start }))
    };
    stamps((0..call.rows).map(one).collect::<Result<TimestampMicrosecondArray>>()?, call.result)
}

fn stamps(array: TimestampMicrosecondArray, data_type: &DataType) -> Result<ArrayRef> {
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

/// 22008.
pub fn no_origin() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "origin out of range")
}

/// The length of a bin. Errors: 0A000, 22008.
pub fn stride_micros(stride: IntervalMonthDayNano) -> Result<i64> {
    if stride.months != 0 {
        let message = "timestamps cannot be binned into intervals containing months or years";
        let hint = "Use date_trunc('month', ..) or date_trunc('year', ..), or a stride of days.";
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint(hint));
    }
    let micros = i64::from(stride.days).saturating_mul(DAY).saturating_add(stride.nanoseconds / 1000);
    if micros <= 0 {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "stride must be greater than zero"));
    }
    Ok(micros)
}

fn date_bin(call: &Call<'_>) -> Result<ArrayRef> {
    let strides = call.args[0].as_primitive::<IntervalMonthDayNanoType>();
    let values = call.args[1].as_primitive::<TimestampMicrosecondType>();
    let origins = call.args.get(2).map(|o| o.as_primitive::<TimestampMicrosecondType>());
    let one = |row: usize| -> Result<Option<i64>> {
        if strides.is_null(row) || values.is_null(row) || origins.is_some_and(|o| o.is_null(row)) {
            return Ok(None);
        }
        let (time, origin) = (values.value(row), origins.map_or(0, |o| o.value(row)));
        if infinite(time) {
            return Ok(Some(time));
        }
        if infinite(origin) {
            return Err(no_origin());
        }
        Ok(Some(floor(time, stride_micros(strides.value(row))?, origin)))
    };
    stamps((0..call.rows).map(one).collect::<Result<TimestampMicrosecondArray>>()?, call.result)
}

/// The zone of each row, which is mostly a constant.
struct Zones<'a> {
    texts: &'a arrow::array::StringArray,
    last: Option<(String, TimeZone)>,
}

impl<'a> Zones<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(Self { texts: array.as_string::<i32>(), last: None })
    }

    fn at(&mut self, row: usize) -> Result<Option<TimeZone>> {
        if self.texts.is_null(row) {
            return Ok(None);
        }
        let text = self.texts.value(row);
        if let Some((raw, zone)) = &self.last
            && raw == text
        {
            return Ok(Some(zone.clone()));
        }
        let zone = TimeZone::parse(text).ok_or_else(|| {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{text}\" not recognized"))
        })?;
        self.last = Some((text.to_owned(), zone.clone()));
        Ok(Some(zone))
    }
}

/// `ts AT TIME ZONE zone`: a local time becomes an instant, an instant the local time there.
fn timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let mut zones = Zones::new(&call.args[0])?;
    let values = call.args[1].as_primitive::<TimestampMicrosecondType>();
    let to_local = matches!(call.args[1].data_type(), DataType::Timestamp(_, Some(_)));
    let one = |row: usize| -> Result<Option<i64>> {
        let Some(zone) = zones.at(row)? else { return Ok(None) };
        if values.is_null(row) {
            return Ok(None);
        }
        let t = values.value(row);
        Ok(Some(match t {
            t if infinite(t) => t,
            t if to_local => zone.to_local(t),
            t => zone.to_utc(t),
        }))
    };
    stamps((0..call.rows).map(one).collect::<Result<TimestampMicrosecondArray>>()?, call.result)
}

/// Years, months and days between two points, as one would count them on a calendar.
fn age(call: &Call<'_>) -> Result<ArrayRef> {
    let (l, r) = (
        call.args[0].as_primitive::<TimestampMicrosecondType>(),
        call.args[1].as_primitive::<TimestampMicrosecondType>(),
    );
    let zoned = matches!(call.args[0].data_type(), DataType::Timestamp(_, Some(_)));
    let local = |t: i64| match t {
        i64::MIN => Err(out_of_range()),
        i64::MAX => Ok(INFINITY),
        t if zoned => Ok(Fields::of(call.zone.to_local(t))),
        t => Ok(Fields::of(t)),
    };
    let one = |(l, r): (Option<i64>, Option<i64>)| match (l, r) {
        (Some(l), Some(r)) => Ok(Some(between(local(l)?, local(r)?))),
        _ => Ok(None),
    };
    Ok(Arc::new(l.iter().zip(r).map(one).collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// What PostgreSQL's `infinity` is to its `age`: the last microsecond that it can count.
const INFINITY: Fields = Fields { days: 106_762_948, year: 294_277, month: 1, day: 9, time: 14_454_775_807 };

fn between(l: Fields, e: Fields) -> IntervalMonthDayNano {
    if (l.days, l.time) < (e.days, e.time) {
        let i = between(e, l);
        return IntervalMonthDayNano::new(-i.months, -i.days, -i.nanoseconds);
    }
    let mut months = (l.year - e.year) * 12 + i64::from(l.month) - i64::from(e.month);
    let mut day = i64::from(l.day) - i64::from(e.day);
    let mut time = l.time - e.time;
    if time < 0 {
        time += DAY;
        day -= 1;
    }
    if day < 0 {
        day += i64::from(days_in_month(e.year, e.month));
        months -= 1;
    }
    let fit = |v: i64| i32::try_from(v).unwrap_or(i32::MAX);
    IntervalMonthDayNano::new(fit(months), fit(day), time * 1000)
}

fn is_finite(call: &Call<'_>) -> Result<ArrayRef> {
    let values = &call.args[0];
    let finite = |row: usize| match values.data_type() {
        DataType::Date32 => !matches!(values.as_primitive::<Date32Type>().value(row), i32::MAX | i32::MIN),
        DataType::Timestamp(..) => !infinite(values.as_primitive::<TimestampMicrosecondType>().value(row)),
        _ => true,
    };
    Ok(Arc::new((0..call.rows).map(|row| values.is_valid(row).then(|| finite(row))).collect::<BooleanArray>()))
}

fn wrong_date(year: i32, month: i32, day: i32) -> Error {
    let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
}

/// Days since the epoch of a date that must exist.
fn existing(year: i32, month: i32, day: i32) -> Option<i64> {
    let year = match year {
        0 => return None,
        year if year < 0 => i64::from(year) + 1,
        year => i64::from(year),
    };
    let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m))?;
    let day = u32::try_from(day).ok().filter(|d| *d >= 1 && *d <= days_in_month(year, month))?;
    Some(days(year, month, day))
}

fn ints(call: &Call<'_>, n: usize) -> PrimitiveArray<Int32Type> {
    call.args[n].as_primitive::<Int32Type>().clone()
}

fn make_date(call: &Call<'_>) -> Result<ArrayRef> {
    let (y, m, d) = (ints(call, 0), ints(call, 1), ints(call, 2));
    let one = |row: usize| -> Result<Option<i32>> {
        if y.is_null(row) || m.is_null(row) || d.is_null(row) {
            return Ok(None);
        }
        let (y, m, d) = (y.value(row), m.value(row), d.value(row));
        let day = existing(y, m, d).ok_or_else(|| wrong_date(y, m, d))?;
        let range = || {
            let message = format!("date out of range: {y}-{m:02}-{d:02}");
            Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
        };
        let day = i32::try_from(day).ok().filter(|day| (DATE_FIRST..=DATE_LAST).contains(day));
        day.map(Some).ok_or_else(range)
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<Date32Array>>()?))
}

fn make_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let parts: Vec<_> = (0..5).map(|n| ints(call, n)).collect();
    let seconds = call.args[5].as_primitive::<Float64Type>();
    let one = |row: usize| -> Result<Option<i64>> {
        if parts.iter().any(|p| p.is_null(row)) || seconds.is_null(row) {
            return Ok(None);
        }
        let at = |n: usize| parts[n].value(row);
        let s = seconds.value(row);
        let (year, month, day, hour, minute) = (at(0), at(1), at(2), at(3), at(4));
        let date = existing(year, month, day).ok_or_else(|| wrong_date(year, month, day))?;
        let written = || format!("{hour}:{minute:02}:{s:02}");
        let wrong = |message: String| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message);
        let clock = (i64::from(hour) * 3600 + i64::from(minute) * 60) * SECOND + (s * 1e6).round() as i64;
        let fields = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&s);
        if !fields || clock > DAY {
            return Err(wrong(format!("time field value out of range: {}", written())));
        }
        let micros = date.checked_mul(DAY).and_then(|t| t.checked_add(clock));
        let micros = micros.filter(|t| (TIMESTAMP_FIRST..=TIMESTAMP_LAST).contains(t));
        let range = || wrong(format!("timestamp out of range: {year}-{month:02}-{day:02} {}", written()));
        micros.map(Some).ok_or_else(range)
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<TimestampMicrosecondArray>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_iso() {
        let week = |y, m, d| Fields::of(days(y, m, d) * DAY).iso_week();
        assert_eq!(week(2026, 1, 1), (2026, 1));
        assert_eq!(week(2027, 1, 1), (2026, 53));
        assert_eq!(week(2024, 12, 30), (2025, 1));
    }

    #[test]
    fn units_truncate() {
        let t = (days(2026, 11, 21) * 86_400 + 3661) * SECOND + 5;
        assert_eq!(truncate("hour", t), Some((days(2026, 11, 21) * 86_400 + 3600) * SECOND));
        assert_eq!(truncate("quarter", t), Some(days(2026, 10, 1) * DAY));
        assert_eq!(truncate("week", t), Some(days(2026, 11, 16) * DAY));
        assert_eq!(truncate("fortnight", t), None);
    }

    #[test]
    fn ages_count_on_the_calendar() {
        let age = between(Fields::of(days(2026, 3, 1) * DAY), Fields::of(days(2025, 1, 31) * DAY));
        assert_eq!((age.months, age.days), (13, 1));
    }
}
