//! sum and avg of intervals: months, days and the rest apart, wide.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType, i256};

use super::count::{dumped, merged};
use super::sum::{wide_dumped, wide_merged};
use super::{CellError, Cells, Finished, Rows, next};
use crate::error::{Result, SqlState};
use crate::functions::interval::multiply;

const OUT_OF_RANGE: CellError = CellError { code: SqlState::DATETIME_FIELD_OVERFLOW, message: "interval out of range" };

/// Sums of intervals.
pub(super) struct Intervals {
    average: bool,
    count: Vec<i64>,
    /// Months, days, nanoseconds.
    sums: [Vec<i256>; 3],
}

impl Intervals {
    pub fn new(average: bool) -> Self {
        Self { average, count: vec![], sums: [const { vec![] }; 3] }
    }

    fn value(&self, entry: usize) -> Option<IntervalMonthDayNano> {
        let part = |k: usize| self.sums[k][entry].to_i128();
        let sum = IntervalMonthDayNano::new(
            i32::try_from(part(0)?).ok()?,
            i32::try_from(part(1)?).ok()?,
            i64::try_from(part(2)?).ok()?,
        );
        if self.average { multiply(sum, 1.0 / self.count[entry] as f64).ok() } else { Some(sum) }
    }
}

impl Cells for Intervals {
    fn resize(&mut self, entries: usize) {
        self.count.resize(entries, 0);
        self.sums.iter_mut().for_each(|s| s.resize(entries, i256::ZERO));
    }

    fn reset(&mut self, entry: u32) {
        self.count[entry as usize] = 0;
        self.sums.iter_mut().for_each(|s| s[entry as usize] = i256::ZERO);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = rows.argument(0)?.as_primitive::<IntervalMonthDayNanoType>().values();
        let Self { count, sums, .. } = self;
        rows.each(|i, e, d| {
            count[e as usize] += d;
            let parts = [values[i].months.into(), values[i].days.into(), values[i].nanoseconds];
            for (sum, part) in sums.iter_mut().zip(parts) {
                let term = i256::from_i128(i128::from(part) * i128::from(d));
                sum[e as usize] = sum[e as usize].wrapping_add(term);
            }
        });
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let mut errors = vec![];
        let cell = |(i, &e): (usize, &u32)| {
            if self.count[e as usize] <= 0 {
                return None;
            }
            let value = self.value(e as usize);
            if value.is_none() {
                errors.push((i, OUT_OF_RANGE));
            }
            value
        };
        let column: IntervalMonthDayNanoArray = entries.iter().enumerate().map(cell).collect();
        Ok(Finished { column: Arc::new(column), errors })
    }

    fn bytes(&self) -> usize {
        self.count.capacity() * 104
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![dumped(&self.count, entries)];
        self.sums.iter().for_each(|s| columns.extend(wide_dumped(s, entries)));
        Ok(columns)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.count, entries, &next(columns)?);
        self.sums.iter_mut().try_for_each(|s| wide_merged(s, entries, columns))
    }
}
