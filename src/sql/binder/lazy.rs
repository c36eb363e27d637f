//! AND and OR evaluate their right side only where the left leaves it open.
//!
//! DataFusion evaluates both sides of a batch, mostly. So, where a side can fail, `a AND b` becomes
//! `safe AND CASE WHEN safe IS FALSE THEN false WHEN safe IS NOT FALSE THEN safe AND rest WHEN safe IS NULL THEN NULL END`:
//! the conjuncts that cannot fail come first and stay visible to the optimizer (join keys), the others follow in their
//! order. The third WHEN is never reached: it keeps the optimizer from turning the CASE back into ANDs and ORs.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{BinaryExpr, Case, Cast};
use datafusion::logical_expr::{Expr, Operator, and, or};
use datafusion::scalar::ScalarValue;

/// Rewrites all ANDs and ORs in an expression.
pub(super) fn lazy(expr: Expr) -> Result<Expr> {
    expr.transform_down(|e| match &e {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
            let op = *op;
            let mut parts = Vec::new();
            flatten(e.clone(), op, &mut parts);
            if !parts.iter().any(can_fail) {
                return Ok(Transformed::new(e, false, TreeNodeRecursion::Continue));
            }
            let parts = parts.into_iter().map(lazy).collect::<Result<Vec<_>>>()?;
            Ok(Transformed::new(guard(parts, op), true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(e)),
    })
    .map(|t| t.data)
}

fn flatten(expr: Expr, op: Operator, parts: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: own, right }) if own == op => {
            flatten(*left, op, parts);
            flatten(*right, op, parts);
        }
        other => parts.push(other),
    }
}

fn join(l: Expr, r: Expr, op: Operator) -> Expr {
    if op == Operator::And { and(l, r) } else { or(l, r) }
}

fn guard(parts: Vec<Expr>, op: Operator) -> Expr {
    let (risky, safe): (Vec<_>, Vec<_>) = parts.into_iter().partition(can_fail);
    let safe = safe.into_iter().reduce(|l, r| join(l, r, op));
    let rest = risky.into_iter().rev().reduce(|rest, first| choose(first, rest, op));
    match (safe, rest) {
        (Some(safe), Some(rest)) => join(safe.clone(), choose(safe, rest, op), op),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Expr::Literal(ScalarValue::Boolean(Some(op == Operator::And)), None),
    }
}

/// The value of `left op right`, with `right` only where it counts.
fn choose(left: Expr, right: Expr, op: Operator) -> Expr {
    let constant = |b| Expr::Literal(ScalarValue::Boolean(b), None);
    let of = |f: fn(Box<Expr>) -> Expr| Box::new(f(Box::new(left.clone())));
    let (decided, open) = match op {
        Operator::And => (of(Expr::IsFalse), of(Expr::IsNotFalse)),
        _ => (of(Expr::IsTrue), of(Expr::IsNotTrue)),
    };
    let whens = vec![
        (decided, Box::new(constant(Some(op != Operator::And)))),
        (open, Box::new(join(left.clone(), right, op))),
        (of(Expr::IsNull), Box::new(constant(None))),
    ];
    Expr::Case(Case::new(None, whens, None))
}

/// Whether an expression can fail for some row. Unknown functions can.
pub(super) fn can_fail(expr: &Expr) -> bool {
    let mut fails = false;
    let walked = expr.apply(|e| {
        let own = match e {
            Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Literal(..)
            | Expr::Placeholder(_)
            | Expr::Alias(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Case(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::GroupingSet(_) => false,
            Expr::Like(l) => !matches!(l.pattern.as_ref(), Expr::Literal(..)),
            Expr::BinaryExpr(b) => match b.op {
                Operator::Divide | Operator::Modulo => true,
                Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
                    !matches!(b.right.as_ref(), Expr::Literal(..))
                }
                _ => false,
            },
            // Native casts only widen: the others are functions.
            Expr::Cast(Cast { .. }) => false,
            Expr::ScalarFunction(f) => !NEVER_FAILS.contains(&f.func.name()),
            _ => true,
        };
        fails |= own;
        Ok(if own { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    fails || walked.is_err()
}

/// Functions that have a value for every argument.
#[rustfmt::skip]
const NEVER_FAILS: &[&str] = &[
    "coalesce", "nullif", "greatest", "least", "lower", "upper", "character_length", "octet_length", "bit_length",
    "btrim", "ltrim", "rtrim", "starts_with", "ends_with", "strpos", "concat", "concat_ws", "reverse", "replace",
    "interval_order", "date_trunc", "date_part", "extract", "timezone", "date_bin", "floor", "ceil", "round", "trunc",
    "timestamp_difference", "date_difference", "left", "right", "split_part", "md5", "initcap",
];
