//! Which aggregates there are, and over what.

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::Cells;
use super::bits::{BitFunction, Bits};
use super::count::Counts;
use super::extreme::{self, Extreme};
use super::intervals::Intervals;
use super::moments::{Moment, Moments};
use super::ordered::{Ordered, OrderedFunction};
use super::sketch::Sketch;
use super::sorted::sortable;
use super::spellings::Spellings;
use super::sum::{Decimals, Floats, Integers};
use crate::error::Result;

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SQL's names")]
pub enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    Moment(Moment),
    /// bool_and, bool_or.
    Bool(BitFunction),
    /// bit_and, bit_or, bit_xor.
    Bit(BitFunction),
    Ordered(OrderedFunction),
    ApproxDistinct,
    /// How the equal values of a group are spelled.
    Spelling,
}

/// What an accumulator computes.
#[derive(Clone, Debug)]
pub struct AccumulatorKind {
    /// Which function.
    pub function: AggregateFunction,
    /// The arguments' types, then those of ORDER BY's expressions; none for `count(*)`.
    pub inputs: Vec<DataType>,
    /// ORDER BY inside the call: how each of the last inputs orders.
    pub order: Vec<SortOptions>,
    /// The result's type.
    pub output: DataType,
    /// Whether values can be taken back.
    pub retracting: bool,
    /// Whether each value counts once.
    pub distinct: bool,
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Int32 | DataType::Int16)
}

fn is_number(data_type: &DataType) -> bool {
    is_integer(data_type) || matches!(data_type, DataType::Decimal128(..) | DataType::Float32 | DataType::Float64)
}

impl AggregateFunction {
    /// Whether copies of a value change nothing.
    pub fn ignores_copies(self) -> bool {
        match self {
            Self::Min | Self::Max | Self::Bool(_) | Self::ApproxDistinct => true,
            Self::Bit(function) => function != BitFunction::Xor,
            Self::Ordered(function) => {
                use OrderedFunction::{AnyValue, FirstValue, LastValue};
                matches!(function, FirstValue | LastValue | AnyValue)
            }
            Self::Count | Self::Sum | Self::Avg | Self::Moment(_) | Self::Spelling => false,
        }
    }

    /// How many of the first arguments must not be NULL for a row to count.
    pub(super) fn strict(self) -> usize {
        match self {
            Self::Ordered(OrderedFunction::StringAgg | OrderedFunction::AnyValue) => 1,
            Self::Ordered(_) => 0,
            Self::Moment(moment) if moment.of_pairs() => 2,
            _ => 1,
        }
    }
}

impl AccumulatorKind {
    /// Whether this function over these types is supported.
    pub fn supported(&self) -> bool {
        use AggregateFunction as F;
        let arguments = &self.inputs[..self.inputs.len() - self.order.len()];
        match (self.function, arguments) {
            (F::Count, []) => true,
            (F::Ordered(OrderedFunction::StringAgg), [a, b]) => {
                a == b && matches!(a, DataType::Utf8 | DataType::Binary)
            }
            (F::Ordered(OrderedFunction::JsonObject | OrderedFunction::JsonbObject), [_, _]) => {
                self.inputs.iter().all(sortable)
            }
            (F::Moment(moment), [a, b]) => moment.of_pairs() && is_number(a) && is_number(b),
            (F::Moment(moment), [input]) => !moment.of_pairs() && is_number(input),
            (F::Count | F::ApproxDistinct, [_]) => true,
            (F::Spelling, [value, form]) => value == form && *value == self.output,
            (F::Bool(_), [input]) => *input == DataType::Boolean,
            (F::Bit(_), [input]) => is_integer(input) && *input == self.output,
            (F::Ordered(_), [input]) => !matches!(input, DataType::List(_)) && self.inputs.iter().all(sortable),
            (F::Min | F::Max, [input]) => extreme::supported(input) && *input == self.output,
            (F::Sum, [input]) => match input {
                i if is_integer(i) => matches!(self.output, DataType::Int64 | DataType::Decimal128(..)),
                DataType::Decimal128(..) => matches!(self.output, DataType::Decimal128(..)),
                DataType::Float32 | DataType::Float64 => matches!(self.output, DataType::Float32 | DataType::Float64),
                input => matches!(input, DataType::Interval(_)),
            },
            (F::Avg, [input]) => match input {
                i if is_integer(i) => matches!(self.output, DataType::Float64 | DataType::Decimal128(..)),
                DataType::Decimal128(..) => matches!(self.output, DataType::Decimal128(..)),
                DataType::Float32 | DataType::Float64 => matches!(self.output, DataType::Float64),
                input => matches!(input, DataType::Interval(_)),
            },
            _ => false,
        }
    }

    /// Whether all that it holds of groups is in vectors by entry, so that making them empty forgets it.
    pub fn flat(&self) -> bool {
        use AggregateFunction as F;
        !self.distinct
            && matches!(self.function, F::Count | F::Sum | F::Min | F::Max | F::Avg | F::Moment(_) | F::Bool(_))
    }

    /// Empty cells for it.
    pub(super) fn cells(&self) -> Result<Box<dyn Cells>> {
        use AggregateFunction as F;
        let input = self.inputs.first().unwrap_or(&DataType::Int64);
        let output = &self.output;
        let average = self.function == F::Avg;
        Ok(match (self.function, input) {
            (F::Count, _) => Box::new(Counts::default()),
            (F::Min | F::Max, _) => Box::new(Extreme::new(input, output, self.function == F::Min, self.retracting)?),
            (F::Sum | F::Avg, DataType::Decimal128(_, scale)) => {
                Box::new(Decimals::new(average, *scale, output.clone()))
            }
            (F::Sum | F::Avg, DataType::Interval(_)) => Box::new(Intervals::new(average)),
            (F::Sum | F::Avg, i) if is_integer(i) => Box::new(Integers::new(average, output.clone())),
            (F::Sum | F::Avg, _) => Box::new(Floats::new(average, output.clone())),
            (F::Moment(moment), _) => Box::new(Moments::new(moment, input, output)),
            (F::Bool(function) | F::Bit(function), _) => Box::new(Bits::new(function, output, self.retracting)),
            (F::Ordered(function), _) => Box::new(Ordered::new(function, &self.inputs, &self.order, output)?),
            (F::ApproxDistinct, _) => Box::new(Sketch::new(input)?),
            (F::Spelling, _) => Box::new(Spellings::new(input)?),
        })
    }
}
