//! One worker thread: take commands, move rows from view to view, step timely, report; sleep when there is nothing.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::command::{Command, EpochInput, NodeState, OperatorStats, PastEpochs, Report, Restored};
use super::exchange::Parcel;
use super::render::{Handle, Rendered, render};
use super::schedule::{Entry, Export, Exported};
use crate::data::{Changes, Epoch, ObjectId, Recast, WatermarkVector, Watermarks};
use crate::error::{Error, Result};
use crate::operators::Graph;
use crate::spill::Memory;
use crate::state::Capture;

/// How often the figures of operators are sent at most.
const FIGURES_EVERY: Duration = Duration::from_millis(250);
/// How often idle states are told to shrink at most.
const RELIEF_EVERY: Duration = Duration::from_millis(50);
/// Commands taken before timely is stepped again.
const COMMANDS: usize = 64;
/// Rows from which a batch is cut, so that every worker gets a part.
const CUT: usize = 4096;

/// Ends the process after a bug that leaves state that can't be trusted: what was acknowledged is in the log.
pub(super) fn abort(what: &str, error: &Error) -> ! {
    tracing::error!("{what}: {error}");
    // The log may be filtered or buffered; this is the last thing that the process says.
    #[expect(clippy::print_stderr, reason = "the process ends")]
    {
        eprintln!("highwater: {what}: {error}");
    }
    std::process::abort()
}

/// Runs a worker until it is told to stop.
pub(super) fn run(
    timely: &mut timely::worker::Worker,
    commands: &Receiver<Command>,
    memory: Arc<Memory>,
    reports: Sender<Report>,
) {
    let mut worker = Worker {
        index: timely.index(),
        peers: timely.peers(),
        reports,
        memory,
        dataflows: Vec::new(),
        last_figures: Instant::now(),
        last_relief: Instant::now(),
        pause: FIGURES_EVERY,
    };
    loop {
        let mut taken = 0;
        while taken < COMMANDS {
            match commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return worker.stop(timely),
                Ok(command) => worker.obey(timely, command),
                Err(TryRecvError::Empty) => break,
            }
            taken += 1;
        }
        worker.pump();
        worker.relieve();
        let figures = worker.figures();
        // Whoever sends a command unparks this thread, so that none is slept through.
        timely.step_or_park(if taken == COMMANDS { Some(Duration::ZERO) } else { figures });
    }
}

struct Worker {
    index: usize,
    peers: usize,
    reports: Sender<Report>,
    memory: Arc<Memory>,
    /// In the order of installation: a view comes after the views that it reads.
    dataflows: Vec<Dataflow>,
    last_figures: Instant,
    last_relief: Instant,
    /// Until the next ones.
    pause: Duration,
}

/// A view's dataflow on this worker.
struct Dataflow {
    view: ObjectId,
    nodes: usize,
    /// The tables and sources that it reads, through views too.
    roots: Vec<ObjectId>,
    inputs: Vec<Input>,
    rendered: Rendered,
    track: bool,
    joined: bool,
    restored: bool,
    /// At the end of the last epoch that concerned it.
    watermarks: Arc<WatermarkVector>,
}

/// One object that a dataflow reads.
struct Input {
    object: ObjectId,
    handle: Handle,
    link: Option<Link>,
    /// Of a table that was altered: how the dataflow sees its rows.
    recast: Option<Arc<Recast>>,
}

/// From a view's dataflow to one that reads the view, on the same worker.
struct Link {
    export: Rc<Export>,
    rows: Rc<Exported>,
    /// The importer's epochs for which this input is still open, and whether they concern the exporter.
    open: VecDeque<(u64, bool)>,
}

impl Worker {
    fn obey(&mut self, timely: &mut timely::worker::Worker, command: Command) {
        match command {
            Command::Install { view, graph, restore, fill, track } => {
                if let Err(error) = self.install(timely, view, &graph, (restore.as_deref(), fill), track) {
                    abort(&format!("view {view} could not be built"), &error);
                }
            }
            Command::Feed { view, object, batches } => self.feed(view, object, batches),
            Command::Join { view, epoch, watermarks, past } => {
                if let Some(dataflow) = self.dataflows.iter_mut().find(|d| d.view == view) {
                    match past {
                        Some(past) => dataflow.join_past(epoch, &watermarks, &past, self.index, self.peers),
                        None => dataflow.join(epoch, watermarks),
                    }
                }
            }
            Command::Epoch(input) => self.epoch(&input),
            Command::Alter { view, table, recast } => {
                let dataflow = self.dataflows.iter_mut().find(|d| d.view == view);
                let input = dataflow.and_then(|d| d.inputs.iter_mut().find(|i| i.object == table));
                input.into_iter().for_each(|input| input.recast.clone_from(&recast));
            }
            Command::Drop(view) => self.remove(timely, view),
            Command::Snapshot(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.snapshot());
            }
            Command::Capture { number, budget, answer } => drop(answer.send(self.capture(Capture { number, budget }))),
            Command::Stop => {}
        }
    }

    fn install(
        &mut self,
        timely: &mut timely::worker::Worker,
        view: ObjectId,
        graph: &Graph,
        (restore, fill): (Option<&Restored>, Option<u64>),
        track: bool,
    ) -> Result<()> {
        let mut rendered = render(timely, (view, fill), graph, restore, &self.memory, &self.reports)?;
        if track {
            let covered = restore.is_some_and(|restored| restored.covered);
            rendered.stages.iter().for_each(|stage| stage.borrow_mut().track(covered));
        }
        let mut roots = Vec::new();
        let mut inputs = Vec::new();
        for (object, handle) in rendered.handles.drain(..) {
            let exporter = self.dataflows.iter().find(|d| d.view == object);
            roots.extend(exporter.map_or(vec![object], |d| d.roots.clone()));
            let link = exporter.map(|d| Link {
                export: Rc::clone(&d.rendered.export),
                rows: Rc::default(),
                open: VecDeque::new(),
            });
            let recast = graph.recasts.get(&object).cloned();
            inputs.push(Input { object, handle, link, recast });
        }
        roots.sort_unstable();
        roots.dedup();
        let (nodes, restored) = (graph.nodes.len(), restore.is_some());
        let watermarks = Arc::default();
        let joined = false;
        self.dataflows.push(Dataflow { view, nodes, roots, inputs, rendered, track, joined, restored, watermarks });
        Ok(())
    }

    fn feed(&mut self, view: ObjectId, object: ObjectId, batches: Arc<Vec<Changes>>) {
        let Some(dataflow) = self.dataflows.iter_mut().find(|d| d.view == view) else { return };
        let Some(input) = dataflow.inputs.iter_mut().find(|i| i.object == object) else { return };
        for changes in share(&batches, self.index, self.peers) {
            input.handle.send_batch(&mut Parcel::holding(seen(changes, input.recast.as_deref()), &batches));
        }
    }

    fn epoch(&mut self, input: &EpochInput) {
        for dataflow in &mut self.dataflows {
            if dataflow.joined && dataflow.roots.iter().any(|r| input.touched.contains(r)) {
                dataflow.epoch(input, self.index, self.peers);
            }
        }
    }

    /// Moves rows along the links between views.
    fn pump(&mut self) {
        for input in self.dataflows.iter_mut().flat_map(|d| &mut d.inputs) {
            input.pump();
        }
    }

    fn remove(&mut self, timely: &mut timely::worker::Worker, view: ObjectId) {
        let Some(at) = self.dataflows.iter().position(|d| d.view == view) else { return };
        let dataflow = self.dataflows.remove(at);
        // A reader that outlives the view (a cascade drops readers first) does not wait for it.
        dataflow.rendered.export.finished.set(u64::MAX);
        let index = dataflow.rendered.index;
        drop(dataflow);
        timely.drop_dataflow(index);
        debug_assert_eq!(timely.installed_dataflows().len(), self.dataflows.len(), "a dropped dataflow lives on");
    }

    fn stop(mut self, timely: &mut timely::worker::Worker) {
        while let Some(last) = self.dataflows.last().map(|d| d.view) {
            self.remove(timely, last);
        }
    }

    fn snapshot(&self) -> Result<Vec<NodeState>> {
        let mut states = Vec::new();
        for stage in self.dataflows.iter().flat_map(|d| &d.rendered.stages) {
            states.append(&mut stage.borrow_mut().snapshot()?);
        }
        Ok(states)
    }

    fn capture(&self, mut capture: Capture) -> Result<Vec<NodeState>> {
        let mut states = Vec::new();
        let tracked = self.dataflows.iter().filter(|d| d.track && d.joined);
        for stage in tracked.flat_map(|d| &d.rendered.stages) {
            states.append(&mut stage.borrow_mut().capture(&mut capture)?);
        }
        let made_by = Some((self.index, self.peers));
        states.iter_mut().flat_map(|state| &mut state.deltas).for_each(|delta| delta.made_by = made_by);
        Ok(states)
    }

    /// Moves state of dataflows that do nothing to disk too, when there is too much of it.
    fn relieve(&mut self) {
        if !self.memory.is_short() || self.last_relief.elapsed() < RELIEF_EVERY {
            return;
        }
        for stage in self.dataflows.iter().flat_map(|d| &d.rendered.stages) {
            stage.borrow_mut().relieve();
        }
        self.last_relief = Instant::now();
    }

    /// Sends the figures of dataflows that did something, when it is time; says how long until then, if some wait.
    fn figures(&mut self) -> Option<Duration> {
        if !self.dataflows.iter().any(|d| d.rendered.busy.get()) {
            return None;
        }
        let since = self.last_figures.elapsed();
        if let Some(wait) = self.pause.checked_sub(since).filter(|w| !w.is_zero()) {
            return Some(wait);
        }
        self.last_figures = Instant::now();
        for dataflow in self.dataflows.iter().filter(|d| d.rendered.busy.replace(false)) {
            let mut nodes = vec![OperatorStats::default(); dataflow.nodes];
            for stage in &dataflow.rendered.stages {
                stage.borrow_mut().figures(&mut nodes);
            }
            let _ = self.reports.send(Report::Operators { view: dataflow.view, worker: self.index, nodes });
        }
        // Counting the bytes of big states takes time: never more than a fiftieth of it.
        self.pause = FIGURES_EVERY.max(self.last_figures.elapsed() * 50);
        None
    }
}

impl Dataflow {
    fn join(&mut self, epoch: Epoch, watermarks: Arc<WatermarkVector>) {
        self.rendered.schedule.borrow_mut().join(|entry| {
            entry.epoch = epoch;
            // Nothing was promised to this view before, so rows that stateful operators send on are not late.
            entry.watermarks = Watermarks { before: Arc::default(), now: Arc::clone(&watermarks) };
            entry.ready = true;
            entry.step = !self.restored;
        });
        for input in &mut self.inputs {
            input.handle.advance_to(1);
            input.follow();
        }
        self.watermarks = watermarks;
        self.joined = true;
        self.wake();
    }

    /// Joins as of an epoch that is past, and goes through what changed since: rows of views too, which no link brings.
    fn join_past(
        &mut self,
        epoch: Epoch,
        watermarks: &Arc<WatermarkVector>,
        past: &PastEpochs,
        index: usize,
        peers: usize,
    ) {
        let links: Vec<Option<Link>> = self.inputs.iter_mut().map(|i| i.link.take()).collect();
        self.join(past.as_of, Arc::clone(watermarks));
        for input in &past.inputs {
            self.epoch(input, index, peers);
        }
        let (inputs, touched) = (vec![], vec![]);
        self.epoch(&EpochInput { epoch, inputs, touched, watermarks: Arc::clone(watermarks) }, index, peers);
        for (input, link) in self.inputs.iter_mut().zip(links) {
            input.link = link;
            input.follow();
        }
    }

    fn epoch(&mut self, input: &EpochInput, index: usize, peers: usize) {
        let time = input.epoch.0;
        let before = std::mem::replace(&mut self.watermarks, Arc::clone(&input.watermarks));
        let watermarks = Watermarks { before, now: Arc::clone(&input.watermarks) };
        let entry = Entry { time, epoch: input.epoch, watermarks, ready: true, step: true };
        self.rendered.schedule.borrow_mut().push(entry);
        self.rendered.export.scheduled.set(time);
        for Input { object, handle, link, recast } in &mut self.inputs {
            if let Some(link) = link {
                link.open.push_back((time, link.export.scheduled.get() == time));
                continue;
            }
            let batches = input.inputs.iter().filter(|(o, _)| o == object);
            for changes in batches.flat_map(|(_, batches)| share(batches, index, peers)) {
                handle.advance_to(time);
                handle.send_batch(&mut Parcel::from(seen(changes, recast.as_deref())));
            }
            handle.advance_to(time + 1);
        }
        self.wake();
    }

    fn wake(&self) {
        for source in &self.rendered.sources {
            source.activate();
        }
    }
}

impl Input {
    /// From now on the view that is read hands its rows on.
    fn follow(&self) {
        if let Some(link) = &self.link {
            link.export.readers.borrow_mut().push(Rc::downgrade(&link.rows));
        }
    }

    fn pump(&mut self) {
        let Some(link) = &mut self.link else { return };
        while let Some(&(time, concerned)) = link.open.front() {
            if concerned && link.export.finished.get() <= time {
                return;
            }
            let mut rows = link.rows.borrow_mut();
            while rows.front().is_some_and(|(t, _)| *t == time) {
                if let Some((_, changes)) = rows.pop_front() {
                    self.handle.advance_to(time);
                    self.handle.send_batch(&mut Parcel::from(changes));
                }
            }
            self.handle.advance_to(time + 1);
            link.open.pop_front();
        }
    }
}

/// Rows as a dataflow sees them.
fn seen(changes: Changes, recast: Option<&Recast>) -> Changes {
    match recast.map_or(Ok(None), |recast| recast.changes(&changes).map(Some)) {
        Ok(recast) => recast.unwrap_or(changes),
        Err(error) => abort("rows of an altered table cannot be seen as they were", &error),
    }
}

/// One worker's share of batches: batch i is worker `i % peers`'s. Big ones are cut when there are fewer than workers.
fn share(batches: &[Changes], index: usize, peers: usize) -> impl Iterator<Item = Changes> {
    batches.iter().enumerate().filter_map(move |(i, batch)| {
        if batches.len() < peers && batch.len() >= CUT {
            let (from, to) = (batch.len() * index / peers, batch.len() * (index + 1) / peers);
            return Some(batch.slice(from, to - from));
        }
        (i % peers == index).then(|| batch.clone())
    })
}
