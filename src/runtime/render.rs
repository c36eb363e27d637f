//! From a view's graph of operators to a timely dataflow on one worker: the only place where an operator meets timely.
//!
//! ```text
//!  handle per object --> stage 0 --exchange--> stage 1 .. --> last stage --> completion
//! ```
//!
//! A stage holds a capability for the epoch at which it is, ends epochs in the order of the dataflow's [`Schedule`], each
//! when all its inputs have passed it, and lets go of the epoch when its rows, errors and reports are on their way. So when
//! the completion sees the frontier pass an epoch, every worker has reported it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Sender;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::Input;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{InputHandle, Scope, Stream};
use timely::scheduling::Activator;

use super::command::{Report, Restored};
use super::driver::{Builder, Delivery, Driver, Puller, puller};
use super::exchange::{Divider, Parcel};
use super::schedule::{Export, Schedule, Shared};
use super::stage::{Outlet, Slot, Stage};
use crate::data::{Changes, ObjectId};
use crate::error::{Error, Result};
use crate::operators::{Exchange, Graph, Node, Upstream, Worker};
use crate::spill::{Holder, Memory};
use crate::state::Delta;

/// Through which the worker feeds one object's rows.
pub(super) type Handle = InputHandle<u64, Builder>;

/// A view's dataflow on one worker, as the worker drives it.
pub(super) struct Rendered {
    /// Timely's number for it.
    pub(super) index: usize,
    pub(super) handles: Vec<(ObjectId, Handle)>,
    pub(super) schedule: Rc<RefCell<Schedule>>,
    pub(super) export: Rc<Export>,
    pub(super) stages: Vec<Rc<RefCell<Stage>>>,
    /// Of stages that no input wakes.
    pub(super) sources: Vec<Activator>,
    pub(super) busy: Rc<Cell<bool>>,
}

/// Refuses a graph that could not be rendered, or whose operators can't be built.
pub(super) fn check(graph: &Graph) -> Result<()> {
    let mut consumed = vec![false; graph.nodes.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        for (upstream, _) in &node.inputs {
            match upstream {
                Upstream::Node(n) if *n < at => consumed[*n] = true,
                Upstream::Node(_) => {
                    return Err(Error::internal("the operators of a view are not in topological order"));
                }
                Upstream::Object(_) => {}
            }
        }
        (node.build)(&Worker { index: 0, peers: 1 })?;
    }
    if consumed.is_empty() || consumed.iter().rev().skip(1).any(|c| !c) {
        return Err(Error::internal("an operator of a view leads nowhere"));
    }
    Ok(())
}

/// Builds a view's dataflow.
pub(super) fn render(
    timely: &mut timely::worker::Worker,
    (view, fill): (ObjectId, Option<u64>),
    graph: &Graph,
    restore: Option<&Restored>,
    memory: &Arc<Memory>,
    reports: &Sender<Report>,
) -> Result<Rendered> {
    let worker = Worker { index: timely.index(), peers: timely.peers() };
    let shared = Rc::new(Shared {
        view,
        fill,
        worker: worker.index,
        reports: reports.clone(),
        schedule: Rc::new(RefCell::new(Schedule::new())),
        export: Rc::default(),
        aside: RefCell::default(),
        busy: Rc::default(),
    });
    let places = Places::new(graph, worker.peers);
    let mut stages = Vec::new();
    for members in &places.stages {
        let slots =
            members.iter().map(|&n| slot(graph, n, &places, &worker, (restore, memory))).collect::<Result<_>>()?;
        stages.push(Rc::new(RefCell::new(Stage::new(view, slots))));
    }
    let constants = if restore.is_none() { constants(graph, &worker)? } else { vec![] };
    let index = timely.next_dataflow_index();
    let name = format!("view {view}");
    let (handles, sources) = timely.dataflow_named(&name, |scope| {
        let mut assembly =
            Assembly { scope, graph, places: &places, shared: &shared, objects: vec![], streams: HashMap::new() };
        assembly.inputs();
        let mut sources = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let first = constants.iter().filter(|(node, ..)| places.of[*node].0 == at);
            let first =
                first.map(|(node, port, changes)| (places.of[*node].1, *port, Parcel::from(changes.clone()))).collect();
            sources.extend(assembly.stage(at, Rc::clone(stage), first));
        }
        (assembly.objects.into_iter().map(|(id, handle, _)| (id, handle)).collect(), sources)
    });
    let (schedule, export) = (Rc::clone(&shared.schedule), Rc::clone(&shared.export));
    Ok(Rendered { index, handles, schedule, export, stages, sources, busy: Rc::clone(&shared.busy) })
}

/// Which stage, and which slot in it, each node has. A node's stage is the number of exchanges behind it, so edges inside
/// a stage never exchange, and edges between stages go forward only.
struct Places {
    of: Vec<(usize, usize)>,
    stages: Vec<Vec<usize>>,
}

impl Places {
    fn new(graph: &Graph, peers: usize) -> Self {
        let mut level: Vec<usize> = Vec::new();
        for node in &graph.nodes {
            let behind = node.inputs.iter().map(|(upstream, exchange)| {
                let before = if let Upstream::Node(n) = upstream { level[*n] } else { 0 };
                before + usize::from(exchanges(exchange, peers))
            });
            level.push(behind.max().unwrap_or(0));
        }
        let mut stages = vec![Vec::new(); level.iter().max().map_or(0, |l| l + 1)];
        for (node, l) in level.iter().enumerate() {
            stages[*l].push(node);
        }
        stages.retain(|members| !members.is_empty());
        let mut of = vec![(0, 0); graph.nodes.len()];
        for (stage, members) in stages.iter().enumerate() {
            for (slot, node) in members.iter().enumerate() {
                of[*node] = (stage, slot);
            }
        }
        Self { of, stages }
    }
}

fn exchanges(exchange: &Exchange, peers: usize) -> bool {
    matches!(exchange, Exchange::Key(_)) && peers > 1
}

/// The edges out of a node: consumer, port.
fn edges(graph: &Graph, from: usize) -> impl Iterator<Item = (usize, usize)> {
    graph.nodes.iter().enumerate().flat_map(move |(to, node)| {
        let ports = node.inputs.iter().enumerate();
        ports.filter(move |(_, (upstream, _))| *upstream == Upstream::Node(from)).map(move |(port, _)| (to, port))
    })
}

/// Builds a node's operator, restores its state, and says where its rows go.
fn slot(
    graph: &Graph,
    node: usize,
    places: &Places,
    worker: &Worker,
    (restore, memory): (Option<&Restored>, &Arc<Memory>),
) -> Result<Slot> {
    let Node { name, build, .. } = &graph.nodes[node];
    let mut operator = build(worker)?;
    if let Some(state) = operator.state() {
        state.bound(memory.account(Holder::State));
    }
    if let (Some(restored), Some(state)) = (restore, operator.state()) {
        let deltas = restored.nodes.get(&node).into_iter().flatten();
        let own: Vec<Delta> = deltas.filter_map(|delta| delta.share(worker.index, worker.peers)).collect();
        state.restore(&own, &|bucket| bucket.worker(worker.peers) == worker.index)?;
    }
    let stage = places.of[node].0;
    let here = edges(graph, node).filter(|(to, _)| places.of[*to].0 == stage);
    let consumers = here.map(|(to, port)| (places.of[to].1, port)).collect();
    let outlet = if node + 1 == graph.nodes.len() {
        Some(Outlet::View)
    } else {
        let outlets = outlets(graph, places, stage);
        outlets.iter().position(|&n| n == node).map(Outlet::Stream)
    };
    Ok(Slot {
        node,
        name: Arc::from(name.as_str()),
        operator,
        consumers,
        outlet,
        rows_in: 0,
        rows_out: 0,
        told: 0,
        told_on_the_way: 0,
    })
}

/// The nodes of a stage with consumers in other stages: the stage's outputs, in order.
fn outlets(graph: &Graph, places: &Places, stage: usize) -> Vec<usize> {
    let leaves = |node: &usize| edges(graph, *node).any(|(to, _)| places.of[to].0 != stage);
    places.stages[stage].iter().copied().filter(leaves).collect()
}

/// The constant rows that belong on this worker, by node and port.
fn constants(graph: &Graph, worker: &Worker) -> Result<Vec<(usize, usize, Changes)>> {
    let mut mine = Vec::new();
    for (node, port, rows) in &graph.constants {
        let changes = Changes::insertions(rows.clone());
        match graph.nodes[*node].inputs.get(*port) {
            Some((_, Exchange::Key(columns))) => {
                let parts = Divider::new(columns, worker.peers).divide(changes)?;
                mine.extend(parts.into_iter().filter(|(w, _)| *w == worker.index).map(|(_, c)| (*node, *port, c)));
            }
            Some((_, Exchange::Pipeline)) | None if worker.index == 0 => mine.push((*node, *port, changes)),
            Some((_, Exchange::Pipeline)) | None => {}
        }
    }
    mine.retain(|(_, _, changes)| !changes.is_empty());
    Ok(mine)
}

/// A dataflow under construction.
struct Assembly<'a, 's> {
    scope: Scope<'s, u64>,
    graph: &'a Graph,
    places: &'a Places,
    shared: &'a Rc<Shared>,
    objects: Vec<(ObjectId, Handle, Stream<'s, u64, Parcel>)>,
    /// By node.
    streams: HashMap<usize, Stream<'s, u64, Parcel>>,
}

impl<'s> Assembly<'_, 's> {
    fn inputs(&mut self) {
        for object in self.graph.objects() {
            let mut handle = Handle::new_with_builder();
            let stream = self.scope.input_from(&mut handle);
            self.objects.push((object, handle, stream));
        }
    }

    /// Builds one stage; returns what wakes it, if no input does.
    fn stage(&mut self, at: usize, stage: Rc<RefCell<Stage>>, first: VecDeque<Delivery>) -> Option<Activator> {
        let mut builder = OperatorBuilder::new(format!("stage {at}"), self.scope);
        let mut pullers = Vec::new();
        for (slot, &node) in self.places.stages[at].iter().enumerate() {
            for (port, (upstream, exchange)) in self.graph.nodes[node].inputs.iter().enumerate() {
                if let Some(stream) = self.stream(at, *upstream) {
                    pullers.push((slot, port, self.connect(&mut builder, stream, exchange)));
                }
            }
        }
        let mut outputs = Vec::new();
        for node in outlets(self.graph, self.places, at) {
            let (output, stream) = builder.new_output::<Parcel>();
            outputs.push(OutputBuilder::<u64, Builder>::from(output));
            self.streams.insert(node, stream);
        }
        let last = at + 1 == self.places.stages.len();
        // Nothing is sent on it: it tells the completion how far the last stage is.
        let ended = last.then(|| builder.new_output::<Parcel>().1);
        let activator = self.scope.activator_for(builder.operator_info().address);
        let lonely = pullers.is_empty().then(|| activator.clone());
        let shared = Rc::clone(self.shared);
        builder.build(move |capabilities| {
            let stash = BTreeMap::from([(0, first)]);
            let mut driver = Driver {
                stage,
                shared,
                last,
                pullers,
                outputs,
                capabilities,
                stash,
                rows: vec![],
                position: 0,
                activator,
            };
            move |frontiers| driver.run(frontiers)
        });
        if let Some(stream) = ended {
            self.completion(stream);
        }
        lonely
    }

    /// The rows of an upstream that come from outside of the stage.
    fn stream(&self, stage: usize, upstream: Upstream) -> Option<Stream<'s, u64, Parcel>> {
        match upstream {
            Upstream::Node(n) if self.places.of[n].0 == stage => None,
            Upstream::Node(n) => self.streams.get(&n).cloned(),
            Upstream::Object(id) => self.objects.iter().find(|(o, ..)| *o == id).map(|(_, _, s)| s.clone()),
        }
    }

    fn connect(
        &self,
        builder: &mut OperatorBuilder<'s, u64>,
        stream: Stream<'s, u64, Parcel>,
        exchange: &Exchange,
    ) -> Puller {
        match exchange {
            Exchange::Key(columns) if self.scope.peers() > 1 => {
                let columns = columns.clone();
                let divide = DistributorPact(move |peers| Divider::new(&columns, peers));
                puller(builder.new_input(stream, divide))
            }
            Exchange::Key(_) | Exchange::Pipeline => puller(builder.new_input(stream, Pipeline)),
        }
    }

    /// Behind the last stage: removes complete epochs from the schedule; worker 0 reports them.
    fn completion(&self, stream: Stream<'s, u64, Parcel>) {
        let mut builder = OperatorBuilder::new("completion".to_owned(), self.scope);
        let mut input = puller(builder.new_input(stream, Pipeline));
        let shared = Rc::clone(self.shared);
        builder.build(move |_| {
            move |frontiers| {
                input(&mut |_, _| debug_assert!(false, "rows sent to the completion"));
                let mut schedule = shared.schedule.borrow_mut();
                while let Some(entry) = frontiers.first().and_then(|f| schedule.pop_passed(f)) {
                    if shared.worker == 0 {
                        let _ = shared.reports.send(Report::Complete { view: shared.view, epoch: entry.epoch });
                    }
                }
            }
        });
    }
}
