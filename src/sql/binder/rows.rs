//! Comparisons of rows, `(a, b) = (c, d)`, column by column; so are IN and BETWEEN, where a NULL leaves them open;
//! other calls that are operators in truth.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use super::syntax::{argument, call};
use super::typing::no_function;
use crate::error::{Error, Result};
use crate::sql::parser::cursor::fold;

/// `(a, b) = (c, d)` and its like, column by column.
pub(super) fn rows(expr: &mut Expr) -> Result<()> {
    let Expr::BinaryOp { left, op, right } = &*expr else { return Ok(()) };
    let (Some(left), Some(right)) = (row(left), row(right)) else { return Ok(()) };
    if left.len() != right.len() {
        return Err(Error::syntax("unequal number of entries in row expressions", None));
    }
    let pairs: Vec<(Expr, Expr)> = left.into_iter().cloned().zip(right.into_iter().cloned()).collect();
    let binary = |op: &BinaryOperator, left: Expr, right: Expr| {
        let inner = Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) };
        Expr::Nested(Box::new(inner))
    };
    let all = |op: &BinaryOperator, by: &BinaryOperator| {
        pairs.iter().cloned().map(|(l, r)| binary(op, l, r)).reduce(|a, b| binary(by, a, b))
    };
    let strict = match op {
        BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
        _ => BinaryOperator::Gt,
    };
    let compared = match op {
        BinaryOperator::Eq => all(op, &BinaryOperator::And),
        BinaryOperator::NotEq => all(op, &BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
            let (last, before) = (pairs.len().saturating_sub(1), pairs.clone());
            before.into_iter().enumerate().rev().fold(None, |rest, (n, (l, r))| {
                let own = if n == last { op } else { &strict };
                let first = binary(own, l.clone(), r.clone());
                Some(match rest {
                    None => first,
                    Some(rest) => {
                        let equal = binary(&BinaryOperator::And, binary(&BinaryOperator::Eq, l, r), rest);
                        binary(&BinaryOperator::Or, first, equal)
                    }
                })
            })
        }
        _ => None,
    };
    if let Some(compared) = compared {
        *expr = compared;
    }
    Ok(())
}

/// Planning takes long for more comparisons: it grows with the cube of their number.
const COMPARISONS_MAX: usize = 32;

/// `(a, b) IN ((c, d), ..)` and `(a, b) BETWEEN (c, d) AND (e, f)` as the comparisons that they are.
pub(super) fn row_tests(expr: &mut Expr) -> Result<()> {
    let compared = |left: &Expr, op: BinaryOperator, right: &Expr| {
        let mut compared = joined(left.clone(), op, right.clone());
        rows(&mut compared).map(|()| Expr::Nested(Box::new(compared)))
    };
    let is_row = |expr: &Expr| row(expr).is_some();
    let (test, negated) = match &*expr {
        Expr::InList { expr: left, list, negated } => {
            let Some(columns) = row(left) else { return Ok(()) };
            if !list.iter().all(is_row) {
                let hint = "Write (a, b) IN ((1, 2), (3, 4)).";
                return Err(Error::unsupported("(a, b) IN a list of other than rows", hint));
            }
            if list.len().saturating_mul(columns.len()) > COMPARISONS_MAX {
                let what = format!("IN (..) with rows of more than {COMPARISONS_MAX} columns in all");
                return Err(Error::unsupported(what, "Join with the rows of VALUES."));
            }
            let tests = list.iter().map(|right| compared(left, BinaryOperator::Eq, right));
            (any(tests.collect::<Result<_>>()?), *negated)
        }
        Expr::Between { expr: left, low, high, negated } if [left, low, high].into_iter().all(|e| is_row(e)) => {
            let low = compared(left, BinaryOperator::GtEq, low)?;
            let high = compared(left, BinaryOperator::LtEq, high)?;
            (Some(joined(low, BinaryOperator::And, high)), *negated)
        }
        _ => return Ok(()),
    };
    let Some(test) = test.map(|test| Box::new(Expr::Nested(Box::new(test)))) else { return Ok(()) };
    *expr = if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: test } } else { *test };
    Ok(())
}

/// One of the tests, as a tree that is not deep.
fn any(mut tests: Vec<Expr>) -> Option<Expr> {
    if tests.len() < 2 {
        return tests.pop();
    }
    let right = tests.split_off(tests.len() / 2);
    Some(joined(Expr::Nested(Box::new(any(tests)?)), BinaryOperator::Or, Expr::Nested(Box::new(any(right)?))))
}

fn joined(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// 0A000: `ROW(t.*)`.
pub(super) fn refuse_stars(call: &Function) -> Result<()> {
    let FunctionArguments::List(list) = &call.args else { return Ok(()) };
    let is_star = |arg: &FunctionArg| {
        matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_)))
    };
    match is_row_call(call) && list.args.iter().any(is_star) {
        true => Err(Error::unsupported("ROW(t.*)", "Name the columns: ROW(t.a, t.b).")),
        false => Ok(()),
    }
}

/// `mod(a, b)` is `a % b`.
pub(super) fn modulo(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let args: Vec<&Expr> = list.args.iter().map(argument).collect::<Option<_>>()?;
    let [left, right] = args[..] else { return None };
    Some(Expr::Nested(Box::new(joined(left.clone(), BinaryOperator::Modulo, right.clone()))))
}

/// `(a, b) OVERLAPS (c, d)` is a call. Errors: 42601.
pub(super) fn overlaps(expr: &mut Expr) -> Result<()> {
    let Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } = &*expr else { return Ok(()) };
    let side = |side: &Expr, name: &str| match row(side).filter(|ends| ends.len() == 2) {
        Some(ends) => Ok(ends.into_iter().cloned().collect::<Vec<Expr>>()),
        None => Err(Error::syntax(format!("wrong number of parameters on {name} side of OVERLAPS expression"), None)),
    };
    *expr = call("overlaps", [side(left, "left")?, side(right, "right")?].concat());
    Ok(())
}

/// make_interval's arguments by name or by place, all of them. Errors: 42883, 42P13.
pub(super) fn interval_parts(function: &Function) -> Result<Expr> {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let FunctionArguments::List(list) = &function.args else { return Ok(Expr::Function(function.clone())) };
    let mut parts: [Option<Expr>; 7] = Default::default();
    for (place, arg) in list.args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (NAMES.iter().position(|known| *known == fold(name)), value)
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(place), value),
            _ => (None, &Expr::Value(Value::Null.into())),
        };
        match place.and_then(|place| parts.get_mut(place)) {
            Some(part) if part.is_none() => *part = Some(value.clone()),
            _ => return Err(no_function("make_interval", &[arg.to_string()])),
        }
    }
    let none = || super::prepare::wrap(Expr::Value(Value::Number("0".into(), false).into()), DataType::Int4(None));
    Ok(call("make_interval", parts.into_iter().map(|part| part.unwrap_or_else(none)).collect()))
}

/// HAVING what is true of every group, so that there is one: `count(*) >= 0`.
pub(super) fn count_all(having: &mut Option<Expr>) {
    let mut count = call("count", vec![]);
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut count {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    }
    let zero = Expr::Value(Value::Number("0".into(), false).into());
    let always = joined(count, BinaryOperator::GtEq, zero);
    *having = Some(match having.take() {
        Some(own) => joined(always, BinaryOperator::And, Expr::Nested(Box::new(own))),
        None => always,
    });
}

/// The columns of `(a, b)` and `ROW(a, b)`.
fn row(expr: &Expr) -> Option<Vec<&Expr>> {
    match expr {
        Expr::Tuple(items) => Some(items.iter().collect()),
        Expr::Function(f) if is_row_call(f) => match &f.args {
            FunctionArguments::List(list) => list.args.iter().map(argument).collect(),
            FunctionArguments::None | FunctionArguments::Subquery(_) => None,
        },
        _ => None,
    }
}

fn is_row_call(function: &Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case("row")
}
