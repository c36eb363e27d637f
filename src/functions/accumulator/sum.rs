//! sum and avg, kept wider than their results: an overflow on the way is none.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};

use super::count::{dumped, merged};
use super::float::FloatSum;
use super::{CellError, Cells, Finished, Rows, next};
use crate::error::{Result, SqlState};

pub(super) const OVERFLOW_NUMERIC: CellError =
    CellError { code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message: "numeric field overflow" };
const OVERFLOW_BIGINT: CellError =
    CellError { code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message: "bigint out of range" };
pub(super) const OVERFLOW_FLOAT: CellError =
    CellError { code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message: "value out of range: overflow" };

/// Sums of integers.
pub(super) struct Integers {
    result: Exact,
    count: Vec<i64>,
    sum: Vec<i128>,
}

/// Sums of numerics.
pub(super) struct Decimals {
    result: Exact,
    count: Vec<i64>,
    sum: Vec<i256>,
}

/// Sums of floats.
pub(super) struct Floats {
    average: bool,
    output: DataType,
    count: Vec<i64>,
    sum: Vec<FloatSum>,
}

/// How results come of exact sums of a scale.
struct Exact {
    average: bool,
    scale: i8,
    output: DataType,
}

impl Integers {
    pub fn new(average: bool, output: DataType) -> Self {
        Self { result: Exact { average, scale: 0, output }, count: vec![], sum: vec![] }
    }
}

impl Cells for Integers {
    fn resize(&mut self, entries: usize) {
        self.count.resize(entries, 0);
        self.sum.resize(entries, 0);
    }

    fn reset(&mut self, entry: u32) {
        (self.count[entry as usize], self.sum[entry as usize]) = (0, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let column = widened(rows.argument(0)?, &DataType::Int64)?;
        let values = column.as_primitive::<Int64Type>().values();
        let Self { count, sum, .. } = self;
        rows.each(|i, e, d| {
            count[e as usize] += d;
            sum[e as usize] += i128::from(values[i]) * i128::from(d);
        });
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        if let (DataType::Decimal128(_, 0), false) = (&self.result.output, self.result.average) {
            // So many 64-bit integers as a count can tell have a sum of less than 38 digits.
            let sum = |&e: &u32| (self.count[e as usize] > 0).then_some(self.sum[e as usize]);
            let sums: Decimal128Array = entries.iter().map(sum).collect();
            return Ok(Finished::fine(Arc::new(sums.with_data_type(self.result.output.clone()))));
        }
        let cell = |&e: &u32| (self.count[e as usize], i256::from_i128(self.sum[e as usize]));
        Ok(self.result.finish(entries.iter().map(cell)))
    }

    fn bytes(&self) -> usize {
        self.count.capacity() * 24
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let sum = entries.iter().map(|&e| Some(self.sum[e as usize]));
        Ok(vec![dumped(&self.count, entries), whole(sum.collect())])
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.count, entries, &next(columns)?);
        let column = next(columns)?;
        let column = column.as_primitive::<Decimal128Type>();
        entries.iter().zip(column.values()).for_each(|(&e, &v)| self.sum[e as usize] += v);
        Ok(())
    }
}

impl Decimals {
    pub fn new(average: bool, scale: i8, output: DataType) -> Self {
        Self { result: Exact { average, scale, output }, count: vec![], sum: vec![] }
    }
}

impl Cells for Decimals {
    fn resize(&mut self, entries: usize) {
        self.count.resize(entries, 0);
        self.sum.resize(entries, i256::ZERO);
    }

    fn reset(&mut self, entry: u32) {
        (self.count[entry as usize], self.sum[entry as usize]) = (0, i256::ZERO);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = rows.argument(0)?.as_primitive::<Decimal128Type>().values();
        let Self { count, sum, .. } = self;
        rows.each(|i, e, d| {
            count[e as usize] += d;
            let term = i256::from_i128(values[i]).wrapping_mul(i256::from_i128(i128::from(d)));
            sum[e as usize] = sum[e as usize].wrapping_add(term);
        });
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        Ok(self.result.finish(entries.iter().map(|&e| (self.count[e as usize], self.sum[e as usize]))))
    }

    fn bytes(&self) -> usize {
        self.count.capacity() * 40
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![dumped(&self.count, entries)];
        columns.extend(wide_dumped(&self.sum, entries));
        Ok(columns)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.count, entries, &next(columns)?);
        wide_merged(&mut self.sum, entries, columns)
    }
}

/// 256-bit sums of entries as two columns.
pub(super) fn wide_dumped(sums: &[i256], entries: &[u32]) -> [ArrayRef; 2] {
    let low = entries.iter().map(|&e| sums[e as usize].to_parts().0 as i128);
    let high = entries.iter().map(|&e| sums[e as usize].to_parts().1);
    [whole(low.map(Some).collect()), whole(high.map(Some).collect())]
}

/// Adds the columns of [`wide_dumped`].
pub(super) fn wide_merged(
    sums: &mut [i256],
    entries: &[u32],
    columns: &mut dyn Iterator<Item = ArrayRef>,
) -> Result<()> {
    let (low, high) = (next(columns)?, next(columns)?);
    let (low, high) = (low.as_primitive::<Decimal128Type>(), high.as_primitive::<Decimal128Type>());
    for (&e, (&l, &h)) in entries.iter().zip(low.values().iter().zip(high.values())) {
        let sum = &mut sums[e as usize];
        *sum = sum.wrapping_add(i256::from_parts(l as u128, h));
    }
    Ok(())
}

fn whole(values: Decimal128Array) -> ArrayRef {
    Arc::new(values.with_data_type(DataType::Decimal128(38, 0)))
}

fn widened(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to { Ok(column.clone()) } else { Ok(cast(column, to)?) }
}

impl Floats {
    pub fn new(average: bool, output: DataType) -> Self {
        Self { average, output, count: vec![], sum: vec![] }
    }
}

impl Cells for Floats {
    fn resize(&mut self, entries: usize) {
        self.count.resize(entries, 0);
        self.sum.resize(entries, FloatSum::default());
    }

    fn reset(&mut self, entry: u32) {
        (self.count[entry as usize], self.sum[entry as usize]) = (0, FloatSum::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let column = widened(rows.argument(0)?, &DataType::Float64)?;
        let values = column.as_primitive::<Float64Type>().values();
        let Self { count, sum, .. } = self;
        rows.each(|i, e, d| {
            count[e as usize] += d;
            sum[e as usize].add(values[i], d);
        });
        Ok(())
    }

    fn settle(&mut self, entries: &[u32]) {
        for &e in entries {
            if self.count[e as usize] == 0 {
                self.sum[e as usize] = FloatSum::default();
            }
        }
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let mut errors = vec![];
        let single = self.output == DataType::Float32;
        let cell = |(i, &e): (usize, &u32)| {
            let (count, sum) = (self.count[e as usize], &self.sum[e as usize]);
            if count <= 0 {
                return None;
            }
            let total = sum.total().filter(|t| !(single && t.is_finite() && !(*t as f32).is_finite()));
            if total.is_none() {
                errors.push((i, OVERFLOW_FLOAT));
            }
            total.map(|t| if self.average { t / count as f64 } else { t })
        };
        let values: Float64Array = entries.iter().enumerate().map(cell).collect();
        let column: ArrayRef = if single {
            Arc::new(values.iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>())
        } else {
            Arc::new(values)
        };
        Ok(Finished { column, errors })
    }

    fn bytes(&self) -> usize {
        self.count.capacity() * 48
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let part = |k: usize| -> ArrayRef {
            Arc::new(entries.iter().map(|&e| self.sum[e as usize].parts()[k]).collect::<Int64Array>())
        };
        Ok(std::iter::once(dumped(&self.count, entries)).chain((0..5).map(part)).collect())
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.count, entries, &next(columns)?);
        let parts = (0..5).map(|_| next(columns)).collect::<Result<Vec<_>>>()?;
        for (i, &e) in entries.iter().enumerate() {
            let part = |k: usize| parts[k].as_primitive::<Int64Type>().value(i);
            self.sum[e as usize].merge(&FloatSum::from_parts(std::array::from_fn(part)));
        }
        Ok(())
    }
}

impl Exact {
    /// Results from counts and sums.
    fn finish(&self, cells: impl Iterator<Item = (i64, i256)>) -> Finished {
        let mut errors = vec![];
        let column: ArrayRef = match &self.output {
            DataType::Int64 => {
                let cell = |(i, (count, sum)): (usize, (i64, i256))| {
                    let value = (count > 0).then_some(sum)?;
                    let value = value.to_i128().and_then(|v| i64::try_from(v).ok());
                    if value.is_none() {
                        errors.push((i, OVERFLOW_BIGINT));
                    }
                    value
                };
                Arc::new(cells.enumerate().map(cell).collect::<Int64Array>())
            }
            DataType::Decimal128(_, out) => {
                let shift = i256::from_i128(10).wrapping_pow(u32::try_from(out - self.scale).unwrap_or(0));
                let cell = |(i, (count, sum)): (usize, (i64, i256))| {
                    let sum = (count > 0).then_some(sum)?;
                    let scaled = sum.checked_mul(shift);
                    let value = scaled.map(|s| if self.average { divide(s, count) } else { s }).and_then(numeric);
                    if value.is_none() {
                        errors.push((i, OVERFLOW_NUMERIC));
                    }
                    value
                };
                let column = cells.enumerate().map(cell).collect::<Decimal128Array>();
                Arc::new(column.with_data_type(self.output.clone()))
            }
            _ => {
                let cell = |(count, sum): (i64, i256)| {
                    let sum = (count > 0).then(|| sum.to_i128().map_or(f64::NAN, |s| s as f64))?;
                    Some(if self.average { sum / count as f64 } else { sum })
                };
                Arc::new(cells.map(cell).collect::<Float64Array>())
            }
        };
        Finished { column, errors }
    }
}

/// A sum divided by a count, rounded half away from zero.
fn divide(sum: i256, count: i64) -> i256 {
    let count = i256::from_i128(i128::from(count));
    let (quotient, rest) = (sum.wrapping_div(count), sum.wrapping_rem(count));
    let twice = rest.wrapping_abs().wrapping_mul(i256::from_i128(2));
    match (twice >= count, sum < i256::ZERO) {
        (false, _) => quotient,
        (true, false) => quotient.wrapping_add(i256::ONE),
        (true, true) => quotient.wrapping_sub(i256::ONE),
    }
}

/// At most 38 digits.
fn numeric(value: i256) -> Option<i128> {
    const LIMIT: i128 = 10_i128.pow(38);
    value.to_i128().filter(|v| (-LIMIT < *v) && (*v < LIMIT))
}
