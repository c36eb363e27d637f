//! EXISTS among the result columns, where DataFusion does not know it, is a count of rows.

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Query, SelectItem, SetExpr, TableFactor};

use super::syntax::own_expressions;

/// EXISTS among the result columns: DataFusion knows it in WHERE only, but counts anywhere.
pub(super) fn count_in_projection(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    own_expressions(expr, count);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            count_in_projection(left);
            count_in_projection(right);
        }
        _ => {}
    }
}

fn count(expr: &mut Expr) {
    let Expr::Exists { subquery, negated } = expr else { return };
    let op = if *negated { "=" } else { ">" };
    let outer = format!("SELECT count(*) {op} 0 AS \"exists\" FROM (SELECT 1) AS x");
    let Ok(mut outer) = crate::sql::parser::reparse_query(&outer) else { return };
    let SetExpr::Select(counting) = outer.tree.body.as_mut() else { return };
    match (subquery.body.as_ref(), simple(subquery)) {
        // A correlated condition must stay directly below.
        (SetExpr::Select(inner), true) => {
            counting.from.clone_from(&inner.from);
            counting.selection.clone_from(&inner.selection);
        }
        _ => {
            if let Some(TableFactor::Derived { subquery: inner, .. }) =
                counting.from.first_mut().map(|f| &mut f.relation)
            {
                inner.clone_from(subquery);
            }
        }
    }
    *expr = Expr::Subquery(outer.tree);
}

/// A query whose rows are those of its FROM and WHERE.
fn simple(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    let calls = select.projection.iter().any(|i| i.to_string().contains('('));
    query.with.is_none()
        && query.limit_clause.is_none()
        && ungrouped
        && select.having.is_none()
        && !calls
        && !select.from.is_empty()
}
