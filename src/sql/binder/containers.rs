//! Arrays and JSON: which function an operator, a subscript or a quantifier over them is, and of which types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Cast, Placeholder, ScalarFunction};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::operators::{call, missing};
use super::typing::{Category, Typer, category, common, is_unknown, name_in_message, no_function, plain, type_name};
use crate::data::text;
use crate::data::types::{self, JSON_OID, JSONB, dimensions, list_of, nested, pg_type};
use crate::error::{Error, Result, SqlState};

/// `oid` and its array: what Arrow's type does not tell, and drivers ask for.
const OID_OIDS: [u32; 2] = [26, 1028];

/// Where the lists and the elements are among a function's arguments: they become lists and elements of one type.
fn roles(function: &str) -> Option<(&'static [usize], &'static [usize])> {
    Some(match function {
        "array_append" | "array_remove" | "array_position" | "array_positions" => (&[0], &[1]),
        "array_prepend" => (&[1], &[0]),
        "array_replace" => (&[0], &[1, 2]),
        "array_cat" | "array_contains" | "array_contained" | "array_overlap" => (&[0, 1], &[]),
        "any_of" | "all_of" => (&[2], &[0]),
        _ => return None,
    })
}

fn texts() -> Field {
    plain(&list_of(&Field::new("item", DataType::Utf8, true)))
}

/// What a constant cast to a type becomes: int[] is of as many dimensions as its literal has braces.
pub(super) fn literal_type(constant: &Expr, to: &Field, assignment: bool) -> Field {
    match (to.data_type(), constant) {
        (DataType::List(item), Expr::Literal(ScalarValue::Utf8(Some(text)), _)) if !item.data_type().is_list() => {
            match text::array::dimensions(text) {
                found if found > 1 && !assignment => types::array("", &nested(&types::item(to), found), true),
                _ => to.clone(),
            }
        }
        _ => to.clone(),
    }
}

impl Typer<'_> {
    /// Casts of arrays that are no casts of their elements.
    pub(super) fn array_cast(&self, expr: &Expr, to: &Field, assignment: bool) -> Result<Option<Expr>> {
        match (to.data_type(), expr) {
            (DataType::List(item), Expr::ScalarFunction(f)) if f.func.name() == "make_array" && f.args.is_empty() => {
                Ok(Some(Expr::Literal(text::array::list(vec![], item)?, None)))
            }
            // Clients tell of arrays no number of dimensions: it is what the place asks for.
            (DataType::List(_), Expr::Placeholder(Placeholder { id, field: Some(own) }))
                if own.data_type().is_list() && dimensions(to.data_type()) > dimensions(own.data_type()) =>
            {
                let field = types::array(id, &nested(&types::leaf(own), dimensions(to.data_type())), true);
                let again = Placeholder { id: id.clone(), field: Some(Arc::new(field)) };
                self.cast(Expr::Placeholder(again), to, assignment).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn is_list(&self, expr: &Expr) -> bool {
        !is_unknown(expr) && self.field(expr).is_ok_and(|f| f.data_type().is_list())
    }

    pub(super) fn is_jsonb(&self, expr: &Expr) -> bool {
        !is_unknown(expr) && self.field(expr).is_ok_and(|f| f.data_type() == &JSONB)
    }

    pub(super) fn is_json(&self, expr: &Expr) -> bool {
        !is_unknown(expr) && self.field(expr).is_ok_and(|f| pg_type(&f).oid == JSON_OID)
    }

    /// DataFusion forgets that the result of a CASE is json.
    pub(super) fn named(&self, expr: Expr, target: &Field) -> Expr {
        let oid = pg_type(target).oid;
        if oid != JSON_OID && !OID_OIDS.contains(&oid) {
            return expr;
        }
        let target = Arc::new(target.clone().with_name("").with_nullable(true));
        Expr::Cast(Cast::new_from_field(Box::new(expr), target))
    }

    fn no_operator(&self, op: &BinaryOperator, left: &Expr, right: &Expr) -> DataFusionError {
        let name = |e: &Expr| name_in_message(e, self.schema);
        missing(&op.to_string(), &name(left), &name(right)).into()
    }

    /// An operator over arrays or JSON; `Err` gives the sides back: it is none.
    pub(super) fn container(
        &self,
        op: &BinaryOperator,
        left: Expr,
        right: Expr,
    ) -> DfResult<std::result::Result<Expr, (Expr, Expr)>> {
        use BinaryOperator as Op;
        let lists = self.is_list(&left) || self.is_list(&right);
        let jsonb = self.is_jsonb(&left) || self.is_jsonb(&right);
        let found = match op {
            Op::Arrow | Op::LongArrow => self.member(op, left, right)?,
            Op::HashArrow | Op::HashLongArrow => self.at_path(op, left, right)?,
            Op::AtArrow | Op::ArrowAt | Op::PGOverlap if lists => {
                let name = match op {
                    Op::AtArrow => "array_contains",
                    Op::ArrowAt => "array_contained",
                    _ => "array_overlap",
                };
                self.array_call(name, vec![left, right], Some(op))?
            }
            Op::AtArrow | Op::ArrowAt if jsonb => {
                let name = if *op == Op::AtArrow { "jsonb_contains" } else { "jsonb_contained" };
                self.jsonb_pair(op, name, left, right)?
            }
            Op::Question | Op::QuestionPipe | Op::QuestionAnd => self.exists(op, left, right)?,
            Op::HashMinus if self.is_jsonb(&left) => {
                let path = self.as_texts(op, &left, right)?;
                call("jsonb_delete_path", vec![left, path])?
            }
            Op::AtQuestion | Op::AtAt => {
                let hint = "Use ->, #> or @>.";
                return Err(Error::unsupported(format!("the jsonpath operator {op}"), hint).into());
            }
            Op::AtArrow | Op::ArrowAt | Op::PGOverlap | Op::HashMinus => {
                return Err(self.no_operator(op, &left, &right));
            }
            Op::StringConcat if lists => self.joined(op, left, right)?,
            Op::StringConcat if jsonb => self.jsonb_pair(op, "jsonb_concat", left, right)?,
            Op::Minus if self.is_jsonb(&left) => self.without(op, left, right)?,
            _ => return Ok(Err((left, right))),
        };
        Ok(Ok(found))
    }

    /// `->` and `->>`: by key or by number.
    fn member(&self, op: &BinaryOperator, left: Expr, right: Expr) -> DfResult<Expr> {
        let kind = self.json_kind(op, &left, &right)?;
        let tail = if *op == BinaryOperator::LongArrow { "_text" } else { "" };
        if is_unknown(&right) {
            let key = self.coerce_unknown(right, &plain(&DataType::Utf8))?;
            return Ok(call(&format!("{kind}_object_field{tail}"), vec![left, key])?);
        }
        match self.field(&right)?.data_type() {
            DataType::Int16 | DataType::Int32 => {
                let index = self.implicit(right, &plain(&DataType::Int32))?;
                Ok(call(&format!("{kind}_array_element{tail}"), vec![left, index])?)
            }
            t if category(t) == Category::Text => Ok(call(&format!("{kind}_object_field{tail}"), vec![left, right])?),
            _ => Err(self.no_operator(op, &left, &right)),
        }
    }

    fn json_kind(&self, op: &BinaryOperator, left: &Expr, right: &Expr) -> DfResult<&'static str> {
        if self.is_jsonb(left) {
            Ok("jsonb")
        } else if self.is_json(left) {
            Ok("json")
        } else {
            Err(self.no_operator(op, left, right))
        }
    }

    fn at_path(&self, op: &BinaryOperator, left: Expr, right: Expr) -> DfResult<Expr> {
        let kind = self.json_kind(op, &left, &right)?;
        let tail = if *op == BinaryOperator::HashLongArrow { "_text" } else { "" };
        let path = self.as_texts(op, &left, right)?;
        Ok(call(&format!("{kind}_extract_path{tail}"), vec![left, path])?)
    }

    fn as_texts(&self, op: &BinaryOperator, left: &Expr, right: Expr) -> DfResult<Expr> {
        if is_unknown(&right) {
            return Ok(self.coerce_unknown(right, &texts())?);
        }
        match self.field(&right)?.data_type() {
            DataType::List(item) if item.data_type() == &DataType::Utf8 => Ok(right),
            _ => Err(self.no_operator(op, left, &right)),
        }
    }

    fn jsonb_pair(&self, op: &BinaryOperator, name: &str, left: Expr, right: Expr) -> DfResult<Expr> {
        let side = |e: Expr| if is_unknown(&e) { self.coerce_unknown(e, &plain(&JSONB)) } else { Ok(e) };
        let (left, right) = (side(left)?, side(right)?);
        if !self.is_jsonb(&left) || !self.is_jsonb(&right) {
            return Err(self.no_operator(op, &left, &right));
        }
        Ok(call(name, vec![left, right])?)
    }

    fn exists(&self, op: &BinaryOperator, left: Expr, right: Expr) -> DfResult<Expr> {
        if !self.is_jsonb(&left) {
            return Err(self.no_operator(op, &left, &right));
        }
        let name = match op {
            BinaryOperator::Question => {
                let key = self.coerce_unknown(right, &plain(&DataType::Utf8))?;
                if category(self.field(&key)?.data_type()) != Category::Text {
                    return Err(self.no_operator(op, &left, &key));
                }
                return Ok(call("jsonb_exists", vec![left, key])?);
            }
            BinaryOperator::QuestionPipe => "jsonb_exists_any",
            _ => "jsonb_exists_all",
        };
        let keys = self.as_texts(op, &left, right)?;
        Ok(call(name, vec![left, keys])?)
    }

    /// `jsonb - key`, `- number`, `- keys`.
    fn without(&self, op: &BinaryOperator, left: Expr, right: Expr) -> DfResult<Expr> {
        let what = if is_unknown(&right) {
            self.coerce_unknown(right, &plain(&DataType::Utf8))?
        } else {
            match self.field(&right)?.data_type() {
                DataType::Int16 | DataType::Int32 => self.implicit(right, &plain(&DataType::Int32))?,
                t if category(t) == Category::Text => right,
                DataType::List(_) => self.as_texts(op, &left, right)?,
                _ => return Err(self.no_operator(op, &left, &right)),
            }
        };
        Ok(call("jsonb_delete", vec![left, what])?)
    }

    /// array_cat of an array and one of its sub-arrays, which `||` knows how to put together.
    pub(super) fn unequal(&self, name: &str, args: &[Expr]) -> DfResult<Option<Expr>> {
        let ("array_cat", [left, right]) = (name, args) else { return Ok(None) };
        let depth = |e: &Expr| if self.is_list(e) { self.field(e).map_or(0, |f| dimensions(f.data_type())) } else { 0 };
        match (depth(left), depth(right)) {
            (l, r) if l > 0 && r > 0 && l.abs_diff(r) == 1 => {
                self.joined(&BinaryOperator::StringConcat, left.clone(), right.clone()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `||` of arrays, or of an array and an element.
    fn joined(&self, op: &BinaryOperator, left: Expr, right: Expr) -> DfResult<Expr> {
        let depth = |e: &Expr| -> DfResult<Option<usize>> {
            Ok(if is_unknown(e) { None } else { Some(dimensions(self.field(e)?.data_type())) })
        };
        let name = match (depth(&left)?, depth(&right)?) {
            (Some(l), Some(r)) if l == r + 1 => "array_append",
            (Some(l), Some(r)) if l + 1 == r => "array_prepend",
            (Some(l), Some(r)) if l != r => return Err(self.no_operator(op, &left, &right)),
            _ => "array_cat",
        };
        self.array_call(name, vec![left, right], Some(op))
    }

    /// A call of a function of lists and elements.
    fn array_call(&self, name: &str, args: Vec<Expr>, op: Option<&BinaryOperator>) -> DfResult<Expr> {
        match self.settled(name, args.clone())? {
            Some(args) => Ok(call(name, args)?),
            None => match (op, args.as_slice()) {
                (Some(op), [left, right]) => Err(self.no_operator(op, left, right)),
                _ => Err(self.mismatch(name, &args)),
            },
        }
    }

    fn mismatch(&self, name: &str, args: &[Expr]) -> DataFusionError {
        let names: Vec<String> = args.iter().map(|a| name_in_message(a, self.schema)).collect();
        if let ("any_of" | "all_of", [left, op, right]) = (name, args) {
            if !is_unknown(right) && !self.is_list(right) {
                let message = "op ANY/ALL (array) requires array on right side";
                return Error::new(SqlState::WRONG_OBJECT_TYPE, message).into();
            }
            let symbol = match op {
                Expr::Literal(ScalarValue::Utf8(Some(symbol)), _) => symbol.as_str(),
                _ => "=",
            };
            let element = self.field(right).map_or_else(|_| "unknown".to_owned(), |f| type_name(&types::item(&f)));
            return missing(symbol, &name_in_message(left, self.schema), &element).into();
        }
        no_function(name, &names).into()
    }

    /// The arguments of a call that is about arrays; `None`: it is not.
    pub(super) fn array_arguments(&self, f: &ScalarFunction) -> DfResult<Option<Vec<Expr>>> {
        let name = f.func.name();
        let Some((lists, elements)) = roles(name) else { return Ok(None) };
        let highest = lists.iter().chain(elements).max().map_or(0, |n| n + 1);
        let most = if name == "array_position" { 3 } else { highest.max(2) };
        if f.args.len() < highest || f.args.len() > most {
            return Err(self.mismatch(name, &f.args));
        }
        match self.settled(name, f.args.clone())? {
            Some(args) => Ok(Some(args)),
            None => Err(self.mismatch(name, &f.args)),
        }
    }

    /// Lists and elements of one type; `None`: there is none.
    fn settled(&self, name: &str, mut args: Vec<Expr>) -> DfResult<Option<Vec<Expr>>> {
        let Some((lists, elements)) = roles(name) else { return Ok(Some(args)) };
        let mut item: Option<Field> = None;
        let mut meet = |field: &Field| -> bool {
            let found = match &item {
                None => Some(field.clone()),
                Some(so_far) => common(so_far, field),
            };
            let fine = found.is_some();
            item = found;
            fine
        };
        for at in lists.iter().filter(|at| !is_unknown(&args[**at])) {
            let field = self.field(&args[*at])?;
            if !field.data_type().is_list() || !meet(&types::item(&field)) {
                return Ok(None);
            }
        }
        for at in elements.iter().filter(|at| !is_unknown(&args[**at])) {
            if !meet(self.field(&args[*at])?.as_ref()) {
                return Ok(None);
            }
        }
        let item = item.filter(|f| !f.data_type().is_null()).unwrap_or_else(|| plain(&DataType::Utf8));
        let list = plain(&list_of(&item));
        for (places, target) in [(lists, &list), (elements, &item)] {
            for at in places {
                let arg = std::mem::replace(&mut args[*at], Expr::Literal(ScalarValue::Null, None));
                let unknown = is_unknown(&arg);
                args[*at] = if unknown { self.coerce_unknown(arg, target)? } else { self.to_type(arg, target)? };
            }
        }
        if let (true, Some(start)) = (name == "array_position", args.get(2).cloned()) {
            args[2] = self.implicit(start, &plain(&DataType::Int32))?;
        }
        Ok(Some(args))
    }

    fn to_type(&self, expr: Expr, target: &Field) -> Result<Expr> {
        let from = self.field(&expr)?;
        if from.data_type() == target.data_type() { Ok(expr) } else { self.cast(expr, target, false) }
    }

    /// UNNEST gives the elements of all dimensions.
    pub(super) fn flat(&self, list: Expr) -> DfResult<Expr> {
        let several = !is_unknown(&list) && dimensions(self.field(&list)?.data_type()) > 1;
        if several { Ok(call("array_flat", vec![list.unalias()])?) } else { Ok(list) }
    }

    /// `(a)[1]`: of an array, or a part of a jsonb document.
    pub(super) fn subscripted(&self, f: ScalarFunction) -> DfResult<Expr> {
        let mut args = f.args.into_iter();
        let Some(mut value) = args.next() else { return Err(Error::internal("a subscript of nothing").into()) };
        let subscripts: Vec<Expr> = args.collect();
        if self.is_jsonb(&value) {
            for subscript in subscripts {
                value = self.member(&BinaryOperator::Arrow, value, subscript)?;
            }
            return Ok(value);
        }
        if !self.is_list(&value) {
            let name = name_in_message(&value, self.schema);
            let message = format!("cannot subscript type {name} because it does not support subscripting");
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).into());
        }
        let int = plain(&DataType::Int32);
        let number = |e: Expr| -> DfResult<Expr> {
            if is_unknown(&e) {
                return Ok(self.coerce_unknown(e, &int)?);
            }
            match category(self.field(&e)?.data_type()) {
                Category::Number => Ok(self.cast(e, &int, false)?),
                _ => {
                    let message = "array subscript must have type integer";
                    Err(Error::new(SqlState::DATATYPE_MISMATCH, message).into())
                }
            }
        };
        let subscripts = subscripts.into_iter().map(number).collect::<DfResult<Vec<_>>>()?;
        Ok(call(f.func.name(), [vec![value], subscripts].concat())?)
    }
}
