//! Which aggregates there are, and over what.

use arrow::datatypes::DataType;

use super::Cells;
use super::count::Counts;
use super::extreme::{self, Extreme};
use super::sum::{Decimals, Floats, Integers};

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
    /// The arguments' types; none for `count(*)`.
    pub inputs: Vec<DataType>,
    /// The result's type.
    pub output: DataType,
    /// Whether values can be taken back.
    pub retracting: bool,
    /// Whether each value counts once.
    pub distinct: bool,
}

pub(super) fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Int32 | DataType::Int16)
}

impl AccumulatorKind {
    /// Whether this function over these types is supported.
    pub fn supported(&self) -> bool {
        let [input] = &self.inputs[..] else {
            return self.function == AggregateFunction::Count && self.inputs.is_empty();
        };
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

    /// Empty cells for it.
    pub(super) fn cells(&self) -> Box<dyn Cells> {
        use AggregateFunction as F;
        let input = self.inputs.first().unwrap_or(&DataType::Int64);
        let (average, output) = (self.function == F::Avg, self.output.clone());
        match (self.function, input) {
            (F::Count, _) => Box::new(Counts::default()),
            (F::Min | F::Max, _) => Box::new(Extreme::new(input, &output, self.function == F::Min, self.retracting)),
            (F::Sum | F::Avg, DataType::Decimal128(_, scale)) => Box::new(Decimals::new(average, *scale, output)),
            (F::Sum | F::Avg, i) if is_integer(i) => Box::new(Integers::new(average, output)),
            (F::Sum | F::Avg, _) => Box::new(Floats::new(average, output)),
        }
    }
}
