//! EXISTS among the result columns, where DataFusion does not know it, is a count of rows.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Query, SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut,
};

/// EXISTS among the result columns: DataFusion knows it in WHERE only, but counts anywhere.
pub(super) fn count_in_projection(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    let _ = expr.visit(&mut Counts { depth: 0 });
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

struct Counts {
    depth: usize,
}

impl VisitorMut for Counts {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Exists { subquery, negated } = expr
            && self.depth == 0
        {
            let op = if *negated { "=" } else { ">" };
            let outer = format!("SELECT count(*) {op} 0 AS \"exists\" FROM (SELECT 1) AS x");
            let Ok(mut outer) = crate::sql::parser::reparse_query(&outer) else { return ControlFlow::Continue(()) };
            if let SetExpr::Select(counting) = outer.tree.body.as_mut() {
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
            }
            *expr = Expr::Subquery(outer.tree);
        }
        ControlFlow::Continue(())
    }
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
