//! Key forms in plans: values that PostgreSQL calls equal meet as one (see [`crate::data::key_form`] for why and what).
//!
//! ```text
//! GROUP BY j                     GROUP BY key_form(j), with spelled(key_form(j), spelling(j, key_form(j))) AS j above
//! DISTINCT, UNION                GROUP BY all columns
//! JOIN ON/USING, INTERSECT ..    key_form(l) = key_form(r)
//! e IN (query), e < ANY (query)  both sides in the form that orders them
//! ORDER BY, PARTITION BY, ON ()  the form that orders
//! ```
//!
//! Only expressions of a type whose equal values may vary are touched. All this happens to the analyzed plan, which a view's
//! rules and SELECT's optimizer get alike; but for [`ordered`], which DataFusion's analyzer must see done.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinConstraint};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{AggregateFunction, GroupingSet, InSubquery, SetComparison, Sort as SortExpr};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery,
};
use datafusion::scalar::ScalarValue;

use super::fold::fold;
use super::operators::call;
use crate::data::types::JSONB;
use crate::data::varies;
use crate::error::Result;
use crate::functions::aggregate::spelling;
use crate::functions::keys::{KEY_FORM, SPELLED};

/// Whether an expression's equal values may vary, and are not key forms already.
fn is_varying(expr: &Expr, schema: &DFSchema) -> bool {
    let formed = |e: &Expr| matches!(e, Expr::ScalarFunction(f) if f.func.name() == KEY_FORM);
    !formed(expr) && expr.get_type(schema).is_ok_and(|t| varies(&t))
}

/// An expression's key form.
pub(super) fn key(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    if is_varying(&expr, schema) { call(KEY_FORM, vec![expr.unalias()]) } else { Ok(expr) }
}

/// A form of an expression's values that is equal where they are, and orders as they do.
pub(super) fn order(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr.get_type(schema) {
        Ok(t) if t == JSONB => call("jsonb_order", vec![expr]),
        Ok(DataType::Interval(_)) => call("interval_order", vec![expr]),
        _ => key(expr, schema),
    }
}

/// As [`order`], of a type over which windows have ranges.
fn order_in_window(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = order(expr, schema)?;
    match expr.get_type(schema) {
        Ok(DataType::Binary) => call("encode", vec![expr, Expr::Literal(ScalarValue::from("hex"), None)]),
        _ => Ok(expr),
    }
}

fn by(sort: SortExpr, schema: &DFSchema) -> Result<SortExpr> {
    Ok(SortExpr { expr: order(sort.expr, schema)?, ..sort })
}

/// ORDER BY, DISTINCT ON, and OVER.
pub(super) fn ordered(node: LogicalPlan) -> DfResult<LogicalPlan> {
    match node {
        LogicalPlan::Sort(mut sort) => {
            let schema = sort.input.schema();
            sort.expr = sort.expr.into_iter().map(|e| by(e, schema)).collect::<Result<_>>()?;
            Ok(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let schema = on.input.schema();
            on.on_expr = on.on_expr.into_iter().map(|e| order(e, schema)).collect::<Result<_>>()?;
            let sorts = on.sort_expr.map(|all| all.into_iter().map(|e| by(e, schema)).collect::<Result<_>>());
            on.sort_expr = sorts.transpose()?;
            Ok(LogicalPlan::Distinct(Distinct::On(on)))
        }
        LogicalPlan::Window(mut window) => {
            let schema = Arc::clone(window.input.schema());
            let exprs = window.window_expr.into_iter().map(|e| over(e, &schema));
            window.window_expr = exprs.collect::<DfResult<_>>()?;
            Ok(LogicalPlan::Window(window))
        }
        other => Ok(other),
    }
}

/// PARTITION BY and ORDER BY of a window function, which keeps its name.
fn over(expr: Expr, schema: &DFSchema) -> DfResult<Expr> {
    let name = expr.qualified_name().1;
    let changed = expr.clone().unalias().transform_down(|e| match e {
        Expr::WindowFunction(mut call) => {
            let params = &mut call.params;
            let partition = std::mem::take(&mut params.partition_by).into_iter();
            params.partition_by = partition.map(|e| key(e, schema)).collect::<Result<_>>()?;
            let sorts = std::mem::take(&mut params.order_by).into_iter();
            let by = |sort: SortExpr| Ok(SortExpr { expr: order_in_window(sort.expr, schema)?, ..sort });
            params.order_by = sorts.map(by).collect::<Result<_>>()?;
            Ok(Transformed::yes(Expr::WindowFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    if changed.data == expr {
        return Ok(expr);
    }
    Ok(if changed.data.qualified_name().1 == name { changed.data } else { changed.data.alias(name) })
}

/// All other places, in an analyzed plan.
pub(super) fn keyed(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    // What lies above a changed node may know its columns by more than their types.
    let any = Cell::new(false);
    let plan = plan.transform_up_with_subqueries(|node| {
        let changed = queried(node)?.transform_data(|node| match node {
            LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => distinct(input),
            LogicalPlan::Join(join) => joined(join),
            other => Ok(Transformed::no(other)),
        })?;
        any.set(any.get() || changed.transformed);
        if any.get() { changed.map_data(LogicalPlan::recompute_schema) } else { Ok(changed) }
    });
    Ok(plan?.data)
}

/// Columns of a schema as expressions.
fn column(schema: &DFSchema, index: usize) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(index)))
}

/// Groups by key forms; above, the columns are what they were.
fn grouped(aggregate: Aggregate) -> DfResult<Transformed<LogicalPlan>> {
    let from = Arc::clone(aggregate.input.schema());
    let (schema, calls) = (&aggregate.schema, aggregate.aggr_expr.len());
    let keys: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
    if !keys.iter().any(|e| is_varying(e, &from)) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    // Behind the keys, GROUPING SETS have a column of their own.
    let own = schema.fields().len() - calls;
    let mut aggregates = aggregate.aggr_expr.clone();
    let mut spellings = vec![None; own];
    for (place, e) in keys.iter().enumerate().filter(|(_, e)| is_varying(e, &from)) {
        let args = vec![e.clone().unalias(), key(e.clone(), &from)?];
        spellings[place] = Some(own + aggregates.len());
        let call = AggregateFunction::new_udf(spelling(), args, false, None, vec![], None);
        aggregates.push(Expr::AggregateFunction(call));
    }
    let all = |exprs: Vec<Expr>| exprs.into_iter().map(|e| key(e, &from)).collect::<Result<Vec<_>>>();
    let formed = |e: Expr| {
        Ok(match e {
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => Expr::GroupingSet(GroupingSet::Rollup(all(exprs)?)),
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(all(exprs)?)),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(all).collect::<Result<_>>()?))
            }
            other => key(other, &from)?,
        })
    };
    let group = aggregate.group_expr.iter().cloned().map(formed).collect::<Result<Vec<_>>>()?;
    let below = Aggregate::try_new(Arc::clone(&aggregate.input), group, aggregates)?;
    let shown = (0..schema.fields().len()).map(|i| {
        let (qualifier, field) = schema.qualified_field(i);
        let value = column(&below.schema, i);
        let value = match spellings.get(i).copied().flatten() {
            Some(spelling) => call(SPELLED, vec![value, column(&below.schema, spelling)])?,
            None if value == column(schema, i) => return Ok(value),
            None => value,
        };
        Ok(value.alias_qualified(qualifier.cloned(), field.name()))
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    let below = Arc::new(LogicalPlan::Aggregate(below));
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(shown, below)?)))
}

/// DISTINCT is GROUP BY all columns.
fn distinct(input: Arc<LogicalPlan>) -> DfResult<Transformed<LogicalPlan>> {
    let schema = Arc::clone(input.schema());
    if !schema.fields().iter().any(|f| varies(f.data_type())) {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
    }
    let columns = (0..schema.fields().len()).map(|i| column(&schema, i)).collect();
    grouped(Aggregate::try_new(input, columns, vec![])?)
}

/// Sides are equal by their key forms.
fn joined(mut join: Join) -> DfResult<Transformed<LogicalPlan>> {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    if !join.on.iter().any(|(l, r)| is_varying(l, &left) || is_varying(r, &right)) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let pair = |(l, r): (Expr, Expr)| Ok((key(l, &left)?, key(r, &right)?));
    join.on = join.on.into_iter().map(pair).collect::<Result<_>>()?;
    // USING speaks of columns.
    join.join_constraint = JoinConstraint::On;
    Ok(Transformed::yes(LogicalPlan::Join(join)))
}

/// `e IN (query)`, `e op ANY (query)`.
fn queried(node: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let mut from = DFSchema::empty();
    for input in node.inputs() {
        from.merge(input.schema());
    }
    node.map_expressions(|expr| {
        expr.transform_up(|e| match e {
            Expr::InSubquery(one) if is_varying(&one.expr, &from) => {
                let (expr, subquery) = (Box::new(order(*one.expr, &from)?), in_order(one.subquery)?);
                Ok(Transformed::yes(Expr::InSubquery(InSubquery::new(expr, subquery, one.negated))))
            }
            Expr::SetComparison(one) if is_varying(&one.expr, &from) && one.op != Operator::LikeMatch => {
                let (expr, subquery) = (Box::new(order(*one.expr, &from)?), in_order(one.subquery)?);
                Ok(Transformed::yes(Expr::SetComparison(SetComparison { expr, subquery, ..one })))
            }
            other => Ok(Transformed::no(other)),
        })
    })
}

/// A query of one column, in the form that orders it.
fn in_order(subquery: Subquery) -> DfResult<Subquery> {
    let plan = subquery.subquery.as_ref().clone();
    let schema = Arc::clone(plan.schema());
    let (qualifier, field) = schema.qualified_field(0);
    let formed = |expr: Expr, from: &DFSchema| -> DfResult<Expr> {
        Ok(fold(order(expr, from)?).alias_qualified(qualifier.cloned(), field.name()))
    };
    let plan = match plan {
        LogicalPlan::Projection(mut p) if p.expr.len() == 1 => {
            let expr = p.expr.remove(0).unalias();
            let formed = formed(expr, p.input.schema())?;
            LogicalPlan::Projection(Projection::try_new(vec![formed], p.input)?)
        }
        plan => LogicalPlanBuilder::from(plan).project(vec![formed(column(&schema, 0), &schema)?])?.build()?,
    };
    Ok(Subquery { subquery: Arc::new(plan), ..subquery })
}
