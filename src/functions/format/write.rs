//! Times as texts, by patterns.

use std::fmt::Write as _;

use super::pattern::{MONTHS, Piece, ROMAN, WEEKDAYS};
use crate::data::text::TimeZone;
use crate::functions::datetime::{Fields, SECOND, counted_year};

pub(super) fn write_time(f: &Fields, pieces: &[Piece], zone: Option<(&TimeZone, i32)>) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Era => out.push_str(if f.year > 0 { "AD" } else { "BC" }),
            Piece::Zone { upper } => {
                if let Some((zone, _)) = zone {
                    let name = zone.name();
                    if *upper { out.push_str(&name.to_uppercase()) } else { out.push_str(&name.to_lowercase()) }
                }
            }
            Piece::Offset => {
                let offset = zone.map_or(0, |(_, o)| o);
                let _ = write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600);
                if offset % 3600 != 0 {
                    let _ = write!(out, ":{:02}", offset.abs() / 60 % 60);
                }
            }
            Piece::Pattern { name, fill, ordinal } => write_pattern(&mut out, f, name, *fill, *ordinal, zone),
        }
    }
    out
}

fn write_pattern(
    out: &mut String,
    f: &Fields,
    name: &'static str,
    fill: bool,
    ordinal: Option<bool>,
    zone: Option<(&TimeZone, i32)>,
) {
    let year = counted_year(f.year).abs();
    let hour = f.time / (3600 * SECOND);
    let micros = f.time % SECOND;
    let month = MONTHS.get(f.month.saturating_sub(1) as usize).copied().unwrap_or("");
    let weekday = WEEKDAYS[f.weekday() as usize];
    let mut n = |value: i64, width: usize| number(out, value, width, fill, ordinal);
    match name {
        "YYYY" => n(year, 4),
        "YYY" => n(year % 1000, 3),
        "YY" => n(year % 100, 2),
        "Y" => n(year % 10, 1),
        "IYYY" => n(f.iso_week().0, 4),
        "IYY" => n(f.iso_week().0 % 1000, 3),
        "IY" => n(f.iso_week().0 % 100, 2),
        "MM" => n(f.month.into(), 2),
        "DD" => n(f.day.into(), 2),
        "DDD" => n(f.day_of_year(), 3),
        "D" => n(f.weekday() + 1, 1),
        "ID" => n(f.iso_weekday(), 1),
        "IDDD" => n((f.iso_week().1 - 1) * 7 + f.iso_weekday(), 3),
        "HH24" => n(hour, 2),
        "HH12" | "HH" => n(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "MI" => n(f.time / (60 * SECOND) % 60, 2),
        "SS" => n(f.time / SECOND % 60, 2),
        "SSSS" | "SSSSS" => n(f.time / SECOND, 1),
        "MS" | "FF3" => n(micros / 1000, 3),
        "US" | "FF6" => n(micros, 6),
        "FF1" => n(micros / 100_000, 1),
        "FF2" => n(micros / 10_000, 2),
        "FF4" => n(micros / 100, 4),
        "FF5" => n(micros / 10, 5),
        "IW" => n(f.iso_week().1, 2),
        "WW" => n((f.day_of_year() - 1) / 7 + 1, 2),
        "W" => n(i64::from((f.day.max(1) - 1) / 7 + 1), 1),
        "Q" => n(i64::from((f.month.max(1) - 1) / 3 + 1), 1),
        "CC" => n((year + 99) / 100, 2),
        "J" => n(f.days + 2_440_588, 1),
        "TZM" => n(zone.map_or(0, |(_, o)| i64::from(o.abs() / 60 % 60)), 2),
        "TZH" => {
            let offset = zone.map_or(0, |(_, o)| o);
            let _ = write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600);
        }
        "Y,YYY" => {
            let _ = write!(out, "{},{:03}", year / 1000, year % 1000);
        }
        "MONTH" | "Month" | "month" => word(out, month, name, 9, fill),
        "MON" | "Mon" | "mon" => word(out, month.get(..3).unwrap_or(""), name, 3, fill),
        "DAY" | "Day" | "day" => word(out, weekday, name, 9, fill),
        "DY" | "Dy" | "dy" => word(out, &weekday[..3], name, 3, fill),
        "RM" => word(out, ROMAN.get(f.month.saturating_sub(1) as usize).copied().unwrap_or(""), name, 4, fill),
        "AM" | "PM" => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        "am" | "pm" => out.push_str(if hour < 12 { "am" } else { "pm" }),
        "A.M." | "P.M." => out.push_str(if hour < 12 { "A.M." } else { "P.M." }),
        _ => out.push_str(if hour < 12 { "a.m." } else { "p.m." }),
    }
}

fn number(out: &mut String, value: i64, width: usize, fill: bool, ordinal: Option<bool>) {
    let from = out.len();
    let _ = if fill { write!(out, "{value:0width$}") } else { write!(out, "{value}") };
    if let Some(upper) = ordinal {
        let last = &out[from..];
        let suffix = match (last.ends_with("11") || last.ends_with("12") || last.ends_with("13"), last.chars().last()) {
            (false, Some('1')) => "st",
            (false, Some('2')) => "nd",
            (false, Some('3')) => "rd",
            _ => "th",
        };
        if upper { out.push_str(&suffix.to_uppercase()) } else { out.push_str(suffix) }
    }
}

fn word(out: &mut String, word: &str, pattern: &str, width: usize, fill: bool) {
    let cased = match pattern {
        p if p.chars().all(char::is_uppercase) => word.to_uppercase(),
        p if p.chars().all(char::is_lowercase) => word.to_lowercase(),
        _ => word.to_owned(),
    };
    let _ = if fill { write!(out, "{cased:<width$}") } else { write!(out, "{cased}") };
}

#[cfg(test)]
mod tests {
    use super::super::pattern::pieces;
    use super::*;
    use crate::data::text::calendar::days;
    use crate::functions::datetime::DAY;

    /// 2026-11-21 15:04:05.678901, a Saturday.
    fn fields() -> Fields {
        Fields::of(days(2026, 11, 21) * DAY + (15 * 3600 + 4 * 60 + 5) * SECOND + 678_901)
    }

    #[test]
    fn times_are_written_by_patterns() {
        let check = |format: &str, expected: &str| assert_eq!(write_time(&fields(), &pieces(format), None), expected);
        check("YYYY-MM-DD HH24:MI:SS.US", "2026-11-21 15:04:05.678901");
        check("yyyy-mm-dd\"T\"hh24:mi", "2026-11-21T15:04");
        check("FMDay, DDth Mon YY HH12 am", "Saturday, 21st Nov 26 03 pm");
        check("MONTH|Dy|IW|Q|DDD|MS", "NOVEMBER |Sat|47|4|325|678");
    }
}
