//! Key forms: what is equal, said once for the whole engine.
//!
//! PostgreSQL calls values equal that are not the same: `-0` and `0`, every NaN, in jsonb `1` and `1.0` at any depth,
//! intervals of one length when a month is 30 days and a day 24 hours, and arrays of such values. [`key_form`] gives a
//! column in which each value has become one that stands for all its equals, of the same type: two values are equal when
//! their key forms are the same, bit for bit. (numeric has one scale per column, and text no collation: what is equal
//! there is the same.)
//!
//! Whoever compares for equality compares key forms:
//!
//! * the binder puts `key_form(e)` into plans, for views and SELECT alike, so that both run one plan (`sql::binder::keys`):
//!   GROUP BY, DISTINCT, UNION, INTERSECT, EXCEPT, the keys of joins, PARTITION BY, IN and `= ANY`;
//! * [`KeyEncoder`](super::KeyEncoder) takes them: primary keys and ON CONFLICT, DISTINCT inside aggregates, the functions
//!   of arrays;
//! * ORDER BY and `<` take what orders alike: `jsonb_order`, `interval_order`, and the key form of all others.
//!
//! Whoever tells *rows* apart does not: `UPDATE t SET f = '-0'` is a change, and its retraction takes out the row that
//! holds 0. There [`KeyEncoder::exact`](super::KeyEncoder::exact) is used: netting, consolidation, rows without a key.
//!
//! A group shows a value that was put in, not its key form: the key form itself if some row of the group has it, else the
//! least of the others. That does not depend on the order of rows, so that a view and SELECT agree; the aggregate
//! `Spellings` keeps what it takes, for types whose values vary only.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, make_array};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};

use super::text::json::{self, Json};
use super::types::JSONB;
use crate::error::Result;

/// Whether values of a type may be equal and yet not the same.
pub fn varies(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 | DataType::Interval(IntervalUnit::MonthDayNano) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => varies(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| varies(f.data_type())),
        other => *other == JSONB,
    }
}

/// The column with one value for all that are equal.
pub fn key_form(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        // `-0 + 0` is 0.
        DataType::Float32 | DataType::Float64 => floats(array, 0.0),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
            Arc::new(intervals.unary::<_, IntervalMonthDayNanoType>(justified))
        }
        nested if nested.is_nested() && varies(nested) => within(array, key_form)?,
        other if *other == JSONB => documents(array),
        _ => Arc::clone(array),
    })
}

/// The column with one NaN, so that bytes order it above all numbers; all else stays as it is.
pub fn one_nan(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        // `-0 + -0` is -0.
        DataType::Float32 | DataType::Float64 => floats(array, -0.0),
        nested if nested.is_nested() && varies(nested) => within(array, one_nan)?,
        _ => Arc::clone(array),
    })
}

/// Floats with one NaN, and a zero added, which changes none but zeros.
fn floats(array: &ArrayRef, zero: f32) -> ArrayRef {
    if let Some(floats) = array.as_primitive_opt::<Float32Type>() {
        let one = |v: f32| if v.is_nan() { f32::NAN } else { v + zero };
        return Arc::new(floats.unary::<_, Float32Type>(one));
    }
    let one = |v: f64| if v.is_nan() { f64::NAN } else { v + f64::from(zero) };
    Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
}

/// Changes what an array or a row is made of.
fn within(array: &ArrayRef, change: fn(&ArrayRef) -> Result<ArrayRef>) -> Result<ArrayRef> {
    let data = array.to_data();
    let children = data.child_data().iter().map(|c| Ok(change(&make_array(c.clone()))?.to_data()));
    let children = children.collect::<Result<Vec<_>>>()?;
    Ok(make_array(data.into_builder().child_data(children).build()?))
}

/// A month for 30 days, a day for 24 hours, all of one sign: so that months, then days, then time order as lengths do.
fn justified(interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    const DAY: i128 = 86_400_000_000_000;
    const MONTH: i128 = 30 * DAY;
    let length =
        i128::from(interval.months) * MONTH + i128::from(interval.days) * DAY + i128::from(interval.nanoseconds);
    // What no month holds any more is days: there is room for it.
    let months = (length / MONTH).clamp(i32::MIN.into(), i32::MAX.into());
    let rest = length - months * MONTH;
    IntervalMonthDayNano::new(months as i32, (rest / DAY) as i32, (rest % DAY) as i64)
}

/// Documents whose numbers end in no zeros behind the point.
fn documents(array: &ArrayRef) -> ArrayRef {
    let texts = array.as_string::<i64>();
    // What jsonb is kept as varies in nothing else.
    if !texts.value_data().contains(&b'.') {
        return Arc::clone(array);
    }
    Arc::new(texts.iter().map(|text| text.map(document)).collect::<LargeStringArray>())
}

fn document(text: &str) -> Cow<'_, str> {
    match text.contains('.').then(|| json::parse(text)) {
        Some(Ok(mut value)) => {
            shorten(&mut value);
            let mut out = String::with_capacity(text.len());
            json::write(&value, &mut out);
            out.into()
        }
        Some(Err(_)) | None => text.into(),
    }
}

fn shorten(value: &mut Json) {
    match value {
        Json::Number(digits) if digits.contains('.') => {
            let kept = digits.trim_end_matches('0').trim_end_matches('.').len();
            digits.truncate(kept);
        }
        Json::Array(items) => items.iter_mut().for_each(shorten),
        Json::Object(members) => members.iter_mut().for_each(|(_, item)| shorten(item)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, IntervalMonthDayNanoArray, ListArray};

    use super::*;

    #[test]
    fn floats_have_one_zero_and_one_nan_in_arrays_too() {
        let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
        let bits = |array: &ArrayRef| -> Vec<u64> {
            array.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect()
        };
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, odd_nan, -1.5]));
        let wanted = [0.0, f64::NAN, -1.5].map(f64::to_bits);
        assert_eq!(bits(&key_form(&floats).unwrap()), wanted);
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(-0.0), Some(odd_nan), Some(-1.5)])]);
        let list: ArrayRef = Arc::new(list);
        assert_eq!(bits(key_form(&list).unwrap().as_list::<i32>().values()), wanted);
        assert_eq!(bits(&one_nan(&floats).unwrap()), [-0.0, f64::NAN, -1.5].map(f64::to_bits));
    }

    #[test]
    fn intervals_of_one_length_are_one_and_order_by_it() {
        let of = |months, days, hours: i64| IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000);
        let ascending = [of(-1, 0, 0), of(0, -29, -23), of(0, 0, -1), of(0, 0, 1), of(0, 29, 23), of(0, 30, 0)];
        let forms = ascending.map(justified);
        assert!(forms.is_sorted());
        assert_eq!(justified(of(0, 0, 720)), of(1, 0, 0));
        assert_eq!(justified(of(1, -31, 0)), of(0, -1, 0));
        assert_eq!(justified(of(i32::MAX, i32::MAX, 0)), of(i32::MAX, i32::MAX, 0));
        assert_eq!(justified(of(i32::MIN, i32::MIN, 0)), of(i32::MIN, i32::MIN, 0));
        let column: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![of(0, 30, 0)]));
        assert_eq!(key_form(&column).unwrap().as_primitive::<IntervalMonthDayNanoType>().value(0), of(1, 0, 0));
    }

    #[test]
    fn documents_are_equal_by_value() {
        for (text, form) in [
            ("1.0", "1"),
            ("0.00", "0"),
            ("100", "100"),
            ("1.50", "1.5"),
            (r#"{"a": [1.0, "1.0"], "b.0": 2.00}"#, r#"{"a": [1, "1.0"], "b.0": 2}"#),
        ] {
            assert_eq!(document(text), form);
        }
    }
}
