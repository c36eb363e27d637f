//! Conditions that look at a value more than once: CASE, BETWEEN, IN, LIKE, NULLIF.

use arrow::datatypes::{DataType, Field};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{Between, Case, InList, Like};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::fold::fold;
use super::keys;
use super::lazy::{can_fail, opaque};
use super::typing::{Category, Typer, category, is_mismatch, is_unknown, name_in_message, text_field};
use crate::data::varies;
use crate::error::Result;

impl Typer<'_> {
    pub(super) fn case(&self, case: Case) -> DfResult<Expr> {
        let (whens, mut thens): (Vec<_>, Vec<_>) = case.when_then_expr.into_iter().map(|(w, t)| (*w, *t)).unzip();
        let (operand, whens) = match case.expr {
            None => {
                let whens = whens.into_iter().map(|w| self.boolean(w, "CASE/WHEN"));
                (None, whens.collect::<DfResult<Vec<_>>>()?)
            }
            Some(operand) => {
                let all = std::iter::once(*operand).chain(whens).collect();
                let (all, target) = self.unify(all, "CASE/WHEN")?;
                let mut all = all.into_iter();
                match all.next() {
                    Some(operand) if varies(target.data_type()) => {
                        let equal = |when| self.binary(Operator::Eq, operand.clone(), when);
                        (None, all.map(equal).collect::<DfResult<Vec<_>>>()?)
                    }
                    operand => (operand.map(Box::new), all.collect()),
                }
            }
        };
        // PostgreSQL looks at ELSE first, which its messages show.
        let has_else = case.else_expr.is_some();
        thens.splice(0..0, case.else_expr.map(|e| *e));
        let (mut results, target) = self.unify(thens, "CASE")?;
        results.rotate_left(usize::from(has_else));
        if target.data_type() == &DataType::Boolean && operand.is_none() && results.iter().any(can_fail) {
            let otherwise = if has_else { results.pop() } else { None };
            return Ok(opaque(whens.into_iter().zip(results).collect(), otherwise));
        }
        let else_expr = if has_else { results.pop().map(Box::new) } else { None };
        let pairs = whens.into_iter().map(Box::new).zip(results.into_iter().map(Box::new)).collect();
        Ok(self.named(Expr::Case(Case::new(operand, pairs, else_expr)), &target))
    }

    pub(super) fn between(&self, b: Between) -> DfResult<Expr> {
        let and = |l: Expr, r: Expr| self.binary(Operator::And, l, r);
        let low = self.binary(Operator::GtEq, (*b.expr).clone(), *b.low)?;
        let high = self.binary(Operator::LtEq, *b.expr, *b.high)?;
        let both = and(low, high)?;
        Ok(if b.negated { Expr::Not(Box::new(both)) } else { both })
    }

    pub(super) fn in_list(&self, list: InList) -> DfResult<Expr> {
        let count = list.list.len();
        let all = std::iter::once(*list.expr).chain(list.list).collect::<Vec<_>>();
        let names = |a: &Expr, b: &Expr| (name_in_message(a, self.schema), name_in_message(b, self.schema));
        let first = all[0].clone();
        match self.unify(all.clone(), "IN") {
            Ok((all, target)) => {
                // Arrow knows one zero, but no other values that are equal.
                let all = self.ordered_records(all, &target)?;
                let mut all = match target.data_type() {
                    DataType::Float32 | DataType::Float64 => all,
                    _ => all.into_iter().map(|e| Ok(fold(keys::order(e, self.schema)?))).collect::<Result<_>>()?,
                };
                let expr = Box::new(all.remove(0));
                debug_assert_eq!(all.len(), count);
                Ok(Expr::InList(InList::new(expr, all, list.negated)))
            }
            Err(e) => {
                if !is_mismatch(&e) {
                    return Err(e);
                }
                let clash = all.iter().skip(1).find(|e| self.unify(vec![first.clone(), (*e).clone()], "IN").is_err());
                let (a, b) = names(&first, clash.unwrap_or(&first));
                Err(super::operators::missing("=", &a, &b).into())
            }
        }
    }

    pub(super) fn like(&self, like: Like) -> DfResult<Expr> {
        let to_text = |e: Expr, other: &Expr| -> DfResult<Expr> {
            if is_unknown(&e) {
                return Ok(self.coerce_unknown(e, &text_field())?);
            }
            let field = self.field(&e)?;
            if category(field.data_type()) == Category::Text {
                return Ok(e);
            }
            let (a, b) = (name_in_message(&e, self.schema), name_in_message(other, self.schema));
            let symbol = if like.case_insensitive { "~~*" } else { "~~" };
            Err(super::operators::missing(symbol, &a, &b).into())
        };
        let (left, right) = (*like.expr, *like.pattern);
        let expr = Box::new(to_text(left.clone(), &right)?);
        let pattern = Box::new(to_text(right, &left)?);
        let typed = Like {
            negated: like.negated,
            expr,
            pattern,
            escape_char: like.escape_char,
            case_insensitive: like.case_insensitive,
        };
        Ok(Expr::Like(typed))
    }

    /// NULLIF of arguments of one type whose equal values may vary.
    pub(super) fn null_if(&self, mut args: Vec<Expr>, target: &Field) -> DfResult<Expr> {
        let value = args.remove(0);
        let equal = self.binary(Operator::Eq, value.clone(), args.remove(0))?;
        let null = Expr::Literal(ScalarValue::try_new_null(target.data_type())?, None);
        let case = Case::new(None, vec![(Box::new(equal), Box::new(null))], Some(Box::new(value)));
        Ok(self.named(Expr::Case(case), target))
    }
}
