//! Aggregates of many groups, column by column, that can be taken back.
//!
//! Entry i of every column belongs to group i. Sums are kept wider than their results, so that an overflow on the way is
//! none: it is judged when a result is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, ListArray,
    RecordBatch, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema, i256};

use super::extreme::{self, Extreme};
use super::fault::{self, Fault};
use super::sum::FloatSum;
use crate::data::KeyEncoder;
use crate::error::{Error, Result, SqlState};

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SQL's names")]
pub enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

/// What an accumulator computes.
#[derive(Clone, Debug)]
pub struct AccumulatorKind {
    /// Which function.
    pub function: AggregateFunction,
    /// The argument's type; `None` for `count(*)`.
    pub input: Option<DataType>,
    /// The result's type.
    pub output: DataType,
    /// Whether values can be taken back.
    pub retracting: bool,
    /// Whether each value counts once.
    pub distinct: bool,
}

/// Why a group has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// SQLSTATE.
    pub code: SqlState,
    /// PostgreSQL's words.
    pub message: &'static str,
}

/// Results of some entries.
pub struct Finished {
    /// One value per entry.
    pub column: ArrayRef,
    /// Entries (by position) that have no result.
    pub errors: Vec<(usize, CellError)>,
}

/// One aggregate of many groups.
pub struct Accumulator {
    kind: AccumulatorKind,
    values: Values,
    distinct: Option<Distinct>,
}

enum Values {
    Count(Vec<i64>),
    Int { count: Vec<i64>, sum: Vec<i128> },
    Decimal { count: Vec<i64>, sum: Vec<i256> },
    Float { count: Vec<i64>, sum: Vec<FloatSum> },
    Extreme(Extreme),
}

/// The values seen per entry, for DISTINCT.
struct Distinct {
    encoder: KeyEncoder,
    seen: Vec<HashMap<Box<[u8]>, i64>>,
}

const OVERFLOW_NUMERIC: CellError =
    CellError { code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message: "numeric field overflow" };
const OVERFLOW_BIGINT: CellError =
    CellError { code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message: "bigint out of range" };
const OVERFLOW_FLOAT: CellError =
    CellError { code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message: "value out of range: overflow" };

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Int32 | DataType::Int16)
}

impl AccumulatorKind {
    /// Whether this function over this type is supported.
    pub fn supported(&self) -> bool {
        let Some(input) = &self.input else { return self.function == AggregateFunction::Count };
        match self.function {
            AggregateFunction::Count => true,
            AggregateFunction::Min | AggregateFunction::Max => extreme::supported(input) && *input == self.output,
            AggregateFunction::Sum => match input {
                i if is_integer(i) => matches!(self.output, DataType::Int64 | DataType::Decimal128(..)),
                DataType::Decimal128(..) => matches!(self.output, DataType::Decimal128(..)),
                DataType::Float32 | DataType::Float64 => matches!(self.output, DataType::Float32 | DataType::Float64),
                _ => false,
            },
            AggregateFunction::Avg => match input {
                i if is_integer(i) => matches!(self.output, DataType::Float64 | DataType::Decimal128(..)),
                DataType::Decimal128(..) => matches!(self.output, DataType::Decimal128(..)),
                DataType::Float32 | DataType::Float64 => matches!(self.output, DataType::Float64),
                _ => false,
            },
        }
    }

    fn values(&self, retracting: bool) -> Values {
        use AggregateFunction as F;
        let input = self.input.as_ref().unwrap_or(&DataType::Int64);
        match (self.function, input) {
            (F::Count, _) => Values::Count(vec![]),
            (F::Min | F::Max, _) => Values::Extreme(Extreme::new(input, self.function == F::Min, retracting)),
            (F::Sum | F::Avg, DataType::Decimal128(..)) => Values::Decimal { count: vec![], sum: vec![] },
            (F::Sum | F::Avg, i) if is_integer(i) => Values::Int { count: vec![], sum: vec![] },
            (F::Sum | F::Avg, _) => Values::Float { count: vec![], sum: vec![] },
        }
    }
}

/// Calls `f(row, entry, diff)` for the rows that count.
#[inline]
fn each(entries: &[u32], mask: Option<&NullBuffer>, diffs: Option<&[i64]>, mut f: impl FnMut(usize, u32, i64)) {
    match (mask, diffs) {
        (None, None) => entries.iter().enumerate().for_each(|(i, &e)| f(i, e, 1)),
        (None, Some(diffs)) => entries.iter().zip(diffs).enumerate().for_each(|(i, (&e, &d))| f(i, e, d)),
        (Some(mask), diffs) => {
            for i in mask.valid_indices() {
                f(i, entries[i], diffs.map_or(1, |d| d[i]));
            }
        }
    }
}

impl Accumulator {
    /// Without entries.
    pub fn new(kind: AccumulatorKind) -> Result<Self> {
        let distinct = match (&kind.input, kind.distinct) {
            (Some(input), true) => {
                let schema = Schema::new(vec![Field::new("v", input.clone(), true)]);
                Some(Distinct { encoder: KeyEncoder::new(&schema, &[0])?, seen: vec![] })
            }
            _ => None,
        };
        // Over distinct values, an extreme is asked about each value once, and may lose it again.
        let values = kind.values(kind.retracting);
        Ok(Self { kind, values, distinct })
    }

    /// For copies of results' inputs ([`Self::append_from`]) only.
    pub fn copies(kind: &AccumulatorKind) -> Self {
        Self { values: kind.values(false), kind: kind.clone(), distinct: None }
    }

    /// Makes room for `entries` entries; new ones are empty groups.
    pub fn resize(&mut self, entries: usize) {
        match &mut self.values {
            Values::Count(count) => count.resize(entries, 0),
            Values::Int { count, sum } => {
                count.resize(entries, 0);
                sum.resize(entries, 0);
            }
            Values::Decimal { count, sum } => {
                count.resize(entries, 0);
                sum.resize(entries, i256::ZERO);
            }
            Values::Float { count, sum } => {
                count.resize(entries, 0);
                sum.resize(entries, FloatSum::default());
            }
            Values::Extreme(extreme) => extreme.resize(entries),
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.seen.resize(entries, HashMap::new());
        }
    }

    /// Empties a group.
    pub fn reset(&mut self, entry: u32) {
        let e = entry as usize;
        match &mut self.values {
            Values::Count(count) => count[e] = 0,
            Values::Int { count, sum } => (count[e], sum[e]) = (0, 0),
            Values::Decimal { count, sum } => (count[e], sum[e]) = (0, i256::ZERO),
            Values::Float { count, sum } => (count[e], sum[e]) = (0, FloatSum::default()),
            Values::Extreme(extreme) => extreme.reset(entry),
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.seen[e] = HashMap::new();
        }
    }

    /// Adds rows: the group of each, the argument, and optionally which rows count and their diffs.
    pub fn update(
        &mut self,
        entries: &[u32],
        column: Option<&ArrayRef>,
        filter: Option<&BooleanArray>,
        diffs: Option<&[i64]>,
    ) -> Result<()> {
        let ignored = (self.kind.function == AggregateFunction::Sum && fault::on(Fault::SumIgnoresDiff))
            || (self.kind.function == AggregateFunction::Avg && fault::on(Fault::AverageKept));
        let diffs = diffs.filter(|_| !ignored);
        let mut mask = column.and_then(|c| c.logical_nulls()).filter(|n| n.null_count() > 0);
        if let Some(filter) = filter {
            let wanted = NullBuffer::new(match filter.nulls() {
                Some(nulls) => filter.values() & nulls.inner(),
                None => filter.values().clone(),
            });
            mask = NullBuffer::union(mask.as_ref(), Some(&wanted));
        }
        match (&mut self.distinct, column) {
            (Some(distinct), Some(column)) => {
                let (rows, groups, changes) = distinct.transitions(entries, column, mask.as_ref(), diffs)?;
                if rows.is_empty() {
                    return Ok(());
                }
                let column = take(column, &UInt32Array::from(rows), None)?;
                self.values.update(&groups, Some(&column), None, Some(&changes))
            }
            _ => self.values.update(entries, column, mask.as_ref(), diffs),
        }
    }

    /// Tells that an epoch is over: what rounding left of a sum of no values is forgotten.
    pub fn settle(&mut self, entries: &[u32]) {
        if let Values::Float { count, sum } = &mut self.values {
            for &e in entries {
                if count[e as usize] == 0 {
                    sum[e as usize] = FloatSum::default();
                }
            }
        }
    }

    /// Appends copies of what the results of another's entries depend on.
    pub fn append_from(&mut self, from: &Self, entries: &[u32]) {
        fn copy<T: Copy>(to: &mut Vec<T>, from: &[T], entries: &[u32]) {
            to.extend(entries.iter().map(|&e| from[e as usize]));
        }
        match (&mut self.values, &from.values) {
            (Values::Count(to), Values::Count(from)) => copy(to, from, entries),
            (Values::Int { count, sum }, Values::Int { count: c, sum: s }) => {
                copy(count, c, entries);
                copy(sum, s, entries);
            }
            (Values::Decimal { count, sum }, Values::Decimal { count: c, sum: s }) => {
                copy(count, c, entries);
                copy(sum, s, entries);
            }
            (Values::Float { count, sum }, Values::Float { count: c, sum: s }) => {
                copy(count, c, entries);
                copy(sum, s, entries);
            }
            (Values::Extreme(to), Values::Extreme(from)) => to.append_from(from, entries),
            _ => debug_assert!(false, "accumulators of different kinds"),
        }
    }

    /// The results of entries.
    pub fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let entries = entries.iter().map(|&e| e as usize);
        let output = &self.kind.output;
        match &self.values {
            Values::Count(count) => {
                let column: Int64Array = entries.map(|e| count[e]).collect::<Vec<_>>().into();
                Ok(Finished { column: Arc::new(column), errors: vec![] })
            }
            Values::Extreme(extreme) => Ok(Finished { column: extreme.column(entries, output)?, errors: vec![] }),
            Values::Int { count, sum } => {
                let cells = entries.map(|e| (count[e], i256::from_i128(sum[e])));
                self.exact(cells, 0)
            }
            Values::Decimal { count, sum } => {
                let scale = match self.kind.input {
                    Some(DataType::Decimal128(_, scale)) => scale,
                    _ => 0,
                };
                self.exact(entries.map(|e| (count[e], sum[e])), scale)
            }
            Values::Float { count, sum } => self.floats(entries.map(|e| (count[e], sum[e]))),
        }
    }

    /// Results from exact sums of a scale.
    fn exact(&self, cells: impl Iterator<Item = (i64, i256)>, scale: i8) -> Result<Finished> {
        let average = self.kind.function == AggregateFunction::Avg;
        let mut errors = vec![];
        let column: ArrayRef = match &self.kind.output {
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
                let shift = i256::from_i128(10).wrapping_pow(u32::try_from(out - scale).unwrap_or(0));
                let cell = |(i, (count, sum)): (usize, (i64, i256))| {
                    let sum = (count > 0).then_some(sum)?;
                    let scaled = sum.checked_mul(shift);
                    let value = scaled.map(|s| if average { divide(s, count) } else { s }).and_then(numeric);
                    if value.is_none() {
                        errors.push((i, OVERFLOW_NUMERIC));
                    }
                    value
                };
                let column = cells.enumerate().map(cell).collect::<Decimal128Array>();
                Arc::new(column.with_data_type(self.kind.output.clone()))
            }
            _ => {
                let cell = |(count, sum): (i64, i256)| {
                    let sum = (count > 0).then(|| sum.to_i128().map_or(f64::NAN, |s| s as f64))?;
                    Some(if average { sum / count as f64 } else { sum })
                };
                Arc::new(cells.map(cell).collect::<Float64Array>())
            }
        };
        Ok(Finished { column, errors })
    }

    /// Results from float sums.
    fn floats(&self, cells: impl Iterator<Item = (i64, FloatSum)>) -> Result<Finished> {
        let average = self.kind.function == AggregateFunction::Avg;
        let mut errors = vec![];
        let single = self.kind.output == DataType::Float32;
        let cell = |(i, (count, sum)): (usize, (i64, FloatSum))| {
            if count <= 0 {
                return None;
            }
            let total = sum.total().filter(|t| !(single && t.is_finite() && !(*t as f32).is_finite()));
            if total.is_none() {
                errors.push((i, OVERFLOW_FLOAT));
            }
            total.map(|t| if average { t / count as f64 } else { t })
        };
        let values: Float64Array = cells.enumerate().map(cell).collect();
        let column: ArrayRef = if single {
            Arc::new(values.iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>())
        } else {
            Arc::new(values)
        };
        Ok(Finished { column, errors })
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Count(count) => count.capacity() * 8,
            Values::Int { count, .. } => count.capacity() * 24,
            Values::Decimal { count, .. } => count.capacity() * 40,
            Values::Float { count, .. } => count.capacity() * 48,
            Values::Extreme(extreme) => extreme.bytes(),
        };
        let seen = |m: &HashMap<Box<[u8]>, i64>| m.capacity() * 48;
        values + self.distinct.as_ref().map_or(0, |d| d.seen.iter().map(seen).sum())
    }

    /// Entries' contents, one row per entry, as columns for a snapshot.
    pub fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let longs = |values: &[i64]| -> ArrayRef {
            Arc::new(entries.iter().map(|&e| values[e as usize]).collect::<Int64Array>())
        };
        let mut columns = match &self.values {
            Values::Count(count) => vec![longs(count)],
            Values::Int { count, sum } => {
                let sum: Decimal128Array = entries.iter().map(|&e| Some(sum[e as usize])).collect();
                vec![longs(count), Arc::new(sum.with_data_type(DataType::Decimal128(38, 0)))]
            }
            Values::Decimal { count, sum } => {
                let low = entries.iter().map(|&e| sum[e as usize].to_parts().0 as i128);
                let high = entries.iter().map(|&e| sum[e as usize].to_parts().1);
                let column = |a: Decimal128Array| Arc::new(a.with_data_type(DataType::Decimal128(38, 0)));
                vec![longs(count), column(low.map(Some).collect()), column(high.map(Some).collect())]
            }
            Values::Float { count, sum } => {
                let parts = |k: usize| -> ArrayRef {
                    Arc::new(entries.iter().map(|&e| sum[e as usize].parts()[k]).collect::<Int64Array>())
                };
                std::iter::once(longs(count)).chain((0..5).map(parts)).collect()
            }
            Values::Extreme(extreme) => {
                let data_type = self.kind.input.as_ref().unwrap_or(&DataType::Int64);
                let (index, values, weights) = extreme.dump(entries, data_type)?;
                lists(entries.len(), &index, values, weights)?
            }
        };
        if let (Some(distinct), Some(_)) = (&self.distinct, &self.kind.input) {
            let (mut index, mut keys, mut weights) = (vec![], vec![], vec![]);
            for (i, &e) in entries.iter().enumerate() {
                for (key, n) in &distinct.seen[e as usize] {
                    index.push(i as u32);
                    keys.push(key);
                    weights.push(*n);
                }
            }
            let mut values = distinct.encoder.decode(keys.into_iter().map(AsRef::as_ref))?;
            columns.extend(lists(entries.len(), &index, values.remove(0), weights)?);
        }
        Ok(columns)
    }

    /// Loads entries from the columns of [`Self::dump`], taking them off the front of `columns`.
    pub fn load(&mut self, entries: &[u32], columns: &mut impl Iterator<Item = ArrayRef>) -> Result<()> {
        let short = || Error::internal("a state snapshot has too few columns");
        let mut next = || columns.next().ok_or_else(short);
        let put = |to: &mut [i64], column: ArrayRef| {
            let column = column.as_primitive::<Int64Type>();
            entries.iter().zip(column.values()).for_each(|(&e, &v)| to[e as usize] = v);
        };
        match &mut self.values {
            Values::Count(count) => put(count, next()?),
            Values::Int { count, sum } => {
                put(count, next()?);
                let column = next()?;
                let column = column.as_primitive::<Decimal128Type>();
                entries.iter().zip(column.values()).for_each(|(&e, &v)| sum[e as usize] = v);
            }
            Values::Decimal { count, sum } => {
                put(count, next()?);
                let (low, high) = (next()?, next()?);
                let (low, high) = (low.as_primitive::<Decimal128Type>(), high.as_primitive::<Decimal128Type>());
                for (&e, (&l, &h)) in entries.iter().zip(low.values().iter().zip(high.values())) {
                    sum[e as usize] = i256::from_parts(l as u128, h);
                }
            }
            Values::Float { count, sum } => {
                put(count, next()?);
                let parts = [next()?, next()?, next()?, next()?, next()?];
                for (i, &e) in entries.iter().enumerate() {
                    let part = |k: usize| parts[k].as_primitive::<Int64Type>().value(i);
                    sum[e as usize] = FloatSum::from_parts(std::array::from_fn(part));
                }
            }
            Values::Extreme(extreme) => {
                let (groups, values, weights) = unlist(entries, &next()?, &next()?);
                let rows = groups.iter().zip(&weights).enumerate().map(|(i, (&e, &n))| (i, e, n));
                extreme.update(&values, rows)?;
            }
        }
        if let Some(distinct) = &mut self.distinct {
            let (groups, values, weights) = unlist(entries, &next()?, &next()?);
            let rows = one_column(&values)?;
            let keys = distinct.encoder.encode(&rows)?;
            for (i, (&e, &n)) in groups.iter().zip(&weights).enumerate() {
                distinct.seen[e as usize].insert(keys.get(i).into(), n);
            }
        }
        Ok(())
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

impl Values {
    fn update(
        &mut self,
        entries: &[u32],
        column: Option<&ArrayRef>,
        mask: Option<&NullBuffer>,
        diffs: Option<&[i64]>,
    ) -> Result<()> {
        match (self, column) {
            (Self::Count(count), _) => each(entries, mask, diffs, |_, e, d| count[e as usize] += d),
            (Self::Int { count, sum }, Some(column)) => {
                let column = if column.data_type() == &DataType::Int64 {
                    column.clone()
                } else {
                    cast(column, &DataType::Int64)?
                };
                let values = column.as_primitive::<Int64Type>().values();
                each(entries, mask, diffs, |i, e, d| {
                    count[e as usize] += d;
                    sum[e as usize] += i128::from(values[i]) * i128::from(d);
                });
            }
            (Self::Decimal { count, sum }, Some(column)) => {
                let values = column.as_primitive::<Decimal128Type>().values();
                each(entries, mask, diffs, |i, e, d| {
                    count[e as usize] += d;
                    let term = i256::from_i128(values[i]).wrapping_mul(i256::from_i128(i128::from(d)));
                    sum[e as usize] = sum[e as usize].wrapping_add(term);
                });
            }
            (Self::Float { count, sum }, Some(column)) => {
                let column = if column.data_type() == &DataType::Float64 {
                    column.clone()
                } else {
                    cast(column, &DataType::Float64)?
                };
                let values = column.as_primitive::<Float64Type>().values();
                each(entries, mask, diffs, |i, e, d| {
                    count[e as usize] += d;
                    sum[e as usize].add(values[i], d);
                });
            }
            (Self::Extreme(extreme), Some(column)) => {
                let rows = entries.iter().enumerate().map(|(i, &e)| (i, e, diffs.map_or(1, |d| d[i])));
                match mask {
                    None => extreme.update(column, rows)?,
                    Some(mask) => extreme.update(column, rows.filter(|(i, ..)| mask.is_valid(*i)))?,
                }
            }
            (Self::Int { .. } | Self::Decimal { .. } | Self::Float { .. } | Self::Extreme(_), None) => {
                return Err(Error::internal("an aggregate lacks its argument"));
            }
        }
        Ok(())
    }
}

impl Distinct {
    /// The rows by which a value comes to a group or leaves it: row, group, +1 or -1.
    fn transitions(
        &mut self,
        entries: &[u32],
        column: &ArrayRef,
        mask: Option<&NullBuffer>,
        diffs: Option<&[i64]>,
    ) -> Result<(Vec<u32>, Vec<u32>, Vec<i64>)> {
        let keys = self.encoder.encode(&one_column(column)?)?;
        let mut out = (vec![], vec![], vec![]);
        each(entries, mask, diffs, |i, e, d| {
            let seen = &mut self.seen[e as usize];
            let key = keys.get(i);
            let before = seen.get(key).copied().unwrap_or(0);
            let after = before + d;
            if after == 0 {
                seen.remove(key);
            } else {
                seen.insert(key.into(), after);
            }
            if (before > 0) != (after > 0) {
                out.0.push(i as u32);
                out.1.push(e);
                out.2.push(if after > 0 { 1 } else { -1 });
            }
        });
        Ok(out)
    }
}

fn one_column(column: &ArrayRef) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable([("v", column.clone(), true)])?)
}

/// Values and weights of entries as two list columns; `index` ascends.
fn lists(entries: usize, index: &[u32], values: ArrayRef, weights: Vec<i64>) -> Result<Vec<ArrayRef>> {
    let mut lengths = vec![0; entries];
    index.iter().for_each(|&i| lengths[i as usize] += 1);
    let list = |values: ArrayRef| -> Result<ArrayRef> {
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), values, None)?))
    };
    Ok(vec![list(values)?, list(Arc::new(Int64Array::from(weights)))?])
}

/// The reverse of [`lists`]: group, value, weight.
fn unlist(entries: &[u32], values: &ArrayRef, weights: &ArrayRef) -> (Vec<u32>, ArrayRef, Vec<i64>) {
    let (values, weights) = (values.as_list::<i32>(), weights.as_list::<i32>());
    let mut groups = vec![];
    for (i, &e) in entries.iter().enumerate() {
        groups.extend(std::iter::repeat_n(e, values.value_length(i) as usize));
    }
    let offsets = values.value_offsets();
    let (start, end) = (offsets[0] as usize, offsets[entries.len()] as usize);
    let weights = weights.values().slice(start, end - start);
    (groups, values.values().slice(start, end - start), weights.as_primitive::<Int64Type>().values().to_vec())
}
