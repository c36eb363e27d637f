//! INSERT, UPDATE, DELETE.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, TableReference};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast::{self, AssignmentTarget, Ident, SelectItem, SetExpr, VisitMut, VisitorMut};

use super::errors::Places;
use super::lazy::lazy;
use super::names::{column_name, unique, visible};
use super::prepare::prepare;
use super::provider::Provider;
use super::query::{Parameters, constants, finish, found_in, found_in_expr, plan, planner, with_parameters};
use super::typing::{Typer, is_unknown};
use super::{Binder, BoundDelete, BoundInsert, BoundUpdate, ConflictAction, Local, Returning};
use crate::catalog::Resolved;
use crate::catalog::object::{Kind, Object};
use crate::error::{Error, Result, SqlState};
use crate::functions::cast::canonical;
use crate::sql::parser::cursor::fold;
use crate::sql::parser::{reparse_expr, reparse_query};
use crate::sql::statement::{Delete, Insert, Name, Query, Update};

type Found = HashMap<String, Option<FieldRef>>;

/// Expressions over one schema.
struct Scope<'p, 'a> {
    provider: &'p Provider<'a>,
    schema: &'p DFSchema,
    parameters: &'p Parameters,
}

impl Scope<'_, '_> {
    /// Typed, not yet cast to anything.
    fn raw(&self, tree: &ast::Expr) -> DfResult<Expr> {
        let mut tree = tree.clone();
        prepare(&mut tree)?;
        let mut context = PlannerContext::new().with_prepare_param_data_types(self.parameters.clone());
        let expr = planner(self.provider).sql_to_expr(tree, self.schema, &mut context)?;
        self.typer().expr(expr)
    }

    fn typer(&self) -> Typer<'_> {
        Typer { zone: &self.provider.binder.session.time_zone, schema: self.schema }
    }

    /// What is left to do for a typed expression that no plan holds.
    fn finish(&self, expr: Expr) -> DfResult<Expr> {
        let expr = lazy(constants(self.provider, expr, false)?)?;
        Ok(expr.rewrite(&mut TypeCoercionRewriter::new(self.schema))?.data)
    }

    fn value(&self, tree: &ast::Expr, to: &Field) -> DfResult<Expr> {
        let expr = self.raw(tree)?;
        let expr = self.typer().assign(expr, to)?;
        self.finish(expr)
    }

    fn condition(&self, tree: &ast::Expr) -> DfResult<Expr> {
        let expr = self.raw(tree)?;
        let expr = self.typer().boolean(expr, "WHERE")?;
        self.finish(expr)
    }

    /// RETURNING: expressions, and the columns they give.
    fn returning(&self, items: &[SelectItem]) -> DfResult<Returning> {
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
                    let table = name.0.last().and_then(|p| p.as_ident()).map(fold);
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
const EXCLUDED: &str = "excluded\u{7f}";

impl Binder<'_> {
    /// The table that DML names.
    fn target(&self, name: &Name, verb: &str) -> Result<Arc<Object>> {
        let at = |e: Error| if name.position > 0 { e.with_position(name.position) } else { e };
        let object = match self.relation(name.schema.as_deref(), &name.name).map_err(at)? {
            Resolved::User(object) => object,
            Resolved::System(_) => {
                let message = format!("permission denied: \"{}\" is a system catalog", name.name);
                return Err(at(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)));
            }
        };
        let hint = match object.kind {
            Kind::Table(_) => return Ok(object),
            Kind::Source(_) => "Use CREATE TABLE for rows that are written by SQL.",
            Kind::View(_) | Kind::MaterializedView(_) => "Write to the tables that it reads.",
        };
        let message = format!("cannot {verb} {} \"{}\"", object.kind_name(), object.name);
        Err(at(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint)))
    }

    /// An expression kept as text over a relation's columns.
    pub(super) fn bind_expression(&self, text: &str, schema: &Schema, target: &Field) -> Result<Expr> {
        let tree = reparse_expr(text)?;
        let places = Places::new(text, 0, &tree.tree);
        let provider = Provider::new(*self);
        let schema = DFSchema::try_from(schema.clone())?;
        let scope = Scope { provider: &provider, schema: &schema, parameters: &vec![] };
        scope.value(&tree.tree, target).map_err(|e| places.error(e))
    }

    /// The value of an expression without columns.
    pub(super) fn bind_constant(&self, tree: &ast::Expr, target: Option<&Field>) -> Result<ScalarValue> {
        let text = tree.to_string();
        let places = Places::new(&text, 0, tree);
        let provider = Provider::new(*self);
        let schema = DFSchema::empty();
        let scope = Scope { provider: &provider, schema: &schema, parameters: &vec![] };
        let expr = match target {
            Some(target) => scope.value(tree, target),
            None => scope.raw(tree).and_then(|e| scope.finish(e)),
        };
        let expr = expr.map_err(|e| places.error(e))?;
        let physical = crate::sql::physical_expr(&expr, &schema)?;
        let row = arrow::record_batch::RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            vec![],
            &arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        Ok(ScalarValue::try_from_array(&physical.evaluate(&row)?.into_array(1)?, 0)?)
    }

    pub(super) fn bind_insert(&self, insert: &Insert, oids: &[u32]) -> Result<BoundInsert> {
        let target = self.target(&insert.target, "insert into")?;
        let Kind::Table(table) = &target.kind else { return Err(Error::internal("not a table")) };
        let columns = insert_columns(&target, &insert.columns)?;
        let mut defaults = Vec::new();
        for (field, text) in target.schema.fields().iter().zip(&table.defaults) {
            defaults.push(match text {
                Some(text) => self.bind_expression(text, &Schema::empty(), field)?,
                None => Expr::Literal(ScalarValue::try_new_null(field.data_type())?, None),
            });
        }
        let ((source, on_conflict, returning, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let mut found = Found::new();
            let rows = source_rows(&provider, insert, &target, &columns, &defaults, types)?;
            found_in(&rows, &mut found)?;
            let qualifier = insert.alias.clone().unwrap_or_else(|| target.name.clone());
            let schema = DFSchema::try_from_qualified_schema(qualifier.as_str(), &target.schema)?;
            let on_conflict = conflict_action(&provider, insert, &target, &schema, types, &defaults)?;
            if let Some(ConflictAction::Update { assignments, filter }) = &on_conflict {
                for expr in assignments.iter().flatten().chain(filter) {
                    found_in_expr(expr, &mut found)?;
                }
            }
            let scope = Scope { provider: &provider, schema: &schema, parameters: types };
            let returning = returning_of(&scope, insert.returning.as_deref(), &mut found)?;
            Ok(((rows, on_conflict, returning, provider.depends.into_inner()), found))
        })?;
        Ok(BoundInsert { target, source, on_conflict, returning, parameters, depends })
    }

    pub(super) fn bind_update(&self, update: &Update, oids: &[u32]) -> Result<BoundUpdate> {
        let target = self.target(&update.target, "update")?;
        let trees = assignments(&target, &update.assignments)?;
        let ((local, plan, returning, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let mut found = Found::new();
            let base = base_plan(
                &provider,
                (&update.target, update.alias.as_deref()),
                &update.from,
                update.filter.as_ref(),
                types,
            )?;
            let alias = update.alias.clone().unwrap_or_else(|| target.name.clone());
            let values = new_values(&provider, base.schema(), &target, &trees, types)?;
            let local =
                local_change(&provider, &target, &alias, update.from.is_empty(), update.filter.as_ref(), types)?
                    .map(|local| Local { assignments: values.clone(), ..local })
                    .filter(|local| !local.assignments.iter().flatten().any(has_subquery));
            let (plan, returning) = changed_rows(
                &provider,
                base,
                (&target, &alias),
                Some(&values),
                update.returning.as_deref(),
                local.is_some(),
                types,
            )?;
            found_in(&plan, &mut found)?;
            Ok(((local, plan, returning, others(provider, &target)), found))
        })?;
        Ok(BoundUpdate { target, local, plan, returning, parameters, depends })
    }

    pub(super) fn bind_delete(&self, delete: &Delete, oids: &[u32]) -> Result<BoundDelete> {
        let target = self.target(&delete.target, "delete from")?;
        let ((local, plan, returning, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let mut found = Found::new();
            let named = (&delete.target, delete.alias.as_deref());
            let base = base_plan(&provider, named, &delete.using, delete.filter.as_ref(), types)?;
            let alias = delete.alias.clone().unwrap_or_else(|| target.name.clone());
            let local =
                local_change(&provider, &target, &alias, delete.using.is_empty(), delete.filter.as_ref(), types)?;
            let (plan, returning) = changed_rows(
                &provider,
                base,
                (&target, &alias),
                None,
                delete.returning.as_deref(),
                local.is_some(),
                types,
            )?;
            found_in(&plan, &mut found)?;
            Ok(((local, plan, returning, others(provider, &target)), found))
        })?;
        Ok(BoundDelete { target, local, plan, returning, parameters, depends })
    }
}

fn others(provider: Provider<'_>, target: &Object) -> Vec<crate::data::ObjectId> {
    provider.depends.into_inner().into_iter().filter(|id| *id != target.id).collect()
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    })
    .unwrap_or(true)
}

fn no_column(target: &Object, name: &str, position: usize) -> Error {
    let message = format!("column \"{name}\" of relation \"{}\" does not exist", target.name);
    let error = Error::new(SqlState::UNDEFINED_COLUMN, message);
    if position > 0 { error.with_position(position) } else { error }
}

/// Positions of the columns that INSERT names, in its order.
fn insert_columns(target: &Object, named: &[(String, usize)]) -> Result<Vec<usize>> {
    if named.is_empty() {
        return Ok((0..target.schema.fields().len()).collect());
    }
    let mut columns = Vec::new();
    for (name, position) in named {
        let index = target.schema.index_of(name).map_err(|_| no_column(target, name, *position))?;
        if columns.contains(&index) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_position(*position));
        }
        columns.push(index);
    }
    Ok(columns)
}

fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default"))
}

fn count_mismatch(given: usize, wanted: usize, named: bool) -> Result<()> {
    if given > wanted {
        return Err(Error::syntax("INSERT has more expressions than target columns", None));
    }
    if given < wanted && named {
        return Err(Error::syntax("INSERT has more target columns than expressions", None));
    }
    Ok(())
}

/// The rows to insert, with all of the target's columns.
fn source_rows(
    provider: &Provider<'_>,
    insert: &Insert,
    target: &Object,
    columns: &[usize],
    defaults: &[Expr],
    parameters: &Parameters,
) -> Result<LogicalPlan> {
    let Some(query) = &insert.source else {
        return Ok(LogicalPlanBuilder::values(vec![defaults.to_vec()])
            .and_then(|b| named_as(b, target))
            .and_then(LogicalPlanBuilder::build)?);
    };
    let values = match query.tree.body.as_ref() {
        SetExpr::Values(values)
            if query.tree.with.is_none() && query.tree.order_by.is_none() && query.tree.limit_clause.is_none() =>
        {
            values
        }
        _ => return source_query(provider, query, insert, target, columns, defaults, parameters),
    };
    let places = Places::new("", 0, query.tree.as_ref());
    let empty = DFSchema::empty();
    let scope = Scope { provider, schema: &empty, parameters };
    let width = values.rows.first().map_or(0, |r| r.content.len());
    count_mismatch(width, columns.len(), !insert.columns.is_empty())?;
    let mut rows = Vec::with_capacity(values.rows.len());
    for given in &values.rows {
        if given.content.len() != width {
            return Err(Error::syntax("VALUES lists must all be the same length", None));
        }
        let mut row = defaults.to_vec();
        for (tree, &column) in given.content.iter().zip(columns) {
            if !is_default(tree) {
                row[column] = scope.value(tree, target.schema.field(column)).map_err(|e| places.error(e))?;
            }
        }
        rows.push(row);
    }
    Ok(LogicalPlanBuilder::values(rows).and_then(|b| named_as(b, target)).and_then(LogicalPlanBuilder::build)?)
}

/// Names a plan's columns like the target's, and gives them its types.
fn named_as(builder: LogicalPlanBuilder, target: &Object) -> DfResult<LogicalPlanBuilder> {
    let schema = builder.schema().clone();
    let exprs = schema.iter().zip(target.schema.fields()).map(|((q, f), to)| {
        let column = Expr::Column(Column::from((q, f)));
        let typed = if f.data_type() == to.data_type() {
            column
        } else {
            datafusion::logical_expr::cast(column, to.data_type().clone())
        };
        typed.alias(to.name())
    });
    builder.project(exprs.collect::<Vec<_>>())
}

fn source_query(
    provider: &Provider<'_>,
    query: &Query,
    insert: &Insert,
    target: &Object,
    columns: &[usize],
    defaults: &[Expr],
    parameters: &Parameters,
) -> Result<LogicalPlan> {
    let source = plan(provider, query, parameters, false)?;
    let width = source.schema().fields().len();
    count_mismatch(width, columns.len(), !insert.columns.is_empty())?;
    let constants = match &source {
        LogicalPlan::Projection(p) => p.expr.clone(),
        _ => vec![],
    };
    let schema = source.schema().clone();
    let scope = Scope { provider, schema: &schema, parameters };
    let mut row = defaults.to_vec();
    for (n, &column) in columns.iter().enumerate().take(width) {
        let to = target.schema.field(column);
        // An unknown constant of the query takes the column's type.
        let constant = constants.get(n).map(|e| e.clone().unalias()).filter(is_unknown);
        let expr = constant.unwrap_or_else(|| Expr::Column(Column::from(schema.qualified_field(n))));
        row[column] = scope.typer().assign(expr, to)?;
    }
    let exprs = row.into_iter().zip(target.schema.fields()).map(|(e, f)| e.alias(f.name())).collect::<Vec<_>>();
    let projected = LogicalPlanBuilder::from(source).project(exprs).and_then(LogicalPlanBuilder::build)?;
    Ok(projected)
}

fn returning_of(scope: &Scope<'_, '_>, items: Option<&[SelectItem]>, found: &mut Found) -> Result<Option<Returning>> {
    let Some(items) = items else { return Ok(None) };
    let places = Places::new("", 0, &items.to_vec());
    let returning = scope.returning(items).map_err(|e| places.error(e))?;
    for expr in &returning.exprs {
        found_in_expr(expr, found)?;
    }
    Ok(Some(returning))
}

/// `excluded.a` becomes a name of its own, so that `a` alone is the old row's.
struct Excluded;

impl VisitorMut for Excluded {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::CompoundIdentifier(parts) = expr
            && let [table, column] = parts.as_slice()
            && fold(table) == "excluded"
        {
            *expr = ast::Expr::Identifier(Ident::with_quote('"', format!("{EXCLUDED}{}", fold(column))));
        }
        ControlFlow::Continue(())
    }
}

fn conflict_action(
    provider: &Provider<'_>,
    insert: &Insert,
    target: &Object,
    old: &DFSchema,
    parameters: &Parameters,
    defaults: &[Expr],
) -> Result<Option<ConflictAction>> {
    let Some(on) = &insert.on_conflict else { return Ok(None) };
    let mut named = on.target.iter().map(|(c, p)| target.schema.index_of(c).map_err(|_| no_column(target, c, *p)));
    let mut named = named.by_ref().collect::<Result<Vec<_>>>()?;
    named.sort_unstable();
    let mut key = target.primary_key().to_vec();
    key.sort_unstable();
    if (!named.is_empty() && named != key) || (key.is_empty() && on.update.is_some()) {
        let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
        return Err(
            Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).with_hint("Name the columns of the primary key.")
        );
    }
    let Some(update) = &on.update else { return Ok(Some(ConflictAction::Nothing)) };
    let excluded =
        target.schema.fields().iter().map(|f| {
            (None, Arc::new(f.as_ref().clone().with_name(format!("{EXCLUDED}{}", f.name())).with_nullable(true)))
        });
    let both = old.iter().map(|(q, f)| (q.cloned(), f.clone())).chain(excluded).collect();
    let schema = DFSchema::new_with_metadata(both, HashMap::new())?;
    let scope = Scope { provider, schema: &schema, parameters };
    let qualified = |expr: Expr| -> DfResult<Expr> {
        Ok(expr
            .transform(|e| match e {
                Expr::Column(c) if c.name.starts_with(EXCLUDED) => {
                    let name = c.name.trim_start_matches(EXCLUDED).to_owned();
                    Ok(Transformed::yes(Expr::Column(Column::new(Some("excluded"), name))))
                }
                other => Ok(Transformed::no(other)),
            })?
            .data)
    };
    let mut values: Vec<Option<Expr>> = vec![None; target.schema.fields().len()];
    for (column, tree) in assignments(target, &update.assignments)? {
        let places = Places::new("", 0, &tree);
        values[column] = Some(if is_default(&tree) {
            defaults[column].clone()
        } else {
            let mut tree = tree;
            let _ = tree.visit(&mut Excluded);
            let value = scope.value(&tree, target.schema.field(column)).and_then(qualified);
            value.map_err(|e| places.error(e))?
        });
    }
    let filter = update.filter.clone().map(|mut tree| {
        let places = Places::new("", 0, &tree.clone());
        let _ = tree.visit(&mut Excluded);
        scope.condition(&tree).and_then(qualified).map_err(|e| places.error(e))
    });
    Ok(Some(ConflictAction::Update { assignments: values, filter: filter.transpose()? }))
}

/// SET: column positions and what they become.
fn assignments(target: &Object, given: &[ast::Assignment]) -> Result<Vec<(usize, ast::Expr)>> {
    let mut pairs: Vec<(usize, ast::Expr)> = Vec::new();
    let mut push = |name: &ast::ObjectName, value: ast::Expr| -> Result<()> {
        let column = name.0.last().and_then(|p| p.as_ident()).map(fold).unwrap_or_default();
        let index = target.schema.index_of(&column).map_err(|_| no_column(target, &column, 0))?;
        if pairs.iter().any(|(i, _)| *i == index) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        pairs.push((index, value));
        Ok(())
    };
    for assignment in given {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => push(name, value.clone())?,
            (AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                names.iter().zip(values).try_for_each(|(name, value)| push(name, value.clone()))?;
            }
            (AssignmentTarget::Tuple(_), ast::Expr::Tuple(_)) => {
                return Err(Error::syntax("number of columns does not match number of values", None));
            }
            (AssignmentTarget::Tuple(names), ast::Expr::Nested(value)) if names.len() == 1 => {
                push(&names[0], value.as_ref().clone())?;
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(Error::unsupported("SET (a, b) = (SELECT ..)", "Set the columns one by one."));
            }
        }
    }
    Ok(pairs)
}

/// `SELECT * FROM target, from WHERE filter`, without its outermost projection.
fn base_plan(
    provider: &Provider<'_>,
    (name, alias): (&Name, Option<&str>),
    from: &[ast::TableWithJoins],
    filter: Option<&ast::Expr>,
    parameters: &Parameters,
) -> Result<LogicalPlan> {
    let quote = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
    let schema = name.schema.as_deref().map(|s| format!("{}.", quote(s))).unwrap_or_default();
    let alias = quote(alias.unwrap_or(&name.name));
    let mut query = reparse_query(&format!("SELECT * FROM {schema}{} AS {alias}", quote(&name.name)))?;
    if let SetExpr::Select(select) = query.tree.body.as_mut() {
        select.from.extend(from.iter().cloned());
        select.selection = filter.cloned();
    }
    let planned = plan(provider, &query, parameters, false)?;
    match planned {
        LogicalPlan::Projection(p) => Ok(Arc::unwrap_or_clone(p.input)),
        other => Ok(other),
    }
}

/// Per column of the target: its new value over the base plan's columns.
fn new_values(
    provider: &Provider<'_>,
    schema: &DFSchemaRef,
    target: &Object,
    trees: &[(usize, ast::Expr)],
    parameters: &Parameters,
) -> Result<Vec<Option<Expr>>> {
    let Kind::Table(table) = &target.kind else { return Err(Error::internal("not a table")) };
    let scope = Scope { provider, schema, parameters };
    let mut values: Vec<Option<Expr>> = vec![None; target.schema.fields().len()];
    for (column, tree) in trees {
        let field = target.schema.field(*column);
        let places = Places::new("", 0, tree);
        values[*column] = Some(match (is_default(tree), table.defaults.get(*column).cloned().flatten()) {
            (true, Some(text)) => provider.binder.bind_expression(&text, &Schema::empty(), field)?,
            (true, None) => Expr::Literal(ScalarValue::try_new_null(field.data_type())?, None),
            (false, _) => scope.value(tree, field).map_err(|e| places.error(e))?,
        });
    }
    Ok(values)
}

/// WHERE over the target's row alone, if it looks at nothing else.
fn local_change(
    provider: &Provider<'_>,
    target: &Object,
    alias: &str,
    alone: bool,
    filter: Option<&ast::Expr>,
    parameters: &Parameters,
) -> Result<Option<Local>> {
    if !alone {
        return Ok(None);
    }
    let schema = Arc::new(DFSchema::try_from_qualified_schema(alias, &target.schema)?);
    let scope = Scope { provider, schema: &schema, parameters };
    let filter = match filter {
        None => None,
        Some(tree) => {
            let places = Places::new("", 0, tree);
            Some(scope.condition(tree).map_err(|e| places.error(e))?)
        }
    };
    if filter.as_ref().is_some_and(has_subquery) {
        return Ok(None);
    }
    Ok(Some(Local { filter, assignments: vec![], schema: schema.clone() }))
}

/// Old rows, new rows (`values`), and what RETURNING gives.
fn changed_rows(
    provider: &Provider<'_>,
    base: LogicalPlan,
    (target, alias): (&Object, &str),
    values: Option<&Vec<Option<Expr>>>,
    items: Option<&[SelectItem]>,
    local: bool,
    parameters: &Parameters,
) -> Result<(LogicalPlan, Option<Returning>)> {
    let width = target.schema.fields().len();
    let schema = base.schema().clone();
    let column = |n: usize| Expr::Column(Column::from(schema.qualified_field(n)));
    let old_name = |n: usize| unique("old", n);
    let qualifier = TableReference::bare(alias.to_owned());
    let mut exprs: Vec<Expr> = (0..width).map(|n| column(n).alias(old_name(n))).collect();
    for n in 0..width {
        let value = values.and_then(|v| v.get(n).cloned().flatten()).unwrap_or_else(|| column(n));
        let name = target.schema.field(n).name();
        exprs.push(value.alias_qualified(Some(qualifier.clone()), name));
    }
    exprs.extend((width..schema.fields().len()).map(column));
    let both = LogicalPlanBuilder::from(base).project(exprs)?.build()?;
    let after = both.schema().clone();
    let visible_fields = after.iter().skip(width).map(|(q, f)| (q.cloned(), f.clone())).collect();
    let row = DFSchema::new_with_metadata(visible_fields, HashMap::new())?;
    let returning = match items {
        None => None,
        Some(items) => {
            let places = Places::new("", 0, &items.to_vec());
            let scope = Scope { provider, schema: &row, parameters };
            Some(scope.returning(items).map_err(|e| places.error(e))?)
        }
    };
    let keep = if values.is_some() { 2 * width } else { width };
    let mut out: Vec<Expr> = (0..keep).map(|n| Expr::Column(Column::from(after.qualified_field(n)))).collect();
    for (n, expr) in returning.iter().flat_map(|r| &r.exprs).enumerate() {
        out.push(expr.clone().alias(unique("returning", n)));
    }
    let plan = LogicalPlanBuilder::from(both).project(out)?.build()?;
    let plan = finish(provider, plan, false)?;
    let returning = match returning {
        // Over the plan's own columns where there is only the plan.
        Some(r) if !local => {
            let columns = plan.schema().iter().skip(keep).map(|c| Expr::Column(Column::from(c)));
            Some(Returning { exprs: columns.collect(), columns: r.columns })
        }
        other => other,
    };
    debug_assert!(returning.iter().flat_map(|r| &r.columns).all(|f| visible(f.name()) == f.name()));
    Ok((plan, returning))
}
