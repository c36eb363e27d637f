//! Runs seeds side by side, notes those that are done, and says where one is that does not get on.

use std::any::Any;
use std::io::{Read, Seek};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use parking_lot::Mutex;

use super::super::done::Done;

/// How long one step may take: a statement, a start, an end. Long, since others may have the processor.
const LIMIT: Duration = Duration::from_secs(600);

/// What one of those who run seeds does now.
pub(super) struct Step(Mutex<(u64, String, Instant)>);

impl Step {
    /// A step begins.
    pub(super) fn begins(&self, what: &str) {
        let mut now = self.0.lock();
        what.clone_into(&mut now.1);
        now.2 = Instant::now();
    }

    /// Ends the process when it has taken too long: what hangs cannot be ended otherwise.
    fn check(&self) {
        let (seed, what, since) = self.0.lock().clone();
        if since.elapsed() > LIMIT {
            eprintln!("seed {seed} hangs since {:?} at: {what}\n{}", since.elapsed(), threads());
            std::process::exit(1);
        }
    }
}

/// Where each thread of this process is, as far as a debugger is there to tell.
fn threads() -> String {
    let process = std::process::id().to_string();
    let told = || -> std::io::Result<String> {
        // Into a file: who is looked at reads no pipe.
        let mut told = tempfile::tempfile()?;
        let mut debugger = Command::new("gdb");
        debugger.args(["-p", &process, "-batch", "-ex", "thread apply all bt 40"]);
        debugger.stdout(told.try_clone()?).stderr(Stdio::null()).status()?;
        told.rewind()?;
        let mut text = String::new();
        told.read_to_string(&mut text)?;
        Ok(text)
    };
    told().unwrap_or_else(|error| format!("where its threads are cannot be told: gdb: {error}"))
}

/// The seeds that the environment names, or the first few.
fn wanted(few: u64) -> Range<u64> {
    let seeds = std::env::var("HIGHWATER_FAULT_SEEDS").ok();
    let range = seeds.as_deref().and_then(|seeds| seeds.split_once(".."));
    range.map_or(0..few, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

/// How many at once: some of the time each waits for its disk.
fn at_once() -> usize {
    let said = std::env::var("HIGHWATER_FAULT_AT_ONCE").ok().map(|number| number.parse().unwrap());
    said.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Runs them all. One that fails is told at once, and the others go on.
pub(super) fn run(few: u64, history: impl Fn(u64, &Step) -> Result<(), String> + Sync) {
    let done = Done::open(std::env::var("HIGHWATER_FAULT_DONE").ok(), &std::env::current_exe().unwrap());
    let seeds: Vec<u64> = wanted(few).filter(|seed| !done.has(*seed)).collect();
    let steps: Vec<Step> = (0..at_once()).map(|_| Step(Mutex::new((0, String::new(), Instant::now())))).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        let (working, ended) = bounded::<()>(0);
        for step in &steps {
            let (working, done, seeds, next, failed, history) =
                (working.clone(), &done, &seeds, &next, &failed, &history);
            let run = move || {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    *step.0.lock() = (seed, "the beginning".into(), Instant::now());
                    let ran = catch_unwind(AssertUnwindSafe(|| history(seed, step)));
                    match ran.unwrap_or_else(|panic| Err(words(panic.as_ref()))) {
                        Ok(()) => done.note(seed),
                        Err(error) => {
                            eprintln!("seed {seed}: {error}");
                            failed.lock().push(seed);
                        }
                    }
                }
                step.begins("all is done");
                drop(working);
            };
            std::thread::Builder::new().name("history".into()).spawn_scoped(scope, run).unwrap();
        }
        drop(working);
        while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            steps.iter().filter(|step| step.0.lock().1 != "all is done").for_each(Step::check);
        }
    });
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("for no reason that it tells"))
}
