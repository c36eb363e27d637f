//! Functions in FROM: `generate_series`, `unnest` is syntax of its own.

use std::sync::Arc;

use datafusion::catalog::TableFunctionArgs;
use datafusion::common::DFSchema;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DfResult;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{Expr, TableSource};
use datafusion::scalar::ScalarValue;

use super::typing::{
    Category, Typer, category, constant_of, field_of, is_unknown, name_in_message, no_function, plain,
};
use crate::data::text::TimeZone;
use crate::data::types::interval;
use crate::error::{Error, Result, SqlState};

/// Constants without a type take that of the first that has one; bounds of timestamps come with a step of an interval.
fn settled(args: Vec<Expr>, zone: &TimeZone) -> Result<Vec<Expr>> {
    let empty = DFSchema::empty();
    let typer = Typer { zone, schema: &empty };
    let args = args.into_iter().map(|arg| typer.expr(arg)).collect::<DfResult<Vec<_>>>()?;
    let Some(known) = args.iter().find(|a| !is_unknown(a)).map(|a| field_of(a, &empty)).transpose()? else {
        let hint = "Could not choose a best candidate function. You might need to add explicit type casts.";
        let types: Vec<String> = args.iter().map(|a| name_in_message(a, &empty)).collect();
        let message = format!("function generate_series({}) is not unique", types.join(", "));
        return Err(Error::new(SqlState("42725"), message).with_hint(hint));
    };
    let is_time = matches!(category(known.data_type()), Category::Time);
    let place = |(n, arg): (usize, Expr)| match arg {
        Expr::Literal(ScalarValue::Utf8(Some(_)), None) if is_time && n == 2 => {
            typer.coerce_unknown(arg, &plain(&interval()))
        }
        Expr::Literal(ScalarValue::Utf8(Some(_)), None) => typer.coerce_unknown(arg, &known),
        other => Ok(other),
    };
    args.into_iter().enumerate().map(|arg| place(arg).and_then(nanoseconds)).collect()
}

/// DataFusion's series of timestamps counts nanoseconds.
fn nanoseconds(arg: Expr) -> Result<Expr> {
    let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), zone), m) = arg else { return Ok(arg) };
    let nanos = micros.checked_mul(1000).ok_or_else(|| {
        let hint = "Use unnest(generate_series(..)) among the results of the SELECT.";
        Error::unsupported("generate_series in FROM beyond the year 2262", hint)
    })?;
    Ok(Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), zone), m))
}

/// The rows of `name(args)`.
pub(super) fn source(name: &str, args: Vec<Expr>, zone: &TimeZone) -> Result<Arc<dyn TableSource>> {
    let name = if name.trim_matches('"') == super::windows::SERIES { "generate_series" } else { name };
    let functions = SessionStateDefaults::default_table_functions();
    let Some(function) = functions.into_iter().find(|f| f.name() == name) else {
        let empty = DFSchema::empty();
        let types: Vec<String> = args.iter().map(|a| name_in_message(a, &empty)).collect();
        return Err(no_function(name, &types));
    };
    let constants = settled(args, zone)?.into_iter().map(constant_of).collect::<Vec<_>>();
    let state = crate::sql::execute::planning_state();
    let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&constants, state.as_ref()))?;
    Ok(provider_as_source(provider))
}
