//! Calls of aggregates and window functions: where none may stand, how they nest, what goes with which function.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    NamedWindowDefinition, Query, Visit, Visitor, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::places::Places;
use super::syntax::argument;
use super::typing::no_function;
use crate::error::{Error, Result, SqlState};
use crate::functions::registry;
use crate::sql::parser::cursor::fold;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Aggregate,
    Window,
    Set,
    Scalar,
}

fn name_of(function: &Function) -> (String, Span) {
    let idents: Vec<&ast::Ident> = function.name.0.iter().filter_map(|p| p.as_ident()).collect();
    match (idents.first(), idents.last()) {
        (Some(first), Some(last)) => (fold(last), first.span),
        _ => (String::new(), Span::empty()),
    }
}

fn kind(function: &Function) -> Kind {
    let (name, _) = name_of(function);
    if function.over.is_some() {
        Kind::Window
    } else if registry().aggregate.contains_key(&name) {
        Kind::Aggregate
    } else if matches!(name.as_str(), "unnest" | "generate_series") {
        Kind::Set
    } else {
        Kind::Scalar
    }
}

/// Refuses aggregates, window functions and set-returning functions in a clause.
pub(super) fn forbid(expr: &Expr, clause: &str, places: &Places<'_>) -> Result<()> {
    if let Some(span) = first(expr, Kind::Aggregate) {
        let message = format!("aggregate functions are not allowed in {clause}");
        return Err(places.pointed(Error::new(SqlState::GROUPING_ERROR, message), span));
    }
    if let Some(span) = first(expr, Kind::Set).filter(|_| matches!(clause, "WHERE" | "JOIN conditions" | "LIMIT")) {
        let message = format!("set-returning functions are not allowed in {clause}");
        return Err(places.pointed(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message), span));
    }
    forbid_windows(expr, clause, places)
}

/// Refuses window functions in a clause.
pub(super) fn forbid_windows(expr: &Expr, clause: &str, places: &Places<'_>) -> Result<()> {
    match first(expr, Kind::Window) {
        None => Ok(()),
        Some(span) => {
            let message = format!("window functions are not allowed in {clause}");
            Err(places.pointed(Error::new(SqlState::WINDOWING_ERROR, message), span))
        }
    }
}

/// The first call of a kind, those in subqueries not counted.
fn first<T: Visit>(tree: &T, wanted: Kind) -> Option<Span> {
    let test = |e: &Expr| match e {
        Expr::Function(f) if kind(f) == wanted => Some(name_of(f).1),
        _ => None,
    };
    find(tree, &test)
}

/// The first column that is named.
pub(super) fn first_column(expr: &Expr) -> Option<Span> {
    find(expr, &|e| match e {
        Expr::Identifier(ident) => Some(ident.span),
        Expr::CompoundIdentifier(idents) => idents.first().map(|i| i.span),
        _ => None,
    })
}

struct Find<'f> {
    test: &'f dyn Fn(&Expr) -> Option<Span>,
    depth: usize,
}

fn find<T: Visit>(tree: &T, test: &dyn Fn(&Expr) -> Option<Span>) -> Option<Span> {
    match tree.visit(&mut Find { test, depth: 0 }) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    }
}

impl Visitor for Find<'_> {
    type Break = Span;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Span> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Span> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
        match (self.test)(expr).filter(|_| self.depth == 0) {
            Some(span) => ControlFlow::Break(span),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Checks the calls of an expression among a SELECT's results.
pub(super) struct Calls<'p, 'a> {
    pub(super) places: &'p Places<'a>,
    /// WINDOW.
    pub(super) windows: &'p [NamedWindowDefinition],
}

impl Calls<'_, '_> {
    /// Subqueries are looked at by themselves.
    pub(super) fn check(&self, expr: &Expr) -> Result<()> {
        match expr.visit(&mut Each { calls: self, depth: 0 }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn function(&self, function: &Function) -> Result<()> {
        let (name, span) = name_of(function);
        let (known, aggregate) = (registry().scalar.contains_key(&name), registry().aggregate.contains_key(&name));
        let windowed = registry().window.contains_key(&name);
        if !function.within_group.is_empty() && !known && !windowed && !aggregate {
            let hint = match name.as_str() {
                "mode" => "Count per value with GROUP BY, and take the one with the most.",
                _ => "percentile_cont is; array_agg(x ORDER BY x) has the values in order, to be subscripted.",
            };
            return Err(self.places.pointed(Error::unsupported(format!("{name} WITHIN GROUP"), hint), span));
        }
        let wrong = |message: String, code| Err(self.places.pointed(Error::new(code, message), span));
        if known && !aggregate && !windowed {
            let what = match (&function.over, &function.filter) {
                (Some(_), _) => Some("OVER"),
                (None, Some(_)) => Some("FILTER"),
                (None, None) if distinct(function) => Some("DISTINCT"),
                _ => None,
            };
            if let Some(what) = what {
                let or = if what == "OVER" { "a window function nor" } else { "" };
                let message = match or {
                    "" => format!("{what} specified, but {name} is not an aggregate function"),
                    or => format!("{what} specified, but {name} is not {or} an aggregate function"),
                };
                return wrong(message, SqlState::WRONG_OBJECT_TYPE);
            }
        }
        if windowed && !aggregate && !known && function.over.is_none() {
            let message = format!("window function {name} requires an OVER clause");
            return wrong(message, SqlState::WRONG_OBJECT_TYPE);
        }
        self.arguments(function, &name, span)?;
        match kind(function) {
            Kind::Aggregate => self.aggregate(function),
            Kind::Window => self.window(function),
            Kind::Set | Kind::Scalar => Ok(()),
        }
    }

    /// `f(*)`, `count()`.
    fn arguments(&self, function: &Function, name: &str, span: Span) -> Result<()> {
        let FunctionArguments::List(list) = &function.args else { return Ok(()) };
        let star = matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        if star && name != "count" {
            return Err(self.places.pointed(no_function(name, &[]), span));
        }
        if star && distinct(function) {
            return Err(Error::syntax("syntax error at or near \"*\"", self.places.behind(span, "*")));
        }
        if list.args.is_empty() && name == "count" {
            let message = "count(*) must be used to call a parameterless aggregate function";
            return Err(self.places.pointed(Error::new(SqlState::WRONG_OBJECT_TYPE, message), span));
        }
        Ok(())
    }

    fn aggregate(&self, function: &Function) -> Result<()> {
        if let Some(filter) = &function.filter {
            forbid(filter, "FILTER", self.places)?;
        }
        let grouping = |m: &str, span| Err(self.places.pointed(Error::new(SqlState::GROUPING_ERROR, m), span));
        let mut parts = argument_exprs(&function.args);
        parts.extend(function.within_group.iter().map(|o| &o.expr));
        for part in parts {
            if let Some(span) = first(part, Kind::Aggregate) {
                return grouping("aggregate function calls cannot be nested", span);
            }
            if let Some(span) = first(part, Kind::Window) {
                return grouping("aggregate function calls cannot contain window function calls", span);
            }
        }
        Ok(())
    }

    fn window(&self, function: &Function) -> Result<()> {
        let windowing = |m: &str, span| Err(self.places.pointed(Error::new(SqlState::WINDOWING_ERROR, m), span));
        for part in argument_exprs(&function.args) {
            if let Some(span) = first(part, Kind::Window) {
                return windowing("window function calls cannot be nested", span);
            }
        }
        match &function.over {
            Some(WindowType::WindowSpec(spec)) => self.window_spec(spec),
            Some(WindowType::NamedWindow(name)) if !self.windows.iter().any(|w| fold(&w.0) == fold(name)) => {
                let message = format!("window \"{}\" does not exist", fold(name));
                Err(self.places.pointed(Error::new(SqlState::UNDEFINED_OBJECT, message), name.span))
            }
            _ => Ok(()),
        }
    }

    fn window_spec(&self, spec: &WindowSpec) -> Result<()> {
        for key in spec.partition_by.iter().chain(spec.order_by.iter().map(|o| &o.expr)) {
            forbid_windows(key, "window definitions", self.places)?;
        }
        spec.window_frame.as_ref().map_or(Ok(()), frame)
    }
}

/// A frame that can have no row.
fn frame(frame: &WindowFrame) -> Result<()> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    let end = frame.end_bound.as_ref().unwrap_or(&CurrentRow);
    let message = match (&frame.start_bound, end) {
        (Following(None), _) => "frame start cannot be UNBOUNDED FOLLOWING",
        (_, Preceding(None)) => "frame end cannot be UNBOUNDED PRECEDING",
        (CurrentRow, Preceding(_)) => "frame starting from current row cannot have preceding rows",
        (Following(_), Preceding(_) | CurrentRow) => "frame starting from following row cannot have preceding rows",
        _ => return Ok(()),
    };
    Err(Error::new(SqlState::WINDOWING_ERROR, message))
}

fn distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(l) if l.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

fn argument_exprs(args: &FunctionArguments) -> Vec<&Expr> {
    let FunctionArguments::List(list) = args else { return vec![] };
    let mut exprs: Vec<&Expr> = list.args.iter().filter_map(argument).collect();
    for clause in &list.clauses {
        if let FunctionArgumentClause::OrderBy(keys) = clause {
            exprs.extend(keys.iter().map(|k| &k.expr));
        }
    }
    exprs
}

struct Each<'c, 'p, 'a> {
    calls: &'c Calls<'p, 'a>,
    depth: usize,
}

impl Visitor for Each<'_, '_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(f) if self.depth == 0 => match self.calls.function(f) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}
