//! Queries: syntax -> plan -> typed plan -> analyzed plan.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{GroupingSet, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Volatility};
use datafusion::optimizer::Analyzer;
use datafusion::scalar::ScalarValue;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;

use super::lazy::lazy;
use super::names::visible;
use super::places::Places;
use super::prepare::prepare;
use super::provider::{Provider, options};
use super::subqueries::as_values;
use super::typing::{Typer, is_unknown, plain, type_name};
use super::{Binder, BoundQuery, BoundView, clauses, group_windows, keys, moment};
use crate::catalog::{Relation, SystemRelation};
use crate::data::types::{self, by_oid};
use crate::error::{Error, Result, SqlState};
use crate::functions::cast::canonical;
use crate::sql::statement::Query;
use crate::sql::{optimize, parser};

/// Parameter types: known ones by index.
pub(super) type Parameters = Vec<Option<FieldRef>>;

/// The types that a client gave; 0 is unknown.
pub(super) fn given(oids: &[u32]) -> Result<Parameters> {
    let one = |(n, oid): (usize, &u32)| match *oid {
        // A record's fields are known only to the place where it stands.
        0 | 705 | types::RECORD | types::RECORDS => Ok(None),
        oid => match by_oid(oid) {
            Some(field) => Ok(Some(Arc::new(field.with_name(format!("${}", n + 1)).with_nullable(true)))),
            None => {
                let message = format!("type with OID {oid} does not exist");
                Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
            }
        },
    };
    oids.iter().enumerate().map(one).collect()
}

/// Binds with the parameter types that are known, learns the others, and binds again with all of them.
pub(super) fn with_parameters<T>(
    oids: &[u32],
    bind: impl Fn(&Parameters) -> Result<(T, HashMap<String, Option<FieldRef>>)>,
) -> Result<(T, Vec<Field>)> {
    let mut types = given(oids)?;
    let (mut bound, found) = bind(&types)?;
    let index = |id: &String| id.trim_start_matches('$').parse::<usize>().ok().filter(|n| *n > 0).map(|n| n - 1);
    let highest = found.keys().filter_map(index).map(|n| n + 1).max().unwrap_or(0);
    // Of an array more dimensions may be known than its oid tells.
    for (id, field) in &found {
        if let (Some(Some(slot)), Some(field)) = (index(id).and_then(|n| types.get_mut(n)), field)
            && types::dimensions(field.data_type()) > types::dimensions(slot.data_type()).max(1)
        {
            *slot = field.clone();
        }
    }
    let missing = types.len() < highest || types.iter().any(Option::is_none);
    if missing {
        types.resize(types.len().max(highest), None);
        for (id, field) in &found {
            if let Some(slot) = index(id).and_then(|n| types.get_mut(n)).filter(|s| s.is_none()) {
                *slot = field.clone();
            }
        }
        for (n, slot) in types.iter_mut().enumerate() {
            let text = || Arc::new(Field::new(format!("${}", n + 1), DataType::Utf8, true));
            *slot = Some(slot.take().filter(|f| !f.data_type().is_null()).unwrap_or_else(text));
        }
        bound = bind(&types)?.0;
    }
    let fields = types.into_iter().flatten().map(|f| f.as_ref().clone());
    Ok((bound, fields.collect()))
}

/// The planner over a provider.
pub(super) fn planner<'p, 'a>(provider: &'p Provider<'a>) -> SqlToRel<'p, Provider<'a>> {
    SqlToRel::new_with_options(provider, ParserOptions::from(&options().sql_parser))
}

/// DataFusion's plan of a query, not yet typed.
fn raw_plan(provider: &Provider<'_>, mut tree: ast::Query, parameters: &Parameters) -> DfResult<LogicalPlan> {
    super::values::matched(&mut tree, provider, parameters)?;
    super::stars::written_out(&mut tree, provider, parameters);
    let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.clone());
    let statement = ast::Statement::Query(Box::new(tree));
    as_values(planner(provider).sql_statement_to_plan_with_context(statement, &mut context)?)
}

/// A plan with PostgreSQL's types, analyzed, with columns of types that columns may have.
pub(super) fn plan(
    provider: &Provider<'_>,
    query: &Query,
    parameters: &Parameters,
    in_view: bool,
) -> Result<LogicalPlan> {
    provider.in_view.set(in_view);
    let places = Places::of(query);
    let mut tree = query.tree.as_ref().clone();
    clauses::check(&tree, &places)?;
    prepare(&mut tree, Some(&places))?;
    let plan = raw_plan(provider, tree, parameters).and_then(|plan| finish(provider, plan, in_view));
    plan.map_err(|e| super::records::whole_row(places.error(e), &query.tree))
}

/// Types, laziness, moments; then DataFusion's analyzer, and key forms.
pub(super) fn finish(provider: &Provider<'_>, plan: LogicalPlan, in_view: bool) -> DfResult<LogicalPlan> {
    let typed = group_windows::assign(typed(provider, plan, in_view)?)?;
    let analyzed = Analyzer::new().execute_and_check(typed, options(), |_, _| {})?;
    columns_only(keys::keyed(analyzed)?)
}

/// What DataFusion calls a list that an UNNEST above expands.
const UNNEST_PLACEHOLDER: &str = "__unnest_placeholder(";

fn typed(provider: &Provider<'_>, plan: LogicalPlan, in_view: bool) -> DfResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let zone = &provider.binder.session.time_zone;
        let typer = Typer { zone, schema: &schema };
        let names = NamePreserver::new(&node);
        let limit = matches!(node, LogicalPlan::Limit(_));
        let filter = matches!(node, LogicalPlan::Filter(_));
        let projection = matches!(node, LogicalPlan::Projection(_));
        let one = |expr: Expr| -> DfResult<Expr> {
            let name = names.save(&expr);
            let to_unnest = projection && expr.qualified_name().1.starts_with(UNNEST_PLACEHOLDER);
            let typed = typer.expr(expr)?;
            let typed = if to_unnest { typer.flat(typed)? } else { typed };
            let typed = if limit && is_unknown(&typed) {
                typer.coerce_unknown(typed, &plain(&DataType::Int64))?
            } else if filter {
                typer.boolean(typed, "WHERE")?
            } else {
                typed
            };
            let typed = lazy(constants(provider, typed, in_view)?)?;
            Ok(name.restore(typed))
        };
        let each = |exprs: Vec<Expr>| exprs.into_iter().map(one).collect::<DfResult<Vec<Expr>>>();
        let node = node.map_expressions(|expr| {
            Ok(Transformed::yes(match expr {
                // Each key has a name of its own.
                Expr::GroupingSet(GroupingSet::Rollup(keys)) => Expr::GroupingSet(GroupingSet::Rollup(each(keys)?)),
                Expr::GroupingSet(GroupingSet::Cube(keys)) => Expr::GroupingSet(GroupingSet::Cube(each(keys)?)),
                Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                    let sets = sets.into_iter().map(each).collect::<DfResult<_>>()?;
                    Expr::GroupingSet(GroupingSet::GroupingSets(sets))
                }
                expr => one(expr)?,
            }))
        })?;
        node.map_data(|node| keys::ordered(super::unions::matched(node, zone)?)?.recompute_schema())
    })
    .map(|t| t.data)
}

/// Puts the moment of the statement in; in views refuses all that is not a function of the row.
pub(super) fn constants(provider: &Provider<'_>, expr: Expr, in_view: bool) -> DfResult<Expr> {
    expr.transform_up(|e| match &e {
        Expr::ScalarFunction(ScalarFunction { func, .. }) => {
            let volatility = func.signature().volatility;
            if in_view && volatility != Volatility::Immutable {
                return Err(unstable(func.name(), volatility).into());
            }
            match moment::constant(func, provider.binder.session) {
                Some(constant) => Ok(Transformed::yes(constant)),
                None => Ok(Transformed::no(e)),
            }
        }
        _ => Ok(Transformed::no(e)),
    })
    .map(|t| t.data)
}

fn unstable(name: &str, volatility: Volatility) -> Error {
    let what = format!("{name}() in a materialized view");
    let hint = match volatility {
        Volatility::Volatile => "Its value changes from call to call; use a column of the data.",
        _ => "Its value would have to change by itself; filter by time when you read the view.",
    };
    Error::unsupported(what, hint)
}

/// Casts result columns of types that only arise inside of plans.
fn columns_only(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let target = |f: &Field| match f.data_type() {
        DataType::Null => Some(DataType::Utf8),
        t => canonical(t),
    };
    if plan.schema().fields().iter().all(|f| target(f).is_none()) {
        return Ok(plan);
    }
    let schema = plan.schema().clone();
    let exprs = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match target(field) {
            Some(t) => datafusion::logical_expr::cast(column, t).alias_qualified(qualifier.cloned(), field.name()),
            None => column,
        }
    });
    LogicalPlanBuilder::from(plan).project(exprs.collect::<Vec<_>>())?.build()
}

/// The plan of a plain view, its columns named as the view's.
pub(super) fn inlined_view(provider: &Provider<'_>, text: &str, schema: &SchemaRef) -> Result<LogicalPlan> {
    let mut tree = *parser::reparse_query(text)?.tree;
    prepare(&mut tree, None)?;
    let plan = raw_plan(provider, tree, &vec![])?;
    let plan = columns_only(group_windows::assign(typed(provider, plan, provider.in_view.get())?)?)?;
    Ok(renamed(plan, schema.fields().iter().map(|f| f.name().clone()))?)
}

fn renamed(plan: LogicalPlan, names: impl Iterator<Item = String>) -> DfResult<LogicalPlan> {
    if let LogicalPlan::Projection(p) = plan {
        let named = p.expr.into_iter().zip(names).map(|(expr, name)| expr.unalias().alias(name));
        return Projection::try_new(named.collect(), p.input).map(LogicalPlan::Projection);
    }
    let schema = plan.schema().clone();
    let exprs = schema.iter().zip(names).map(|((qualifier, field), name)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        if qualifier.is_none() && *field.name() == name { column } else { column.alias(name) }
    });
    LogicalPlanBuilder::from(plan).project(exprs.collect::<Vec<_>>())?.build()
}

/// Result columns: visible names, types, metadata of types only.
pub(super) fn columns(plan: &LogicalPlan) -> Vec<Field> {
    plan.schema().fields().iter().map(|f| f.as_ref().clone().with_name(visible(f.name()))).collect()
}

/// Types of all `$n` in a plan.
pub(super) fn found_in(plan: &LogicalPlan, found: &mut HashMap<String, Option<FieldRef>>) -> DfResult<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found_in_expr(expr, found)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })
    .map(|_| ())
}

/// Types of all `$n` in an expression.
pub(super) fn found_in_expr(expr: &Expr, found: &mut HashMap<String, Option<FieldRef>>) -> DfResult<()> {
    expr.apply(|e| {
        if let Expr::Placeholder(p) = e {
            let slot = found.entry(p.id.clone()).or_insert(None);
            if slot.is_none() {
                slot.clone_from(&p.field);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

/// Where result columns come from.
fn origins(plan: &LogicalPlan) -> Vec<(u32, i16)> {
    let schema = plan.schema();
    (0..schema.fields().len()).map(|n| origin(plan, n).unwrap_or((0, 0))).collect()
}

fn origin(plan: &LogicalPlan, index: usize) -> Option<(u32, i16)> {
    match plan {
        LogicalPlan::Projection(p) => {
            let mut expr = p.expr.get(index)?;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            let Expr::Column(column) = expr else { return None };
            origin(&p.input, p.input.schema().index_of_column(column).ok()?)
        }
        LogicalPlan::Filter(f) => origin(&f.input, index),
        LogicalPlan::Sort(s) => origin(&s.input, index),
        LogicalPlan::Limit(l) => origin(&l.input, index),
        LogicalPlan::SubqueryAlias(a) => origin(&a.input, index),
        LogicalPlan::Join(j) => {
            let left = j.left.schema().fields().len();
            if index < left { origin(&j.left, index) } else { origin(&j.right, index - left) }
        }
        LogicalPlan::TableScan(scan) => {
            let number = scan.projection.as_ref().map_or(Some(index), |p| p.get(index).copied())?;
            let attribute = i16::try_from(number + 1).ok()?;
            if let Some(relation) = scan.source.downcast_ref::<Relation>() {
                return Some((relation.id().0, attribute));
            }
            scan.source.downcast_ref::<SystemRelation>().map(|system| (system.oid, attribute))
        }
        _ => None,
    }
}

impl Binder<'_> {
    pub(super) fn bind_query(&self, query: &Query, oids: &[u32]) -> Result<BoundQuery> {
        let ((plan, depends), parameters) = with_parameters(oids, |types| {
            let provider = Provider::new(*self);
            let plan = plan(&provider, query, types, false)?;
            let mut found = HashMap::new();
            found_in(&plan, &mut found)?;
            Ok(((plan, provider.depends.into_inner()), found))
        })?;
        Ok(BoundQuery { columns: columns(&plan), origins: origins(&plan), plan, parameters, depends })
    }

    pub(super) fn bind_view(
        &self,
        query: &Query,
        names: &[String],
        windows: impl FnOnce(LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<BoundView> {
        let provider = Provider::new(*self);
        let plan = plan(&provider, query, &vec![], true)?;
        let mut found = HashMap::new();
        found_in(&plan, &mut found)?;
        no_parameter(query, found.keys())?;
        let names = view_names(&plan, names)?;
        let plan = optimize::for_view(windows(renamed(plan, names.into_iter())?)?)?;
        Ok(BoundView { columns: columns(&plan), plan, depends: provider.depends.into_inner() })
    }

    pub(super) fn bind_closed_query(&self, query: &Query) -> Result<BoundQuery> {
        let bound = self.bind_query(query, &[])?;
        no_parameter(query, bound.parameters.iter().map(Field::name))?;
        Ok(bound)
    }

    pub(super) fn bind_view_columns(&self, query: &Query, names: &[String]) -> Result<BoundQuery> {
        let mut bound = self.bind_closed_query(query)?;
        let names = view_names(&bound.plan, names)?;
        bound.plan = renamed(bound.plan, names.into_iter())?;
        bound.columns = columns(&bound.plan);
        Ok(bound)
    }
}

/// Refuses a query with parameters.
fn no_parameter<'a>(query: &Query, mut found: impl Iterator<Item = &'a String>) -> Result<()> {
    if found.next().is_none() {
        return Ok(());
    }
    match parser::first_parameter(&query.text) {
        Some((name, position)) => Err(there_is_no(&name).with_position(position + query.offset)),
        None => Err(there_is_no("$1")),
    }
}

/// 42P02.
pub(crate) fn there_is_no(parameter: &str) -> Error {
    Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {parameter}"))
}

/// The names of a view's columns, which must differ.
fn view_names(plan: &LogicalPlan, given: &[String]) -> Result<Vec<String>> {
    let own: Vec<String> = plan.schema().fields().iter().map(|f| visible(f.name()).to_owned()).collect();
    if given.len() > own.len() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "CREATE VIEW specifies more column names than columns"));
    }
    let names: Vec<String> = given.iter().cloned().chain(own.into_iter().skip(given.len())).collect();
    for (n, name) in names.iter().enumerate() {
        if names[..n].contains(name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_hint("Give it another name with AS."));
        }
    }
    Ok(names)
}

/// Refuses an assignment of a type to a column that PostgreSQL refuses.
pub(super) fn assignable(from: &Field, to: &Field) -> Result<()> {
    use super::typing::{Category, category};
    let (a, b) = (category(from.data_type()), category(to.data_type()));
    let fine = from.data_type().is_null()
        || from.data_type() == to.data_type()
        || (a == b && a != Category::Other)
        || b == Category::Text
        || (a == Category::TimeOfDay && b == Category::Interval)
        || lists_assignable(from, to)
        || super::records::records_assignable(from, to);
    if fine {
        return Ok(());
    }
    let message =
        format!("column \"{}\" is of type {} but expression is of type {}", to.name(), type_name(to), type_name(from));
    Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint("You will need to rewrite or cast the expression."))
}

fn lists_assignable(from: &Field, to: &Field) -> bool {
    from.data_type().is_list() && to.data_type().is_list() && {
        let (from, to) = (types::leaf(from), types::leaf(to));
        from.data_type().is_null() || assignable(&from, &to).is_ok()
    }
}

impl Typer<'_> {
    /// An expression as a column's new value.
    pub(super) fn assign(&self, expr: Expr, to: &Field) -> DfResult<Expr> {
        if is_unknown(&expr) {
            let literal = self.coerce_unknown(expr, to)?;
            return Ok(self.bounded(literal, to)?);
        }
        let expr = self.row_assigned(expr, to)?;
        let from = self.field(&expr)?;
        assignable(&from, to)?;
        if from.data_type() == to.data_type() && to.data_type() != &DataType::Utf8 {
            return Ok(expr);
        }
        Ok(self.cast(expr, to, true)?)
    }

    /// varchar(n) takes no longer texts.
    fn bounded(&self, literal: Expr, to: &Field) -> Result<Expr> {
        match literal {
            Expr::Literal(ScalarValue::Utf8(Some(text)), m) => {
                let value = crate::data::text::string::parse_text(&text, to)?.into_owned();
                Ok(Expr::Literal(ScalarValue::Utf8(Some(value)), m))
            }
            other => Ok(other),
        }
    }
}
