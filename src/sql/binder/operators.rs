//! Binary operators: which one PostgreSQL means, by the types of both sides.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr};
use datafusion::logical_expr::{Expr, Operator, WindowFunctionDefinition};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::typing::{
    Category, NO_UNARY, Typer, as_decimal, category, common, constant_of, is_unknown, name_in_message, plain,
};
use super::{keys, marks};
use crate::data::text::TimeZone;
use crate::data::types::{JSONB, interval, pg_type, timestamp};
use crate::error::{Error, Result, SqlState};
use crate::functions::arithmetic::{Arithmetic, Op};
use crate::functions::{registry, zoned};

pub(super) const NO_OPERATOR: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// 42883 of an operator.
pub(super) fn missing(symbol: &str, left: &str, right: &str) -> Error {
    let message = format!("operator does not exist: {left} {symbol} {right}");
    Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(NO_OPERATOR)
}

/// DataFusion's hook: it types both sides, then the operator.
#[derive(Debug)]
pub(super) struct Operators {
    zone: TimeZone,
}

impl Operators {
    pub(super) fn new(zone: &TimeZone) -> Self {
        Self { zone: zone.clone() }
    }
}

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, mut raw: RawBinaryExpr, schema: &DFSchema) -> DfResult<PlannerResult<RawBinaryExpr>> {
        let (op, position) = marks::unmark(raw.op);
        raw.op = op;
        self.plan_operator(raw, schema).map_err(|e| marks::pointed(e, position))
    }

    fn plan_struct_literal(&self, args: Vec<Expr>, _is_named: bool) -> DfResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call("row", args)?))
    }

    /// `column.field`: as in PostgreSQL, there is no such table.
    fn plan_compound_identifier(
        &self,
        field: &Field,
        _qualifier: Option<&TableReference>,
        names: &[String],
    ) -> DfResult<PlannerResult<Vec<Expr>>> {
        let text = |text: &str| Expr::Literal(ScalarValue::from(text), None);
        let column = Expr::Literal(ScalarValue::Null, None);
        let names = names.first().map_or("", String::as_str);
        Ok(PlannerResult::Planned(call("record_field", vec![column, text(names), text(field.name())])?))
    }

    fn plan_window(&self, mut raw: RawWindowExpr) -> DfResult<PlannerResult<RawWindowExpr>> {
        // ntile(4), lag(x, 1): these must be literals.
        if let WindowFunctionDefinition::WindowUDF(udf) = &raw.func_def {
            let from = match udf.name() {
                "ntile" => 0,
                _ => 1,
            };
            for arg in raw.args.iter_mut().skip(from).take(1) {
                *arg = constant_of(arg.clone());
            }
        }
        Ok(PlannerResult::Original(raw))
    }

    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> DfResult<PlannerResult<RawAggregateExpr>> {
        // count(1) is count(*).
        if raw.func.name() == "count" {
            raw.args = raw.args.into_iter().map(constant_of).collect();
        }
        Ok(PlannerResult::Original(raw))
    }
}

impl Operators {
    fn plan_operator(&self, raw: RawBinaryExpr, schema: &DFSchema) -> DfResult<PlannerResult<RawBinaryExpr>> {
        let typer = Typer { zone: &self.zone, schema };
        if let Some(unary) = marks::unary(&raw.op) {
            let operand = typer.side(raw.right)?;
            let planned = match unary {
                marks::Unary::Minus => typer.negative(operand)?,
                marks::Unary::Not => Expr::Not(Box::new(typer.boolean(operand, "NOT")?)),
                marks::Unary::Complement => typer.complement(operand)?,
            };
            return Ok(PlannerResult::Planned(planned));
        }
        if raw.op == BinaryOperator::PGExp {
            let args = vec![typer.side(raw.left)?, typer.side(raw.right)?];
            let Some(power) = registry().scalar.get("power") else { return Err(Error::internal("no power").into()) };
            let call = Expr::ScalarFunction(ScalarFunction::new_udf(power.clone(), args));
            return Ok(PlannerResult::Planned(call));
        }
        let (left, right) = match typer.container(&raw.op, typer.side(raw.left)?, typer.side(raw.right)?)? {
            Ok(planned) => return Ok(PlannerResult::Planned(planned)),
            Err(sides) => sides,
        };
        if let BinaryOperator::Custom(symbol) = &raw.op {
            let name = |e: &Expr| name_in_message(e, schema);
            return Err(missing(symbol, &name(&left), &name(&right)).into());
        }
        let Some(op) = operator(&raw.op) else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op: raw.op, left, right }));
        };
        typer.binary(op, left, right).map(PlannerResult::Planned)
    }
}

/// Operators that are typed here; DataFusion types the others.
fn operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
        BinaryOperator::StringConcat => Operator::StringConcat,
        BinaryOperator::PGRegexMatch => Operator::RegexMatch,
        BinaryOperator::PGRegexIMatch => Operator::RegexIMatch,
        BinaryOperator::PGRegexNotMatch => Operator::RegexNotMatch,
        BinaryOperator::PGRegexNotIMatch => Operator::RegexNotIMatch,
        BinaryOperator::PGLikeMatch => Operator::LikeMatch,
        BinaryOperator::PGILikeMatch => Operator::ILikeMatch,
        BinaryOperator::PGNotLikeMatch => Operator::NotLikeMatch,
        BinaryOperator::PGNotILikeMatch => Operator::NotILikeMatch,
        _ => return None,
    })
}

fn native(op: Operator, left: Expr, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

pub(super) fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let udf = registry().scalar.get(name).ok_or_else(|| Error::internal(format!("no function {name}")))?;
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(udf), args)))
}

/// Intervals, added or subtracted.
fn intervals(op: Operator, left: Expr, right: Expr) -> DfResult<Expr> {
    let name = if op == Operator::Plus { "interval_add" } else { "interval_subtract" };
    Ok(call(name, vec![left, right])?)
}

impl Typer<'_> {
    /// A side of an operator, while the plan is made: left as it is where typing does not change its type, so that it is
    /// still recognised as the same expression in GROUP BY.
    fn side(&self, raw: Expr) -> DfResult<Expr> {
        // What an operator of ours gave has been through here: a long chain is not looked at again for each of its links.
        let ours = match &raw {
            Expr::BinaryExpr(_) => true,
            Expr::ScalarFunction(f) => {
                f.func.inner().downcast_ref::<Arithmetic>().is_some()
                    || matches!(f.func.name(), "timestamp_add" | "timestamp_subtract")
            }
            _ => false,
        };
        if ours {
            return Ok(raw);
        }
        let typed = self.expr(raw.clone())?;
        let same = match (self.field(&raw), self.field(&typed)) {
            (Ok(a), Ok(b)) => a.data_type() == b.data_type() && pg_type(&a).oid == pg_type(&b).oid,
            _ => false,
        };
        Ok(if same { raw } else { typed })
    }

    /// An operator over typed sides.
    pub(super) fn binary(&self, op: Operator, left: Expr, right: Expr) -> DfResult<Expr> {
        match op {
            Operator::And | Operator::Or => {
                let whose = if op == Operator::And { "AND" } else { "OR" };
                Ok(native(op, self.boolean(left, whose)?, self.boolean(right, whose)?))
            }
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                self.arithmetic(op, left, right)
            }
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => self.comparison(op, left, right),
            Operator::StringConcat => self.concatenation(left, right),
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
            | Operator::LikeMatch
            | Operator::ILikeMatch
            | Operator::NotLikeMatch
            | Operator::NotILikeMatch => self.matching(op, left, right),
            _ => Ok(native(op, left, right)),
        }
    }

    /// `~ a` is `a # -1`.
    fn complement(&self, expr: Expr) -> DfResult<Expr> {
        if is_unknown(&expr) {
            let hint = "Could not choose a best candidate operator. You might need to add explicit type casts.";
            let code = SqlState("42725");
            return Err(Error::new(code, "operator is not unique: ~ unknown").with_hint(hint).into());
        }
        let ones = match self.field(&expr)?.data_type() {
            DataType::Int16 => ScalarValue::Int16(Some(-1)),
            DataType::Int32 => ScalarValue::Int32(Some(-1)),
            DataType::Int64 => ScalarValue::Int64(Some(-1)),
            _ => {
                let message = format!("operator does not exist: ~ {}", name_in_message(&expr, self.schema));
                return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(NO_UNARY).into());
            }
        };
        Ok(native(Operator::BitwiseXor, expr, Expr::Literal(ones, None)))
    }

    fn missing(&self, op: Operator, left: &Expr, right: &Expr) -> Error {
        let symbol = match op {
            Operator::NotEq => "<>".to_owned(),
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => "=".to_owned(),
            Operator::LikeMatch => "~~".to_owned(),
            Operator::ILikeMatch => "~~*".to_owned(),
            op => op.to_string(),
        };
        missing(&symbol, &name_in_message(left, self.schema), &name_in_message(right, self.schema))
    }

    /// Both sides of a comparison or an arithmetic operator: an unknown one takes the other's type.
    fn sides(&self, left: Expr, right: Expr) -> DfResult<(Expr, Field, Expr, Field)> {
        let (l, r) = match (is_unknown(&left), is_unknown(&right)) {
            (true, true) => {
                let text = plain(&DataType::Utf8);
                (self.coerce_unknown(left, &text)?, self.coerce_unknown(right, &text)?)
            }
            (true, false) => {
                let field = self.field(&right)?;
                (self.coerce_unknown(left, &wide(&field))?, right)
            }
            (false, true) => {
                let field = self.field(&left)?;
                let right = self.coerce_unknown(right, &wide(&field))?;
                (left, right)
            }
            (false, false) => {
                let sides: std::result::Result<[Expr; 2], _> = self.settle_rows(vec![left, right])?.try_into();
                let [left, right] = sides.map_err(|_| Error::internal("an operator has two sides"))?;
                (left, right)
            }
        };
        let (lf, rf) = (self.field(&l)?.as_ref().clone(), self.field(&r)?.as_ref().clone());
        Ok((l, lf, r, rf))
    }

    fn comparison(&self, op: Operator, left: Expr, right: Expr) -> DfResult<Expr> {
        let (l, lf, r, rf) = self.sides(left, right)?;
        let Some(target) = common(&lf, &rf).filter(|_| !self.is_json(&l) && !self.is_json(&r)) else {
            return Err(self.missing(op, &l, &r).into());
        };
        if target.data_type() == &JSONB {
            return Ok(native(op, call("jsonb_order", vec![l])?, call("jsonb_order", vec![r])?));
        }
        if let DataType::Struct(fields) = target.data_type() {
            super::records::comparable(fields)?;
            let side = |side: Expr| call("record_order", vec![self.implicit(side, &target)?]);
            return Ok(native(op, side(l)?, side(r)?));
        }
        let (l, r) = match target.data_type() {
            // DataFusion widens numerics by itself, and leaves the column bare for look-ups.
            DataType::Decimal128(..) => (self.decimal(l, &lf)?, self.decimal(r, &rf)?),
            _ => (self.implicit(l, &target)?, self.implicit(r, &target)?),
        };
        match target.data_type() {
            DataType::Interval(_) => Ok(native(op, call("interval_order", vec![l])?, call("interval_order", vec![r])?)),
            DataType::List(_) if matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) => {
                Ok(native(op, call("array_order", vec![l, r])?, Expr::Literal(ScalarValue::Int32(Some(0)), None)))
            }
            DataType::List(_) => Ok(native(op, keys::key(l, self.schema)?, keys::key(r, self.schema)?)),
            _ => Ok(native(op, l, r)),
        }
    }

    fn decimal(&self, expr: Expr, field: &Field) -> Result<Expr> {
        match field.data_type() {
            DataType::Decimal128(..) | DataType::Null => Ok(expr),
            other => self.implicit(expr, &plain(&as_decimal(other))),
        }
    }

    fn arithmetic(&self, op: Operator, left: Expr, right: Expr) -> DfResult<Expr> {
        let (left, right) = self.time_constants(op, left, right)?;
        let (l, lf, r, rf) = self.sides(left, right)?;
        let (lt, rt) = (lf.data_type(), rf.data_type());
        match (category(lt), category(rt)) {
            (Category::Number, Category::Number) => self.numbers(op, (l, lt), (r, rt)),
            (Category::Interval, Category::Number) if op == Operator::Multiply => self.scaled("multiply", l, r),
            (Category::Number, Category::Interval) if op == Operator::Multiply => self.scaled("multiply", r, l),
            (Category::Interval, Category::Number) if op == Operator::Divide => self.scaled("divide", l, r),
            (Category::Interval, Category::Interval) if matches!(op, Operator::Plus | Operator::Minus) => {
                intervals(op, l, r)
            }
            (Category::Interval, Category::Time) if op == Operator::Plus => self.arithmetic(op, r, l),
            (Category::Time, Category::Interval) if matches!(op, Operator::Plus | Operator::Minus) => {
                let l = if lt == &DataType::Date32 { self.implicit(l, &plain(&timestamp()))? } else { l };
                self.moved(op, l, r)
            }
            (Category::Time, Category::Time) if op == Operator::Minus => self.difference(l, &lf, r, &rf),
            (Category::Time, Category::Number) if lt == &DataType::Date32 && rt.is_integer() => {
                let days = self.implicit(r, &plain(&DataType::Int32))?;
                match op {
                    Operator::Plus => Ok(call("date_add_days", vec![l, days])?),
                    Operator::Minus => {
                        let zero = Expr::Literal(ScalarValue::Int32(Some(0)), None);
                        let minus = self.binary(Operator::Minus, zero, days)?;
                        Ok(call("date_add_days", vec![l, minus])?)
                    }
                    _ => Err(self.missing(op, &l, &days).into()),
                }
            }
            (Category::Number, Category::Time) if rt == &DataType::Date32 && op == Operator::Plus => {
                self.arithmetic(op, r, l)
            }
            (Category::TimeOfDay, Category::Interval) if matches!(op, Operator::Plus | Operator::Minus) => {
                let sum = intervals(op, self.cast(l, &plain(&interval()), false)?, r)?;
                Ok(self.cast(sum, &plain(lt), false)?)
            }
            (Category::TimeOfDay, Category::TimeOfDay) if op == Operator::Minus => {
                let target = plain(&interval());
                intervals(op, self.cast(l, &target, false)?, self.cast(r, &target, false)?)
            }
            (Category::Time, Category::TimeOfDay) if op == Operator::Plus && lt == &DataType::Date32 => {
                let (day, time) = (self.implicit(l, &plain(&timestamp()))?, self.cast(r, &plain(&interval()), false)?);
                self.moved(op, day, time)
            }
            _ => Err(self.missing(op, &l, &r).into()),
        }
    }

    /// `timestamp + '1 hour'`: an unknown constant added to a time is an interval.
    fn time_constants(&self, op: Operator, left: Expr, right: Expr) -> DfResult<(Expr, Expr)> {
        let is_time = |e: &Expr| -> bool {
            !is_unknown(e) && self.field(e).is_ok_and(|f| category(f.data_type()) == Category::Time)
        };
        let span = plain(&interval());
        if op == Operator::Plus && is_unknown(&right) && is_time(&left) {
            let right = self.coerce_unknown(right, &span)?;
            return Ok((left, right));
        }
        if op == Operator::Plus && is_unknown(&left) && is_time(&right) {
            let left = self.coerce_unknown(left, &span)?;
            return Ok((left, right));
        }
        let is_interval = |e: &Expr| -> bool {
            !is_unknown(e) && self.field(e).is_ok_and(|f| category(f.data_type()) == Category::Interval)
        };
        if matches!(op, Operator::Multiply | Operator::Divide) && is_unknown(&right) && is_interval(&left) {
            let right = self.coerce_unknown(right, &plain(&DataType::Float64))?;
            return Ok((left, right));
        }
        Ok((left, right))
    }

    fn numbers(&self, op: Operator, (l, lt): (Expr, &DataType), (r, rt): (Expr, &DataType)) -> DfResult<Expr> {
        let target = common(&plain(lt), &plain(rt)).unwrap_or_else(|| plain(&DataType::Float64));
        if op == Operator::Modulo && target.data_type().is_floating() {
            return Err(self.missing(op, &l, &r).into());
        }
        let (l, r) = match target.data_type() {
            DataType::Decimal128(..) => (self.decimal(l, &plain(lt))?, self.decimal(r, &plain(rt))?),
            _ => (self.implicit(l, &target)?, self.implicit(r, &target)?),
        };
        let name = match op {
            Operator::Plus => Op::Add,
            Operator::Minus => Op::Subtract,
            Operator::Multiply => Op::Multiply,
            Operator::Divide => Op::Divide,
            _ => Op::Modulo,
        };
        Ok(call(name.function(), vec![l, r])?)
    }

    /// A timestamp plus or minus an interval.
    fn moved(&self, op: Operator, time: Expr, span: Expr) -> DfResult<Expr> {
        let name = if op == Operator::Plus { "timestamp_add" } else { "timestamp_subtract" };
        let udf = zoned(name, self.zone).ok_or_else(|| Error::internal(format!("no function {name}")))?;
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(udf, vec![time, span])))
    }

    fn scaled(&self, how: &str, span: Expr, factor: Expr) -> DfResult<Expr> {
        let factor = self.implicit(factor, &plain(&DataType::Float64))?;
        Ok(call(&format!("interval_{how}"), vec![span, factor])?)
    }

    fn difference(&self, l: Expr, lf: &Field, r: Expr, rf: &Field) -> DfResult<Expr> {
        let Some(target) = common(lf, rf) else { return Err(self.missing(Operator::Minus, &l, &r).into()) };
        let (l, r) = (self.implicit(l, &target)?, self.implicit(r, &target)?);
        let name = if target.data_type() == &DataType::Date32 { "date_difference" } else { "timestamp_difference" };
        Ok(call(name, vec![l, r])?)
    }

    fn concatenation(&self, left: Expr, right: Expr) -> DfResult<Expr> {
        let textual = |e: &Expr| -> DfResult<bool> {
            Ok(is_unknown(e) || category(self.field(e)?.data_type()) == Category::Text)
        };
        let (lt, rt) = (textual(&left)?, textual(&right)?);
        let bytes = |e: &Expr| self.field(e).is_ok_and(|f| f.data_type() == &DataType::Binary);
        if bytes(&left) && bytes(&right) {
            return Ok(native(Operator::StringConcat, left, right));
        }
        if !lt && !rt {
            return Err(self.missing(Operator::StringConcat, &left, &right).into());
        }
        let text = plain(&DataType::Utf8);
        let to_text = |e: Expr, is_text: bool| -> Result<Expr> {
            if is_unknown(&e) {
                self.coerce_unknown(e, &text)
            } else if is_text {
                Ok(e)
            } else {
                self.cast(e, &text, false)
            }
        };
        Ok(native(Operator::StringConcat, to_text(left, lt)?, to_text(right, rt)?))
    }

    fn matching(&self, op: Operator, left: Expr, right: Expr) -> DfResult<Expr> {
        let text = plain(&DataType::Utf8);
        for side in [&left, &right] {
            if !is_unknown(side) && category(self.field(side)?.data_type()) != Category::Text {
                return Err(self.missing(op, &left, &right).into());
            }
        }
        Ok(native(op, self.coerce_unknown(left, &text)?, self.coerce_unknown(right, &text)?))
    }
}

/// What an unknown constant becomes beside a column: the column's type, with room for all digits.
fn wide(field: &Field) -> Field {
    match field.data_type() {
        DataType::Decimal128(..) => plain(&DataType::Decimal128(38, 10)),
        t => plain(t),
    }
}
