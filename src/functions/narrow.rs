//! Numbers cast to narrower numbers: rounded as PostgreSQL rounds, and checked.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int16Array, Int32Array, Int64Array, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float32Type, Float64Type};

use super::arithmetic::{divide_rounding, out_of_range, power_of_ten};
use crate::error::{Error, SqlState};

pub(super) fn narrow_int(values: &Int64Array, to: &DataType) -> crate::error::Result<ArrayRef> {
    let wrong = |_| out_of_range(to);
    Ok(match to {
        DataType::Int16 => {
            let out = values.iter().map(|v| v.map(i16::try_from).transpose().map_err(wrong));
            Arc::new(out.collect::<crate::error::Result<Int16Array>>()?)
        }
        DataType::Int32 => {
            let out = values.iter().map(|v| v.map(i32::try_from).transpose().map_err(wrong));
            Arc::new(out.collect::<crate::error::Result<Int32Array>>()?)
        }
        _ => Arc::new(values.clone()),
    })
}

pub(super) fn float_to_int(array: &ArrayRef, to: &DataType) -> crate::error::Result<ArrayRef> {
    let wide = compute::cast(array, &DataType::Float64)?;
    let convert = |v: f64| -> crate::error::Result<i64> {
        let rounded = v.round_ties_even();
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
        if fits { Ok(rounded as i64) } else { Err(out_of_range(to)) }
    };
    let ints = wide.as_primitive::<Float64Type>().iter().map(|v| v.map(convert).transpose());
    narrow_int(&ints.collect::<crate::error::Result<Int64Array>>()?, to)
}

pub(super) fn decimal_to_int(array: &ArrayRef, scale: i8, to: &DataType) -> crate::error::Result<ArrayRef> {
    let convert = |v: i128| i64::try_from(divide_rounding(v, power_of_ten(scale))).map_err(|_| out_of_range(to));
    let ints = array.as_primitive::<Decimal128Type>().iter().map(|v| v.map(convert).transpose());
    narrow_int(&ints.collect::<crate::error::Result<Int64Array>>()?, to)
}

pub(super) fn narrow_float(array: &ArrayRef) -> crate::error::Result<ArrayRef> {
    let out: PrimitiveArray<Float32Type> = array.as_primitive::<Float64Type>().try_unary(|v| {
        let narrow = v as f32;
        if narrow.is_infinite() && v.is_finite() {
            Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"))
        } else {
            Ok(narrow)
        }
    })?;
    Ok(Arc::new(out))
}

/// The nearest double: exactly where both parts are exact, else by way of the digits.
pub(super) fn decimal_to_float(array: &ArrayRef, scale: i8, to: &Field) -> crate::error::Result<ArrayRef> {
    let divisor = 10f64.powi(i32::from(scale));
    let mut digits = String::new();
    let mut convert = |v: i128| {
        if v.unsigned_abs() < 1 << 53 && scale <= 22 {
            return v as f64 / divisor;
        }
        digits.clear();
        let _ = write!(digits, "{v}e-{scale}");
        digits.parse().unwrap_or(f64::NAN)
    };
    let values = array.as_primitive::<Decimal128Type>();
    let out: PrimitiveArray<Float64Type> = values.iter().map(|v| v.map(&mut convert)).collect();
    let out: ArrayRef = Arc::new(out);
    if to.data_type() == &DataType::Float32 { narrow_float(&out) } else { Ok(out) }
}
