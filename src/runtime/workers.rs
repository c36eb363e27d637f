//! The worker threads as one value: start, command, snapshot, stop.
//!
//! Every command goes to every worker, in one order. A worker that fails aborts the process: what it held can't be
//! trusted any more, and recovery starts from the log.

use std::sync::Arc;
use std::thread::Thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use timely::communication::WorkerGuards;

use super::command::{Command, NodeState, Report};
use super::{render, worker};
use crate::error::{Error, Result};
use crate::operators::Graph;
use crate::spill::Memory;

/// Running worker threads. Dropping it ends them.
pub struct Workers {
    /// One channel per worker, and the thread to wake.
    commands: Vec<(Sender<Command>, Thread)>,
    threads: Option<WorkerGuards<()>>,
}

impl Workers {
    /// Starts `peers` threads, at least one, which send what they have to say to `reports`.
    pub fn start(peers: usize, memory: &Arc<Memory>, reports: Sender<Report>) -> Result<Self> {
        let peers = peers.max(1);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..peers).map(|_| unbounded()).unzip();
        let receivers: Vec<Option<Receiver<Command>>> = receivers.into_iter().map(Some).collect();
        let receivers = Arc::new(Mutex::new(receivers));
        let config = if peers == 1 { timely::Config::thread() } else { timely::Config::process(peers) };
        let memory = Arc::clone(memory);
        let threads = timely::execute(config, move |timely| {
            let receiver = receivers.lock().get_mut(timely.index()).and_then(Option::take);
            if let Some(receiver) = receiver {
                worker::run(timely, &receiver, Arc::clone(&memory), reports.clone());
            }
        });
        let threads = threads.map_err(|e| Error::internal(format!("the workers could not be started: {e}")))?;
        let handles = threads.guards().iter().map(|guard| guard.thread().clone());
        Ok(Self { commands: senders.into_iter().zip(handles).collect(), threads: Some(threads) })
    }

    /// Refuses a graph that could not be installed: to be called before `Install`, where failing aborts.
    pub fn check(graph: &Graph) -> Result<()> {
        render::check(graph)
    }

    /// Sends a command to all workers; commands sent from one thread arrive in order. Never blocks.
    pub fn send(&self, command: Command) {
        for (worker, thread) in &self.commands {
            // A worker that is gone has aborted the process, or is being stopped.
            let _ = worker.send(command.clone());
            thread.unpark();
        }
    }

    /// All state of all operators on all workers; to be called at a quiescent point only (every epoch sent is complete).
    pub fn snapshot(&self) -> Result<Vec<NodeState>> {
        let (answer, answers) = unbounded();
        self.send(Command::Snapshot(answer));
        let mut states = Vec::new();
        for _ in &self.commands {
            states.append(&mut answers.recv().map_err(|_| Error::internal("a worker is gone"))??);
        }
        Ok(states)
    }

    /// What changed in the states that note it; to be called at a quiescent point only.
    pub fn capture(&self, number: u64, budget: usize) -> Result<Vec<NodeState>> {
        let (answer, answers) = unbounded();
        self.send(Command::Capture { number, budget, answer });
        let mut states = Vec::new();
        for _ in &self.commands {
            states.append(&mut answers.recv().map_err(|_| Error::internal("a worker is gone"))??);
        }
        Ok(states)
    }

    /// Ends the threads and waits for them.
    pub fn stop(mut self) -> Result<()> {
        self.join()
    }

    /// Number of workers.
    pub fn peers(&self) -> usize {
        self.commands.len()
    }

    fn join(&mut self) -> Result<()> {
        let Some(threads) = self.threads.take() else { return Ok(()) };
        self.send(Command::Stop);
        for ended in threads.join() {
            ended.map_err(|e| Error::internal(format!("a worker failed: {e}")))?;
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!("{error}");
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
