//! What subqueries used as values become: `single_value` (at most one row) and `or_empty_array` (ARRAY of no row).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, SqlState};

/// The aggregate that gives back the value of the only row: NULL without one, 21000 with several.
pub fn single_value() -> Arc<AggregateUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(SingleValue { signature }))
}

/// The function that makes an empty array of NULL.
pub(super) fn or_empty_array() -> ScalarUDF {
    ScalarUDF::new_from_impl(OrEmptyArray { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| DataFusionError::Plan("no argument".into()))
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let field = fields.first().ok_or_else(|| DataFusionError::Plan("no argument".into()))?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = args.return_field.data_type().clone();
        Ok(vec![
            Arc::new(Field::new(format!("{}[value]", args.name), value, true)),
            Arc::new(Field::new(format!("{}[rows]", args.name), DataType::Int64, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Only { value: ScalarValue::try_from(args.return_field.data_type())?, rows: 0 }))
    }
}

/// The value seen, and of how many rows.
#[derive(Debug)]
struct Only {
    value: ScalarValue,
    rows: i64,
}

impl Only {
    fn take(&mut self, value: ScalarValue, rows: i64) -> Result<()> {
        self.rows += rows;
        if self.rows > 1 {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).into());
        }
        self.value = value;
        Ok(())
    }
}

impl Accumulator for Only {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match values.first() {
            Some(array) if !array.is_empty() => self.take(ScalarValue::try_from_array(array, 0)?, array.len() as i64),
            _ => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, rows] = states else { return Err(DataFusionError::Internal("two columns of state".into())) };
        let rows = cast(rows, &DataType::Int64)?;
        let rows: &Int64Array = arrow::array::AsArray::as_primitive::<Int64Type>(&rows);
        for (i, count) in rows.iter().enumerate() {
            if let Some(count) = count.filter(|c| *c > 0) {
                self.take(ScalarValue::try_from_array(values, i)?, count)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }
}

/// In the place of a subquery of this column that can't be run: an error where a row asks for it, and nothing in a branch
/// of CASE that no row takes. Drivers ask so for the base types of domains, of which there are none.
pub fn not_run(field: FieldRef, what: &'static str) -> ScalarUDF {
    ScalarUDF::new_from_impl(NotRun { signature: Signature::nullary(Volatility::Volatile), field, what })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NotRun {
    signature: Signature,
    field: FieldRef,
    what: &'static str,
}

impl ScalarUDFImpl for NotRun {
    fn name(&self) -> &'static str {
        self.what
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(self.field.data_type())));
        }
        let hint = "Write it as a join, or without the outer query's columns.";
        Err(DataFusionError::External(Box::new(crate::error::Error::unsupported(self.what, hint))))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrEmptyArray {
    signature: Signature,
}

impl ScalarUDFImpl for OrEmptyArray {
    fn name(&self) -> &'static str {
        "or_empty_array"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| DataFusionError::Plan("no argument".into()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = args.arg_fields.first().ok_or_else(|| DataFusionError::Plan("no argument".into()))?;
        Ok(Arc::new(Field::new("array", field.data_type().clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args.first().map(|a| a.clone().into_array(args.number_rows)).transpose()?;
        let array = array.ok_or_else(|| DataFusionError::Internal("no argument".into()))?;
        let DataType::List(item) = array.data_type() else { return Ok(ColumnarValue::Array(array)) };
        let list = arrow::array::AsArray::as_list::<i32>(&array);
        // A NULL list has no elements: without its validity it is empty.
        let list = arrow::array::ListArray::try_new(item.clone(), list.offsets().clone(), list.values().clone(), None);
        let list = super::array::rectangular(list?).map_err(|e| match e.code() {
            SqlState("2202E") => Error::new(e.code(), "cannot accumulate arrays of different dimensionality"),
            _ => e,
        })?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}
