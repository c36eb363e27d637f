//! Numbers in jsonb: decimal digits of any length, as numeric prints and orders them.

use crate::error::{Error, Result, SqlState};

/// Digits before and behind the point that numeric holds.
const WHOLE_MAX: i64 = 131_072;
const FRACTION_MAX: usize = 16_383;

/// A JSON number as numeric prints it: `1e3` is `1000`, `1.50` stays, `-0` is `0`.
pub(super) fn normalise(token: &str) -> Result<String> {
    let overflow = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format");
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| overflow())?),
        None => (token, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.bytes().all(|b| b == b'0') {
        let scale = fraction.len() as i64 - exponent;
        let zeros = usize::try_from(scale).unwrap_or(0);
        return match zeros {
            0 => Ok("0".to_owned()),
            _ if zeros > FRACTION_MAX => Err(overflow()),
            _ => Ok(format!("0.{}", "0".repeat(zeros))),
        };
    }
    // The point stands behind this many digits.
    let point = whole.len() as i64 + exponent;
    if point > WHOLE_MAX || point < -(FRACTION_MAX as i64) {
        return Err(overflow());
    }
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => (format!("{digits}{}", "0".repeat(point - digits.len())), String::new()),
        Ok(point) if point > 0 => (digits[..point].to_owned(), digits[point..].to_owned()),
        _ => (String::new(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize))),
    };
    if fraction.len() > FRACTION_MAX {
        return Err(overflow());
    }
    let whole = whole.trim_start_matches('0');
    let mut out = String::with_capacity(token.len() + 2);
    if negative {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(&fraction);
    }
    Ok(out)
}

/// Bytes that compare as the numbers do, given as [`normalise`] writes them.
pub(super) fn order_key(number: &str, out: &mut Vec<u8>) {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let significant = format!("{whole}{fraction}");
    let leading = significant.len() - significant.trim_start_matches('0').len();
    let significant = significant.trim_matches('0');
    if significant.is_empty() {
        out.push(1);
        return;
    }
    let exponent = whole.len() as i64 - leading as i64;
    out.push(if negative { 0 } else { 2 });
    let start = out.len();
    out.extend_from_slice(&((exponent as u64) ^ (1 << 63)).to_be_bytes());
    out.extend_from_slice(significant.as_bytes());
    out.push(0);
    if negative {
        out[start..].iter_mut().for_each(|b| *b = !*b);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    fn compare(a: &str, b: &str) -> Ordering {
        let key = |number: &str| {
            let mut out = Vec::new();
            order_key(number, &mut out);
            out
        };
        key(a).cmp(&key(b))
    }

    #[test]
    fn numbers_print_as_numeric_does() {
        for (token, printed) in [
            ("0", "0"),
            ("-0.00", "0.00"),
            ("1.50e1", "15.0"),
            ("1.5e3", "1500"),
            ("-12e-4", "-0.0012"),
            ("0.1e1", "1"),
            ("100e-1", "10.0"),
            ("0e5", "0"),
        ] {
            assert_eq!(normalise(token).unwrap(), printed, "{token}");
        }
        assert_eq!(normalise("1e200000").unwrap_err().code().0, "22003");
        assert_eq!(normalise("1e99999999999999999999").unwrap_err().code().0, "22003");
    }

    #[test]
    fn digits_of_any_length_compare() {
        assert_eq!(compare("-2", "-10"), Ordering::Greater);
        assert_eq!(compare("1.0", "1"), Ordering::Equal);
        assert_eq!(compare("0.09", "0.1"), Ordering::Less);
        assert_eq!(compare("99999999999999999999", "100000000000000000000"), Ordering::Less);
    }
}
