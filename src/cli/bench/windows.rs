//! `bench windows`: what continuous execution costs, beside one batch run of the same query over the same rows.
//!
//! Measured: a view's SQL is parsed, planned and lowered as CREATE MATERIALIZED VIEW does it, and its operators run on
//! timely workers ([`Bare`]). From the first epoch (65,536 rows each, four under way at most) until the last one, which
//! ends event time, is complete, the clock runs: for the watermark of every row, exchange, state, emission, and readers
//! (as many as workers) that count and checksum what the workers report instead of storing it. Not measured: reading
//! sources, the log and the view store; starting threads and planning.
//!
//! The baseline is DataFusion with its own SQL and functions over the same Arrow batches in memory, with as many
//! partitions and threads as there are workers; the clock runs from the start of a physical plan until its last row is
//! counted and checksummed. Both sides take turns, after one run each that does not count.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::checksum::Checksum;
use super::input::{self, Input};
use super::measure::{Stopwatch, Taken, median};
use super::report::Figure;
use super::{Bench, queries};
use crate::config::EPOCHS_IN_FLIGHT;
use crate::data::Epoch;
use crate::error::{Error, Result};
use crate::runtime::command::Report;
use crate::runtime::{Bare, ViewSpec};

/// A case with what it needs to run.
struct Ready<'a> {
    case: &'static queries::Case,
    view: ViewSpec,
    inputs: Vec<&'a Input>,
}

/// What the runs of a case gave.
#[derive(Default)]
struct Runs {
    engine: Vec<Taken>,
    baseline: Vec<Taken>,
    sums: Vec<(Checksum, Checksum)>,
}

/// Runs all cases that are wanted.
pub(super) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let cases: Vec<_> = queries::WINDOWS.iter().filter(|case| bench.wants(case.name)).collect();
    if cases.is_empty() {
        return Ok(Vec::new());
    }
    let mut names: Vec<&str> = cases.iter().flat_map(|case| case.inputs.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    let views = cases.iter().map(|case| case.view()).collect();
    let planned = super::blocking(input::plan(input::sources(bench.rows), names, views))??;
    let inputs = planned.sources.iter().map(input::read).collect::<Result<Vec<_>>>()?;
    let ready: Vec<Ready<'_>> = cases
        .into_iter()
        .zip(planned.views)
        .map(|(case, view)| {
            let wanted = case.inputs.iter().filter_map(|name| inputs.iter().find(|i| i.spec.name == *name));
            Ready { case, view, inputs: wanted.collect() }
        })
        .collect();
    let mut figures = Vec::new();
    for peers in bench.peers() {
        let runs = measure(bench, &ready, &inputs, peers)?;
        let named = |name: &str| ready.iter().zip(&runs).find(|(r, _)| r.case.name == name).map(|(_, runs)| runs);
        for (Ready { case, inputs, .. }, runs) in ready.iter().zip(&runs) {
            let rows = inputs.iter().map(|input| input.rows()).sum();
            let mut figure = Figure::of(case.name, peers, rows, &runs.engine, &runs.baseline);
            let seconds = |runs: &Runs| median(runs.engine.iter().map(|t| t.seconds));
            figure.cost = case.beside.and_then(named).map(|on_time| seconds(runs) / seconds(on_time));
            let differs = runs.sums.iter().find(|(ours, theirs)| ours != theirs).or(runs.sums.first());
            figure.checksum = differs.map(|(ours, _)| ours.text());
            figure.baseline_checksum = differs.map(|(_, theirs)| theirs.text());
            figures.push(figure);
        }
    }
    Ok(figures)
}

/// Takes turns: each round runs every case once, on both sides.
fn measure(bench: &Bench, ready: &[Ready<'_>], inputs: &[Input], peers: usize) -> Result<Vec<Runs>> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(peers).enable_all().build()?;
    let context = context(inputs, peers)?;
    let mut runs: Vec<Runs> = ready.iter().map(|_| Runs::default()).collect();
    for round in 0..=bench.runs {
        for (ready, runs) in ready.iter().zip(&mut runs) {
            super::progress(&format!("{} with {peers} workers, run {round} of {}", ready.case.name, bench.runs));
            let (ours, sum) = engine(ready, peers)?;
            let (theirs, baseline_sum) = baseline(&tokio, &context, ready.case.baseline)?;
            runs.sums.push((sum, baseline_sum));
            if round > 0 {
                runs.engine.push(ours);
                runs.baseline.push(theirs);
            }
        }
    }
    Ok(runs)
}

/// One run of the engine.
fn engine(ready: &Ready<'_>, peers: usize) -> Result<(Taken, Checksum)> {
    let sources: Vec<_> = ready.inputs.iter().map(|input| input.spec.clone()).collect();
    let (mut bare, reports) = Bare::start(peers, &ready.view, &sources)?;
    match reports.recv() {
        Ok(Report::Complete { .. }) => {}
        _ => return Err(Error::internal("the view did not start")),
    }
    let epochs = input::epochs(ready.inputs.iter().map(|input| input.rows()).max().unwrap_or(0));
    let gate = Gate::new(Epoch(epochs as u64 + 2), peers);
    let readers: Vec<_> = (0..peers)
        .map(|_| {
            let (reports, gate) = (reports.clone(), gate.clone());
            std::thread::spawn(move || read(&reports, &gate))
        })
        .collect();
    let watch = Stopwatch::start();
    for at in 0..epochs {
        let _ = gate.begin.send(());
        bare.feed(ready.inputs.iter().map(|input| (input.spec.id, input.epoch(at, epochs))))?;
    }
    let _ = gate.begin.send(());
    bare.end();
    let mut sum = Checksum::default();
    for reader in readers {
        sum.merge(reader.join().map_err(|_| Error::internal("a reader panicked"))??);
    }
    let taken = watch.taken();
    bare.stop()?;
    Ok((taken, sum))
}

/// Bounds the epochs under way, and ends the readers behind the last one.
#[derive(Clone)]
struct Gate {
    begin: Sender<()>,
    done: Receiver<()>,
    last: Epoch,
    ended: (Sender<()>, Receiver<()>),
    readers: usize,
}

impl Gate {
    fn new(last: Epoch, readers: usize) -> Self {
        let (begin, done) = bounded(EPOCHS_IN_FLIGHT);
        Self { begin, done, last, ended: unbounded(), readers }
    }

    fn complete(&self, epoch: Epoch) {
        let _ = self.done.try_recv();
        if epoch == self.last {
            for _ in 0..self.readers {
                let _ = self.ended.0.send(());
            }
        }
    }
}

/// Counts and checksums what workers report, until the last epoch is complete.
fn read(reports: &Receiver<Report>, gate: &Gate) -> Result<Checksum> {
    let mut sum = Checksum::default();
    let mut failed = None;
    loop {
        // A reader that is still at work on an output comes back here, so that all is counted when all have ended.
        let report = select! {
            recv(reports) -> report => report.map_err(|_| Error::internal("the workers are gone"))?,
            recv(gate.ended.1) -> _ => return failed.map_or(Ok(sum), Err),
        };
        match report {
            Report::Output { output, .. } => {
                let wrong = output.errors.first().map(|e| e.message.to_string());
                let late = (output.counters.late_rejected > 0).then(|| "it came too late".to_owned());
                failed = failed.or(wrong.or(late).map(|why| Error::internal(format!("a row failed: {why}"))));
                for changes in &output.rows {
                    sum.add(&changes.rows, changes.diffs.as_ref().map(|diffs| diffs.values().as_ref()))?;
                }
            }
            Report::Complete { epoch, .. } => gate.complete(epoch),
            Report::Operators { .. } => {}
        }
    }
}

/// A DataFusion session over the inputs.
fn context(inputs: &[Input], partitions: usize) -> Result<SessionContext> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    for input in inputs {
        let mut parts = vec![Vec::new(); partitions];
        for (at, batch) in input.batches.iter().enumerate() {
            parts[at % partitions].push(batch.clone());
        }
        let table = MemTable::try_new(input.spec.schema.clone(), parts)?;
        context.register_table(input.spec.name.as_str(), Arc::new(table))?;
    }
    Ok(context)
}

/// One run of the baseline.
fn baseline(tokio: &Runtime, context: &SessionContext, query: &str) -> Result<(Taken, Checksum)> {
    let plan = tokio.block_on(async { context.sql(query).await?.create_physical_plan().await })?;
    let watch = Stopwatch::start();
    let partitions = (0..plan.output_partitioning().partition_count()).map(|at| {
        let (plan, task): (Arc<dyn ExecutionPlan>, _) = (plan.clone(), context.task_ctx());
        tokio.spawn(async move {
            let mut sum = Checksum::default();
            let mut rows = plan.execute(at, task)?;
            while let Some(batch) = rows.next().await {
                sum.add(&batch?, None)?;
            }
            Ok::<_, Error>(sum)
        })
    });
    let partitions: Vec<_> = partitions.collect();
    let mut sum = Checksum::default();
    for partition in partitions {
        sum.merge(tokio.block_on(partition).map_err(|e| Error::internal(e.to_string()))??);
    }
    Ok((watch.taken(), sum))
}
