//! Mathematical functions that PostgreSQL types otherwise than DataFusion.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int32Type};

use super::arithmetic::{divide_rounding, numeric_overflow, power_of_ten};
use super::native::{Call, Function, Overload, T};
use crate::data::one_nan;
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[
    &Function::new("power", &[Overload(&[T::Float8, T::Float8], T::Float8)], power),
    &Function::new("pow", &[Overload(&[T::Float8, T::Float8], T::Float8)], power),
    &Function::new("sqrt", &[Overload(&[T::Float8], T::Float8)], sqrt),
    &Function::new("ln", &[Overload(&[T::Float8], T::Float8)], |c| logarithm(c, f64::ln)),
    &Function::new("log10", &[Overload(&[T::Float8], T::Float8)], |c| logarithm(c, f64::log10)),
    &Function::new("log", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Float8, T::Float8], T::Float8)], log),
    &Function::new("exp", &[Overload(&[T::Float8], T::Float8)], exp),
    &Function::new("acos", &[Overload(&[T::Float8], T::Float8)], |c| within_one(c, f64::acos)),
    &Function::new("asin", &[Overload(&[T::Float8], T::Float8)], |c| within_one(c, f64::asin)),
    &Function { scale_by_constant: true, ..Function::new("round", DIGITS, round) },
    &Function { scale_by_constant: true, ..Function::new("trunc", DIGITS, trunc) },
    &Function::new("floor", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Numeric], T::Scaled(0))], |c| {
        whole(c, f64::floor, i128::div_euclid)
    }),
    &Function::new("ceil", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Numeric], T::Scaled(0))], |c| {
        whole(c, f64::ceil, |v, unit| -(-v).div_euclid(unit))
    }),
    &Function::new("ceiling", &[Overload(&[T::Float8], T::Float8), Overload(&[T::Numeric], T::Scaled(0))], |c| {
        whole(c, f64::ceil, |v, unit| -(-v).div_euclid(unit))
    }),
    // `-x`: that of NaN is NaN.
    &Function::of("float_negative", floats, negative),
];

fn floats(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let [float @ (DataType::Float32 | DataType::Float64)] = types else { return None };
    Some((types.to_vec(), Field::new("", float.clone(), true)))
}

fn negative(call: &Call<'_>) -> Result<ArrayRef> {
    one_nan(&arrow::compute::kernels::numeric::neg(&call.args[0])?)
}

const DIGITS: &[Overload] = &[
    Overload(&[T::Float8], T::Float8),
    Overload(&[T::Numeric], T::Scaled(0)),
    Overload(&[T::Numeric, T::Int4], T::First),
];

fn no_logarithm(of: f64) -> Option<Error> {
    let message = if of == 0.0 {
        "cannot take logarithm of zero"
    } else if of < 0.0 {
        "cannot take logarithm of a negative number"
    } else {
        return None;
    };
    Some(Error::new(SqlState("2201E"), message))
}

fn logarithm(call: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef> {
    let one = |v: f64| no_logarithm(v).map_or_else(|| Ok(f(v)), Err);
    let out: Float64Array = call.args[0].as_primitive::<Float64Type>().try_unary(one)?;
    Ok(Arc::new(out))
}

/// `log(x)` is to the base 10, `log(b, x)` to the base b.
fn log(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(of) = call.args.get(1) else { return logarithm(call, f64::log10) };
    let one = |(base, v): (Option<f64>, Option<f64>)| -> Result<Option<f64>> {
        let (Some(base), Some(v)) = (base, v) else { return Ok(None) };
        if let Some(error) = no_logarithm(base).or_else(|| no_logarithm(v)) {
            return Err(error);
        }
        if base == 1.0 {
            return Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"));
        }
        Ok(Some(v.ln() / base.ln()))
    };
    let bases = call.args[0].as_primitive::<Float64Type>().iter();
    Ok(Arc::new(bases.zip(of.as_primitive::<Float64Type>()).map(one).collect::<Result<Float64Array>>()?))
}

fn exp(call: &Call<'_>) -> Result<ArrayRef> {
    let one = |v: f64| {
        let result = v.exp();
        if result.is_infinite() && v.is_finite() { Err(range()) } else { Ok(result) }
    };
    let out: Float64Array = call.args[0].as_primitive::<Float64Type>().try_unary(one)?;
    Ok(Arc::new(out))
}

fn within_one(call: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef> {
    let wrong = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range");
    let one = |v: f64| if v.abs() > 1.0 { Err(wrong()) } else { Ok(f(v)) };
    let out: Float64Array = call.args[0].as_primitive::<Float64Type>().try_unary(one)?;
    Ok(Arc::new(out))
}

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

/// Rounds doubles to even, numerics away from zero; with a second argument to that many digits, which are the result's
/// scale where it is a constant; else the scale stays.
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
    let kept = if let DataType::Decimal128(_, kept) = call.result { *kept } else { scale };
    let one = |(v, n): (Option<i128>, Option<i32>)| -> Result<Option<i128>> {
        let (Some(v), Some(n)) = (v, n) else { return Ok(None) };
        let drop = i32::from(scale).saturating_sub(n);
        if drop > 38 {
            return Ok(Some(0));
        }
        let unit = power_of_ten(drop.max(0) as i8);
        let rounded = if drop <= 0 { v } else { decimal(v, unit) };
        // From the scale that rounding left to the result's.
        let shift = i32::from(kept) - i32::from(scale) + drop.max(0);
        if shift < 0 {
            return Ok(Some(rounded / power_of_ten(shift.unsigned_abs() as i8)));
        }
        rounded.checked_mul(power_of_ten(shift as i8)).map(Some).ok_or_else(numeric_overflow)
    };
    let out = values.iter().zip(digits.as_primitive::<Int32Type>()).map(one).collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(out.with_data_type(call.result.clone())))
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
