//! `FROM t, unnest(t.a) AS x`: a row of `t` for each element of its array.
//!
//! The call becomes a lateral subquery of a function that stands for the elements ([`ELEMENTS`]), which DataFusion plans;
//! then the join with it becomes an Unnest over the columns on its left.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, TableReference, UnnestOptions};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    self, Ident, Select, SelectItem, SetExpr, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use super::stand_in::StandIn;
use super::syntax::{argument, call, last_name, quoted_call};
use super::typing::{no_function, plain, type_name};
use crate::error::Error;

/// Stands for an array's elements.
pub(super) static ELEMENTS: StandIn = StandIn {
    name: "elements of array",
    arguments: 1,
    result: |types| match types {
        [DataType::List(item) | DataType::LargeList(item)] => Ok(item.data_type().clone()),
        other => {
            let types: Vec<String> = other.iter().map(|t| type_name(&plain(t))).collect();
            Err(no_function("unnest", &types).into())
        }
    },
    run: |_| Err(Error::unsupported("unnest() here", "Use FROM t, unnest(t.a).").into()),
};

/// Rewrites the unnests of a FROM that look at relations on their left.
pub(super) fn unnests(select: &mut Select) {
    for (n, table) in select.from.iter_mut().enumerate() {
        if n > 0 {
            unnest(&mut table.relation);
        }
        table.joins.iter_mut().for_each(|join| unnest(&mut join.relation));
    }
}

fn unnest(factor: &mut TableFactor) {
    without_lateral(factor);
    let TableFactor::UNNEST { array_exprs, alias, with_offset: false, with_ordinality: false, .. } = factor else {
        return;
    };
    let [array] = array_exprs.as_slice() else { return };
    if !names_a_column(array) {
        return;
    }
    let table = alias.as_ref().map_or_else(|| Ident::new("unnest"), |a| a.name.clone());
    let column = alias.as_ref().and_then(|a| a.columns.first()).map_or_else(|| table.clone(), |c| c.name.clone());
    let Ok(mut query) = crate::sql::parser::reparse_query("SELECT 1 AS x") else { return };
    let SetExpr::Select(inner) = query.tree.body.as_mut() else { return };
    let elements = quoted_call(ELEMENTS.name, vec![made(array)]);
    inner.projection = vec![SelectItem::ExprWithAlias { expr: elements, alias: column }];
    let alias = TableAlias { explicit: true, name: table, columns: vec![], at: None };
    *factor = TableFactor::Derived { lateral: true, subquery: query.tree, alias: Some(alias), sample: None };
}

/// `LATERAL unnest(..)` is `unnest(..)`, which sees what is on its left anyway.
fn without_lateral(factor: &mut TableFactor) {
    let TableFactor::Function { lateral: true, name, args, alias, .. } = factor else { return };
    if last_name(name).is_none_or(|name| name != "unnest") {
        return;
    }
    let Some(array_exprs) = args.iter().map(|arg| argument(arg).cloned()).collect() else { return };
    *factor = TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
}

/// `ARRAY[a, b]` as the function that makes it: inside ARRAY[..] DataFusion looks for no columns of the left.
fn made(expr: &ast::Expr) -> ast::Expr {
    struct Make;
    impl VisitorMut for Make {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Array(array) = expr {
                *expr = call("make_array", std::mem::take(&mut array.elem));
            }
            ControlFlow::Continue(())
        }
    }
    let mut made = expr.clone();
    let _ = VisitMut::visit(&mut made, &mut Make);
    made
}

fn names_a_column(expr: &ast::Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match expr {
                ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(expr, &mut Names).is_break()
}

/// Joins with the elements of an array on their left become Unnests.
pub(super) fn flattened(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
    let Some((table, column, array)) = elements(&join.right)? else { return Ok(Transformed::no(node)) };
    if join.join_type != JoinType::Inner || !join.on.is_empty() {
        let hint = "Use FROM t, unnest(t.a): rows whose array is empty are left out.";
        return Err(Error::unsupported("an outer join with unnest()", hint).into());
    }
    elementwise(join, table, &column, array).map(Transformed::yes)
}

/// The alias, the column and the array of a lateral subquery that [`unnest`] made.
fn elements(right: &LogicalPlan) -> Result<Option<(TableReference, String, Expr)>> {
    let LogicalPlan::SubqueryAlias(alias) = right else { return Ok(None) };
    let inner = match alias.input.as_ref() {
        LogicalPlan::Subquery(subquery) => subquery.subquery.as_ref(),
        other => other,
    };
    let LogicalPlan::Projection(projection) = inner else { return Ok(None) };
    let [expr] = projection.expr.as_slice() else { return Ok(None) };
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr.clone().unalias() else { return Ok(None) };
    if func.name() != ELEMENTS.name {
        return Ok(None);
    }
    let Some(array) = args.into_iter().next() else { return Ok(None) };
    let array = array.transform(|e| {
        Ok(match e {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    })?;
    Ok(Some((alias.alias.clone(), right.schema().field(0).name().clone(), array.data)))
}

fn elementwise(join: &Join, table: TableReference, column: &str, array: Expr) -> Result<LogicalPlan> {
    let left = join.left.schema().clone();
    let mut exprs: Vec<Expr> = left.iter().map(|c| Expr::Column(Column::from(c))).collect();
    exprs.push(array.alias_qualified(Some(table.clone()), column));
    let options = UnnestOptions::new().with_preserve_nulls(false);
    let whole = LogicalPlanBuilder::from(join.left.as_ref().clone())
        .project(exprs)?
        .unnest_column_with_options(Column::new(Some(table.clone()), column), options)?
        .build()?;
    let schema = whole.schema().clone();
    let last = schema.fields().len() - 1;
    let name = |n: usize| Expr::Column(Column::from(schema.qualified_field(n)));
    let mut exprs: Vec<Expr> = (0..last).map(name).collect();
    exprs.push(name(last).alias_qualified(Some(table), column));
    let plan = LogicalPlanBuilder::from(whole).project(exprs)?;
    match &join.filter {
        Some(filter) => plan.filter(filter.clone())?.build(),
        None => plan.build(),
    }
}
