//! Intervals: PostgreSQL's text format in and out, and their arithmetic.
//!
//! Months and days are kept apart from the time of day, which is kept in nanoseconds but has the resolution of
//! microseconds.

use arrow::datatypes::IntervalMonthDayNano;

use crate::error::{Error, Result, SqlState};

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

fn invalid(text: &str) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type interval: \"{text}\""))
}

fn overflow() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// Months, days and nanoseconds with fractions still apart.
#[derive(Default)]
struct Parts {
    months: i128,
    days: i128,
    nanos: i128,
}

impl Parts {
    /// Adds `whole.fraction` units, fractions flowing down as in PostgreSQL: months to days (30 each), days to time.
    fn add(&mut self, value: Decimal, unit: &str) -> Option<()> {
        let months = |m: i128| (Some(m), None, None);
        let days = |d: i128| (None, Some(d), None);
        let nanos = |n: i128| (None, None, Some(n));
        let (month, day, nano) = match unit {
            "us" | "usec" | "usecs" | "microsecond" | "microseconds" => nanos(1_000),
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => nanos(1_000_000),
            "s" | "sec" | "secs" | "second" | "seconds" => nanos(SECOND),
            "m" | "min" | "mins" | "minute" | "minutes" => nanos(60 * SECOND),
            "h" | "hr" | "hrs" | "hour" | "hours" => nanos(3600 * SECOND),
            "d" | "day" | "days" => days(1),
            "w" | "week" | "weeks" => days(7),
            "mon" | "mons" | "month" | "months" => months(1),
            "q" | "quarter" | "quarters" => months(3),
            "y" | "yr" | "yrs" | "year" | "years" => months(12),
            "dec" | "decs" | "decade" | "decades" => months(120),
            "c" | "cent" | "century" | "centuries" => months(1200),
            "mil" | "mils" | "millennium" | "millennia" => months(12000),
            _ => return None,
        };
        if let Some(per) = nano {
            self.nanos += value.times(per)?;
        } else if let Some(per) = day {
            self.add_days(value.scaled(per)?)?;
        } else if let Some(per) = month {
            let value = value.scaled(per)?;
            self.months += value.whole;
            // A year's fraction is rounded to months; a month's flows into days.
            if per == 1 {
                self.add_days(value.fraction_of(30)?)?;
            }
        }
        Some(())
    }

    fn add_days(&mut self, value: Decimal) -> Option<()> {
        self.days += value.whole;
        self.nanos += value.fraction_times(DAY)?;
        Some(())
    }

    fn finish(self) -> Result<IntervalMonthDayNano> {
        let micros = self.nanos.div_euclid(1000) * 1000;
        let rounded = if self.nanos - micros >= 500 { micros + 1000 } else { micros };
        Ok(IntervalMonthDayNano::new(
            i32::try_from(self.months).map_err(|_| overflow())?,
            i32::try_from(self.days).map_err(|_| overflow())?,
            i64::try_from(rounded).map_err(|_| overflow())?,
        ))
    }
}

/// A decimal number as whole part and billionths, both with the number's sign.
#[derive(Clone, Copy)]
struct Decimal {
    whole: i128,
    billionths: i128,
}

const BILLION: i128 = 1_000_000_000;

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let ok = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if !ok(whole) || !ok(fraction) {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let padded: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let billionths: i128 = padded.parse().ok()?;
        let sign = if negative { -1 } else { 1 };
        Some(Self { whole: sign * whole, billionths: sign * billionths })
    }

    fn times(self, per: i128) -> Option<i128> {
        self.whole.checked_mul(per)?.checked_add(self.fraction_times(per)?)
    }

    fn fraction_times(self, per: i128) -> Option<i128> {
        Some(self.billionths.checked_mul(per)? / BILLION)
    }

    fn scaled(self, per: i128) -> Option<Self> {
        let billionths = self.billionths.checked_mul(per)?;
        Some(Self {
            whole: self.whole.checked_mul(per)?.checked_add(billionths / BILLION)?,
            billionths: billionths % BILLION,
        })
    }

    fn fraction_of(self, per: i128) -> Option<Self> {
        Self { whole: 0, billionths: self.billionths }.scaled(per)
    }
}

/// Parses PostgreSQL's interval syntax: `1 year 2 mons -3 days 04:05:06.789`, `@ 1 hour ago`, `P1Y2M3DT4H`, `1 day`.
///
/// Errors: 22007 syntax, 22008 out of range.
pub fn parse_interval(text: &str) -> Result<IntervalMonthDayNano> {
    parse(text).ok_or_else(|| invalid(text))?.finish()
}

/// As [`parse_interval`], with the unit behind the literal: `INTERVAL '10' SECOND`, `INTERVAL '1:30' HOUR TO MINUTE`.
pub fn parse_interval_unit(text: &str, unit: Option<&str>, last: Option<&str>) -> Result<IntervalMonthDayNano> {
    let (Some(unit), None) = (unit, last) else {
        let to_minute = last.is_some_and(|l| l.eq_ignore_ascii_case("minute"));
        return if to_minute && !text.contains(' ') { parse_interval(&format!("{text}:00")) } else { parse_interval(text) };
    };
    match Decimal::parse(text.trim()) {
        Some(value) => {
            let mut parts = Parts::default();
            parts.add(value, &unit.to_ascii_lowercase()).ok_or_else(|| invalid(text))?;
            parts.finish()
        }
        None => parse_interval(text),
    }
}

fn parse(text: &str) -> Option<Parts> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix('P') {
        return parse_iso(iso);
    }
    let lower = text.to_ascii_lowercase();
    let (body, ago) = match lower.strip_suffix(" ago") {
        Some(body) => (body, true),
        None => (lower.as_str(), false),
    };
    let tokens = tokens(body.strip_prefix('@').unwrap_or(body));
    if tokens.is_empty() {
        return None;
    }
    let mut parts = Parts::default();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if token.contains(':') {
            parts.nanos += parse_clock(&token)?;
            continue;
        }
        let value = Decimal::parse(&token)?;
        let is_unit = |t: &String| t.starts_with(|c: char| c.is_ascii_alphabetic());
        match tokens.next_if(is_unit) {
            Some(unit) => parts.add(value, &unit)?,
            // A bare number before a clock is days; at the end it is seconds.
            None if tokens.peek().is_some() => parts.add(value, "day")?,
            None => parts.add(value, "second")?,
        }
    }
    if ago {
        parts = Parts { months: -parts.months, days: -parts.days, nanos: -parts.nanos };
    }
    Some(parts)
}

/// Numbers, words and clocks; `10s` is two.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for word in text.split([' ', '\t', '\n', ',']).filter(|w| !w.is_empty()) {
        match word.find(|c: char| c.is_ascii_alphabetic()) {
            Some(0) | None => tokens.push(word.to_owned()),
            Some(at) => {
                // `1day2hours` has its units inside.
                let (number, rest) = word.split_at(at);
                tokens.push(number.to_owned());
                match rest.find(|c: char| !c.is_ascii_alphabetic()) {
                    None => tokens.push(rest.to_owned()),
                    Some(next) => {
                        tokens.push(rest[..next].to_owned());
                        tokens.extend(self::tokens(&rest[next..]));
                    }
                }
            }
        }
    }
    tokens
}

/// `[-]hh:mm[:ss[.ffffff]]` in nanoseconds.
fn parse_clock(token: &str) -> Option<i128> {
    let (sign, body) = match token.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, token.strip_prefix('+').unwrap_or(token)),
    };
    let fields: Vec<&str> = body.split(':').collect();
    let number = |s: &str| if s.is_empty() { None } else { Decimal::parse(s) };
    let (hours, minutes, seconds) = match fields.as_slice() {
        // Two fields with a fraction are minutes and seconds.
        [m, s] if s.contains('.') => ("0", *m, *s),
        [h, m] => (*h, *m, "0"),
        [h, m, s] => (*h, *m, *s),
        _ => return None,
    };
    let (h, m, s) = (number(hours)?, number(minutes)?, number(seconds)?);
    if m.whole > 59 || s.whole > 60 || h.billionths != 0 || m.billionths != 0 {
        return None;
    }
    Some(sign * (h.times(3600 * SECOND)? + m.times(60 * SECOND)? + s.times(SECOND)?))
}

/// What follows the P of an ISO 8601 duration.
fn parse_iso(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let (mut time, mut number) = (false, String::new());
    for c in text.chars() {
        match c {
            'T' if number.is_empty() => time = true,
            '0'..='9' | '.' | '-' | '+' => number.push(c),
            _ => {
                let unit = match (time, c) {
                    (false, 'Y') => "year",
                    (false, 'M') => "month",
                    (false, 'W') => "week",
                    (false, 'D') => "day",
                    (true, 'H') => "hour",
                    (true, 'M') => "minute",
                    (true, 'S') => "second",
                    _ => return None,
                };
                parts.add(Decimal::parse(&std::mem::take(&mut number))?, unit)?;
            }
        }
    }
    if number.is_empty() && !text.is_empty() { Some(parts) } else { None }
}

/// PostgreSQL's output in IntervalStyle `postgres`: `1 year 2 mons 3 days 04:05:06.5`, `00:00:00`.
pub fn format_interval(i: IntervalMonthDayNano) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let mut before_negative = false;
    let mut field = |value: i64, one: &str| {
        if value == 0 {
            return;
        }
        let sign = if before_negative && value > 0 { "+" } else { "" };
        let space = if out.is_empty() { "" } else { " " };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(out, "{space}{sign}{value} {one}{plural}");
        before_negative = value < 0;
    };
    field(i64::from(i.months / 12), "year");
    field(i64::from(i.months % 12), "mon");
    field(i64::from(i.days), "day");
    let micros = i.nanoseconds / 1000;
    if micros != 0 || out.is_empty() {
        let sign = if micros < 0 {
            "-"
        } else if before_negative {
            "+"
        } else {
            ""
        };
        let abs = micros.unsigned_abs();
        let (seconds, fraction) = (abs / 1_000_000, abs % 1_000_000);
        let space = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{space}{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction != 0 {
            let digits = format!("{fraction:06}");
            let _ = write!(out, ".{}", digits.trim_end_matches('0'));
        }
    }
    out
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

    fn check(text: &str, printed: &str) {
        assert_eq!(format_interval(parse_interval(text).unwrap()), printed, "{text}");
    }

    #[test]
    fn texts_come_out_as_postgres_prints_them() {
        check("1 day", "1 day");
        check("10s", "00:00:10");
        check("1 year 2 mons -3 days 04:05:06.789", "1 year 2 mons -3 days +04:05:06.789");
        check("1.5 months", "1 mon 15 days");
        check("1.5 days", "1 day 12:00:00");
        check("@ 1 hour ago", "-01:00:00");
        check("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06");
        check("3 04:00", "3 days 04:00:00");
        check("90", "00:01:30");
        check("2 weeks", "14 days");
        check("500ms", "00:00:00.5");
        assert_eq!(parse_interval("ten days").unwrap_err().code().0, "22007");
    }

    #[test]
    fn units_behind_the_literal() {
        assert_eq!(format_interval(parse_interval_unit("10", Some("SECOND"), None).unwrap()), "00:00:10");
        assert_eq!(format_interval(parse_interval_unit("1:30", Some("HOUR"), Some("MINUTE")).unwrap()), "01:30:00");
    }

    #[test]
    fn products_cascade() {
        let month = parse_interval("1 mon").unwrap();
        assert_eq!(format_interval(multiply(month, 1.5).unwrap()), "1 mon 15 days");
        let day = parse_interval("1 day 2 hours").unwrap();
        assert_eq!(format_interval(multiply(day, 0.5).unwrap()), "13:00:00");
    }
}
