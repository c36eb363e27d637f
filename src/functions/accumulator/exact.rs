//! Sums that are exact: the same in any order, and after any retraction.
//!
//! A sum is an integer times a power of two, in digits of 32 bits that are kept in 64 bits each: an addition touches the
//! few digits that its value has, and digits are carried only before they could overflow.

use num_bigint::{BigInt, BigUint, Sign};

use crate::error::{Error, Result};

const DIGIT: u64 = 0xffff_ffff;

/// Additions between two carries: each adds less than 2^32 to a digit.
const CARRY_AFTER: u32 = 1 << 30;

/// A number as sign, mantissa and power of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

/// The sum of a multiset of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum {
    /// The first digit counts units of 2^(32 * first).
    first: i32,
    digits: Vec<i64>,
    pending: u32,
}

impl From<f64> for Number {
    /// Of a finite float.
    fn from(value: f64) -> Self {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
        let (mantissa, exponent) =
            if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
        Self { negative: value < 0.0, mantissa: mantissa.into(), exponent }
    }
}

impl From<i128> for Number {
    fn from(value: i128) -> Self {
        Self { negative: value < 0, mantissa: value.unsigned_abs(), exponent: 0 }
    }
}

fn halves(n: u128) -> [u128; 2] {
    [n & u128::from(u64::MAX), n >> 64]
}

impl ExactSum {
    /// Adds `diff` times a number.
    #[inline]
    pub fn add(&mut self, n: Number, diff: i64) {
        let negative = n.negative != (diff < 0);
        match u128::from(diff.unsigned_abs()) {
            1 => self.add_part(negative, n.mantissa, n.exponent),
            times => {
                for (half, shift) in halves(n.mantissa).into_iter().zip([0, 64]) {
                    self.add_part(negative, half * times, n.exponent + shift);
                }
            }
        }
    }

    /// Adds `diff` times a product.
    #[inline]
    pub fn add_product(&mut self, a: Number, b: Number, diff: i64) {
        let (negative, exponent) = (a.negative != b.negative, a.exponent + b.exponent);
        for (x, i) in halves(a.mantissa).into_iter().zip([0, 64]) {
            for (y, j) in halves(b.mantissa).into_iter().zip([0, 64]) {
                if x != 0 && y != 0 {
                    self.add(Number { negative, mantissa: x * y, exponent: exponent + i + j }, diff);
                }
            }
        }
    }

    #[inline]
    fn add_part(&mut self, negative: bool, mantissa: u128, exponent: i32) {
        if mantissa == 0 {
            return;
        }
        let (place, shift) = (exponent.div_euclid(32), exponent.rem_euclid(32) as u32);
        let digits = (128 - mantissa.leading_zeros() + shift).div_ceil(32) as usize;
        let from = self.reach(place, digits);
        for (k, digit) in self.digits[from..from + digits].iter_mut().enumerate() {
            let at = 32 * k as u32;
            let part = if at < shift { mantissa << shift } else { mantissa >> (at - shift) };
            let part = (part as u64 & DIGIT) as i64;
            *digit += if negative { -part } else { part };
        }
        self.pending += 1;
        if self.pending >= CARRY_AFTER {
            self.carry();
        }
    }

    /// Makes the digits `place..place + count` exist; where they begin.
    #[inline]
    fn reach(&mut self, place: i32, count: usize) -> usize {
        if self.digits.is_empty() {
            self.first = place;
        }
        if place < self.first {
            let more = (self.first - place) as usize;
            self.digits.splice(0..0, std::iter::repeat_n(0, more));
            self.first = place;
        }
        let from = (place - self.first) as usize;
        if from + count > self.digits.len() {
            self.digits.resize(from + count, 0);
        }
        from
    }

    /// Carries: all digits but the last are below 2^32 and not negative; zeros at both ends go.
    fn carry(&mut self) {
        let mut over = 0;
        for digit in &mut self.digits {
            let sum = *digit + over;
            over = sum >> 32;
            *digit = sum & DIGIT as i64;
        }
        if over != 0 {
            self.digits.push(over);
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        let zeros = self.digits.iter().take_while(|d| **d == 0).count();
        self.digits.drain(..zeros);
        self.first = if self.digits.is_empty() { 0 } else { self.first + zeros as i32 };
        self.pending = 0;
    }

    /// Adds another's numbers.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        let from = self.reach(other.first, other.digits.len());
        for (digit, more) in self.digits[from..].iter_mut().zip(&other.digits) {
            *digit += more;
        }
        self.carry();
    }

    /// The sum as an integer times 2^exponent.
    pub fn total(&self) -> (BigInt, i32) {
        let mut own = self.clone();
        own.carry();
        let negative = own.digits.last().is_some_and(|d| *d < 0);
        if negative {
            own.digits.iter_mut().for_each(|d| *d = -*d);
            own.carry();
        }
        let digits = own.digits.iter().map(|d| (*d as u64 & DIGIT) as u32).collect();
        let sign = if negative { Sign::Minus } else { Sign::Plus };
        (BigInt::from_biguint(sign, BigUint::new(digits)), 32 * own.first)
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        self.digits.capacity() * 8
    }

    /// For snapshots: one form for each sum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut own = self.clone();
        own.carry();
        let digits = own.digits.iter().flat_map(|d| d.to_le_bytes());
        own.first.to_le_bytes().into_iter().chain(digits).collect()
    }

    /// From [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (first, digits) = bytes.split_first_chunk().ok_or_else(|| Error::internal("a sum lacks its exponent"))?;
        let digits = digits.as_chunks().0.iter().map(|d| i64::from_le_bytes(*d)).collect();
        Ok(Self { first: i32::from_le_bytes(*first), digits, pending: 0 })
    }
}

/// `numerator * 2^exponent / denominator` as the nearest float; infinite when there is none. The denominator is positive.
pub(super) fn ratio(numerator: &BigInt, exponent: i32, denominator: &BigInt) -> f64 {
    let (sign, magnitude) = (numerator.sign(), numerator.magnitude());
    if sign == Sign::NoSign {
        return 0.0;
    }
    // A quotient of 66 or 67 bits; what is cut off shows in the last one, so that rounding sees it.
    let shift = 66 - (magnitude.bits() as i64 - denominator.bits() as i64);
    let (over, under) = (shift.max(0) as u64, (-shift).max(0) as u64);
    let (dividend, divisor) = (magnitude << over, denominator.magnitude() << under);
    let quotient = &dividend / &divisor;
    let rest = u128::from(&quotient * &divisor != dividend);
    let quotient = u128::try_from(&quotient).unwrap_or(u128::MAX) | rest;
    let value = scale(quotient as f64, i64::from(exponent) - shift);
    if sign == Sign::Minus { -value } else { value }
}

/// `value * 2^exponent`, in steps that a float holds.
fn scale(mut value: f64, mut exponent: i64) -> f64 {
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        value *= 2.0_f64.powi(step as i32);
        exponent -= step;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(sum: &ExactSum) -> f64 {
        let (total, exponent) = sum.total();
        ratio(&total, exponent, &BigInt::from(1))
    }

    #[test]
    fn sums_are_exact_in_any_order_and_after_retraction() {
        let values = [1e300, 1.0, -1e-300, 0.1, -7.25, 5e-324, 1e300, -0.1, 3.0];
        let (mut forth, mut back) = (ExactSum::default(), ExactSum::default());
        values.iter().for_each(|v| forth.add((*v).into(), 1));
        values.iter().rev().for_each(|v| back.add((*v).into(), 1));
        assert_eq!(forth.to_bytes(), back.to_bytes());
        [1e300, 1e300, -7.25, 3.0].iter().for_each(|v| forth.add((*v).into(), -1));
        [-1e-300, 0.1, -0.1, 5e-324].iter().for_each(|v| forth.add((*v).into(), -1));
        assert_eq!(total(&forth), 1.0);
        forth.add(1.0.into(), -1);
        assert_eq!(forth.to_bytes(), ExactSum::default().to_bytes());
    }

    #[test]
    fn products_and_weights_are_exact() {
        let mut sum = ExactSum::default();
        sum.add_product((-3_i128).into(), i128::MAX.into(), 5);
        let (n, exponent) = sum.total();
        assert_eq!(n << exponent, BigInt::from(i128::MAX) * -15);
        sum.add_product(0.1.into(), 0.1.into(), 1);
        sum.add_product(i128::MAX.into(), 3_i128.into(), 5);
        assert_eq!(total(&sum), 0.1 * 0.1);
        let mut other = ExactSum::default();
        other.merge(&sum);
        other.add_product(0.1.into(), (-0.1).into(), 1);
        assert_eq!(ExactSum::from_bytes(&other.to_bytes()).unwrap().total().0, BigInt::ZERO);
    }

    #[test]
    fn ratios_are_the_nearest_float() {
        let ratio = |n: i64, d: i64| ratio(&BigInt::from(n), 0, &BigInt::from(d));
        assert_eq!([ratio(1, 3), ratio(-2, 3), ratio(10, 5), ratio(0, 7)], [1.0 / 3.0, -2.0 / 3.0, 2.0, 0.0]);
        assert_eq!(super::ratio(&BigInt::from(1), 5000, &BigInt::from(1)), f64::INFINITY);
    }
}
