//! Functions that stand for something while DataFusion plans; the binder takes them out of the plan again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::{lateral, written};

/// One of them. Its name is none that can be written without quotes.
#[derive(Debug)]
pub(super) struct StandIn {
    pub name: &'static str,
    pub arguments: usize,
    pub result: fn(&[DataType]) -> Result<DataType>,
    /// What it does where it was not taken out.
    pub run: fn(Vec<ColumnarValue>) -> Result<ColumnarValue>,
}

/// The function of a name, if it is a stand-in.
pub(super) fn find(name: &str) -> Option<Arc<ScalarUDF>> {
    let found = [&lateral::ELEMENTS, &written::WRITTEN].into_iter().find(|function| function.name == name)?;
    let signature = Signature::any(found.arguments, Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(Standing { function: found, signature })))
}

#[derive(Debug)]
struct Standing {
    function: &'static StandIn,
    signature: Signature,
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Standing {}

impl Hash for Standing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Standing {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.function.result)(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.function.run)(args.args)
    }
}
