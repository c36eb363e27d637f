//! GROUP BY and DISTINCT: a projection to what is needed, then an [`Aggregate`].

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable, LogicalPlan};

use super::check;
use super::expr::{Scalar, display};
use super::lower::{Above, Lowering, open, projection};
use super::node::{Aggregate, AggregateCall, Plan, WindowedGroup};
use super::properties::{ColumnProperties, Properties, StateBound};
use crate::catalog::object::Emit;
use crate::data::Monotone;
use crate::error::{Error, Result};
use crate::functions::aggregate::known;
use crate::state::{AccumulatorKind, AggregateFunction, check_key_type};

/// The columns of the projection below an aggregate, as it grows.
struct Needed<'a> {
    lowering: &'a Lowering<'a>,
    from: &'a DFSchema,
    scalars: Vec<Scalar>,
    exprs: Vec<Expr>,
    fields: Vec<Field>,
}

impl Needed<'_> {
    /// The position of an expression's column.
    fn column(&mut self, expr: &Expr) -> Result<usize> {
        let expr = expr.clone().unalias();
        if let Some(found) = self.exprs.iter().position(|e| *e == expr) {
            return Ok(found);
        }
        self.push(expr)
    }

    fn push(&mut self, expr: Expr) -> Result<usize> {
        self.scalars.push(self.lowering.scalar(&expr, self.from)?);
        self.fields.push(Field::new(display(&expr), expr.get_type(self.from)?, true));
        self.exprs.push(expr);
        Ok(self.exprs.len() - 1)
    }
}

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &logical::Aggregate, above: Above) -> Result<Plan> {
        if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
            return Err(Error::unsupported(
                "GROUPING SETS, ROLLUP or CUBE in a materialized view",
                "Create one view per grouping.",
            ));
        }
        let input = self.node(&aggregate.input, Above { emit: Emit::OnUpdate, ..above })?;
        let from: &DFSchema = aggregate.input.schema();
        let mut needed = Needed { lowering: self, from, scalars: vec![], exprs: vec![], fields: vec![] };
        for expr in &aggregate.group_expr {
            // A repeated group expression has its own column: the output does.
            needed.push(expr.clone().unalias())?;
        }
        let groups = aggregate.group_expr.len();
        let retracting = !input.properties().append_only;
        let mut calls = vec![];
        for (i, expr) in aggregate.aggr_expr.iter().enumerate() {
            let output = aggregate.schema.field(groups + i).data_type();
            calls.push(call(expr, output, retracting, &mut needed)?);
        }
        let Needed { scalars, exprs, fields, .. } = needed;
        let columns = exprs.iter().map(|e| self.column_properties(e, from, input.properties())).collect();
        let input = projection(input, scalars, columns, Arc::new(Schema::new(fields)))?;
        // EXPLAIN names aggregates as SQL writes them.
        let open = open(&aggregate.schema);
        let named = open.fields().iter().enumerate().map(|(i, field)| match i.checked_sub(groups) {
            Some(call) => field.as_ref().clone().with_name(&calls[call].text),
            None => field.as_ref().clone().with_name(input.properties().schema.field(i).name()),
        });
        let schema = Arc::new(Schema::new(named.collect::<Vec<_>>()));
        finish(input, groups, calls, schema, above)
    }

    pub(super) fn distinct(&mut self, input: &LogicalPlan, above: Above) -> Result<Plan> {
        let schema = open(input.schema());
        let input = self.node(input, Above { emit: Emit::OnUpdate, ..above })?;
        let groups = schema.fields().len();
        finish(input, groups, vec![], schema, above)
    }
}

/// The node, over an input whose first columns are the group's.
fn finish(
    input: Plan,
    groups: usize,
    calls: Vec<AggregateCall>,
    schema: arrow::datatypes::SchemaRef,
    above: Above,
) -> Result<Plan> {
    let before = input.properties();
    let group: Vec<usize> = (0..groups).collect();
    for &g in &group {
        check_key_type(before.schema.field(g).data_type())?;
    }
    let windowed = before.window_column(&group).and_then(|group| {
        let column = before.columns[group].window.clone()?;
        let bound = |g: usize| {
            let window = before.columns[g].window.as_ref().filter(|w| w.node == column.node)?;
            Some((g, window.to_end()))
        };
        Some(WindowedGroup { bounds: (0..groups).filter_map(bound).collect(), column })
    });
    let closes = windowed.as_ref().is_some_and(|w| w.column.closing.is_some() && w.column.lateness.is_some());
    if above.emit == Emit::OnWindowClose && !closes {
        let what = if calls.is_empty() { "DISTINCT" } else { "a GROUP BY" };
        return Err(Error::unsupported(
            format!("EMIT ON WINDOW CLOSE over {what} without a window that closes"),
            check::GROUP_BY_WINDOW,
        ));
    }
    let on_close = above.emit == Emit::OnWindowClose;
    let column = |g: &usize| {
        let before = &before.columns[*g];
        match &before.window {
            Some(window) => {
                // A window still to come ends behind W - d, so it starts no earlier than the window that holds W - d.
                let lateness = Monotone::Shift(-window.lateness.unwrap_or(0));
                let mut window = window.clone();
                window.closing = window.closing.map(|w| w.behind_state());
                let watermark = window.closing.clone().map(|w| window.bound(w.then(&lateness)));
                ColumnProperties { watermark, window: Some(window) }
            }
            // A row that waits for its window's end is older than the watermark when it comes.
            None if on_close => ColumnProperties::default(),
            None => ColumnProperties { watermark: before.watermark.clone().map(|w| w.behind_state()), window: None },
        }
    };
    let mut columns: Vec<ColumnProperties> = group.iter().map(column).collect();
    columns.resize(schema.fields().len(), ColumnProperties::default());
    let once = on_close && windowed.as_ref().is_some_and(|w| w.column.lateness == Some(0));
    let properties = Properties {
        schema,
        key: Some(group.clone()),
        append_only: once || (calls.is_empty() && before.append_only && groups > 0),
        columns,
        state: match (groups, closes) {
            (0, _) => StateBound::Constant,
            (_, true) => StateBound::Windows,
            (_, false) => StateBound::Keys,
        },
    };
    let (input, panes, emit) = (Box::new(input), None, above.emit);
    Ok(Plan::Aggregate(Aggregate { input, group, calls, windowed, panes, emit, properties }))
}

/// One call of an aggregate function.
fn call(expr: &Expr, output: &DataType, retracting: bool, needed: &mut Needed<'_>) -> Result<AggregateCall> {
    let text = display(expr);
    let Expr::AggregateFunction(call) = expr.clone().unalias() else {
        return Err(Error::internal(format!("{text} is no aggregate")));
    };
    let name = call.func.name();
    let Some((function, order)) = known(&call.func) else {
        return Err(Error::unsupported(
            format!("the aggregate {name}() in a materialized view"),
            "Views keep count, sum, avg, min, max, stddev, variance, corr, bool_and, bit_and, string_agg, array_agg, \
             approx_distinct and their kin up to date.",
        ));
    };
    let params = &call.params;
    if !params.order_by.is_empty() || params.null_treatment.is_some() {
        return Err(Error::unsupported(
            format!("ORDER BY or IGNORE NULLS inside {name}() in a materialized view"),
            "Leave it out.",
        ));
    }
    let arguments: Vec<Expr> = match &params.args[..] {
        [Expr::Literal(value, _)] if function == AggregateFunction::Count && !value.is_null() && !params.distinct => {
            vec![]
        }
        args => args.iter().map(|a| a.clone().unalias()).collect(),
    };
    let distinct = params.distinct && !function.ignores_copies();
    let input_types = arguments.iter().map(|a| Ok(a.get_type(needed.from)?)).collect::<Result<Vec<_>>>()?;
    let kind = AccumulatorKind {
        function,
        inputs: input_types.clone(),
        order: order.clone(),
        output: output.clone(),
        retracting,
        distinct,
    };
    if !kind.supported() {
        return Err(Error::unsupported(
            format!("{name}({}) in a materialized view", list(&input_types)),
            "Cast the arguments to another type.",
        ));
    }
    if distinct {
        input_types.iter().try_for_each(check_key_type)?;
    }
    let text = if order.is_empty() { text } else { with_order(call.func.name(), params, &order) };
    let arguments = arguments.iter().map(|a| needed.column(a)).collect::<Result<_>>()?;
    let filter = params.filter.as_ref().map(|f| needed.column(f)).transpose()?;
    Ok(AggregateCall { function, arguments, order, distinct, filter, input_types, output_type: output.clone(), text })
}

/// A call as SQL writes it: ORDER BY's expressions are its last arguments.
fn with_order(name: &str, params: &AggregateFunctionParams, order: &[SortOptions]) -> String {
    let (arguments, keys) = params.args.split_at(params.args.len() - order.len());
    let arguments: Vec<String> = arguments.iter().map(display).collect();
    let key = |(key, o): (&Expr, &SortOptions)| {
        let nulls = if o.nulls_first { " NULLS FIRST" } else { " NULLS LAST" };
        let usual = o.nulls_first == o.descending;
        format!("{}{}{}", display(key), if o.descending { " DESC" } else { "" }, if usual { "" } else { nulls })
    };
    let keys: Vec<String> = keys.iter().zip(order).map(key).collect();
    let distinct = if params.distinct { "DISTINCT " } else { "" };
    let filter = params.filter.as_ref().map(|f| format!(" FILTER (WHERE {})", display(f))).unwrap_or_default();
    format!("{name}({distinct}{} ORDER BY {}){filter}", arguments.join(", "), keys.join(", "))
}

fn list(types: &[DataType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A literal true, for joins and filters that were optimized away.
pub(super) fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
