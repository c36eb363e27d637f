//! Constants of calls over constants.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, Volatility};
use datafusion::scalar::ScalarValue;

use super::moment;
use super::typing::plain;
use crate::error::Result;
use crate::functions::registry;

/// A native cast of a numeric constant becomes a constant.
pub(super) fn fold_number(expr: Expr) -> Expr {
    match &expr {
        Expr::Cast(Cast { expr: inner, field }) if field.metadata().is_empty() => match inner.as_ref() {
            Expr::Literal(value, None)
                if !matches!(value, ScalarValue::Utf8(_)) && field.data_type() != &DataType::Utf8 =>
            {
                match value.cast_to(field.data_type()) {
                    Ok(value) => Expr::Literal(value, None),
                    Err(_) => expr,
                }
            }
            _ => expr,
        },
        Expr::Negative(_) => expr,
        _ => expr,
    }
}

/// A call of an immutable function on constants becomes a constant; where it fails, the call stays and fails when it
/// runs.
pub(super) fn fold(expr: Expr) -> Expr {
    match evaluate(&expr) {
        Some(Ok(value)) => Expr::Literal(value, None),
        _ => expr,
    }
}

/// As [`fold`], but what fails fails now: casts of constants.
pub(super) fn fold_strict(expr: Expr) -> Result<Expr> {
    match evaluate(&expr) {
        Some(Ok(value)) => Ok(Expr::Literal(value, None)),
        Some(Err(error)) => Err(error.into()),
        None => Ok(expr),
    }
}

fn evaluate(expr: &Expr) -> Option<DfResult<ScalarValue>> {
    let value = match expr {
        Expr::ScalarFunction(f) => {
            if f.func.signature().volatility != Volatility::Immutable || moment::is_moment(&f.func) {
                return None;
            }
            call(f)?
        }
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(value, None) if !value.is_null() => value.arithmetic_negate(),
            _ => return None,
        },
        _ => return None,
    };
    match value {
        Ok(value) if stays_a_call(&value.data_type()) => None,
        other => Some(other),
    }
}

/// A text constant would count as one without type; lists stay calls, so that plans stay readable.
fn stays_a_call(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::List(_) | DataType::Struct(_))
}

fn call(f: &ScalarFunction) -> Option<DfResult<ScalarValue>> {
    let known = registry().scalar.contains_key(f.func.name()) || f.func.name() == "cast" || is_native(&f.func);
    if !known || f.args.is_empty() {
        return None;
    }
    let values = f.args.iter().map(|a| match a {
        Expr::Literal(value, None) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) if field.data_type() == &DataType::Utf8 => match expr.as_ref() {
            Expr::Literal(value @ ScalarValue::Utf8(_), None) => Some(value.clone()),
            _ => None,
        },
        _ => None,
    });
    let values = values.collect::<Option<Vec<_>>>()?;
    let arg_fields: Vec<FieldRef> = values.iter().map(|v| Arc::new(plain(&v.data_type()))).collect();
    let scalars: Vec<Option<&ScalarValue>> = values.iter().map(Some).collect();
    let args = datafusion::logical_expr::ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars };
    let return_field = match f.func.return_field_from_args(args) {
        Ok(field) => field,
        Err(error) => return Some(Err(error)),
    };
    // It might be long in coming; a cast is only as long as what is written, and its errors are wanted now.
    if stays_a_call(return_field.data_type()) && f.func.name() != "cast" {
        return None;
    }
    Some((|| {
        let coerced = fields_with_udf(&arg_fields, f.func.as_ref())?;
        if coerced.iter().zip(&arg_fields).any(|(a, b)| a.data_type() != b.data_type()) {
            return Err(DataFusionError::Plan("not yet coerced".into()));
        }
        let result = f.func.invoke_with_args(ScalarFunctionArgs {
            args: values.iter().cloned().map(ColumnarValue::Scalar).collect(),
            arg_fields: arg_fields.clone(),
            number_rows: 1,
            return_field,
            config_options: Arc::new(super::provider::options().clone()),
        })?;
        match result {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
        }
    })())
}

fn is_native(udf: &ScalarUDF) -> bool {
    udf.inner().downcast_ref::<crate::functions::native::Native>().is_some()
}
