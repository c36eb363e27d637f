//! Streaming equals batch: every view is compared with its own query, run once over its named input.
//!
//! The named input is computed here, row by row, from the recorded input and in plain loops: the running maximum of each
//! WATERMARK expression, the windows of a row, and whether a row is too late for each. Only the query's parts below and
//! above the window run as batch, by DataFusion. What is in common with the engine: the parser, the planner, scalar
//! kernels, and the planner's word of which source watermarks a window's column depends on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use highwater::catalog::object::{Emit, Kind, MaterializedView, Object};
use highwater::catalog::object_of;
use highwater::data::{
    CalendarUnit, Epoch, EventTime, ObjectId, Partition, PartitionWatermark, Recast, Retention, WatermarkExpr,
    WatermarkVector,
};
use highwater::engine::{Engine, InspectedView};
use highwater::functions::window::WindowKind;
use highwater::plan::Plan;
use highwater::runtime::{InputEpoch, ReadMode, ViewPhase};
use highwater::sql::window::WindowAssign;

use crate::bag::{Bag, compare, nullable};
use crate::database::Database;

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Compares all views with their queries over what came in so far.
pub async fn check(database: &Arc<Database>) -> Result<()> {
    let engine = &database.engine;
    let views = engine.inspect_views().map_err(text)?;
    if views.is_empty() {
        return Ok(());
    }
    let inputs = engine.runtime.inputs().await.map_err(text)?;
    let snapshot = engine.runtime.snapshot(ReadMode::Acknowledged).await.map_err(text)?;
    let mut model = Model::new(engine, &views, &inputs)?;
    let last = snapshot.epoch;
    let status = engine.runtime.status().await.map_err(text)?;
    let is_paused = |id| status.views.iter().any(|v| v.id == id && v.phase == ViewPhase::Paused);
    for view in views.iter().filter(|view| !is_paused(view.object.id)) {
        let Some(expected) = model.kept(view.object.id, last, last).await? else { continue };
        let mut actual = snapshot.version(view.object.id, &view.object.name).and_then(|v| v.batches()).map_err(text)?;
        let mut expected = expected;
        if let Kind::MaterializedView(MaterializedView { kept: Some(until), .. }) = view.object.kind
            && let Some(window) = &view.plan.finality
        {
            // What is from before it was rebuilt is as it was.
            expected = later(&expected, window, until)?;
            actual = actual.iter().map(|rows| later(rows, window, until)).collect::<Result<_>>()?;
        }
        compare(&[expected], &actual).map_err(|difference| {
            format!("view \"{}\" is not its query over its named input at epoch {last}: {difference}", view.object.name)
        })?;
        database.compared();
    }
    Ok(())
}

/// The rows of windows that end later.
fn later(rows: &RecordBatch, window: &Retention, until: i64) -> Result<RecordBatch> {
    let bounds = micros(rows.column(window.column))?;
    let is_later = |i: usize| bounds.is_null(i) || window.to_end.end(bounds.value(i)) > until;
    let is_later: arrow::array::BooleanArray = (0..rows.num_rows()).map(|i| Some(is_later(i))).collect();
    arrow::compute::filter_record_batch(rows, &is_later).map_err(text)
}

/// The changes of one table or source in one epoch, each with the watermark of its source just before it.
struct Input {
    epoch: Epoch,
    rows: RecordBatch,
    diffs: Vec<i64>,
    before: Vec<i64>,
}

struct Model<'a> {
    engine: &'a Arc<Engine>,
    views: BTreeMap<ObjectId, &'a InspectedView>,
    schemas: BTreeMap<ObjectId, SchemaRef>,
    tables: BTreeMap<ObjectId, bool>,
    changes: BTreeMap<ObjectId, Vec<Input>>,
    /// At the end of each epoch.
    vectors: BTreeMap<Epoch, WatermarkVector>,
    joined: HashMap<ObjectId, Epoch>,
    done: HashMap<(ObjectId, Epoch), Option<RecordBatch>>,
    /// When the view that is computed joined: of what passes only once it has what came after.
    since: Epoch,
}

impl<'a> Model<'a> {
    /// Computes all watermarks anew, row by row, and holds them against what the engine says.
    fn new(engine: &'a Arc<Engine>, views: &'a [InspectedView], inputs: &[InputEpoch]) -> Result<Self> {
        let mut model = Self {
            engine,
            views: views.iter().map(|v| (v.object.id, v)).collect(),
            schemas: BTreeMap::new(),
            tables: BTreeMap::new(),
            changes: BTreeMap::new(),
            vectors: BTreeMap::new(),
            joined: HashMap::new(),
            done: HashMap::new(),
            since: Epoch(0),
        };
        let catalog = engine.catalog.snapshot();
        let mut own = WatermarkVector::default();
        for input in inputs {
            model.joined.extend(input.joined.iter().map(|v| (*v, input.epoch)));
            for (id, changes) in &input.inputs {
                let Some(object) = catalog.get(*id) else { continue };
                model.schemas.insert(*id, object.schema.clone());
                model.tables.insert(*id, matches!(object.kind, Kind::Table(_)));
                let partition = Partition { source: *id, index: 0 };
                for batch in changes {
                    let mut now = own.0.get(&partition).map_or(EventTime::MIN, |w| w.watermark);
                    let before = judge_rows(object, &batch.rows, |i| batch.diff(i), &mut now)?;
                    if object.watermark().is_some() {
                        own.0.insert(partition, PartitionWatermark { watermark: now, idle: false });
                    }
                    let diffs = (0..batch.len()).map(|i| batch.diff(i)).collect();
                    let rows = batch.rows.clone();
                    model.changes.entry(*id).or_default().push(Input { epoch: input.epoch, rows, diffs, before });
                }
            }
            agree(&mut own, &input.watermarks, input.epoch)?;
            model.vectors.insert(input.epoch, own.clone());
        }
        Ok(model)
    }

    /// The watermarks at the end of an epoch.
    fn vector(&self, epoch: Epoch) -> WatermarkVector {
        self.vectors.range(..=epoch).next_back().map(|(_, v)| v.clone()).unwrap_or_default()
    }

    /// What a view should show at an epoch; `None` where the model does not reach.
    async fn view(&mut self, id: ObjectId, epoch: Epoch) -> Result<Option<RecordBatch>> {
        if let Some(done) = self.done.get(&(id, epoch)) {
            return Ok(done.clone());
        }
        let joined = self.joined.get(&id).copied().unwrap_or(Epoch(0));
        let outer = std::mem::replace(&mut self.since, joined);
        let result = Box::pin(self.compute(id, epoch)).await;
        self.since = outer;
        result
    }

    /// The same, without the rows whose retention was over at an epoch.
    async fn kept(&mut self, id: ObjectId, epoch: Epoch, left: Epoch) -> Result<Option<RecordBatch>> {
        let Some(rows) = self.view(id, epoch).await? else { return Ok(None) };
        let Some(retention) = self.views.get(&id).and_then(|v| v.plan.retention.as_ref()) else {
            return Ok(Some(rows));
        };
        let now = retention.closing.at(&self.vector(left)).0;
        let bounds = micros(rows.column(retention.column))?;
        let stays = |i: usize| {
            let end = retention.to_end.end(bounds.value(i));
            bounds.is_null(i) || now == i64::MIN || end.saturating_add(retention.after) > now
        };
        let stays: arrow::array::BooleanArray = (0..rows.num_rows()).map(|i| Some(stays(i))).collect();
        arrow::compute::filter_record_batch(&rows, &stays).map(Some).map_err(text)
    }

    async fn compute(&mut self, id: ObjectId, epoch: Epoch) -> Result<Option<RecordBatch>> {
        let Some(view) = self.views.get(&id).copied() else { return Ok(None) };
        // Streams of one generator are caught up outside of epochs when a view joins: not recorded row by row.
        let grouped = |id: &ObjectId| self.engine.catalog.snapshot().get(*id).is_some_and(|o| is_of(o, "nexmark"));
        if scanned(&view.query).iter().any(grouped) {
            return Ok(None);
        }
        let mut plan = view.query.clone();
        let windows = judged_windows(&view.plan.root);
        if !windows.is_empty() {
            let mut found = Vec::new();
            first_windows(&plan, &mut found);
            if found.len() != windows.len() {
                return Ok(None);
            }
            let mut tables = Vec::new();
            for (assign, judged) in found.iter().zip(&windows) {
                let pairs = match Box::pin(self.pairs(view, assign, judged, epoch)).await? {
                    Some(pairs) => pairs,
                    None => return Ok(None),
                };
                tables.push(pairs);
            }
            plan = replace_windows(plan, &mut tables.into_iter())?;
        }
        let result = Box::pin(self.run(&plan, epoch)).await?;
        self.done.insert((id, epoch), result.clone());
        Ok(result)
    }

    /// A plan's rows over what its inputs hold at an epoch.
    async fn run(&mut self, plan: &LogicalPlan, epoch: Epoch) -> Result<Option<RecordBatch>> {
        let mut contents = HashMap::new();
        for id in scanned(plan) {
            let rows = if self.views.contains_key(&id) {
                // It is not told that rows leave, and does not find those that had left when it joined.
                Box::pin(self.kept(id, epoch, self.since)).await?
            } else {
                Some(self.held(id, epoch)?)
            };
            let Some(rows) = rows else { return Ok(None) };
            contents.insert(id, rows);
        }
        match execute(self.engine, plan, &contents).await {
            Ok(rows) => Ok(Some(rows)),
            Err(_) => Ok(tolerant(self.engine, plan, &contents).await),
        }
    }

    /// The changes of an input up to an epoch, as the view that is computed sees them.
    fn seen(&self, id: ObjectId, epoch: Epoch) -> impl Iterator<Item = &Input> {
        let is_kept = |o: &Object| o.connector().is_some_and(|c| c.options.iter().any(|(key, _)| key == "archive"));
        let object = self.engine.catalog.snapshot().get(id).cloned();
        let passes_once = object.is_some_and(|o| is_of(&o, "socket") && !is_kept(&o));
        let since = if passes_once { self.since } else { Epoch(0) };
        let changes = self.changes.get(&id).into_iter().flatten();
        changes.filter(move |c| c.epoch <= epoch && (c.epoch > since || since == Epoch(0)))
    }

    /// All accepted rows of a table or source at an epoch.
    fn held(&self, id: ObjectId, epoch: Epoch) -> Result<RecordBatch> {
        let schema = match self.schemas.get(&id) {
            Some(schema) => schema.clone(),
            None => self.engine.catalog.snapshot().get(id).ok_or("an input that is not there")?.schema.clone(),
        };
        let mut bag = Bag::new(schema);
        for input in self.seen(id, epoch) {
            bag.add(&input.rows, |i| input.diffs[i]);
        }
        bag.batch()
    }

    /// The (row, window) pairs that one window node takes up to an epoch.
    async fn pairs(
        &mut self,
        view: &InspectedView,
        assign: &WindowAssign,
        judged: &Judged,
        epoch: Epoch,
    ) -> Result<Option<RecordBatch>> {
        let direct = judged.watermark.terms.iter().all(|t| t.direct);
        let per_epoch = judged.watermark.terms.iter().all(|t| !t.direct);
        let changes = if direct {
            self.one_by_one(view, assign, judged, epoch).await?
        } else if per_epoch {
            self.epoch_by_epoch(view, assign, judged, epoch).await?
        } else {
            None
        };
        let Some(changes) = changes else { return Ok(None) };
        let now = judged.watermark.at(&self.vector(epoch));
        let mut bag: Option<Bag> = None;
        for (rows, weight, judge) in changes {
            let (pairs, ends) = assign_windows(assign, &rows)?;
            let bag = bag.get_or_insert_with(|| Bag::new(pairs.schema()));
            bag.add(&pairs, |i| {
                let in_time = judge.is_none_or(|w| w == i64::MIN || w < ends[i].saturating_add(judged.lateness));
                let shown = view.plan.emit == Emit::OnUpdate || ends[i] <= now.0;
                if in_time && shown { weight } else { 0 }
            });
        }
        match bag {
            Some(bag) => bag.batch().map(Some),
            None => Ok(Some(RecordBatch::new_empty(window_schema(assign)))),
        }
    }

    /// Below filters, projections, unnests and unions alone: each change is judged by the watermark just before it. Changes
    /// that are judged alike go through the plan together.
    async fn one_by_one(
        &self,
        view: &InspectedView,
        assign: &WindowAssign,
        judged: &Judged,
        epoch: Epoch,
    ) -> Result<Option<Vec<(RecordBatch, i64, Option<i64>)>>> {
        let joined = self.joined.get(&view.object.id).copied().unwrap_or(Epoch(0));
        let inputs = scanned(&assign.input);
        let mut groups: Vec<(ObjectId, Option<i64>, i64, Vec<RecordBatch>)> = Vec::new();
        for id in &inputs {
            let is_table = self.tables.get(id).copied().unwrap_or(false);
            for input in self.seen(*id, epoch) {
                let others = self.vector(Epoch(input.epoch.0 - 1));
                for i in 0..input.rows.num_rows() {
                    let on_time = is_table && input.epoch <= joined;
                    let judge = (!on_time).then(|| judge(&judged.watermark, *id, input.before[i], &others));
                    let row = input.rows.slice(i, 1);
                    match groups.last_mut() {
                        Some((o, j, d, rows)) if o == id && *j == judge && *d == input.diffs[i] => rows.push(row),
                        _ => groups.push((*id, judge, input.diffs[i], vec![row])),
                    }
                }
            }
        }
        let mut result = Vec::new();
        for (id, judge, diff, rows) in groups {
            let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).map_err(text)?;
            let mut contents = self.nothing(&inputs)?;
            contents.insert(id, rows.clone());
            match execute(self.engine, &assign.input, &contents).await {
                Ok(rows) => result.push((rows, diff, judge)),
                Err(_) => {
                    for i in 0..rows.num_rows() {
                        contents.insert(id, rows.slice(i, 1));
                        if let Ok(row) = execute(self.engine, &assign.input, &contents).await {
                            result.push((row, diff, judge));
                        }
                    }
                }
            }
        }
        Ok(Some(result))
    }

    /// Below a stateful operator: what the plan gives more at epoch e than at e-1 is judged by the watermark at the end of
    /// e-1. What was there when the view joined is on time.
    async fn epoch_by_epoch(
        &mut self,
        view: &InspectedView,
        assign: &WindowAssign,
        judged: &Judged,
        epoch: Epoch,
    ) -> Result<Option<Vec<(RecordBatch, i64, Option<i64>)>>> {
        let joined = self.joined.get(&view.object.id).copied().unwrap_or(Epoch(0));
        let epochs: Vec<Epoch> = self.vectors.keys().copied().filter(|e| *e > joined && *e <= epoch).collect();
        let Some(first) = self.run(&assign.input, joined).await? else { return Ok(None) };
        let mut before = Bag::new(first.schema());
        before.add(&first, |_| 1);
        let mut result = vec![(first, 1, None)];
        for epoch in epochs {
            let Some(rows) = self.run(&assign.input, epoch).await? else { return Ok(None) };
            let mut now = Bag::new(rows.schema());
            now.add(&rows, |_| 1);
            let judge = judged.watermark.at(&self.vector(Epoch(epoch.0 - 1))).0;
            result.extend(now.since(&before).into_iter().map(|(rows, weight)| (rows, weight, Some(judge))));
            before = now;
        }
        Ok(Some(result))
    }

    fn nothing(&self, inputs: &[ObjectId]) -> Result<HashMap<ObjectId, RecordBatch>> {
        inputs.iter().map(|id| Ok((*id, self.held(*id, Epoch(0))?))).collect()
    }
}

fn is_of(object: &Object, connector: &str) -> bool {
    matches!(object.kind, Kind::Source(_)) && object.connector().is_some_and(|c| c.connector == connector)
}

/// The watermark just before each row of a batch, and in `now` the one after all of them.
fn judge_rows(
    object: &Object,
    rows: &RecordBatch,
    diff: impl Fn(usize) -> i64,
    now: &mut EventTime,
) -> Result<Vec<i64>> {
    let Some(watermark) = object.watermark() else { return Ok(vec![now.0; rows.num_rows()]) };
    let delay = delay(&watermark.expression, object.schema.field(watermark.column).name())?;
    let time = micros(rows.column(watermark.column))?;
    let mut before = Vec::with_capacity(rows.num_rows());
    for i in 0..rows.num_rows() {
        before.push(now.0);
        if diff(i) > 0 && time.is_valid(i) && time.value(i) != i64::MAX {
            *now = (*now).max(EventTime(time.value(i).saturating_sub(delay)));
        }
    }
    Ok(before)
}

/// `ts` or `ts - INTERVAL '..'`: microseconds taken off.
fn delay(expression: &str, column: &str) -> Result<i64> {
    let rest = expression.trim().trim_matches('"').strip_prefix(column).unwrap_or(expression);
    let rest = rest.trim_start_matches('"').trim();
    if rest.is_empty() {
        return Ok(0);
    }
    let words = rest.trim_start_matches('-').trim().trim_start_matches("INTERVAL").trim_start_matches("interval");
    let mut parts = words.trim().splitn(3, '\'');
    let (_, number, unit) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let interval = highwater::data::text::interval::parse_interval(&format!("{number} {}", unit.trim().to_lowercase()))
        .map_err(|e| format!("{expression}: {e:?}"))?;
    Ok(i64::from(interval.days) * 86_400_000_000 + interval.nanoseconds / 1000)
}

fn micros(array: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    match array.data_type() {
        DataType::Timestamp(..) => {
            Ok(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<&str>))
        }
        other => Err(format!("event time of type {other}")),
    }
}

/// Holds the model's watermarks against the engine's. What the model can't know (the end of a source, a watermark moved by
/// hand) only ever lies further ahead, and is taken over.
fn agree(own: &mut WatermarkVector, engine: &WatermarkVector, epoch: Epoch) -> Result<()> {
    for (partition, theirs) in &engine.0 {
        let ours = own.0.entry(*partition).or_insert(PartitionWatermark { watermark: EventTime::MIN, idle: false });
        if theirs.watermark < ours.watermark {
            return Err(format!("watermark of {partition:?} at {epoch}: {theirs:?}, by hand {ours:?}"));
        }
        *ours = *theirs;
    }
    Ok(())
}

/// By what a row of `source` is judged whose source stood at `before`: other sources as at the end of the epoch before.
fn judge(watermark: &WatermarkExpr, source: ObjectId, before: i64, others: &WatermarkVector) -> i64 {
    let term = |t: &highwater::data::WatermarkTerm| {
        let at = if t.source == source { EventTime(before) } else { others.source(t.source) };
        t.functions.iter().fold(at, |at, f| f.apply(at)).0
    };
    watermark.terms.iter().map(term).min().unwrap_or(i64::MIN)
}

/// A window node that turns rows away.
struct Judged {
    watermark: WatermarkExpr,
    lateness: i64,
}

/// Those of a plan, from left to right.
fn judged_windows(plan: &Plan) -> Vec<Judged> {
    match plan {
        Plan::Window(w) => match (&w.watermark, w.lateness) {
            (Some(watermark), Some(lateness)) => vec![Judged { watermark: watermark.clone(), lateness }],
            _ => vec![],
        },
        other => other.inputs().into_iter().flat_map(judged_windows).collect(),
    }
}

/// The topmost window nodes of a logical plan, from left to right.
fn first_windows(plan: &LogicalPlan, found: &mut Vec<WindowAssign>) {
    match window_of(plan) {
        Some(assign) => found.push(assign.clone()),
        None => plan.inputs().into_iter().for_each(|input| first_windows(input, found)),
    }
}

fn window_of(plan: &LogicalPlan) -> Option<&WindowAssign> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<WindowAssign>(),
        _ => None,
    }
}

fn scanned(plan: &LogicalPlan) -> Vec<ObjectId> {
    let mut ids: Vec<ObjectId> = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(object) = object_of(scan.source.as_ref())
            && !ids.contains(&object.id)
        {
            ids.push(object.id);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    ids
}

/// Puts tables of pairs where the topmost window nodes are.
fn replace_windows(plan: LogicalPlan, tables: &mut impl Iterator<Item = RecordBatch>) -> Result<LogicalPlan> {
    let replaced = plan.transform_down(|node| {
        if window_of(&node).is_none() {
            return Ok(Transformed::no(node));
        }
        let rows = tables.next().expect("as many tables as windows");
        let scan = scan_of(&node, &rows);
        Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
    });
    replaced.map(|t| t.data).map_err(text)
}

/// Runs a plan as batch, its scans over given rows.
async fn execute(
    engine: &Engine,
    plan: &LogicalPlan,
    contents: &HashMap<ObjectId, RecordBatch>,
) -> Result<RecordBatch> {
    let executor = engine.executor();
    let live = engine.catalog.snapshot();
    let mut provide = |source: &Arc<dyn datafusion::logical_expr::TableSource>| {
        let Some(object) = object_of(source.as_ref()) else { return Ok(None) };
        let Some(rows) = contents.get(&object.id) else { return Ok(None) };
        let schema = nullable(&object.schema);
        let mut columns = rows.columns().to_vec();
        if let Some(now) = live.get(object.id).map(|o| o.shape()).filter(|now| now.numbers != object.shape().numbers) {
            // The table was altered after the view was created.
            columns = Recast::new(&now, &object.shape(), |_| None).rows(rows)?.columns().to_vec();
        }
        let rows = RecordBatch::try_new(schema.clone(), columns)?;
        let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(schema, vec![vec![rows]])?);
        Ok(Some(table))
    };
    let plan = executor.with_sources(plan.clone(), &mut provide).map_err(text)?;
    let physical = executor.physical_plan(&plan, &highwater::sql::interrupt::never()).await.map_err(text)?;
    let schema = physical.schema();
    let batches = datafusion::physical_plan::collect(physical, executor.task()).await.map_err(text)?;
    let schema = nullable(&schema);
    let batches: Vec<RecordBatch> = batches
        .into_iter()
        .map(|b| RecordBatch::try_new(schema.clone(), b.columns().to_vec()))
        .collect::<std::result::Result<_, _>>()
        .map_err(text)?;
    arrow::compute::concat_batches(&schema, &batches).map_err(text)
}

/// Runs a plan node by node; a row in which one of a node's expressions fails, when it is alone, is no input of that node.
/// `None` where a node fails otherwise.
async fn tolerant(
    engine: &Engine,
    plan: &LogicalPlan,
    contents: &HashMap<ObjectId, RecordBatch>,
) -> Option<RecordBatch> {
    let mut inputs = Vec::new();
    for input in plan.inputs() {
        inputs.push(Box::pin(tolerant(engine, input, contents)).await?);
    }
    if inputs.is_empty() {
        return execute(engine, plan, contents).await.ok();
    }
    let run = async |inputs: &[RecordBatch]| {
        let scans: Vec<LogicalPlan> = plan.inputs().iter().zip(inputs).map(|(p, rows)| scan_of(p, rows)).collect();
        let node = plan.with_new_exprs(plan.expressions(), scans).map_err(text)?;
        execute(engine, &node, contents).await
    };
    if let Ok(rows) = run(&inputs).await {
        return Some(rows);
    }
    let [rows] = inputs.as_slice() else { return None };
    let mut good = Vec::new();
    for i in 0..rows.num_rows() {
        good.push(run(&[rows.slice(i, 1)]).await.is_ok());
    }
    let rows = arrow::compute::filter_record_batch(rows, &good.into()).ok()?;
    run(&[rows]).await.ok()
}

/// A scan of given rows that has the schema of a plan.
fn scan_of(plan: &LogicalPlan, rows: &RecordBatch) -> LogicalPlan {
    let fields = rows
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(i, f)| f.as_ref().clone().with_name(format!("c{i}")))
        .collect::<Vec<_>>();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let build = || {
        let rows = RecordBatch::try_new(schema.clone(), rows.columns().to_vec())?;
        let table = MemTable::try_new(schema.clone(), vec![vec![rows]])?;
        let scan = LogicalPlanBuilder::scan("pairs", provider_as_source(Arc::new(table)), None)?.build()?;
        let columns = plan.schema().iter().enumerate().map(|(i, (qualifier, field))| {
            Expr::from(datafusion::common::Column::new(Some("pairs"), format!("c{i}")))
                .alias_qualified(qualifier.cloned(), field.name())
        });
        let projection = Projection::try_new_with_schema(columns.collect(), Arc::new(scan), plan.schema().clone())?;
        Ok::<_, datafusion::error::DataFusionError>(LogicalPlan::Projection(projection))
    };
    build().expect("rows of the plan's schema")
}

fn window_schema(assign: &WindowAssign) -> SchemaRef {
    nullable(&Arc::new(assign.output().as_arrow().clone()))
}

/// Each row with each of its windows, and per pair the window's end. Plain arithmetic: window k is
/// `[offset + k * slide, offset + k * slide + size)`. Below GROUP BY date_bin, a row without event time is in a window
/// without bounds, which ends with event time.
fn assign_windows(assign: &WindowAssign, rows: &RecordBatch) -> Result<(RecordBatch, Vec<i64>)> {
    let time = micros(rows.column(assign.time_column))?;
    let (mut indices, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..rows.num_rows() {
        let row = u32::try_from(i).map_err(text)?;
        if time.is_null(i) {
            if assign.keeps_nulls() {
                indices.push(row);
                starts.push(None);
                ends.push(None);
            }
            continue;
        }
        let windows = match time.value(i) {
            // The infinities have bins of their own, before and behind all others, and are in no other windows.
            infinite @ (i64::MIN | i64::MAX) if assign.keeps_nulls() => {
                vec![(infinite, infinite.clamp(-i64::MAX, i64::MAX - 1))]
            }
            i64::MIN | i64::MAX => vec![],
            time => windows_of(assign.kind, time)?,
        };
        for (start, end) in windows {
            indices.push(row);
            starts.push(Some(start));
            ends.push(Some(end));
        }
    }
    let pairs = arrow::compute::take_record_batch(rows, &UInt32Array::from(indices)).map_err(text)?;
    let mut columns = pairs.columns().to_vec();
    let zone = match rows.column(assign.time_column).data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let mut push = |values: Vec<Option<i64>>| {
        columns.push(Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone.clone())) as ArrayRef);
    };
    push(starts);
    push(ends.clone());
    if assign.window_time {
        push(ends.iter().map(|e| e.map(|e| e - 1)).collect());
    }
    let pairs = RecordBatch::try_new(window_schema(assign), columns).map_err(text)?;
    Ok((pairs, ends.into_iter().map(|e| e.unwrap_or(i64::MAX)).collect()))
}

/// The windows that hold a point of time.
fn windows_of(kind: WindowKind, time: i64) -> Result<Vec<(i64, i64)>> {
    let (slide, size, offset) = match kind {
        WindowKind::Tumble { size, offset } => (size, size, offset),
        WindowKind::Hop { slide, size, offset } => (slide, size, offset),
        WindowKind::Calendar { unit } => return calendar(unit, time).map(|window| vec![window]).ok_or("a date".into()),
    };
    let last = (time - offset).div_euclid(slide) * slide + offset;
    let starts = std::iter::successors(Some(last), |start| Some(start - slide));
    Ok(starts.take_while(|start| start + size > time).map(|start| (start, start + size)).collect())
}

/// The month, quarter or year that holds a point of time.
fn calendar(unit: CalendarUnit, time: i64) -> Option<(i64, i64)> {
    use chrono::{DateTime, Datelike, Months, NaiveTime};
    let date = DateTime::from_timestamp_micros(time)?.date_naive().with_day(1)?;
    let (start, months) = match unit {
        CalendarUnit::Month => (date, 1),
        CalendarUnit::Quarter => (date.with_month0(date.month0() / 3 * 3)?, 3),
        CalendarUnit::Year => (date.with_month(1)?, 12),
    };
    let micros = |date: chrono::NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    Some((micros(start), micros(start.checked_add_months(Months::new(months))?)))
}
