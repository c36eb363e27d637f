//! A float sum that can be retracted: compensated, with NaN and the infinities counted apart.

/// The sum of a multiset of floats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FloatSum {
    sum: f64,
    compensation: f64,
    nan: i64,
    positive: i64,
    negative: i64,
}

impl FloatSum {
    /// Adds `diff` times `value`.
    #[inline]
    pub fn add(&mut self, value: f64, diff: i64) {
        if value.is_finite() {
            self.add_finite(value * diff as f64);
        } else if value.is_nan() {
            self.nan += diff;
        } else if value > 0.0 {
            self.positive += diff;
        } else {
            self.negative += diff;
        }
    }

    #[inline]
    fn add_finite(&mut self, y: f64) {
        let t = self.sum + y;
        let lost = if self.sum.abs() >= y.abs() { (self.sum - t) + y } else { (y - t) + self.sum };
        self.compensation += lost;
        self.sum = t;
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        self.add_finite(other.sum);
        self.compensation += other.compensation;
        self.nan += other.nan;
        self.positive += other.positive;
        self.negative += other.negative;
    }

    /// The sum; `None` when finite values have overflowed.
    pub fn total(&self) -> Option<f64> {
        if self.nan > 0 || (self.positive > 0 && self.negative > 0) {
            return Some(f64::NAN);
        }
        if self.positive > 0 {
            return Some(f64::INFINITY);
        }
        if self.negative > 0 {
            return Some(f64::NEG_INFINITY);
        }
        let total = self.sum + self.compensation;
        total.is_finite().then_some(total)
    }

    /// As five numbers, for snapshots.
    pub fn parts(&self) -> [i64; 5] {
        [self.sum.to_bits() as i64, self.compensation.to_bits() as i64, self.nan, self.positive, self.negative]
    }

    /// From [`Self::parts`].
    pub fn from_parts([sum, compensation, nan, positive, negative]: [i64; 5]) -> Self {
        let float = |bits: i64| f64::from_bits(bits as u64);
        Self { sum: float(sum), compensation: float(compensation), nan, positive, negative }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_can_be_taken_back() {
        let mut sum = FloatSum::default();
        for value in [1e100, 1.0, f64::NAN, f64::INFINITY] {
            sum.add(value, 1);
        }
        assert!(sum.total().unwrap().is_nan());
        sum.add(f64::NAN, -1);
        assert_eq!(sum.total(), Some(f64::INFINITY));
        sum.add(f64::INFINITY, -1);
        sum.add(1e100, -1);
        assert_eq!(sum.total(), Some(1.0));
        assert_eq!(FloatSum::from_parts(sum.parts()), sum);
    }
}
