//! [`Limits`]: what bounds queues and buffers.

use crate::config::{
    EPOCH_PART, HISTORY_PART, IN_FLIGHT_PART, INGEST_PART, MAX_TRANSACTION_BYTES, MEMORY_MIN, SINK_BYTES, SINK_PART,
    SUBSCRIBE_PART, TRANSACTION_PART, WAITING_PART,
};

/// The bounds of queues and buffers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Epochs that may be under way (closed, not published).
    pub epochs_in_flight: usize,
    /// Rows of all epochs under way, above which no further one is closed.
    pub rows_in_flight: usize,
    /// Bytes of all epochs under way, above which no further one is closed.
    pub bytes_in_flight: usize,
    /// Rows of one epoch, above which it takes no more. A larger transaction has an epoch of its own.
    pub epoch_rows: usize,
    /// Bytes of one epoch, above which it takes no more.
    pub epoch_bytes: usize,
    /// Source rows of one epoch; pieces are cut where the source allows it.
    pub source_rows: usize,
    /// Rows of one batch that goes to one worker.
    pub batch_rows: usize,
    /// Bytes of one transaction; larger ones are 54000.
    pub max_transaction: usize,
    /// Bytes of writes that wait for the sequencer; further writers wait.
    pub waiting_bytes: usize,
    /// Rows read ahead per source partition.
    pub ingest_rows: usize,
    /// Rows that a new view is given of tables and views while the clock stands; more are read before.
    pub hydrate_rows: usize,
    /// Bytes read ahead per source partition.
    pub ingest_bytes: usize,
    /// Bytes of all tables' and views' history together.
    pub history_bytes: usize,
    /// Bytes that all subscribers together may leave unread.
    pub subscribe_bytes: usize,
    /// Rows of `highwater.errors` kept per view or source.
    pub errors_kept: usize,
    /// Bytes of changes that all sinks together keep until they are written.
    pub sink_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            epochs_in_flight: 4,
            rows_in_flight: 1 << 20,
            bytes_in_flight: 256 << 20,
            epoch_rows: 65_536,
            epoch_bytes: 16 << 20,
            source_rows: 65_536,
            batch_rows: 8192,
            max_transaction: MAX_TRANSACTION_BYTES,
            waiting_bytes: 256 << 20,
            ingest_rows: 65_536,
            hydrate_rows: 65_536,
            ingest_bytes: 32 << 20,
            history_bytes: 256 << 20,
            subscribe_bytes: usize::MAX,
            errors_kept: 10_000,
            sink_bytes: SINK_BYTES,
        }
    }
}

impl Limits {
    /// Bytes of what is under way or kept for a while are no more than their parts of a memory limit.
    pub fn within(self, memory: usize) -> Self {
        let memory = memory.max(MEMORY_MIN);
        Self {
            bytes_in_flight: self.bytes_in_flight.min(memory / IN_FLIGHT_PART),
            epoch_bytes: self.epoch_bytes.min(memory / EPOCH_PART),
            max_transaction: self.max_transaction.min(memory / TRANSACTION_PART),
            waiting_bytes: self.waiting_bytes.min(memory / WAITING_PART),
            ingest_bytes: self.ingest_bytes.min(memory / INGEST_PART),
            history_bytes: self.history_bytes.min(memory / HISTORY_PART),
            subscribe_bytes: self.subscribe_bytes.min(memory / SUBSCRIBE_PART),
            sink_bytes: self.sink_bytes.min(memory / SINK_PART),
            ..self
        }
    }
}
