//! For what the runtime holds memory, how much, and how much it may: rows of `highwater.memory`.
//!
//! All figures are counted as they change, so nobody is asked, and nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::spill::Holder;

use super::{MemoryStatus, Runtime};

/// Bytes that are counted where they come and go.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Of the epochs that are closed and not published.
    pub(super) in_flight: AtomicUsize,
    /// Of the histories of all tables and views.
    pub(super) history: AtomicUsize,
}

impl Runtime {
    /// What is held. Without a memory limit what operators have is not counted here: they say it themselves
    /// ([`super::OperatorStatus`]).
    pub fn holders(&self) -> Vec<MemoryStatus> {
        let shared = &self.inner.shared;
        let (memory, limits, held) = (&shared.memory, &shared.limits, &shared.held);
        let mut all = Vec::new();
        let mut push = |holder, memory, disk, limit: Option<u64>| {
            all.push(MemoryStatus { holder, memory, disk, limit });
        };
        // States and rows share one limit.
        let together = memory.holders().map(|limit| limit as u64);
        let counted = |holder: &Holder| *holder != Holder::State || together.is_some();
        for holder in Holder::ALL.into_iter().filter(counted) {
            let usage = memory.usage(holder);
            push(holder.name(), usage.memory as u64, Some(usage.disk), together);
        }
        if let Some((cached, limit)) = memory.cached() {
            push("cache of what is on disk", cached, None, Some(limit));
        }
        let (queued, spilled, limit) = shared.sinks.waiting();
        push("sinks", queued as u64, Some(spilled), Some(limit as u64));
        push("history", load(&held.history), None, Some(limits.history_bytes as u64));
        let unread = &shared.unread;
        push(
            "subscriptions",
            unread.bytes() as u64,
            None,
            Some(unread.most()).filter(|m| *m < usize::MAX).map(|m| m as u64),
        );
        push("epochs under way", load(&held.in_flight), None, Some(limits.bytes_in_flight as u64));
        let kib = u64::from(shared.waiting_kib);
        let waiting = kib.saturating_sub(shared.waiting.available_permits() as u64);
        push("writes that wait", waiting << 10, None, Some(kib << 10));
        all
    }
}

fn load(bytes: &AtomicUsize) -> u64 {
    bytes.load(Ordering::Relaxed) as u64
}
