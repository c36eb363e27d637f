//! `now()` and its like, and `pg_typeof`: constants of a statement, put in when it is bound.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::BindSession;
use crate::data::types::{timestamp, timestamptz};
use arrow::datatypes::TimeUnit;

const DAY: i64 = 86_400_000_000;

/// Stands for the constant until the expression is typed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Moment {
    name: &'static str,
    signature: Signature,
}

type TypeOf = fn() -> DataType;

const NAMES: [(&str, TypeOf); 10] = [
    ("pg_typeof", || DataType::Utf8),
    ("now", timestamptz),
    ("current_timestamp", timestamptz),
    ("transaction_timestamp", timestamptz),
    ("statement_timestamp", timestamptz),
    ("clock_timestamp", timestamptz),
    ("localtimestamp", timestamp),
    ("current_date", || DataType::Date32),
    ("localtime", || DataType::Time64(TimeUnit::Microsecond)),
    ("current_time", || DataType::Time64(TimeUnit::Microsecond)),
];

/// The function of this name.
pub(super) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let (name, _) = NAMES.iter().find(|(n, _)| *n == name)?;
    let none = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::Any(1)]);
    let signature = Signature::new(none, Volatility::Stable);
    Some(Arc::new(ScalarUDF::new_from_impl(Moment { name, signature })))
}

/// Whether this is one of these functions.
pub(super) fn is_moment(udf: &ScalarUDF) -> bool {
    udf.inner().downcast_ref::<Moment>().is_some()
}

/// Its value.
pub(super) fn constant(udf: &ScalarUDF, session: &BindSession) -> Option<Expr> {
    let moment = udf.inner().downcast_ref::<Moment>()?;
    let local = session.time_zone.to_local(session.now);
    let value = match moment.name {
        "pg_typeof" => return None,
        "localtimestamp" => ScalarValue::TimestampMicrosecond(Some(local), None),
        "current_date" => ScalarValue::Date32(i32::try_from(local.div_euclid(DAY)).ok()),
        "localtime" | "current_time" => ScalarValue::Time64Microsecond(Some(local.rem_euclid(DAY))),
        _ => ScalarValue::TimestampMicrosecond(Some(session.now), Some("UTC".into())),
    };
    Some(Expr::Literal(value, None))
}

impl ScalarUDFImpl for Moment {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        let found = NAMES.iter().find(|(n, _)| *n == self.name);
        found.map(|(_, t)| t()).ok_or_else(|| DataFusionError::Internal("no such moment".into()))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{} was not replaced", self.name)))
    }
}
