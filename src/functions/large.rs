//! Numbers that are written with more digits than numeric has: double precision where that is what is asked for, and errors
//! elsewhere.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array};

use super::arithmetic::numeric_overflow;
use super::native::{Call, Function, Overload, T};
use crate::error::Result;

/// The function that stands for such a number, given its text.
pub const LARGE_NUMERIC: &str = "large_numeric";

pub(super) const ALL: &[&Function] =
    &[&Function::new(LARGE_NUMERIC, &[Overload(&[T::Text], T::Scaled(0))], no_numeric)];

fn no_numeric(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args[0].null_count() < call.rows {
        return Err(numeric_overflow().with_hint("Cast it to double precision."));
    }
    Ok(Arc::new(Decimal128Array::new_null(call.rows).with_precision_and_scale(38, 0)?))
}

/// Whether a number, as it is written, has more than the 38 digits of a numeric, those behind the point included.
pub fn is_large(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0').len() as i64;
    let scale = fraction.len() as i64 - exponent;
    digits > 0 && digits.max(scale) - scale.min(0) > 38
}

#[cfg(test)]
mod tests {
    use super::is_large;

    #[test]
    fn thirty_eight_digits_are_not_large() {
        for fits in ["1e37", "9.9e37", "1e-38", "0e300", "12345678901234567890123456789012345678", "0.00000000000001"] {
            assert!(!is_large(fits), "{fits}");
        }
        for large in ["1e38", "12e37", "1e300", "1e-39", "123456789012345678901234567890123456789", "1.5E+308"] {
            assert!(is_large(large), "{large}");
        }
    }
}
