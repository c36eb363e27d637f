//! `sum(k)` and `sum(k::bigint)` are two columns, and so are `k` and `k::bigint` in GROUP BY: DataFusion names them alike,
//! since a cast has no name.
//!
//! An argument of an aggregate that holds a cast becomes a call of a function that also has its text; typing takes the
//! argument out again, when the column has its name. Where keys of a GROUP BY are told apart by casts alone, so does every
//! cast of a column in the SELECT, with its type: however it is spelt, it is still the same expression everywhere.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, OrderBy,
    OrderByKind, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

use super::calls::first_column;
use super::names::type_name;
use super::prepare::{call, text};
use crate::functions::registry;
use crate::sql::parser::cursor::fold;

/// The name of the function.
pub(super) const WRITTEN: &str = "as written";

/// Marks the arguments of an aggregate.
pub(super) fn mark(function: &mut Function, name: &str) {
    if !registry().aggregate.contains_key(name) {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    for arg in &mut list.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = arg
            && holds_cast(e)
        {
            *e = marked(e, &e.to_string());
        }
    }
}

fn marked(expr: &Expr, mark: &str) -> Expr {
    let mut marked = call(WRITTEN, vec![expr.clone(), text(mark)]);
    if let Expr::Function(f) = &mut marked {
        f.name = ObjectName::from(vec![Ident::with_quote('"', WRITTEN)]);
    }
    marked
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
        let spelt = with_casts(key, &mut |cast| *cast = bare(cast)).to_string();
        let own = with_casts(key, &mut |cast| *cast = with_type(cast)).to_string();
        seen.insert(spelt, own.clone()).is_some_and(|before| before != own)
    });
    if !clash {
        return;
    }
    let mut mark = Casts { change: &mut |cast| *cast = with_type(cast), depth: 0 };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
            let _ = VisitMut::visit(e, &mut mark);
        }
    }
    let _ = VisitMut::visit(&mut select.group_by, &mut mark);
    let _ = VisitMut::visit(&mut select.having, &mut mark);
    let _ = VisitMut::visit(&mut select.distinct, &mut mark);
    if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
        for item in items {
            let _ = VisitMut::visit(&mut item.expr, &mut mark);
        }
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

/// An expression with its casts of columns changed.
fn with_casts(expr: &Expr, change: &mut dyn FnMut(&mut Expr)) -> Expr {
    let mut expr = expr.clone();
    let _ = VisitMut::visit(&mut expr, &mut Casts { change, depth: 0 });
    expr
}

struct Casts<'c> {
    change: &'c mut dyn FnMut(&mut Expr),
    depth: usize,
}

impl VisitorMut for Casts<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 && matches!(expr, Expr::Cast { .. }) && first_column(expr).is_some() {
            (self.change)(expr);
        }
        ControlFlow::Continue(())
    }
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

/// The function, while DataFusion plans.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Written(Signature::any(2, Volatility::Immutable)))));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Written(Signature);

impl ScalarUDFImpl for Written {
    fn name(&self) -> &str {
        WRITTEN
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}
