//! `+ - * / %` of numbers as PostgreSQL does them: integers never wrap (22003), division by zero is 22012 for all types,
//! numeric keeps its scale and rounds half away from zero, floats that overflow are 22003.
//!
//! Both arguments have the same type, numeric of any scale; the binder casts them so.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, i256};
use arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr_common::datum::apply;
use std::sync::Arc;

use crate::data::one_nan;
use crate::error::{Error, SqlState};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide, Self::Modulo];

    /// The name of its function.
    pub fn function(self) -> &'static str {
        self.name()
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::Modulo => "modulo",
        }
    }

    /// Scale of a numeric result.
    fn scale(self, left: i8, right: i8) -> i8 {
        let larger = left.max(right);
        match self {
            Self::Add | Self::Subtract | Self::Modulo => larger,
            // Beyond 20 digits the whole part would get too little of the 38.
            Self::Multiply => (left + right).min(larger.max(20)),
            Self::Divide => larger.max(16),
        }
    }
}

/// The function behind an operator.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// Which.
    pub op: Op,
    signature: Signature,
}

impl Arithmetic {
    /// The function of an operator.
    pub fn new(op: Op) -> Self {
        Self { op, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [l, r] => Ok(format!("{} {} {}", l.schema_name(), self.op.symbol(), r.schema_name())),
            _ => Ok(self.name().to_owned()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Decimal128(_, l), DataType::Decimal128(_, r)] => {
                Ok(DataType::Decimal128(38, self.op.scale(*l, *r)))
            }
            [l, r] if l == r => Ok(l.clone()),
            _ => Err(DataFusionError::Plan(format!("{} of {types:?}", self.op.name()))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let op = self.op;
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("arithmetic takes two arguments".into()));
        };
        if matches!(left.data_type(), DataType::Decimal128(..)) {
            let scale = match args.return_field.data_type() {
                DataType::Decimal128(_, scale) => *scale,
                _ => 0,
            };
            return apply(left, right, |l, r| decimal(op, l, r, scale));
        }
        let kernel = match op {
            Op::Add => numeric::add,
            Op::Subtract => numeric::sub,
            Op::Multiply => numeric::mul,
            Op::Divide => numeric::div,
            Op::Modulo => numeric::rem,
        };
        let data_type = left.data_type();
        apply(left, right, |l, r| match data_type {
            DataType::Float32 => float::<Float32Type>(op, l, r, kernel(l, r)?, |v| v.is_infinite(), |v| v == 0.0),
            DataType::Float64 => float::<Float64Type>(op, l, r, kernel(l, r)?, |v| v.is_infinite(), |v| v == 0.0),
            _ => kernel(l, r),
        })
        .map_err(|e| worded(e, &data_type))
    }
}

fn external(error: Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// PostgreSQL's words for Arrow's overflow.
fn worded(error: DataFusionError, data_type: &DataType) -> DataFusionError {
    match &error {
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ArithmeticOverflow(_) => out_of_range(data_type).into(),
            ArrowError::DivideByZero => division_by_zero().into(),
            _ => error,
        },
        _ => error,
    }
}

/// 22012.
pub fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// 22003 of an integer type.
pub fn out_of_range(data_type: &DataType) -> Error {
    let name = match data_type {
        DataType::Int16 => "smallint",
        DataType::Int64 => "bigint",
        _ => "integer",
    };
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

/// 22003 of numeric.
pub fn numeric_overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .with_detail("Numbers have 38 digits at most, those behind the point included.")
}

/// Row `i` of one side; a scalar has one row for all.
fn at<T: ArrowPrimitiveType>(side: (&PrimitiveArray<T>, bool), i: usize) -> Option<T::Native> {
    let row = if side.1 { 0 } else { i };
    side.0.is_valid(row).then(|| side.0.value(row))
}

/// Arrow's floats overflow to infinity and divide by zero; PostgreSQL's do not.
fn float<T: ArrowPrimitiveType>(
    op: Op,
    l: &dyn Datum,
    r: &dyn Datum,
    result: ArrayRef,
    infinite: impl Fn(T::Native) -> bool,
    zero: impl Fn(T::Native) -> bool,
) -> Result<ArrayRef, ArrowError> {
    let values = result.as_primitive::<T>();
    let ((l, l_scalar), (r, r_scalar)) = (l.get(), r.get());
    let (l, r) = ((l.as_primitive::<T>(), l_scalar), (r.as_primitive::<T>(), r_scalar));
    if matches!(op, Op::Divide | Op::Modulo) {
        let by_zero = (0..values.len()).any(|i| values.is_valid(i) && at(r, i).is_some_and(&zero));
        if by_zero {
            return Err(external(division_by_zero()));
        }
    }
    let mut number = true;
    for (i, &value) in values.values().iter().enumerate() {
        number &= value.partial_cmp(&value).is_some();
        if infinite(value)
            && values.is_valid(i)
            && let (Some(a), Some(b)) = (at(l, i), at(r, i))
            && !infinite(a)
            && !infinite(b)
        {
            let message = "value out of range: overflow";
            return Err(external(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)));
        }
    }
    // Processors make other NaNs of infinities than constants are.
    if number { Ok(result) } else { one_nan(&result).map_err(external) }
}

fn decimal(op: Op, l: &dyn Datum, r: &dyn Datum, scale: i8) -> Result<ArrayRef, ArrowError> {
    let ((l, l_scalar), (r, r_scalar)) = (l.get(), r.get());
    let (l, r) = (l.as_primitive::<Decimal128Type>(), r.as_primitive::<Decimal128Type>());
    let rows = match (l_scalar, r_scalar) {
        (false, _) => l.len(),
        (true, false) => r.len(),
        (true, true) => 1,
    };
    let (ls, rs) = (l.scale(), r.scale());
    let one = |i: usize| -> Result<Option<i128>, ArrowError> {
        match (at((l, l_scalar), i), at((r, r_scalar), i)) {
            (Some(a), Some(b)) => compute(op, (a, ls), (b, rs), scale).map(Some).map_err(external),
            _ => Ok(None),
        }
    };
    let values = (0..rows).map(one).collect::<Result<Decimal128Array, _>>()?;
    Ok(Arc::new(values.with_precision_and_scale(38, scale)?))
}

/// `10^n` for the scales there are.
pub fn power_of_ten(n: i8) -> i128 {
    10i128.pow(u32::from(n.clamp(0, 38).unsigned_abs()))
}

/// One numeric operation; values are unscaled, with their scales.
fn compute(op: Op, (a, ls): (i128, i8), (b, rs): (i128, i8), scale: i8) -> crate::error::Result<i128> {
    let widened = |v: i128, from: i8| v.checked_mul(power_of_ten(scale - from)).ok_or_else(numeric_overflow);
    let value = match op {
        Op::Add => widened(a, ls)?.checked_add(widened(b, rs)?),
        Op::Subtract => widened(a, ls)?.checked_sub(widened(b, rs)?),
        Op::Multiply => {
            let drop = ls + rs - scale;
            match a.checked_mul(b) {
                Some(product) => Some(divide_rounding(product, power_of_ten(drop))),
                None => wide(i256::from_i128(a).wrapping_mul(i256::from_i128(b)), power_of_ten(drop)),
            }
        }
        Op::Divide | Op::Modulo if b == 0 => return Err(division_by_zero()),
        Op::Divide => {
            let shift = scale + rs - ls;
            let factor = if shift > 38 { None } else { Some(power_of_ten(shift)) };
            match factor.and_then(|f| a.checked_mul(f)) {
                Some(dividend) => Some(divide_rounding(dividend, b)),
                None => {
                    let ten = i256::from_i128(power_of_ten(shift.min(38)));
                    let rest = i256::from_i128(power_of_ten((shift - 38).max(0)));
                    let dividend = i256::from_i128(a).checked_mul(ten).and_then(|d| d.checked_mul(rest));
                    dividend.and_then(|d| wide(d, b))
                }
            }
        }
        Op::Modulo => widened(a, ls)?.checked_rem(widened(b, rs)?),
    };
    value.filter(|v| v.unsigned_abs() < power_of_ten(38).unsigned_abs()).ok_or_else(numeric_overflow)
}

/// Quotient, rounded half away from zero.
pub fn divide_rounding(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    if rest != 0 && up { quotient + if (dividend < 0) == (divisor < 0) { 1 } else { -1 } } else { quotient }
}

/// As [`divide_rounding`], from 256 bits; `None` beyond 128.
fn wide(dividend: i256, divisor: i128) -> Option<i128> {
    let by = i256::from_i128(divisor);
    let (quotient, rest) = (dividend.checked_div(by)?, dividend.checked_rem(by)?);
    let twice = rest.wrapping_abs().wrapping_add(rest.wrapping_abs());
    let negative = (dividend < i256::ZERO) != (divisor < 0);
    let one = i256::from_i128(if negative { -1 } else { 1 });
    let rounded = if twice >= by.wrapping_abs() { quotient.wrapping_add(one) } else { quotient };
    rounded.to_i128()
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_round_half_away_from_zero_and_never_wrap() {
        let divide = |a, b| compute(Op::Divide, (a, 0), (b, 0), 16).unwrap();
        assert_eq!(divide(1, 3), 3_333_333_333_333_333);
        assert_eq!(divide(-2, 3), -6_666_666_666_666_667);
        assert_eq!(compute(Op::Multiply, (15, 1), (15, 1), 2).unwrap(), 225);
        assert_eq!(compute(Op::Multiply, (15, 1), (15, 1), 1).unwrap(), 23);
        let large = power_of_ten(37);
        assert_eq!(compute(Op::Multiply, (large, 0), (large, 0), 0).unwrap_err().code().0, "22003");
        assert_eq!(compute(Op::Divide, (large, 0), (1, 0), 16).unwrap_err().code().0, "22003");
        assert_eq!(compute(Op::Divide, (1, 0), (0, 5), 16).unwrap_err().code().0, "22012");
    }
}
