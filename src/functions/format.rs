//! `to_char`, `to_timestamp`, `to_date`, `to_number`: PostgreSQL's format patterns.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};

use super::datetime::{DAY, Fields, SECOND, counted_year, infinite};
use super::native::{Call, Function, Overload, T};
use crate::data::text::TimeZone;
use crate::data::text::calendar::{days, days_in_month};
use crate::data::text::number::{parse_numeric, write_f64, write_numeric};
use crate::data::types::NUMERIC_DEFAULT;
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[
    &Function::new(
        "to_char",
        &[
            Overload(&[T::Timestamp, T::Text], T::Text),
            Overload(&[T::Timestamptz, T::Text], T::Text),
            Overload(&[T::Interval, T::Text], T::Text),
            Overload(&[T::Numeric, T::Text], T::Text),
            Overload(&[T::Float8, T::Text], T::Text),
        ],
        to_char,
    ),
    &Function::new(
        "to_timestamp",
        &[Overload(&[T::Float8], T::Timestamptz), Overload(&[T::Text, T::Text], T::Timestamptz)],
        to_timestamp,
    ),
    &Function::new("to_date", &[Overload(&[T::Text, T::Text], T::Date)], to_date),
    &Function::new("to_number", &[Overload(&[T::Text, T::Text], T::Numeric)], to_number),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Patterns, longest first where one begins another.
#[rustfmt::skip]
const PATTERNS: [&str; 58] = [
    "Y,YYY", "YYYY", "IYYY", "YYY", "IYY", "YY", "IY", "Y", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM",
    "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "IDDD", "ID", "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS",
    "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.",
    "IW", "WW", "W", "Q", "CC", "J", "TZH", "TZM", "RM",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Pattern { name: &'static str, fill: bool, ordinal: Option<bool> },
    Zone { upper: bool },
    Offset,
    Era,
    Literal(String),
}

fn pieces(format: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut rest = format;
    let mut fill = true;
    while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push(Piece::Literal(quoted[..end].to_owned()));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
            continue;
        }
        // Patterns of digits are the same in any case.
        let matches =
            |p: &&&str| rest.get(..p.len()).is_some_and(|r| r == **p || (is_digits(p) && r.eq_ignore_ascii_case(p)));
        if let Some(name) = PATTERNS.iter().filter(matches).max_by_key(|p| p.len()) {
            rest = &rest[name.len()..];
            let ordinal = match rest.get(..2) {
                Some("TH") => Some(true),
                Some("th") => Some(false),
                _ => None,
            };
            if ordinal.is_some() {
                rest = &rest[2..];
            }
            out.push(Piece::Pattern { name, fill, ordinal });
            fill = true;
        } else if rest.starts_with("TZ") || rest.starts_with("tz") {
            out.push(Piece::Zone { upper: rest.starts_with("TZ") });
            rest = &rest[2..];
        } else if rest.starts_with("OF") {
            out.push(Piece::Offset);
            rest = &rest[2..];
        } else if let Some(name) = ["BC", "AD", "bc", "ad"].iter().find(|e| rest.starts_with(**e)) {
            out.push(Piece::Era);
            rest = &rest[name.len()..];
        } else {
            out.push(Piece::Literal(c.to_string()));
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn is_digits(pattern: &str) -> bool {
    !matches!(
        pattern,
        "MONTH"
            | "Month"
            | "month"
            | "MON"
            | "Mon"
            | "mon"
            | "DAY"
            | "Day"
            | "day"
            | "DY"
            | "Dy"
            | "dy"
            | "AM"
            | "PM"
            | "am"
            | "pm"
            | "A.M."
            | "P.M."
            | "a.m."
            | "p.m."
            | "RM"
    )
}

/// The last format, taken apart; formats are mostly constants.
#[derive(Default)]
struct Formats {
    last: Option<(String, Vec<Piece>)>,
}

impl Formats {
    fn get(&mut self, format: &str) -> &[Piece] {
        if self.last.as_ref().is_none_or(|(f, _)| f != format) {
            self.last = Some((format.to_owned(), pieces(format)));
        }
        self.last.as_ref().map_or(&[], |(_, p)| p)
    }
}

fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let (values, formats) = (&call.args[0], call.args[1].as_string::<i32>());
    let mut parsed = Formats::default();
    let mut one = |row: usize| -> Result<Option<String>> {
        if values.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let format = formats.value(row);
        Ok(Some(match values.data_type() {
            DataType::Timestamp(_, zone) => {
                let utc = values.as_primitive::<TimestampMicrosecondType>().value(row);
                if infinite(utc) {
                    return Ok(None);
                }
                let zone = zone.is_some().then_some(call.zone);
                let local = zone.map_or(utc, |z| z.to_local(utc));
                let offset = zone.map(|z| (z, z.offset_at(utc)));
                write_time(&Fields::of(local), parsed.get(format), offset)
            }
            DataType::Interval(_) => {
                let i = values.as_primitive::<IntervalMonthDayNanoType>().value(row);
                let micros = i.nanoseconds / 1000;
                let fields = Fields {
                    days: i64::from(i.days),
                    year: i64::from(i.months / 12),
                    month: (i.months % 12).unsigned_abs(),
                    day: i.days.unsigned_abs(),
                    time: micros,
                };
                write_time(&fields, parsed.get(format), None)
            }
            DataType::Decimal128(_, scale) => {
                let mut digits = String::new();
                let value = values.as_primitive::<Decimal128Type>().value(row);
                let _ = write_numeric(&mut digits, value, *scale, false);
                write_number(&digits, format)?
            }
            _ => {
                let mut digits = String::new();
                let value = values.as_primitive::<Float64Type>().value(row);
                if value.abs() < 1e17 {
                    let _ = write!(digits, "{value}");
                } else {
                    let _ = write_f64(&mut digits, value);
                }
                write_number(&digits, format)?
            }
        }))
    };
    Ok(Arc::new((0..call.rows).map(&mut one).collect::<Result<StringArray>>()?))
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

fn write_time(f: &Fields, pieces: &[Piece], zone: Option<(&TimeZone, i32)>) -> String {
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

/// A number by a template of 9 0 . , S MI PL SG L D G FM.
fn write_number(digits: &str, format: &str) -> Result<String> {
    let upper = format.to_uppercase();
    let (fm, body) = match upper.strip_prefix("FM") {
        Some(rest) => (true, rest.to_owned()),
        None => (false, upper),
    };
    if ["EEEE", "RN", "V", "TH", "PR"].iter().any(|p| body.contains(p)) {
        let what = format!("the format \"{format}\" of to_char");
        return Err(Error::unsupported(what, "Use 9, 0, the point, the comma, S, MI and FM."));
    }
    let negative = digits.starts_with('-');
    let digits = digits.trim_start_matches('-');
    let (template_whole, template_fraction) = body.split_once(['.', 'D']).unwrap_or((&body, ""));
    let places = template_fraction.chars().filter(|c| matches!(c, '9' | '0')).count();
    let (whole, fraction) = rounded(digits, places);
    let is_zero = whole == "0" && fraction.chars().all(|c| c == '0');
    let slots = template_whole.chars().filter(|c| matches!(c, '9' | '0')).count();
    let shown = if whole == "0" { "" } else { &whole };
    let overflow = shown.len() > slots;
    let mut source = format!("{shown:>slots$}").chars().collect::<Vec<_>>().into_iter();
    let first_zero = template_whole.chars().filter(|c| matches!(c, '9' | '0')).position(|c| c == '0');
    let (mut out, mut at, mut begun, mut signed) = (String::new(), 0usize, false, false);
    let sign = |n: bool| if n && !is_zero { '-' } else { '+' };
    let mut pending = String::new();
    for c in template_whole.chars() {
        match c {
            '9' | '0' => {
                let digit = source.next().unwrap_or(' ');
                let forced = first_zero.is_some_and(|z| at >= z) || (at + 1 == slots && whole == "0" && places == 0);
                at += 1;
                if overflow {
                    pending.push('#');
                } else if digit != ' ' {
                    begun = true;
                    pending.push(digit);
                } else if forced {
                    begun = true;
                    pending.push('0');
                } else if !fm {
                    pending.push(' ');
                }
            }
            ',' | 'G' => {
                if begun || overflow {
                    pending.push(',');
                } else if !fm {
                    pending.push(' ');
                }
            }
            'S' => {
                signed = true;
                pending.push(sign(negative));
            }
            'L' | '$' => pending.push(if c == 'L' { ' ' } else { '$' }),
            other => pending.push(other),
        }
    }
    if body.contains(['.', 'D']) {
        pending.push('.');
        let keep = if fm { kept(template_fraction, &fraction) } else { places };
        if overflow {
            pending.push_str(&"#".repeat(places));
        } else {
            pending.push_str(&fraction[..keep]);
        }
    }
    for (mark, value) in [
        ("MI", if negative && !is_zero { '-' } else { ' ' }),
        ("PL", if negative { ' ' } else { '+' }),
        ("SG", sign(negative)),
    ] {
        if body.contains(mark) {
            signed = true;
            pending = pending.replacen(mark, &value.to_string(), 1);
        }
    }
    if template_fraction.contains('S') {
        signed = true;
        pending.push(sign(negative));
    }
    if !signed {
        let blank = pending.len() - pending.trim_start_matches(' ').len();
        let mark = if negative && !is_zero {
            "-"
        } else if fm {
            ""
        } else {
            " "
        };
        pending.insert_str(blank, mark);
    }
    out.push_str(&pending);
    Ok(if fm { out.trim().to_owned() } else { out })
}

/// Digits behind the point that FM keeps: up to the last one that counts or that a 0 asks for.
fn kept(template: &str, fraction: &str) -> usize {
    let forced = template.chars().filter(|c| matches!(c, '9' | '0')).collect::<Vec<_>>();
    let forced = forced.iter().rposition(|c| *c == '0').map_or(0, |n| n + 1);
    fraction.trim_end_matches('0').len().max(forced)
}

/// Whole and fractional digits, rounded half away from zero.
fn rounded(digits: &str, places: usize) -> (String, String) {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(places).collect();
    let up = fraction.chars().nth(places).is_some_and(|c| c >= '5');
    let mut all: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    if up {
        let mut at = all.len();
        loop {
            if at == 0 {
                all.insert(0, b'1');
                break;
            }
            at -= 1;
            if all[at] == b'9' {
                all[at] = b'0';
            } else {
                all[at] += 1;
                break;
            }
        }
    }
    let text = String::from_utf8(all).unwrap_or_default();
    let (whole, fraction) = text.split_at(text.len() - places);
    let whole = whole.trim_start_matches('0');
    (if whole.is_empty() { "0".to_owned() } else { whole.to_owned() }, fraction.to_owned())
}

/// What a text told.
#[derive(Default)]
struct Read {
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
    offset: Option<i64>,
    epoch_day: Option<i64>,
}

fn read_time(text: &str, format: &str, pieces: &[Piece]) -> Result<Read> {
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
    let list = |names: &[&str], length: Option<usize>| -> Option<(u32, &'a str)> {
        let found = names.iter().enumerate().find_map(|(n, name)| {
            let name = length.map_or(*name, |l| &name[..l]);
            text.get(..name.len()).filter(|t| t.eq_ignore_ascii_case(name)).map(|_| (n, name.len()))
        })?;
        Some((u32::try_from(found.0).ok()?, &text[found.1..]))
    };
    let (value, rest, width) = match name {
        "MONTH" | "Month" | "month" => {
            let (n, rest) = list(&MONTHS, None)?;
            read.month = Some(n + 1);
            return Some(rest);
        }
        "MON" | "Mon" | "mon" => {
            let (n, rest) = list(&MONTHS, Some(3))?;
            read.month = Some(n + 1);
            return Some(rest);
        }
        "DAY" | "Day" | "day" => return list(&WEEKDAYS, None).map(|(_, rest)| rest),
        "DY" | "Dy" | "dy" => return list(&WEEKDAYS, Some(3)).map(|(_, rest)| rest),
        "AM" | "PM" | "am" | "pm" => {
            read.afternoon = Some(text.get(..2)?.eq_ignore_ascii_case("pm"));
            return text.get(2..);
        }
        "A.M." | "P.M." | "a.m." | "p.m." => {
            read.afternoon = Some(text.get(..4)?.eq_ignore_ascii_case("p.m."));
            return text.get(4..);
        }
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

impl Read {
    fn days(&self, text: &str) -> Result<i64> {
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

    fn clock(&self) -> i64 {
        let hour = match self.afternoon {
            Some(true) => self.hour % 12 + 12,
            Some(false) => self.hour % 12,
            None => self.hour,
        };
        (hour * 3600 + self.minute * 60 + self.second) * SECOND + self.micros
    }
}

fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args.len() == 1 {
        let one = |seconds: f64| match seconds {
            f64::INFINITY => Ok(i64::MAX),
            f64::NEG_INFINITY => Ok(i64::MIN),
            s if s.is_finite() && s.abs() < 9e12 => Ok((s * 1e6).round() as i64),
            s => Err(super::datetime::no_timestamp(s)),
        };
        let out: TimestampMicrosecondArray = call.args[0].as_primitive::<Float64Type>().try_unary(one)?;
        return Ok(Arc::new(out.with_timezone("UTC")));
    }
    let (texts, formats) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let mut parsed = Formats::default();
    let mut one = |row: usize| -> Result<Option<i64>> {
        if texts.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let (text, format) = (texts.value(row), formats.value(row));
        let read = read_time(text, format, parsed.get(format))?;
        let local = read.days(text)?.saturating_mul(DAY).saturating_add(read.clock());
        Ok(Some(match read.offset {
            Some(offset) => local - offset * SECOND,
            None => call.zone.to_utc(local),
        }))
    };
    let out = (0..call.rows).map(&mut one).collect::<Result<TimestampMicrosecondArray>>()?;
    Ok(Arc::new(out.with_timezone("UTC")))
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, formats) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let mut parsed = Formats::default();
    let mut one = |row: usize| -> Result<Option<i32>> {
        if texts.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let (text, format) = (texts.value(row), formats.value(row));
        let day = read_time(text, format, parsed.get(format))?.days(text)?;
        let range = |_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""));
        i32::try_from(day).map(Some).map_err(range)
    };
    Ok(Arc::new((0..call.rows).map(&mut one).collect::<Result<Date32Array>>()?))
}

/// The digits of a text; grouping and currency are passed over.
fn to_number(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, formats) = (call.args[0].as_string::<i32>(), call.args[1].as_string::<i32>());
    let one = |(text, format): (Option<&str>, Option<&str>)| -> Result<Option<i128>> {
        let (Some(text), Some(_)) = (text, format) else { return Ok(None) };
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
        parse_numeric(&digits, NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1, false).map(Some)
    };
    let out = texts.iter().zip(formats).map(one).collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(out.with_precision_and_scale(NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn numbers_are_written_by_templates() {
        let check = |n: &str, format: &str, expected: &str| {
            assert_eq!(write_number(n, format).unwrap(), expected, "{n} by {format}");
        };
        check("1234.5", "9,999.99", " 1,234.50");
        check("-12.3", "999.9", " -12.3");
        check("12", "FM0000", "0012");
        check("0.5", "990.00", "   0.50");
        check("1234", "FM999", "###");
        check("0", "FM999990.99", "0.");
        check("485", "999MI", "485 ");
        check("0.1", "FM9.99", ".1");
    }

    #[test]
    fn times_are_read_by_patterns() {
        let read = |text: &str, format: &str| {
            let read = read_time(text, format, &pieces(format)).unwrap();
            (read.days(text).unwrap(), read.clock())
        };
        assert_eq!(read("2026-11-21 15:04:05", "YYYY-MM-DD HH24:MI:SS"), (days(2026, 11, 21), 54_245 * SECOND));
        assert_eq!(read("21 Nov 2026 3:04 PM", "DD Mon YYYY HH12:MI AM"), (days(2026, 11, 21), 54_240 * SECOND));
        assert_eq!(read("20261121", "YYYYMMDD"), (days(2026, 11, 21), 0));
        assert!(read_time("2026-13-01", "YYYY-MM-DD", &pieces("YYYY-MM-DD")).is_err());
    }
}
