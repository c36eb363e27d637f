//! What operators on dates, timestamps and intervals become where DataFusion has none or another.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, IntervalMonthDayNanoArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};

use super::arithmetic::division_by_zero;
use super::datetime::{DAY, infinite, out_of_range};
use super::interval::multiply;
use super::native::{Call, Function, Overload, T};
use crate::data::text::TimeZone;
use crate::data::text::calendar::{civil, days, days_in_month};
use crate::data::text::datetime::{DATE_FIRST, DATE_LAST, TIMESTAMP_FIRST, TIMESTAMP_LAST};
use crate::error::{Error, Result, SqlState};

const MOVED: &[Overload] =
    &[Overload(&[T::Timestamp, T::Interval], T::Timestamp), Overload(&[T::Timestamptz, T::Interval], T::Timestamptz)];

#[rustfmt::skip]
const PERIODS: &[Overload] = &[
    Overload(&[T::Timestamptz, T::Timestamptz, T::Timestamptz, T::Timestamptz], T::Bool),
    Overload(&[T::Timestamptz, T::Interval, T::Timestamptz, T::Timestamptz], T::Bool),
    Overload(&[T::Timestamptz, T::Timestamptz, T::Timestamptz, T::Interval], T::Bool),
    Overload(&[T::Timestamptz, T::Interval, T::Timestamptz, T::Interval], T::Bool),
    Overload(&[T::Timestamp, T::Timestamp, T::Timestamp, T::Timestamp], T::Bool),
    Overload(&[T::Timestamp, T::Interval, T::Timestamp, T::Timestamp], T::Bool),
    Overload(&[T::Timestamp, T::Timestamp, T::Timestamp, T::Interval], T::Bool),
    Overload(&[T::Timestamp, T::Interval, T::Timestamp, T::Interval], T::Bool),
    Overload(&[T::Time, T::Time, T::Time, T::Time], T::Bool),
    Overload(&[T::Time, T::Interval, T::Time, T::Time], T::Bool),
    Overload(&[T::Time, T::Time, T::Time, T::Interval], T::Bool),
    Overload(&[T::Time, T::Interval, T::Time, T::Interval], T::Bool),
];

/// What depends on the TimeZone: a day of it may have 23 hours.
pub(super) const ZONED: &[&Function] = &[
    &Function::new("overlaps", PERIODS, overlaps),
    &Function::new("timestamp_add", MOVED, |call| moved(call, 1)),
    &Function::new("timestamp_subtract", MOVED, |call| moved(call, -1)),
];

pub(super) const ALL: &[&Function] = &[
    &Function::new("interval_add", &[Overload(&[T::Interval, T::Interval], T::Interval)], |c| sum(c, 1)),
    &Function::new("interval_subtract", &[Overload(&[T::Interval, T::Interval], T::Interval)], |c| sum(c, -1)),
    &Function::new("interval_multiply", &[Overload(&[T::Interval, T::Float8], T::Interval)], |c| scale(c, false)),
    &Function::new("interval_divide", &[Overload(&[T::Interval, T::Float8], T::Interval)], |c| scale(c, true)),
    &Function::new(
        "timestamp_difference",
        &[
            Overload(&[T::Timestamp, T::Timestamp], T::Interval),
            Overload(&[T::Timestamptz, T::Timestamptz], T::Interval),
        ],
        timestamp_difference,
    ),
    &Function::new("date_add_days", &[Overload(&[T::Date, T::Int4], T::Date)], date_add_days),
    &Function::new("date_difference", &[Overload(&[T::Date, T::Date], T::Int4)], date_difference),
    &Function::new(
        "make_interval",
        &[Overload(&[T::Int4, T::Int4, T::Int4, T::Int4, T::Int4, T::Int4, T::Float8], T::Interval)],
        make_interval,
    ),
    &Function::new("interval_order", &[Overload(&[T::Interval], T::Scaled(0))], order),
    &Function::new("justify_hours", &[Overload(&[T::Interval], T::Interval)], |c| each(c, justify_hours)),
    &Function::new("justify_days", &[Overload(&[T::Interval], T::Interval)], |c| each(c, justify_days)),
    &Function::new("justify_interval", &[Overload(&[T::Interval], T::Interval)], |c| {
        each(c, |i| justify_days(justify_hours(i)))
    }),
];

fn overflow() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

fn intervals(array: &ArrayRef) -> &IntervalMonthDayNanoArray {
    array.as_primitive::<IntervalMonthDayNanoType>()
}

fn each(call: &Call<'_>, f: fn(IntervalMonthDayNano) -> IntervalMonthDayNano) -> Result<ArrayRef> {
    Ok(Arc::new(intervals(&call.args[0]).unary::<_, IntervalMonthDayNanoType>(f)))
}

/// Checks and adds up.
fn make_interval(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.args[6].as_primitive::<Float64Type>();
    let one = |row: usize| -> Option<IntervalMonthDayNano> {
        let at = |n: usize| i64::from(call.args[n].as_primitive::<Int32Type>().value(row));
        let months = i32::try_from(at(0) * 12 + at(1)).ok()?;
        let days = i32::try_from(at(2) * 7 + at(3)).ok()?;
        let fraction = (seconds.value(row) * 1e6).round();
        let whole = (at(4) * 60 + at(5)).checked_mul(60_000_000_000)?;
        let time = if fraction.abs() < 9e15 { whole.checked_add(fraction as i64 * 1000)? } else { return None };
        Some(IntervalMonthDayNano::new(months, days, time))
    };
    let checked = |row: usize| match call.args.iter().all(|a| a.is_valid(row)) {
        true => one(row).map(Some).ok_or_else(overflow),
        false => Ok(None),
    };
    Ok(Arc::new((0..call.rows).map(checked).collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// Whether two periods have a moment in common; each is two ends in any order, or an end and a length.
fn overlaps(call: &Call<'_>) -> Result<ArrayRef> {
    let zone = matches!(call.args[0].data_type(), DataType::Timestamp(_, Some(_))).then_some(call.zone);
    let point = |n: usize, row: usize| -> Option<i64> {
        let array = &call.args[n];
        match array.as_primitive_opt::<Time64MicrosecondType>() {
            Some(times) => times.is_valid(row).then(|| times.value(row)),
            None => array.is_valid(row).then(|| array.as_primitive::<TimestampMicrosecondType>().value(row)),
        }
    };
    let end = |n: usize, row: usize, start: Option<i64>| -> Result<Option<i64>> {
        let Some(spans) = call.args[n].as_primitive_opt::<IntervalMonthDayNanoType>() else { return Ok(point(n, row)) };
        match start {
            Some(t) if spans.is_valid(row) && matches!(call.args[0].data_type(), DataType::Time64(_)) => {
                Ok(Some((t + spans.value(row).nanoseconds / 1000).rem_euclid(DAY)))
            }
            Some(t) if spans.is_valid(row) && infinite(t) => Ok(Some(t)),
            Some(t) if spans.is_valid(row) => shifted(t, spans.value(row), 1, zone).map(Some).ok_or_else(out_of_range),
            _ => Ok(None),
        }
    };
    let one = |row: usize| -> Result<Option<bool>> {
        let (a, b) = (point(0, row), point(2, row));
        Ok(meet(ends(a, end(1, row, a)?), ends(b, end(3, row, b)?)))
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<BooleanArray>>()?))
}

/// The earlier end, and the later one if it is known.
fn ends(a: Option<i64>, b: Option<i64>) -> Option<(i64, Option<i64>)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.min(b), Some(a.max(b)))),
        (one, other) => one.or(other).map(|t| (t, None)),
    }
}

fn meet(a: Option<(i64, Option<i64>)>, b: Option<(i64, Option<i64>)>) -> Option<bool> {
    let ((start, end), (other, other_end)) = (a?, b?);
    match start.cmp(&other) {
        // One that starts later meets the other if that is not over; an end that is not known may be any.
        Ordering::Greater => match other_end? {
            over if start < over => Some(true),
            _ => end.map(|_| false),
        },
        Ordering::Less => match end? {
            over if other < over => Some(true),
            _ => other_end.map(|_| false),
        },
        Ordering::Equal => end.and(other_end).map(|_| true),
    }
}

fn sum(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    let field = |a: i32, b: i32| i32::try_from(i64::from(a) + sign * i64::from(b)).ok();
    let one = |a: IntervalMonthDayNano, b: IntervalMonthDayNano| {
        let time =
            if sign < 0 { a.nanoseconds.checked_sub(b.nanoseconds) } else { a.nanoseconds.checked_add(b.nanoseconds) };
        Some(IntervalMonthDayNano::new(field(a.months, b.months)?, field(a.days, b.days)?, time?))
    };
    let out: IntervalMonthDayNanoArray =
        arrow::compute::try_binary(intervals(&call.args[0]), intervals(&call.args[1]), |a, b| {
            one(a, b).ok_or_else(|| arrow::error::ArrowError::ExternalError(Box::new(overflow())))
        })?;
    Ok(Arc::new(out))
}

fn scale(call: &Call<'_>, divide: bool) -> Result<ArrayRef> {
    let factors = call.args[1].as_primitive::<Float64Type>();
    let one = |(i, f): (Option<IntervalMonthDayNano>, Option<f64>)| -> Result<Option<IntervalMonthDayNano>> {
        match (i, f) {
            (Some(_), Some(0.0)) if divide => Err(division_by_zero()),
            (Some(i), Some(f)) => multiply(i, if divide { 1.0 / f } else { f }).map(Some),
            _ => Ok(None),
        }
    };
    let out = intervals(&call.args[0]).iter().zip(factors).map(one);
    Ok(Arc::new(out.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// Timestamps plus intervals, or minus them: months first, then days on the local calendar, then time.
fn moved(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    let (times, spans) = (call.args[0].as_primitive::<TimestampMicrosecondType>(), intervals(&call.args[1]));
    let zone = matches!(call.args[0].data_type(), DataType::Timestamp(_, Some(_))).then_some(call.zone);
    let out: TimestampMicrosecondArray = arrow::compute::try_binary(times, spans, |t, span| {
        let moved = if infinite(t) { Some(t) } else { shifted(t, span, sign, zone) };
        moved.ok_or_else(|| arrow::error::ArrowError::ExternalError(Box::new(out_of_range())))
    })?;
    Ok(Arc::new(out.with_data_type(call.result.clone())))
}

/// `None` beyond the ends of time.
#[inline]
fn shifted(t: i64, span: IntervalMonthDayNano, sign: i64, zone: Option<&TimeZone>) -> Option<i64> {
    let mut at = t;
    if span.months != 0 || span.days != 0 {
        at = zone.map_or(at, |zone| zone.to_local(at));
        if span.months != 0 {
            at = add_months(at, sign * i64::from(span.months))?;
        }
        at = at.checked_add(i64::from(span.days).checked_mul(sign * DAY)?)?;
        at = zone.map_or(at, |zone| zone.to_utc(at));
    }
    at = at.checked_add(sign * (span.nanoseconds / 1000))?;
    (TIMESTAMP_FIRST..=TIMESTAMP_LAST).contains(&at).then_some(at)
}

/// The same day of another month, or that month's last.
fn add_months(local: i64, months: i64) -> Option<i64> {
    let (year, month, day) = civil(local.div_euclid(DAY));
    let months = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
    let start = days(year, month, day.min(days_in_month(year, month)));
    start.checked_mul(DAY)?.checked_add(local.rem_euclid(DAY))
}

/// Days and time, as PostgreSQL justifies hours.
fn timestamp_difference(call: &Call<'_>) -> Result<ArrayRef> {
    let (l, r) = (
        call.args[0].as_primitive::<TimestampMicrosecondType>(),
        call.args[1].as_primitive::<TimestampMicrosecondType>(),
    );
    let one = |(l, r): (Option<i64>, Option<i64>)| -> Result<Option<IntervalMonthDayNano>> {
        let (Some(l), Some(r)) = (l, r) else { return Ok(None) };
        if infinite(l) || infinite(r) {
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
        }
        let micros = l.checked_sub(r).ok_or_else(overflow)?;
        let days = i32::try_from(micros / DAY).map_err(|_| overflow())?;
        Ok(Some(IntervalMonthDayNano::new(0, days, micros % DAY * 1000)))
    };
    Ok(Arc::new(l.iter().zip(r).map(one).collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// Whether a date is one of the infinities.
fn endless(days: i32) -> bool {
    matches!(days, i32::MAX | i32::MIN)
}

fn date_add_days(call: &Call<'_>) -> Result<ArrayRef> {
    let (dates, days) = (call.args[0].as_primitive::<Date32Type>(), call.args[1].as_primitive::<Int32Type>());
    let range = || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range");
    let out: Date32Array = arrow::compute::try_binary(dates, days, |d, n| {
        if endless(d) {
            return Ok(d);
        }
        let moved = d.checked_add(n).filter(|d| (DATE_FIRST..=DATE_LAST).contains(d));
        moved.ok_or_else(|| arrow::error::ArrowError::ExternalError(Box::new(range())))
    })?;
    Ok(Arc::new(out))
}

fn date_difference(call: &Call<'_>) -> Result<ArrayRef> {
    let (l, r) = (call.args[0].as_primitive::<Date32Type>(), call.args[1].as_primitive::<Date32Type>());
    let out: Int32Array = arrow::compute::try_binary(l, r, |l, r| {
        if endless(l) || endless(r) {
            let error = Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates");
            return Err(arrow::error::ArrowError::ExternalError(Box::new(error)));
        }
        Ok(l.wrapping_sub(r))
    })?;
    Ok(Arc::new(out))
}

/// What orders intervals: a month is 30 days, a day 24 hours. Microseconds.
fn order(call: &Call<'_>) -> Result<ArrayRef> {
    let key = |i: IntervalMonthDayNano| {
        (i128::from(i.months) * 30 + i128::from(i.days)) * i128::from(DAY) + i128::from(i.nanoseconds / 1000)
    };
    let out: Decimal128Array = intervals(&call.args[0]).unary(key);
    debug_assert!(matches!(call.result, DataType::Decimal128(..)));
    Ok(Arc::new(out.with_precision_and_scale(38, 0)?))
}

fn justify_hours(i: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let day = DAY * 1000;
    let days = i.nanoseconds / day;
    let (mut days, mut rest) = (i64::from(i.days) + days, i.nanoseconds % day);
    if days > 0 && rest < 0 {
        (days, rest) = (days - 1, rest + day);
    } else if days < 0 && rest > 0 {
        (days, rest) = (days + 1, rest - day);
    }
    IntervalMonthDayNano::new(i.months, i32::try_from(days).unwrap_or(i32::MAX), rest)
}

fn justify_days(i: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let (mut months, mut days) = (i.months + i.days / 30, i.days % 30);
    if months > 0 && days < 0 {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && days > 0 {
        (months, days) = (months + 1, days - 30);
    }
    IntervalMonthDayNano::new(months, days, i.nanoseconds)
}
