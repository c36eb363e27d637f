//! What is changed in a query's syntax before DataFusion plans it:
//!
//! * result columns get PostgreSQL's names, made unique where they are not;
//! * whole numbers become integer or bigint (DataFusion has only bigint);
//! * EXTRACT, AT TIME ZONE, `ARRAY(SELECT ..)`, casts to regclass and its like become functions;
//! * what DataFusion would parse and leave undone is refused: FOR UPDATE, TABLESAMPLE, SELECT INTO, ..

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArguments, GroupByExpr, LimitClause, ObjectName,
    Query, SetExpr, TableFactor, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::exists::count_in_projection;
use super::names::{name_columns, sorted_columns};
use super::places::Places;
use super::rows::{interval_parts, modulo, overlaps, refuse_stars, row_tests, rows};
use super::sets;
use super::syntax::{arguments_mut, call, last_name, operator, text};
use super::using::merged_columns;
use crate::error::{Error, Result};
use crate::functions::large::{LARGE_NUMERIC, is_large};
use crate::sql::parser::cursor::fold;

/// Prepares anything that holds queries or expressions. `places`: of the statement, if it stands there.
pub(super) fn prepare<T: VisitMut>(tree: &mut T, places: Option<&Places<'_>>) -> Result<()> {
    if let ControlFlow::Break(error) = tree.visit(&mut Prepare) {
        return Err(places.map_or(error.clone(), |p| p.error(error.into())));
    }
    super::marks::mark(tree, places);
    Ok(())
}

struct Prepare;

impl VisitorMut for Prepare {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        match refuse(query) {
            Some(error) => ControlFlow::Break(error),
            None => {
                fetch_to_limit(query);
                query.with.iter_mut().flat_map(|with| &mut with.cte_tables).for_each(super::aliases::complete);
                let sorted = sorted_columns(query);
                name_columns(&mut query.body, &sorted);
                if let Err(error) = super::group_windows::prepare(query) {
                    return ControlFlow::Break(error);
                }
                count_in_projection(&mut query.body);
                if let SetExpr::Select(select) = query.body.as_mut() {
                    merged_columns(select);
                    super::lateral::unnests(select);
                }
                empty_selects(&mut query.body);
                super::written::mark_keys(query);
                ControlFlow::Continue(())
            }
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        unwrap_ordinals(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && let [schema, function] = name.0.as_slice()
            && schema.as_ident().map(fold).is_some_and(|s| s == "pg_catalog")
        {
            *name = ObjectName(vec![function.clone()]);
        }
        let refused = match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => "TABLESAMPLE",
            TableFactor::Table { version: Some(_), .. } => "AS OF in FROM",
            TableFactor::Table { with_ordinality: true, args, .. } if args.is_none() => "WITH ORDINALITY",
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => "PIVOT",
            TableFactor::MatchRecognize { .. } => "MATCH_RECOGNIZE",
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(Error::unsupported(refused, "Leave it out."))
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match sets::in_from(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Cast { expr: inner, data_type, .. } = expr {
            if let Some(kind) = object_type(data_type) {
                let name = format!("{kind}_{}", if is_constant(inner) { "in" } else { "out" });
                *expr = call(&name, vec![inner.as_ref().clone()]);
            } else if let Expr::Cast { expr: innermost, data_type: object, .. } = inner.as_ref()
                && let Some(kind) = object_type(object)
                && is_text(data_type)
            {
                let oid = if is_constant(innermost) {
                    call(&format!("{kind}_in"), vec![innermost.as_ref().clone()])
                } else {
                    innermost.as_ref().clone()
                };
                *expr = call(&format!("{kind}_out"), vec![oid]);
            } else if let Expr::Cast { expr: innermost, data_type: object, .. } = inner.as_ref()
                && object_type(object) == Some("regproc")
                && matches!(data_type, DataType::Custom(name, _) if last_name(name).as_deref() == Some("oid"))
                && is_constant(innermost)
            {
                *expr = call("regproc_oid", vec![innermost.as_ref().clone()]);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr_after(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn refuse(query: &Query) -> Option<Error> {
    if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties) {
        let hint = "Keep the rows whose rank() OVER (ORDER BY ..) is small enough, in a query around it.";
        return Some(Error::unsupported("FETCH .. WITH TIES", hint));
    }
    if !query.locks.is_empty() {
        let hint = "Conflicts are detected at COMMIT; leave it out.";
        return Some(Error::unsupported("FOR UPDATE/SHARE", hint));
    }
    match query.body.as_ref() {
        SetExpr::Select(select) if select.into.is_some() => {
            Some(Error::unsupported("SELECT INTO", "CREATE the table, then INSERT INTO it the SELECT."))
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Some(Error::unsupported("data-modifying WITH", "Send the statements one by one in a transaction."))
        }
        _ => None,
    }
}

/// SELECTs whose answer is known to be empty.
fn empty_selects(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => super::subqueries::empty(select),
        SetExpr::SetOperation { left, right, .. } => {
            empty_selects(left);
            empty_selects(right);
        }
        _ => {}
    }
}

/// FETCH FIRST n ROWS ONLY is LIMIT n.
fn fetch_to_limit(query: &mut Query) {
    if let Some(fetch) = query.fetch.take_if(|f| !f.with_ties && !f.percent) {
        let one = || Expr::Value(Value::Number("1".into(), false).with_empty_span());
        let limit = Some(fetch.quantity.unwrap_or_else(one));
        query.limit_clause = Some(match query.limit_clause.take() {
            Some(LimitClause::LimitOffset { offset, limit_by, .. }) => {
                LimitClause::LimitOffset { limit, offset, limit_by }
            }
            _ => LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] },
        });
    }
}

/// Numbers that are positions or counts are not values.
fn unwrap_ordinals(query: &mut Query) {
    if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(items), .. }) = &mut query.order_by {
        items.iter_mut().for_each(|item| unwrap(&mut item.expr));
    }
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
        limit.iter_mut().for_each(unwrap);
        offset.iter_mut().for_each(|o| unwrap(&mut o.value));
    }
    unwrap_in_body(&mut query.body);
}

fn unwrap_in_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
                let before = exprs.len();
                exprs.retain(|e| !matches!(e, Expr::Tuple(items) if items.is_empty()));
                // GROUP BY () is one group, as aggregates without GROUP BY have.
                if exprs.is_empty() && before > 0 && !select.projection.iter().any(super::subqueries::aggregates) {
                    super::rows::count_all(&mut select.having);
                }
                exprs.iter_mut().for_each(unwrap);
            }
            if let Some(ast::Distinct::On(exprs)) = &mut select.distinct {
                exprs.iter_mut().for_each(unwrap);
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            unwrap_in_body(left);
            unwrap_in_body(right);
        }
        _ => {}
    }
}

/// The number inside of a cast that [`wrap`] made.
pub(super) fn wrapped(expr: &Expr) -> Option<&Expr> {
    let Expr::Cast { kind: CastKind::DoubleColon, expr: inner, data_type, .. } = expr else { return None };
    let whole = matches!(data_type, DataType::Int4(None) | DataType::Int8(None));
    let number = matches!(inner.as_ref(), Expr::Value(ValueWithSpan { value: Value::Number(..), .. }));
    (whole && number).then_some(inner)
}

/// Takes the cast off a number that is a position or a count.
fn unwrap(expr: &mut Expr) {
    if let Some(inner) = wrapped(expr) {
        *expr = inner.clone();
    }
}

pub(super) fn wrap(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::DoubleColon, expr: Box::new(expr), data_type, array: false, format: None }
}

fn expr_after(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            let text = text.replace('_', "");
            if let Some(typed) = number(expr, text) {
                *expr = typed;
            }
        }
        Expr::Value(ValueWithSpan { value, .. }) => {
            if let Value::UnicodeStringLiteral(text) = value {
                *value = Value::SingleQuotedString(std::mem::take(text));
            }
        }
        Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") => {
            return Err(Error::syntax("DEFAULT is not allowed in this context", None));
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
            if matches!(inner.as_ref(), Expr::Interval(_)) {
                return super::intervals::literal(expr);
            }
            if let Some(number) = negative(inner) {
                *expr = number;
            }
        }
        Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => *expr = inner.as_ref().clone(),
        Expr::Interval(_) | Expr::TypedString(_) | Expr::Cast { .. } => return super::intervals::literal(expr),
        Expr::Extract { field, expr: of, .. } => {
            let field = field.to_string().trim_matches(['\'', '"']).to_lowercase();
            *expr = call("extract", vec![text(&field), of.as_ref().clone()]);
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("timezone", vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]);
        }
        Expr::Collate { expr: inner, collation } => {
            check_collation(&last_name(collation).unwrap_or_default())?;
            *expr = inner.as_ref().clone();
        }
        Expr::BinaryOp { op, .. } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                && let Some(known) = parts.last().and_then(|name| operator(name))
            {
                *op = known;
            }
            overlaps(expr)?;
            return rows(expr);
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            if let Some(call) = sets::accesses(root, access_chain)? {
                *expr = call;
            }
        }
        Expr::Tuple(items) if !items.is_empty() => *expr = call("row", std::mem::take(items)),
        Expr::Struct { .. } => return Err(Error::unsupported("STRUCT(..)", "Write ROW(..), and cast it.")),
        Expr::InList { .. } | Expr::Between { .. } => return row_tests(expr),
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => {
            return Err(Error::unsupported("LIKE ANY (array)", "Use a comparison, or unnest the array."));
        }
        Expr::AnyOp { left, compare_op, right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
            *expr = sets::quantified("any_of", left, compare_op, right)?;
        }
        Expr::AllOp { left, compare_op, right } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
            *expr = sets::quantified("all_of", left, compare_op, right)?;
        }
        Expr::Function(function) => return function_after(function).map(|f| f.into_iter().for_each(|f| *expr = f)),
        _ => {}
    }
    Ok(())
}

/// An integer behind a minus, with the type of both together.
fn negative(digits: &Expr) -> Option<Expr> {
    let number = wrapped(digits).unwrap_or(digits);
    let Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) = number else { return None };
    let n = format!("-{}", text.replace('_', "")).parse::<i64>().ok()?;
    let minus = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number.clone()) };
    Some(wrap(minus, integer(n)))
}

/// A number with its type; `None`: it is a numeric.
fn number(expr: &Expr, digits: String) -> Option<Expr> {
    match digits.parse::<i64>() {
        Ok(n) => Some(wrap(expr.clone(), integer(n))),
        Err(_) if is_large(&digits) => Some(call(LARGE_NUMERIC, vec![text(&digits)])),
        Err(_) => None,
    }
}

fn integer(n: i64) -> DataType {
    if i32::try_from(n).is_ok() { DataType::Int4(None) } else { DataType::Int8(None) }
}

fn check_collation(name: &str) -> Result<()> {
    if matches!(name, "default" | "c" | "C" | "posix" | "POSIX" | "ucs_basic") {
        return Ok(());
    }
    Err(Error::unsupported(format!("collation \"{name}\""), "Text is ordered by its bytes (\"C\")."))
}

/// What a call becomes; `None`: changed in place.
fn function_after(function: &mut Function) -> Result<Option<Expr>> {
    if let [schema, name] = function.name.0.as_slice()
        && let (Some(schema), Some(_)) = (schema.as_ident(), name.as_ident())
        && matches!(fold(schema).as_str(), "pg_catalog" | "information_schema" | "highwater" | "public")
    {
        function.name = ObjectName(vec![name.clone()]);
    }
    let name = last_name(&function.name).unwrap_or_default();
    refuse_stars(function)?;
    super::group_windows::refuse_stray(&name)?;
    if let Some(ast::WindowType::WindowSpec(spec)) = &mut function.over
        && let Some(frame) = &mut spec.window_frame
    {
        for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
            if let ast::WindowFrameBound::Preceding(Some(e)) | ast::WindowFrameBound::Following(Some(e)) = bound {
                unwrap(e);
            }
        }
    }
    if name == "array"
        && let FunctionArguments::Subquery(query) = &function.args
    {
        return sets::array_of(query).map(Some);
    }
    if name == "make_interval" {
        return interval_parts(function).map(Some);
    }
    if name == "mod" {
        return Ok(modulo(function));
    }
    if sets::is_set(&name) {
        let inner = Expr::Function(function.clone());
        return Ok(Some(call("unnest", vec![inner])));
    }
    sets::series_once(function, &name);
    super::written::mark(function, &name);
    // Offsets and counts of window functions must be literals.
    if function.over.is_some() && matches!(name.as_str(), "ntile" | "lag" | "lead" | "nth_value") {
        arguments_mut(function).skip(usize::from(name != "ntile")).take(1).for_each(unwrap);
    }
    Ok(None)
}

/// Types whose values are names of objects in text and oids in memory.
fn object_type(t: &DataType) -> Option<&'static str> {
    match t {
        DataType::Regclass => Some("regclass"),
        DataType::Custom(name, _) => match last_name(name)?.as_str() {
            "regclass" => Some("regclass"),
            "regtype" => Some("regtype"),
            "regproc" | "regprocedure" => Some("regproc"),
            "regnamespace" => Some("regnamespace"),
            "regrole" => Some("regrole"),
            _ => None,
        },
        _ => None,
    }
}

fn is_text(t: &DataType) -> bool {
    match t {
        DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) => true,
        DataType::Custom(name, _) => last_name(name).is_some_and(|n| n == "name" || n == "text"),
        _ => false,
    }
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Value(v) => {
            matches!(v.value, Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) | Value::Placeholder(_))
        }
        Expr::Nested(inner) => is_constant(inner),
        Expr::Cast { expr, data_type, .. } => is_text(data_type) && is_constant(expr),
        _ => false,
    }
}
