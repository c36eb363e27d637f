//! [`Typer`]: gives an expression PostgreSQL's types: unknown constants take the type that their place asks for, casts and
//! operators become those of PostgreSQL, CASE, IN and their like find a common type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::expr::{Case, Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF};
use datafusion::scalar::ScalarValue;

use super::containers::literal_type;
use super::fold::{fold, fold_number, fold_strict};
use crate::data::text::{self, TimeZone};
use crate::data::types::{JSONB, META_TYPE, META_TYPMOD, UUID, list_of, pg_type, sql_name};
use crate::data::varies;
use crate::error::{Error, Result, SqlState};
use crate::functions::arithmetic::{numeric_overflow, power_of_ten};
use crate::functions::cast::{Path, PgCast, canonical, path};
use crate::functions::large::LARGE_NUMERIC;

/// See the module.
#[derive(Debug)]
pub(super) struct Typer<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) schema: &'a DFSchema,
}

/// The type of an expression for the purposes of typing: a name that is ambiguous (behind JOIN USING) has the type of the
/// first of its columns.
pub(super) fn field_of(expr: &Expr, schema: &DFSchema) -> DfResult<FieldRef> {
    match expr.to_field(schema) {
        Ok((_, field)) => Ok(field),
        Err(first) => {
            let resolved = expr.clone().transform(|e| match e {
                Expr::Column(c) if c.relation.is_none() => {
                    let found = schema.qualified_fields_with_unqualified_name(&c.name);
                    match found.first() {
                        Some((q, f)) => Ok(Transformed::yes(Expr::Column(Column::from((*q, *f))))),
                        None => Ok(Transformed::no(Expr::Column(c))),
                    }
                }
                other => Ok(Transformed::no(other)),
            })?;
            resolved.data.to_field(schema).map(|(_, f)| f).map_err(|_| first)
        }
    }
}

/// A constant of no known type yet: `'text'`, NULL, `$1`.
pub(super) fn is_unknown(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, None) => true,
        Expr::Placeholder(p) => p.field.is_none(),
        Expr::Alias(alias) => is_unknown(&alias.expr),
        _ => false,
    }
}

fn is_string(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(_)), None) => true,
        Expr::Alias(alias) => is_string(&alias.expr),
        _ => false,
    }
}

/// A whole number as the bigint literal that DataFusion's own functions want.
pub(super) fn constant_of(expr: Expr) -> Expr {
    let folded = match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type().is_integer() => *expr,
        other => other,
    };
    match folded {
        Expr::Literal(ScalarValue::Int32(Some(n)), m) => Expr::Literal(ScalarValue::Int64(Some(n.into())), m),
        Expr::Negative(inner) => match constant_of(*inner) {
            Expr::Literal(ScalarValue::Int64(Some(n)), m) => Expr::Literal(ScalarValue::Int64(n.checked_neg()), m),
            other => Expr::Negative(Box::new(other)),
        },
        other => other,
    }
}

/// The text of a number that numeric cannot hold.
fn large(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::ScalarFunction(f) if f.func.name() == LARGE_NUMERIC => match f.args.first() {
            Some(Expr::Literal(ScalarValue::Utf8(Some(text)), _)) => Some(text),
            _ => None,
        },
        Expr::Alias(alias) => large(&alias.expr),
        _ => None,
    }
}

pub(super) fn plain(t: &DataType) -> Field {
    Field::new("", t.clone(), true)
}

pub(super) fn text_field() -> Field {
    plain(&DataType::Utf8)
}

/// PostgreSQL's name of a type in messages: without length.
pub(super) fn type_name(field: &Field) -> String {
    let metadata = field.metadata().iter().filter(|(k, _)| k.as_str() != META_TYPMOD);
    let bare = field.clone().with_metadata(metadata.map(|(k, v)| (k.clone(), v.clone())).collect());
    match field.data_type() {
        DataType::Decimal128(..) => "numeric".to_owned(),
        DataType::Null => "unknown".to_owned(),
        _ => sql_name(&bare),
    }
}

/// As [`type_name`], `unknown` for constants without a type.
pub(super) fn name_in_message(expr: &Expr, schema: &DFSchema) -> String {
    if is_unknown(expr) {
        return "unknown".to_owned();
    }
    field_of(expr, schema).map_or_else(|_| "unknown".to_owned(), |f| type_name(&f))
}

/// Categories within which types are converted without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Boolean,
    Number,
    Text,
    Time,
    Interval,
    TimeOfDay,
    Other,
}

pub(super) fn category(t: &DataType) -> Category {
    match t {
        DataType::Boolean => Category::Boolean,
        t if t.is_numeric() => Category::Number,
        DataType::Utf8 | DataType::Utf8View => Category::Text,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Category::Time,
        DataType::Interval(_) | DataType::Duration(_) => Category::Interval,
        DataType::Time32(_) | DataType::Time64(_) => Category::TimeOfDay,
        _ => Category::Other,
    }
}

fn number_rank(t: &DataType) -> u8 {
    match t {
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => 1,
        DataType::UInt16 | DataType::Int32 => 2,
        DataType::UInt32 | DataType::Int64 | DataType::UInt64 => 3,
        DataType::Float16 | DataType::Float32 => 5,
        DataType::Float64 => 6,
        _ => 4,
    }
}

/// Whole digits and scale of a number as numeric.
fn decimal_shape(t: &DataType) -> (u8, i8) {
    match t {
        DataType::Decimal128(p, s) => (p.saturating_sub(s.unsigned_abs()), *s),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => (5, 0),
        DataType::UInt16 | DataType::Int32 => (10, 0),
        _ => (19, 0),
    }
}

/// The type that both become; `None` in different categories.
pub(super) fn common(a: &Field, b: &Field) -> Option<Field> {
    use DataType as D;
    let (x, y) = (a.data_type(), b.data_type());
    if x == y {
        let same = a.metadata() == b.metadata();
        // Two varchars of different lengths are varchar, other mixtures plain.
        let merged = if same { a.clone() } else { plain(x) };
        return Some(merged);
    }
    if x.is_null() {
        return Some(b.clone());
    }
    if y.is_null() {
        return Some(a.clone());
    }
    match (category(x), category(y)) {
        (Category::Number, Category::Number) => {
            let (rx, ry) = (number_rank(x), number_rank(y));
            if rx == 4 && ry <= 4 || ry == 4 && rx <= 4 {
                let ((dx, sx), (dy, sy)) = (decimal_shape(x), decimal_shape(y));
                let scale = sx.max(sy);
                let precision = (dx.max(dy) + scale.unsigned_abs()).min(38);
                return Some(plain(&D::Decimal128(precision, scale)));
            }
            let wider = if rx >= ry { x } else { y };
            // A real and any integer or numeric meet in double precision.
            let t = if number_rank(wider) == 5 { D::Float64 } else { wider.clone() };
            Some(plain(&t))
        }
        (Category::Time, Category::Time) => {
            let zoned = [x, y].into_iter().find(|t| matches!(t, D::Timestamp(_, Some(_))));
            let stamp = [x, y].into_iter().find(|t| matches!(t, D::Timestamp(..)));
            Some(plain(zoned.or(stamp).unwrap_or(x)))
        }
        _ if x.is_list() && y.is_list() => match (x, y) {
            (D::List(p), D::List(q)) => common(p, q).map(|item| plain(&list_of(&item))),
            _ => None,
        },
        _ if let (D::Struct(p), D::Struct(q)) = (x, y) => super::records::common(p, q),
        (p, q) if p == q && p != Category::Other => Some(plain(&canonical(x).unwrap_or_else(|| x.clone()))),
        _ => None,
    }
}

/// A number as numeric, for arithmetic.
pub(super) fn as_decimal(t: &DataType) -> DataType {
    match t {
        DataType::Decimal128(..) => t.clone(),
        DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::Int32 => DataType::Decimal128(10, 0),
        _ => DataType::Decimal128(20, 0),
    }
}

pub(super) const NO_UNARY: &str =
    "No operator matches the given name and argument type. You might need to add an explicit type cast.";

impl Typer<'_> {
    /// Types a whole expression. What is typed already stays as it is.
    pub(super) fn expr(&self, expr: Expr) -> DfResult<Expr> {
        expr.transform_up(|e| self.node(e).map(Transformed::yes)).map(|t| t.data)
    }

    pub(super) fn field(&self, expr: &Expr) -> DfResult<FieldRef> {
        field_of(expr, self.schema)
    }

    /// One node, its children being typed.
    fn node(&self, expr: Expr) -> DfResult<Expr> {
        match expr {
            Expr::Literal(ScalarValue::UInt64(Some(n)), m) => {
                Ok(Expr::Literal(ScalarValue::Decimal128(Some(n.into()), 20, 0), m))
            }
            // `1e15` comes as 1 with scale -15.
            Expr::Literal(ScalarValue::Decimal128(Some(n), _, scale), m) if scale < 0 => {
                let digits = n.checked_mul(power_of_ten(scale.saturating_neg())).filter(|_| scale >= -37);
                let value = digits.ok_or_else(numeric_overflow)?;
                Ok(Expr::Literal(ScalarValue::Decimal128(Some(value), 38, 0), m))
            }
            Expr::Literal(ScalarValue::Decimal256(..), _) => Err(numeric_overflow().into()),
            Expr::Cast(Cast { expr, field }) => Ok(self.cast(*expr, &field, false)?),
            Expr::BinaryExpr(b) => self.binary(b.op, *b.left, *b.right),
            Expr::Negative(e) => self.negative(*e),
            Expr::Not(e) => Ok(Expr::Not(Box::new(self.boolean(*e, "NOT")?))),
            Expr::IsTrue(e) => Ok(Expr::IsTrue(Box::new(self.boolean(*e, "IS TRUE")?))),
            Expr::IsFalse(e) => Ok(Expr::IsFalse(Box::new(self.boolean(*e, "IS FALSE")?))),
            Expr::IsUnknown(e) => Ok(Expr::IsUnknown(Box::new(self.boolean(*e, "IS UNKNOWN")?))),
            Expr::IsNotTrue(e) => Ok(Expr::IsNotTrue(Box::new(self.boolean(*e, "IS NOT TRUE")?))),
            Expr::IsNotFalse(e) => Ok(Expr::IsNotFalse(Box::new(self.boolean(*e, "IS NOT FALSE")?))),
            Expr::IsNotUnknown(e) => Ok(Expr::IsNotUnknown(Box::new(self.boolean(*e, "IS NOT UNKNOWN")?))),
            Expr::IsNull(e) if self.is_record(&e) => Ok(super::operators::call("record_is_null", vec![*e])?),
            Expr::IsNotNull(e) if self.is_record(&e) => Ok(super::operators::call("record_is_not_null", vec![*e])?),
            Expr::Like(like) => self.like(like),
            Expr::SimilarTo(_) => {
                Err(Error::unsupported("SIMILAR TO", "Use LIKE, or ~ with a regular expression.").into())
            }
            Expr::Between(b) => self.between(b),
            Expr::InList(list) => self.in_list(list),
            Expr::Case(case) => self.case(case),
            Expr::ScalarFunction(f) => self.function(f),
            Expr::AggregateFunction(f) => self.aggregate(f),
            Expr::WindowFunction(f) => self.window(*f),
            other => Ok(other),
        }
    }

    pub(super) fn boolean(&self, expr: Expr, whose: &str) -> DfResult<Expr> {
        if is_unknown(&expr) {
            return Ok(self.coerce_unknown(expr, &plain(&DataType::Boolean))?);
        }
        let field = self.field(&expr)?;
        if field.data_type() == &DataType::Boolean {
            return Ok(expr);
        }
        let message = format!("argument of {whose} must be type boolean, not type {}", type_name(&field));
        Err(Error::new(SqlState::DATATYPE_MISMATCH, message).into())
    }

    pub(super) fn negative(&self, expr: Expr) -> DfResult<Expr> {
        if let Some(text) = large(&expr) {
            let text = text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned);
            let text = Expr::Literal(ScalarValue::from(text), None);
            return Ok(super::operators::call(LARGE_NUMERIC, vec![text])?);
        }
        let field = self.field(&expr)?;
        match field.data_type() {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                let zero = Expr::Literal(ScalarValue::new_zero(field.data_type())?, None);
                self.binary(Operator::Minus, zero, expr)
            }
            DataType::Float32 | DataType::Float64 if !matches!(expr, Expr::Literal(..)) => {
                Ok(super::operators::call("float_negative", vec![expr])?)
            }
            t if category(t) == Category::Number || category(t) == Category::Interval => {
                Ok(fold(Expr::Negative(Box::new(expr))))
            }
            _ => {
                let message = format!("operator does not exist: - {}", name_in_message(&expr, self.schema));
                Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(NO_UNARY).into())
            }
        }
    }

    /// A constant without a type takes one.
    pub(super) fn coerce_unknown(&self, expr: Expr, to: &Field) -> Result<Expr> {
        match expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), m) => {
                if to.data_type() == &DataType::Utf8 && pg_type(to).typmod <= 4 {
                    return Ok(Expr::Literal(ScalarValue::Utf8(Some(text)), m));
                }
                let value = match to.data_type() {
                    DataType::Utf8 => ScalarValue::Utf8(Some(text)),
                    // A constant compared with numeric keeps its digits, whatever the column's scale is.
                    _ => text::parse(&text, to, self.zone)?,
                };
                Ok(Expr::Literal(value, None))
            }
            Expr::Literal(_, m) => Ok(Expr::Literal(ScalarValue::try_new_null(to.data_type())?, m)),
            Expr::Placeholder(p) => {
                let field = Arc::new(to.clone().with_name(p.id.clone()).with_nullable(true));
                Ok(Expr::Placeholder(Placeholder { field: Some(field), ..p }))
            }
            Expr::Alias(mut alias) => {
                alias.expr = Box::new(self.coerce_unknown(*alias.expr, to)?);
                Ok(Expr::Alias(alias))
            }
            other => Ok(other),
        }
    }

    /// An explicit cast, or an assignment. Errors: 42846.
    pub(super) fn cast(&self, expr: Expr, to: &Field, assignment: bool) -> Result<Expr> {
        if is_unknown(&expr) && !(is_string(&expr) && to.data_type() == &DataType::Utf8) {
            let to = literal_type(&expr, to, assignment);
            return self.coerce_unknown(expr, &to);
        }
        if let Some(text) = large(&expr).filter(|_| to.data_type().is_floating()) {
            return Ok(Expr::Literal(text::parse(text, to, self.zone)?, None));
        }
        if let Some(array) = self.array_cast(&expr, to, assignment)? {
            return Ok(array);
        }
        let expr = self.row_cast(expr, to, assignment)?;
        let from = field_of(&expr, self.schema)?;
        let length_of = |f: &Field| f.metadata().get(META_TYPMOD).cloned();
        let function = |expr: Expr| {
            let udf = Arc::new(ScalarUDF::new_from_impl(PgCast::new(to, self.zone, assignment)));
            fold_strict(Expr::ScalarFunction(ScalarFunction::new_udf(udf, vec![expr])))
        };
        let native = |expr: Expr| {
            let target = to.clone().with_name("").with_nullable(true);
            Ok(fold_number(Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(target)))))
        };
        match path(&from, to) {
            Path::Same => {
                let bare = |f: &Field| f.metadata().get(META_TYPE).cloned();
                let marked =
                    bare(&from) != bare(to) || (length_of(&from) != length_of(to) && !to.metadata().is_empty());
                if marked || is_string(&expr) { native(expr) } else { Ok(expr) }
            }
            Path::Native => native(expr),
            Path::Function => function(expr),
            Path::Impossible => {
                if let Some(near) = canonical(from.data_type())
                    && near != *from.data_type()
                {
                    let target = Arc::new(plain(&near));
                    return self.cast(Expr::Cast(Cast::new_from_field(Box::new(expr), target)), to, assignment);
                }
                let message = format!("cannot cast type {} to {}", type_name(&from), type_name(to));
                Err(Error::new(SqlState::CANNOT_COERCE, message))
            }
        }
    }

    /// To a type of the same category, without being asked.
    pub(super) fn implicit(&self, expr: Expr, to: &Field) -> Result<Expr> {
        let from = field_of(&expr, self.schema)?;
        if from.data_type() == to.data_type() && !is_unknown(&expr) {
            return Ok(expr);
        }
        self.cast(expr, &plain(to.data_type()), false)
    }

    /// The common type of several expressions, and they cast to it. `what`: `CASE`, `COALESCE`, .. in the message.
    pub(super) fn unify(&self, exprs: Vec<Expr>, what: &str) -> DfResult<(Vec<Expr>, Field)> {
        let exprs = self.settle_rows(exprs)?;
        let mut found: Option<Field> = None;
        for expr in exprs.iter().filter(|e| !is_unknown(e)) {
            let field = self.field(expr)?;
            found = Some(match found {
                None => field.as_ref().clone(),
                Some(so_far) => common(&so_far, &field).ok_or_else(|| {
                    let (a, b) = (type_name(&so_far), type_name(&field));
                    Error::new(SqlState::DATATYPE_MISMATCH, format!("{what} types {a} and {b} cannot be matched"))
                })?,
            });
        }
        let target = found.filter(|f| !f.data_type().is_null()).unwrap_or_else(text_field);
        let cast = |e| self.implicit(e, &target).map_err(DataFusionError::from);
        Ok((exprs.into_iter().map(cast).collect::<DfResult<_>>()?, target))
    }

    fn function(&self, mut f: ScalarFunction) -> DfResult<Expr> {
        if let Some(joined) = self.unequal(f.func.name(), &f.args)? {
            return Ok(joined);
        }
        if let Some(value) = f.func.inner().downcast_ref::<super::values::OfColumn>() {
            return Ok(self.implicit(f.args.swap_remove(0), &value.column)?);
        }
        match f.func.name() {
            name if name == super::written::WRITTEN.name => return Ok(f.args.swap_remove(0)),
            "coalesce" => {
                let (args, target) = self.unify(f.args, "COALESCE")?;
                return Ok(self.named(self.first_not_null(args)?, &target));
            }
            "greatest" | "least" => {
                let what = f.func.name().to_uppercase();
                let (args, target) = self.unify(f.args, &what)?;
                if target.data_type().is_list() {
                    return Ok(super::operators::call(&format!("array_{}", f.func.name()), args)?);
                }
                f.args = args;
            }
            "nullif" if f.args.len() == 2 => {
                let missing = || {
                    let name = |e: &Expr| name_in_message(e, self.schema);
                    super::operators::missing("=", &name(&f.args[0]), &name(&f.args[1]))
                };
                let unified = self.unify(f.args.clone(), "NULLIF");
                let (args, target) = unified.map_err(|e| if is_mismatch(&e) { missing().into() } else { e })?;
                if varies(target.data_type()) {
                    return self.null_if(args, &target);
                }
                f.args = args;
            }
            "pg_typeof" if f.args.len() == 1 => {
                let name = name_in_message(&f.args[0], self.schema);
                let text = Expr::Literal(ScalarValue::from(name), None);
                return Ok(Expr::Cast(Cast::new(Box::new(text), DataType::Utf8)));
            }
            "make_array" if !f.args.is_empty() => {
                f.args = self.unify(f.args, "ARRAY")?.0;
                if self.field(&f.args[0])?.data_type().is_list() {
                    return Ok(super::operators::call("array_checked", vec![Expr::ScalarFunction(f)])?);
                }
            }
            "array_subscript" | "array_section" => return self.subscripted(f),
            // What its constants are, the place tells.
            "row" => return Ok(Expr::ScalarFunction(f)),
            _ if f.func.inner().downcast_ref::<PgCast>().is_some() => {}
            _ => {
                f.args = match self.array_arguments(&f)? {
                    Some(args) => args,
                    None => self.arguments(&f)?,
                }
            }
        }
        let expr = Expr::ScalarFunction(f);
        let field = match self.field(&expr) {
            Ok(field) => field,
            Err(DataFusionError::External(e)) => return Err(DataFusionError::External(e)),
            Err(error) => match &expr {
                Expr::ScalarFunction(f) => return Err(self.no_function(f).map_or(error, DataFusionError::from)),
                _ => return Err(error),
            },
        };
        let typed = match canonical(field.data_type()) {
            Some(to) => Expr::Cast(Cast::new(Box::new(expr), to)),
            None => expr,
        };
        Ok(fold(typed))
    }

    /// COALESCE as a CASE, which evaluates no more than it needs.
    fn first_not_null(&self, mut args: Vec<Expr>) -> Result<Expr> {
        let Some(last) = args.pop() else { return Ok(Expr::Literal(ScalarValue::Null, None)) };
        if args.is_empty() {
            return Ok(last);
        }
        let when = |e: Expr| -> Result<_> { Ok((Box::new(self.is_there(e.clone())?), Box::new(e))) };
        let whens = args.into_iter().map(when).collect::<Result<_>>()?;
        Ok(Expr::Case(Case::new(None, whens, Some(Box::new(last)))))
    }

    /// Unknown constants take the types that the function asks for.
    fn arguments(&self, f: &ScalarFunction) -> DfResult<Vec<Expr>> {
        let fields = f.args.iter().map(|a| self.field(a)).collect::<DfResult<Vec<_>>>()?;
        let missing = |e: DataFusionError| self.no_function(f).map_or(e, DataFusionError::from);
        // Where a constant without a type is no text, it may become what the function asks for.
        let wanted = fields_with_udf(&fields, f.func.as_ref()).or_else(|e| {
            let bare = |(a, field): (&Expr, &FieldRef)| {
                if is_unknown(a) { Arc::new(plain(&DataType::Null)) } else { field.clone() }
            };
            let bare: Vec<FieldRef> = f.args.iter().zip(&fields).map(bare).collect();
            fields_with_udf(&bare, f.func.as_ref()).map_err(|_| e)
        });
        let wanted = wanted.map_err(missing)?;
        let ours = f.func.inner().downcast_ref::<crate::functions::native::Native>().is_some();
        let any = matches!(f.func.name(), "struct" | "named_struct" | "arrow_typeof");
        if !ours && !any && fields.iter().any(|f| [JSONB, UUID].contains(f.data_type())) {
            // DataFusion would take them for strings.
            return Err(self.no_function(f).map_or_else(|| DataFusionError::Plan("no function".into()), Into::into));
        }
        let mut args = Vec::with_capacity(f.args.len());
        for ((arg, from), to) in f.args.iter().zip(&fields).zip(&wanted) {
            let to_text = category(to.data_type()) == Category::Text;
            args.push(
                if is_unknown(arg) && !to.data_type().is_null() && (!to_text || matches!(arg, Expr::Placeholder(_))) {
                    let t = canonical(to.data_type()).unwrap_or_else(|| to.data_type().clone());
                    self.coerce_unknown(arg.clone(), &plain(&t))?
                } else if from.data_type() == to.data_type() {
                    arg.clone()
                } else if ours {
                    if category(from.data_type()) == Category::Text && !to_text {
                        return Err(self
                            .no_function(f)
                            .map_or_else(|| DataFusionError::Plan("no function".into()), Into::into));
                    }
                    self.cast(arg.clone(), &plain(to.data_type()), false)?
                } else {
                    arg.clone()
                },
            );
        }
        Ok(args)
    }

    /// 42883 for a call; `None` when an argument's type is not known.
    fn no_function(&self, f: &ScalarFunction) -> Option<Error> {
        if f.func.inner().downcast_ref::<crate::functions::arithmetic::Arithmetic>().is_some() {
            return None;
        }
        let types: Vec<String> = f.args.iter().map(|a| name_in_message(a, self.schema)).collect();
        Some(no_function(f.func.name(), &types))
    }
}

pub(super) fn is_mismatch(error: &DataFusionError) -> bool {
    let DataFusionError::External(e) = error else { return false };
    e.downcast_ref::<Error>().is_some_and(|e| e.code() == SqlState::DATATYPE_MISMATCH)
}

/// 42883.
pub(super) fn no_function(name: &str, types: &[String]) -> Error {
    if let Some(window) = super::group_windows::stray_window(name) {
        return window;
    }
    let message = format!("function {name}({}) does not exist", types.join(", "));
    Error::new(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}
