//! Windows in GROUP BY, as Calcite spells them.
//!
//! ```sql
//! SELECT TUMBLE_START(ts, INTERVAL '1' MINUTE), TUMBLE_END(ts, INTERVAL '1' MINUTE), count(*) FROM t
//! GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)
//! GROUP BY HOP(ts, slide, size [, offset])     with HOP_START, HOP_END, HOP_ROWTIME
//! ```
//!
//! In the syntax ([`prepare`]) the window in GROUP BY becomes calls of a function of ours, one per bound that the query
//! asks for, and so does each TUMBLE_START and its like, which then is a grouped expression like any other. In the typed
//! plan ([`assign`]) a [`WindowAssign`] below the GROUP BY takes the place of the calls: HOP multiplies rows there.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr as Logical, Extension, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, OrderByExpr, OrderByKind, Query, Select, SetExpr,
};

use super::syntax::{argument, own_expressions, quoted_call};
use super::typing::type_name;
use super::windows::{check, name_of};
use crate::error::{Error, Result, SqlState};
use crate::sql::interval::constant_micros;
use crate::sql::window::{Spelling, WindowAssign, WindowKind, time_column};

/// Begins the name of our function; no identifier contains it.
const MARK: char = '\u{7f}';

/// The bounds, and how the functions that give them end.
const BOUNDS: [&str; 3] = ["start", "end", "rowtime"];

/// The window in a GROUP BY.
struct GroupWindow {
    /// `tumble`, `hop`.
    name: String,
    /// As they were written.
    arguments: String,
    time: Expr,
    kind: WindowKind,
    /// Which bounds the query asks for.
    asked: [bool; 3],
}

/// Finds the windows in a query's GROUP BYs, and what asks for their bounds.
pub(super) fn prepare(query: &mut Query) -> Result<()> {
    let order_by = match query.order_by.as_mut().map(|order| &mut order.kind) {
        Some(OrderByKind::Expressions(items)) => items.as_mut_slice(),
        Some(OrderByKind::All(_)) | None => &mut [],
    };
    prepare_body(&mut query.body, order_by)
}

fn prepare_body(body: &mut SetExpr, order_by: &mut [OrderByExpr]) -> Result<()> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            prepare_body(left, &mut [])?;
            prepare_body(right, &mut [])
        }
        SetExpr::Select(select) => {
            let Some(mut window) = window_of(select)? else { return Ok(()) };
            own_expressions(&mut select.projection, |expr| window.ask(expr));
            own_expressions(&mut select.having, |expr| window.ask(expr));
            order_by.iter_mut().for_each(|item| own_expressions(&mut item.expr, |expr| window.ask(expr)));
            group_by_bounds(select, &window);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn keys(select: &Select) -> &[Expr] {
    match &select.group_by {
        GroupByExpr::Expressions(keys, _) => keys,
        GroupByExpr::All(_) => &[],
    }
}

/// A call of a window in GROUP BY, by name.
fn called(expr: &Expr) -> Option<(String, &Function)> {
    let Expr::Function(function) = expr else { return None };
    let name = name_of(&function.name);
    matches!(name.as_str(), "tumble" | "hop" | "session" | "cumulate").then_some((name, function))
}

fn window_of(select: &Select) -> Result<Option<GroupWindow>> {
    let mut found = keys(select).iter().filter_map(called);
    let Some((name, function)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(Error::unsupported("several windows in one GROUP BY", "Group by one, in a query on the other."));
    }
    let hint = match name.as_str() {
        "tumble" => "Use TUMBLE(ts, size [, offset]), for example TUMBLE(ts, INTERVAL '1' MINUTE).",
        "hop" => "Use HOP(ts, slide, size [, offset]), for example HOP(ts, INTERVAL '1' MINUTE, INTERVAL '5' MINUTE).",
        other => return Err(Error::unsupported(other.to_uppercase(), "Use TUMBLE or HOP.")),
    };
    let shown = name.to_uppercase();
    let wrong =
        || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("{shown}: wrong number of arguments")).with_hint(hint);
    let arguments = arguments(function).ok_or_else(wrong)?;
    let micros = |n: usize| constant_micros(arguments.get(n).ok_or_else(wrong)?);
    let time = (*arguments.first().ok_or_else(wrong)?).clone();
    let offset = |n: usize| if arguments.len() == n { Ok(0) } else { micros(n) };
    let (kind, most) = match name.as_str() {
        "tumble" => (WindowKind::Tumble { size: micros(1)?, offset: offset(2)? }, 3),
        _ => (WindowKind::Hop { slide: micros(1)?, size: micros(2)?, offset: offset(3)? }, 4),
    };
    if arguments.len() > most {
        return Err(wrong());
    }
    check(&shown, kind)?;
    Ok(Some(GroupWindow { name, arguments: function.args.to_string(), time, kind, asked: [false; 3] }))
}

fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args.iter().map(argument).collect()
}

/// `TUMBLE_START` and its like, as (window, which bound).
fn bound_of(name: &str) -> Option<(&str, usize)> {
    let (window, bound) = name.rsplit_once('_')?;
    let bound = BOUNDS.iter().position(|b| *b == bound)?;
    matches!(window, "tumble" | "hop" | "session").then_some((window, bound))
}

/// 42803: one of these functions where no GROUP BY has its window.
pub(super) fn refuse_stray(name: &str) -> Result<()> {
    let Some((window, _)) = bound_of(name) else { return Ok(()) };
    let (shown, window) = (name.to_uppercase(), window.to_uppercase());
    let message = format!("{shown} needs GROUP BY {window} with the same arguments");
    Err(Error::new(SqlState::GROUPING_ERROR, message)
        .with_hint("Or use window_start and window_end of FROM TUMBLE(t, ts, size) or HOP(t, ts, slide, size)."))
}

/// 42803: TUMBLE and its like where an expression stands, and is not in GROUP BY.
pub(super) fn stray_window(name: &str) -> Option<Error> {
    let window = name.to_uppercase();
    let (arguments, table) = match name {
        "tumble" => ("ts, size", "t, ts, size"),
        "hop" => ("ts, slide, size", "t, ts, slide, size"),
        "session" | "cumulate" => return Some(Error::unsupported(window, "Use TUMBLE or HOP.")),
        _ => return None,
    };
    let message = format!("{window} stands in GROUP BY or in FROM only");
    let hint = format!(
        "GROUP BY {window}({arguments}) and SELECT {window}_START({arguments}), or SELECT window_start FROM {window}({table})."
    );
    Some(Error::new(SqlState::GROUPING_ERROR, message).with_hint(hint))
}

impl GroupWindow {
    /// Puts a call of our function where a bound is asked for.
    fn ask(&mut self, expr: &mut Expr) {
        let Expr::Function(function) = &*expr else { return };
        let name = name_of(&function.name);
        if let Some((window, bound)) = bound_of(&name)
            && window == self.name
            && function.args.to_string() == self.arguments
        {
            self.asked[bound] = true;
            *expr = self.bound(bound);
        }
    }

    /// A call of our function.
    fn bound(&self, bound: usize) -> Expr {
        quoted_call(&Bound { kind: self.kind, bound }.name(), vec![self.time.clone()])
    }
}

/// GROUP BY the bounds that are asked for, the start if none is.
fn group_by_bounds(select: &mut Select, window: &GroupWindow) {
    let mut asked: Vec<usize> = (0..BOUNDS.len()).filter(|b| window.asked[*b]).collect();
    if asked.is_empty() {
        asked.push(0);
    }
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return };
    if let Some(place) = keys.iter().position(|key| called(key).is_some()) {
        keys.splice(place..=place, asked.into_iter().map(|bound| window.bound(bound)));
    }
}

/// A bound of a window: what our function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bound {
    kind: WindowKind,
    bound: usize,
}

impl Bound {
    fn name(self) -> String {
        let (slide, size, offset) = (self.kind.slide(), self.kind.size(), self.kind.offset());
        let window = match self.kind {
            WindowKind::Tumble { .. } | WindowKind::Calendar { .. } => "tumble",
            WindowKind::Hop { .. } => "hop",
        };
        format!("{window}_{}{MARK}{slide}{MARK}{size}{MARK}{offset}", BOUNDS[self.bound])
    }

    fn read(name: &str) -> Option<Self> {
        let mut parts = name.split(MARK);
        let (window, bound) = bound_of(parts.next()?)?;
        let mut number = || parts.next()?.parse::<i64>().ok();
        let (slide, size, offset) = (number()?, number()?, number()?);
        let kind = match window {
            "tumble" => WindowKind::Tumble { size, offset },
            _ => WindowKind::Hop { slide, size, offset },
        };
        Some(Self { kind, bound })
    }
}

/// Our function, by its name.
pub(super) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let bound = Bound::read(name)?;
    let signature = Signature::any(1, Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(BoundFunction { name: name.to_owned(), bound, signature })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BoundFunction {
    name: String,
    bound: Bound,
    signature: Signature,
}

impl BoundFunction {
    fn checked(&self, time: &Field) -> Result<DataType> {
        match time.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(time.data_type().clone()),
            _ => {
                let window = self.name.split('_').next().unwrap_or_default().to_uppercase();
                let message = format!("the time of {window} must be timestamp or timestamptz, not {}", type_name(time));
                Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint("Cast it."))
            }
        }
    }
}

impl ScalarUDFImpl for BoundFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        let time = types.first().cloned().unwrap_or(DataType::Null);
        Ok(self.checked(&Field::new("", time, true))?)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let null = Arc::new(Field::new("", DataType::Null, true));
        let time = args.arg_fields.first().unwrap_or(&null);
        Ok(Arc::new(Field::new(self.name.clone(), self.checked(time)?, true)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Err(Error::internal("a bound of a window is no function of a row").into())
    }
}

/// Puts the windows below their GROUP BYs.
pub(super) fn assign(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().any(|g| asked(g).is_some()) => {
            Ok(Transformed::yes(LogicalPlan::Aggregate(windowed(aggregate)?)))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

/// The bound that an expression asks for, and of which time.
fn asked(expr: &Logical) -> Option<(Bound, &Logical)> {
    match expr {
        Logical::Alias(alias) => asked(&alias.expr),
        Logical::ScalarFunction(ScalarFunction { func, args }) => {
            let function = func.inner().downcast_ref::<BoundFunction>()?;
            Some((function.bound, args.first()?))
        }
        _ => None,
    }
}

fn windowed(aggregate: Aggregate) -> DfResult<Aggregate> {
    let bounds: Vec<Option<usize>> =
        aggregate.group_expr.iter().map(|g| asked(g).map(|(bound, _)| bound.bound)).collect();
    let Some((first, time)) = aggregate.group_expr.iter().find_map(asked) else { return Ok(aggregate) };
    let (input, time) = time_column(aggregate.input.as_ref().clone(), time.clone())?;
    let window_time = bounds.contains(&Some(2));
    let window = WindowAssign::spelled(input, time, first.kind, window_time, Spelling::GroupBy)?;
    let mut groups = aggregate.group_expr.clone();
    for (place, bound) in bounds.iter().enumerate().filter_map(|(i, b)| Some((i, (*b)?))) {
        groups[place] = window.bound(bound).alias(aggregate.schema.field(place).name());
    }
    let input = LogicalPlan::Extension(Extension { node: Arc::new(window) });
    Aggregate::try_new_with_schema(Arc::new(input), groups, aggregate.aggr_expr, aggregate.schema)
}
