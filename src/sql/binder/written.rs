//! `sum(k)` and `sum(k::bigint)` are two columns, and so are `k` and `k::bigint` in GROUP BY: DataFusion names them alike,
//! since a cast has no name.
//!
//! An argument of an aggregate that holds a cast becomes a call of a function that also has its text; typing takes the
//! argument out again, when the column has its name. Where keys of a GROUP BY are told apart by casts alone, so does every
//! cast of a column in the SELECT, with its type: however it is spelt, it is still the same expression everywhere.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, Visit,
    VisitMut, Visitor,
};

use super::calls::first_column;
use super::names::type_name;
use super::stand_in::StandIn;
use super::syntax::{arguments_mut, own_expressions, quoted_call, text};
use crate::functions::registry;
use crate::sql::parser::cursor::fold;

/// Stands for its first argument.
pub(super) static WRITTEN: StandIn = StandIn {
    name: "as written",
    arguments: 2,
    result: |types| Ok(types[0].clone()),
    run: |mut args| Ok(args.swap_remove(0)),
};

/// Marks the arguments of an aggregate.
pub(super) fn mark(function: &mut Function, name: &str) {
    if !registry().aggregate.contains_key(name) {
        return;
    }
    for arg in arguments_mut(function).filter(|arg| holds_cast(arg)) {
        *arg = marked(arg, &arg.to_string());
    }
}

pub(super) fn marked(expr: &Expr, mark: &str) -> Expr {
    quoted_call(WRITTEN.name, vec![expr.clone(), text(mark)])
}

/// Marks the casts of a query whose GROUP BY needs them to be told apart.
pub(super) fn mark_keys(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let mut keys = vec![];
    if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
        exprs.iter().for_each(|key| collect(key, select, &mut keys));
    }
    let mut seen: HashMap<String, String> = HashMap::new();
    let clash = keys.iter().any(|key| {
        let changed = |change: fn(&Expr) -> Expr| {
            let mut key = key.clone();
            change_casts(&mut key, change);
            key.to_string()
        };
        let (spelt, own) = (changed(bare), changed(with_type));
        seen.insert(spelt, own.clone()).is_some_and(|before| before != own)
    });
    if !clash {
        return;
    }
    change_casts(&mut select.projection, with_type);
    change_casts(&mut select.group_by, with_type);
    change_casts(&mut select.having, with_type);
    change_casts(&mut select.distinct, with_type);
    if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
        items.iter_mut().for_each(|item| change_casts(&mut item.expr, with_type));
    }
}

/// The keys that a part of GROUP BY stands for.
fn collect(key: &Expr, select: &Select, keys: &mut Vec<Expr>) {
    match key {
        Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
            sets.iter().flatten().for_each(|key| collect(key, select, keys));
        }
        Expr::Tuple(items) => items.iter().for_each(|key| collect(key, select, keys)),
        Expr::Value(ValueWithSpan { value: Value::Number(n, _), .. }) => {
            let place = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            if let Some(SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) =
                place.and_then(|place| select.projection.get(place))
            {
                keys.push(e.clone());
            }
        }
        Expr::Identifier(name) => {
            let aliased = select.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if fold(alias) == fold(name) => Some(expr),
                _ => None,
            });
            keys.extend([key, aliased.unwrap_or(key)].into_iter().cloned());
        }
        other => keys.push(other.clone()),
    }
}

/// Changes casts of columns.
fn change_casts(tree: &mut impl VisitMut, change: fn(&Expr) -> Expr) {
    own_expressions(tree, |expr| {
        if matches!(expr, Expr::Cast { .. }) && first_column(expr).is_some() {
            *expr = change(expr);
        }
    });
}

fn bare(cast: &Expr) -> Expr {
    match cast {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => bare(expr),
        other => other.clone(),
    }
}

/// A cast with its type, however that is spelt.
fn with_type(cast: &Expr) -> Expr {
    let Expr::Cast { data_type, .. } = cast else { return cast.clone() };
    let shown = data_type.to_string();
    let modifier = shown.find('(').map_or("", |at| &shown[at..]);
    marked(cast, &format!("{}{modifier}", type_name(data_type)))
}

fn holds_cast(expr: &Expr) -> bool {
    struct Casts;
    impl Visitor for Casts {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if matches!(expr, Expr::Cast { .. }) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Casts).is_break()
}
