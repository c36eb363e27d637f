//! AND and OR evaluate their right side only where the left leaves it open.
//!
//! DataFusion evaluates both sides of a batch, mostly. So, where a side can fail, `a AND b` becomes
//! `safe AND CASE WHEN safe IS FALSE THEN false ELSE safe AND rest END`: the leading conjuncts that cannot fail stay
//! visible to the optimizer (join keys), the others follow in their order. The CASE is over 0 and 1, because DataFusion
//! turns a CASE over booleans back into ANDs and ORs, which evaluate all.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{BinaryExpr, Case, Cast};
use datafusion::logical_expr::{Expr, Operator, and, cast, or};
use datafusion::scalar::ScalarValue;

use crate::functions::extract::grows;

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

fn guard(mut parts: Vec<Expr>, op: Operator) -> Expr {
    let first_risky = parts.iter().position(can_fail).unwrap_or(parts.len());
    let rest = parts.split_off(first_risky);
    let safe = parts.into_iter().reduce(|l, r| join(l, r, op));
    let rest = rest.into_iter().rev().reduce(|rest, first| {
        if can_fail(&first) || can_fail(&rest) { choose(first, rest, op) } else { join(first, rest, op) }
    });
    match (safe, rest) {
        (Some(safe), Some(rest)) => join(safe.clone(), choose(safe, rest, op), op),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Expr::Literal(ScalarValue::Boolean(Some(op == Operator::And)), None),
    }
}

/// The value of `left op right`, with `right` only where it counts.
fn choose(left: Expr, right: Expr, op: Operator) -> Expr {
    let decided = match op {
        Operator::And => Expr::IsFalse(Box::new(left.clone())),
        _ => Expr::IsTrue(Box::new(left.clone())),
    };
    let value = Expr::Literal(ScalarValue::Boolean(Some(op != Operator::And)), None);
    opaque(vec![(decided, value)], Some(join(left, right, op)))
}

/// A CASE over booleans that the optimizer leaves alone.
pub(super) fn opaque(whens: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    let number = |e: Expr| match e {
        Expr::Literal(ScalarValue::Boolean(b), m) => Expr::Literal(ScalarValue::Int32(b.map(i32::from)), m),
        other => cast(other, DataType::Int32),
    };
    let whens = whens.into_iter().map(|(w, t)| (Box::new(w), Box::new(number(t)))).collect();
    cast(Expr::Case(Case::new(None, whens, otherwise.map(|e| Box::new(number(e))))), DataType::Boolean)
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
            Expr::ScalarFunction(f) => match (f.func.name(), &f.args[..]) {
                // Only where a time is close to the ends of time.
                ("timestamp_add" | "timestamp_subtract", [_, span]) => !matches!(span, Expr::Literal(..)),
                // Numeric has no infinity.
                ("extract", [Expr::Literal(ScalarValue::Utf8(Some(unit)), _), _]) => grows(unit),
                (name, _) => !NEVER_FAILS.contains(&name),
            },
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
    "interval_order", "key_form", "spelled", "float_negative", "jsonb_order", "date_trunc", "date_part",
    "timezone", "date_bin", "floor", "ceil", "round", "trunc",
    "left", "right", "split_part", "md5", "initcap",
];
