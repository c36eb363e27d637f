//! stddev, variance, corr, covar and the regr functions: counts, and exact sums of values and of their products.
//!
//! The sums are exact, and results rounded once: views, SELECT, and a group that lost rows agree in every digit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use num_bigint::{BigInt, Sign};

use super::count::{dumped, merged};
use super::exact::{ExactSum, Number, ratio};
use super::sum::{OVERFLOW_FLOAT, OVERFLOW_NUMERIC};
use super::{Cells, Finished, Rows, next};
use crate::error::Result;

/// A function of moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SQL's names")]
pub enum Moment {
    StddevPop,
    StddevSamp,
    VarPop,
    VarSamp,
    CovarPop,
    CovarSamp,
    Corr,
    RegrAvgx,
    RegrAvgy,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSxx,
    RegrSxy,
    RegrSyy,
}

impl Moment {
    /// Whether it is over pairs (y, x).
    pub fn of_pairs(self) -> bool {
        !matches!(self, Self::StddevPop | Self::StddevSamp | Self::VarPop | Self::VarSamp)
    }
}

/// The moments of a column of groups.
pub(super) struct Moments {
    function: Moment,
    /// Of numeric and integer arguments: digits behind their point. `None`: floats.
    scale: Option<i8>,
    output: DataType,
    count: Vec<i64>,
    /// Rows with NaN or an infinity.
    odd: Vec<i64>,
    /// Per entry: x, xx; of pairs also y, yy, xy.
    sums: Vec<ExactSum>,
    width: usize,
}

impl Moments {
    pub fn new(function: Moment, input: &DataType, output: &DataType) -> Self {
        let scale = match input {
            DataType::Float32 | DataType::Float64 => None,
            DataType::Decimal128(_, scale) => Some(*scale),
            _ => Some(0),
        };
        let width = if function.of_pairs() { 5 } else { 2 };
        Self { function, scale, output: output.clone(), count: vec![], odd: vec![], sums: vec![], width }
    }

    fn clear(&mut self, entry: u32) {
        let e = entry as usize;
        (self.count[e], self.odd[e]) = (0, 0);
        self.sums[e * self.width..(e + 1) * self.width].fill(ExactSum::default());
    }

    fn add(&mut self, entry: u32, x: Number, diff: i64) {
        let at = entry as usize * self.width;
        self.sums[at].add(x, diff);
        self.sums[at + 1].add_product(x, x, diff);
    }

    fn update_floats(&mut self, rows: &Rows<'_>, column: &ArrayRef) -> Result<()> {
        let column = cast(column, &DataType::Float64)?;
        let values = column.as_primitive::<Float64Type>().values();
        rows.each(|i, e, d| {
            self.count[e as usize] += d;
            match values[i].is_finite() {
                true => self.add(e, values[i].into(), d),
                false => self.odd[e as usize] += d,
            }
        });
        Ok(())
    }

    fn update_pairs(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (ys, xs) = (cast(rows.argument(0)?, &DataType::Float64)?, cast(rows.argument(1)?, &DataType::Float64)?);
        let (ys, xs) = (ys.as_primitive::<Float64Type>().values(), xs.as_primitive::<Float64Type>().values());
        rows.each(|i, e, d| {
            self.count[e as usize] += d;
            if !(xs[i].is_finite() && ys[i].is_finite()) {
                self.odd[e as usize] += d;
                return;
            }
            let (x, y): (Number, Number) = (xs[i].into(), ys[i].into());
            self.add(e, x, d);
            let at = e as usize * self.width;
            self.sums[at + 2].add(y, d);
            self.sums[at + 3].add_product(y, y, d);
            self.sums[at + 4].add_product(x, y, d);
        });
        Ok(())
    }

    fn group(&self, entry: u32) -> Group<'_> {
        let e = entry as usize;
        let sums = &self.sums[e * self.width..(e + 1) * self.width];
        Group { n: self.count[e], odd: self.odd[e] != 0, sums }
    }

    /// Exact results: of integers and numerics.
    fn decimals(&self, entries: &[u32], scale: i8, out: i8) -> Finished {
        let mut errors = vec![];
        let cell = |(i, &e): (usize, &u32)| {
            let group = self.group(e);
            // Sums of integers have no negative exponent.
            let (numerator, exponent) = group.central(X, X, XX);
            let numerator = numerator << exponent as usize;
            let denominator = group.denominator(self.function)?;
            let variance = rescale(&numerator, &denominator, 2 * i32::from(scale), i32::from(out));
            let value = match self.function {
                Moment::StddevPop | Moment::StddevSamp => {
                    // Twice the root, so that it can be rounded.
                    let twice = (variance * power_of_ten(out.into()) * 4u8).sqrt();
                    (twice + 1u8) / 2u8
                }
                _ => variance,
            };
            let value = i128::try_from(value).ok().filter(|v| *v < 10_i128.pow(38));
            if value.is_none() {
                errors.push((i, OVERFLOW_NUMERIC));
            }
            value
        };
        let column: Decimal128Array = entries.iter().enumerate().map(cell).collect();
        Finished { column: Arc::new(column.with_data_type(self.output.clone())), errors }
    }

    fn floats(&self, entries: &[u32]) -> Finished {
        let mut errors = vec![];
        let cell = |(i, &e): (usize, &u32)| {
            let group = self.group(e);
            let value = group.float(self.function)?;
            if value.is_infinite() {
                errors.push((i, OVERFLOW_FLOAT));
            }
            Some(value)
        };
        let column: Float64Array = entries.iter().enumerate().map(cell).collect();
        Finished { column: Arc::new(column), errors }
    }
}

/// The sums of one group.
struct Group<'a> {
    n: i64,
    odd: bool,
    sums: &'a [ExactSum],
}

/// Positions among the sums.
const X: usize = 0;
const XX: usize = 1;
const Y: usize = 2;
const YY: usize = 3;
const XY: usize = 4;

impl Group<'_> {
    /// `n * sum(ab) - sum(a) * sum(b)`: n times the sum of products of deviations.
    fn central(&self, a: usize, b: usize, ab: usize) -> (BigInt, i32) {
        let ((a, ea), (b, eb), (ab, eab)) = (self.sums[a].total(), self.sums[b].total(), self.sums[ab].total());
        difference((ab * self.n, eab), (a * b, ea + eb))
    }

    /// What [`Self::central`] is divided by; `None`: too few values.
    fn denominator(&self, function: Moment) -> Option<BigInt> {
        let n = BigInt::from(self.n);
        match function {
            Moment::StddevSamp | Moment::VarSamp | Moment::CovarSamp => (self.n > 1).then(|| &n * (&n - 1)),
            Moment::StddevPop | Moment::VarPop | Moment::CovarPop => (self.n > 0).then(|| &n * &n),
            _ => (self.n > 0).then_some(n),
        }
    }

    fn float(&self, function: Moment) -> Option<f64> {
        let denominator = self.denominator(function)?;
        if self.odd {
            return Some(f64::NAN);
        }
        let of = |(numerator, exponent): (BigInt, i32)| ratio(&numerator, exponent, &denominator);
        let (xx, yy, xy) = (|| self.central(X, X, XX), || self.central(Y, Y, YY), || self.central(X, Y, XY));
        Some(match function {
            Moment::StddevPop | Moment::StddevSamp => of(xx()).sqrt(),
            Moment::VarPop | Moment::VarSamp | Moment::RegrSxx => of(xx()),
            Moment::CovarPop | Moment::CovarSamp | Moment::RegrSxy => of(xy()),
            Moment::RegrSyy => of(yy()),
            Moment::RegrAvgx => of(self.sums[X].total()),
            Moment::RegrAvgy => of(self.sums[Y].total()),
            Moment::RegrCount => self.n as f64,
            Moment::RegrSlope => {
                let ((xx, exx), (xy, exy)) = (nonzero(xx())?, xy());
                ratio(&xy, exy - exx, &xx)
            }
            Moment::RegrIntercept => {
                let ((xx, exx), (xy, exy)) = (nonzero(xx())?, xy());
                let ((x, ex), (y, ey)) = (self.sums[X].total(), self.sums[Y].total());
                let (rest, exponent) = difference((y * &xx, ey + exx), (x * xy, ex + exy));
                ratio(&rest, exponent - exx, &(xx * denominator))
            }
            Moment::Corr => {
                let (square, sign) = square_of_correlation(nonzero(xx())?, nonzero(yy())?, xy());
                square.sqrt().copysign(sign)
            }
            Moment::RegrR2 => match (nonzero(xx())?, nonzero(yy())) {
                (_, None) => 1.0,
                (xx, Some(yy)) => square_of_correlation(xx, yy, xy()).0,
            },
        })
    }
}

fn nonzero(n: (BigInt, i32)) -> Option<(BigInt, i32)> {
    (n.0 != BigInt::ZERO).then_some(n)
}

/// `a - b`.
fn difference((a, ea): (BigInt, i32), (b, eb): (BigInt, i32)) -> (BigInt, i32) {
    let exponent = ea.min(eb);
    ((a << (ea - exponent) as usize) - (b << (eb - exponent) as usize), exponent)
}

/// The square of the correlation, at most 1, and the correlation's sign.
fn square_of_correlation((xx, exx): (BigInt, i32), (yy, eyy): (BigInt, i32), (xy, exy): (BigInt, i32)) -> (f64, f64) {
    let sign = if xy.sign() == Sign::Minus { -1.0 } else { 1.0 };
    (ratio(&(&xy * &xy), 2 * exy - exx - eyy, &(xx * yy)).min(1.0), sign)
}

/// `numerator / denominator`, from units of 10^-from to units of 10^-to, rounded; neither is negative.
fn rescale(numerator: &BigInt, denominator: &BigInt, from: i32, to: i32) -> BigInt {
    let up = numerator * power_of_ten(to - from);
    let down = denominator * power_of_ten(from - to);
    (up * 2u8 + &down) / (down * 2u8)
}

/// One below zero.
fn power_of_ten(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.max(0).unsigned_abs())
}

impl Cells for Moments {
    fn resize(&mut self, entries: usize) {
        self.count.resize(entries, 0);
        self.odd.resize(entries, 0);
        self.sums.resize(entries * self.width, ExactSum::default());
    }

    fn reset(&mut self, entry: u32) {
        self.clear(entry);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        if self.function.of_pairs() {
            return self.update_pairs(rows);
        }
        let column = rows.argument(0)?;
        match column.data_type() {
            DataType::Float32 | DataType::Float64 => return self.update_floats(rows, column),
            DataType::Decimal128(..) => {
                let values = column.as_primitive::<Decimal128Type>().values();
                rows.each(|i, e, d| {
                    self.count[e as usize] += d;
                    self.add(e, values[i].into(), d);
                });
            }
            _ => {
                let column = cast(column, &DataType::Int64)?;
                let values = column.as_primitive::<Int64Type>().values();
                rows.each(|i, e, d| {
                    self.count[e as usize] += d;
                    self.add(e, i128::from(values[i]).into(), d);
                });
            }
        }
        Ok(())
    }

    fn settle(&mut self, entries: &[u32]) {
        for &e in entries {
            if self.count[e as usize] == 0 {
                self.clear(e);
            }
        }
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        Ok(match (self.scale, &self.output) {
            (_, DataType::Int64) => Finished::fine(dumped(&self.count, entries)),
            (Some(scale), DataType::Decimal128(_, out)) => self.decimals(entries, scale, *out),
            _ => self.floats(entries),
        })
    }

    fn bytes(&self) -> usize {
        let sums = self.sums.capacity() * size_of::<ExactSum>();
        self.count.capacity() * 16 + sums + self.sums.iter().map(ExactSum::bytes).sum::<usize>()
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![dumped(&self.count, entries), dumped(&self.odd, entries)];
        for k in 0..self.width {
            let sum = |&e: &u32| Some(self.sums[e as usize * self.width + k].to_bytes());
            columns.push(Arc::new(entries.iter().map(sum).collect::<BinaryArray>()));
        }
        Ok(columns)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.count, entries, &next(columns)?);
        merged(&mut self.odd, entries, &next(columns)?);
        for k in 0..self.width {
            let column = next(columns)?;
            let column = column.as_binary::<i32>();
            for (i, &e) in entries.iter().enumerate() {
                self.sums[e as usize * self.width + k].merge(&ExactSum::from_bytes(column.value(i))?);
            }
        }
        Ok(())
    }
}
