//! `gen_random_uuid()`: the one function that draws random numbers. Volatile: a view has none of it.

use std::sync::Arc;

use arrow::array::FixedSizeBinaryArray;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::data::types::UUID;

/// The function.
pub(super) fn gen_random_uuid() -> ScalarUDF {
    ScalarUDF::new_from_impl(GenRandomUuid { signature: Signature::nullary(Volatility::Volatile) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct GenRandomUuid {
    signature: Signature,
}

impl ScalarUDFImpl for GenRandomUuid {
    fn name(&self) -> &'static str {
        "gen_random_uuid"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(UUID)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let uuids = (0..args.number_rows).map(|_| *uuid::Uuid::new_v4().as_bytes());
        Ok(ColumnarValue::Array(Arc::new(FixedSizeBinaryArray::try_from_iter(uuids)?)))
    }
}
