//! Writes, sources, watermarks and the life of views, through a running runtime.

mod checkpoints;
mod durable;
mod numbers;
mod requests;
mod sinks;
mod sources;
mod views;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};

use super::super::{
    LateTarget, Limits, OnConflict, Planned, ReadMode, Runtime, RuntimeConfig, Settings, SourceSpec, Spec,
    SubscribeSpec, SubscriptionEvent, TableAlter, TableRef, TableSpec, TableWrite, Target, ViewPhase, ViewSpec,
    WatermarkSpec, is_altered, is_conflict,
};
use crate::connectors::{Connector, Read, Reader};
use crate::data::{Arrival, Changes, ColumnNumbers, Epoch, EventTime, ObjectId, Shape, Watermarks};
use crate::error::{Error, Result, SqlState};
use crate::operators::{Exchange, Fuel, Graph, LateRows, Node, Operator, Output, Step, Stop, Upstream};

use numbers::{Numbers, judged, numbers, source, two};

const T: ObjectId = ObjectId(1);
const LATE: ObjectId = ObjectId(2);
const S: ObjectId = ObjectId(3);
const R: ObjectId = ObjectId(4);
const V: ObjectId = ObjectId(10);
const W: ObjectId = ObjectId(11);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Int64, true)]))
}

fn batch(rows: &[(i64, i64)]) -> RecordBatch {
    let column = |f: fn(&(i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(f))) as ArrayRef;
    RecordBatch::try_new(schema(), vec![column(|r| r.0), column(|r| r.1)]).unwrap()
}

fn rows(batch: &RecordBatch) -> Vec<(i64, i64)> {
    let column = |i| batch.column(i).as_primitive::<Int64Type>();
    (0..batch.num_rows()).map(|i| (column(0).value(i), column(1).value(i))).collect()
}

/// Sends its rows on, but those that were late at their source: these it turns away.
struct Punctual {
    stuck: Arc<AtomicBool>,
}

impl Operator for Punctual {
    fn apply(&mut self, _: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        let times = changes.rows.column(1).as_primitive::<Int64Type>().clone();
        let Arrival::Late { rows, .. } = &changes.arrival else {
            out.send(changes);
            return Ok(());
        };
        let watermark = rows.to_column(changes.len());
        let late = |i: &u32| times.value(*i as usize) < watermark.value(*i as usize);
        let (late, good): (Vec<u32>, Vec<u32>) = (0..changes.len() as u32).partition(late);
        out.counters.late_rejected += late.len() as u64;
        out.late.push(LateRows {
            event_time: late.iter().map(|i| EventTime(times.value(*i as usize))).collect(),
            watermark: late.iter().map(|i| EventTime(watermark.value(*i as usize))).collect(),
            windows_missed: vec![1; late.len()],
            changes: changes.take(&late.into())?,
        });
        out.send(changes.take(&good.into())?);
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(if self.stuck.load(Ordering::Acquire) { Step::More } else { Step::Done })
    }
}

fn graph(inputs: &[ObjectId], stuck: &Arc<AtomicBool>) -> Arc<Graph> {
    let stuck = Arc::clone(stuck);
    Arc::new(Graph {
        nodes: vec![Node {
            name: "Punctual".into(),
            inputs: inputs.iter().map(|i| (Upstream::Object(*i), Exchange::Key(vec![0]))).collect(),
            schema: schema(),
            closing: None,
            build: Arc::new(move |_| Ok(Box::new(Punctual { stuck: Arc::clone(&stuck) }))),
        }],
        constants: vec![],
        append_only: false,
        key: None,
        consolidated: false,
        retention: None,
        recasts: Default::default(),
        stop: Stop::default(),
    })
}

fn view(id: ObjectId, inputs: &[ObjectId]) -> ViewSpec {
    let ddl = [&[b'v', id.0 as u8], inputs.iter().map(|i| i.0 as u8).collect::<Vec<_>>().as_slice()].concat();
    let graph = graph(inputs, &Arc::default());
    ViewSpec {
        id,
        name: format!("v{id}"),
        schema: schema(),
        graph,
        tables: Default::default(),
        late_into: None,
        subscription: None,
        ddl,
    }
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

fn binary(left: Arc<dyn PhysicalExpr>, op: Op, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, op, right))
}

/// WATERMARK FOR v AS v - 10.
fn watermark() -> Option<WatermarkSpec> {
    Some(WatermarkSpec { column: 1, expr: binary(column("v", 1), Op::Minus, lit(10i64)) })
}

fn table(id: ObjectId, keyed: bool) -> TableSpec {
    TableSpec {
        id,
        name: format!("t{id}"),
        schema: schema(),
        primary_key: if keyed { vec![0] } else { vec![] },
        watermark: watermark(),
        append_only: false,
        connector: None,
        ddl: vec![b't', id.0 as u8, u8::from(keyed)],
    }
}

/// Without watermark.
fn keyed(id: ObjectId) -> TableSpec {
    TableSpec { watermark: None, ddl: vec![b'k', id.0 as u8], ..table(id, true) }
}

/// Without key and watermark.
fn plain(id: ObjectId) -> TableSpec {
    TableSpec { watermark: None, ddl: vec![b'l'], ..table(id, false) }
}

fn rebuild(ddl: &[u8]) -> Result<Option<Spec>> {
    let id = |b: &u8| ObjectId(u32::from(*b));
    Ok(match ddl {
        [b't', t, keyed] => Some(Spec::Table(table(id(t), *keyed == 1))),
        [b'k', t] => Some(Spec::Table(keyed(id(t)))),
        [b'l'] => Some(Spec::Table(plain(LATE))),
        b"2" => Some(Spec::Source(two([294, 294]).0)),
        [b's', s, rows, group] => {
            let mut connector = Numbers::new(u64::from(*rows), 7);
            connector.group = (*group == 1).then_some("g");
            Some(Spec::Source(source(id(s), connector)))
        }
        [b'v', v, inputs @ ..] => Some(Spec::View(view(id(v), &inputs.iter().map(id).collect::<Vec<_>>()))),
        _ => None,
    })
}

fn config() -> RuntimeConfig {
    RuntimeConfig { workers: 2, keep_log: true, record_digests: true, ..RuntimeConfig::default() }
}

fn insert_into(table: ObjectId, rows: &[(i64, i64)], on_conflict: OnConflict) -> TableWrite {
    TableWrite::Insert { table: table.into(), rows: batch(rows), on_conflict, returning: true }
}

fn insert(rows: &[(i64, i64)]) -> TableWrite {
    insert_into(T, rows, OnConflict::Error)
}

fn delete(target: Target) -> TableWrite {
    TableWrite::Delete { table: T.into(), target, predicate: None, returning: true }
}

async fn commit(runtime: &Runtime, writes: Vec<TableWrite>) -> Epoch {
    runtime.commit(writes).await.unwrap().epoch
}

async fn read(runtime: &Runtime, object: ObjectId) -> Vec<(i64, i64)> {
    let version = runtime.snapshot(ReadMode::Acknowledged).await.unwrap().version(object, "x").unwrap();
    let mut all: Vec<_> = version.batches().unwrap().iter().flat_map(rows).collect();
    all.sort_unstable();
    all
}

async fn start(keyed: bool) -> Runtime {
    let runtime = Runtime::start(config()).unwrap();
    runtime.create_table(table(T, keyed)).await.unwrap();
    runtime
}

/// Replays a runtime's log with other numbers of workers and compares what every view did in every epoch.
async fn check_replay(runtime: &Runtime) {
    let log = runtime.log_bytes().await.unwrap();
    let expected = runtime.digests().await.unwrap();
    let inputs = format!("{:?}", runtime.inputs().await.unwrap());
    for workers in [1, 3] {
        let config = RuntimeConfig { workers, ..config() };
        let log = log.clone();
        let replay = move || Runtime::replay(config, &log, |ddl| rebuild(&ddl.payload));
        let again = tokio::task::spawn_blocking(replay).await.unwrap().unwrap();
        assert_eq!(again.digests().await.unwrap(), expected);
        assert!(format!("{:?}", again.inputs().await.unwrap()) == inputs, "the inputs differ");
        again.shutdown().await;
    }
}

fn refused<T>(result: Result<T>, code: SqlState, message: &str) -> Error {
    let error = result.err().expect("an error");
    assert_eq!((error.code(), error.message()), (code, message));
    error
}
