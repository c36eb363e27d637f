//! Subqueries as values, brought to a form that DataFusion can decorrelate.
//!
//! * a correlated scalar subquery that is no aggregate gets one round it that lets at most one row through (21000);
//! * EXISTS in a SELECT list becomes a count;
//! * a SELECT that joins a system relation which is always empty is not worked out (psql asks several of them much).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{AggregateFunction, Exists};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit};
use datafusion::sql::sqlparser::ast::{
    self, GroupByExpr, JoinConstraint, JoinOperator, Select, SelectItem, TableFactor, Value,
};

use crate::catalog::system::always_empty;
use crate::functions::subquery::single_value;
use crate::sql::parser::cursor::fold;

/// Rewrites the subqueries of a plan.
pub(super) fn as_values(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let in_list = matches!(node, LogicalPlan::Projection(_));
        node.map_expressions(|expr| {
            expr.transform_up(|e| match e {
                Expr::ScalarSubquery(subquery) if must_be_single(&subquery) => {
                    Ok(Transformed::yes(Expr::ScalarSubquery(single(subquery)?)))
                }
                Expr::Exists(exists) if in_list => Ok(Transformed::yes(counted(exists)?)),
                other => Ok(Transformed::no(other)),
            })
        })
    })
    .map(|t| t.data)
}

fn must_be_single(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty() && subquery.subquery.max_rows().is_none_or(|rows| rows > 1)
}

fn single(subquery: Subquery) -> DfResult<Subquery> {
    let plan = subquery.subquery.as_ref().clone();
    let (qualifier, field) = plan.schema().qualified_field(0);
    let column = Expr::Column(Column::from((qualifier, field)));
    let name = field.name().clone();
    let call = AggregateFunction::new_udf(single_value(), vec![column], false, None, vec![], None);
    let call = Expr::AggregateFunction(call).alias(name);
    let plan = LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), vec![call])?.build()?;
    Ok(Subquery { subquery: Arc::new(plan), ..subquery })
}

fn counted(exists: Exists) -> DfResult<Expr> {
    let plan = exists.subquery.subquery.as_ref().clone();
    let plan = LogicalPlanBuilder::from(plan)
        .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("count")])?
        .build()?;
    let number = Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..exists.subquery });
    let zero = Expr::Literal(ScalarValue::Int64(Some(0)), None);
    Ok(if exists.negated { number.eq(zero) } else { number.gt(zero) })
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
fn aggregates(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) = item else { return false };
    let text = e.to_string().to_lowercase();
    let outside = !matches!(e, ast::Expr::Subquery(_) | ast::Expr::Case { .. });
    outside
        && ["count(", "sum(", "min(", "max(", "avg(", "string_agg(", "array_agg(", "bool_"]
            .iter()
            .any(|f| text.contains(f))
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
