//! `bench windows`: what continuous execution costs, beside one batch run of the same query over the same rows.
//!
//! Measured: a view's SQL is parsed, planned and lowered as CREATE MATERIALIZED VIEW does it, and its operators run on
//! timely workers ([`Bare`]). From the first epoch (65,536 rows each, four under way at most) until the last one, which
//! ends event time, is complete, the clock runs: for the watermark of every row, exchange, state, emission, and readers
//! (as many as workers) that count and checksum what the workers report instead of storing it. Not measured: reading
//! sources, the log and the view store; starting threads and planning. `tumble_view` has all that: a source in memory is
//! read, sequenced, logged and published, epoch by epoch, from CREATE MATERIALIZED VIEW until FLUSH returns.
//!
//! The baseline is DataFusion with its own SQL and functions over the same Arrow batches in memory, with as many
//! partitions and threads as there are workers; the clock runs from the start of a physical plan until its last row is
//! counted and checksummed. Both sides take turns, after one run each that does not count.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use tokio::runtime::Runtime;

use super::baseline;
use super::checksum::Checksum;
use super::input::{self, Input};
use super::measure::{Stopwatch, Taken};
use super::memory::Memory;
use super::report::{Figure, Runs};
use super::{Bench, queries};
use crate::config::EPOCHS_IN_FLIGHT;
use crate::data::Epoch;
use crate::error::{Error, Result};
use crate::runtime::command::Report;
use crate::runtime::{Bare, ReadMode, RuntimeConfig, SourceSpec, ViewSpec};

/// A case with what it needs to run.
struct Ready<'a> {
    case: &'static queries::Case,
    view: ViewSpec,
    inputs: Vec<&'a Input>,
}

/// Runs all cases that are wanted.
pub(super) fn run(bench: &Bench, cases: &'static [queries::Case]) -> Result<Vec<Figure>> {
    let cases: Vec<_> = cases.iter().filter(|case| bench.wants(case.name)).collect();
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
            let mut figure = runs.figure(case.name, peers, rows);
            figure.cost = case.beside.and_then(named).map(|on_time| runs.seconds() / on_time.seconds());
            figures.push(figure);
        }
    }
    Ok(figures)
}

/// Takes turns: each round runs every case once, on both sides.
fn measure(bench: &Bench, ready: &[Ready<'_>], inputs: &[Input], peers: usize) -> Result<Vec<Runs>> {
    let tokio = baseline::tokio(peers)?;
    let context = baseline::context(inputs, peers)?;
    let mut runs: Vec<Runs> = ready.iter().map(|_| Runs::default()).collect();
    for round in 0..=bench.runs {
        for (ready, runs) in ready.iter().zip(&mut runs) {
            super::progress(&format!("{} with {peers} workers, run {round} of {}", ready.case.name, bench.runs));
            let ours = if ready.case.stored { stored(&tokio, ready, peers)? } else { engine(ready, peers)? };
            let plan = baseline::plan(&tokio, &context, ready.case.baseline)?;
            let watch = Stopwatch::start();
            let sum = baseline::run(&tokio, &context, &plan)?;
            runs.push(round, ours, (watch.taken(), sum));
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

/// One run of the whole engine below SQL, into a view that can be read.
fn stored(tokio: &Runtime, ready: &Ready<'_>, peers: usize) -> Result<(Taken, Checksum)> {
    let runtime = crate::runtime::Runtime::start(RuntimeConfig { workers: peers, ..RuntimeConfig::default() })?;
    let done = tokio.block_on(async {
        for input in &ready.inputs {
            let memory = Memory { schema: input.spec.schema.clone(), batches: input.batches.clone() };
            runtime.create_source(SourceSpec { connector: Arc::new(memory), ..input.spec.clone() }).await?;
        }
        let watch = Stopwatch::start();
        runtime.create_view(ready.view.clone()).await?;
        runtime.flush().await?;
        let taken = watch.taken();
        let mut sum = Checksum::default();
        for rows in
            runtime.snapshot(ReadMode::Acknowledged).await?.version(ready.view.id, &ready.view.name)?.batches()?
        {
            sum.add(&rows, None)?;
        }
        Ok((taken, sum))
    });
    tokio.block_on(runtime.shutdown());
    done
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
            Report::Operators { .. } | Report::Filled { .. } => {}
        }
    }
}
