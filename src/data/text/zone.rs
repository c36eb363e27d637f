//! The session's TimeZone: what turns an instant into a local time and back.

use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::calendar::{SECOND, pair};

/// A time zone by its name or as a fixed offset. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone {
    name: Arc<str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(Tz),
}

impl TimeZone {
    /// UTC, the default.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), kind: Kind::Fixed(0) }
    }

    /// A zone of the IANA database in any case (`Europe/Zurich`, `UTC`), or an offset (`+02`, `-05:30`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if ["utc", "gmt", "z", "zulu", "etc/utc", "uct"].iter().any(|n| text.eq_ignore_ascii_case(n)) {
            let name = if text.len() == 3 { text.to_ascii_uppercase() } else { "UTC".to_owned() };
            return Some(Self { name: name.into(), kind: Kind::Fixed(0) });
        }
        if text.starts_with(|c: char| c == '+' || c == '-' || c.is_ascii_digit()) {
            return Some(Self { name: text.into(), kind: Kind::Fixed(parse_offset(text)?) });
        }
        let named = Tz::from_str(text).ok();
        let zone = named.or_else(|| TZ_VARIANTS.iter().copied().find(|tz| tz.name().eq_ignore_ascii_case(text)))?;
        Some(Self { name: zone.name().into(), kind: Kind::Named(zone) })
    }

    /// The name, as SHOW TimeZone prints it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds east of Greenwich at an instant.
    pub fn offset_at(&self, micros: i64) -> i32 {
        match self.kind {
            Kind::Fixed(seconds) => seconds,
            Kind::Named(tz) => tz.offset_from_utc_datetime(&naive(micros)).fix().local_minus_utc(),
        }
    }

    /// The local time of an instant.
    pub fn to_local(&self, micros: i64) -> i64 {
        micros.saturating_add(i64::from(self.offset_at(micros)) * SECOND)
    }

    /// The instant of a local time. A time that a clock change skipped is read with the offset before the change, one
    /// that happened twice as the second.
    pub fn to_utc(&self, local: i64) -> i64 {
        let seconds = match self.kind {
            Kind::Fixed(seconds) => seconds,
            Kind::Named(tz) => match tz.offset_from_local_datetime(&naive(local)).latest() {
                Some(offset) => offset.fix().local_minus_utc(),
                None => self.offset_at(local.saturating_sub(24 * 3600 * SECOND)),
            },
        };
        local.saturating_sub(i64::from(seconds) * SECOND)
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::utc()
    }
}

/// Beyond chrono's years the rules of its first and last year apply.
fn naive(micros: i64) -> NaiveDateTime {
    let clamped = micros.clamp(NaiveDateTime::MIN.and_utc().timestamp_micros() + 1, CHRONO_LAST);
    DateTime::from_timestamp_micros(clamped).unwrap_or_default().naive_utc()
}

/// 262000-01-01: well inside of chrono's range.
const CHRONO_LAST: i64 = 8_205_844_000_000_000_000;

/// `+02`, `-5`, `+0530`, `+05:30`, `+05:30:15` in seconds; at most 16 hours, as in PostgreSQL.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let parts: Vec<&str> = if body.contains(':') {
        body.split(':').collect()
    } else if body.len() > 2 && body.is_ascii() {
        let (hours, rest) = body.split_at(body.len() % 2 + if body.len() % 2 == 0 { 2 } else { 0 });
        std::iter::once(hours).chain(rest.as_bytes().chunks(2).map(|c| std::str::from_utf8(c).unwrap_or(""))).collect()
    } else {
        vec![body]
    };
    if parts.len() > 3 || parts.iter().any(|p| p.is_empty() || p.len() > 2 || !p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let number = |i: usize| parts.get(i).and_then(|p| p.parse::<i32>().ok()).unwrap_or(0);
    let (hours, minutes, seconds) = (number(0), number(1), number(2));
    (hours < 16 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// `+00`, `-05:30`, `+00:34:08`.
pub(super) fn write_offset(out: &mut impl Write, seconds: i32) -> fmt::Result {
    out.write_char(if seconds < 0 { '-' } else { '+' })?;
    let seconds = seconds.unsigned_abs();
    pair(out, seconds / 3600)?;
    if !seconds.is_multiple_of(3600) {
        out.write_char(':')?;
        pair(out, seconds / 60 % 60)?;
    }
    if !seconds.is_multiple_of(60) {
        out.write_char(':')?;
        pair(out, seconds % 60)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::datetime::parse_timestamp;

    #[test]
    fn zones_follow_the_clock_changes() {
        let zurich = TimeZone::parse("europe/zurich").unwrap();
        assert_eq!(zurich.name(), "Europe/Zurich");
        let local = |t| parse_timestamp(t).unwrap();
        assert_eq!(zurich.to_utc(local("2026-01-01 01:00")), local("2026-01-01 00:00"));
        assert_eq!(zurich.to_utc(local("2026-07-01 02:00")), local("2026-07-01 00:00"));
        // Skipped by the change to summer time; repeated by the change back.
        assert_eq!(zurich.to_utc(local("2026-03-29 02:30")), local("2026-03-29 01:30"));
        assert_eq!(zurich.to_utc(local("2026-10-25 02:30")), local("2026-10-25 01:30"));
        assert_eq!(zurich.offset_at(i64::MAX - 1), 3600);
        assert_eq!(zurich.offset_at(i64::MIN + 1), 34 * 60 + 8);
        assert_eq!(TimeZone::parse("+05:30").unwrap().offset_at(0), 19_800);
        assert_eq!(parse_offset("-0530"), Some(-19_800));
        assert_eq!(parse_offset("+5"), Some(18_000));
        assert_eq!(parse_offset("+530"), Some(19_800));
        for bad in ["Nowhere", "+99", "", "+1:2:3:4"] {
            assert_eq!(TimeZone::parse(bad), None, "{bad}");
        }
    }
}
