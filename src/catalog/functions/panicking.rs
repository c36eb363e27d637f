//! `panic(text)` and `panic_at(text)`, which tests have: a statement that panics is one statement's error, and a view's
//! operator that does ends the process.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function.
pub fn panicking() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Panicking(Signature::exact(vec![DataType::Utf8], Volatility::Volatile))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Panicking(Signature);

impl ScalarUDFImpl for Panicking {
    fn name(&self) -> &str {
        "panic"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(Some(ScalarValue::Utf8(Some(text)))) = args.scalar_arguments.first() {
            assert!(text != "plan", "it was asked to, while it is planned");
        }
        Ok(Arc::new(Field::new("panic", DataType::Utf8, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        panic!("it was asked to")
    }
}

/// `panic_at(text)`: views may call it. It gives its argument back, unless that is `now`.
pub fn panicking_at() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(PanickingAt(Signature::exact(vec![DataType::Utf8], Volatility::Immutable))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PanickingAt(Signature);

impl ScalarUDFImpl for PanickingAt {
    fn name(&self) -> &str {
        "panic_at"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let argument = arguments.args.into_iter().next().unwrap_or(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
        let texts = argument.to_array(arguments.number_rows)?;
        assert!(!texts.as_string::<i32>().iter().any(|text| text == Some("now")), "it was asked to");
        Ok(argument)
    }
}
