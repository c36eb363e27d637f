//! Arithmetic of intervals: units behind a literal, and multiplication.

use arrow::datatypes::IntervalMonthDayNano;

use crate::data::text::interval::parse_interval;
use crate::error::{Error, Result, SqlState};

fn overflow() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// An interval literal with the unit behind it: `INTERVAL '10' SECOND`, `INTERVAL '1:30' HOUR TO MINUTE`.
pub fn parse_interval_unit(text: &str, unit: Option<&str>, last: Option<&str>) -> Result<IntervalMonthDayNano> {
    let number = text.trim().trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match (unit, last) {
        (Some(unit), None) if number => parse_interval(&format!("{} {}", text.trim(), unit.to_ascii_lowercase())),
        (Some(_), Some(last)) if last.eq_ignore_ascii_case("minute") && text.contains(':') => {
            parse_interval(&format!("{text}:00"))
        }
        _ => parse_interval(text),
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
        assert_eq!(print(parse_interval_unit("10", Some("SECOND"), None).unwrap()), "00:00:10");
        assert_eq!(print(parse_interval_unit("1:30", Some("HOUR"), Some("MINUTE")).unwrap()), "01:30:00");
    }

    #[test]
    fn products_cascade() {
        assert_eq!(print(multiply(parse_interval("1 mon").unwrap(), 1.5).unwrap()), "1 mon 15 days");
        assert_eq!(print(multiply(parse_interval("1 day 2 hours").unwrap(), 0.5).unwrap()), "13:00:00");
    }
}
