//! The one spelling that machines write, `2026-01-31 12:00:00.5` (or with a `T`), read without looking for any other.
//!
//! What is not exactly that is `None`, right or wrong: [`super::datetime`] reads it then, with PostgreSQL's words.

use super::calendar::{DAY, SECOND, days, days_in_month};

/// Days since 1970-01-01 of `2026-01-31`.
pub(super) fn date(text: &str) -> Option<i32> {
    let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
    if rest.is_empty() { i32::try_from(civil_days(date)?).ok() } else { None }
}

/// Microseconds since 1970-01-01 00:00:00 of `2026-01-31 12:00:00.5`, and what follows.
pub(super) fn timestamp(text: &str) -> Option<(i64, &str)> {
    let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
    let (clock, rest) = rest.split_first_chunk::<9>()?;
    if !matches!(clock[0], b' ' | b'T') || clock[3] != b':' || clock[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(clock, 1)?, two(clock, 4)?, two(clock, 7)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (mut fraction, mut length) = (0, 0);
    if rest.first() == Some(&b'.') {
        let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit());
        for byte in digits {
            fraction = fraction * 10 + i64::from(byte - b'0');
            length += 1;
            if length > 6 {
                return None;
            }
        }
        if length == 0 {
            return None;
        }
        fraction *= 10_i64.pow(6 - length);
        length += 1;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    let micros = civil_days(date)? * DAY + seconds * SECOND + fraction;
    Some((micros, text.get(19 + length as usize..)?))
}

fn civil_days(date: &[u8; 10]) -> Option<i64> {
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let year = two(date, 0)? * 100 + two(date, 2)?;
    let (month, day) = (two(date, 5)?, two(date, 8)?);
    let year = i64::from(year);
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some(days(year, month, day))
}

/// Two digits.
fn two(bytes: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::super::datetime::{parse_date, parse_timestamp};
    use super::*;

    #[test]
    fn only_the_one_spelling() {
        for text in
            ["2026-01-31 12:30:59", "2024-02-29T00:00:00.5", "0001-01-01 23:59:59.999999", "9999-12-31 00:00:00.000001"]
        {
            // A space makes the other reader take it.
            let general = parse_timestamp(&format!(" {text}")).unwrap();
            assert_eq!(timestamp(text), Some((general, "")), "{text}");
        }
        assert_eq!(timestamp("2026-01-28 12:30:59.25+02").map(|(_, rest)| rest), Some("+02"));
        assert_eq!(date("2026-03-01"), Some(parse_date(" 2026-03-01").unwrap()));
        for text in [
            "",
            "2026-01-31",
            "2026-02-29 12:00:00",
            "2026-1-01 12:00:00",
            "2026-01-01 12:00",
            "2026-01-01 24:00:00",
            "2026-01-01 12:00:60",
            "2026-01-01 12:00:00.",
            "2026-01-01 12:00:00.1234567",
            "0000-01-01 00:00:00",
            "2026-13-01 00:00:00",
            "2026-01-01x12:00:00",
            "2026-01-01 12:00:0é",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        assert_eq!(date("2026-02-30"), None);
        assert_eq!(date("2026-02-03 BC"), None);
    }
}
