//! A server of ours inside the test process, in one of the modes, and what happens after every FLUSH.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use highwater::config::EngineConfig;
use highwater::engine::Engine;

/// How a test's server runs. Every .slt gives the same answers in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One worker.
    One,
    /// Four workers.
    Four,
    /// Batches of one row, two workers.
    OneRow,
    /// After every FLUSH: snapshot everything, end the workers, restore with another number of them.
    Restart,
    /// At the end the recorded log is replayed with another number of workers: the same changes per view and epoch.
    Replay,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::One, Self::Four, Self::OneRow, Self::Restart, Self::Replay];

    /// As in names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Four => "four",
            Self::OneRow => "one_row",
            Self::Restart => "restart",
            Self::Replay => "replay",
        }
    }
}
