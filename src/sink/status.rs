//! What `highwater.sinks` says of a sink.

use crate::data::Epoch;

/// Where a sink is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkPhase {
    /// Opens its folder.
    Starting,
    /// Writes.
    Running,
    /// The relation is away from the clock: the sink goes on when it is back.
    Waiting,
    /// The disk refused; it tries again.
    Retrying,
    /// It cannot go on.
    Failed,
}

impl SinkPhase {
    /// As `highwater.sinks.status` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
        }
    }
}

/// A sink's figures.
#[derive(Clone, Debug)]
pub struct SinkStatus {
    /// Where it is in its life.
    pub phase: SinkPhase,
    /// Everything up to here is in parts that survive a power loss.
    pub epoch: Epoch,
    /// Parts, ever.
    pub parts: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of changes that wait to be written.
    pub queued_bytes: usize,
    /// Why it fails.
    pub error: Option<String>,
}
