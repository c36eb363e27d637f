//! `generate_series` as the array of its values, which UNNEST makes rows of: bounded, since few bytes ask for very many.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::config::SERIES_MAX;
use crate::error::{Error, Result, SqlState};

/// DataFusion's function, with a limit.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Series(pub Arc<ScalarUDF>);

impl ScalarUDFImpl for Series {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        self.0.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<arrow::datatypes::FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        if values(&arrays)? > SERIES_MAX {
            let message = format!("array size exceeds the maximum allowed ({SERIES_MAX})");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("In FROM, generate_series(..) gives its rows one after another.")
                .into());
        }
        self.0.invoke_with_args(args)
    }
}

/// About how many values there will be.
fn values(args: &[ArrayRef]) -> Result<u64> {
    if args.iter().any(|a| a.data_type().is_null()) {
        return Ok(0);
    }
    let is_time = matches!(args[0].data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let whole = |array: &ArrayRef| -> Result<ArrayRef> {
        let array =
            if is_time { cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))? } else { array.clone() };
        Ok(cast(&array, &DataType::Int64)?)
    };
    let [start, stop, rest @ ..] = args else { return Ok(0) };
    let (start, stop) = (whole(start)?, whole(stop)?);
    let (start, stop) = (start.as_primitive::<Int64Type>(), stop.as_primitive::<Int64Type>());
    let steps: Vec<i128> = match rest.first() {
        None => vec![1; start.len()],
        Some(step) if matches!(step.data_type(), DataType::Interval(_)) => {
            let length = |months: i32, days: i32, nanos: i64| {
                (i128::from(months) * 28 + i128::from(days)) * 86_400_000_000 + i128::from(nanos) / 1000
            };
            let steps = step.as_primitive::<IntervalMonthDayNanoType>().values().iter();
            steps.map(|s| length(s.months, s.days, s.nanoseconds)).collect()
        }
        Some(step) => {
            let step = cast(step, &DataType::Int64)?;
            step.as_primitive::<Int64Type>().values().iter().map(|s| i128::from(*s)).collect()
        }
    };
    let one = |i: usize| match steps[i] {
        _ if start.is_null(i) || stop.is_null(i) => 0,
        // It says itself what is wrong with that.
        0 => 0,
        step => u64::try_from((i128::from(stop.value(i)) - i128::from(start.value(i))) / step + 1).unwrap_or(0),
    };
    Ok((0..start.len()).map(one).fold(0, u64::saturating_add))
}
