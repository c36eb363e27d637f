//! `gcd`, `lcm` and `factorial`, with PostgreSQL's types and errors.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use super::arithmetic::{numeric_overflow, out_of_range, power_of_ten};
use super::native::{Call, Function, Overload, T};
use crate::error::{Error, Result, SqlState};

const WHOLE: &[Overload] = &[Overload(&[T::Int4, T::Int4], T::Int4), Overload(&[T::Int8, T::Int8], T::Int8)];

pub(super) const ALL: &[&Function] = &[
    &Function::new("gcd", WHOLE, |call| whole(call, gcd)),
    &Function::new("lcm", WHOLE, |call| whole(call, lcm)),
    &Function::new("factorial", &[Overload(&[T::Int8], T::Scaled(0))], factorial),
];

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn lcm(a: i128, b: i128) -> i128 {
    if a == 0 || b == 0 { 0 } else { (a / gcd(a, b) * b).abs() }
}

fn whole(call: &Call<'_>, f: fn(i128, i128) -> i128) -> Result<ArrayRef> {
    let (a, b) = (&call.args[0], &call.args[1]);
    let range = || out_of_range(call.result);
    if call.result == &DataType::Int32 {
        let (a, b) = (a.as_primitive::<Int32Type>(), b.as_primitive::<Int32Type>());
        let one = |(a, b): (Option<i32>, Option<i32>)| match (a, b) {
            (Some(a), Some(b)) => i32::try_from(f(a.into(), b.into())).map(Some).map_err(|_| range()),
            _ => Ok(None),
        };
        return Ok(Arc::new(a.iter().zip(b).map(one).collect::<Result<Int32Array>>()?));
    }
    let (a, b) = (a.as_primitive::<Int64Type>(), b.as_primitive::<Int64Type>());
    let one = |(a, b): (Option<i64>, Option<i64>)| match (a, b) {
        (Some(a), Some(b)) => i64::try_from(f(a.into(), b.into())).map(Some).map_err(|_| range()),
        _ => Ok(None),
    };
    Ok(Arc::new(a.iter().zip(b).map(one).collect::<Result<Int64Array>>()?))
}

fn factorial(call: &Call<'_>) -> Result<ArrayRef> {
    let one = |n: i64| -> Result<i128> {
        if n < 0 {
            let message = "factorial of a negative number is undefined";
            return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
        }
        let product = (1..=i128::from(n)).try_fold(1_i128, |product, k| product.checked_mul(k));
        product.filter(|p| *p < power_of_ten(38)).ok_or_else(numeric_overflow)
    };
    let numbers = call.args[0].as_primitive::<Int64Type>();
    let out = numbers.iter().map(|n| n.map(one).transpose()).collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(out.with_precision_and_scale(38, 0)?))
}
