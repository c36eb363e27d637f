//! Comparisons of rows, `(a, b) = (c, d)`, column by column.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments};

use crate::error::{Error, Result};

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
