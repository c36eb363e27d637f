//! Times from texts, by patterns.

use super::pattern::{MONTHS, Piece, ROMAN, WEEKDAYS, is_digits};
use crate::data::text::TimeZone;
use crate::data::text::calendar::{days, days_in_month};
use crate::error::{Error, Result, SqlState};
use crate::functions::datetime::SECOND;

/// What a text told.
#[derive(Default)]
pub(super) struct Read {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    before_christ: bool,
    /// Seconds east.
    pub offset: Option<i64>,
    epoch_day: Option<i64>,
}

pub(super) fn read_time(text: &str, format: &str, pieces: &[Piece]) -> Result<Read> {
    let mut read = Read::default();
    let mut rest = text.trim_start();
    let mut pieces = pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Literal(literal) => {
                for c in literal.chars() {
                    // A separator stands for any separator, white space for any amount.
                    rest = if c.is_whitespace() {
                        rest.trim_start()
                    } else if c.is_alphanumeric() {
                        rest.strip_prefix(c).unwrap_or(rest)
                    } else {
                        rest.strip_prefix(|d: char| d.is_ascii_punctuation() || d == ' ').unwrap_or(rest)
                    };
                }
            }
            Piece::Era => {
                read.before_christ = rest.get(..2).is_some_and(|e| e.eq_ignore_ascii_case("bc"));
                rest = rest.get(2..).unwrap_or("");
            }
            Piece::Zone { .. } | Piece::Offset => rest = read_offset(rest, &mut read),
            Piece::Pattern { name, .. } => {
                let digits_follow = matches!(pieces.peek(), Some(Piece::Pattern { name, .. }) if is_digits(name));
                rest = read_pattern(rest.trim_start(), name, digits_follow, &mut read).ok_or_else(|| {
                    let message = format!("invalid value \"{rest}\" for \"{name}\"");
                    Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                        .with_detail(format!("The text \"{text}\" does not follow the format \"{format}\"."))
                })?;
            }
        }
    }
    Ok(read)
}

fn read_offset<'a>(text: &'a str, read: &mut Read) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | ':')).unwrap_or(text.len());
    let zone = if end > 0 {
        TimeZone::parse(&text[..end]).map(|z| (z, end))
    } else {
        let end = text.find(|c: char| !c.is_alphabetic() && !matches!(c, '/' | '_')).unwrap_or(text.len());
        TimeZone::parse(&text[..end]).map(|z| (z, end))
    };
    match zone {
        Some((zone, end)) => {
            read.offset = Some(i64::from(zone.offset_at(0)));
            &text[end..]
        }
        None => text,
    }
}

fn read_pattern<'a>(text: &'a str, name: &str, digits_follow: bool, read: &mut Read) -> Option<&'a str> {
    if !is_digits(name) {
        return read_word(text, name, read);
    }
    let longest = |n: usize| if digits_follow { n } else { n.max(if name == "YYYY" { 9 } else { n }) };
    let number = |width: usize| -> Option<(i64, &'a str, usize)> {
        let signed = text.strip_prefix(['+', '-']).filter(|_| name == "TZH");
        let body = signed.unwrap_or(text);
        let end = body.bytes().take(longest(width)).take_while(u8::is_ascii_digit).count();
        let value: i64 = body.get(..end)?.parse().ok()?;
        let value = if signed.is_some() && text.starts_with('-') { -value } else { value };
        Some((value, &body[end..], end))
    };
    let within = |value: i64, range: std::ops::RangeInclusive<i64>| range.contains(&value).then_some(value);
    let (value, rest, width) = match name {
        "YYYY" | "IYYY" => number(4)?,
        "YYY" | "DDD" | "MS" | "FF3" => number(3)?,
        "US" | "FF6" => number(6)?,
        "SSSS" | "SSSSS" | "FF5" => number(5)?,
        "FF4" => number(4)?,
        "J" => number(9)?,
        "Y" | "FF1" | "D" | "ID" | "Q" | "W" => number(1)?,
        _ => number(2)?,
    };
    let fraction = |micros: &mut i64| {
        let digits = i32::try_from(width).unwrap_or(6).min(6);
        *micros = value * 10i64.pow((6 - digits).unsigned_abs());
    };
    match name {
        "YYYY" | "IYYY" => read.year = Some(value),
        "YYY" | "YY" | "Y" => {
            let base = if value >= 70 && name == "YY" { 1900 } else { 2000 };
            read.year = Some(if value < 100 || name != "YYY" { base + value } else { value + 1000 });
        }
        "MM" => read.month = Some(u32::try_from(within(value, 1..=12)?).ok()?),
        "DD" => read.day = Some(u32::try_from(within(value, 1..=31)?).ok()?),
        "DDD" => read.day_of_year = Some(within(value, 1..=366)?),
        "HH24" => read.hour = within(value, 0..=24)?,
        "HH12" | "HH" => {
            read.hour = within(value, if read.afternoon.is_some() || name == "HH12" { 1..=12 } else { 0..=23 })?
        }
        "MI" => read.minute = within(value, 0..=59)?,
        "SS" => read.second = within(value, 0..=60)?,
        "SSSS" | "SSSSS" => (read.hour, read.minute, read.second) = (value / 3600, value / 60 % 60, value % 60),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => fraction(&mut read.micros),
        "J" => read.epoch_day = Some(value - 2_440_588),
        "TZH" => read.offset = Some(value * 3600),
        "TZM" => read.offset = read.offset.map(|o| o + if o < 0 { -value * 60 } else { value * 60 }),
        _ => {}
    }
    Some(rest)
}

/// A pattern that stands for a word.
fn read_word<'a>(text: &'a str, name: &str, read: &mut Read) -> Option<&'a str> {
    // The longest, since one begins another: V, VI, VII.
    let list = |names: &[&str], length: Option<usize>| -> Option<(u32, &'a str)> {
        let lengths = names.iter().map(|name| length.map_or(*name, |l| &name[..l]));
        let begins = |name: &str| text.get(..name.len()).is_some_and(|t| t.eq_ignore_ascii_case(name));
        let (n, name) = lengths.enumerate().filter(|(_, name)| begins(name)).max_by_key(|(_, name)| name.len())?;
        Some((u32::try_from(n).ok()? + 1, &text[name.len()..]))
    };
    let mut month = |names: &[&str], length| {
        let (n, rest) = list(names, length)?;
        read.month = Some(n);
        Some(rest)
    };
    match name {
        "MONTH" | "Month" | "month" => month(&MONTHS, None),
        "MON" | "Mon" | "mon" => month(&MONTHS, Some(3)),
        "RM" => month(&ROMAN, None),
        "DAY" | "Day" | "day" => list(&WEEKDAYS, None).map(|(_, rest)| rest),
        "DY" | "Dy" | "dy" => list(&WEEKDAYS, Some(3)).map(|(_, rest)| rest),
        "AM" | "PM" | "am" | "pm" => {
            read.afternoon = Some(text.get(..2)?.eq_ignore_ascii_case("pm"));
            text.get(2..)
        }
        // A.M. and P.M.
        _ => {
            read.afternoon = Some(text.get(..4)?.eq_ignore_ascii_case("p.m."));
            text.get(4..)
        }
    }
}

impl Read {
    pub fn days(&self, text: &str) -> Result<i64> {
        let wrong = || {
            let message = format!("date/time field value out of range: \"{text}\"");
            Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
        };
        if let Some(day) = self.epoch_day {
            return Ok(day);
        }
        let year = match self.year {
            Some(year) if self.before_christ => 1 - year,
            Some(year) => year,
            None => 0,
        };
        if let Some(day) = self.day_of_year {
            return Ok(days(year, 1, 1) + day - 1);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if day > days_in_month(year, month) {
            return Err(wrong());
        }
        Ok(days(year, month, day))
    }

    pub fn clock(&self) -> i64 {
        let hour = match self.afternoon {
            Some(true) => self.hour % 12 + 12,
            Some(false) => self.hour % 12,
            None => self.hour,
        };
        (hour * 3600 + self.minute * 60 + self.second) * SECOND + self.micros
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::pieces;
    use super::*;

    #[test]
    fn times_are_read_by_patterns() {
        let read = |text: &str, format: &str| {
            let read = read_time(text, format, &pieces(format)).unwrap();
            (read.days(text).unwrap(), read.clock())
        };
        assert_eq!(read("2026-11-21 15:04:05", "YYYY-MM-DD HH24:MI:SS"), (days(2026, 11, 21), 54_245 * SECOND));
        assert_eq!(read("21 Nov 2026 3:04 PM", "DD Mon YYYY HH12:MI AM"), (days(2026, 11, 21), 54_240 * SECOND));
        assert_eq!(read("21-VIII-2026", "DD-RM-YYYY"), (days(2026, 8, 21), 0));
        assert_eq!(read("20261121", "YYYYMMDD"), (days(2026, 11, 21), 0));
        assert!(read_time("2026-13-01", "YYYY-MM-DD", &pieces("YYYY-MM-DD")).is_err());
    }
}
