//! What the sequencer may evaluate at the head of a table.
//!
//! All writers wait for the sequencer, and what it evaluates nobody can cancel. So it evaluates only what takes about as
//! long as its rows are large; all else is evaluated aside.

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::Expr;

/// Functions that neither make much out of little nor look long at it.
#[rustfmt::skip]
const QUICK: &[&str] = &[
    "abs", "add", "and", "array_length", "btrim", "cardinality", "cast", "ceil", "char_length", "character_length",
    "coalesce", "concat", "cos", "current_date", "current_timestamp", "date_add_days", "date_bin", "date_difference",
    "date_part", "date_trunc", "divide", "exp", "extract", "floor", "gen_random_uuid", "greatest", "interval_divide",
    "interval_multiply", "jsonb_array_element", "jsonb_array_element_text", "jsonb_contained", "jsonb_contains",
    "jsonb_exists", "jsonb_object_field", "jsonb_object_field_text", "jsonb_typeof", "least", "left", "length", "ln",
    "log", "lower", "ltrim", "make_date", "md5", "mod", "modulo", "multiply", "named_struct", "negate", "now",
    "nullif", "octet_length", "or", "position", "power", "quote_ident", "quote_literal", "record_field", "right",
    "round", "row", "rtrim", "sign", "sin", "sqrt", "starts_with", "strpos", "substr", "substring", "subtract",
    "trunc", "upper",
];

/// Whether an expression takes about as long as the rows that it is evaluated over are large.
pub(super) fn is_quick(expr: &Expr) -> bool {
    let slow = |e: &Expr| match e {
        Expr::ScalarFunction(f) => !QUICK.contains(&f.func.name()),
        Expr::HigherOrderFunction(_) => true,
        _ => false,
    };
    !expr.exists(|e| Ok(slow(e))).unwrap_or(true)
}
