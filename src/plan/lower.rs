//! DataFusion's logical plan -> [`Plan`](super::Plan), or an error that names what cannot be run incrementally.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::{self as logical, Expr, LogicalPlan, TableScan};

use super::expr::{Scalar, Scalars};
use super::node::{Filter, Plan, Project, Source, Union, Window};
use super::properties::{ColumnProperties, Properties, StateBound, WindowColumn, WindowRole};
use super::{ViewPlan, check, watermark};
use crate::catalog::object::{Emit, Kind};
use crate::catalog::object_of;
use crate::data::{Monotone, ObjectId, WatermarkExpr};
use crate::error::{Error, Result};
use crate::functions::window::WindowKind;
use crate::sql::window::WindowAssign;

/// The clauses behind a view's query, and its settings.
#[derive(Clone, Debug)]
pub struct ViewOptions {
    /// EMIT ..
    pub emit: Emit,
    /// ALLOW LATENESS, microseconds, not negative.
    pub lateness: Option<i64>,
    /// WITH (retention), microseconds, positive.
    pub retention: Option<i64>,
    /// LATE ROWS INTO.
    pub late_into: Option<LateTarget>,
    /// The session's settings (TimeZone) that the view keeps.
    pub config: Arc<ConfigOptions>,
}

/// The table that takes late rows.
#[derive(Clone, Debug)]
pub struct LateTarget {
    /// Its id.
    pub table: ObjectId,
    /// Its name, for messages.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

impl Default for ViewOptions {
    /// EMIT ON UPDATE, nothing else.
    fn default() -> Self {
        let config = Arc::new(ConfigOptions::default());
        Self { emit: Emit::OnUpdate, lateness: None, retention: None, late_into: None, config }
    }
}

/// Lowers an optimized logical plan whose scans are over `crate::catalog::relation::Relation`s.
///
/// What is known of an input (append-only, key, watermarks) comes from its catalog object.
///
/// Errors: `0A000` with a hint, naming the operator, for what cannot be run incrementally or cannot emit as asked.
pub fn lower(plan: &LogicalPlan, options: &ViewOptions) -> Result<ViewPlan> {
    let mut lowering = Lowering::new(options);
    let lateness = match options.emit {
        Emit::OnWindowClose => Some(options.lateness.unwrap_or(0)),
        // What a view does not keep takes no more rows: without a lateness of its own, a window takes them while it is kept.
        Emit::OnUpdate => options.lateness.or(options.retention),
    };
    let root = lowering.node(plan, Above { emit: options.emit, lateness })?;
    let Lowering { inputs, mut notices, .. } = lowering;
    notices.extend(check::notices(&root));
    let late_into = check::clauses(&root, options)?;
    let retention = check::retention(&root, options)?;
    let schema = open(plan.schema());
    let properties = root.properties();
    let watermarks = properties.columns.iter().enumerate();
    let watermarks = watermarks.filter_map(|(i, c)| Some((i, c.watermark.clone()?.behind_state()))).collect();
    let window = properties.columns.iter().enumerate().filter_map(|(i, c)| Some((i, c.window.as_ref()?)));
    let window_end = window.clone().find(|(_, w)| w.role == WindowRole::End).map(|(i, _)| i);
    Ok(ViewPlan {
        schema,
        key: properties.key.clone(),
        append_only: properties.append_only,
        watermarks,
        emit: options.emit,
        lateness: options.lateness,
        closing: check::closing(&root),
        window_end,
        finality: check::finality(&root),
        retention,
        late_into,
        inputs,
        notices,
        root,
    })
}

/// What the nodes above ask of a node.
#[derive(Clone, Copy)]
pub(super) struct Above {
    /// ON WINDOW CLOSE goes down to the windowed GROUP BY, through filters and projections only.
    pub emit: Emit,
    /// The lateness of the first window below.
    pub lateness: Option<i64>,
}

impl Above {
    fn updating(self) -> Self {
        Self { emit: Emit::OnUpdate, ..self }
    }
}

pub(super) struct Lowering<'a> {
    pub options: &'a ViewOptions,
    pub props: ExecutionProps,
    inputs: Vec<ObjectId>,
    /// Window nodes so far.
    windows: u64,
    /// For CREATE.
    notices: Vec<String>,
}

/// A plan's schema as streams have it: every column nullable, since the planner's promise is not checked anywhere.
pub(super) fn open(schema: &DFSchema) -> SchemaRef {
    let field = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The same, its hidden columns named as EXPLAIN shows them.
fn shown(schema: &DFSchema) -> SchemaRef {
    let field = |f: &Arc<Field>| f.as_ref().clone().with_name(crate::sql::visible(f.name()));
    Arc::new(Schema::new(open(schema).fields().iter().map(field).collect::<Vec<_>>()))
}

impl<'a> Lowering<'a> {
    pub fn new(options: &'a ViewOptions) -> Self {
        let mut props = ExecutionProps::new();
        props.config_options = Some(options.config.clone());
        Self { options, props, inputs: vec![], windows: 0, notices: vec![] }
    }
}

impl Lowering<'_> {
    /// Lowers one node and what is below it.
    pub fn node(&mut self, plan: &LogicalPlan, above: Above) -> Result<Plan> {
        if above.emit == Emit::OnWindowClose {
            check::may_close(plan)?;
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(p) => {
                let input = self.node(&p.input, above)?;
                self.project(input, &p.expr, p.input.schema(), &p.schema)
            }
            LogicalPlan::Filter(f) => {
                let input = self.node(&f.input, above)?;
                self.filter(input, &f.predicate, f.input.schema())
            }
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input, above),
            LogicalPlan::Aggregate(a) => self.aggregate(a, above),
            LogicalPlan::Distinct(logical::Distinct::All(input)) => self.distinct(input, above),
            LogicalPlan::Join(join) => self.join(join, above.updating()),
            LogicalPlan::Union(union) => self.union(union, above.updating()),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest, above.updating()),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => self.empty(empty),
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<WindowAssign>() {
                Some(assign) => self.window(assign, above),
                None => Err(Error::unsupported(
                    format!("{} in a materialized view", extension.node.name()),
                    "Rewrite the query without it.",
                )),
            },
            refused => Err(check::refusal(refused)),
        }
    }

    pub fn scalar(&self, expr: &Expr, input: &DFSchema) -> Result<Scalar> {
        Scalar::new(expr, input, &self.props)
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Plan> {
        let Some(object) = object_of(scan.source.as_ref()) else {
            return Err(Error::unsupported(
                format!("the system relation \"{}\" in a materialized view", scan.table_name),
                "Read it in a SELECT.",
            ));
        };
        if scan.fetch.is_some() {
            return Err(check::limit());
        }
        if !self.inputs.contains(&object.id) {
            self.inputs.push(object.id);
        }
        let full = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &object.schema)?;
        let mut properties = Properties::plain(open(&full));
        match &object.kind {
            Kind::Table(table) => {
                properties.append_only = table.append_only;
                properties.key = (!table.primary_key.is_empty()).then(|| table.primary_key.clone());
                if let Some(w) = &table.watermark {
                    properties.columns[w.column].watermark = Some(WatermarkExpr::source(object.id));
                }
            }
            Kind::Source(source) => {
                properties.append_only = true;
                if let Some(w) = &source.watermark {
                    properties.columns[w.column].watermark = Some(WatermarkExpr::source(object.id));
                }
            }
            Kind::MaterializedView(view) => {
                properties.append_only = view.append_only;
                properties.key.clone_from(&view.key);
                for (column, watermark) in &view.watermarks {
                    properties.columns[*column].watermark = Some(watermark.clone().behind_state());
                }
            }
            Kind::View(_) => return Err(Error::internal("a plain view was not inlined")),
            Kind::Sink(_) => return Err(Error::internal("a sink is read")),
        }
        let watermark = object.watermark().map(|w| w.expression.as_str().into());
        let name = object.name.as_str().into();
        let mut plan = Plan::Source(Source { object: object.id, name, watermark, properties });
        for filter in &scan.filters {
            plan = self.filter(plan, filter, &full)?;
        }
        let Some(projection) = &scan.projection else { return Ok(plan) };
        let columns: Vec<Expr> = projection.iter().map(|&c| Expr::Column(full.qualified_field(c).into())).collect();
        self.project(plan, &columns, &full, &scan.projected_schema)
    }

    pub fn project(&self, input: Plan, exprs: &[Expr], from: &DFSchema, to: &DFSchema) -> Result<Plan> {
        let names = input.properties().schema.clone();
        let scalar = |e: &Expr| Ok(self.scalar(e, from)?.named(e, from, &names));
        let scalars = exprs.iter().map(scalar).collect::<Result<Vec<_>>>()?;
        let columns = exprs.iter().map(|e| self.column_properties(e, from, input.properties())).collect();
        projection(input, scalars, columns, open(to))
    }

    pub fn column_properties(&self, expr: &Expr, from: &DFSchema, input: &Properties) -> ColumnProperties {
        watermark::of_expr(expr, from, input, &self.options.config)
    }

    pub fn filter(&self, input: Plan, predicate: &Expr, from: &DFSchema) -> Result<Plan> {
        let predicate = self.scalar(predicate, from)?.named(predicate, from, &input.properties().schema);
        let properties = Properties { state: StateBound::Stateless, ..input.properties().clone() };
        Ok(Plan::Filter(Filter { input: Box::new(input), predicate, properties }))
    }

    fn union(&mut self, union: &logical::Union, above: Above) -> Result<Plan> {
        let inputs = union.inputs.iter().map(|i| self.node(i, above)).collect::<Result<Vec<_>>>()?;
        let mut properties = Properties::plain(open(&union.schema));
        properties.append_only = inputs.iter().all(|i| i.properties().append_only);
        for (i, column) in properties.columns.iter_mut().enumerate() {
            let mut parts = inputs.iter().map(|p| &p.properties().columns[i]);
            let Some(first) = parts.next().cloned() else { continue };
            *column = parts.fold(first, |all, part| watermark::min(all, part, false));
        }
        Ok(Plan::Union(Union { inputs, properties }))
    }

    fn window(&mut self, assign: &WindowAssign, above: Above) -> Result<Plan> {
        let input = self.node(&assign.input, Above { emit: Emit::OnUpdate, lateness: None })?;
        let before = input.properties();
        let closing = before.columns[assign.time_column].watermark.clone();
        let lateness = above.lateness;
        if lateness.is_some() && closing.is_none() {
            return Err(check::no_watermark(assign, self.options));
        }
        if self.options.emit == Emit::OnWindowClose && lateness.is_some() {
            self.notices.extend(check::null_group(assign));
        }
        self.windows += 1;
        let node = self.windows;
        let span = assign.kind.span();
        let start = match assign.kind {
            WindowKind::Tumble { size, offset } => Monotone::Floor { size, offset },
            WindowKind::Hop { slide, size, offset } => Monotone::FirstHop { slide, size, offset },
            WindowKind::Calendar { unit } => Monotone::Truncate(unit),
        };
        let column = |role: WindowRole| {
            let window = WindowColumn { node, role, span, start: start.clone(), lateness, closing: closing.clone() };
            ColumnProperties { watermark: closing.clone().map(|w| window.bound(w)), window: Some(window) }
        };
        let mut properties = Properties::plain(shown(assign.output()));
        properties.append_only = before.append_only;
        let width = before.columns.len();
        properties.key = before.key.clone().map(|mut key| {
            if matches!(assign.kind, WindowKind::Hop { .. }) {
                key.push(width);
            }
            key
        });
        let mut columns = before.columns.clone();
        columns.push(column(WindowRole::Start));
        columns.push(column(WindowRole::End));
        if assign.window_time {
            columns.push(column(WindowRole::Time));
        }
        properties.columns = columns;
        Ok(Plan::Window(Window {
            input: Box::new(input),
            time: assign.time_column,
            kind: assign.kind,
            window_time: assign.window_time,
            keeps_nulls: assign.keeps_nulls(),
            watermark: closing,
            lateness,
            columns: None,
            panes: false,
            properties,
        }))
    }
}

/// A projection; the unique key survives when its columns do. One that changes nothing is left out, one over a mere
/// choice of columns takes its place.
pub(super) fn projection(
    input: Plan,
    mut scalars: Vec<Scalar>,
    mut columns: Vec<ColumnProperties>,
    schema: SchemaRef,
) -> Result<Plan> {
    let mut input = input;
    if let Plan::Project(below) = &input
        && let Some(chosen) = below.scalars.columns()
    {
        let from = below.input.properties().schema.clone();
        scalars = scalars.iter().map(|s| s.through(&chosen, &from)).collect::<Result<_>>()?;
        input = match input {
            Plan::Project(below) => *below.input,
            other => other,
        };
    }
    if let Plan::Window(window) = &mut input {
        unread_time(window, &scalars);
    }
    let before = input.properties();
    if scalars.len() == before.columns.len() && scalars.iter().enumerate().all(|(i, s)| s.as_column() == Some(i)) {
        return Ok(input);
    }
    for (column, scalar) in columns.iter_mut().zip(&scalars) {
        if let Some(c) = scalar.as_column() {
            column.clone_from(&before.columns[c]);
        }
    }
    // A key is as unique in its key form as in its spelling.
    let is = |s: &Scalar, c: usize| s.as_column() == Some(c) || s.as_spelled().is_some_and(|(key, _)| key == c);
    let place = |c: &usize| scalars.iter().position(|s| is(s, *c));
    let properties = Properties {
        schema,
        key: before.key.as_ref().and_then(|key| key.iter().map(place).collect()),
        append_only: before.append_only,
        columns,
        state: StateBound::Stateless,
    };
    Ok(Plan::Project(Project { input: Box::new(input), scalars: Scalars(scalars), properties }))
}

/// Leaves out a window's third column where nobody reads it, so that the spellings that have it mean the same plan.
fn unread_time(window: &mut Window, scalars: &[Scalar]) {
    let place = window.properties.columns.len() - 1;
    if !window.window_time || scalars.iter().any(|s| s.reads(place)) {
        return;
    }
    window.window_time = false;
    window.properties.columns.truncate(place);
    let fields = window.properties.schema.fields()[..place].to_vec();
    window.properties.schema = Arc::new(Schema::new(fields));
}

/// Whether a join is one that is kept incrementally.
pub(super) fn check_join(join: &logical::Join) -> Result<()> {
    let hint = "Only inner joins with equal columns are kept up to date so far.";
    let what = match join.join_type {
        JoinType::Inner if join.null_equality == NullEquality::NullEqualsNothing => return Ok(()),
        JoinType::Inner => "a join on IS NOT DISTINCT FROM",
        JoinType::Left => "LEFT JOIN",
        JoinType::Right => "RIGHT JOIN",
        JoinType::Full => "FULL JOIN",
        JoinType::LeftSemi | JoinType::RightSemi => "IN, EXISTS or INTERSECT (a semi join)",
        JoinType::LeftAnti | JoinType::RightAnti => "NOT IN, NOT EXISTS or EXCEPT (an anti join)",
        JoinType::LeftMark | JoinType::RightMark => "a subquery in a condition",
    };
    Err(Error::unsupported(format!("{what} in a materialized view"), hint))
}
