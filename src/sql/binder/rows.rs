//! Comparisons of rows, `(a, b) = (c, d)`, column by column; so are IN and BETWEEN, where a NULL leaves them open;
//! other calls that are operators in truth.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use super::prepare::call;
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
    let pairs: Vec<(Expr, Expr)> = left.iter().cloned().zip(right.iter().cloned()).collect();
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
        let mut compared = Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right.clone()) };
        rows(&mut compared).map(|()| Expr::Nested(Box::new(compared)))
    };
    if let Expr::InList { expr: left, list, .. } = &*expr
        && row(left).is_some()
        && !list.iter().all(|item| row(item).is_some())
    {
        return Err(Error::unsupported("(a, b) IN a list of other than rows", "Write (a, b) IN ((1, 2), (3, 4))."));
    }
    let (test, negated) = match &*expr {
        Expr::InList { expr: left, list, negated } if row(left).is_some() && list.iter().all(|e| row(e).is_some()) => {
            let columns = row(left).map_or(0, |left| left.len());
            if list.len().saturating_mul(columns) > COMPARISONS_MAX {
                let what = format!("IN (..) with rows of more than {COMPARISONS_MAX} columns in all");
                return Err(Error::unsupported(what, "Join with the rows of VALUES."));
            }
            let one = list.iter().map(|right| compared(left, BinaryOperator::Eq, right));
            (any(one.collect::<Result<Vec<_>>>()?), *negated)
        }
        Expr::Between { expr: left, low, high, negated }
            if row(left).is_some() && row(low).is_some() && row(high).is_some() =>
        {
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
    match call.name.to_string().eq_ignore_ascii_case("row") && list.args.iter().any(is_star) {
        true => Err(Error::unsupported("ROW(t.*)", "Name the columns: ROW(t.a, t.b).")),
        false => Ok(()),
    }
}

/// `mod(a, b)` is `a % b`.
pub(super) fn modulo(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(l)), FunctionArg::Unnamed(FunctionArgExpr::Expr(r))] => {
            let (left, right) = (Box::new(l.clone()), Box::new(r.clone()));
            Some(Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Modulo, right })))
        }
        _ => None,
    }
}

/// `(a, b) OVERLAPS (c, d)`. Errors: 42601.
pub(super) fn overlaps(expr: &Expr) -> Result<Option<Expr>> {
    let Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } = expr else { return Ok(None) };
    let side = |side: &Expr, name: &str| match row(side).filter(|ends| ends.len() == 2) {
        Some(ends) => Ok(ends),
        None => Err(Error::syntax(format!("wrong number of parameters on {name} side of OVERLAPS expression"), None)),
    };
    Ok(Some(call("overlaps", [side(left, "left")?, side(right, "right")?].concat())))
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

/// `OPERATOR(pg_catalog.~)`.
pub(super) fn operator(name: &str) -> Option<BinaryOperator> {
    Some(match name {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    })
}

/// The columns of `(a, b)` and `ROW(a, b)`.
fn row(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(items) => Some(items.clone()),
        Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("row") => match &f.args {
            FunctionArguments::List(list) => {
                let item = |arg: &FunctionArg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                    _ => None,
                };
                list.args.iter().map(item).collect()
            }
            _ => None,
        },
        _ => None,
    }
}
