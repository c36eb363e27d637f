//! Functions in FROM: `generate_series`, `unnest` is syntax of its own.

use std::sync::Arc;

use datafusion::catalog::TableFunctionArgs;
use datafusion::common::DFSchema;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{Expr, TableSource};

use super::typing::{constant_of, name_in_message, no_function};
use crate::error::Result;

/// The rows of `name(args)`.
pub(super) fn source(name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
    let name = if name.trim_matches('"') == super::windows::SERIES { "generate_series" } else { name };
    let functions = SessionStateDefaults::default_table_functions();
    let Some(function) = functions.into_iter().find(|f| f.name() == name) else {
        let empty = DFSchema::empty();
        let types: Vec<String> = args.iter().map(|a| name_in_message(a, &empty)).collect();
        return Err(no_function(name, &types));
    };
    let constants = args.into_iter().map(constant_of).collect::<Vec<_>>();
    let state = crate::sql::execute::planning_state();
    let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&constants, state.as_ref()))?;
    Ok(provider_as_source(provider))
}
