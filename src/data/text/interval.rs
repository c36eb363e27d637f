//! Intervals: `1 year 2 mons 3 days 04:05:06`, SQL's `1-2`, ISO 8601's `P1DT2H`, abbreviations, fractions, `ago`.

use std::fmt::{self, Write};

use arrow::datatypes::IntervalMonthDayNano;

use super::calendar::{DAY, SECOND, pair, write_fraction};
use super::invalid_datetime;
use crate::error::{Error, Result, SqlState};

/// Months, days and time of an interval in PostgreSQL's spellings.
pub fn parse_interval(text: &str) -> Result<IntervalMonthDayNano> {
    Sum::default().read(text)
}

/// What stands behind an interval: `HOUR TO MINUTE` and its like.
#[derive(Clone, Copy, Debug)]
pub struct Qualifier {
    first: &'static str,
    last: &'static str,
    /// Digits of seconds.
    digits: Option<u32>,
}

impl Qualifier {
    /// By its words, in lower case; `None` where PostgreSQL has no such qualifier.
    pub fn new(first: &str, last: Option<&str>, digits: Option<u32>) -> Option<Self> {
        const FIELDS: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];
        let place = |word: &str| FIELDS.iter().position(|f| *f == word);
        let (from, to) = (place(first)?, place(last.unwrap_or(first))?);
        // Years and months do not mix with the rest.
        let fits = last.is_none() || (from < to && (to <= 1 || from >= 2));
        fits.then(|| Self { first: FIELDS[from], last: FIELDS[to], digits })
    }

    /// Drops what is finer than the last field.
    fn cut(self, i: IntervalMonthDayNano) -> IntervalMonthDayNano {
        let second = SECOND * 1000;
        let whole = |unit: i64| IntervalMonthDayNano::new(i.months, i.days, i.nanoseconds / unit * unit);
        match self.last {
            "year" => IntervalMonthDayNano::new(i.months / 12 * 12, 0, 0),
            "month" => IntervalMonthDayNano::new(i.months, 0, 0),
            "day" => IntervalMonthDayNano::new(i.months, i.days, 0),
            "hour" => whole(3600 * second),
            "minute" => whole(60 * second),
            _ => self.digits.map_or(i, |digits| rounded(i, digits)),
        }
    }
}

/// The seconds rounded to so many digits.
pub fn rounded(i: IntervalMonthDayNano, digits: u32) -> IntervalMonthDayNano {
    let unit = 10i64.pow(9 - digits.min(6));
    let half = unit / 2 * i.nanoseconds.signum();
    let nanos = i.nanoseconds.checked_add(half).map_or(i.nanoseconds, |n| n / unit * unit);
    IntervalMonthDayNano::new(i.months, i.days, nanos)
}

/// An interval with a qualifier: it says what a number without a unit is, and what is dropped.
pub fn parse_qualified(text: &str, qualifier: Qualifier) -> Result<IntervalMonthDayNano> {
    let mut sum = Sum { qualifier: Some(qualifier), ..Sum::default() };
    sum.read(text).map(|i| qualifier.cut(i))
}

/// `12`, `12.5`, `.5` seconds in microseconds, rounded; `None` if it isn't that.
pub(super) fn seconds_micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if (whole.is_empty() && fraction.is_empty()) || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut micros = 0;
    for i in 0..6 {
        micros = micros * 10 + i64::from(fraction.as_bytes().get(i).map_or(0, |b| b - b'0'));
    }
    let round_up = fraction.as_bytes().get(6).is_some_and(|b| *b >= b'5');
    whole.checked_mul(SECOND)?.checked_add(micros + i64::from(round_up))
}

/// PostgreSQL's default style.
pub fn write_interval(out: &mut impl Write, value: IntervalMonthDayNano) -> fmt::Result {
    let mut style = Style { out, first: true, negative: false };
    style.unit(value.months / 12, "year")?;
    style.unit(value.months % 12, "mon")?;
    style.unit(value.days, "day")?;
    style.time(value.nanoseconds / 1000)
}

/// So many microseconds, as an interval is written: days of 24 hours, and time.
pub fn duration_text(micros: i64) -> String {
    const DAY: i64 = 24 * 3600 * SECOND;
    let days = i32::try_from(micros / DAY).unwrap_or(i32::MAX);
    let mut text = String::new();
    // Strings take whatever is written.
    let _ = write_interval(&mut text, IntervalMonthDayNano::new(0, days, micros % DAY * 1000));
    text
}

struct Style<'a, W> {
    out: &'a mut W,
    first: bool,
    /// The field before was negative: a positive one then shows its sign.
    negative: bool,
}

impl<W: Write> Style<'_, W> {
    fn space(&mut self) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.out.write_char(' ')?;
        }
        Ok(())
    }

    fn unit(&mut self, n: i32, name: &str) -> fmt::Result {
        if n == 0 {
            return Ok(());
        }
        self.space()?;
        let plus = if self.negative && n > 0 { "+" } else { "" };
        self.negative = n < 0;
        write!(self.out, "{plus}{n} {name}{}", if n == 1 { "" } else { "s" })
    }

    fn time(&mut self, micros: i64) -> fmt::Result {
        if micros == 0 && !self.first {
            return Ok(());
        }
        self.space()?;
        match (micros < 0, self.negative) {
            (true, _) => self.out.write_char('-')?,
            (false, true) => self.out.write_char('+')?,
            (false, false) => {}
        }
        let micros = micros.unsigned_abs();
        let seconds = micros / SECOND as u64;
        write!(self.out, "{:02}:", seconds / 3600)?;
        pair(self.out, (seconds / 60 % 60) as u32)?;
        self.out.write_char(':')?;
        pair(self.out, (seconds % 60) as u32)?;
        write_fraction(self.out, (micros % SECOND as u64) as u32)
    }
}

/// Sums of fields, wide enough to overflow only in [`Sum::finish`].
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
    /// A field such as 13 months in `1-13`.
    overflow: bool,
    /// Units that were given: each counts once.
    seen: Vec<&'static str>,
    qualifier: Option<Qualifier>,
}

/// A unit by any of its names.
fn unit_name(word: &str) -> Option<&'static str> {
    Some(match word {
        "millennium" | "millenniums" | "millennia" | "mil" | "mils" => "millennium",
        "century" | "centuries" | "cent" | "c" => "century",
        "decade" | "decades" | "dec" | "decs" => "decade",
        "year" | "years" | "yr" | "yrs" | "y" => "year",
        "month" | "months" | "mon" | "mons" => "month",
        "week" | "weeks" | "w" => "week",
        "day" | "days" | "d" => "day",
        "hour" | "hours" | "hr" | "hrs" | "h" => "hour",
        "minute" | "minutes" | "min" | "mins" | "m" => "minute",
        "second" | "seconds" | "sec" | "secs" | "s" => "second",
        "millisecond" | "milliseconds" | "msec" | "msecs" | "msecond" | "mseconds" | "ms" => "millisecond",
        "microsecond" | "microseconds" | "usec" | "usecs" | "usecond" | "useconds" | "us" => "microsecond",
        _ => return None,
    })
}

/// A number as written: an integer part and a fraction in billionths, both with the sign.
#[derive(Clone, Copy)]
struct Number {
    whole: i64,
    billionths: i64,
}

impl Number {
    fn read(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits_only = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        if !digits_only || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let billionths = (0..9).fold(0, |n, i| n * 10 + fraction.as_bytes().get(i).map_or(0, |b| i64::from(b - b'0')));
        let sign = if negative { -1 } else { 1 };
        Some(Self { whole: whole * sign, billionths: billionths * sign })
    }
}

impl Sum {
    fn read(&mut self, text: &str) -> Result<IntervalMonthDayNano> {
        let body = text.trim();
        let read = match body.strip_prefix(['P', 'p']) {
            Some(iso) => self.iso(iso),
            None => self.verbose(body),
        };
        let overflow =
            || Error::new(SqlState::INTERVAL_FIELD_OVERFLOW, format!("interval field value out of range: \"{text}\""));
        if self.overflow {
            return Err(overflow());
        }
        read.ok_or_else(|| invalid_datetime("interval", text))?;
        self.finish().ok_or_else(overflow)
    }

    /// Adds a number of some unit; what a fraction of it means is PostgreSQL's choice.
    fn add(&mut self, n: Number, unit: &str) -> Option<()> {
        let months = |sum: &mut Self, each: i64| {
            sum.months += i128::from(n.whole) * i128::from(each);
            let billionths = i128::from(n.billionths) * i128::from(each);
            sum.months += (billionths + 500_000_000 * billionths.signum()) / 1_000_000_000;
        };
        let unit = unit_name(unit)?;
        self.once(unit)?;
        match unit {
            "millennium" => months(self, 12_000),
            "century" => months(self, 1200),
            "decade" => months(self, 120),
            "year" => months(self, 12),
            "month" => {
                self.months += i128::from(n.whole);
                self.days_fraction(i128::from(n.billionths) * 30);
            }
            "week" => {
                self.days += i128::from(n.whole) * 7;
                self.days_fraction(i128::from(n.billionths) * 7);
            }
            "day" => {
                self.days += i128::from(n.whole);
                self.days_fraction(n.billionths.into());
            }
            "hour" => self.time(n, 3600 * SECOND),
            "minute" => self.time(n, 60 * SECOND),
            "second" => self.time(n, SECOND),
            "millisecond" => self.time(n, 1000),
            "microsecond" => self.time(n, 1),
            _ => return None,
        }
        Some(())
    }

    /// Each unit counts once.
    fn once(&mut self, unit: &'static str) -> Option<()> {
        if self.seen.contains(&unit) {
            return None;
        }
        self.seen.push(unit);
        Some(())
    }

    fn time(&mut self, n: Number, unit: i64) {
        let billionths = i128::from(n.billionths) * i128::from(unit);
        self.micros += i128::from(n.whole) * i128::from(unit);
        self.micros += (billionths + 500_000_000 * billionths.signum()) / 1_000_000_000;
    }

    fn days_fraction(&mut self, billionths: i128) {
        self.days += billionths / 1_000_000_000;
        self.micros += billionths % 1_000_000_000 * i128::from(DAY) / 1_000_000_000;
    }

    fn verbose(&mut self, text: &str) -> Option<()> {
        let lower = text.to_ascii_lowercase();
        let mut tokens: Vec<&str> = lower.split_ascii_whitespace().collect();
        if tokens.first() == Some(&"@") {
            tokens.remove(0);
        }
        let ago = tokens.last() == Some(&"ago") && tokens.pop().is_some();
        if tokens.is_empty() {
            return None;
        }
        let mut at = 0;
        while at < tokens.len() {
            at += self.field(tokens[at], tokens.get(at + 1).copied())?;
        }
        if ago {
            (self.months, self.days, self.micros) = (-self.months, -self.days, -self.micros);
        }
        Some(())
    }

    /// Reads a field from one or two tokens; tells how many.
    fn field(&mut self, token: &str, next: Option<&str>) -> Option<usize> {
        if token.contains(':') {
            self.clock(token)?;
            return Some(1);
        }
        let body = token.trim_start_matches(['+', '-']);
        if let Some((years, months)) = body.split_once('-') {
            let sign = if token.starts_with('-') { -1 } else { 1 };
            let months: i128 = months.parse().ok()?;
            self.overflow |= !(0..12).contains(&months);
            self.once("year")?;
            self.once("month")?;
            self.months += sign * (years.parse::<i128>().ok()? * 12 + months);
            return Some(1);
        }
        let digits = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
        let split = token.len() - body.len() + digits;
        let (number, unit) = token.split_at(split);
        let number = Number::read(number)?;
        if !unit.is_empty() {
            // `1h30m`: the rest is read again as the next field.
            let end = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
            self.add(number, &unit[..end])?;
            if end < unit.len() {
                self.field(&unit[end..], None)?;
            }
            return Some(1);
        }
        match next {
            None => self.add(number, self.qualifier.map_or("second", |q| q.last)).map(|()| 1),
            // `1 2` as DAY TO HOUR.
            Some(hours) if self.qualifier.is_some_and(|q| q.last == "hour") && Number::read(hours).is_some() => {
                self.add(number, "day").map(|()| 1)
            }
            Some(clock) if clock.contains(':') => self.add(number, "day").map(|()| 1),
            Some(unit) => self.add(number, unit.trim_end_matches(',')).map(|()| 2),
        }
    }

    /// `-1:02`, `01:02:03.5`; two fields are hours and minutes, unless the second has a fraction.
    fn clock(&mut self, token: &str) -> Option<()> {
        let sign = if token.starts_with('-') { -1 } else { 1 };
        let fields: Vec<&str> = token.trim_start_matches(['+', '-']).split(':').collect();
        let (hours, minutes, seconds) = match fields.as_slice() {
            [minutes, seconds]
                if seconds.contains('.')
                    || self.qualifier.is_some_and(|q| q.first == "minute" && q.last == "second") =>
            {
                ("0", *minutes, *seconds)
            }
            [hours, minutes] => (*hours, *minutes, "0"),
            [hours, minutes, seconds] => (*hours, *minutes, *seconds),
            _ => return None,
        };
        let hours: i64 = hours.parse().ok().filter(|h| *h >= 0)?;
        let minutes: i64 = minutes.parse().ok()?;
        let seconds = seconds_micros(seconds)?;
        self.overflow |= !(0..60).contains(&minutes) || seconds > 60 * SECOND;
        ["hour", "minute", "second"].into_iter().try_for_each(|unit| self.once(unit))?;
        let hours = i128::from(hours) * i128::from(3600 * SECOND);
        self.micros += sign * (hours + i128::from(minutes * 60 * SECOND + seconds));
        Some(())
    }

    /// What follows the `P`.
    fn iso(&mut self, text: &str) -> Option<()> {
        let (dates, times) = match text.split_once(['T', 't']) {
            Some((dates, times)) if !times.is_empty() => (dates, times),
            Some(_) => return None,
            None => (text, ""),
        };
        if dates.is_empty() && times.is_empty() {
            return None;
        }
        self.iso_fields(dates, |unit| match unit {
            'y' => Some("year"),
            'm' => Some("month"),
            'w' => Some("week"),
            'd' => Some("day"),
            _ => None,
        })?;
        self.iso_fields(times, |unit| match unit {
            'h' => Some("hour"),
            'm' => Some("minute"),
            's' => Some("second"),
            _ => None,
        })
    }

    fn iso_fields(&mut self, mut text: &str, unit: impl Fn(char) -> Option<&'static str>) -> Option<()> {
        while !text.is_empty() {
            let end = text.find(|c: char| c.is_ascii_alphabetic())?;
            let name = unit(text[end..].chars().next()?.to_ascii_lowercase())?;
            self.add(Number::read(&text[..end])?, name)?;
            text = &text[end + 1..];
        }
        Some(())
    }

    fn finish(&self) -> Option<IntervalMonthDayNano> {
        Some(IntervalMonthDayNano::new(
            i32::try_from(self.months).ok()?,
            i32::try_from(self.days).ok()?,
            i64::try_from(self.micros.checked_mul(1000)?).ok()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_and_print_like_postgres() {
        for (text, expected) in [
            ("1 day 02:03:04.5", "1 day 02:03:04.5"),
            ("1 year 2 mons -3 days", "1 year 2 mons -3 days"),
            ("-1 day 2 hours", "-1 days +02:00:00"),
            ("-1 mon 2 days -3 seconds", "-1 mons +2 days -00:00:03"),
            ("@ 1 day 1 sec ago", "-1 days -00:00:01"),
            ("1-2", "1 year 2 mons"),
            ("-1-2", "-1 years -2 mons"),
            ("1 12:59:10", "1 day 12:59:10"),
            ("P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5"),
            ("PT36H", "36:00:00"),
            ("1.5 days", "1 day 12:00:00"),
            ("1.5 months", "1 mon 15 days"),
            ("1.5 years", "1 year 6 mons"),
            ("2 weeks", "14 days"),
            ("1h30m", "01:30:00"),
            ("5", "00:00:05"),
            ("0.25", "00:00:00.25"),
            ("1500 ms", "00:00:01.5"),
            ("5 SECOND", "00:00:05"),
            ("01:02", "01:02:00"),
            ("1:02.5", "00:01:02.5"),
            ("0", "00:00:00"),
            ("1 mon 00:00:00", "1 mon"),
            ("100 hours", "100:00:00"),
        ] {
            let mut shown = String::new();
            write_interval(&mut shown, parse_interval(text).unwrap()).unwrap();
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn wrong_intervals() {
        for text in ["", "x", "1 foo", "P", "PT", "P1", "1 day 1 day", "1:00 1:00", "é", "1é", "day", "+", "--1 day"]
        {
            let error = parse_interval(text).unwrap_err();
            assert_eq!(error.to_string(), format!("22007: invalid input syntax for type interval: \"{text}\""));
        }
        for text in ["99999999999 days", "1-13", "1:60", "1:00:61"] {
            let error = parse_interval(text).unwrap_err();
            assert_eq!(error.to_string(), format!("22015: interval field value out of range: \"{text}\""));
        }
    }
}
