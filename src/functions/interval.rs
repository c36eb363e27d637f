//! Arithmetic of intervals: units behind a literal, and multiplication.

use arrow::datatypes::IntervalMonthDayNano;

use crate::data::text::interval::{Qualifier, parse_interval, parse_qualified};
use crate::error::{Error, Result, SqlState};

fn overflow() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// An interval literal with the unit behind it: `INTERVAL '10' SECOND(2)`, `INTERVAL '1:30' HOUR TO MINUTE`; plurals and
/// units such as WEEK, which PostgreSQL takes for aliases, are units too.
pub fn parse_interval_unit(
    text: &str,
    unit: Option<&str>,
    last: Option<&str>,
    digits: Option<u32>,
) -> Result<IntervalMonthDayNano> {
    let Some(unit) = unit.map(str::to_ascii_lowercase) else { return parse_interval(text) };
    let last = last.map(str::to_ascii_lowercase);
    match (Qualifier::new(&unit, last.as_deref(), digits), last) {
        (Some(qualifier), _) => parse_qualified(text, qualifier),
        (None, None) => parse_interval(&format!("{} {unit}", text.trim())),
        (None, Some(last)) => Err(Error::syntax(format!("syntax error at or near \"{last}\""), None)),
    }
}

/// `interval * factor`, with fractions of months flowing into days and of days into time, as in PostgreSQL.
pub fn multiply(i: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    let whole = |v: f64| {
        if v.is_finite() && v.abs() <= f64::from(i32::MAX) { Ok(v.trunc() as i32) } else { Err(overflow()) }
    };
    let months = f64::from(i.months) * factor;
    let result_months = whole(months)?;
    let days = f64::from(i.days) * factor;
    let result_days = whole(days)?;
    let round = |v: f64| (v * 1e6).round() / 1e6;
    let month_days = round((months - f64::from(result_months)) * 30.0);
    let extra_days = month_days.trunc();
    let mut seconds = round((days - f64::from(result_days) + month_days - extra_days) * 86400.0);
    let mut carried = 0i32;
    if seconds.abs() >= 86400.0 {
        carried = (seconds / 86400.0).trunc() as i32;
        seconds -= f64::from(carried) * 86400.0;
    }
    let micros = (i.nanoseconds / 1000) as f64 * factor + seconds * 1e6;
    if !micros.is_finite() || micros.abs() >= i64::MAX as f64 / 1000.0 {
        return Err(overflow());
    }
    let days = i64::from(result_days) + extra_days as i64 + i64::from(carried);
    let days = i32::try_from(days).map_err(|_| overflow())?;
    Ok(IntervalMonthDayNano::new(result_months, days, micros.round_ties_even() as i64 * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::interval::write_interval;

    fn print(i: IntervalMonthDayNano) -> String {
        let mut out = String::new();
        write_interval(&mut out, i).unwrap();
        out
    }

    #[test]
    fn units_behind_the_literal() {
        let read = |text, unit, last| print(parse_interval_unit(text, Some(unit), last, None).unwrap());
        assert_eq!(read("10", "SECOND", None), "00:00:10");
        assert_eq!(read("1:30", "HOUR", Some("MINUTE")), "01:30:00");
        assert_eq!(read("1:30", "MINUTE", Some("SECOND")), "00:01:30");
        assert_eq!(read("2", "WEEKS", None), "14 days");
        assert!(parse_interval_unit("1", Some("DAY"), Some("YEAR"), None).is_err());
    }

    #[test]
    fn products_cascade() {
        assert_eq!(print(multiply(parse_interval("1 mon").unwrap(), 1.5).unwrap()), "1 mon 15 days");
        assert_eq!(print(multiply(parse_interval("1 day 2 hours").unwrap(), 0.5).unwrap()), "13:00:00");
    }
}
