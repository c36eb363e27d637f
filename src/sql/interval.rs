//! Constant intervals in syntax: window sizes, ALLOW LATENESS, timeouts.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::sql::sqlparser::ast::{Expr, Interval, UnaryOperator, Value};

use crate::data::text::interval::parse_interval;
use crate::error::{Error, Result, SqlState};
use crate::functions::interval::parse_interval_unit;

/// The microseconds of `INTERVAL '10' SECOND`, `INTERVAL '1 day'`, `'10 s'` or `'10 s'::interval`; a day is 24 hours.
///
/// Errors: 22023 months (their length varies) and anything that is no constant interval.
pub(crate) fn constant_micros(expr: &Expr) -> Result<i64> {
    micros(constant_interval(expr)?)
}

/// A constant interval.
pub(crate) fn constant_interval(expr: &Expr) -> Result<IntervalMonthDayNano> {
    match expr {
        Expr::Interval(i) => {
            let text = match i.value.as_ref() {
                Expr::Value(v) => string_of(&v.value),
                Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                    Expr::Value(v) => string_of(&v.value).map(|s| format!("-{s}")),
                    _ => None,
                },
                _ => None,
            };
            let text = text.ok_or_else(not_constant)?;
            let unit = i.leading_field.as_ref().map(|f| f.to_string());
            let last = i.last_field.as_ref().map(|f| f.to_string());
            parse_interval_unit(&text, unit.as_deref(), last.as_deref(), digits(i))
        }
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => parse_interval(s),
            _ => Err(not_constant()),
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => constant_interval(expr),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let i = constant_interval(expr)?;
            Ok(IntervalMonthDayNano::new(-i.months, -i.days, -i.nanoseconds))
        }
        _ => Err(not_constant()),
    }
}

/// The digits of SECOND(2).
pub(crate) fn digits(i: &Interval) -> Option<u32> {
    i.fractional_seconds_precision.or(i.leading_precision).and_then(|d| u32::try_from(d).ok())
}

fn string_of(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(s) | Value::Number(s, _) => Some(s.clone()),
        _ => None,
    }
}

fn not_constant() -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, "a constant interval is needed here")
        .with_hint("For example, INTERVAL '10' SECOND.")
}

/// Microseconds of an interval without months.
pub(crate) fn micros(interval: IntervalMonthDayNano) -> Result<i64> {
    if interval.months != 0 {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "the interval must not contain months or years")
            .with_hint("Their length varies; use days."));
    }
    let micros = i128::from(interval.days) * 86_400_000_000 + i128::from(interval.nanoseconds / 1000);
    i64::try_from(micros).map_err(|_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))
}

/// The microseconds of an option that says for how long something is kept: `'7 days'`.
///
/// Errors: 22023 what is no interval, has months, or is not positive.
pub(crate) fn positive(text: &str, option: &str) -> Result<i64> {
    let invalid = || {
        let message = format!("invalid value for option \"{option}\": \"{text}\"");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("For example, '7 days' or '12 hours'.")
    };
    if text.trim().parse::<f64>().is_ok() {
        return Err(invalid());
    }
    let kept = micros(parse_interval(text).map_err(|_| invalid())?)?;
    if kept > 0 { Ok(kept) } else { Err(invalid()) }
}

/// `'1s'`, `'500ms'`, `'2 minutes'`, or a plain number of milliseconds.
pub(crate) fn duration_ms(text: &str) -> Result<u64> {
    if let Ok(ms) = text.trim().parse::<u64>() {
        return Ok(ms);
    }
    let interval = parse_interval(text).and_then(micros).ok().and_then(|m| u64::try_from(m / 1000).ok());
    interval.ok_or_else(|| {
        Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid duration: \"{text}\""))
            .with_hint("For example, '1s' or '500ms'.")
    })
}
