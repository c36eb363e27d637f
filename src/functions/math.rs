//! Mathematical functions that PostgreSQL types otherwise than DataFusion.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type};

use super::arithmetic::{divide_rounding, numeric_overflow, power_of_ten};
use super::native::{Call, Function, Overload, T};
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[
    &Function::new("power", &[Overload(&[T::Float8, T::Float8], T::Float8)], power),
    &Function::new("pow", &[Overload(&[T::Float8, T::Float8], T::Float8)], power),
    &Function::new("sqrt", &[Overload(&[T::Float8], T::Float8)], sqrt),
    &Function::new(
        "round",
        &[
            Overload(&[T::Float8], T::Float8),
            Overload(&[T::Numeric], T::Scaled(0)),
            Overload(&[T::Numeric, T::Int4], T::First),
        ],
        round,
    ),
    &Function::new(
        "trunc",
        &[
            Overload(&[T::Float8], T::Float8),
            Overload(&[T::Numeric], T::Scaled(0)),
            Overload(&[T::Numeric, T::Int4], T::First),
        ],
        trunc,
    ),
    &Function::new("floor", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Numeric], T::Scaled(0))], |c| {
        whole(c, f64::floor, i128::div_euclid)
    }),
    &Function::new("ceil", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Numeric], T::Scaled(0))], |c| {
        whole(c, f64::ceil, |v, unit| -(-v).div_euclid(unit))
    }),
    &Function::new("ceiling", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Numeric], T::Scaled(0))], |c| {
        whole(c, f64::ceil, |v, unit| -(-v).div_euclid(unit))
    }),
];

fn range() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

fn power(call: &Call<'_>) -> Result<ArrayRef> {
    let (base, exponent) = (call.args[0].as_primitive::<Float64Type>(), call.args[1].as_primitive::<Float64Type>());
    let one = |(b, e): (Option<f64>, Option<f64>)| -> Result<Option<f64>> {
        let (Some(b), Some(e)) = (b, e) else { return Ok(None) };
        let wrong = |m: &str| Error::new(SqlState("2201F"), m.to_owned());
        if b == 0.0 && e < 0.0 {
            return Err(wrong("zero raised to a negative power is undefined"));
        }
        if b < 0.0 && e.fract() != 0.0 && b.is_finite() {
            return Err(wrong("a negative number raised to a non-integer power yields a complex result"));
        }
        let result = b.powf(e);
        if result.is_infinite() && b.is_finite() && e.is_finite() { Err(range()) } else { Ok(Some(result)) }
    };
    Ok(Arc::new(base.iter().zip(exponent).map(one).collect::<Result<Float64Array>>()?))
}

fn sqrt(call: &Call<'_>) -> Result<ArrayRef> {
    let wrong = || Error::new(SqlState("2201F"), "cannot take square root of a negative number");
    let one = |v: f64| if v < 0.0 { Err(wrong()) } else { Ok(v.sqrt()) };
    let out: Float64Array = call.args[0].as_primitive::<Float64Type>().try_unary(one)?;
    Ok(Arc::new(out))
}

/// Rounds doubles to even, numerics away from zero; with a second argument to that many digits, the scale stays.
fn round(call: &Call<'_>) -> Result<ArrayRef> {
    digits(call, f64::round_ties_even, divide_rounding)
}

fn trunc(call: &Call<'_>) -> Result<ArrayRef> {
    digits(call, f64::trunc, |v, unit| v / unit)
}

fn digits(call: &Call<'_>, float: fn(f64) -> f64, decimal: fn(i128, i128) -> i128) -> Result<ArrayRef> {
    let Some(digits) = call.args.get(1) else { return whole(call, float, decimal) };
    let values = call.args[0].as_primitive::<Decimal128Type>();
    let scale = values.scale();
    let one = |(v, n): (Option<i128>, Option<i32>)| -> Result<Option<i128>> {
        let (Some(v), Some(n)) = (v, n) else { return Ok(None) };
        let drop = i32::from(scale).saturating_sub(n);
        if drop <= 0 {
            return Ok(Some(v));
        }
        if drop > 38 {
            return Ok(Some(0));
        }
        let unit = power_of_ten(drop as i8);
        decimal(v, unit).checked_mul(unit).map(Some).ok_or_else(numeric_overflow)
    };
    let out = values.iter().zip(digits.as_primitive::<Int32Type>()).map(one).collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(out.with_data_type(call.args[0].data_type().clone())))
}

fn whole(call: &Call<'_>, float: fn(f64) -> f64, decimal: fn(i128, i128) -> i128) -> Result<ArrayRef> {
    match call.args[0].data_type() {
        DataType::Decimal128(_, scale) => {
            let unit = power_of_ten(*scale);
            let out: Decimal128Array = call.args[0].as_primitive::<Decimal128Type>().unary(|v| decimal(v, unit));
            Ok(Arc::new(out.with_precision_and_scale(38, 0)?))
        }
        _ => {
            let out: Float64Array = call.args[0].as_primitive::<Float64Type>().unary(float);
            Ok(Arc::new(out))
        }
    }
}
