//! `sum(k)` and `sum(k::bigint)` are two columns: DataFusion names them alike, since a cast has no name.
//!
//! An argument of an aggregate that holds a cast becomes a call of a function that also has its text; typing takes the
//! argument out again, when the column has its name.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Visit, Visitor,
};

use super::prepare::{call, text};
use crate::functions::registry;

/// The name of the function.
pub(super) const WRITTEN: &str = "as written";

/// Marks the arguments of an aggregate.
pub(super) fn mark(function: &mut Function, name: &str) {
    if !registry().aggregate.contains_key(name) {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    for arg in &mut list.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = arg
            && holds_cast(e)
        {
            let mut marked = call(WRITTEN, vec![e.clone(), text(&e.to_string())]);
            if let Expr::Function(f) = &mut marked {
                f.name = ObjectName::from(vec![Ident::with_quote('"', WRITTEN)]);
            }
            *e = marked;
        }
    }
}

fn holds_cast(expr: &Expr) -> bool {
    struct Casts;
    impl Visitor for Casts {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if matches!(expr, Expr::Cast { .. }) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Casts).is_break()
}

/// The function, while DataFusion plans.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Written(Signature::any(2, Volatility::Immutable)))));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Written(Signature);

impl ScalarUDFImpl for Written {
    fn name(&self) -> &str {
        WRITTEN
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}
