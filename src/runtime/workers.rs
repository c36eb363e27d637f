//! The worker threads as one value: start, command, snapshot, stop.
//!
//! Every command goes to every worker, in one order. A worker that fails aborts the process: what it held is lost, and
//! recovery starts from the log.

use crossbeam_channel::Sender;

use super::command::{Command, NodeState, Report};
use crate::error::{Error, Result};

/// Running worker threads.
pub struct Workers {
    peers: usize,
}

impl Workers {
    /// Starts `peers` threads, which send what they have to say to `reports`. At least one.
    pub fn start(peers: usize, reports: Sender<Report>) -> Result<Self> {
        drop(reports);
        Ok(Self { peers })
    }

    /// Sends a command to all workers; commands sent from one thread arrive in order. Never blocks.
    pub fn send(&self, command: Command) {
        drop(command);
    }

    /// All state of all operators on all workers; to be called at a quiescent point only (every epoch sent is complete).
    pub fn snapshot(&self) -> Result<Vec<NodeState>> {
        Err(Error::internal("not built yet"))
    }

    /// Ends the threads and waits for them.
    pub fn stop(self) -> Result<()> {
        Ok(())
    }

    /// Number of workers.
    pub fn peers(&self) -> usize {
        self.peers
    }
}
