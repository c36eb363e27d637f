//! What aggregates take and give, as PostgreSQL has it.
//!
//! | function | argument | result |
//! |---|---|---|
//! | stddev.., var.. | smallint, integer, bigint, numeric(p,s) | numeric(38,max(s,16)) |
//! | stddev.., var.. | real, double precision | double precision |
//! | corr, covar.., regr.. | two numbers | double precision; regr_count bigint |
//! | bool_and, bool_or, every | boolean | boolean |
//! | bit_and, bit_or, bit_xor | smallint, integer, bigint | the same |
//! | string_agg | two texts, two byteas | the same |
//! | array_agg | any but an array | an array of it |
//! | json_agg, json_object_agg | any; a key and any | json |
//! | jsonb_agg, jsonb_object_agg | any; a key and any | jsonb |
//! | first_value, last_value, any_value, min, max | any that has an order | the same |
//! | approx_distinct | any | bigint |

use arrow::datatypes::{DataType, Field};

use super::sum;
use crate::data::types::{JSONB, list_of};
use crate::functions::accumulator::{AggregateFunction, Moment, OrderedFunction, sortable};

/// The types that arguments become, and the result's. `None`: there is no such function.
pub fn types(function: AggregateFunction, given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    use AggregateFunction as F;
    use DataType as D;
    let given: Vec<D> = given.iter().map(plain).collect();
    let same = |t: &D| Some((vec![t.clone()], t.clone()));
    let is_number =
        |t: &D| matches!(t, D::Null | D::Int16 | D::Int32 | D::Int64 | D::Decimal128(..) | D::Float32 | D::Float64);
    match (function, &given[..]) {
        (F::Count, []) => Some((vec![], D::Int64)),
        (F::Count, [one]) => Some((vec![one.clone()], D::Int64)),
        (F::ApproxDistinct, [one]) if sortable(one) && !matches!(one, D::Interval(_)) => {
            Some((vec![one.clone()], D::Int64))
        }
        (F::Spelling, [value, form]) => Some((vec![value.clone(), form.clone()], value.clone())),
        (F::Sum | F::Avg, [one]) => sum::types(function == F::Avg, one),
        (F::Min | F::Max, [one]) if sortable(one) && *one != JSONB => same(one),
        (F::Moment(moment), [a, b]) if moment.of_pairs() && is_number(a) && is_number(b) => {
            let result = if moment == Moment::RegrCount { D::Int64 } else { D::Float64 };
            Some((vec![D::Float64, D::Float64], result))
        }
        (F::Moment(moment), [one]) if !moment.of_pairs() => match one {
            D::Int16 | D::Int32 | D::Int64 => Some((vec![one.clone()], D::Decimal128(38, 16))),
            D::Decimal128(_, s) => Some((vec![one.clone()], D::Decimal128(38, (*s).max(16)))),
            D::Float32 | D::Float64 => Some((vec![one.clone()], D::Float64)),
            D::Null => Some((vec![D::Float64], D::Float64)),
            _ => None,
        },
        (F::Bool(_), [D::Boolean | D::Null]) => same(&D::Boolean),
        (F::Bit(_), [D::Null]) => same(&D::Int32),
        (F::Bit(_), [one @ (D::Int16 | D::Int32 | D::Int64)]) => same(one),
        (F::Ordered(OrderedFunction::StringAgg), [value, delimiter]) => {
            let t = [value, delimiter].into_iter().find(|t| **t != D::Null).unwrap_or(&D::Utf8);
            let fits = |g: &D| g == t || *g == D::Null;
            let known = matches!(t, D::Utf8 | D::Binary) && fits(value) && fits(delimiter);
            known.then(|| (vec![t.clone(), t.clone()], t.clone()))
        }
        (F::Ordered(OrderedFunction::JsonObject), [key, value]) => Some((vec![key.clone(), value.clone()], D::Utf8)),
        (F::Ordered(OrderedFunction::JsonbObject), [key, value]) => Some((vec![key.clone(), value.clone()], JSONB)),
        (F::Ordered(OrderedFunction::JsonObject | OrderedFunction::JsonbObject), _) => None,
        // The binder makes JSON of the values.
        (F::Ordered(OrderedFunction::JsonbArray), [one]) => Some((vec![one.clone()], JSONB)),
        (F::Ordered(OrderedFunction::JsonArray | OrderedFunction::JsonLines), [one]) => {
            Some((vec![one.clone()], D::Utf8))
        }
        (F::Ordered(function), [one]) if function != OrderedFunction::StringAgg && sortable(one) => {
            let one = if *one == D::Null { D::Utf8 } else { one.clone() };
            match function {
                OrderedFunction::ArrayAgg if matches!(one, D::List(_)) => None,
                OrderedFunction::ArrayAgg => {
                    let list = list_of(&Field::new("item", one.clone(), true));
                    Some((vec![one], list))
                }
                _ => same(&one),
            }
        }
        _ => None,
    }
}

/// A type that only arises inside of plans, as the one that columns have.
fn plain(t: &DataType) -> DataType {
    match t {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        other => other.clone(),
    }
}
