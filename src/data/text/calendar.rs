//! Days and microseconds to civil dates and back, over the whole range of i64 (chrono stops at the year 262143).

use std::fmt::{self, Write};

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Year (0 is 1 BC), month, day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
pub fn civil(days: i64) -> (i64, u32, u32) {
    // Years start in March here, so that the leap day is a year's last; an era is 400 years.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; the month and day must exist.
pub fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// How many days a month has.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2026-01-31`, years of more than four digits as they are. Tells whether ` BC` has to follow.
pub fn write_civil(out: &mut impl Write, days: i64) -> Result<bool, fmt::Error> {
    let (year, month, day) = civil(days);
    let bc = year <= 0;
    let shown = if bc { 1 - year } else { year };
    if shown > 9999 {
        write!(out, "{shown}")?;
    } else {
        pair(out, (shown / 100) as u32)?;
        pair(out, (shown % 100) as u32)?;
    }
    out.write_char('-')?;
    pair(out, month)?;
    out.write_char('-')?;
    pair(out, day)?;
    Ok(bc)
}

/// `23:59:59.5`: microseconds of a day, the fraction without trailing zeros.
pub fn write_clock(out: &mut impl Write, micros: i64) -> fmt::Result {
    let seconds = micros / SECOND;
    pair(out, (seconds / 3600) as u32)?;
    out.write_char(':')?;
    pair(out, (seconds / 60 % 60) as u32)?;
    out.write_char(':')?;
    pair(out, (seconds % 60) as u32)?;
    write_fraction(out, (micros % SECOND) as u32)
}

/// `.25` for 250000 microseconds, nothing for none.
pub fn write_fraction(out: &mut impl Write, mut micros: u32) -> fmt::Result {
    if micros == 0 {
        return Ok(());
    }
    let mut width = 6;
    while micros.is_multiple_of(10) {
        micros /= 10;
        width -= 1;
    }
    write!(out, ".{micros:0width$}")
}

/// Two digits.
pub fn pair(out: &mut impl Write, n: u32) -> fmt::Result {
    let digits = [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    out.write_str(std::str::from_utf8(&digits).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_and_days_are_inverse() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (19_782, (2024, 2, 29)),
            (-719_162, (1, 1, 1)),
            (-719_163, (0, 12, 31)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(civil(day), date);
            assert_eq!(days(date.0, date.1, date.2), day);
        }
        for day in (-2_000_000..200_000_000).step_by(12_347) {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), day);
        }
    }
}
