//! Records: how ROW(..) becomes a STRUCT, what is null of one, and which type two of them share.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

use super::operators::call;
use super::query::assignable;
use super::typing::{Typer, is_unknown, plain, type_name};
use crate::data::types::{JSON_OID, leaf, pg_type, record};
use crate::error::{Error, Result, SqlState};
use crate::sql::parser::cursor::fold;

/// The type that two records of as many fields become, field by field; the names are those of the first.
pub(super) fn common(a: &Fields, b: &Fields) -> Option<Field> {
    if a.len() != b.len() {
        return None;
    }
    let both = |(a, b): (&Arc<Field>, &Arc<Field>)| Some(super::typing::common(a, b)?.with_name(a.name()));
    let fields = a.iter().zip(b).map(both).collect::<Option<Vec<_>>>()?;
    Some(plain(&record(fields)))
}

/// 0A000 where a table is named as a column: PostgreSQL's whole rows.
pub(super) fn whole_row(error: Error, query: &ast::Query) -> Error {
    let parts = error.parts();
    let missing = parts.message.strip_prefix("column \"").and_then(|rest| rest.strip_suffix("\" does not exist"));
    let Some(name) = missing.filter(|_| parts.code == SqlState::UNDEFINED_COLUMN) else { return error };
    let mut tables = Tables(vec![]);
    let _ = query.visit(&mut tables);
    if !tables.0.iter().any(|table| table == name) {
        return error;
    }
    let hint = format!("Name its columns: ROW({name}.a, {name}.b), or {name}.*.");
    let refused = Error::unsupported(format!("the whole row \"{name}\" as a value"), hint);
    parts.position.into_iter().fold(refused, Error::with_position)
}

/// What the tables of FROM are called.
struct Tables(Vec<String>);

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, alias, .. } = factor {
            let own = name.0.last().and_then(|part| part.as_ident());
            self.0.extend(alias.as_ref().map(|alias| &alias.name).or(own).map(fold));
        }
        if let ast::TableFactor::Derived { alias: Some(alias), .. } = factor {
            self.0.push(fold(&alias.name));
        }
        ControlFlow::Continue(())
    }
}

/// 0A000: values of these types are not equal as their bytes are.
pub(super) fn comparable(fields: &Fields) -> Result<()> {
    for field in fields {
        let leaf = leaf(field);
        match leaf.data_type() {
            DataType::Struct(fields) => comparable(fields)?,
            DataType::Interval(_) | DataType::LargeUtf8 => {
                let what = format!("comparing records with a field of type {}", type_name(&leaf));
                return Err(Error::unsupported(what, "Compare their fields: (record).field."));
            }
            _ if pg_type(&leaf).oid == JSON_OID => {
                let message = "could not identify an equality operator for type json";
                return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a record may be assigned to a STRUCT, field by field.
pub(super) fn records_assignable(from: &Field, to: &Field) -> bool {
    let (DataType::Struct(from), DataType::Struct(to)) = (from.data_type(), to.data_type()) else { return false };
    let fits = |(from, to): (&Arc<Field>, &Arc<Field>)| from.data_type().is_null() || assignable(from, to).is_ok();
    from.len() == to.len() && from.iter().zip(to).all(fits)
}

/// The arguments of ROW(..).
fn row(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(f) if f.func.name() == "row" => Some(f),
        Expr::Alias(alias) => row(&alias.expr),
        _ => None,
    }
}

impl Typer<'_> {
    pub(super) fn is_record(&self, expr: &Expr) -> bool {
        !is_unknown(expr) && self.field(expr).is_ok_and(|f| matches!(f.data_type(), DataType::Struct(_)))
    }

    /// What a cast of ROW(..) is a cast of: its columns become the fields, so that constants take their types.
    pub(super) fn row_cast(&self, expr: Expr, to: &Field, assignment: bool) -> Result<Expr> {
        let (Some(row), DataType::Struct(fields)) = (row(&expr), to.data_type()) else { return Ok(expr) };
        if row.args.len() != fields.len() {
            return Ok(expr);
        }
        let args = row.args.iter().zip(fields);
        call("row", args.map(|(arg, field)| self.cast(arg.clone(), field, assignment)).collect::<Result<_>>()?)
    }

    /// As an assignment, where a constant of no type is what its field is.
    pub(super) fn row_assigned(&self, expr: Expr, to: &Field) -> DfResult<Expr> {
        let (Some(row), DataType::Struct(fields)) = (row(&expr), to.data_type()) else { return Ok(expr) };
        if row.args.len() != fields.len() {
            return Ok(expr);
        }
        let args = row.args.iter().zip(fields);
        Ok(call("row", args.map(|(arg, field)| self.assign(arg.clone(), field)).collect::<DfResult<_>>()?)?)
    }

    /// Beside a record, the constants of ROW(..) are what its fields are.
    pub(super) fn settle_rows(&self, exprs: Vec<Expr>) -> DfResult<Vec<Expr>> {
        if !exprs.iter().any(|e| row(e).is_some()) {
            return Ok(exprs);
        }
        let Some(like) = exprs.iter().find(|e| row(e).is_none() && self.is_record(e)) else { return Ok(exprs) };
        let like = self.field(like)?;
        Ok(exprs.into_iter().map(|expr| self.settle_row(expr, &like)).collect::<Result<_>>()?)
    }

    fn settle_row(&self, expr: Expr, like: &Field) -> Result<Expr> {
        if is_unknown(&expr) {
            return self.coerce_unknown(expr, &plain(like.data_type()));
        }
        let (Some(row), DataType::Struct(fields)) = (row(&expr), like.data_type()) else { return Ok(expr) };
        if row.args.len() != fields.len() {
            return Ok(expr);
        }
        let args = row.args.iter().zip(fields);
        call("row", args.map(|(arg, field)| self.settle_row(arg.clone(), field)).collect::<Result<_>>()?)
    }

    /// Records of one type as what compares as they do; others as they are.
    pub(super) fn ordered_records(&self, exprs: Vec<Expr>, of: &Field) -> Result<Vec<Expr>> {
        let DataType::Struct(fields) = of.data_type() else { return Ok(exprs) };
        comparable(fields)?;
        exprs.into_iter().map(|expr| call("record_order", vec![expr])).collect()
    }

    /// Whether there is a value; `IS NOT NULL` asks of a record whether all of its fields are there.
    pub(super) fn is_there(&self, expr: Expr) -> Result<Expr> {
        match self.is_record(&expr) {
            true => call("record_is_there", vec![expr]),
            false => Ok(Expr::IsNotNull(Box::new(expr))),
        }
    }
}
