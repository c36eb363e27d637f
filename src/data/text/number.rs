//! Booleans and numbers: integers with PostgreSQL's range errors, floats in their shortest text, numeric as scaled i128.

use std::fmt::{self, Write};

use super::{invalid, out_of_range};
use crate::error::{Error, Result, SqlState};

/// `t`, `true`, `yes`, `on`, `1` and their unique prefixes, in any case.
pub fn parse_bool(text: &str) -> Result<bool> {
    let word = text.trim().to_ascii_lowercase();
    let starts = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if starts("true", 1) || starts("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(invalid("boolean", text))
    }
}

/// An integer between `min` and `max`; `name` is the SQL type in the error.
pub fn parse_int(text: &str, min: i64, max: i64, name: &str) -> Result<i64> {
    if let Some(value) = plain_int(text.as_bytes()).filter(|value| (min..=max).contains(value)) {
        return Ok(value);
    }
    let body = text.trim();
    let (negative, digits) = match body.as_bytes().first() {
        Some(b'-') => (true, &body[1..]),
        Some(b'+') => (false, &body[1..]),
        _ => (false, body),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(name, text));
    }
    let mut value: i64 = 0;
    for b in digits.bytes() {
        // Downwards, because i64 has one more negative number than positive ones.
        let next = value.checked_mul(10).and_then(|v| v.checked_sub(i64::from(b - b'0')));
        value = next.ok_or_else(|| out_of_range(name, body))?;
    }
    if !negative {
        value = value.checked_neg().ok_or_else(|| out_of_range(name, body))?;
    }
    if value < min || value > max {
        return Err(out_of_range(name, body));
    }
    Ok(value)
}

/// Digits behind at most a minus, and so few that nothing can overflow.
fn plain_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// A float; `NaN`, `Infinity` and `inf` in any case.
pub fn parse_f64(text: &str) -> Result<f64> {
    let value = float_text(text, "double precision")?;
    let parsed: f64 = value.parse().map_err(|_| invalid("double precision", text))?;
    if !in_range(value, parsed.is_infinite(), parsed == 0.0) {
        return Err(float_range(value, "double precision"));
    }
    Ok(parsed)
}

/// As [`parse_f64`], for `real`.
pub fn parse_f32(text: &str) -> Result<f32> {
    let value = float_text(text, "real")?;
    let parsed: f32 = value.parse().map_err(|_| invalid("real", text))?;
    if !in_range(value, parsed.is_infinite(), parsed == 0.0) {
        return Err(float_range(value, "real"));
    }
    Ok(parsed)
}

fn float_text<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let body = text.trim();
    let word = body.trim_start_matches(['+', '-']);
    let named = ["nan", "inf", "infinity"].iter().any(|n| word.eq_ignore_ascii_case(n));
    if word.is_empty() || (!named && !word.starts_with(|c: char| c.is_ascii_digit() || c == '.')) {
        return Err(invalid(name, text));
    }
    // There is one NaN.
    Ok(if word.eq_ignore_ascii_case("nan") { word } else { body })
}

/// Numbers that overflow to infinity or underflow to zero are errors in PostgreSQL.
fn in_range(text: &str, infinite: bool, zero: bool) -> bool {
    let named = text.trim_start_matches(['+', '-']).starts_with(['i', 'I', 'n', 'N']);
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let says_zero = !mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b));
    named || (!infinite && (!zero || says_zero))
}

fn float_range(text: &str, name: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{text}\" is out of range for type {name}"))
}

/// A numeric as an integer scaled by 10^`scale`, rounded half away from zero. `declared`: the type says (p, s) itself.
pub fn parse_numeric(text: &str, precision: u8, scale: i8, declared: bool) -> Result<i128> {
    let number = Decimal::read(text).ok_or_else(|| invalid("numeric", text))?;
    if number.special {
        return Err(Error::unsupported(
            format!("the numeric value \"{}\"", text.trim()),
            "Use double precision for NaN and infinities.",
        ));
    }
    let overflow = || numeric_overflow(precision, scale, declared);
    number.scaled(i32::from(scale)).filter(|v| v.unsigned_abs() < 10u128.pow(u32::from(precision))).ok_or_else(overflow)
}

/// 22003 for a number that does not fit numeric(precision, scale).
pub fn numeric_overflow(precision: u8, scale: i8, declared: bool) -> Error {
    let whole = i32::from(precision) - i32::from(scale);
    if declared {
        return Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than {}.",
            if whole == 0 { "1".to_owned() } else { format!("10^{whole}") }
        ));
    }
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .with_detail(format!("numeric holds {whole} digits before the decimal point"))
}

/// A decimal number as written: digits times 10^exponent.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
    special: bool,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let body = text.trim();
        let (negative, rest) = match body.as_bytes().first()? {
            b'-' => (true, &body[1..]),
            b'+' => (false, &body[1..]),
            _ => (false, body),
        };
        let mut number = Self { negative, digits: Vec::with_capacity(rest.len()), exponent: 0, special: false };
        if ["nan", "inf", "infinity"].iter().any(|n| rest.eq_ignore_ascii_case(n)) {
            number.special = true;
            return Some(number);
        }
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let mut point = false;
        let mut seen = false;
        for b in mantissa.bytes() {
            match b {
                b'.' if !point => point = true,
                b'0'..=b'9' => {
                    seen = true;
                    number.exponent -= i32::from(point);
                    // Leading zeros say nothing and would only make the rounding below slow.
                    if !number.digits.is_empty() || b != b'0' {
                        number.digits.push(b - b'0');
                    }
                }
                _ => return None,
            }
        }
        if let Some(exponent) = exponent {
            let value: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 100_000)?;
            number.exponent += value;
        }
        seen.then_some(number)
    }

    /// The value times 10^scale, rounded; `None` when it overflows i128.
    fn scaled(&self, scale: i32) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let shift = self.exponent + scale;
        let keep = usize::try_from((self.digits.len() as i32 + shift.min(0)).max(0)).ok()?;
        let mut value: i128 = 0;
        for d in &self.digits[..keep] {
            value = value.checked_mul(10)?.checked_add(i128::from(*d))?;
        }
        if shift < 0 {
            let next = i32::try_from(self.digits.len()).ok()? + shift;
            // `next < 0`: even the first digit lies beyond the rounding position.
            let round_up = next >= 0 && self.digits.get(keep).is_some_and(|d| *d >= 5);
            value += i128::from(round_up);
        } else {
            value = value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)?;
        }
        Some(if self.negative { -value } else { value })
    }
}

/// A scaled integer with its decimal point; `trim` leaves trailing zeros of the fraction out.
pub fn write_numeric(out: &mut impl Write, value: i128, scale: i8, trim: bool) -> fmt::Result {
    let mut scale = i32::from(scale);
    let mut digits = value.unsigned_abs();
    if scale <= 0 {
        write!(out, "{value}")?;
        if value != 0 {
            (scale..0).try_for_each(|_| out.write_char('0'))?;
        }
        return Ok(());
    }
    while trim && scale > 0 && digits.is_multiple_of(10) {
        digits /= 10;
        scale -= 1;
    }
    if value < 0 {
        out.write_char('-')?;
    }
    let unit = 10u128.pow(scale.unsigned_abs());
    write!(out, "{}", digits / unit)?;
    if scale > 0 {
        write!(out, ".{:0width$}", digits % unit, width = scale.unsigned_abs() as usize)?;
    }
    Ok(())
}

/// The shortest text that reads back as the same double, as PostgreSQL lays it out.
pub fn write_f64(out: &mut impl Write, value: f64) -> fmt::Result {
    if named(out, value.is_nan(), value.is_infinite(), value.is_sign_negative())? {
        return Ok(());
    }
    let mut buffer = Buffer::default();
    write!(buffer, "{value:e}")?;
    let size = value.abs();
    if (EXACT_F64..EXACT_MAX).contains(&size) {
        let ulp = 1u128 << ((size.to_bits() >> 52) - 1075).min(127);
        buffer.settle(size as u128, ulp, |buffer, digits| write!(buffer, "{value:.digits$e}"))?;
    } else if buffer.length >= 18 {
        // 17 digits: the nearest of them, ties to even.
        buffer.nearest(|buffer, digits| write!(buffer, "{value:.digits$e}"))?;
    }
    layout(out, buffer.text(), 15)
}

/// From here on doubles are whole numbers, and the middle between two of them may have few digits.
const EXACT_F64: f64 = 9_007_199_254_740_992.0;
const EXACT_F32: f32 = 16_777_216.0;
/// What fits u128 with room to spare.
const EXACT_MAX: f64 = 1e37;

/// As [`write_f64`], for `real`.
pub fn write_f32(out: &mut impl Write, value: f32) -> fmt::Result {
    if named(out, value.is_nan(), value.is_infinite(), value.is_sign_negative())? {
        return Ok(());
    }
    let mut buffer = Buffer::default();
    write!(buffer, "{value:e}")?;
    let size = value.abs();
    if size >= EXACT_F32 && f64::from(size) < EXACT_MAX {
        let ulp = 1u128 << ((size.to_bits() >> 23) - 150).min(127);
        buffer.settle(size as u128, ulp, |buffer, digits| write!(buffer, "{value:.digits$e}"))?;
    } else if buffer.digits() >= 7 {
        buffer.nearest(|buffer, digits| write!(buffer, "{value:.digits$e}"))?;
    }
    layout(out, buffer.text(), 6)
}

fn named(out: &mut impl Write, nan: bool, infinite: bool, negative: bool) -> Result<bool, fmt::Error> {
    match (nan, infinite, negative) {
        (true, ..) => out.write_str("NaN")?,
        (_, true, false) => out.write_str("Infinity")?,
        (_, true, true) => out.write_str("-Infinity")?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Turns Rust's `d.ddde-x` into `%g`'s layout: fixed point for exponents from -4 up to below `limit`.
fn layout(out: &mut impl Write, text: &str, limit: i32) -> fmt::Result {
    let (text, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if negative {
        out.write_char('-')?;
    }
    if !(-4..limit).contains(&exponent) {
        out.write_str(mantissa)?;
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(out, "e{sign}{:02}", exponent.abs());
    }
    let Ok(whole) = usize::try_from(exponent) else {
        out.write_str("0.")?;
        (exponent + 1..0).try_for_each(|_| out.write_char('0'))?;
        out.write_str(first)?;
        return out.write_str(rest);
    };
    out.write_str(first)?;
    if rest.len() <= whole {
        out.write_str(rest)?;
        return (rest.len()..whole).try_for_each(|_| out.write_char('0'));
    }
    write!(out, "{}.{}", &rest[..whole], &rest[whole..])
}

/// A float's digits, without an allocation.
#[derive(Default)]
struct Buffer {
    bytes: [u8; 32],
    length: usize,
}

impl Buffer {
    /// How many digits there are behind the first.
    fn digits(&self) -> usize {
        self.text().split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count().saturating_sub(1)
    }

    /// Writes the number anew with as many digits as it has, rounded half to even.
    fn nearest(&mut self, write: impl Fn(&mut Self, usize) -> fmt::Result) -> fmt::Result {
        let digits = self.digits();
        self.length = 0;
        write(self, digits)
    }

    /// The digits that PostgreSQL would choose for a large whole number: the nearest ones, and more of them where they
    /// say exactly the middle between the number and its neighbour, `ulp` away.
    fn settle(&mut self, value: u128, ulp: u128, write: impl Fn(&mut Self, usize) -> fmt::Result) -> fmt::Result {
        for digits in self.digits()..=17 {
            self.length = 0;
            write(self, digits)?;
            let shown = Decimal::read(self.text()).and_then(|d| d.scaled(0)).unwrap_or_default().unsigned_abs();
            if shown.abs_diff(value) * 2 != ulp {
                break;
            }
        }
        Ok(())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Buffer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.length + s.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f64_text(v: f64) -> String {
        let mut s = String::new();
        write_f64(&mut s, v).unwrap();
        s
    }

    #[test]
    fn floats_look_like_postgres() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1.25e14, "125000000000000"),
            (1e100, "1e+100"),
            (12.5, "12.5"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(f64_text(value), text);
        }
        assert_eq!(f64_text(-1_920_147_825_042_470.2), "-1.9201478250424702e+15");
        assert_eq!(f64_text(9_007_199_254_740_993.0), "9.007199254740992e+15");
        let mut s = String::new();
        write_f32(&mut s, 77_844_304.0).unwrap();
        assert_eq!(s, "7.7844304e+07");
        s.clear();
        write_f32(&mut s, 517_021.62).unwrap();
        assert_eq!(s, "517021.62");
        s.clear();
        write_f32(&mut s, 1e6).unwrap();
        assert_eq!(s, "1e+06");
        s.clear();
        write_f32(&mut s, 123_456.0).unwrap();
        assert_eq!(s, "123456");
    }

    #[test]
    fn numerics_round_and_overflow() {
        let parse = |t| parse_numeric(t, 5, 2, true);
        assert_eq!(parse("1.005").unwrap(), 101);
        assert_eq!(parse("-1.005").unwrap(), -101);
        assert_eq!(parse("0.004").unwrap(), 0);
        assert_eq!(parse("0.0049e1").unwrap(), 5);
        assert_eq!(parse("1e2").unwrap(), 10_000);
        assert_eq!(parse(" .5 ").unwrap(), 50);
        assert_eq!(parse("0.00001").unwrap(), 0);
        assert_eq!(parse("999.995").unwrap_err().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        for bad in ["", ".", "1e", "1.2.3", "x", "1 2"] {
            assert_eq!(parse(bad).unwrap_err().code(), SqlState::INVALID_TEXT_REPRESENTATION, "{bad}");
        }
        assert_eq!(parse("1e99999").unwrap_err().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        let show = |v, s, trim| {
            let mut t = String::new();
            write_numeric(&mut t, v, s, trim).unwrap();
            t
        };
        assert_eq!(show(-5, 2, false), "-0.05");
        assert_eq!(show(1_500, 3, true), "1.5");
        assert_eq!(show(1_000, 3, true), "1");
        assert_eq!(show(0, 10, true), "0");
        assert_eq!(show(7, 0, false), "7");
        assert_eq!(show(7, -2, false), "700");
    }

    #[test]
    fn integers_say_what_is_wrong() {
        let int4 = |t| parse_int(t, i32::MIN.into(), i32::MAX.into(), "integer");
        assert_eq!(int4(" -12 ").unwrap(), -12);
        assert_eq!(int4("x").unwrap_err().to_string(), "22P02: invalid input syntax for type integer: \"x\"");
        assert_eq!(
            int4("2147483648").unwrap_err().to_string(),
            "22003: value \"2147483648\" is out of range for type integer"
        );
        assert_eq!(parse_int("-9223372036854775808", i64::MIN, i64::MAX, "bigint").unwrap(), i64::MIN);
        assert!(parse_int("9223372036854775808", i64::MIN, i64::MAX, "bigint").is_err());
        assert!(parse_f64("1e400").is_err() && parse_f64("1e-400").is_err() && parse_f64("0e-400").is_ok());
        assert!(parse_f64("inf").unwrap().is_infinite());
        assert!(parse_bool("TR").unwrap() && !parse_bool("off").unwrap() && parse_bool("o").is_err());
    }
}
