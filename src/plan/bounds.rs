//! How far apart a join's condition lets its columns be: `a.ts BETWEEN b.ts AND b.ts + INTERVAL '5' SECOND`.
//!
//! A joined row appears when either of its rows does. So a column of one side keeps its watermark through the join where
//! the condition keeps it from lying further back than a watermarked column of the other side does: `x >= y + d` gives x
//! the minimum of its own watermark and that of y, moved by d. An equality is such a bound both ways.
//!
//! The rows of both sides are kept nevertheless: a late row, or a retraction, still meets what it belongs to, and the
//! window above judges the pair. EXPLAIN says that nothing bounds this state.

use datafusion::common::DFSchema;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, Cast};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::watermark::monotone;
use crate::data::Monotone;

/// `column >= other + micros`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub column: usize,
    pub other: usize,
    pub micros: i64,
}

/// The bounds that hold wherever a condition is true.
pub(super) fn bounds(condition: &Expr, schema: &DFSchema, config: &ConfigOptions) -> Vec<Bound> {
    let mut found = vec![];
    collect(condition, &Place { schema, config }, &mut found);
    found
}

struct Place<'a> {
    schema: &'a DFSchema,
    config: &'a ConfigOptions,
}

fn collect(condition: &Expr, place: &Place<'_>, found: &mut Vec<Bound>) {
    match condition {
        Expr::Alias(alias) => collect(&alias.expr, place, found),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => {
                collect(left, place, found);
                collect(right, place, found);
            }
            Operator::GtEq | Operator::Gt => found.extend(place.bound(left, right)),
            Operator::LtEq | Operator::Lt => found.extend(place.bound(right, left)),
            Operator::Eq => {
                found.extend(place.bound(left, right));
                found.extend(place.bound(right, left));
            }
            _ => {}
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            found.extend(place.bound(expr, low));
            found.extend(place.bound(high, expr));
        }
        // An AND whose right side is evaluated only where the left one leaves it open: CASE WHEN .. THEN 0 ELSE .. END.
        Expr::Cast(Cast { expr, .. }) => match expr.as_ref() {
            Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(otherwise) }) => {
                let never = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Int32(Some(0)), _));
                if when_then_expr.iter().all(|(_, then)| never(then)) {
                    collect(otherwise, place, found);
                }
            }
            inner => collect(inner, place, found),
        },
        _ => {}
    }
}

impl Place<'_> {
    /// What `greater >= less` says, when both are columns, perhaps moved by an interval.
    fn bound(&self, greater: &Expr, less: &Expr) -> Option<Bound> {
        let ((column, a), (other, b)) = (self.moved(greater)?, self.moved(less)?);
        Some(Bound { column, other, micros: b.checked_sub(a)? })
    }

    /// A column plus microseconds.
    fn moved(&self, expr: &Expr) -> Option<(usize, i64)> {
        match expr {
            Expr::Column(column) => Some((self.schema.index_of_column(column).ok()?, 0)),
            Expr::Alias(alias) => self.moved(&alias.expr),
            other => match monotone(other, self.schema, self.config)? {
                (inner, Monotone::Shift(micros)) => {
                    let (column, before) = self.moved(inner)?;
                    Some((column, before.checked_add(micros)?))
                }
                _ => None,
            },
        }
    }
}
