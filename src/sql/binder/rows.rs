//! Comparisons of rows, `(a, b) = (c, d)`, column by column; other calls that are operators in truth.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator,
};

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

/// `(a, b) IN ((c, d), ..)`: one of the rows is equal.
pub(super) fn in_list(expr: &mut Expr) -> Result<()> {
    let Expr::InList { expr: of, list, negated } = &*expr else { return Ok(()) };
    if row(of).is_none() {
        return Ok(());
    }
    if !list.iter().all(|item| row(item).is_some()) {
        return Err(Error::unsupported("(a, b) IN a list of other than rows", "Write (a, b) IN ((1, 2), (3, 4))."));
    }
    let equal = |item: &Expr| {
        let (left, right) = (of.clone(), Box::new(item.clone()));
        let mut equal = Expr::BinaryOp { left, op: BinaryOperator::Eq, right };
        rows(&mut equal).map(|()| Expr::Nested(Box::new(equal)))
    };
    let mut any = list.iter().map(equal).collect::<Result<Vec<Expr>>>()?;
    // Pair by pair, so that a long list makes no deep tree.
    while any.len() > 1 {
        let pair = |pair: &[Expr]| match pair {
            [left, right] => {
                let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
                Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Or, right }))
            }
            other => other[0].clone(),
        };
        any = any.chunks(2).map(pair).collect();
    }
    if let Some(any) = any.pop() {
        let not = |any| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) };
        *expr = if *negated { not(any) } else { any };
    }
    Ok(())
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
