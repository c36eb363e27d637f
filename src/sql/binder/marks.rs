//! Operators carry their position through DataFusion's planner, so that an error can point at them; minus, NOT and ~ come as
//! operators with nothing on their left, so that they are typed where the others are.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Spanned, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::places::Places;
use crate::error::{Error, SqlState};

/// Operators of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    /// `- a`
    Minus,
    /// `NOT a`
    Not,
    /// `~ a`
    Complement,
}

const MINUS: &str = "unary -";
const NOT: &str = "unary not";
const COMPLEMENT: &str = "unary ~";

/// Marks all operators; those of an expression kept elsewhere have no places.
pub(super) fn mark<T: VisitMut>(tree: &mut T, places: Option<&Places<'_>>) {
    let _ = tree.visit(&mut Marks { places });
}

struct Marks<'p, 'a> {
    places: Option<&'p Places<'a>>,
}

impl VisitorMut for Marks<'_, '_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op, .. } if is_marked(op) => {
                let symbol = op.to_string();
                let position = self.places.and_then(|p| p.behind(left.span(), &symbol));
                *op = marked(&symbol, position);
            }
            Expr::UnaryOp { op, expr: operand } => {
                let name = match op {
                    UnaryOperator::Minus if !is_number(operand) => MINUS,
                    UnaryOperator::Not => NOT,
                    UnaryOperator::BitwiseNot => COMPLEMENT,
                    _ => return ControlFlow::Continue(()),
                };
                let sign = match name {
                    MINUS => Some('-'),
                    COMPLEMENT => Some('~'),
                    _ => None,
                };
                let position = self.places.zip(sign).and_then(|(p, sign)| p.before(operand.span(), sign));
                let nothing = Expr::Value(Value::Null.with_empty_span());
                let right = std::mem::replace(operand.as_mut(), nothing.clone());
                let op = marked(name, position);
                *expr = Expr::BinaryOp { left: Box::new(nothing), op, right: Box::new(right) };
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Operators that PostgreSQL has, and those that nobody has.
fn is_marked(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Custom(_)) || KNOWN.iter().any(|(_, known)| known == op)
}

/// DataFusion makes literals of these.
fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(..), .. }) | Expr::Interval(_))
}

fn marked(symbol: &str, position: Option<usize>) -> BinaryOperator {
    BinaryOperator::PGCustomBinaryOperator(vec![symbol.to_owned(), position.unwrap_or(0).to_string()])
}

/// The operator that was marked, and where it stands.
pub(super) fn unmark(op: BinaryOperator) -> (BinaryOperator, Option<usize>) {
    if let BinaryOperator::PGCustomBinaryOperator(parts) = &op
        && let [symbol, position] = parts.as_slice()
        && let Ok(position) = position.parse::<usize>()
    {
        let position = (position > 0).then_some(position);
        let known = KNOWN.iter().find(|(known, _)| known == symbol).map(|(_, known)| known.clone());
        let other = || if unary(&op).is_some() { op.clone() } else { BinaryOperator::Custom(symbol.clone()) };
        return (known.unwrap_or_else(other), position);
    }
    (op, None)
}

/// Minus, NOT or ~.
pub(super) fn unary(op: &BinaryOperator) -> Option<Unary> {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else { return None };
    match parts.first()?.as_str() {
        MINUS => Some(Unary::Minus),
        NOT => Some(Unary::Not),
        COMPLEMENT => Some(Unary::Complement),
        _ => None,
    }
}

/// An operator's error points at it.
pub(super) fn pointed(error: DataFusionError, position: Option<usize>) -> DataFusionError {
    let Some(position) = position else { return error };
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => {
                let mine = ours.code() == SqlState::UNDEFINED_FUNCTION
                    && ours.message().starts_with("operator does not exist")
                    && ours.parts().position.is_none();
                (if mine { ours.with_position(position) } else { *ours }).into()
            }
            Err(other) => DataFusionError::External(other),
        },
        other => other,
    }
}

/// Operators that are marked, as they are written.
const KNOWN: &[(&str, BinaryOperator)] = &[
    ("+", BinaryOperator::Plus),
    ("-", BinaryOperator::Minus),
    ("*", BinaryOperator::Multiply),
    ("/", BinaryOperator::Divide),
    ("%", BinaryOperator::Modulo),
    ("^", BinaryOperator::PGExp),
    ("=", BinaryOperator::Eq),
    ("<>", BinaryOperator::NotEq),
    ("<", BinaryOperator::Lt),
    (">", BinaryOperator::Gt),
    ("<=", BinaryOperator::LtEq),
    (">=", BinaryOperator::GtEq),
    ("||", BinaryOperator::StringConcat),
    ("~", BinaryOperator::PGRegexMatch),
    ("~*", BinaryOperator::PGRegexIMatch),
    ("!~", BinaryOperator::PGRegexNotMatch),
    ("!~*", BinaryOperator::PGRegexNotIMatch),
    ("~~", BinaryOperator::PGLikeMatch),
    ("~~*", BinaryOperator::PGILikeMatch),
    ("!~~", BinaryOperator::PGNotLikeMatch),
    ("!~~*", BinaryOperator::PGNotILikeMatch),
];
