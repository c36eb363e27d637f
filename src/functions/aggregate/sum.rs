//! `sum` and `avg` with PostgreSQL's types, which never wrap.
//!
//! | argument | sum | avg |
//! |---|---|---|
//! | smallint, integer | bigint | numeric(38,16) |
//! | bigint | numeric(38,0) | numeric(38,16) |
//! | numeric(p,s) | numeric(38,s) | numeric(38,max(s,16)) |
//! | real | real | double precision |
//! | double precision | double precision | double precision |
//! | interval | interval | interval |

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::data::types::interval;
use crate::error::{Error, SqlState};
use crate::functions::arithmetic::{divide_rounding, numeric_overflow, power_of_ten};
use crate::functions::interval::multiply;

pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    [Kind::Sum, Kind::Avg].map(|kind| Arc::new(AggregateUDF::new_from_impl(SumOrAvg::new(kind)))).into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Avg,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SumOrAvg {
    kind: Kind,
    signature: Signature,
}

impl SumOrAvg {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// What is added up: one type per way of adding.
#[derive(Clone, Copy, Debug)]
enum Adds {
    /// Integers and numerics of this scale, in 128 bits.
    Exact(i8),
    /// Doubles.
    Float,
    /// Intervals.
    Interval,
}

fn adds(argument: &DataType) -> Result<Adds> {
    match argument {
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt64 => Ok(Adds::Exact(0)),
        DataType::Decimal128(_, s) => Ok(Adds::Exact(*s)),
        DataType::Float32 | DataType::Float64 => Ok(Adds::Float),
        DataType::Interval(_) => Ok(Adds::Interval),
        other => Err(DataFusionError::Plan(format!("no sum of {other}"))),
    }
}

fn result(kind: Kind, argument: &DataType) -> DataType {
    match (kind, argument) {
        (Kind::Sum, DataType::Int16 | DataType::Int32) => DataType::Int64,
        (Kind::Sum, DataType::Int64 | DataType::UInt64) => DataType::Decimal128(38, 0),
        (Kind::Sum, DataType::Decimal128(_, s)) => DataType::Decimal128(38, *s),
        (Kind::Sum, other) => other.clone(),
        (Kind::Avg, DataType::Decimal128(_, s)) => DataType::Decimal128(38, (*s).max(16)),
        (Kind::Avg, DataType::Float32 | DataType::Float64) => DataType::Float64,
        (Kind::Avg, DataType::Interval(_)) => interval(),
        (Kind::Avg, _) => DataType::Decimal128(38, 16),
    }
}

/// What an argument becomes, and the result of its sum or average.
pub(super) fn types(average: bool, argument: &DataType) -> Option<(Vec<DataType>, DataType)> {
    let argument = if *argument == DataType::Null { &DataType::Float64 } else { argument };
    adds(argument).ok()?;
    Some((vec![argument.clone()], result(if average { Kind::Avg } else { Kind::Sum }, argument)))
}

impl AggregateUDFImpl for SumOrAvg {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Null] => Ok(vec![DataType::Float64]),
            // The binder refuses what there is no sum of.
            other => Ok(other.to_vec()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let argument = types.first().ok_or_else(|| DataFusionError::Plan("no argument".into()))?;
        Ok(result(self.kind, argument))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let argument = args.input_fields.first().map(|f| f.data_type().clone()).unwrap_or(DataType::Null);
        let total = match adds(&argument)? {
            Adds::Exact(s) => DataType::Decimal128(38, s),
            Adds::Float => DataType::Float64,
            Adds::Interval => interval(),
        };
        let field = |what: &str, t| Arc::new(Field::new(format!("{}[{what}]", args.name), t, true));
        Ok(vec![field("total", total), field("count", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let argument = args.expr_fields.first().map(|f| f.data_type().clone()).unwrap_or(DataType::Null);
        Ok(Box::new(One { groups: groups(self.kind, &argument, args.return_field.data_type())?, rows: 0 }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let argument = args.expr_fields.first().map(|f| f.data_type().clone()).unwrap_or(DataType::Null);
        Ok(Box::new(groups(self.kind, &argument, args.return_field.data_type())?))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

fn groups(kind: Kind, argument: &DataType, result: &DataType) -> Result<Groups> {
    let totals = match adds(argument)? {
        Adds::Exact(scale) => Totals::Exact { values: vec![], scale },
        Adds::Float => Totals::Float(vec![]),
        Adds::Interval => Totals::Interval(vec![]),
    };
    Ok(Groups { kind, totals, counts: vec![], result: result.clone() })
}

/// Totals and counts of groups; a total beyond 128 bits is an error when it is asked for.
#[derive(Debug)]
struct Groups {
    kind: Kind,
    totals: Totals,
    counts: Vec<i64>,
    result: DataType,
}

#[derive(Debug)]
enum Totals {
    Exact {
        values: Vec<i128>,
        scale: i8,
    },
    Float(Vec<f64>),
    /// Months, days, microseconds: wide, so that they cannot overflow.
    Interval(Vec<[i128; 3]>),
}

/// A total that left 128 bits stays there.
const LOST: i128 = i128::MAX;

fn add_exact(total: &mut i128, value: i128) {
    *total = if *total == LOST { LOST } else { total.checked_add(value).unwrap_or(LOST) };
}

fn interval_parts(i: IntervalMonthDayNano) -> [i128; 3] {
    [i.months.into(), i.days.into(), i.nanoseconds.into()]
}

impl Groups {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        match &mut self.totals {
            Totals::Exact { values, .. } => values.resize(groups, 0),
            Totals::Float(values) => values.resize(groups, 0.0),
            Totals::Interval(values) => values.resize(groups, [0; 3]),
        }
    }

    /// Adds each row's value to its group; `counts`: how many values each stands for (else one).
    fn add(
        &mut self,
        values: &ArrayRef,
        counts: Option<&Int64Array>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let taken = |row: usize| values.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let rows = groups.iter().enumerate().filter(|(row, _)| taken(*row));
        match &mut self.totals {
            Totals::Exact { values: totals, .. } => match values.data_type() {
                DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                    let values = compute::cast(values, &DataType::Int64)?;
                    let values = values.as_primitive::<Int64Type>();
                    for (row, &group) in rows.clone() {
                        add_exact(&mut totals[group], values.value(row).into());
                    }
                }
                _ => {
                    let values = exact(values)?;
                    let values = values.as_primitive::<Decimal128Type>();
                    for (row, &group) in rows.clone() {
                        add_exact(&mut totals[group], values.value(row));
                    }
                }
            },
            Totals::Float(totals) => {
                let values = compute::cast(values, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                for (row, &group) in rows.clone() {
                    totals[group] += values.value(row);
                }
            }
            Totals::Interval(totals) => {
                let values = values.as_primitive::<IntervalMonthDayNanoType>();
                for (row, &group) in rows.clone() {
                    for (total, part) in totals[group].iter_mut().zip(interval_parts(values.value(row))) {
                        *total += part;
                    }
                }
            }
        }
        for (row, &group) in rows {
            self.counts[group] += counts.map_or(1, |c| c.value(row));
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Result<(ArrayRef, Vec<i64>)> {
        let counts = emit.take_needed(&mut self.counts);
        let empty = |i: usize| counts.get(i).is_none_or(|c| *c == 0);
        let totals: ArrayRef = match &mut self.totals {
            Totals::Exact { values, scale } => {
                let values = emit.take_needed(values);
                if values.contains(&LOST) {
                    return Err(numeric_overflow().into());
                }
                let array: Decimal128Array =
                    values.into_iter().enumerate().map(|(i, v)| (!empty(i)).then_some(v)).collect();
                Arc::new(array.with_precision_and_scale(38, *scale)?)
            }
            Totals::Float(values) => {
                let values = emit.take_needed(values);
                Arc::new(
                    values.into_iter().enumerate().map(|(i, v)| (!empty(i)).then_some(v)).collect::<Float64Array>(),
                )
            }
            Totals::Interval(values) => {
                let values = emit.take_needed(values);
                let one = |(i, parts): (usize, [i128; 3])| {
                    if empty(i) { Ok(None) } else { interval_of(parts).map(Some) }
                };
                let array = values.into_iter().enumerate().map(one);
                Arc::new(array.collect::<crate::error::Result<arrow::array::IntervalMonthDayNanoArray>>()?)
            }
        };
        Ok((totals, counts))
    }

    fn finish(&self, totals: &ArrayRef, counts: &[i64]) -> Result<ArrayRef> {
        match self.kind {
            Kind::Sum => self.sums(totals),
            Kind::Avg => self.averages(totals, counts),
        }
    }

    fn sums(&self, totals: &ArrayRef) -> Result<ArrayRef> {
        match (&self.result, totals.data_type()) {
            (DataType::Int64, DataType::Decimal128(..)) => {
                let range = |_| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
                let narrow = totals.as_primitive::<Decimal128Type>().iter();
                let narrow = narrow.map(|v| v.map(i64::try_from).transpose().map_err(range));
                Ok(Arc::new(narrow.collect::<crate::error::Result<Int64Array>>()?))
            }
            (DataType::Decimal128(..), _) => {
                let limit = power_of_ten(38).unsigned_abs();
                let values = totals.as_primitive::<Decimal128Type>();
                if values.iter().flatten().any(|v| v.unsigned_abs() >= limit) {
                    return Err(numeric_overflow().into());
                }
                Ok(totals.clone())
            }
            (result, _) => Ok(compute::cast(totals, result)?),
        }
    }

    fn averages(&self, totals: &ArrayRef, counts: &[i64]) -> Result<ArrayRef> {
        match (&self.totals, &self.result) {
            (Totals::Exact { scale, .. }, DataType::Decimal128(_, to)) => {
                let factor = power_of_ten(to - scale);
                let one = |(v, &n): (Option<i128>, &i64)| -> crate::error::Result<Option<i128>> {
                    let Some(v) = v else { return Ok(None) };
                    let n = i128::from(n);
                    // Whole part and rest apart, so that the dividend stays small.
                    let whole = (v / n).checked_mul(factor);
                    let rest = divide_rounding((v % n) * factor, n);
                    whole.and_then(|w| w.checked_add(rest)).map(Some).ok_or_else(numeric_overflow)
                };
                let values = totals.as_primitive::<Decimal128Type>();
                let out = values.iter().zip(counts).map(one).collect::<crate::error::Result<Decimal128Array>>()?;
                Ok(Arc::new(out.with_precision_and_scale(38, *to)?))
            }
            (Totals::Interval(_), _) => {
                let values = totals.as_primitive::<IntervalMonthDayNanoType>();
                let one =
                    |(v, &n): (Option<IntervalMonthDayNano>, &i64)| v.map(|v| multiply(v, 1.0 / n as f64)).transpose();
                let out = values.iter().zip(counts).map(one);
                Ok(Arc::new(out.collect::<crate::error::Result<arrow::array::IntervalMonthDayNanoArray>>()?))
            }
            _ => {
                let values = totals.as_primitive::<Float64Type>();
                let out = values.iter().zip(counts).map(|(v, &n)| v.map(|v| v / n as f64));
                Ok(Arc::new(out.collect::<Float64Array>()))
            }
        }
    }
}

fn interval_of([months, days, nanos]: [i128; 3]) -> crate::error::Result<IntervalMonthDayNano> {
    let range = || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range");
    Ok(IntervalMonthDayNano::new(
        i32::try_from(months).map_err(|_| range())?,
        i32::try_from(days).map_err(|_| range())?,
        i64::try_from(nanos).map_err(|_| range())?,
    ))
}

/// Integers as numerics of scale 0.
fn exact(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Decimal128(..) => Ok(values.clone()),
        _ => Ok(compute::cast(values, &DataType::Decimal128(38, 0))?),
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        self.add(&values[0], None, group_indices, opt_filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (totals, counts) = self.take(emit_to)?;
        self.finish(&totals, &counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (totals, counts) = self.take(emit_to)?;
        Ok(vec![totals, Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        self.add(&values[0], Some(values[1].as_primitive::<Int64Type>()), group_indices, None)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut own =
            Self { kind: self.kind, totals: self.totals.empty(), counts: vec![], result: self.result.clone() };
        let rows = values[0].len();
        own.resize(rows);
        own.add(&values[0], None, &(0..rows).collect::<Vec<_>>(), opt_filter)?;
        own.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let totals = match &self.totals {
            Totals::Exact { values, .. } => size_of_val(values.as_slice()),
            Totals::Float(values) => size_of_val(values.as_slice()),
            Totals::Interval(values) => size_of_val(values.as_slice()),
        };
        totals + size_of_val(self.counts.as_slice())
    }
}

impl Totals {
    fn empty(&self) -> Self {
        match self {
            Self::Exact { scale, .. } => Self::Exact { values: vec![], scale: *scale },
            Self::Float(_) => Self::Float(vec![]),
            Self::Interval(_) => Self::Interval(vec![]),
        }
    }
}

/// The accumulator of a single group (window frames; retraction makes sliding frames cheap).
#[derive(Debug)]
struct One {
    groups: Groups,
    rows: usize,
}

impl One {
    fn indices(rows: usize) -> Vec<usize> {
        vec![0; rows]
    }

    fn total(&mut self) -> Result<(ArrayRef, Vec<i64>)> {
        self.groups.resize(1);
        let mut copy = Groups {
            kind: self.groups.kind,
            totals: match &self.groups.totals {
                Totals::Exact { values, scale } => Totals::Exact { values: values.clone(), scale: *scale },
                Totals::Float(values) => Totals::Float(values.clone()),
                Totals::Interval(values) => Totals::Interval(values.clone()),
            },
            counts: self.groups.counts.clone(),
            result: self.groups.result.clone(),
        };
        copy.take(EmitTo::All)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows += values[0].len();
        self.groups.update_batch(values, &Self::indices(values[0].len()), None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (totals, counts) = self.total()?;
        ScalarValue::try_from_array(&self.groups.finish(&totals, &counts)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (totals, counts) = self.total()?;
        let count = counts.first().copied().unwrap_or(0);
        Ok(vec![ScalarValue::try_from_array(&totals, 0)?, ScalarValue::Int64(Some(count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.merge_batch(states, &Self::indices(states[0].len()), 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let minus = compute::kernels::numeric::neg(exact_or_same(&values[0])?.as_ref())?;
        let counts = Int64Array::from(vec![-1; minus.len()]);
        self.groups.resize(1);
        self.groups.add(&minus, Some(&counts), &Self::indices(minus.len()), None)
    }

    fn supports_retract_batch(&self) -> bool {
        // Floats would keep the rounding errors, and NaN, of what has left the frame.
        !matches!(self.groups.totals, Totals::Float(_))
    }
}

fn exact_or_same(values: &ArrayRef) -> Result<ArrayRef> {
    if matches!(values.data_type(), DataType::Interval(_)) { Ok(values.clone()) } else { exact(values) }
}
