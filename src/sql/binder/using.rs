//! Columns of JOIN .. USING, which expressions name without a table.

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Select, SelectItem, TableFactor};

use super::syntax::{call, last_ident, own_expressions};
use crate::sql::parser::cursor::fold;

/// Columns of JOIN .. USING are named without a table: in WHERE DataFusion finds that ambiguous, elsewhere it takes the left
/// side's, which of an outer join may be NULL where the joined column is not.
pub(super) fn merged_columns(select: &mut Select) {
    let mut merged: Vec<(String, Expr)> = Vec::new();
    let mut outer = false;
    for table in &select.from {
        let Some(first) = relation_name(&table.relation) else { continue };
        let Some(join) = table.joins.first() else { continue };
        let (ast::JoinOperator::Join(constraint)
        | ast::JoinOperator::Inner(constraint)
        | ast::JoinOperator::Left(constraint)
        | ast::JoinOperator::LeftOuter(constraint)
        | ast::JoinOperator::Right(constraint)
        | ast::JoinOperator::RightOuter(constraint)
        | ast::JoinOperator::FullOuter(constraint)) = &join.join_operator
        else {
            continue;
        };
        let ast::JoinConstraint::Using(columns) = constraint else { continue };
        let Some(second) = relation_name(&join.relation) else { continue };
        for column in columns.iter().filter_map(last_ident) {
            let of = |table: &Ident| Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
            let name = fold(column);
            if merged.iter().any(|(m, _)| *m == name) {
                continue;
            }
            let value = match &join.join_operator {
                ast::JoinOperator::Right(_) | ast::JoinOperator::RightOuter(_) => of(&second),
                ast::JoinOperator::FullOuter(_) => call("coalesce", vec![of(&first), of(&second)]),
                _ => {
                    merged.push((name, of(&first)));
                    continue;
                }
            };
            outer = true;
            merged.push((name, value));
        }
    }
    if merged.is_empty() {
        return;
    }
    let found = |expr: &Expr| match expr {
        Expr::Identifier(ident) => merged.iter().find(|(name, _)| *name == fold(ident)).map(|(_, value)| value.clone()),
        _ => None,
    };
    let replace = |expr: &mut Expr| {
        if let Some(value) = found(expr) {
            *expr = value;
        }
    };
    if let Some(filter) = &mut select.selection {
        own_expressions(filter, replace);
    }
    if !outer {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
            && let Some(expr) = found(&Expr::Identifier(name.clone()))
        {
            *item = SelectItem::ExprWithAlias { expr, alias: name.clone() };
        } else {
            own_expressions(item, replace);
        }
    }
    own_expressions(&mut select.group_by, replace);
    own_expressions(&mut select.having, replace);
}

pub(super) fn relation_name(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { name, alias, args: None, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => last_ident(name).cloned(),
        },
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|a| a.name.clone()),
        _ => None,
    }
}
