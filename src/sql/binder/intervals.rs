//! Interval constants: read here, with PostgreSQL's qualifiers, and written so that DataFusion reads the same.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::sql::sqlparser::ast::{DataType, Expr, Interval, IntervalFields, UnaryOperator, Value, ValueWithSpan};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::prepare::wrapped;
use crate::data::text::interval::{parse_interval, rounded};
use crate::error::Result;
use crate::functions::interval::parse_interval_unit;
use crate::sql::interval::{constant_interval, digits};

/// `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL(2) '1.234'`, `'1'::interval year`.
pub(super) fn literal(expr: &mut Expr) -> Result<()> {
    let read = match expr {
        Expr::Interval(interval) => match string(&interval.value) {
            Some((text, span)) => Some((unit(text, interval)?, span)),
            None => {
                if let Some(number) = wrapped(&interval.value).cloned() {
                    *interval.value = number;
                }
                None
            }
        },
        Expr::TypedString(typed) => match (&typed.data_type, &typed.value.value) {
            (DataType::Interval { fields, precision }, Value::SingleQuotedString(text)) => {
                Some((qualified(text, fields.as_ref(), *precision)?, typed.value.span))
            }
            _ => None,
        },
        Expr::Cast { expr, data_type: DataType::Interval { fields, precision }, .. } => match string(expr) {
            Some((text, span)) if fields.is_some() || precision.is_some() => {
                Some((qualified(text, fields.as_ref(), *precision)?, span))
            }
            _ => None,
        },
        // A sign before the words would be that of the first alone.
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if matches!(inner.as_ref(), Expr::Interval(_)) => {
            Some((constant_interval(expr)?, Span::empty()))
        }
        _ => None,
    };
    if let Some((interval, span)) = read {
        *expr = written(interval, span);
    }
    Ok(())
}

fn string(expr: &Expr) -> Option<(&str, Span)> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => Some((text, *span)),
        _ => None,
    }
}

fn unit(text: &str, interval: &Interval) -> Result<IntervalMonthDayNano> {
    let first = interval.leading_field.as_ref().map(ToString::to_string);
    let last = interval.last_field.as_ref().map(ToString::to_string);
    parse_interval_unit(text, first.as_deref(), last.as_deref(), digits(interval))
}

fn qualified(text: &str, fields: Option<&IntervalFields>, precision: Option<u64>) -> Result<IntervalMonthDayNano> {
    let digits = precision.and_then(|p| u32::try_from(p).ok());
    let Some(fields) = fields.map(ToString::to_string) else {
        let interval = parse_interval(text)?;
        return Ok(digits.map_or(interval, |digits| rounded(interval, digits)));
    };
    match fields.split_once(" TO ") {
        Some((first, last)) => parse_interval_unit(text, Some(first), Some(last), digits),
        None => parse_interval_unit(text, Some(&fields), None, digits),
    }
}

/// In words that mean the same to every reader of intervals.
fn written(i: IntervalMonthDayNano, span: Span) -> Expr {
    let text = format!("{} months {} days {} microseconds", i.months, i.days, i.nanoseconds / 1000);
    Expr::Interval(Interval {
        value: Box::new(Expr::Value(Value::SingleQuotedString(text).with_span(span))),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}
