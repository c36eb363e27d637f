//! width_bucket: the number of a value's bucket in a histogram.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int32Type, i256};

use super::arithmetic::{numeric_overflow, out_of_range, power_of_ten};
use super::native::{Call, Function};
use crate::data::types::{NUMERIC_DEFAULT, list_of};
use crate::error::{Error, Result, SqlState};

pub(super) const ALL: &[&Function] = &[&Function::of("width_bucket", types, width_bucket)];

fn types(types: &[DataType]) -> Option<(Vec<DataType>, Field)> {
    let wanted = match types {
        [operand, low, high, count] => {
            let bounds = bounds(&[operand, low, high])?;
            let fits = matches!(count, DataType::Int16 | DataType::Int32 | DataType::Utf8 | DataType::Null);
            fits.then(|| [bounds, vec![DataType::Int32]].concat())?
        }
        [operand, DataType::List(item)] => {
            let common = common(operand, item.data_type())?;
            vec![common.clone(), list_of(&Field::new("item", common, true))]
        }
        _ => return None,
    };
    Some((wanted, Field::new("", DataType::Int32, true)))
}

/// All doubles, or all numeric.
fn bounds(types: &[&DataType]) -> Option<Vec<DataType>> {
    let is = |f: fn(&DataType) -> bool| types.iter().any(|t| f(t));
    let numeric = is(|t| matches!(t, DataType::Decimal128(..))) && !is(DataType::is_floating);
    let one = |t: &&DataType| match t {
        DataType::Int16 | DataType::Int32 | DataType::Int64 if numeric => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal128(..) if numeric => Some((*t).clone()),
        DataType::Utf8 | DataType::Null if numeric => Some(DataType::Decimal128(NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1)),
        t if t.is_numeric() || matches!(t, DataType::Utf8 | DataType::Null) => Some(DataType::Float64),
        _ => None,
    };
    types.iter().map(one).collect()
}

/// What both the operand and the thresholds become.
fn common(operand: &DataType, item: &DataType) -> Option<DataType> {
    match (operand, item) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Utf8 | DataType::Null, b) => Some(b.clone()),
        (a, b) if !a.is_numeric() || !b.is_numeric() => None,
        (DataType::Decimal128(_, s), DataType::Decimal128(_, t)) => Some(DataType::Decimal128(38, *s.max(t))),
        (DataType::Decimal128(_, s), b) | (b, DataType::Decimal128(_, s)) if b.is_integer() => {
            Some(DataType::Decimal128(38, *s))
        }
        (a, b) if a.is_integer() && b.is_integer() => Some(DataType::Int64),
        _ => Some(DataType::Float64),
    }
}

fn wrong(message: &str) -> Error {
    Error::new(SqlState("2201G"), message)
}

fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let [operand, low, high, count] = call.args else { return among(call) };
    let counts = count.as_primitive::<Int32Type>();
    let present = |row: usize| call.args.iter().all(|a| a.is_valid(row));
    let bucket = |row: usize| -> Result<Option<i32>> {
        if !present(row) {
            return Ok(None);
        }
        let count = counts.value(row);
        if count <= 0 {
            return Err(wrong("count must be greater than zero"));
        }
        if operand.data_type() == &DataType::Float64 {
            let at = |a: &ArrayRef| a.as_primitive::<Float64Type>().value(row);
            return float(at(operand), at(low), at(high), count).map(Some);
        }
        let scale = [operand, low, high].iter().map(|a| scale(a)).max().unwrap_or_default();
        let at = |a: &ArrayRef| -> Result<i256> {
            let factor = i256::from_i128(power_of_ten(scale - self::scale(a)));
            let value = i256::from_i128(a.as_primitive::<Decimal128Type>().value(row));
            value.checked_mul(factor).ok_or_else(numeric_overflow)
        };
        numeric(at(operand)?, at(low)?, at(high)?, count).map(Some)
    };
    Ok(Arc::new((0..call.rows).map(bucket).collect::<Result<Int32Array>>()?))
}

fn scale(array: &ArrayRef) -> i8 {
    if let DataType::Decimal128(_, scale) = array.data_type() { *scale } else { 0 }
}

/// Behind the last bucket.
fn behind(count: i32) -> Result<i32> {
    count.checked_add(1).ok_or_else(|| out_of_range(&DataType::Int32))
}

fn float(operand: f64, low: f64, high: f64, count: i32) -> Result<i32> {
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return Err(wrong("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(wrong("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(wrong("lower bound cannot equal upper bound"));
    }
    let (before, beyond) = if low < high { (operand < low, operand >= high) } else { (operand > low, operand <= high) };
    if before {
        return Ok(0);
    }
    if beyond {
        return behind(count);
    }
    let part = match (operand - low) / (high - low) {
        part if (high - low).is_finite() => part,
        _ => (operand / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0),
    };
    // The quotient may have been rounded to one.
    Ok(((f64::from(count) * part) as i32).min(count - 1) + 1)
}

fn numeric(operand: i256, low: i256, high: i256, count: i32) -> Result<i32> {
    let before = match low.cmp(&high) {
        Ordering::Equal => return Err(wrong("lower bound cannot equal upper bound")),
        Ordering::Less if operand < low => true,
        Ordering::Less if operand >= high => return behind(count),
        Ordering::Greater if operand > low => true,
        Ordering::Greater if operand <= high => return behind(count),
        Ordering::Less | Ordering::Greater => false,
    };
    if before {
        return Ok(0);
    }
    let (way, width) = (operand.wrapping_sub(low), high.wrapping_sub(low));
    let whole = way.checked_mul(i256::from_i128(count.into())).and_then(|product| product.checked_div(width));
    let whole = whole.and_then(i256::to_i128).and_then(|n| i32::try_from(n).ok());
    whole.ok_or_else(numeric_overflow).map(|n| n.min(count - 1) + 1)
}

/// By an array of lower bounds, ascending.
fn among(call: &Call<'_>) -> Result<ArrayRef> {
    let (operand, lists) = (&call.args[0], call.args[1].as_list::<i32>());
    let compare = make_comparator(operand, lists.values(), SortOptions::default())?;
    let bucket = |row: usize| -> Result<Option<i32>> {
        if operand.is_null(row) || lists.is_null(row) {
            return Ok(None);
        }
        let (from, to) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
        if (from..to).any(|at| lists.values().is_null(at)) {
            return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "thresholds array must not contain NULLs"));
        }
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            if compare(row, middle) == Ordering::Less {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(i32::try_from(low - from).ok())
    };
    Ok(Arc::new((0..call.rows).map(bucket).collect::<Result<Int32Array>>()?))
}
