//! Subqueries as values, brought to a form that DataFusion can decorrelate.
//!
//! * a correlated scalar subquery that is no aggregate gets one round it that lets at most one row through (21000);
//! * its conditions that are no equations with the outer query are moved out of it, or made equations' consequences;
//! * a SELECT that joins a system relation which is always empty is not worked out (psql asks several of them much).

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, when};
use datafusion::sql::sqlparser::ast::{
    self, GroupByExpr, JoinConstraint, JoinOperator, Select, SelectItem, TableFactor, Value,
};

use crate::catalog::system::always_empty;
use crate::functions::registry;
use crate::functions::subquery::{not_run, single_value};
use crate::sql::parser::cursor::fold;

/// Rewrites the subqueries of a plan.
pub(super) fn as_values(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let node = super::lateral::flattened(node)?;
        node.transform_data(|node| {
            node.map_expressions(|expr| {
                expr.transform_up(|e| match e {
                    Expr::ScalarSubquery(subquery) if is_recursive(&subquery)? => {
                        let field = Arc::clone(subquery.subquery.schema().field(0));
                        let field = Arc::new(field.as_ref().clone().with_nullable(true));
                        let call = not_run(field, "a recursive subquery with columns of the outer query").call(vec![]);
                        Ok(Transformed::yes(call))
                    }
                    Expr::ScalarSubquery(subquery) if must_be_single(&subquery) => {
                        Ok(Transformed::yes(single(subquery)?))
                    }
                    other => Ok(Transformed::no(other)),
                })
            })
        })
    })
    .map(|t| t.data)
}

/// A recursive query whose parts look at the outer query, which can't be made a join.
fn is_recursive(subquery: &Subquery) -> DfResult<bool> {
    let recursive = |plan: &LogicalPlan| Ok(matches!(plan, LogicalPlan::RecursiveQuery(_)));
    Ok(!subquery.outer_ref_columns.is_empty() && subquery.subquery.exists(recursive)?)
}

fn must_be_single(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty() && subquery.subquery.max_rows().is_none_or(|rows| rows > 1)
}

/// `(SELECT single_value(e) ..)`, in CASE when some of its conditions look at the outer query alone.
fn single(subquery: Subquery) -> DfResult<Expr> {
    let mut outside = Vec::new();
    let plan = subquery.subquery.as_ref().clone();
    let plan = plan.transform_down(|node| match node {
        LogicalPlan::Filter(filter) => Ok(Transformed::yes(conditions(filter, &mut outside)?)),
        other => Ok(Transformed::no(other)),
    })?;
    let plan = plan.data;
    let (qualifier, field) = plan.schema().qualified_field(0);
    let column = Expr::Column(Column::from((qualifier, field)));
    // The column itself may come to stand beside it.
    let name = format!("single {}", field.name());
    let call = AggregateFunction::new_udf(single_value(), vec![column], false, None, vec![], None);
    let call = Expr::AggregateFunction(call).alias(name);
    let plan = LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), vec![call])?.build()?;
    let outer_ref_columns = outer_references(&plan)?;
    let value = Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, ..subquery });
    match conjunction(outside) {
        Some(condition) => when(condition, value).end(),
        None => Ok(value),
    }
}

/// The columns of the outer query that a plan names, its subqueries not counted.
fn outer_references(plan: &LogicalPlan) -> DfResult<Vec<Expr>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if matches!(e, Expr::OuterReferenceColumn(..)) && !found.contains(e) {
                    found.push(e.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// A filter of a subquery without the conditions that look at the outer query alone (they go to `outside`), and with the
/// inner column in the place of an outer one that a condition says is equal.
fn conditions(filter: Filter, outside: &mut Vec<Expr>) -> DfResult<LogicalPlan> {
    let all = split_conjunction_owned(filter.predicate);
    let equal: Vec<(Expr, Expr)> = all.iter().filter_map(equation).collect();
    let mut inside = Vec::new();
    for condition in all {
        if equation(&condition).is_some() || !condition.contains_outer() {
            inside.push(condition);
        } else if condition.column_refs().is_empty()
            && !condition.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_))))?
        {
            outside.push(to_outside(condition)?);
        } else {
            inside.push(by_inner(condition, &equal)?);
        }
    }
    match conjunction(inside) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)),
        None => Ok(filter.input.as_ref().clone()),
    }
}

/// `outer = inner`, either way round.
fn equation(condition: &Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    match (left.as_ref(), right.as_ref()) {
        (outer @ Expr::OuterReferenceColumn(..), inner) | (inner, outer @ Expr::OuterReferenceColumn(..))
            if !inner.contains_outer() =>
        {
            Some((outer.clone(), inner.clone()))
        }
        _ => None,
    }
}

fn to_outside(condition: Expr) -> DfResult<Expr> {
    let plain = condition.transform(|e| {
        Ok(match e {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    plain.map(|t| t.data)
}

fn by_inner(condition: Expr, equal: &[(Expr, Expr)]) -> DfResult<Expr> {
    let replaced = condition.transform(|e| {
        let found = equal.iter().find(|(outer, _)| *outer == e).map(|(_, inner)| inner.clone());
        Ok(found.map_or_else(|| Transformed::no(e), Transformed::yes))
    });
    replaced.map(|t| t.data)
}

/// Empties a SELECT over an inner join with a system relation that never has a row.
pub(super) fn empty(select: &mut Select) {
    let plain = select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !plain || !select.from.iter().any(joins_empty) || select.projection.iter().any(aggregates) {
        return;
    }
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } if !is_column(e) => *e = null_text(),
            _ => {}
        }
    }
    select.selection = Some(ast::Expr::Value(Value::Boolean(false).with_empty_span()));
}

fn joins_empty(from: &ast::TableWithJoins) -> bool {
    // The left side of any join but RIGHT and FULL must have a row; the right side of an inner one too.
    let preserved = |op: &JoinOperator| {
        matches!(
            op,
            JoinOperator::Join(JoinConstraint::On(_))
                | JoinOperator::Inner(JoinConstraint::On(_))
                | JoinOperator::CrossJoin(_)
        )
    };
    let left = |op: &JoinOperator| preserved(op) || matches!(op, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
    if !from.joins.iter().all(|j| left(&j.join_operator)) {
        return false;
    }
    is_empty(&from.relation) || from.joins.iter().any(|j| preserved(&j.join_operator) && is_empty(&j.relation))
}

fn is_empty(factor: &TableFactor) -> bool {
    let TableFactor::Table { name, args: None, .. } = factor else { return false };
    let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(fold).collect();
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [name] => always_empty("pg_catalog", name),
        [schema, name] => always_empty(schema, name),
        _ => false,
    }
}

fn is_column(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_))
}

/// Whether an item may be an aggregate, which gives a row over nothing too.
pub(super) fn aggregates(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) = item else { return false };
    let mut e = e;
    while let ast::Expr::Nested(inner) = e {
        e = inner;
    }
    let text = e.to_string().to_lowercase();
    let outside = !matches!(e, ast::Expr::Subquery(_) | ast::Expr::Case { .. });
    outside && registry().aggregate.keys().any(|name| text.contains(&format!("{name}(")))
}

fn null_text() -> ast::Expr {
    ast::Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(ast::Expr::Value(Value::Null.with_empty_span())),
        data_type: ast::DataType::Text,
        array: false,
        format: None,
    }
}
