//! Rows of VALUES: each column gets one type, as PostgreSQL finds it.
//!
//! DataFusion wants the values of a column to be of one type, with one typmod, when it plans them. So each column is looked at
//! before: where its values are not alike, each becomes a call of a function that has the column's type, and typing makes
//! a cast of the call.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast::{self, Query, SetExpr, Values, VisitMut, VisitorMut};

use super::prepare::wrap;
use super::provider::Provider;
use super::query::{Parameters, planner};
use super::syntax::quoted_call;
use super::typing::{Typer, is_unknown, type_name};
use super::written::marked;
use crate::error::{Error, SqlState};
use crate::sql::parser::reparse_query;

/// What the functions are called, before the number of the column's type.
const OF_COLUMN: &str = "value of column ";

/// Makes the values of each column alike, in all the VALUES of a prepared tree.
pub(super) fn matched(tree: &mut impl VisitMut, provider: &Provider<'_>, parameters: &Parameters) -> Result<()> {
    match tree.visit(&mut Matching { provider, parameters }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Matching<'m, 'a> {
    provider: &'m Provider<'a>,
    parameters: &'m Parameters,
}

impl VisitorMut for Matching<'_, '_> {
    type Break = DataFusionError;

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<DataFusionError> {
        if let ast::Expr::InSubquery { subquery, .. } = expr
            && matches!(subquery.body.as_ref(), SetExpr::Values(_))
        {
            match selected(subquery) {
                Ok(query) => **subquery = query,
                Err(error) => return ControlFlow::Break(error.into()),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        match self.body(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Matching<'_, '_> {
    fn body(&self, body: &mut SetExpr) -> Result<()> {
        match body {
            SetExpr::Values(values) if values.rows.len() > 1 => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                (0..width).try_for_each(|column| self.column(values, column))
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            _ => Ok(()),
        }
    }

    fn column(&self, values: &mut Values, column: usize) -> Result<()> {
        let mut trees: Vec<&mut ast::Expr> =
            values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
        let target = match self.common(&trees)? {
            Common::Alike => return Ok(()),
            Common::NotKnown => {
                written_alike(&mut trees);
                return Ok(());
            }
            Common::Type(target) => target,
        };
        let mut types = self.provider.columns.borrow_mut();
        let name = format!("{OF_COLUMN}{}", types.len());
        types.push(Arc::new(target));
        for tree in &mut trees {
            **tree = quoted_call(&name, vec![tree.clone()]);
        }
        Ok(())
    }

    /// The type that a column's values become.
    fn common(&self, trees: &[&mut ast::Expr]) -> Result<Common> {
        let schema = DFSchema::empty();
        let typer = Typer { zone: &self.provider.binder.session.time_zone, schema: &schema };
        let mut context = PlannerContext::new().with_prepare_param_data_types(self.parameters.clone());
        let planner = planner(self.provider);
        let mut exprs = Vec::with_capacity(trees.len());
        let (mut first, mut alike): (Option<FieldRef>, bool) = (None, true);
        for tree in trees {
            let Ok(expr) = planner.sql_to_expr((**tree).clone(), &schema, &mut context) else {
                return Ok(Common::NotKnown);
            };
            match expr.to_field(&schema) {
                // Of records, field by field.
                Ok((_, field)) if matches!(field.data_type(), DataType::Struct(_)) => return Ok(Common::Alike),
                Ok((_, field)) => {
                    alike &= first.as_ref().is_none_or(|first| same(first, &field));
                    first.get_or_insert(field);
                }
                Err(_) => alike = false,
            }
            exprs.push(expr);
        }
        if alike {
            return Ok(Common::Alike);
        }
        let Ok(exprs) = exprs.into_iter().map(|expr| typer.expr(expr)).collect::<Result<Vec<_>>>() else {
            return Ok(Common::NotKnown);
        };
        if exprs.iter().all(is_unknown) {
            return Ok(Common::Alike);
        }
        Ok(Common::Type(typer.unify(exprs, "VALUES")?.1))
    }
}

/// `SELECT * FROM (VALUES ..)`: a subquery of IN has to be a SELECT.
fn selected(values: &Query) -> crate::error::Result<Query> {
    let mut query = *reparse_query("SELECT * FROM (SELECT 1) AS x")?.tree;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
        && let ast::TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        **subquery = values.clone();
    }
    Ok(query)
}

/// What is known of a column's values.
enum Common {
    /// They may stay as they are.
    Alike,
    Type(Field),
    /// They need what is known further out: the columns of an outer query, or its WITH.
    NotKnown,
}

fn same(a: &Field, b: &Field) -> bool {
    a.data_type() == b.data_type() && a.metadata() == b.metadata()
}

/// Constants get the type of a cast in another row, and nothing says more of its type than the rest does.
fn written_alike(trees: &mut [&mut ast::Expr]) {
    let typed = trees.iter().find_map(|tree| match &**tree {
        ast::Expr::Cast { data_type, .. } => Some(data_type.clone()),
        ast::Expr::TypedString(constant) => Some(constant.data_type.clone()),
        ast::Expr::Interval(_) => Some(ast::DataType::Interval { fields: None, precision: None }),
        _ => None,
    });
    for tree in trees {
        **tree = match (&**tree, &typed) {
            (ast::Expr::Value(value), Some(data_type)) if matches!(value.value, ast::Value::SingleQuotedString(_)) => {
                marked(&wrap(tree.clone(), data_type.clone()), "")
            }
            (ast::Expr::Value(_), _) => continue,
            _ => marked(tree, ""),
        };
    }
}

/// The function of a name, if it is one of these.
pub(super) fn function(name: &str, columns: &[FieldRef]) -> Option<Arc<ScalarUDF>> {
    let column = columns.get(name.strip_prefix(OF_COLUMN)?.parse::<usize>().ok()?)?;
    let signature = Signature::any(1, Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(OfColumn { name: name.to_owned(), column: column.clone(), signature })))
}

/// A value as one of its column's type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OfColumn {
    name: String,
    pub(super) column: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for OfColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.column.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.column.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let message = format!("a value of VALUES was not cast to {}", type_name(&self.column));
        Err(Error::new(SqlState::INTERNAL_ERROR, message).into())
    }
}
