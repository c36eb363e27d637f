//! `SELECT *` over JOIN .. USING and NATURAL JOIN: the columns joined by come first, once.

use std::ops::ControlFlow;

use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, Statement, TableFactor,
    TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::names::visible;
use super::provider::Provider;
use super::query::{Parameters, planner};
use super::syntax::{call, last_ident};
use super::using::relation_name;
use crate::sql::parser::cursor::fold;
use crate::sql::parser::reparse_query;

/// Writes the columns of such a `*` out, in a prepared tree.
pub(super) fn written_out(tree: &mut impl VisitMut, provider: &Provider<'_>, parameters: &Parameters) {
    let _ = tree.visit(&mut Stars { provider, parameters, with: vec![] });
}

struct Stars<'s, 'a> {
    provider: &'s Provider<'a>,
    parameters: &'s Parameters,
    /// WITH of the queries around.
    with: Vec<Vec<Cte>>,
}

/// A column of FROM, and what it is.
#[derive(Clone)]
struct Found {
    name: String,
    expr: Expr,
}

impl VisitorMut for Stars<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.with.push(query.with.as_ref().map(|with| with.cte_tables.clone()).unwrap_or_default());
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.with.pop();
        ControlFlow::Continue(())
    }
}

impl Stars<'_, '_> {
    fn body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }

    fn select(&self, select: &mut Select) {
        let merges = |join: &Join| matches!(sides(join), Some((_, JoinConstraint::Using(_) | JoinConstraint::Natural)));
        let bare = |item: &SelectItem| match item {
            SelectItem::Wildcard(options) => plain(options),
            _ => false,
        };
        if !select.projection.iter().any(bare) || !select.from.iter().flat_map(|from| &from.joins).any(merges) {
            return;
        }
        // What cannot be told, DataFusion orders.
        let Some(columns) = select.from.iter().map(|from| self.joined(from)).collect::<Option<Vec<_>>>() else {
            return;
        };
        let columns: Vec<SelectItem> = columns.into_iter().flatten().map(Found::item).collect();
        let items = std::mem::take(&mut select.projection);
        select.projection = items.into_iter().flat_map(|i| if bare(&i) { columns.clone() } else { vec![i] }).collect();
    }

    fn joined(&self, from: &TableWithJoins) -> Option<Vec<Found>> {
        let mut so_far = self.columns(&from.relation)?;
        for join in &from.joins {
            let right = self.columns(&join.relation)?;
            let (side, constraint) = sides(join)?;
            let names: Vec<String> = match constraint {
                JoinConstraint::Using(names) => names.iter().filter_map(last_ident).map(fold).collect(),
                JoinConstraint::Natural => {
                    so_far.iter().filter(|l| right.iter().any(|r| r.name == l.name)).map(|l| l.name.clone()).collect()
                }
                JoinConstraint::On(_) | JoinConstraint::None => vec![],
            };
            let mut columns = Vec::with_capacity(so_far.len() + right.len());
            for name in &names {
                let one = |side: &[Found]| side.iter().find(|c| c.name == *name).map(|c| c.expr.clone());
                let (left, right) = (one(&so_far)?, one(&right)?);
                let expr = match side {
                    Side::Left => left,
                    Side::Right => right,
                    Side::Both => call("coalesce", vec![left, right]),
                };
                columns.push(Found { name: name.clone(), expr });
            }
            columns.extend(so_far.into_iter().chain(right).filter(|c| !names.contains(&c.name)));
            so_far = columns;
        }
        Some(so_far)
    }

    /// The columns of a table factor, as `*` over it gives them.
    fn columns(&self, factor: &TableFactor) -> Option<Vec<Found>> {
        let table = relation_name(factor)?;
        let mut query = *reparse_query("WITH x AS (SELECT 1) SELECT * FROM x").ok()?.tree;
        let with: Vec<Cte> = self.with.iter().flatten().cloned().collect();
        match query.with.as_mut() {
            Some(own) if !with.is_empty() => own.cte_tables = with,
            _ => query.with = None,
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = vec![TableWithJoins { relation: factor.clone(), joins: vec![] }];
        }
        let mut context = PlannerContext::new().with_prepare_param_data_types(self.parameters.clone());
        let statement = Statement::Query(Box::new(query));
        let plan = planner(self.provider).sql_statement_to_plan_with_context(statement, &mut context).ok()?;
        let names: Vec<&String> = plan.schema().fields().iter().map(|f| f.name()).collect();
        let own = |name: &&String| visible(name) == **name;
        names.iter().all(own).then(|| names.iter().map(|name| Found::new(&table, name)).collect())
    }
}

impl Found {
    fn new(table: &Ident, name: &str) -> Self {
        let expr = Expr::CompoundIdentifier(vec![table.clone(), Ident::with_quote('"', name)]);
        Self { name: name.to_owned(), expr }
    }

    fn item(self) -> SelectItem {
        match &self.expr {
            Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(self.expr),
            _ => SelectItem::ExprWithAlias { expr: self.expr, alias: Ident::with_quote('"', self.name) },
        }
    }
}

/// Where a joined column's value comes from.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Both,
}

fn sides(join: &Join) -> Option<(Side, &JoinConstraint)> {
    match &join.join_operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => {
            Some((Side::Left, c))
        }
        JoinOperator::CrossJoin(c) => Some((Side::Left, c)),
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => Some((Side::Right, c)),
        JoinOperator::FullOuter(c) => Some((Side::Both, c)),
        _ => None,
    }
}

fn plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_none() && options.opt_except.is_none()
}
