//! Dates, times and timestamps: PostgreSQL's input in all its spellings, ISO output.
//!
//! Infinities are the ends of the integer's range. What depends on the clock (`now`, `today`) is refused: it would freeze
//! in a view.

use std::fmt::{self, Write};

use super::calendar::{self, DAY, SECOND, write_civil, write_clock};
use super::plain;
use super::zone::{TimeZone, parse_offset, write_offset};
use super::{invalid_datetime, out_of_range};
use crate::error::{Error, Result, SqlState};

/// Midnight of Julian day 0, 4714-11-24 BC, where PostgreSQL's time begins.
pub const TIMESTAMP_FIRST: i64 = DATE_FIRST as i64 * DAY;
/// A day before the integer's end, which is infinity, so that a zone still fits.
pub const TIMESTAMP_LAST: i64 = i64::MAX - DAY;
/// Julian day 0.
pub const DATE_FIRST: i32 = -2_440_588;
/// 5874897-12-31.
pub const DATE_LAST: i32 = 2_145_042_540;
/// Days of `infinity`.
pub const DATE_INFINITY: i32 = i32::MAX;
/// Microseconds of `infinity`.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;

/// Days since 1970-01-01.
pub fn parse_date(text: &str) -> Result<i32> {
    if let Some(days) = plain::date(text) {
        return Ok(days);
    }
    match Parts::read(text, "date")? {
        Read::Infinity => Ok(DATE_INFINITY),
        Read::MinusInfinity => Ok(i32::MIN),
        Read::Epoch => Ok(0),
        Read::Parts(parts) => {
            let days = parts.days(text, "date")?;
            i32::try_from(days).map_err(|_| beyond("date", text))
        }
    }
}

/// Microseconds of the day; `24:00:00` is allowed.
pub fn parse_time(text: &str) -> Result<i64> {
    match Parts::read(text, "time")? {
        Read::Parts(Parts { time: Some(micros), .. }) => Ok(micros),
        _ => Err(invalid_datetime("time", text)),
    }
}

/// Microseconds since 1970-01-01 00:00:00; a time zone in the text is ignored, as PostgreSQL does.
pub fn parse_timestamp(text: &str) -> Result<i64> {
    if let Some((micros, "" | "Z")) = plain::timestamp(text) {
        return Ok(micros);
    }
    match Parts::read(text, "timestamp")? {
        Read::Infinity => Ok(TIMESTAMP_INFINITY),
        Read::MinusInfinity => Ok(i64::MIN),
        Read::Epoch => Ok(0),
        Read::Parts(parts) => parts.micros(text, "timestamp"),
    }
}

/// Microseconds since 1970-01-01 00:00:00 UTC; `zone` counts where the text names none.
pub fn parse_timestamptz(text: &str, zone: &TimeZone) -> Result<i64> {
    match plain::timestamp(text) {
        Some((micros, "Z" | "+00")) => return Ok(micros),
        Some((local, "")) => return Ok(zone.to_utc(local)),
        _ => {}
    }
    match Parts::read(text, "timestamp with time zone")? {
        Read::Infinity => Ok(TIMESTAMP_INFINITY),
        Read::MinusInfinity => Ok(i64::MIN),
        Read::Epoch => Ok(0),
        Read::Parts(parts) => {
            let local = parts.micros(text, "timestamp with time zone")?;
            Ok(parts.zone.as_ref().unwrap_or(zone).to_utc(local))
        }
    }
}

/// `2026-01-31`, `0044-03-15 BC`, `infinity`.
pub fn write_date(out: &mut impl Write, days: i32) -> fmt::Result {
    match days {
        DATE_INFINITY => out.write_str("infinity"),
        i32::MIN => out.write_str("-infinity"),
        _ => {
            let bc = write_civil(out, days.into())?;
            out.write_str(if bc { " BC" } else { "" })
        }
    }
}

/// `2026-01-31 12:00:00.5`.
pub fn write_timestamp(out: &mut impl Write, micros: i64) -> fmt::Result {
    write_instant(out, micros, 0, false)
}

/// `2026-01-31 12:00:00.5+01` in a zone.
pub fn write_timestamptz(out: &mut impl Write, micros: i64, zone: &TimeZone) -> fmt::Result {
    write_instant(out, micros, zone.offset_at(micros), true)
}

fn write_instant(out: &mut impl Write, micros: i64, offset: i32, show_offset: bool) -> fmt::Result {
    match micros {
        TIMESTAMP_INFINITY => return out.write_str("infinity"),
        i64::MIN => return out.write_str("-infinity"),
        _ => {}
    }
    let local = micros.saturating_add(i64::from(offset) * SECOND);
    let bc = write_civil(out, local.div_euclid(DAY))?;
    out.write_char(' ')?;
    write_clock(out, local.rem_euclid(DAY))?;
    if show_offset {
        write_offset(out, offset)?;
    }
    out.write_str(if bc { " BC" } else { "" })
}

fn beyond(name: &str, text: &str) -> Error {
    let name = name.split(' ').next().unwrap_or(name);
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{name} out of range: \"{text}\""))
}

fn field_overflow(text: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
}

enum Read {
    Infinity,
    MinusInfinity,
    Epoch,
    Parts(Parts),
}

/// What a date/time text says.
#[derive(Default)]
struct Parts {
    date: Option<(i64, u32, u32)>,
    time: Option<i64>,
    zone: Option<TimeZone>,
    bc: bool,
}

impl Parts {
    fn read(text: &str, name: &str) -> Result<Read> {
        let body = text.trim();
        match body.to_ascii_lowercase().as_str() {
            "infinity" | "+infinity" | "inf" => return Ok(Read::Infinity),
            "-infinity" | "-inf" => return Ok(Read::MinusInfinity),
            "epoch" => return Ok(Read::Epoch),
            "now" | "today" | "tomorrow" | "yesterday" => {
                return Err(Error::unsupported(
                    format!("the {name} value \"{body}\""),
                    "Use now(), current_date or current_timestamp.",
                ));
            }
            _ => {}
        }
        let mut reader = Reader {
            text,
            name,
            rest: body,
            parts: Self::default(),
            pm: None,
            timed: false,
            loose: Vec::new(),
            month: None,
        };
        while !reader.rest.is_empty() {
            reader.token()?;
        }
        reader.finish().map(Read::Parts)
    }

    fn days(&self, text: &str, name: &str) -> Result<i64> {
        let (mut year, month, day) = self.date.ok_or_else(|| invalid_datetime(name, text))?;
        if self.bc {
            if year <= 0 {
                return Err(field_overflow(text));
            }
            year = 1 - year;
        } else if year == 0 {
            return Err(field_overflow(text));
        }
        if !(1..=12).contains(&month) || day == 0 || day > 31 {
            let hint = "Perhaps you need a different \"datestyle\" setting.";
            return Err(field_overflow(text).with_hint(hint));
        }
        if day > calendar::days_in_month(year, month) {
            return Err(field_overflow(text));
        }
        let days = calendar::days(year, month, day);
        // Julian day 0, 4714-11-24 BC, is where PostgreSQL's dates begin.
        if days < DATE_FIRST.into() || year > 5_874_897 {
            return Err(beyond(name, text));
        }
        Ok(days)
    }

    fn micros(&self, text: &str, name: &str) -> Result<i64> {
        let days = self.days(text, name)?;
        let micros = i128::from(days) * i128::from(DAY) + i128::from(self.time.unwrap_or(0));
        if !(i128::from(TIMESTAMP_FIRST)..=i128::from(TIMESTAMP_LAST)).contains(&micros) {
            return Err(beyond(name, text));
        }
        i64::try_from(micros).map_err(|_| out_of_range(name, text))
    }
}

struct Reader<'a> {
    text: &'a str,
    name: &'a str,
    rest: &'a str,
    parts: Parts,
    pm: Option<bool>,
    /// A `T` said that a time follows.
    timed: bool,
    /// Numbers of a date spelt with the month's name, or with spaces.
    loose: Vec<&'a str>,
    month: Option<u32>,
}

impl<'a> Reader<'a> {
    fn bad(&self) -> Error {
        invalid_datetime(self.name, self.text)
    }

    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn token(&mut self) -> Result<()> {
        let Some(first) = self.rest.chars().next() else { return Ok(()) };
        match first {
            c if c.is_ascii_whitespace() || c == ',' => {
                self.take(|c| c.is_ascii_whitespace() || c == ',');
                Ok(())
            }
            '0'..='9' => self.number(),
            '+' | '-' if self.parts.time.is_some() => self.offset(),
            'T' | 't' if self.parts.time.is_none() && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.rest = &self.rest[1..];
                self.timed = true;
                self.number()
            }
            c if c.is_ascii_alphabetic() => self.word(),
            _ => Err(self.bad()),
        }
    }

    fn number(&mut self) -> Result<()> {
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let after = &self.rest[digits..];
        let next = after.chars().next();
        let follows = after.chars().nth(1).is_some_and(|c| c.is_ascii_alphanumeric());
        let dated = self.parts.date.is_some() || self.month.is_some();
        match next {
            Some(':') => self.clock(),
            Some('-' | '/' | '.') if follows && !dated => self.date(),
            _ if self.parts.date.is_some() && self.parts.time.is_none() && matches!(digits, 4 | 6) => {
                self.compact_time()
            }
            _ if digits == 8 && !dated => {
                let date = self.take(|c| c.is_ascii_digit());
                self.set_date(&date[..4], &date[4..6], &date[6..8])?;
                self.skip_t();
                Ok(())
            }
            _ if matches!(digits, 4 | 6) && (self.name == "time" || self.timed) => self.compact_time(),
            _ if self.parts.date.is_none() => {
                let number = self.take(|c| c.is_ascii_digit());
                self.loose.push(number);
                Ok(())
            }
            _ => Err(self.bad()),
        }
    }

    /// `2026-01-31`, `2026/1/31`, `1/31/2026`, `2026-Jan-31`, `31-Jan-2026`.
    fn date(&mut self) -> Result<()> {
        let a = self.take(|c| c.is_ascii_digit());
        let separator = self.rest.chars().next().unwrap_or('-');
        self.rest = &self.rest[1..];
        let b = if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            self.take(|c| c.is_ascii_digit())
        } else {
            self.take(|c| c.is_ascii_alphabetic())
        };
        let Some(rest) = self.rest.strip_prefix(separator) else { return Err(self.bad()) };
        self.rest = rest;
        let c = self.take(|c| c.is_ascii_digit());
        match month(b) {
            Some(m) if a.len() > 2 => self.set_date(a, &m.to_string(), c)?,
            Some(m) => self.set_date(&century(c), &m.to_string(), a)?,
            None if a.len() > 2 => self.set_date(a, b, c)?,
            // PostgreSQL's default order: month, day, year.
            None => self.set_date(&century(c), a, b)?,
        }
        self.skip_t();
        Ok(())
    }

    fn skip_t(&mut self) {
        if let Some(rest) = self.rest.strip_prefix(['T', 't']).filter(|r| r.starts_with(|c: char| c.is_ascii_digit())) {
            self.rest = rest;
        }
    }

    fn set_date(&mut self, year: &str, month: &str, day: &str) -> Result<()> {
        let (Ok(year), Ok(month), Ok(day)) = (year.parse(), month.parse(), day.parse()) else { return Err(self.bad()) };
        if self.parts.date.is_some() || year > 9_999_999 {
            return Err(if year > 9_999_999 { field_overflow(self.text) } else { self.bad() });
        }
        self.parts.date = Some((year, month, day));
        Ok(())
    }

    /// `1:02`, `01:02:03.5`.
    fn clock(&mut self) -> Result<()> {
        let token = self.take(|c| c.is_ascii_digit() || c == ':' || c == '.');
        let mut fields = token.split(':');
        let (hours, minutes, seconds, extra) = (fields.next(), fields.next(), fields.next(), fields.next());
        if extra.is_some() || self.parts.time.is_some() {
            return Err(self.bad());
        }
        self.set_time(hours.unwrap_or(""), minutes.unwrap_or(""), seconds.unwrap_or("0"))
    }

    fn compact_time(&mut self) -> Result<()> {
        let token = self.take(|c| c.is_ascii_digit() || c == '.');
        let seconds = if token.len() > 4 { &token[4..] } else { "0" };
        self.set_time(&token[..2], &token[2..4], seconds)
    }

    fn set_time(&mut self, hours: &str, minutes: &str, seconds: &str) -> Result<()> {
        let (Ok(h), Ok(m)) = (hours.parse::<i64>(), minutes.parse::<i64>()) else { return Err(self.bad()) };
        let Some(s) = super::interval::seconds_micros(seconds) else { return Err(self.bad()) };
        let micros = (h * 3600 + m * 60) * SECOND + s;
        // A leap second is read as the next minute's start, 24:00 as the end of the day.
        if h > 24 || m > 59 || s > 60 * SECOND || micros > DAY {
            return Err(field_overflow(self.text));
        }
        self.parts.time = Some(micros);
        Ok(())
    }

    fn offset(&mut self) -> Result<()> {
        let token = self.take(|c| c.is_ascii_digit() || c == ':' || c == '+' || c == '-');
        if self.parts.zone.is_some() {
            return Err(self.bad());
        }
        if parse_offset(token).is_none() {
            let message = format!("time zone displacement out of range: \"{}\"", self.text);
            return Err(Error::new(SqlState("22009"), message));
        }
        self.parts.zone = TimeZone::parse(token);
        Ok(())
    }

    fn word(&mut self) -> Result<()> {
        let token = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_'));
        let lower = token.to_ascii_lowercase();
        match lower.as_str() {
            "am" | "pm" if self.parts.time.is_some() && self.pm.is_none() => self.pm = Some(lower == "pm"),
            "bc" => self.parts.bc = true,
            "ad" | "at" => {}
            "allballs" if self.parts.time.is_none() => self.parts.time = Some(0),
            _ if weekday(&lower) => {}
            _ => match month(&lower) {
                Some(m) if self.month.is_none() => self.month = Some(m),
                _ => match abbreviation(&lower).or_else(|| TimeZone::parse(token)) {
                    Some(zone) if self.parts.zone.is_none() => self.parts.zone = Some(zone),
                    None if token.contains('/') => {
                        let message = format!("time zone \"{lower}\" not recognized");
                        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
                    }
                    _ => return Err(self.bad()),
                },
            },
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Parts> {
        if let Some(m) = self.month {
            let &[a, b] = self.loose.as_slice() else { return Err(self.bad()) };
            let (year, day) = if a.len() > 2 { (a, b) } else { (b, a) };
            self.set_date(&century(year), &m.to_string(), day)?;
        } else if !self.loose.is_empty() {
            return Err(self.bad());
        }
        if let (Some(pm), Some(time)) = (self.pm, self.parts.time.as_mut()) {
            let hour = *time / (3600 * SECOND);
            if hour > 12 || hour == 0 {
                return Err(field_overflow(self.text));
            }
            *time += match (pm, hour) {
                (true, 12) | (false, 1..=11) => 0,
                (true, _) => DAY / 2,
                (false, _) => -DAY / 2,
            };
        }
        Ok(self.parts)
    }
}

/// Two-digit years are between 1970 and 2069.
fn century(year: &str) -> String {
    match year.parse::<u32>() {
        Ok(y) if year.len() <= 2 => (if y < 70 { 2000 + y } else { 1900 + y }).to_string(),
        _ => year.to_owned(),
    }
}

fn month(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let word = word.to_ascii_lowercase();
    let at = MONTHS
        .iter()
        .position(|m| *m == word || (word.len() == 3 && m.starts_with(&word)) || word == "sept" && *m == "september")?;
    u32::try_from(at + 1).ok()
}

/// The abbreviations of zones that PostgreSQL knows by default and people write.
fn abbreviation(word: &str) -> Option<TimeZone> {
    let offset = match word {
        "hst" => "-10",
        "akst" => "-09",
        "akdt" | "pst" => "-08",
        "pdt" | "mst" => "-07",
        "mdt" | "cst" => "-06",
        "cdt" | "est" => "-05",
        "edt" => "-04",
        "wet" => "+00",
        "bst" | "west" | "cet" | "met" => "+01",
        "cest" | "eet" | "sast" => "+02",
        "eest" | "msk" => "+03",
        "jst" | "kst" => "+09",
        "aest" => "+10",
        "aedt" => "+11",
        _ => return None,
    };
    TimeZone::parse(offset)
}

fn weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    DAYS.iter().any(|d| *d == word || (word.len() == 3 && d.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(micros: i64) -> String {
        let mut s = String::new();
        write_timestamp(&mut s, micros).unwrap();
        s
    }

    #[test]
    fn every_spelling_of_a_timestamp() {
        for (text, expected) in [
            ("2026-01-31 12:00:00", "2026-01-31 12:00:00"),
            ("2026-01-31T12:00:00.120Z", "2026-01-31 12:00:00.12"),
            ("2026-01-31 12:00:00+02", "2026-01-31 12:00:00"),
            ("20260131", "2026-01-31 00:00:00"),
            ("20260131T123456", "2026-01-31 12:34:56"),
            ("2026-1-5", "2026-01-05 00:00:00"),
            ("1/31/2026 1:02 PM", "2026-01-31 13:02:00"),
            ("Jan 31, 2026 12:30 am", "2026-01-31 00:30:00"),
            ("31 January 2026", "2026-01-31 00:00:00"),
            ("Sat 31-Jan-2026", "2026-01-31 00:00:00"),
            ("2026-01-31 24:00:00", "2026-02-01 00:00:00"),
            ("2026-01-31 10:00:00.1234567", "2026-01-31 10:00:00.123457"),
            ("0044-03-15 10:00 BC", "0044-03-15 10:00:00 BC"),
            ("12026-01-31 12:00", "12026-01-31 12:00:00"),
            ("2026-01-31 T10:20", "2026-01-31 10:20:00"),
            ("2026-01-31 allballs", "2026-01-31 00:00:00"),
            ("4714-11-24 BC", "4714-11-24 00:00:00 BC"),
            ("epoch", "1970-01-01 00:00:00"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
            ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
            ("294246-12-31 23:59:59.999999", "294246-12-31 23:59:59.999999"),
        ] {
            assert_eq!(parse_timestamp(text).map(show).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn wrong_timestamps_say_what_is_wrong() {
        for (text, code) in [
            ("x", "22007"),
            ("", "22007"),
            ("2026-01-31 12:00:00 x", "22007"),
            ("2026-02-30", "22008"),
            ("2026-13-01", "22008"),
            ("2026-01-31 25:00", "22008"),
            ("2026-01-31 10:00:00+99", "22009"),
            ("2026-01-31 10:00 Europe/Nowhere", "22023"),
            ("500000-01-01", "22008"),
            ("99999999-01-01", "22008"),
            ("2026-01", "22007"),
            ("12:00", "22007"),
            ("2026-01-31T", "22007"),
            ("4714-11-23 BC", "22008"),
            ("now", "0A000"),
            ("\u{e9}", "22007"),
            ("2026-é-01", "22007"),
        ] {
            assert_eq!(parse_timestamp(text).unwrap_err().code().0, code, "{text}");
        }
        assert!(parse_timestamp("2026-13-01").unwrap_err().parts().hint.is_some());
    }

    #[test]
    fn zones_dates_and_times() {
        let zurich = TimeZone::parse("Europe/Zurich").unwrap();
        let show = |t: &str| {
            let mut s = String::new();
            write_timestamptz(&mut s, parse_timestamptz(t, &zurich).unwrap(), &zurich).unwrap();
            s
        };
        assert_eq!(show("2026-07-01 12:00"), "2026-07-01 12:00:00+02");
        assert_eq!(show("2026-07-01 12:00Z"), "2026-07-01 14:00:00+02");
        assert_eq!(show("2026-01-01 12:00 America/New_York"), "2026-01-01 18:00:00+01");
        assert_eq!(show("1800-01-01 12:00"), "1800-01-01 12:00:00+00:34:08");
        let date = |t: &str| {
            let mut s = String::new();
            write_date(&mut s, parse_date(t).unwrap()).unwrap();
            s
        };
        assert_eq!(date("2026-01-31 10:00"), "2026-01-31");
        assert_eq!(date("5874897-12-31"), "5874897-12-31");
        assert_eq!(date("infinity"), "infinity");
        assert_eq!(date("4713-01-01 BC"), "4713-01-01 BC");
        assert_eq!(parse_time("10:20:30.5").unwrap(), 37_230_500_000);
        assert_eq!(parse_time("102030").unwrap(), 37_230_000_000);
        assert_eq!(parse_time("T1020").unwrap(), 37_200_000_000);
        assert_eq!(parse_timestamptz("2026-01-01 12:00 PST", &zurich), parse_timestamptz("2026-01-01 20:00Z", &zurich));
        assert_eq!(parse_time("24:00").unwrap(), DAY);
        assert_eq!(parse_time("25:00").unwrap_err().code().0, "22008");
    }
}
