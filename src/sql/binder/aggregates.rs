//! Aggregate calls: PostgreSQL's types, and ORDER BY and DISTINCT given to the accumulators that views have too.

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::expr::{AggregateFunction as Call, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{Expr, SortExpr, WindowFunctionDefinition};

use super::keys;
use super::typing::{Typer, is_unknown, name_in_message, no_function, plain, type_name};
use crate::error::{Error, Result, SqlState};
use crate::functions::accumulator::{AggregateFunction, OrderedFunction, is_coded, sortable};
use crate::functions::aggregate::{accumulated, json_lines, known, types};
use crate::functions::{ARRAY_OF_ROWS, registry, zoned};

impl Typer<'_> {
    /// A call, its arguments being typed.
    pub(super) fn aggregate(&self, mut call: Call) -> DfResult<Expr> {
        if let Some(filter) = call.params.filter.take() {
            call.params.filter = Some(Box::new(self.boolean(*filter, "FILTER")?));
        }
        match known(&call.func) {
            Some((function, order)) if order.is_empty() => self.known(function, call),
            _ => Ok(Expr::AggregateFunction(call)),
        }
    }

    /// A call with OVER, its arguments being typed.
    pub(super) fn window(&self, mut call: WindowFunction) -> DfResult<Expr> {
        if call.params.order_by.iter().any(|key| self.is_record(&key.expr)) {
            let hint = "Order by its fields: (record).field.";
            return Err(Error::unsupported("OVER (ORDER BY a record)", hint).into());
        }
        let known = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(udf) => known(udf).map(|(function, _)| (function, udf.clone())),
            WindowFunctionDefinition::WindowUDF(_) => None,
        };
        let Some((function, udf)) = known else { return Ok(Expr::WindowFunction(Box::new(call))) };
        if call.params.distinct {
            let message = "DISTINCT is not implemented for window functions";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_hint("Use GROUP BY in a subquery.")
                .into());
        }
        if function != AggregateFunction::Count || call.params.args.len() > 1 {
            let args = std::mem::take(&mut call.params.args);
            call.params.args = self.taken(udf.name(), function, args)?;
        }
        match function {
            // Over a frame the rows come in its order.
            AggregateFunction::Ordered(OrderedFunction::ArrayAgg) => {
                if let Some(udf) = registry().aggregate.get(ARRAY_OF_ROWS) {
                    call.fun = WindowFunctionDefinition::AggregateUDF(udf.clone());
                }
            }
            AggregateFunction::Ordered(which) if which.document().is_some() => {
                let hint = "Use to_json(array_agg(..) OVER (..)).";
                return Err(Error::unsupported(format!("{} with OVER", udf.name()), hint).into());
            }
            AggregateFunction::Ordered(OrderedFunction::StringAgg) => {
                let hint = "Use array_to_string(array_agg(..) OVER (..), ..).";
                return Err(Error::unsupported("string_agg with OVER", hint).into());
            }
            _ => {
                let first = call.params.args.first().map(|a| self.field(a)).transpose()?;
                if let Some(ours) = (!plain_extreme(function, first)).then(|| accumulated(&udf, vec![])).flatten() {
                    call.fun = WindowFunctionDefinition::AggregateUDF(ours);
                }
            }
        }
        Ok(Expr::WindowFunction(Box::new(call)))
    }

    fn known(&self, function: AggregateFunction, mut call: Call) -> DfResult<Expr> {
        let params = &mut call.params;
        let keys = std::mem::take(&mut params.order_by);
        if function == AggregateFunction::Count && !params.distinct && params.args.len() <= 1 {
            return Ok(Expr::AggregateFunction(call));
        }
        let mut args = std::mem::take(&mut params.args);
        let mut implied = None;
        let given = args.clone();
        if let AggregateFunction::Ordered(which) = function
            && let Some(jsonb) = which.document()
        {
            let structured = args.len() == 1 && !is_unknown(&args[0]) && self.field(&args[0])?.data_type().is_nested();
            if structured && !jsonb {
                call.func = json_lines();
            }
            (args, implied) = self.documents(args, jsonb)?;
        }
        let name = call.func.name();
        params.args = self.taken(name, function, args)?;
        params.distinct &= !function.ignores_copies();
        let mut order = vec![];
        if let AggregateFunction::Ordered(which) = function {
            if keys.is_empty() && matches!(which, OrderedFunction::FirstValue | OrderedFunction::LastValue) {
                let message = format!("window function {name} requires an OVER clause");
                let hint = format!("As an aggregate it needs an order: {name}(x ORDER BY y).");
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint).into());
            }
            let distinct = params.distinct.then_some(given);
            for key in keys {
                let (expr, options) = self.key(key, distinct.as_deref())?;
                params.args.push(expr);
                order.push(options);
            }
            // As array_agg has them.
            if let Some(expr) = implied {
                params.args.push(expr);
                order.push(SortOptions { descending: false, nulls_first: false });
            }
        }
        let first = params.args.first().map(|a| self.field(a)).transpose()?;
        let ours =
            matches!(function, AggregateFunction::Ordered(_)) || params.distinct || !plain_extreme(function, first);
        if let Some(udf) = ours.then(|| accumulated(&call.func, order)).flatten() {
            call.func = udf;
        }
        Ok(Expr::AggregateFunction(call))
    }

    /// The arguments of json_agg and its like: a key as text, a value as JSON; and by what an array orders its values.
    fn documents(&self, args: Vec<Expr>, jsonb: bool) -> DfResult<(Vec<Expr>, Option<Expr>)> {
        let text = plain(&DataType::Utf8);
        let Some(to_json) = zoned(if jsonb { "to_jsonb" } else { "to_json" }, self.zone) else {
            return Err(Error::internal("no to_json").into());
        };
        let count = args.len();
        let mut made = Vec::with_capacity(count);
        let mut implied = None;
        for (i, arg) in args.into_iter().enumerate() {
            let arg = if is_unknown(&arg) { self.coerce_unknown(arg, &text)? } else { arg };
            if count == 2 && i == 0 {
                made.push(self.cast(arg, &text, false)?);
                continue;
            }
            if count == 1 && sortable(self.field(&arg)?.data_type()) {
                implied = Some(keys::order(arg.clone(), self.schema)?);
            }
            made.push(Expr::ScalarFunction(ScalarFunction::new_udf(to_json.clone(), vec![arg])));
        }
        Ok((made, implied))
    }

    /// The arguments as the function takes them.
    fn taken(&self, name: &str, function: AggregateFunction, args: Vec<Expr>) -> DfResult<Vec<Expr>> {
        let given = args.iter().map(|a| match is_unknown(a) {
            true => Ok(DataType::Null),
            false => Ok(self.field(a)?.data_type().clone()),
        });
        let given = given.collect::<DfResult<Vec<_>>>()?;
        if let (AggregateFunction::Ordered(OrderedFunction::ArrayAgg), [DataType::List(_)]) = (function, &given[..]) {
            return Err(Error::unsupported("array_agg of arrays", "Unnest them and aggregate their elements.").into());
        }
        if let ("sum" | "avg", [DataType::Time64(_)]) = (name, &given[..]) {
            let hint = format!("Cast it: {name}(x::interval).");
            return Err(Error::unsupported(format!("{name} of time"), hint).into());
        }
        let Some((wanted, _)) = types(function, &given) else {
            let names: Vec<String> = args.iter().map(|a| name_in_message(a, self.schema)).collect();
            return Err(no_function(name, &names).into());
        };
        let take = |(arg, t): (Expr, &DataType)| match is_unknown(&arg) {
            true => self.coerce_unknown(arg, &plain(t)).map_err(DataFusionError::from),
            false => self.implicit(arg, &plain(t)).map_err(DataFusionError::from),
        };
        args.into_iter().zip(&wanted).map(take).collect()
    }

    /// An expression of ORDER BY inside a call, and how it orders. `distinct`: the arguments, if DISTINCT is of them.
    fn key(&self, key: SortExpr, distinct: Option<&[Expr]>) -> Result<(Expr, SortOptions)> {
        let options = SortOptions { descending: !key.asc, nulls_first: key.nulls_first };
        let expr = if is_unknown(&key.expr) { self.implicit(key.expr, &plain(&DataType::Utf8))? } else { key.expr };
        if distinct.is_some_and(|args| !args.contains(&expr)) {
            let message = "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
        let field = self.field(&expr)?;
        if !sortable(field.data_type()) {
            let message = format!("could not identify an ordering operator for type {}", type_name(&field));
            return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint("Order by another expression."));
        }
        Ok((keys::order(expr, self.schema)?, options))
    }
}

/// Whether DataFusion's min and max, if it is one of them, order a type as PostgreSQL does.
fn plain_extreme(function: AggregateFunction, of: Option<FieldRef>) -> bool {
    !matches!(function, AggregateFunction::Min | AggregateFunction::Max)
        || of.is_none_or(|f| match f.data_type() {
            DataType::Utf8 | DataType::Binary => true,
            t => is_coded(t) && !t.is_floating(),
        })
}
