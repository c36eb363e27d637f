//! Writes, sources, watermarks and the life of views, through a running runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};

use super::super::{
    LateTarget, Limits, OnConflict, ReadMode, Runtime, RuntimeConfig, Settings, SourceSpec, Spec, SubscribeSpec,
    SubscriptionEvent, TableSpec, TableWrite, Target, ViewPhase, ViewSpec, WatermarkSpec, is_conflict,
};
use crate::connectors::{Connector, Read, Reader};
use crate::data::{Arrival, Changes, Epoch, EventTime, ObjectId, Watermarks};
use crate::error::{Error, Result, SqlState};
use crate::operators::{Exchange, Fuel, Graph, LateRows, Node, Operator, Output, Step, Upstream};

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
    })
}

fn view(id: ObjectId, inputs: &[ObjectId]) -> ViewSpec {
    let ddl = [&[b'v', id.0 as u8], inputs.iter().map(|i| i.0 as u8).collect::<Vec<_>>().as_slice()].concat();
    let graph = graph(inputs, &Arc::default());
    ViewSpec { id, name: format!("v{id}"), schema: schema(), graph, late_into: None, subscription: None, ddl }
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

/// Without key and watermark.
fn plain(id: ObjectId) -> TableSpec {
    TableSpec { watermark: None, ddl: vec![b'l'], ..table(id, false) }
}

/// `rows` rows (i, i * 3 % 40 + i), in reads of `chunk`; each row advances the offset by 2. Ends, unless `open`.
#[derive(Debug, Clone)]
struct Numbers {
    rows: u64,
    chunk: u64,
    group: Option<&'static str>,
    ends: bool,
    replayable: bool,
    /// Rows that are there by now, when it does not end.
    there: Arc<AtomicU64>,
}

impl Numbers {
    fn new(rows: u64, chunk: u64) -> Self {
        Self { rows, chunk, group: None, ends: true, replayable: true, there: Arc::new(AtomicU64::new(rows)) }
    }
}

impl Connector for Numbers {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn replayable(&self) -> bool {
        self.replayable
    }

    fn bounded(&self) -> bool {
        self.ends
    }

    fn group(&self) -> Option<String> {
        self.group.map(str::to_owned)
    }

    fn open(&self, _: u32, offset: u64) -> Result<Box<dyn Reader>> {
        Ok(Box::new(NumbersReader { numbers: self.clone(), next: offset / 2 }))
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(format!("{} rows", self.rows))
    }
}

struct NumbersReader {
    numbers: Numbers,
    next: u64,
}

impl Reader for NumbersReader {
    fn read(&mut self, wait: Duration) -> Result<Read> {
        let there = self.numbers.there.load(Ordering::Acquire);
        if self.next < there {
            let end = there.min(self.next + self.numbers.chunk);
            let rows = numbers(self.next, end);
            self.next = end;
            return Ok(Read::Rows { rows: batch(&rows), bad: vec![], next_offset: end * 2 });
        }
        if self.numbers.ends {
            return Ok(Read::End);
        }
        std::thread::park_timeout(wait);
        Ok(Read::Waiting)
    }
}

fn numbers(from: u64, to: u64) -> Vec<(i64, i64)> {
    (from as i64..to as i64).map(|i| (i, i * 17 % 40 + i)).collect()
}

type Pairs = Vec<(i64, i64)>;

/// The rows of `numbers` that are not late, and those that are.
fn judged(to: u64) -> (Pairs, Pairs) {
    let mut w = i64::MIN;
    numbers(0, to).into_iter().partition(|(_, v)| {
        let good = *v >= w;
        w = w.max(v - 10);
        good
    })
}

fn source(id: ObjectId, connector: Numbers) -> SourceSpec {
    let ddl = vec![b's', id.0 as u8, connector.rows as u8, u8::from(connector.group.is_some())];
    SourceSpec {
        id,
        name: format!("s{id}"),
        schema: schema(),
        watermark: watermark(),
        connector: Arc::new(connector),
        ddl,
    }
}

fn rebuild(ddl: &[u8]) -> Result<Option<Spec>> {
    let id = |b: &u8| ObjectId(u32::from(*b));
    Ok(match ddl {
        [b't', t, keyed] => Some(Spec::Table(table(id(t), *keyed == 1))),
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
    TableWrite::Insert { table, rows: batch(rows), on_conflict, returning: true }
}

fn insert(rows: &[(i64, i64)]) -> TableWrite {
    insert_into(T, rows, OnConflict::Error)
}

fn delete(target: Target) -> TableWrite {
    TableWrite::Delete { table: T, target, predicate: None, returning: true }
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

#[tokio::test]
async fn keys_are_unique_and_failed_transactions_leave_nothing() {
    let runtime = start(true).await;
    commit(&runtime, vec![insert(&[(1, 10), (2, 20)])]).await;
    let double = runtime.commit(vec![insert(&[(3, 30)]), insert(&[(4, 40), (2, 0)])]).await;
    let message = "duplicate key value violates unique constraint \"t1_pkey\"";
    let error = refused(double, SqlState::UNIQUE_VIOLATION, message);
    assert_eq!(error.parts().detail.as_deref(), Some("Key (k)=(2) already exists."));
    refused(runtime.commit(vec![insert(&[(7, 1), (7, 2)])]).await, SqlState::UNIQUE_VIOLATION, message);
    assert_eq!(read(&runtime, T).await, [(1, 10), (2, 20)]);

    let nothing = runtime.commit(vec![insert_into(T, &[(2, 0), (3, 3), (3, 4)], OnConflict::Nothing)]).await.unwrap();
    assert_eq!(nothing.results[0].count, 1);
    // DO UPDATE SET v = t.v + excluded.v WHERE excluded.v > 5.
    let sum = binary(column("v", 1), Op::Plus, column("v", 3));
    let filter = Some(binary(column("v", 3), Op::Gt, lit(5i64)));
    let upsert = OnConflict::Update { assignments: vec![(1, sum)], filter };
    let done = runtime.commit(vec![insert_into(T, &[(1, 6), (2, 1), (5, 50)], upsert.clone())]).await.unwrap();
    assert_eq!(done.results[0].count, 2);
    assert_eq!(rows(done.results[0].returned.as_ref().unwrap()), [(5, 50), (1, 16)]);
    assert_eq!(read(&runtime, T).await, [(1, 16), (2, 20), (3, 3), (5, 50)]);
    let twice = runtime.commit(vec![insert_into(T, &[(1, 6), (1, 7)], upsert)]).await;
    refused(twice, SqlState::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time");

    // UPDATE t SET k = k + 1: keys may move through each other.
    let shift = vec![(0, binary(column("k", 0), Op::Plus, lit(1i64)))];
    let update = |target, predicate, assignments| TableWrite::Update {
        table: T,
        target,
        predicate,
        assignments,
        returning: false,
    };
    commit(&runtime, vec![update(Target::All, None, shift.clone())]).await;
    assert_eq!(read(&runtime, T).await, [(2, 16), (3, 20), (4, 3), (6, 50)]);
    let predicate = Some(binary(column("v", 1), Op::Eq, lit(16i64)));
    let clash = runtime.commit(vec![update(Target::All, predicate, shift)]).await;
    refused(clash, SqlState::UNIQUE_VIOLATION, message);
    let null = vec![(0, lit(datafusion::common::ScalarValue::Int64(None)))];
    let keys = batch(&[(2, 0), (9, 0)]).project(&[0]).unwrap();
    let nulled = runtime.commit(vec![update(Target::Keys(keys.clone()), None, null)]).await;
    let message = "null value in column \"k\" of relation \"t1\" violates not-null constraint";
    let error = refused(nulled, SqlState::NOT_NULL_VIOLATION, message);
    assert_eq!(error.parts().detail.as_deref(), Some("Failing row contains (null, 16)."));
    let gone = runtime.commit(vec![delete(Target::Keys(keys))]).await.unwrap();
    assert_eq!(rows(gone.results[0].returned.as_ref().unwrap()), [(2, 16)]);
    commit(&runtime, vec![TableWrite::Truncate { table: T }, insert(&[(8, 8)])]).await;
    assert_eq!(read(&runtime, T).await, [(8, 8)]);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn rows_that_changed_since_they_were_read_are_a_conflict() {
    let runtime = start(false).await;
    commit(&runtime, vec![insert(&[(1, 10), (2, 20), (2, 20)])]).await;
    let version = runtime.snapshot(ReadMode::Acknowledged).await.unwrap().version(T, "x").unwrap();
    let ids: Vec<u64> = version.batches_with_ids().unwrap().iter().flat_map(|(_, ids)| ids.values().to_vec()).collect();
    let replace = |ids: Vec<u64>, new: &[(i64, i64)]| {
        let target = Target::RowIds(ids);
        runtime.commit(vec![TableWrite::Replace { table: T, target, rows: batch(new), returning: false }])
    };
    assert_eq!(replace(vec![ids[0]], &[(1, 11)]).await.unwrap().results[0].count, 1);
    assert!(is_conflict(&replace(vec![ids[0]], &[(1, 12)]).await.unwrap_err()));
    commit(&runtime, vec![delete(Target::Rows(batch(&[(2, 20), (2, 20)])))]).await;
    let again = runtime.commit(vec![insert(&[(5, 5)]), delete(Target::Rows(batch(&[(2, 20)])))]).await;
    assert!(is_conflict(&again.unwrap_err()));
    assert_eq!(read(&runtime, T).await, [(1, 11)]);

    // Whoever locks writes alone, until it commits or goes.
    let lease = runtime.lock_writes().await.unwrap();
    let other = runtime.clone();
    let waits = tokio::spawn(async move { other.commit(vec![insert(&[(3, 3)])]).await.unwrap().epoch });
    assert_eq!(read(&runtime, T).await, [(1, 11)]);
    let mine = runtime.commit_telling(vec![insert(&[(4, 4)])], Some(lease), || ()).await.unwrap().epoch;
    assert!(waits.await.unwrap() >= mine);
    drop(runtime.lock_writes().await.unwrap());
    commit(&runtime, vec![insert(&[(6, 6)])]).await;
    assert_eq!(read(&runtime, T).await, [(1, 11), (3, 3), (4, 4), (6, 6)]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn transactions_are_netted_and_judged_row_by_row() {
    let runtime = start(false).await;
    runtime.create_table(plain(LATE)).await.unwrap();
    let late_into = Some(LateTarget { table: LATE, columns: vec![Some(0), Some(1)] });
    runtime.create_view(ViewSpec { late_into, ..view(V, &[T]) }).await.unwrap();
    // 100 moves the watermark to 90: 95 is on time, 80 late; 200 comes and goes in one transaction and moves nothing.
    let gone = batch(&[(9, 200)]);
    let writes = vec![insert(&[(1, 100), (2, 95), (3, 80), (9, 200)]), delete(Target::Rows(gone)), insert(&[(4, 90)])];
    commit(&runtime, writes).await;
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, V).await, [(1, 100), (2, 95), (4, 90)]);
    assert_eq!(read(&runtime, LATE).await, [(3, 80)]);
    // A late retraction is not written back.
    commit(&runtime, vec![delete(Target::Rows(batch(&[(3, 80)]))), insert(&[(5, 50)])]).await;
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, LATE).await, [(3, 80), (5, 50)]);
    let status = runtime.status().await.unwrap();
    let watermark = status.watermarks.iter().find(|w| w.id == T).unwrap();
    assert_eq!((watermark.watermark, watermark.rows, watermark.late), (EventTime(90), 6, 3));
    assert_eq!(status.views[0].counters.late_rejected, 3);
    let late = runtime.late_rows(Some(V)).await.unwrap();
    assert_eq!(
        late.iter().map(|l| (l.diff, l.event_time.0, l.watermark.0)).collect::<Vec<_>>(),
        [(1, 80, 90), (-1, 80, 90), (1, 50, 90)]
    );

    // By hand.
    assert_eq!(runtime.advance_watermark(T, EventTime(150)).await.unwrap(), EventTime(150));
    assert_eq!(runtime.advance_watermark(T, EventTime(10)).await.unwrap(), EventTime(150));
    commit(&runtime, vec![insert(&[(6, 149), (7, 150)])]).await;
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, LATE).await, [(3, 80), (5, 50), (6, 149)]);
    let none = runtime.advance_watermark(LATE, EventTime(1)).await;
    assert_eq!(none.unwrap_err().code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn later_views_on_a_source_see_what_the_first_saw() {
    for source_rows in [1, 13, 65_536] {
        let limits = Limits { source_rows, ingest_rows: 20, ..Limits::default() };
        let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
        let there = Arc::new(AtomicU64::new(90));
        let follow = Numbers { ends: false, there: Arc::clone(&there), ..Numbers::new(0, 7) };
        runtime.create_source(source(S, follow)).await.unwrap();
        runtime.create_view(view(V, &[S])).await.unwrap();
        runtime.flush().await.unwrap();
        let (good, late) = judged(90);
        assert!(late.len() > 5);
        assert_eq!(read(&runtime, V).await, good);
        // By hand, in the middle: the later view meets it at the same row.
        runtime.advance_watermark(S, EventTime(120)).await.unwrap();
        there.store(150, Ordering::Release);
        runtime.create_view(view(W, &[S])).await.unwrap();
        there.store(220, Ordering::Release);
        runtime.flush().await.unwrap();
        let first = read(&runtime, V).await;
        assert_eq!(read(&runtime, W).await, first);
        assert!(first.iter().filter(|(k, _)| *k >= 90).all(|(_, v)| *v >= 120));
        let status = runtime.status().await.unwrap();
        let rejected: Vec<u64> = status.views.iter().map(|v| v.counters.late_rejected).collect();
        assert_eq!(rejected, [220 - first.len() as u64; 2]);
        assert_eq!((status.sources[0].rows, status.sources[0].offset, status.sources[0].status), (220, 440, "running"));
        // The last reader gone, the source is read from its start again.
        runtime.drop_objects(vec![V, W], vec![]).await.unwrap();
        assert_eq!(runtime.status().await.unwrap().sources[0].status, "idle");
        runtime.shutdown().await;
    }
}

#[tokio::test]
async fn bounded_sources_end_and_replay() {
    let runtime = start(false).await;
    runtime.create_source(source(S, Numbers::new(200, 7))).await.unwrap();
    runtime.create_view(view(V, &[S, T])).await.unwrap();
    commit(&runtime, vec![insert(&[(1000, 1000)])]).await;
    runtime.flush().await.unwrap();
    runtime.create_view(view(W, &[S])).await.unwrap();
    let (good, _) = judged(200);
    assert_eq!(read(&runtime, W).await, good);
    assert_eq!(read(&runtime, V).await, [good, vec![(1000, 1000)]].concat());
    let status = runtime.status().await.unwrap();
    let of = |id| status.watermarks.iter().find(|w| w.id == id).unwrap().watermark;
    assert_eq!((of(S), of(T)), (EventTime::MAX, EventTime(990)));
    assert_eq!(status.sources[0].status, "ended");
    runtime.restart(3).await.unwrap();
    commit(&runtime, vec![insert(&[(1001, 1001)])]).await;
    assert_eq!(read(&runtime, V).await.len(), judged(200).0.len() + 2);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_group_moves_together_and_takes_new_members_in() {
    let limits = Limits { source_rows: 10, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
    let group = Numbers { group: Some("g"), ..Numbers::new(200, 7) };
    runtime.create_source(source(S, group.clone())).await.unwrap();
    runtime.create_source(source(R, group)).await.unwrap();
    runtime.create_view(view(V, &[S])).await.unwrap();
    runtime.create_view(view(W, &[R, S])).await.unwrap();
    runtime.flush().await.unwrap();
    assert_eq!(read(&runtime, V).await, judged(200).0);
    let twice = judged(200).0.into_iter().flat_map(|r| [r, r]).collect::<Vec<_>>();
    assert_eq!(read(&runtime, W).await, twice);
    // In every epoch both stand at the same offset.
    for epoch in runtime.inputs().await.unwrap() {
        let counts: Vec<usize> = epoch.inputs.iter().map(|(_, c)| c.iter().map(Changes::len).sum()).collect();
        assert!(counts.len() < 2 || counts[0] == counts[1], "{counts:?}");
    }
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_table_with_a_connector_keeps_the_newest_row_of_a_key() {
    let runtime = Runtime::start(config()).unwrap();
    let connector: Option<Arc<dyn Connector>> = Some(Arc::new(Numbers::new(100, 9)));
    let by_value = TableSpec { primary_key: vec![1], connector, ddl: vec![], ..table(T, true) };
    runtime.create_table(by_value).await.unwrap();
    runtime.flush().await.unwrap();
    let mut newest = std::collections::BTreeMap::new();
    newest.extend(numbers(0, 100).into_iter().map(|(k, v)| (v, k)));
    let mut expected: Vec<(i64, i64)> = newest.into_iter().map(|(v, k)| (k, v)).collect();
    expected.sort_unstable();
    assert!(expected.len() < 100);
    assert_eq!(read(&runtime, T).await, expected);
    commit(&runtime, vec![delete(Target::All)]).await;
    assert!(read(&runtime, T).await.is_empty());
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_creation_that_is_dropped_leaves_no_view() {
    let runtime = Runtime::start(config()).unwrap();
    let follow = Numbers { ends: false, ..Numbers::new(20_000, 100) };
    runtime.create_source(source(S, follow)).await.unwrap();
    runtime.create_view(view(V, &[S])).await.unwrap();
    runtime.flush().await.unwrap();
    for id in 20..25 {
        let given_up = runtime.create_view(view(ObjectId(id), &[S]));
        let _ = tokio::time::timeout(Duration::from_millis(1), given_up).await;
    }
    runtime.create_view(view(W, &[S])).await.unwrap();
    assert_eq!(read(&runtime, V).await, read(&runtime, W).await);
    let left: Vec<ObjectId> = runtime.status().await.unwrap().views.iter().map(|v| v.id).collect();
    assert_eq!(left, [V, W]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn an_id_whose_drop_is_pending_is_not_used_again() {
    let runtime = start(false).await;
    commit(&runtime, vec![insert(&[(1, 1)])]).await;
    for _ in 0..20 {
        let given_up = runtime.create_view(view(V, &[T]));
        let _ = tokio::time::timeout(Duration::from_micros(300), given_up).await;
        // Whether its drop is through or not: an answer.
        if let Err(error) = runtime.create_view(view(V, &[T])).await {
            assert_eq!(error.code(), SqlState::INTERNAL_ERROR);
        }
        runtime.drop_objects(vec![V], vec![]).await.unwrap();
    }
    runtime.create_view(view(V, &[T])).await.unwrap();
    assert_eq!(read(&runtime, V).await, [(1, 1)]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn an_epoch_stays_open_for_its_interval_unless_somebody_waits() {
    let settings = Settings { epoch_interval: Duration::from_secs(3600), ..Settings::default() };
    let runtime = Runtime::start(RuntimeConfig { settings, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    runtime.create_view(view(V, &[T])).await.unwrap();
    let commits = futures::future::join_all((0..5).map(|i| commit(&runtime, vec![insert(&[(i, i)])])));
    let (epochs, flushed) = tokio::join!(commits, runtime.flush());
    assert_eq!(epochs, [epochs[0]; 5]);
    assert!(flushed.unwrap() >= epochs[0]);
    assert_eq!(read(&runtime, V).await.len(), 5);
    // An advance and a change of the setting close the epoch that is open.
    let (epoch, moved) =
        tokio::join!(commit(&runtime, vec![insert(&[(6, 6)])]), runtime.advance_watermark(T, EventTime(3)));
    assert!(epoch > epochs[0] && moved.is_ok());
    runtime.create_view(view(W, &[T])).await.unwrap();
    let (last, changed) =
        tokio::join!(commit(&runtime, vec![insert(&[(7, 7)])]), runtime.alter_system(Settings::default()));
    changed.unwrap();
    assert!(last > epoch);
    assert_eq!(read(&runtime, W).await.len(), 7);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

/// Two partitions of numbers.
#[derive(Debug, Clone)]
struct Two([Numbers; 2]);

impl Connector for Two {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn partitions(&self) -> u32 {
        2
    }

    fn replayable(&self) -> bool {
        true
    }

    fn bounded(&self) -> bool {
        false
    }

    fn open(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        self.0[partition as usize].open(0, offset)
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(String::new())
    }
}

fn two(there: [u64; 2]) -> (SourceSpec, [Arc<AtomicU64>; 2]) {
    let numbers = there.map(|rows| Numbers { ends: false, ..Numbers::new(rows, 7) });
    let there = [Arc::clone(&numbers[0].there), Arc::clone(&numbers[1].there)];
    let connector = Arc::new(Two(numbers));
    (SourceSpec { connector, ddl: vec![b'2'], ..source(S, Numbers::new(0, 7)) }, there)
}

/// Partition, watermark, whether it is idle, and which partition holds the source back.
async fn partitions(runtime: &Runtime) -> Vec<(u32, i64, bool, Option<String>)> {
    let status = runtime.status().await.unwrap();
    status.watermarks.into_iter().map(|w| (w.partition, w.watermark.0, w.idle, w.held_by)).collect()
}

#[tokio::test]
async fn a_silent_partition_stops_holding_back_the_others() {
    let never = Settings { idle_timeout: Duration::from_secs(3600), ..Settings::default() };
    let runtime = Runtime::start(RuntimeConfig { settings: never.clone(), ..config() }).unwrap();
    let (spec, there) = two([98, 14]);
    runtime.create_source(spec).await.unwrap();
    runtime.create_view(view(V, &[S])).await.unwrap();
    runtime.flush().await.unwrap();
    let top = |rows| numbers(0, rows).iter().map(|(_, v)| *v).max().unwrap() - 10;
    let held = |index: u32| Some(format!("s{S}/{index}"));
    assert_eq!(partitions(&runtime).await, [(0, top(98), false, held(1)), (1, top(14), false, held(1))]);
    // Both fall silent; then the first goes on, and the second no longer holds it back.
    let settings = Settings { idle_timeout: Duration::from_millis(50), ..Settings::default() };
    runtime.alter_system(settings).await.unwrap();
    while partitions(&runtime).await.iter().any(|p| !p.2) {
        tokio::task::yield_now().await;
    }
    runtime.alter_system(never).await.unwrap();
    there[0].store(196, Ordering::Release);
    runtime.flush().await.unwrap();
    assert_eq!(partitions(&runtime).await, [(0, top(196), false, held(0)), (1, top(14), true, held(0))]);
    let rejected = |status: crate::runtime::Status| status.views[0].counters.late_rejected;
    let before = rejected(runtime.status().await.unwrap());
    // Back again, far behind: what the others have promised meanwhile is kept, so its rows are late.
    there[1].store(42, Ordering::Release);
    runtime.flush().await.unwrap();
    assert_eq!(partitions(&runtime).await, [(0, top(196), false, held(0)), (1, top(196), false, held(0))]);
    assert_eq!(rejected(runtime.status().await.unwrap()) - before, 28);
    there[1].store(294, Ordering::Release);
    runtime.flush().await.unwrap();
    assert_eq!(partitions(&runtime).await, [(0, top(196), false, held(0)), (1, top(294), false, held(0))]);
    check_replay(&runtime).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_view_that_is_too_slow_leaves_the_clock_and_comes_back() {
    let settings = Settings { max_lag: Duration::from_millis(60), ..Settings::default() };
    let runtime = Runtime::start(RuntimeConfig { settings, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    let stuck: Arc<AtomicBool> = Arc::default();
    runtime.create_view(ViewSpec { graph: graph(&[T], &stuck), ..view(V, &[T]) }).await.unwrap();
    runtime.create_view(view(W, &[V])).await.unwrap();
    let spec = SubscribeSpec { view: V, snapshot: true, as_of: None, up_to: None, progress: true, buffer: 1 << 20 };
    let mut subscription = runtime.subscribe(spec).await.unwrap();
    stuck.store(true, Ordering::Release);
    commit(&runtime, vec![insert(&[(1, 1)])]).await;
    // The table goes on without it.
    assert_eq!(read(&runtime, T).await, [(1, 1)]);
    let snapshot = runtime.snapshot(ReadMode::Latest).await.unwrap();
    for view in [V, W] {
        assert_eq!(snapshot.version(view, "x").unwrap_err().code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    }
    let ended = loop {
        match subscription.next().await {
            Ok(Some(SubscriptionEvent::Changes { .. } | SubscriptionEvent::Progress(_))) => {}
            Ok(None) => panic!("ended without an error"),
            Err(error) => break error,
        }
    };
    assert_eq!(ended.code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    stuck.store(false, Ordering::Release);
    runtime.alter_system(Settings::default()).await.unwrap();
    while runtime.status().await.unwrap().views.iter().any(|v| v.phase != ViewPhase::Running) {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&runtime, W).await, [(1, 1)]);
    commit(&runtime, vec![insert(&[(2, 2)])]).await;
    assert_eq!(read(&runtime, W).await, [(1, 1), (2, 2)]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn transactions_above_the_budget_are_alone_and_above_the_limit_refused() {
    let limits = Limits { epoch_rows: 100, max_transaction: 1 << 20, ..Limits::default() };
    let runtime = Runtime::start(RuntimeConfig { limits, ..config() }).unwrap();
    runtime.create_table(table(T, false)).await.unwrap();
    runtime.create_view(view(V, &[T])).await.unwrap();
    let many: Vec<(i64, i64)> = (0..5000).map(|i| (i, i)).collect();
    let all = (0..20).map(|i| {
        let (runtime, rows) = (runtime.clone(), if i == 7 { many.clone() } else { vec![(i, 100_000)] });
        tokio::spawn(async move { (rows.len(), commit(&runtime, vec![insert(&rows)]).await) })
    });
    let committed = futures::future::join_all(all.collect::<Vec<_>>()).await;
    let committed: Vec<(usize, Epoch)> = committed.into_iter().map(Result::unwrap).collect();
    let large = committed.iter().find(|(rows, _)| *rows > 1).unwrap().1;
    assert_eq!(committed.iter().filter(|(_, epoch)| *epoch == large).count(), 1);
    assert_eq!(read(&runtime, T).await.len(), 5019);
    let huge: Vec<(i64, i64)> = (0..100_000).map(|i| (i, i)).collect();
    let refusal = runtime.commit(vec![insert(&huge)]).await;
    refused(refusal, SqlState::PROGRAM_LIMIT_EXCEEDED, "transaction is too large");
    runtime.shutdown().await;
}
