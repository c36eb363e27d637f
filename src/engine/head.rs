//! What the sequencer may evaluate at the head of a table.
//!
//! All writers wait for the sequencer, and what it evaluates nobody can cancel. So it evaluates only what takes about as
//! long as its rows are large; all else is evaluated aside.

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::Expr;

use crate::functions;

/// Whether an expression takes about as long as the rows that it is evaluated over are large.
pub(super) fn is_quick(expr: &Expr) -> bool {
    let slow = |e: &Expr| match e {
        Expr::ScalarFunction(f) => !functions::quick::is_quick(f.func.name()),
        Expr::HigherOrderFunction(_) => true,
        _ => false,
    };
    !expr.exists(|e| Ok(slow(e))).unwrap_or(true)
}
