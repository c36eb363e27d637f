//! Columns of JOIN .. USING, which WHERE names without a table.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Query, Select, TableFactor, VisitMut, VisitorMut};

use crate::sql::parser::cursor::fold;

/// Columns of JOIN .. USING are named without a table in WHERE: DataFusion finds that ambiguous there.
pub(super) fn merged_columns(select: &mut Select) {
    let mut merged: Vec<(String, Ident)> = Vec::new();
    for table in &select.from {
        let Some(first) = relation_name(&table.relation) else { continue };
        for (n, join) in table.joins.iter().enumerate() {
            let (ast::JoinOperator::Join(constraint)
            | ast::JoinOperator::Inner(constraint)
            | ast::JoinOperator::Left(constraint)
            | ast::JoinOperator::LeftOuter(constraint)) = &join.join_operator
            else {
                continue;
            };
            let ast::JoinConstraint::Using(columns) = constraint else { continue };
            for column in columns.iter().filter_map(|c| c.0.last().and_then(|p| p.as_ident())) {
                let name = fold(column);
                if n == 0 && !merged.iter().any(|(m, _)| *m == name) {
                    merged.push((name, first.clone()));
                }
            }
        }
    }
    if let (false, Some(filter)) = (merged.is_empty(), &mut select.selection) {
        let _ = filter.visit(&mut Merged { columns: merged, depth: 0 });
    }
}

fn relation_name(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { name, alias, args: None, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => name.0.last().and_then(|p| p.as_ident()).cloned(),
        },
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|a| a.name.clone()),
        _ => None,
    }
}

struct Merged {
    columns: Vec<(String, Ident)>,
    depth: usize,
}

impl VisitorMut for Merged {
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
        if let Expr::Identifier(ident) = expr
            && self.depth == 0
            && let Some((_, table)) = self.columns.iter().find(|(name, _)| *name == fold(ident))
        {
            *expr = Expr::CompoundIdentifier(vec![table.clone(), ident.clone()]);
        }
        ControlFlow::Continue(())
    }
}
