//! `panic(text)`, which tests have: a statement that panics is one statement's error.

use std::sync::Arc;

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
