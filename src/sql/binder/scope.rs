//! [`Scope`]: expressions of DML over one schema.

use arrow::datatypes::Field;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::Expr;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast::{self, SelectItem};

use super::Returning;
use super::calls::forbid;
use super::lazy::lazy;
use super::names::column_name;
use super::places::Places;
use super::prepare::prepare;
use super::provider::Provider;
use super::query::{Parameters, constants, planner};
use super::syntax::last_name;
use super::typing::{Typer, is_unknown};
use crate::catalog::object::Object;
use crate::error::{Error, Result, SqlState};
use crate::functions::cast::canonical;
use crate::sql::parser::cursor::fold;

/// Expressions over one schema.
pub(super) struct Scope<'p, 'a> {
    pub(super) provider: &'p Provider<'a>,
    pub(super) schema: &'p DFSchema,
    pub(super) given: &'p Given<'p>,
}

/// The statement's parameters, and where its names stand.
pub(super) struct Given<'p> {
    pub(super) parameters: &'p Parameters,
    pub(super) places: &'p Places<'p>,
}

impl Scope<'_, '_> {
    /// Typed, not yet cast to anything.
    pub(super) fn raw(&self, tree: &ast::Expr) -> DfResult<Expr> {
        let mut tree = tree.clone();
        prepare(&mut tree, Some(self.given.places))?;
        super::values::matched(&mut tree, self.provider, self.given.parameters)?;
        let mut context = PlannerContext::new().with_prepare_param_data_types(self.given.parameters.clone());
        let expr = planner(self.provider).sql_to_expr(tree, self.schema, &mut context)?;
        self.typer().expr(expr)
    }

    pub(super) fn typer(&self) -> Typer<'_> {
        Typer { zone: &self.provider.binder.session.time_zone, schema: self.schema }
    }

    /// What is left to do for a typed expression that no plan holds.
    pub(super) fn finish(&self, expr: Expr) -> DfResult<Expr> {
        let expr = lazy(constants(self.provider, expr, false)?)?;
        Ok(expr.rewrite(&mut TypeCoercionRewriter::new(self.schema))?.data)
    }

    pub(super) fn value(&self, tree: &ast::Expr, to: &Field) -> DfResult<Expr> {
        let expr = self.raw(tree)?;
        let expr = self.typer().assign(expr, to)?;
        self.finish(expr)
    }

    pub(super) fn condition(&self, tree: &ast::Expr) -> DfResult<Expr> {
        let expr = self.raw(tree)?;
        let expr = self.typer().boolean(expr, "WHERE")?;
        self.finish(expr)
    }

    /// RETURNING: expressions, and the columns they give.
    pub(super) fn returning(&self, items: &[SelectItem]) -> DfResult<Returning> {
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        let mut push = |expr: Expr, name: String| -> DfResult<()> {
            let field = self.typer().field(&expr)?;
            let expr = match canonical(field.data_type()) {
                Some(t) => datafusion::logical_expr::cast(expr, t),
                None if is_unknown(&expr) => {
                    self.typer().coerce_unknown(expr, &super::typing::plain(&arrow::datatypes::DataType::Utf8))?
                }
                None => expr,
            };
            columns.push(self.typer().field(&expr)?.as_ref().clone().with_name(name));
            exprs.push(expr);
            Ok(())
        };
        let all = |qualifier: Option<String>| {
            let of = move |q: Option<&TableReference>| {
                qualifier.as_ref().is_none_or(|want| q.is_some_and(|q| q.table() == want))
            };
            self.schema.iter().filter(move |(q, f)| of(*q) && !f.name().starts_with(EXCLUDED))
        };
        for item in items {
            match item {
                SelectItem::UnnamedExpr(e) => push(self.finish(self.raw(e)?)?, column_name(e))?,
                SelectItem::ExprWithAlias { expr, alias } => push(self.finish(self.raw(expr)?)?, fold(alias))?,
                SelectItem::Wildcard(_) => {
                    for (q, f) in all(None) {
                        push(Expr::Column(Column::from((q, f))), f.name().clone())?;
                    }
                }
                SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let table = last_name(name);
                    for (q, f) in all(table) {
                        push(Expr::Column(Column::from((q, f))), f.name().clone())?;
                    }
                }
                other => return Err(Error::unsupported(format!("RETURNING {other}"), "Name the columns.").into()),
            }
        }
        Ok(Returning { exprs, columns })
    }
}

/// Marks columns of the row proposed, in schemas where both rows are.
pub(super) const EXCLUDED: &str = "excluded\u{7f}";

pub(super) fn no_column(target: &Object, name: &str, position: usize) -> Error {
    let message = format!("column \"{name}\" of relation \"{}\" does not exist", target.name);
    let error = Error::new(SqlState::UNDEFINED_COLUMN, message);
    if position > 0 { error.with_position(position) } else { error }
}

pub(super) fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default"))
}

pub(super) fn returned(scope: &Scope<'_, '_>, items: &[SelectItem]) -> Result<Returning> {
    let places = scope.given.places;
    for item in items {
        if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
            forbid(e, "RETURNING", places)?;
        }
    }
    scope.returning(items).map_err(|e| places.error(e))
}
