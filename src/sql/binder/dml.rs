//! INSERT, UPDATE, DELETE.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, SetExpr, Spanned, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::calls::forbid;
use super::changes::{assignments, base_plan, changed_rows, has_subquery, local_change, new_values};
use super::places::Places;
use super::provider::Provider;
use super::query::{found_in, found_in_expr, plan, with_parameters};
use super::scope::{EXCLUDED, Given, Scope, is_default, no_column, returned};
use super::typing::is_unknown;
use super::{Binder, BoundDelete, BoundInsert, BoundUpdate, ConflictAction, Local, Returning};
use crate::catalog::Resolved;
use crate::catalog::object::{Kind, Object};
use crate::error::{Error, Result, SqlState};
use crate::sql::parser::cursor::fold;
use crate::sql::parser::reparse_expr;
use crate::sql::statement::{Delete, Insert, Name, Query, Update};

type Found = HashMap<String, Option<FieldRef>>;

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
            Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => "Write to the tables that it reads.",
        };
        let message = match object.kind {
            Kind::MaterializedView(_) => format!("cannot change materialized view \"{}\"", object.name),
            _ => format!("cannot {verb} {} \"{}\"", object.kind_name(), object.name),
        };
        Err(at(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint)))
    }

    /// An expression kept as text over a relation's columns.
    pub(super) fn bind_expression(&self, text: &str, schema: &Schema, target: &Field) -> Result<Expr> {
        let tree = reparse_expr(text)?;
        let places = Places::of(&tree);
        let given = Given { parameters: &vec![], places: &places };
        let provider = Provider::new(*self);
        let schema = DFSchema::try_from(schema.clone())?;
        forbid(&tree.tree, "DEFAULT expressions", &Places::statement(""))?;
        let scope = Scope { provider: &provider, schema: &schema, given: &given };
        scope.value(&tree.tree, target).map_err(|e| places.error(e))
    }

    /// The value of an expression without columns.
    pub(super) fn bind_constant(&self, tree: &ast::Expr, target: Option<&Field>) -> Result<ScalarValue> {
        let places = Places::statement("");
        let given = Given { parameters: &vec![], places: &places };
        let provider = Provider::new(*self);
        let schema = DFSchema::empty();
        let scope = Scope { provider: &provider, schema: &schema, given: &given };
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
        let places = insert_places(insert);
        let ((source, on_conflict, returning, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let given = Given { parameters: types, places: &places };
            let mut found = Found::new();
            let rows = source_rows(&provider, insert, &target, &columns, &defaults, &given)?;
            found_in(&rows, &mut found)?;
            let qualifier = insert.alias.clone().unwrap_or_else(|| target.name.clone());
            let schema = DFSchema::try_from_qualified_schema(qualifier.as_str(), &target.schema)?;
            let on_conflict = conflict_action(&provider, insert, &target, &schema, &given, &defaults)?;
            if let Some(ConflictAction::Update { assignments, filter }) = &on_conflict {
                for expr in assignments.iter().flatten().chain(filter) {
                    found_in_expr(expr, &mut found)?;
                }
            }
            let scope = Scope { provider: &provider, schema: &schema, given: &given };
            let returning = returning_of(&scope, insert.returning.as_deref(), &mut found)?;
            Ok(((rows, on_conflict, returning, provider.depends.into_inner()), found))
        })?;
        Ok(BoundInsert { target, source, on_conflict, returning, parameters, depends })
    }

    pub(super) fn bind_update(&self, update: &Update, oids: &[u32]) -> Result<BoundUpdate> {
        let target = self.target(&update.target, "update")?;
        let places = update_places(update);
        let trees = assignments(&target, &update.assignments, &places)?;
        let ((local, plan, returning, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let given = Given { parameters: types, places: &places };
            let mut found = Found::new();
            let named = (&update.target, update.alias.as_deref());
            let base = base_plan(&provider, named, &update.from, update.filter.as_ref(), (&update.text, &given))?;
            let alias = update.alias.clone().unwrap_or_else(|| target.name.clone());
            let values = new_values(&provider, base.schema(), &target, &trees, &given)?;
            let local =
                local_change(&provider, &target, &alias, update.from.is_empty(), update.filter.as_ref(), &given)?
                    .map(|local| Local { assignments: values.clone(), ..local })
                    .filter(|local| !local.assignments.iter().flatten().any(has_subquery));
            let (plan, returning) = changed_rows(
                &provider,
                base,
                (&target, &alias),
                Some(&values),
                update.returning.as_deref(),
                local.is_some(),
                &given,
            )?;
            found_in(&plan, &mut found)?;
            Ok(((local, plan, returning, others(provider, &target)), found))
        })?;
        Ok(BoundUpdate { target, local, plan, returning, parameters, depends })
    }

    pub(super) fn bind_delete(&self, delete: &Delete, oids: &[u32]) -> Result<BoundDelete> {
        let target = self.target(&delete.target, "delete from")?;
        let places = delete_places(delete);
        let ((local, plan, returning, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let given = Given { parameters: types, places: &places };
            let mut found = Found::new();
            let named = (&delete.target, delete.alias.as_deref());
            let base = base_plan(&provider, named, &delete.using, delete.filter.as_ref(), (&delete.text, &given))?;
            let alias = delete.alias.clone().unwrap_or_else(|| target.name.clone());
            let local =
                local_change(&provider, &target, &alias, delete.using.is_empty(), delete.filter.as_ref(), &given)?;
            let (plan, returning) = changed_rows(
                &provider,
                base,
                (&target, &alias),
                None,
                delete.returning.as_deref(),
                local.is_some(),
                &given,
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

/// There is an expression for each column, if columns are named, and none too many.
fn count_mismatch(insert: &Insert, values: &[ast::Expr], wanted: usize, given: &Given<'_>) -> Result<()> {
    if let Some(extra) = values.get(wanted) {
        let error = Error::syntax("INSERT has more expressions than target columns", None);
        return Err(given.places.pointed(error, extra.span()));
    }
    match insert.columns.get(values.len()) {
        Some((_, position)) => Err(Error::syntax("INSERT has more target columns than expressions", Some(*position))),
        None => Ok(()),
    }
}

/// The result columns of a query that are expressions.
fn items(query: &ast::Query) -> Vec<ast::Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return vec![] };
    let item = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => Some(e.clone()),
        _ => None,
    };
    select.projection.iter().map(item).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn insert_places(insert: &Insert) -> Places<'_> {
    let mut places = Places::statement(&insert.text);
    if let Some(source) = &insert.source {
        places = places.and(source.tree.as_ref());
    }
    if let Some(update) = insert.on_conflict.as_ref().and_then(|on| on.update.as_ref()) {
        places = places.and(&update.assignments).and(&update.filter);
    }
    places.and(&insert.returning)
}

fn update_places(update: &Update) -> Places<'_> {
    let places = Places::statement(&update.text).and(&update.assignments).and(&update.from).and(&update.filter);
    filtered(places, update.filter.as_ref()).and(&update.returning)
}

fn delete_places(delete: &Delete) -> Places<'_> {
    let places = Places::statement(&delete.text).and(&delete.using).and(&delete.filter);
    filtered(places, delete.filter.as_ref()).and(&delete.returning)
}

fn filtered<'a>(mut places: Places<'a>, filter: Option<&ast::Expr>) -> Places<'a> {
    if let Some(filter) = filter {
        places.condition("WHERE", filter);
    }
    places
}

/// The rows to insert, with all of the target's columns.
fn source_rows(
    provider: &Provider<'_>,
    insert: &Insert,
    target: &Object,
    columns: &[usize],
    defaults: &[Expr],
    given: &Given<'_>,
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
        _ => return source_query(provider, query, insert, target, columns, defaults, given),
    };
    let empty = DFSchema::empty();
    let scope = Scope { provider, schema: &empty, given };
    let width = values.rows.first().map_or(0, |r| r.content.len());
    count_mismatch(insert, values.rows.first().map_or(&[], |r| &r.content), columns.len(), given)?;
    let mut rows = Vec::with_capacity(values.rows.len());
    for values in &values.rows {
        if values.content.len() != width {
            let error = Error::syntax("VALUES lists must all be the same length", None);
            return Err(given.places.pointed(error, values.content.first().map_or(Span::empty(), Spanned::span)));
        }
        let mut row = defaults.to_vec();
        for (tree, &column) in values.content.iter().zip(columns) {
            if !is_default(tree) {
                forbid(tree, "VALUES", given.places)?;
                let value = scope.value(tree, target.schema.field(column));
                row[column] = value.map_err(|e| given.places.error_in(e, tree))?;
            }
        }
        rows.push(row);
    }
    // The columns' types are known: that some rows say more of theirs does not matter.
    let fields = target.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>()))?);
    let values = LogicalPlanBuilder::values_with_schema(rows, &schema);
    Ok(values.and_then(|b| named_as(b, target)).and_then(LogicalPlanBuilder::build)?)
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
    given: &Given<'_>,
) -> Result<LogicalPlan> {
    let source = plan(provider, query, given.parameters, false)?;
    let width = source.schema().fields().len();
    let trees = items(&query.tree);
    if trees.len() == width {
        count_mismatch(insert, &trees, columns.len(), given)?;
    } else if width > columns.len() {
        return Err(Error::syntax("INSERT has more expressions than target columns", None));
    } else if let Some((_, position)) = insert.columns.get(width) {
        return Err(Error::syntax("INSERT has more target columns than expressions", Some(*position)));
    }
    let constants = match &source {
        LogicalPlan::Projection(p) => p.expr.clone(),
        _ => vec![],
    };
    let schema = source.schema().clone();
    let scope = Scope { provider, schema: &schema, given };
    let mut row = defaults.to_vec();
    for (n, &column) in columns.iter().enumerate().take(width) {
        let to = target.schema.field(column);
        // An unknown constant of the query takes the column's type.
        let constant = constants.get(n).map(|e| e.clone().unalias()).filter(is_unknown);
        let expr = constant.unwrap_or_else(|| Expr::Column(Column::from(schema.qualified_field(n))));
        row[column] = scope.typer().assign(expr, to).map_err(|e| match trees.get(n) {
            Some(tree) => given.places.error_in(e, tree),
            None => given.places.error(e),
        })?;
    }
    let exprs = row.into_iter().zip(target.schema.fields()).map(|(e, f)| e.alias(f.name())).collect::<Vec<_>>();
    let projected = LogicalPlanBuilder::from(source).project(exprs).and_then(LogicalPlanBuilder::build)?;
    Ok(projected)
}

fn returning_of(scope: &Scope<'_, '_>, items: Option<&[SelectItem]>, found: &mut Found) -> Result<Option<Returning>> {
    let Some(items) = items else { return Ok(None) };
    let returning = returned(scope, items)?;
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
    given: &Given<'_>,
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
    let scope = Scope { provider, schema: &schema, given };
    let places = given.places;
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
    for (column, tree) in assignments(target, &update.assignments, places)? {
        values[column] = Some(if is_default(&tree) {
            defaults[column].clone()
        } else {
            forbid(&tree, "UPDATE", places)?;
            let mut tree = tree;
            let _ = tree.visit(&mut Excluded);
            let value = scope.value(&tree, target.schema.field(column)).and_then(qualified);
            value.map_err(|e| places.error_in(e, &tree))?
        });
    }
    let filter = update.filter.clone().map(|mut tree| {
        forbid(&tree, "WHERE", places)?;
        let _ = tree.visit(&mut Excluded);
        scope.condition(&tree).and_then(qualified).map_err(|e| places.error(e))
    });
    Ok(Some(ConflictAction::Update { assignments: values, filter: filter.transpose()? }))
}
