//! What UPDATE and DELETE change: the rows they are about, and what becomes of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, DFSchemaRef, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, AssignmentTarget, SelectItem, SetExpr};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::calls::forbid;
use super::names::{unique, visible};
use super::places::Places;
use super::provider::Provider;
use super::query::{finish, plan};
use super::scope::{Given, Scope, is_default, no_column, returned};
use super::{Local, Returning};
use crate::catalog::object::{Kind, Object};
use crate::error::{Error, Result, SqlState};
use crate::sql::parser::cursor::fold;
use crate::sql::parser::reparse_query;
use crate::sql::statement::Name;

pub(super) fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    })
    .unwrap_or(true)
}

/// SET: column positions and what they become.
pub(super) fn assignments(
    target: &Object,
    given: &[ast::Assignment],
    places: &Places<'_>,
) -> Result<Vec<(usize, ast::Expr)>> {
    let mut pairs: Vec<(usize, ast::Expr)> = Vec::new();
    let mut push = |name: &ast::ObjectName, value: ast::Expr| -> Result<()> {
        // `t.c` would be the field c of a column t.
        let ident = name.0.first().and_then(|p| p.as_ident());
        let (column, span) = ident.map_or_else(|| (String::new(), Span::empty()), |i| (fold(i), i.span));
        let position = places.at(span).unwrap_or(0);
        let index = target.schema.index_of(&column).map_err(|_| no_column(target, &column, position))?;
        if name.0.len() > 1 {
            let field = target.schema.field(index);
            if let DataType::Struct(fields) = field.data_type() {
                let all = fields.iter().map(|f| format!("({column}).{}", f.name())).collect::<Vec<_>>().join(", ");
                let hint = format!("Assign all of it: SET {column} = ROW({all}), with the new value in its place.");
                return Err(places.pointed(Error::unsupported("assignment to a field of a column", hint), span));
            }
            let kind = super::typing::type_name(field);
            let message = format!(
                "cannot assign to a field of column \"{column}\" because its type {kind} is not a composite type"
            );
            return Err(places.pointed(Error::new(SqlState::DATATYPE_MISMATCH, message), span));
        }
        if pairs.iter().any(|(i, _)| *i == index) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        pairs.push((index, value));
        Ok(())
    };
    for assignment in given {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => push(name, value.clone())?,
            (AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                names.iter().zip(values).try_for_each(|(name, value)| push(name, value.clone()))?;
            }
            (AssignmentTarget::Tuple(_), ast::Expr::Tuple(_)) => {
                return Err(Error::syntax("number of columns does not match number of values", None));
            }
            (AssignmentTarget::Tuple(names), ast::Expr::Nested(value)) if names.len() == 1 => {
                push(&names[0], value.as_ref().clone())?;
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(Error::unsupported("SET (a, b) = (SELECT ..)", "Set the columns one by one."));
            }
        }
    }
    Ok(pairs)
}

/// `SELECT * FROM target, from WHERE filter`, without its outermost projection.
pub(super) fn base_plan(
    provider: &Provider<'_>,
    (name, alias): (&Name, Option<&str>),
    from: &[ast::TableWithJoins],
    filter: Option<&ast::Expr>,
    (text, given): (&str, &Given<'_>),
) -> Result<LogicalPlan> {
    let quote = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
    let schema = name.schema.as_deref().map(|s| format!("{}.", quote(s))).unwrap_or_default();
    let alias = quote(alias.unwrap_or(&name.name));
    let mut query = reparse_query(&format!("SELECT * FROM {schema}{} AS {alias}", quote(&name.name)))?;
    if let SetExpr::Select(select) = query.tree.body.as_mut() {
        select.from.extend(from.iter().cloned());
        select.selection = filter.cloned();
    }
    query.text = text.to_owned();
    query.offset = 0;
    let planned = plan(provider, &query, given.parameters, false)?;
    match planned {
        LogicalPlan::Projection(p) => Ok(Arc::unwrap_or_clone(p.input)),
        other => Ok(other),
    }
}

/// Per column of the target: its new value over the base plan's columns.
pub(super) fn new_values(
    provider: &Provider<'_>,
    schema: &DFSchemaRef,
    target: &Object,
    trees: &[(usize, ast::Expr)],
    given: &Given<'_>,
) -> Result<Vec<Option<Expr>>> {
    let Kind::Table(table) = &target.kind else { return Err(Error::internal("not a table")) };
    let scope = Scope { provider, schema, given };
    let mut values: Vec<Option<Expr>> = vec![None; target.schema.fields().len()];
    for (column, tree) in trees {
        let field = target.schema.field(*column);
        if !is_default(tree) {
            forbid(tree, "UPDATE", given.places)?;
        }
        values[*column] = Some(match (is_default(tree), table.defaults.get(*column).cloned().flatten()) {
            (true, Some(text)) => provider.binder.bind_expression(&text, &Schema::empty(), field)?,
            (true, None) => Expr::Literal(ScalarValue::try_new_null(field.data_type())?, None),
            (false, _) => scope.value(tree, field).map_err(|e| given.places.error_in(e, tree))?,
        });
    }
    Ok(values)
}

/// WHERE over the target's row alone, if it looks at nothing else.
pub(super) fn local_change(
    provider: &Provider<'_>,
    target: &Object,
    alias: &str,
    alone: bool,
    filter: Option<&ast::Expr>,
    given: &Given<'_>,
) -> Result<Option<Local>> {
    if !alone {
        return Ok(None);
    }
    let schema = Arc::new(DFSchema::try_from_qualified_schema(alias, &target.schema)?);
    let scope = Scope { provider, schema: &schema, given };
    let filter = filter.map(|tree| scope.condition(tree).map_err(|e| given.places.error(e))).transpose()?;
    if filter.as_ref().is_some_and(has_subquery) {
        return Ok(None);
    }
    Ok(Some(Local { filter, assignments: vec![], schema: schema.clone() }))
}

/// Old rows, new rows (`values`), and what RETURNING gives.
pub(super) fn changed_rows(
    provider: &Provider<'_>,
    base: LogicalPlan,
    (target, alias): (&Object, &str),
    values: Option<&Vec<Option<Expr>>>,
    items: Option<&[SelectItem]>,
    local: bool,
    given: &Given<'_>,
) -> Result<(LogicalPlan, Option<Returning>)> {
    let width = target.schema.fields().len();
    let schema = base.schema().clone();
    let column = |n: usize| Expr::Column(Column::from(schema.qualified_field(n)));
    let old_name = |n: usize| unique("old", n);
    let qualifier = TableReference::bare(alias.to_owned());
    let mut exprs: Vec<Expr> = (0..width).map(|n| column(n).alias(old_name(n))).collect();
    for n in 0..width {
        let value = values.and_then(|v| v.get(n).cloned().flatten()).unwrap_or_else(|| column(n));
        let name = target.schema.field(n).name();
        exprs.push(value.alias_qualified(Some(qualifier.clone()), name));
    }
    exprs.extend((width..schema.fields().len()).map(column));
    let both = LogicalPlanBuilder::from(base).project(exprs)?.build()?;
    let after = both.schema().clone();
    let visible_fields = after.iter().skip(width).map(|(q, f)| (q.cloned(), f.clone())).collect();
    let row = DFSchema::new_with_metadata(visible_fields, HashMap::new())?;
    let returning = match items {
        None => None,
        Some(items) => Some(returned(&Scope { provider, schema: &row, given }, items)?),
    };
    let keep = if values.is_some() { 2 * width } else { width };
    let mut out: Vec<Expr> = (0..keep).map(|n| Expr::Column(Column::from(after.qualified_field(n)))).collect();
    for (n, expr) in returning.iter().flat_map(|r| &r.exprs).enumerate() {
        out.push(expr.clone().alias(unique("returning", n)));
    }
    let plan = LogicalPlanBuilder::from(both).project(out)?.build()?;
    let plan = finish(provider, plan, false)?;
    let returning = match returning {
        // Over the plan's own columns where there is only the plan.
        Some(r) if !local => {
            let columns = plan.schema().iter().skip(keep).map(|c| Expr::Column(Column::from(c)));
            Some(Returning { exprs: columns.collect(), columns: r.columns })
        }
        other => other,
    };
    debug_assert!(returning.iter().flat_map(|r| &r.columns).all(|f| visible(f.name()) == f.name()));
    Ok((plan, returning))
}
