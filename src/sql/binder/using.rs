//! Columns of JOIN .. USING, which WHERE names without a table.

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Select, TableFactor};

use super::syntax::{last_ident, own_expressions};
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
            for column in columns.iter().filter_map(last_ident) {
                let name = fold(column);
                if n == 0 && !merged.iter().any(|(m, _)| *m == name) {
                    merged.push((name, first.clone()));
                }
            }
        }
    }
    if let (false, Some(filter)) = (merged.is_empty(), &mut select.selection) {
        own_expressions(filter, |expr| {
            if let Expr::Identifier(ident) = expr
                && let Some((_, table)) = merged.iter().find(|(name, _)| *name == fold(ident))
            {
                *expr = Expr::CompoundIdentifier(vec![table.clone(), ident.clone()]);
            }
        });
    }
}

fn relation_name(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { name, alias, args: None, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => last_ident(name).cloned(),
        },
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|a| a.name.clone()),
        _ => None,
    }
}
