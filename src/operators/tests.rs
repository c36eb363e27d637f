//! Every operator against naive recomputation: random histories run through [`Harness`], DataFusion's batch answer over
//! the named input beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::prelude::SessionContext;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Output;
use super::fault::{self, Fault};
use super::harness::Harness;
use crate::catalog::Relation;
use crate::catalog::object::{Emit, Kind, Object, Table, Watermark};
use crate::data::types::timestamp;
use crate::data::{Arrival, Changes, EventTime, Late, ObjectId, Partition, PartitionWatermark, WatermarkVector, floor};
use crate::functions::window::WindowKind;
use crate::plan::{ViewOptions, ViewPlan, explain, lower};
use crate::spill::{Holder, Memory};
use crate::sql::window::WindowAssign;

const T: ObjectId = ObjectId(1);
const U: ObjectId = ObjectId(2);
const DELAY: i64 = 5;
const TUMBLE: WindowKind = WindowKind::Tumble { size: 10, offset: 0 };
const HOP: WindowKind = WindowKind::Hop { slide: 5, size: 15, offset: 2 };

/// The seeds of histories whose states do not fit into memory.
const SPILLED: u64 = 5;
const PARTLY_SPILLED: u64 = 6;

/// (k, v, f, s, ts)
type TRow = (i32, Option<i64>, f64, &'static str, i64);
/// (k, w)
type URow = (Option<i32>, i64);

fn t_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int32, true),
        Field::new("v", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("ts", timestamp(), true),
    ]))
}

fn u_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, true), Field::new("w", DataType::Int64, true)]))
}

fn t_columns(rows: &[TRow]) -> Vec<ArrayRef> {
    vec![
        // Key 9 stands for NULL.
        Arc::new(rows.iter().map(|r| (r.0 != 9).then_some(r.0)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.3)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| Some(r.4)).collect::<TimestampMicrosecondArray>()),
    ]
}

fn t_batch(rows: &[TRow]) -> RecordBatch {
    RecordBatch::try_new(t_schema(), t_columns(rows)).unwrap()
}

fn u_batch(rows: &[URow]) -> RecordBatch {
    let k: ArrayRef = Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>());
    let w: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<Int64Array>());
    RecordBatch::try_new(u_schema(), vec![k, w]).unwrap()
}

/// Rows of a window over t: with their window starts.
fn w_batch(rows: &[(TRow, i64)], kind: WindowKind) -> RecordBatch {
    let bare: Vec<TRow> = rows.iter().map(|r| r.0).collect();
    let mut columns = t_columns(&bare);
    columns.push(Arc::new(rows.iter().map(|r| Some(r.1)).collect::<TimestampMicrosecondArray>()));
    columns.push(Arc::new(rows.iter().map(|r| Some(r.1 + kind.size())).collect::<TimestampMicrosecondArray>()));
    let mut fields: Vec<Field> = t_schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("window_start", timestamp(), true));
    fields.push(Field::new("window_end", timestamp(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A view and what it should be.
#[derive(Clone, Copy)]
struct Case {
    sql: &'static str,
    /// The same without rows that fail; empty: the same.
    batch: &'static str,
    emit: Emit,
    lateness: Option<i64>,
    append_only: bool,
}

const fn case(sql: &'static str) -> Case {
    Case { sql, batch: "", emit: Emit::OnUpdate, lateness: None, append_only: false }
}

const fn windowed(sql: &'static str, emit: Emit, lateness: Option<i64>) -> Case {
    Case { sql, batch: "", emit, lateness, append_only: false }
}

const AGGREGATES: &str =
    "SELECT k, count(*), count(v), sum(v), min(v), max(v), avg(f), sum(f), min(s), max(s), max(f) FROM t GROUP BY k";
const BY_TUMBLE: &str = "SELECT window_start, window_end, k, count(*) AS n, sum(v), max(v), avg(f) FROM tw GROUP BY window_start, window_end, k";
const BY_HOP: &str = "SELECT window_end, s, count(*) AS n, min(v) FROM hw GROUP BY window_end, s";
const NESTED: &str = "SELECT window_end, max(n) FROM (SELECT window_end, k, count(*) AS n FROM hw GROUP BY window_end, k) GROUP BY window_end";

const CASES: &[Case] = &[
    case("SELECT k, v * 2 AS d, s FROM t WHERE v > 1"),
    case(AGGREGATES),
    Case { append_only: true, ..case(AGGREGATES) },
    case("SELECT count(*), sum(v), min(s), avg(v) FROM t"),
    case("SELECT count(*) FROM t WHERE k = 77"),
    case("SELECT DISTINCT k, s FROM t"),
    Case { append_only: true, ..case("SELECT DISTINCT s FROM t") },
    case("SELECT t.k, v, w FROM t JOIN u ON t.k = u.k AND t.v < u.w"),
    case("SELECT a.k, b.v FROM t a JOIN t b ON a.k + 1 = b.k"),
    case("SELECT k, v FROM t UNION ALL SELECT k, w FROM u UNION ALL SELECT 3, 4"),
    case(
        "SELECT k, count(DISTINCT v), sum(DISTINCT v), count(*) FILTER (WHERE s = 'a') FROM t GROUP BY k HAVING count(*) > 1",
    ),
    Case { batch: "SELECT k, 12 / v AS q FROM t WHERE v <> 0 OR v IS NULL", ..case("SELECT k, 12 / v AS q FROM t") },
    case(
        "SELECT c.k, c.n - d.n AS b FROM (SELECT k, sum(v) AS n FROM t GROUP BY k) c JOIN (SELECT k, sum(w) AS n FROM u GROUP BY k) d ON c.k = d.k",
    ),
    case("SELECT coalesce(v, -1) AS c, CASE WHEN k > 1 THEN s ELSE 'x' END AS e FROM t"),
    case("SELECT k, unnest(make_array(v, k)) AS e FROM t"),
    windowed(BY_TUMBLE, Emit::OnUpdate, None),
    windowed(BY_TUMBLE, Emit::OnUpdate, Some(10)),
    windowed(BY_TUMBLE, Emit::OnWindowClose, None),
    windowed(BY_TUMBLE, Emit::OnWindowClose, Some(20)),
    Case { append_only: true, ..windowed(BY_TUMBLE, Emit::OnWindowClose, Some(7)) },
    windowed(BY_HOP, Emit::OnUpdate, None),
    windowed(BY_HOP, Emit::OnWindowClose, Some(10)),
    windowed(BY_HOP, Emit::OnUpdate, Some(0)),
    windowed(NESTED, Emit::OnWindowClose, Some(5)),
    windowed(NESTED, Emit::OnUpdate, None),
    windowed(
        "SELECT s, window_start, k, window_start + INTERVAL '0 seconds' AS w, window_end, sum(v) AS n FROM tw GROUP BY s, window_start, k, window_end",
        Emit::OnWindowClose,
        Some(3),
    ),
    windowed(
        "SELECT window_end, count(*) AS n FROM tw GROUP BY window_end HAVING count(*) > 2",
        Emit::OnWindowClose,
        None,
    ),
];

fn context(t: &[TRow], u: &[URow], tw: &[(TRow, i64)], hw: &[(TRow, i64)]) -> SessionContext {
    let context = SessionContext::new();
    let put = |name: &str, batch: RecordBatch| {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    };
    put("t", t_batch(t));
    put("u", u_batch(u));
    put("tw", w_batch(tw, TUMBLE));
    put("hw", w_batch(hw, HOP));
    context
}

fn relation(id: ObjectId, append_only: bool) -> Arc<dyn TableSource> {
    let watermark = (id == T).then(|| Watermark { column: 4, expression: "ts - 5us".into() });
    let (name, schema) = if id == T { ("t", t_schema()) } else { ("u", u_schema()) };
    let table = Table {
        primary_key: vec![],
        defaults: vec![],
        watermark,
        append_only,
        connector: None,
        numbers: Default::default(),
    };
    let object = Object { id, name: name.into(), schema, kind: Kind::Table(table), comment: None };
    Arc::new(Relation::new(Arc::new(object)))
}

/// The view's logical plan: scans over relations, windows as window nodes.
async fn plan(case: &Case) -> ViewPlan {
    let context = context(&[], &[], &[], &[]);
    let state = context.state();
    let logical = state.create_logical_plan(case.sql).await.unwrap();
    let logical = state.analyzer().execute_and_check(logical, state.config_options(), |_, _| {}).unwrap();
    let scan = |name: &str, id| LogicalPlanBuilder::scan(name, relation(id, case.append_only), None).unwrap();
    let swap = |node: LogicalPlan| {
        let LogicalPlan::TableScan(table) = &node else { return Ok(Transformed::no(node)) };
        let window = |kind| {
            let input = scan("t", T).build()?;
            let assign = WindowAssign::new(input, 4, kind, false)?;
            let node = LogicalPlan::Extension(Extension { node: Arc::new(assign) });
            LogicalPlanBuilder::from(node).alias(table.table_name.clone())?.build()
        };
        Ok(Transformed::yes(match table.table_name.table() {
            "t" => scan("t", T).build()?,
            "u" => scan("u", U).build()?,
            "tw" => window(TUMBLE)?,
            _ => window(HOP)?,
        }))
    };
    let logical = logical.transform_up(swap).unwrap().data;
    let options = ViewOptions { emit: case.emit, lateness: case.lateness, ..ViewOptions::default() };
    lower(&logical, &options).unwrap_or_else(|e| panic!("{}: {e:?}\n{}", case.sql, logical.display_indent()))
}

/// A multiset of printed rows.
type Bag = BTreeMap<String, i64>;

fn add(bag: &mut Bag, rows: &RecordBatch, diff: impl Fn(usize) -> i64) {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = rows.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    for i in 0..rows.num_rows() {
        let text: Vec<String> = columns.iter().map(|c| c.value(i).to_string()).collect();
        *bag.entry(text.join("|")).or_default() += diff(i);
    }
    bag.retain(|_, n| *n != 0);
}

/// One table's history as the model sees it.
struct Model {
    t: Vec<TRow>,
    u: Vec<URow>,
    /// (change, window) pairs that were not turned away, by window start.
    tumbled: Vec<(TRow, i64, i64)>,
    hopped: Vec<(TRow, i64, i64)>,
    watermark: i64,
    lateness: Option<i64>,
    accepted: u64,
    rejected: u64,
    missed: u64,
    over_hop: bool,
    joined: bool,
}

impl Model {
    /// Takes one change of t; gives the watermark before it.
    fn change(&mut self, row: TRow, diff: i64) -> i64 {
        let before = if self.joined { self.watermark } else { i64::MIN };
        for (kind, out, counted) in
            [(TUMBLE, &mut self.tumbled, !self.over_hop), (HOP, &mut self.hopped, self.over_hop)]
        {
            let last = floor(row.4, kind.slide(), kind.offset());
            let (mut closed, mut taken, mut missed) = (false, false, 0);
            for back in 0..kind.windows_per_row() {
                let start = last - back * kind.slide();
                let end = start + kind.size();
                if self.lateness.is_some_and(|d| before >= end.saturating_add(d)) {
                    missed += 1;
                } else {
                    taken = true;
                    closed |= before >= end;
                    out.push((row, start, diff));
                }
            }
            if counted {
                self.accepted += u64::from(closed);
                self.rejected += u64::from(!taken);
                self.missed += missed;
            }
        }
        if diff > 0 {
            self.t.push(row);
            self.watermark = self.watermark.max(row.4 - DELAY);
        }
        before
    }

    fn vector(&self) -> WatermarkVector {
        let entry = PartitionWatermark { watermark: EventTime(self.watermark), idle: false };
        WatermarkVector([(Partition { source: T, index: 0 }, entry)].into())
    }

    /// Pairs that sum to more than nothing.
    fn net(pairs: &[(TRow, i64, i64)]) -> Vec<(TRow, i64)> {
        let mut left: Vec<(TRow, i64, i64)> = vec![];
        for &(row, start, diff) in pairs {
            match left.iter_mut().find(|l| l.0 == row && l.1 == start) {
                Some(l) => l.2 += diff,
                None => left.push((row, start, diff)),
            }
        }
        left.into_iter().flat_map(|(row, start, n)| std::iter::repeat_n((row, start), n.max(0) as usize)).collect()
    }
}

fn changes_of(rows: &[(TRow, i64, i64)], hydration: bool) -> Changes {
    let bare: Vec<TRow> = rows.iter().map(|r| r.0).collect();
    let mut changes = if rows.iter().all(|r| r.1 == 1) {
        Changes::insertions(t_batch(&bare))
    } else {
        Changes::new(t_batch(&bare), rows.iter().map(|r| r.1).collect())
    };
    if !hydration && rows.iter().any(|r| r.0.4 < r.2) {
        let mut late = Late::default();
        rows.iter().enumerate().filter(|(_, r)| r.0.4 < r.2).for_each(|(i, r)| late.push(i, r.2));
        changes.arrival = Arrival::of(Partition { source: T, index: 0 }, late);
    }
    changes
}

struct Run<'a> {
    case: &'a Case,
    plan: &'a ViewPlan,
    rng: SmallRng,
    model: Model,
    view: Bag,
    errors: Bag,
    counters: super::Counters,
}

impl Run<'_> {
    fn random_t(&mut self, now: i64) -> TRow {
        let rng = &mut self.rng;
        let late = if rng.random_bool(0.2) { rng.random_range(0..60) } else { rng.random_range(0..6) };
        let k = if rng.random_bool(0.1) { 9 } else { rng.random_range(0..4) };
        let v = (!rng.random_bool(0.15)).then(|| rng.random_range(0..5));
        let f = f64::from(rng.random_range(-4..8)) * 0.25;
        (k, v, f, ["", "a", "b", "c"][rng.random_range(0..4)], now - late)
    }

    /// One epoch's changes, as batches.
    fn changes(&mut self, now: i64, hydration: bool) -> (Vec<Changes>, Vec<Changes>) {
        let mut t: Vec<(TRow, i64, i64)> = vec![];
        let mut u: Vec<(URow, i64)> = vec![];
        for _ in 0..self.rng.random_range(0..12) {
            let at = now + self.rng.random_range(0..8);
            let remove = !self.case.append_only && !self.model.t.is_empty() && self.rng.random_bool(0.35);
            if remove {
                let i = self.rng.random_range(0..self.model.t.len());
                let row = self.model.t.swap_remove(i);
                let before = self.model.change(row, -1);
                t.push((row, -1, before));
            } else {
                let row = self.random_t(at);
                let before = self.model.change(row, 1);
                t.push((row, 1, before));
            }
        }
        for _ in 0..self.rng.random_range(0..4) {
            if !self.case.append_only && !self.model.u.is_empty() && self.rng.random_bool(0.4) {
                let i = self.rng.random_range(0..self.model.u.len());
                u.push((self.model.u.swap_remove(i), -1));
            } else {
                let k = (!self.rng.random_bool(0.15)).then(|| self.rng.random_range(0..4));
                let row = (k, self.rng.random_range(0..6));
                self.model.u.push(row);
                u.push((row, 1));
            }
        }
        let cut = self.rng.random_range(1..8);
        let t = t.chunks(cut).map(|rows| changes_of(rows, hydration)).collect();
        let u = u.chunks(cut).map(|rows| {
            let bare: Vec<URow> = rows.iter().map(|r| r.0).collect();
            match rows.iter().all(|r| r.1 == 1) {
                true => Changes::insertions(u_batch(&bare)),
                false => Changes::new(u_batch(&bare), rows.iter().map(|r| r.1).collect()),
            }
        });
        (t, u.collect())
    }

    fn take(&mut self, output: Output) {
        for changes in &output.rows {
            add(&mut self.view, &changes.rows, |i| changes.diff(i));
        }
        for error in &output.errors {
            let n = self.errors.entry(format!("{:?} {}", error.code, error.row)).or_default();
            *n += error.diff;
        }
        self.errors.retain(|_, n| *n != 0);
        self.counters.add(&output.counters);
    }

    /// Compares the view with the batch answer; `Err` tells the difference.
    async fn check(&self) -> Result<(), String> {
        let (tw, hw) = (Model::net(&self.model.tumbled), Model::net(&self.model.hopped));
        let context = context(&self.model.t, &self.model.u, &tw, &hw);
        let sql = if self.case.batch.is_empty() { self.case.sql } else { self.case.batch };
        let sql = match (self.case.emit, self.model.watermark) {
            (Emit::OnUpdate, _) => sql.to_owned(),
            (Emit::OnWindowClose, w) => {
                format!("SELECT * FROM ({sql}) WHERE CAST(window_end AS BIGINT) <= {w}")
            }
        };
        let mut expected = Bag::new();
        for batch in context.sql(&sql).await.unwrap().collect().await.unwrap() {
            add(&mut expected, &batch, |_| 1);
        }
        if expected != self.view {
            return Err(format!(
                "{}\nexpected {expected:#?}\nfound {:#?}\n{:#?}",
                self.case.sql,
                self.view,
                explain(self.plan)
            ));
        }
        let failing = self.model.t.iter().filter(|r| r.1 == Some(0) && !self.case.batch.is_empty()).count() as i64;
        if self.errors.values().sum::<i64>() != failing {
            return Err(format!("{}: {failing} rows fail, errors are {:?}", self.case.sql, self.errors));
        }
        let counts = (self.counters.late_accepted, self.counters.late_rejected, self.counters.windows_missed);
        let model = (self.model.accepted, self.model.rejected, self.model.missed);
        if self.case.sql.contains("window_end") && counts != model {
            return Err(format!("{}: late counts are {counts:?}, expected {model:?}", self.case.sql));
        }
        Ok(())
    }
}

/// Runs one case over one history.
async fn run(case: &Case, plan: &ViewPlan, seed: u64) -> Result<(), String> {
    let graph = super::render(plan).unwrap();
    let lateness = match case.emit {
        Emit::OnWindowClose => Some(case.lateness.unwrap_or(0)),
        Emit::OnUpdate => case.lateness,
    };
    let model = Model {
        t: vec![],
        u: vec![],
        tumbled: vec![],
        hopped: vec![],
        watermark: i64::MIN,
        lateness,
        accepted: 0,
        rejected: 0,
        missed: 0,
        over_hop: case.sql.contains("hw"),
        joined: false,
    };
    let rng = SmallRng::seed_from_u64(seed);
    let mut run =
        Run { case, plan, rng, model, view: Bag::new(), errors: Bag::new(), counters: super::Counters::default() };
    let workers = run.rng.random_range(1..4);
    // All of it on disk between epochs, some of it, or none.
    let limit = match seed {
        SPILLED => Some(0),
        PARTLY_SPILLED => Some(run.rng.random_range(0..64 << 10)),
        _ => None,
    };
    let folder = tempfile::tempdir().unwrap();
    let memory = limit.map(|limit| Memory::bounded(limit, folder.path().join("spill")).unwrap());
    let mut harness = Harness::new(&graph, workers, memory.clone()).unwrap();
    harness.fuel = if seed.is_multiple_of(2) { 3 } else { usize::MAX };
    let mut now = -40;
    let (t, u) = run.changes(now, true);
    run.model.joined = true;
    let output = harness.join(7, &[(T, t), (U, u)], &run.model.vector()).unwrap();
    run.take(output);
    run.check().await?;
    for epoch in 8..20 {
        now += run.rng.random_range(0..12);
        let (t, u) = run.changes(now, false);
        let output = harness.epoch(epoch, &[(T, t), (U, u)], &run.model.vector()).map_err(|e| e.to_string())?;
        run.take(output);
        if run.rng.random_bool(0.25) {
            run.check().await.map_err(|e| format!("epoch {epoch}, seed {seed}: {e}"))?;
        }
        if run.rng.random_bool(0.2) {
            let workers = run.rng.random_range(1..5);
            harness = harness.moved(workers).unwrap();
        }
    }
    if let Some(memory) = memory.filter(|_| seed == SPILLED && harness.state_rows() > 1) {
        assert!(memory.usage(Holder::State).disk > 0, "{}: nothing was moved to disk", case.sql);
    }
    if lateness.is_some() {
        run.model.watermark = i64::MAX;
        let output = harness.epoch(30, &[], &run.model.vector()).map_err(|e| e.to_string())?;
        run.take(output);
        if harness.state_rows() != 0 {
            return Err(format!("{}: state is kept although all windows are final", case.sql));
        }
    }
    run.check().await.map_err(|e| format!("end, seed {seed}: {e}"))
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn views_equal_the_batch_answer_over_random_histories() {
    block_on(async {
        for case in CASES {
            let plan = plan(case).await;
            for seed in 0..=PARTLY_SPILLED {
                run(case, &plan, seed).await.unwrap_or_else(|e| panic!("{e}"));
            }
        }
    });
}

#[test]
fn every_seeded_fault_is_noticed() {
    block_on(async {
        let mut plans = vec![];
        for case in CASES {
            plans.push((case, plan(case).await));
        }
        let mut unnoticed = vec![];
        for (name, fault) in fault::ALL {
            fault::set_in_thread(Some(fault));
            let mut noticed = false;
            'cases: for seed in 0..4 {
                for (case, plan) in &plans {
                    if run(case, plan, seed).await.is_err() {
                        noticed = true;
                        break 'cases;
                    }
                }
            }
            fault::set_in_thread(None);
            if !noticed {
                unnoticed.push(name);
            }
        }
        assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
        assert!(!fault::on(Fault::LostRetraction));
    });
}
