//! [`QueryPool`]: how running queries share their memory.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Of all bytes, one part of so many is for operators that can use the disk.
const SPILLING_PART: usize = 3;
/// What each of them may have, if it is there, whatever that leaves: a batch of wide rows, and its neighbours.
const SPILLING_MIN: usize = 16 << 20;

/// DataFusion's pool of fair shares, in which those who can use the disk leave room for those who cannot. A sort that writes
/// what it has is one of these too: to put sorted batches in order it needs, beside them, their sort keys once more, which
/// for narrow rows are several times as large.
#[derive(Debug)]
pub(super) struct QueryPool {
    all: FairSpillPool,
    bytes: usize,
    /// Those who can use the disk.
    spilling: AtomicUsize,
}

impl QueryPool {
    pub fn new(bytes: usize) -> Self {
        Self { all: FairSpillPool::new(bytes), bytes, spilling: AtomicUsize::new(0) }
    }

    /// What each who can use the disk may have now.
    fn share(&self) -> usize {
        let count = self.spilling.load(Ordering::Relaxed).max(1);
        (self.bytes / SPILLING_PART / count).max(SPILLING_MIN.min(self.bytes / count))
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.spilling.fetch_add(usize::from(consumer.can_spill()), Ordering::Relaxed);
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.spilling.fetch_sub(usize::from(consumer.can_spill()), Ordering::Relaxed);
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let share = self.share();
        if reservation.consumer().can_spill() && reservation.size() + additional > share {
            let what = reservation.consumer().name();
            let message = format!("{what} has {} bytes, its share is {share}", reservation.size());
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        self.all.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.all.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.bytes)
    }
}
