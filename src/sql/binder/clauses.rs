//! What may stand where, before anything is planned: aggregates and window functions outside of their clauses, positions
//! in ORDER BY and GROUP BY that the select list does not have, columns in LIMIT, subqueries of several columns.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, JoinConstraint, JoinOperator,
    LimitClause, Query, Select, SelectItem, SetExpr, Spanned, TableFactor, Value, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::calls::{Calls, forbid};
use super::names::column_name;
use super::places::Places;
use crate::error::{Error, Result, SqlState};
use crate::sql::parser::cursor::fold;

/// Checks a query and all queries in it.
pub(super) fn check<T: Visit>(tree: &T, places: &Places<'_>) -> Result<()> {
    match tree.visit(&mut Clauses { places, tables: vec![] }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Clauses<'p, 'a> {
    places: &'p Places<'a>,
    /// Where queries begin that are arguments of functions in FROM: they are tables.
    tables: Vec<Location>,
}

impl Visitor for Clauses<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        answer(self.query(query))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let args: &[FunctionArg] = match factor {
            TableFactor::Table { args: Some(args), .. } => &args.args,
            TableFactor::TableFunction { expr: Expr::Function(f), .. } => match &f.args {
                FunctionArguments::List(list) => &list.args,
                _ => &[],
            },
            _ => &[],
        };
        self.tables.extend(args.iter().filter_map(table));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        answer(self.subquery(expr))
    }
}

fn answer(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Clauses<'_, '_> {
    fn query(&self, query: &Query) -> Result<()> {
        self.body(&query.body)?;
        if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(items), .. }) = &query.order_by {
            items.iter().try_for_each(|item| self.order_key(&item.expr, query))?;
        }
        let (limit, offset) = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit.as_ref(), offset.as_ref().map(|o| &o.value)),
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            None => (None, None),
        };
        limit.map_or(Ok(()), |e| self.count(e, "LIMIT"))?;
        offset.map_or(Ok(()), |e| self.count(e, "OFFSET"))
    }

    fn body(&self, body: &SetExpr) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                for row in &values.rows {
                    if row.content.len() != width {
                        let error = Error::syntax("VALUES lists must all be the same length", None);
                        let span = row.content.first().map_or(Span::empty(), Spanned::span);
                        return Err(self.places.pointed(error, span));
                    }
                    row.content.iter().try_for_each(|e| forbid(e, "VALUES", self.places))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn select(&self, select: &Select) -> Result<()> {
        self.windows(select)?;
        for join in select.from.iter().flat_map(|f| &f.joins) {
            if let Some(condition) = condition(&join.join_operator) {
                forbid(condition, "JOIN conditions", self.places)?;
            }
        }
        if let Some(filter) = &select.selection {
            forbid(filter, "WHERE", self.places)?;
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            keys.iter().try_for_each(|key| self.group_key(key, select))?;
        }
        if let Some(ast::Distinct::On(keys)) = &select.distinct {
            keys.iter().try_for_each(|key| self.position(key, "DISTINCT ON", Some(select)).map(|_| ()))?;
        }
        let calls = Calls { places: self.places, windows: &select.named_window };
        for item in &select.projection {
            if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
                calls.check(e)?;
            }
        }
        if let Some(having) = &select.having {
            calls.check(having)?;
            super::calls::forbid_windows(having, "HAVING", self.places)?;
        }
        Ok(())
    }

    /// The names of WINDOW differ.
    fn windows(&self, select: &Select) -> Result<()> {
        for (n, window) in select.named_window.iter().enumerate() {
            let name = fold(&window.0);
            if select.named_window[..n].iter().any(|w| fold(&w.0) == name) {
                let error = Error::new(SqlState::WINDOWING_ERROR, format!("window \"{name}\" is already defined"));
                return Err(self.places.pointed(error, window.0.span));
            }
        }
        Ok(())
    }

    fn group_key(&self, key: &Expr, select: &Select) -> Result<()> {
        let item = self.position(key, "GROUP BY", Some(select))?;
        match item.and_then(|n| select.projection.get(n - 1)) {
            Some(SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) => {
                forbid(e, "GROUP BY", self.places)
            }
            _ => forbid(key, "GROUP BY", self.places),
        }
    }

    fn order_key(&self, key: &Expr, query: &Query) -> Result<()> {
        let first = first_select(&query.body);
        if self.position(key, "ORDER BY", first)?.is_some() {
            return Ok(());
        }
        let SetExpr::SetOperation { .. } = query.body.as_ref() else {
            let windows = first.map_or(&[][..], |s| &s.named_window);
            return Calls { places: self.places, windows }.check(key);
        };
        let Expr::Identifier(name) = key else {
            let error = Error::new(SqlState::FEATURE_NOT_SUPPORTED, "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                .with_detail("Only result column names can be used, not expressions or functions.")
                .with_hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.");
            return Err(self.places.pointed(error, key.span()));
        };
        let known = first.and_then(names).is_none_or(|names| names.contains(&fold(name)));
        if known {
            return Ok(());
        }
        let message = format!("column \"{}\" does not exist", fold(name));
        Err(self.places.pointed(Error::new(SqlState::UNDEFINED_COLUMN, message), name.span))
    }

    /// The number of a result column, from 1; `None`: the key is an expression.
    fn position(&self, key: &Expr, clause: &str, select: Option<&Select>) -> Result<Option<usize>> {
        let (value, negative) = match key {
            Expr::Value(value) => (value, false),
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match expr.as_ref() {
                Expr::Value(value) => (value, true),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let number = match &value.value {
            Value::Number(digits, _) => digits.parse::<i64>().ok().map(|n| if negative { -n } else { n }),
            Value::SingleQuotedString(_) => None,
            _ => return Ok(None),
        };
        let span = if negative { key.span() } else { value.span };
        let Some(number) = number else {
            let error = Error::syntax(format!("non-integer constant in {clause}"), None);
            return Err(self.places.pointed(error, span));
        };
        let columns = select.and_then(width);
        match usize::try_from(number) {
            Ok(n) if n > 0 && columns.is_none_or(|columns| n <= columns) => Ok(Some(n)),
            _ => {
                let message = format!("{clause} position {number} is not in select list");
                let error = Error::new(SqlState::INVALID_COLUMN_REFERENCE, message);
                let position = self.places.at(span).map(|p| if negative { p.saturating_sub(1) } else { p });
                Err(position.into_iter().fold(error, Error::with_position))
            }
        }
    }

    /// LIMIT and OFFSET look at no row.
    fn count(&self, expr: &Expr, clause: &'static str) -> Result<()> {
        forbid(expr, clause, self.places)?;
        if let Expr::Value(v) = expr
            && let Value::Boolean(_) = v.value
        {
            let message = format!("argument of {clause} must be type bigint, not type boolean");
            return Err(self.places.pointed(Error::new(SqlState::DATATYPE_MISMATCH, message), v.span));
        }
        match super::calls::first_column(expr) {
            Some(span) => {
                let message = format!("argument of {clause} must not contain variables");
                Err(self.places.pointed(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message), span))
            }
            None => Ok(()),
        }
    }

    /// A subquery as a value has one column.
    fn subquery(&self, expr: &Expr) -> Result<()> {
        let wrong = |message: &str, span: Span| {
            let error = Error::syntax(message, None);
            let position = self.places.before(span, '(');
            Err(position.into_iter().fold(error, Error::with_position))
        };
        match expr {
            Expr::Subquery(query) if self.tables.contains(&query.span().start) => Ok(()),
            Expr::Subquery(query) => match first_select(&query.body).and_then(width) {
                Some(columns) if columns > 1 => wrong("subquery must return only one column", query.span()),
                _ => Ok(()),
            },
            Expr::Function(f) => match &f.args {
                FunctionArguments::Subquery(query) => match first_select(&query.body).and_then(width) {
                    Some(columns) if columns > 1 => {
                        let error = Error::syntax("subquery must return only one column", None);
                        Err(self.places.pointed(error, f.span()))
                    }
                    _ => Ok(()),
                },
                _ => Ok(()),
            },
            Expr::InSubquery { expr, subquery, .. } => {
                let wanted = if let Expr::Tuple(items) = expr.as_ref() { items.len() } else { 1 };
                match first_select(&subquery.body).and_then(width) {
                    Some(columns) if columns > wanted => wrong("subquery has too many columns", subquery.span()),
                    Some(columns) if columns < wanted => wrong("subquery has too few columns", subquery.span()),
                    _ if wanted > 1 => {
                        let hint = "Use EXISTS (SELECT .. WHERE a = .. AND b = ..).";
                        Err(Error::unsupported("(a, b) IN (SELECT ..)", hint))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Where an argument's query begins.
fn table(arg: &FunctionArg) -> Option<Location> {
    let (FunctionArg::Unnamed(FunctionArgExpr::Expr(e))
    | FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. }
    | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(e), .. }) = arg
    else {
        return None;
    };
    let mut expr = e;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    if let Expr::Subquery(query) = expr { Some(query.span().start) } else { None }
}

/// The leftmost SELECT, which names the columns.
fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// Number of result columns, where no `*` hides it.
fn width(select: &Select) -> Option<usize> {
    let plain = |i: &SelectItem| matches!(i, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    select.projection.iter().all(plain).then_some(select.projection.len())
}

fn names(select: &Select) -> Option<Vec<String>> {
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(e) => Some(column_name(e)),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    };
    select.projection.iter().map(name).collect()
}

fn condition(operator: &JoinOperator) -> Option<&Expr> {
    let (JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint)) = operator
    else {
        return None;
    };
    if let JoinConstraint::On(condition) = constraint { Some(condition) } else { None }
}
