//! Synthetic operators, run on one and several workers.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use crossbeam_channel::RecvTimeoutError;

use super::super::command::{EpochInput, OperatorStats, Restored};
use super::*;
use crate::data::{
    Bucket, Changes, Epoch, EventTime, KeyEncoder, ObjectId, Partition, PartitionWatermark, WatermarkVector, Watermarks,
};
use crate::operators::{Exchange, Fuel, LateRows, Node, Operator, Output, RowError, Step, Stop, Upstream, Worker};
use crate::spill::Account;
use crate::state::{Capture, Delta, State};

const T: ObjectId = ObjectId(1);
const U: ObjectId = ObjectId(2);
const V: ObjectId = ObjectId(10);
const W: ObjectId = ObjectId(11);

pub(in crate::runtime) fn schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![column("k"), column("v")]))
}

pub(in crate::runtime) fn changes(rows: &[(i64, i64, i64)]) -> Changes {
    let column =
        |f: fn(&(i64, i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(f))) as ArrayRef;
    let batch = RecordBatch::try_new(schema(), vec![column(|r| r.0), column(|r| r.1)]).unwrap();
    Changes::new(batch, Int64Array::from_iter_values(rows.iter().map(|r| r.2)))
}

pub(in crate::runtime) fn rows(changes: &Changes) -> Vec<(i64, i64, i64)> {
    let column = |i| changes.rows.column(i).as_primitive::<Int64Type>();
    (0..changes.len()).map(|i| (column(0).value(i), column(1).value(i), changes.diff(i))).collect()
}

/// Sends on what it gets, from however many ports; reports rows with v = -1 as errors and v = -2 as late.
#[derive(Default)]
struct Pass;

impl Operator for Pass {
    fn apply(&mut self, _: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        for (k, v, diff) in rows(&changes) {
            if v == -1 {
                let message = Arc::from(k.to_string());
                let code = crate::error::SqlState::DIVISION_BY_ZERO;
                out.error(RowError { operator: Arc::from("Pass"), code, message, row: String::new(), diff });
            }
            if v == -2 {
                let time = vec![EventTime(k)];
                out.late.push(LateRows {
                    changes: super::tests::changes(&[(k, v, diff)]),
                    event_time: time.clone(),
                    watermark: time,
                    windows_missed: vec![1],
                });
                out.counters.late_rejected += 1;
            }
        }
        out.send(changes);
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}

/// Counts rows by k: (k, count), retracting the old count. Sends `burst` rows per unit of fuel.
struct Count {
    counts: HashMap<i64, i64>,
    dirty: BTreeMap<i64, i64>,
    last: Option<Epoch>,
    before: WatermarkVector,
}

impl Count {
    fn new() -> Self {
        Self { counts: HashMap::new(), dirty: BTreeMap::new(), last: None, before: WatermarkVector::default() }
    }
}

impl Operator for Count {
    fn apply(&mut self, _: usize, changes: Changes, watermarks: &Watermarks, _: &mut Output) -> Result<()> {
        assert_eq!(*watermarks.before, self.before, "an epoch's `before` is the `now` of the one stepped before");
        for (k, _, diff) in rows(&changes) {
            *self.dirty.entry(k).or_default() += diff;
        }
        Ok(())
    }

    fn step(&mut self, epoch: Epoch, watermarks: &Watermarks, fuel: &mut Fuel, out: &mut Output) -> Result<Step> {
        assert!(self.last.is_none_or(|l| l <= epoch), "epochs ascend");
        self.last = Some(epoch);
        while let Some((k, diff)) = self.dirty.pop_first() {
            let old = self.counts.get(&k).copied().unwrap_or(0);
            if old != 0 {
                out.send(changes(&[(k, old, -1)]));
            }
            if old + diff != 0 {
                out.send(changes(&[(k, old + diff, 1)]));
            }
            self.counts.insert(k, old + diff);
            if !fuel.burn(1000) {
                return Ok(Step::More);
            }
        }
        self.before = (*watermarks.now).clone();
        Ok(Step::Done)
    }

    fn state(&mut self) -> Option<&mut dyn State> {
        Some(self)
    }
}

impl State for Count {
    fn bound(&mut self, _: Account) {}

    fn relieve(&mut self) -> Result<()> {
        Ok(())
    }

    fn track(&mut self, _: bool) {}

    fn capture(&mut self, _: &mut Capture) -> Result<Vec<Delta>> {
        let all: Vec<(i64, i64, i64)> = self.counts.iter().map(|(k, n)| (*k, *n, 1)).collect();
        Ok(vec![Delta { rows: vec![changes(&all).rows], ..Delta::default() }])
    }

    fn restore(&mut self, deltas: &[Delta], owns: &dyn Fn(Bucket) -> bool) -> Result<()> {
        for rows in deltas.iter().flat_map(|delta| &delta.rows) {
            let column = |at: usize| rows.column(at).as_primitive::<Int64Type>().values().to_vec();
            let all = column(0).into_iter().zip(column(1));
            self.counts.extend(all.filter(|(k, _)| owns(bucket(*k))));
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.len() * 16
    }

    fn rows(&self) -> usize {
        self.counts.len()
    }

    fn drop_window(&mut self, _: EventTime) -> usize {
        0
    }
}

fn bucket(k: i64) -> Bucket {
    let one = changes(&[(k, 0, 1)]);
    let keys = KeyEncoder::new(&schema(), &[0]).unwrap().encode(&one.rows).unwrap();
    Bucket::of(keys.hash(0))
}

pub(in crate::runtime) fn node(
    name: &str,
    inputs: Vec<(Upstream, Exchange)>,
    build: fn() -> Box<dyn Operator>,
) -> Node {
    let build = Arc::new(move |_: &Worker| Ok(build()));
    Node { name: name.into(), inputs, schema: schema(), closing: None, build }
}

pub(in crate::runtime) fn graph(nodes: Vec<Node>) -> Arc<Graph> {
    let graph = Graph {
        nodes,
        constants: vec![],
        append_only: false,
        key: None,
        consolidated: false,
        retention: None,
        recasts: Default::default(),
        stop: Stop::default(),
    };
    Workers::check(&graph).unwrap();
    Arc::new(graph)
}

pub(in crate::runtime) fn by_key() -> Exchange {
    Exchange::Key(vec![0])
}

/// Pass, then count by k.
pub(in crate::runtime) fn counting(object: ObjectId) -> Arc<Graph> {
    let pass = node("Pass", vec![(Upstream::Object(object), Exchange::Pipeline)], || Box::new(Pass));
    graph(vec![pass, node("Count", vec![(Upstream::Node(0), by_key())], || Box::new(Count::new()))])
}

pub(in crate::runtime) fn passing(object: ObjectId) -> Arc<Graph> {
    graph(vec![node("Pass", vec![(Upstream::Object(object), Exchange::Pipeline)], || Box::new(Pass))])
}

/// k, v and diff of some rows.
type Rows = Vec<(i64, i64, i64)>;

/// Workers and what they reported.
struct Run {
    workers: Workers,
    reports: Receiver<Report>,
    rows: BTreeMap<(ObjectId, u64), Rows>,
    errors: BTreeMap<(ObjectId, u64), Vec<String>>,
    complete: Vec<(ObjectId, u64)>,
    figures: HashMap<(ObjectId, usize), Vec<OperatorStats>>,
}

impl Run {
    fn new(peers: usize) -> Self {
        let (sender, reports) = unbounded();
        let workers = Workers::start(peers, &Memory::unbounded(), sender).unwrap();
        let (rows, errors, complete) = (BTreeMap::new(), BTreeMap::new(), vec![]);
        Self { workers, reports, rows, errors, complete, figures: HashMap::new() }
    }

    fn install(&self, view: ObjectId, graph: &Arc<Graph>) {
        self.workers.send(Command::Install { view, graph: Arc::clone(graph), restore: None, fill: None, track: false });
    }

    fn join(&mut self, view: ObjectId, epoch: u64) {
        self.workers.send(Command::Join { view, epoch: Epoch(epoch), watermarks: vector(epoch), past: None });
        self.wait(view, epoch);
    }

    fn epoch(&self, epoch: u64, inputs: Vec<(ObjectId, Vec<Changes>)>) {
        let touched = inputs.iter().map(|(o, _)| *o).collect();
        let input = EpochInput { epoch: Epoch(epoch), inputs, touched, watermarks: vector(epoch) };
        self.workers.send(Command::Epoch(Arc::new(input)));
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Output { view, epoch, output, .. } => {
                assert!(!self.complete.contains(&(view, epoch.0)), "output after completion");
                let Output { rows: batches, errors, .. } = output;
                self.rows.entry((view, epoch.0)).or_default().extend(batches.iter().flat_map(rows));
                let messages = errors.into_iter().map(|e| e.message.to_string());
                self.errors.entry((view, epoch.0)).or_default().extend(messages);
            }
            Report::Filled { .. } => panic!("nobody asked for it"),
            Report::Complete { view, epoch } => self.complete.push((view, epoch.0)),
            Report::Operators { view, worker, nodes } => {
                self.figures.insert((view, worker), nodes);
            }
        }
    }

    fn wait(&mut self, view: ObjectId, epoch: u64) {
        while !self.complete.contains(&(view, epoch)) {
            match self.reports.recv_timeout(Duration::from_secs(30)) {
                Ok(report) => self.take(report),
                Err(RecvTimeoutError::Timeout) => panic!("view {view} does not complete epoch {epoch}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the workers are gone"),
            }
        }
    }

    /// What a view sent in an epoch, sorted.
    fn sent(&self, view: ObjectId, epoch: u64) -> Vec<(i64, i64, i64)> {
        let mut rows = self.rows.get(&(view, epoch)).cloned().unwrap_or_default();
        rows.sort_unstable();
        rows
    }

    fn epochs(&self, view: ObjectId) -> Vec<u64> {
        self.complete.iter().filter(|(v, _)| *v == view).map(|(_, e)| *e).collect()
    }
}

fn vector(epoch: u64) -> Arc<WatermarkVector> {
    let entry = PartitionWatermark { watermark: EventTime(epoch.cast_signed()), idle: false };
    Arc::new(WatermarkVector([(Partition { source: T, index: 0 }, entry)].into()))
}

fn sorted(mut rows: Vec<(i64, i64, i64)>) -> Vec<(i64, i64, i64)> {
    rows.sort_unstable();
    rows
}

/// A reproducible batch of epoch `e`: some insertions, some retractions of earlier ones.
fn data(e: u64, n: i64) -> Vec<(i64, i64, i64)> {
    let e = e.cast_signed();
    (0..n).map(|i| ((i * 7 + e) % 13, i, if (i + e) % 5 == 0 { -1 } else { 1 })).collect()
}

/// What Count sends when it is given these rows.
fn model(counts: &mut BTreeMap<i64, i64>, rows: &[(i64, i64, i64)]) -> Vec<(i64, i64, i64)> {
    let mut dirty: BTreeMap<i64, i64> = BTreeMap::new();
    for (k, _, diff) in rows {
        *dirty.entry(*k).or_default() += diff;
    }
    let mut sent = vec![];
    for (k, diff) in dirty {
        let old = counts.get(&k).copied().unwrap_or(0);
        sent.extend((old != 0).then_some((k, old, -1)));
        sent.extend((old + diff != 0).then_some((k, old + diff, 1)));
        counts.insert(k, old + diff);
    }
    sorted(sent)
}

#[test]
fn epochs_come_in_order_and_complete() {
    for peers in [1, 2, 4] {
        let mut run = Run::new(peers);
        run.install(V, &counting(T));
        let fed = Arc::new(vec![changes(&data(0, 40))]);
        run.workers.send(Command::Feed { view: V, object: T, batches: Arc::clone(&fed) });
        run.join(V, 3);
        assert_eq!(Arc::strong_count(&fed), 1, "held until it is taken in, not longer");
        let mut counts = BTreeMap::new();
        assert_eq!(run.sent(V, 3), model(&mut counts, &data(0, 40)));
        // Epochs overlap, have gaps, several batches, and none.
        for e in 4..40 {
            let batches = (0..e % 4).map(|b| changes(&data(e + b, 30))).collect();
            run.epoch(e * 2, vec![(T, batches)]);
        }
        run.wait(V, 78);
        for e in 4..40 {
            let rows: Vec<_> = (0..e % 4).flat_map(|b| data(e + b, 30)).collect();
            assert_eq!(run.sent(V, e * 2), model(&mut counts, &rows), "epoch {e} on {peers} workers");
        }
        assert_eq!(run.epochs(V), [3].into_iter().chain((4..40).map(|e| e * 2)).collect::<Vec<_>>());
        run.workers.stop().unwrap();
    }
}

#[test]
fn a_view_on_a_view_sees_each_epoch_exactly() {
    for peers in [1, 2, 3] {
        let mut run = Run::new(peers);
        run.install(V, &counting(T));
        run.join(V, 1);
        run.epoch(2, vec![(T, vec![changes(&data(2, 30))])]);
        run.wait(V, 2);
        // W passes on V and U; what V had comes by Feed.
        let union = vec![(Upstream::Object(V), Exchange::Pipeline), (Upstream::Object(U), by_key())];
        run.install(W, &graph(vec![node("Union", union, || Box::new(Pass))]));
        let had = changes(&run.sent(V, 2));
        run.workers.send(Command::Feed { view: W, object: V, batches: Arc::new(vec![had]) });
        run.join(W, 2);
        assert_eq!(run.sent(W, 2), run.sent(V, 2));
        for e in 3..60 {
            let mut inputs = vec![];
            if e % 3 != 0 {
                inputs.push((T, vec![changes(&data(e, 20))]));
            }
            if e % 2 == 0 {
                inputs.push((U, vec![changes(&[(100, e.cast_signed(), 1)])]));
            }
            run.epoch(e, inputs);
        }
        run.wait(W, 59);
        for e in 3..60 {
            let mut expected = run.sent(V, e);
            expected.extend((e % 2 == 0).then_some((100, e.cast_signed(), 1)));
            assert_eq!(run.sent(W, e), sorted(expected), "epoch {e} on {peers} workers");
        }
        assert!(run.epochs(W).contains(&58) && !run.epochs(V).contains(&57));
        // The view below goes first: what is left still completes.
        run.workers.send(Command::Drop(V));
        run.epoch(60, vec![(T, vec![]), (U, vec![changes(&[(1, 1, 1)])])]);
        run.wait(W, 60);
        assert_eq!(run.sent(W, 60), [(1, 1, 1)]);
    }
}

#[test]
fn untouched_views_are_skipped() {
    let mut run = Run::new(2);
    run.install(V, &passing(T));
    run.install(W, &passing(U));
    run.join(V, 1);
    run.join(W, 1);
    for e in 2..10 {
        run.epoch(e, vec![(if e % 2 == 0 { T } else { U }, vec![changes(&[(e.cast_signed(), 0, 1)])])]);
    }
    run.wait(V, 8);
    run.wait(W, 9);
    assert_eq!(run.epochs(V), [1, 2, 4, 6, 8]);
    assert_eq!(run.epochs(W), [1, 3, 5, 7, 9]);
}

#[test]
fn views_come_and_go_while_data_flows() {
    let mut run = Run::new(2);
    run.install(V, &counting(T));
    run.join(V, 1);
    let mut e = 1;
    for round in 0..20_u32 {
        let view = ObjectId(100 + round);
        run.install(view, &counting(T));
        let mut flow = |run: &Run, n: u64| {
            for _ in 0..n {
                e += 1;
                run.epoch(e, vec![(T, vec![changes(&data(e, 10)), changes(&data(e, 10))])]);
            }
            e
        };
        // Not joined yet: sees none of these.
        let last = flow(&run, 5);
        run.wait(V, last);
        run.join(view, last);
        let last = flow(&run, 5);
        if round % 2 == 0 {
            run.wait(view, last);
            assert_eq!(run.epochs(view).len(), 6);
        }
        // Every other one goes with epochs under way.
        run.workers.send(Command::Drop(view));
    }
    run.wait(V, e);
    assert_eq!(run.epochs(V).len(), e as usize);
}

#[test]
fn state_moves_to_another_number_of_workers() {
    for peers in [3, 1] {
        let mut run = Run::new(2);
        run.install(V, &counting(T));
        run.join(V, 1);
        let mut counts = BTreeMap::new();
        run.epoch(2, vec![(T, vec![changes(&data(2, 50)), changes(&data(3, 50))])]);
        run.wait(V, 2);
        model(&mut counts, &[data(2, 50), data(3, 50)].concat());
        let states = run.workers.snapshot().unwrap();
        run.workers.stop().unwrap();
        let mut restored = Restored::default();
        for state in states {
            restored.nodes.entry(state.node).or_default().extend(state.deltas);
        }
        let keys: usize = restored.nodes.values().flatten().flat_map(|d| &d.rows).map(RecordBatch::num_rows).sum();
        assert_eq!(keys, 13);
        let mut run = Run::new(peers);
        run.workers.send(Command::Install {
            view: V,
            graph: counting(T),
            restore: Some(Arc::new(restored)),
            fill: None,
            track: false,
        });
        run.workers.send(Command::Join { view: V, epoch: Epoch(2), watermarks: Arc::default(), past: None });
        run.wait(V, 2);
        assert_eq!(run.sent(V, 2), []);
        run.epoch(3, vec![(T, vec![changes(&data(9, 50))])]);
        run.wait(V, 3);
        assert_eq!(run.sent(V, 3), model(&mut counts, &data(9, 50)));
    }
}

#[test]
fn what_failed_and_what_is_constant_is_reported() {
    for peers in [1, 2] {
        let mut run = Run::new(peers);
        // A constant into a keyed port and a pass in front, whose errors belong to the view too.
        let pass = node("Pass", vec![(Upstream::Object(T), Exchange::Pipeline)], || Box::new(Pass));
        let values = node("Values", vec![], || Box::new(Pass));
        let ports = vec![(Upstream::Node(0), by_key()), (Upstream::Node(1), by_key())];
        let nodes = vec![pass, values, node("Union", ports, || Box::new(Pass))];
        let constants = vec![(1, 0, changes(&[(5, 5, 1)]).rows), (2, 0, changes(&[(6, 6, 1), (7, 7, 1)]).rows)];
        run.install(
            V,
            &Arc::new(Graph {
                nodes,
                constants,
                append_only: false,
                key: None,
                consolidated: false,
                retention: None,
                recasts: Default::default(),
                stop: Stop::default(),
            }),
        );
        run.join(V, 1);
        assert_eq!(run.sent(V, 1), [(5, 5, 1), (6, 6, 1), (7, 7, 1)]);
        run.epoch(2, vec![(T, vec![changes(&[(1, -1, 1)]), changes(&[(2, 0, 1)])])]);
        run.wait(V, 2);
        assert_eq!(run.errors[&(V, 2)], ["1", "1"], "by the pass and by the union");
        // A view of constants alone.
        let alone = graph_of_constants();
        run.install(W, &alone);
        run.join(W, 2);
        assert_eq!(run.sent(W, 2), [(8, 8, 1)]);
    }
}

fn graph_of_constants() -> Arc<Graph> {
    let nodes = vec![
        node("Values", vec![], || Box::new(Pass)),
        node("Count", vec![(Upstream::Node(0), by_key())], || Box::new(Pass)),
    ];
    Arc::new(Graph {
        nodes,
        constants: vec![(0, 0, changes(&[(8, 8, 1)]).rows)],
        append_only: true,
        key: None,
        consolidated: false,
        retention: None,
        recasts: Default::default(),
        stop: Stop::default(),
    })
}

#[test]
fn big_batches_are_cut_and_fuel_runs_out() {
    for peers in [1, 3] {
        let mut run = Run::new(peers);
        run.install(V, &counting(T));
        run.join(V, 1);
        let many: Vec<_> = (0..20_000).map(|i| (i % 700, i, 1)).collect();
        run.epoch(2, vec![(T, vec![changes(&many)])]);
        run.wait(V, 2);
        assert_eq!(run.sent(V, 2), model(&mut BTreeMap::new(), &many));
        // Figures come by themselves, a little later.
        let deadline = Instant::now() + Duration::from_secs(30);
        let counted = |run: &Run, node: usize| -> u64 {
            (0..peers).filter_map(|w| run.figures.get(&(V, w))).map(|nodes| nodes[node].rows_in).sum()
        };
        while counted(&run, 0) < 20_000 || counted(&run, 1) < 20_000 {
            let report = run.reports.recv_deadline(deadline).expect("figures come");
            run.take(report);
        }
        assert!((0..peers).all(|w| run.figures[&(V, w)][0].rows_in > 0), "every worker has a part");
        let state: u64 = (0..peers).map(|w| run.figures[&(V, w)][1].state_rows).sum();
        assert_eq!((state, run.figures[&(V, 0)][1].name.as_str()), (700, "Count"));
    }
}

/// A pass that shares something, so that one can see how many there are, and on which threads.
struct Counted(#[expect(dead_code, reason = "it is its existence that counts")] Arc<Mutex<Vec<String>>>);

impl Operator for Counted {
    fn apply(&mut self, _: usize, changes: Changes, _: &Watermarks, out: &mut Output) -> Result<()> {
        out.send(changes);
        Ok(())
    }

    fn step(&mut self, _: Epoch, _: &Watermarks, _: &mut Fuel, _: &mut Output) -> Result<Step> {
        Ok(Step::Done)
    }
}

/// Like [`passing`]; the operators note the thread that they were built on.
fn counted(object: ObjectId, threads: &Arc<Mutex<Vec<String>>>) -> Arc<Graph> {
    let threads = Arc::clone(threads);
    let build = Arc::new(move |_: &Worker| {
        let thread = std::fs::read_link("/proc/thread-self")?;
        threads.lock().push(thread.display().to_string());
        Ok(Box::new(Counted(Arc::clone(&threads))) as Box<dyn Operator>)
    });
    let inputs = vec![(Upstream::Object(object), by_key())];
    Arc::new(Graph {
        nodes: vec![Node { name: "Counted".into(), inputs, schema: schema(), closing: None, build }],
        constants: vec![],
        append_only: true,
        key: None,
        consolidated: false,
        retention: None,
        recasts: Default::default(),
        stop: Stop::default(),
    })
}

#[test]
fn installing_and_dropping_leaves_nothing_behind() {
    let mut run = Run::new(2);
    run.install(V, &counting(T));
    run.join(V, 1);
    let threads = Arc::new(Mutex::new(vec![]));
    for round in 0..1000 {
        let (over, top) = (ObjectId(100 + 2 * round), ObjectId(101 + 2 * round));
        run.install(over, &counted(V, &threads));
        run.join(over, 1);
        run.install(top, &counted(over, &threads));
        run.join(top, 1);
        run.workers.send(Command::Drop(top));
        run.workers.send(Command::Drop(over));
        run.complete.clear();
    }
    run.epoch(2, vec![(T, vec![changes(&data(2, 50))])]);
    run.wait(V, 2);
    // An answer to a snapshot follows the drops.
    run.workers.snapshot().unwrap();
    assert_eq!(threads.lock().len(), 4000);
    assert_eq!(Arc::strong_count(&threads), 1, "operators of dropped views are gone");
}

/// CPU time of threads (as in `/proc`) in nanoseconds.
fn cpu(threads: &[String]) -> u64 {
    let one = |thread: &String| std::fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap();
    threads.iter().map(|t| one(t).split_whitespace().next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn idle_views_cost_no_cpu() {
    let mut run = Run::new(2);
    let threads = Arc::new(Mutex::new(vec![]));
    for view in 0..100 {
        run.install(ObjectId(100 + view), &counted(T, &threads));
        run.join(ObjectId(100 + view), 1);
    }
    run.epoch(2, vec![(T, vec![changes(&data(2, 50))])]);
    // Until the last figures have come.
    while let Ok(report) = run.reports.recv_timeout(Duration::from_millis(600)) {
        run.take(report);
    }
    let mut workers = threads.lock().clone();
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 2);
    let before = cpu(&workers);
    assert_eq!(run.reports.recv_timeout(Duration::from_millis(500)).err(), Some(RecvTimeoutError::Timeout));
    let spent = Duration::from_nanos(cpu(&workers) - before);
    assert!(spent < Duration::from_millis(2), "{spent:?} in half a second");
}

/// An edge from an object outside.
pub(in crate::runtime) fn union(object: ObjectId) -> Upstream {
    Upstream::Object(object)
}

pub(in crate::runtime) fn pass() -> Box<dyn Operator> {
    Box::new(Pass)
}
