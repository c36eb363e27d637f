//! Every counter and gauge, declared in one place, with its help text.
//!
//! One [`Metrics`] per server, shared by an `Arc`; updating is an atomic operation, so hot paths may do it per batch
//! (not per row). `/metrics` prints them in Prometheus' text format.
//!
//! Uses: nothing

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One label: `sqlstate`, `source`, `view`, ..
pub type Label = Vec<(&'static str, String)>;

/// A counter per value of one label.
pub type Counters = Family<Label, Counter>;

/// A gauge per value of one label.
pub type Gauges = Family<Label, Gauge>;

/// All figures of one server.
pub struct Metrics {
    registry: Registry,
    /// Client connections that are open.
    pub connections: Gauge,
    /// Client connections ever accepted.
    pub connections_total: Counter,
    /// Statements executed, failed ones included.
    pub statements: Counter,
    /// Seconds per statement, from its execution's start to its last row.
    pub statement_seconds: Histogram,
    /// Errors sent to clients, by `sqlstate`.
    pub errors: Counters,
    /// Rows sent to clients.
    pub rows_sent: Counter,
    /// Bytes sent to clients.
    pub bytes_sent: Counter,
    /// Epochs published.
    pub epochs: Counter,
    /// The newest published epoch.
    pub epoch: Gauge,
    /// Seconds from the closing of an epoch to its publication.
    pub epoch_seconds: Histogram,
    /// Bytes written to the input log on disk.
    pub log_bytes: Counter,
    /// Seconds to write and sync what was appended meanwhile.
    pub log_sync_seconds: Histogram,
    /// Checkpoints taken.
    pub checkpoints: Counter,
    /// Bytes written for checkpoints.
    pub checkpoint_bytes: Counter,
    /// Seconds to write a checkpoint.
    pub checkpoint_seconds: Histogram,
    /// Seconds in which nothing else was done for a checkpoint.
    pub checkpoint_pause_seconds: Histogram,
    /// Rows accepted, by `source` (tables included).
    pub rows_in: Counters,
    /// Records that could not be read, by `source`.
    pub bad_records: Counters,
    /// Rows below their watermark on arrival, by `source`.
    pub late: Counters,
    /// Changes that went into an already closed window, by `view`.
    pub late_accepted: Counters,
    /// Changes turned away from all their windows, by `view`.
    pub late_rejected: Counters,
    /// Rows that failed in an expression, by `view`.
    pub failed_rows: Counters,
    /// Rows that left when their retention was over, by `view`.
    pub expired_rows: Counters,
    /// Milliseconds that a view is behind the newest accepted input, by `view`.
    pub lag_ms: Gauges,
    /// Rows kept, by `view`.
    pub view_rows: Gauges,
    /// Bytes kept, by `view`.
    pub view_bytes: Gauges,
    /// Bytes of memory, by `holder`: what `highwater.memory` shows.
    pub memory_bytes: Gauges,
    /// Bytes on disk in the place of memory, by `holder`.
    pub memory_disk_bytes: Gauges,
    /// Bytes of memory at most, by `holder`.
    pub memory_limit_bytes: Gauges,
    /// Subscriptions that are open.
    pub subscriptions: Gauge,
    /// Rows written, by `sink`.
    pub sink_rows: Counters,
    /// Times that the disk refused, by `sink`.
    pub sink_refusals: Counters,
    /// Bytes of changes that wait for all sinks.
    pub sink_queued_bytes: Gauge,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("highwater");
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 4.0, 10));
        let mut metrics = Self {
            connections: Gauge::default(),
            connections_total: Counter::default(),
            statements: Counter::default(),
            statement_seconds: seconds(),
            errors: Counters::default(),
            rows_sent: Counter::default(),
            bytes_sent: Counter::default(),
            epochs: Counter::default(),
            epoch: Gauge::default(),
            epoch_seconds: seconds(),
            log_bytes: Counter::default(),
            log_sync_seconds: seconds(),
            checkpoints: Counter::default(),
            checkpoint_bytes: Counter::default(),
            checkpoint_seconds: seconds(),
            checkpoint_pause_seconds: seconds(),
            rows_in: Counters::default(),
            bad_records: Counters::default(),
            late: Counters::default(),
            late_accepted: Counters::default(),
            late_rejected: Counters::default(),
            failed_rows: Counters::default(),
            expired_rows: Counters::default(),
            lag_ms: Gauges::default(),
            view_rows: Gauges::default(),
            view_bytes: Gauges::default(),
            memory_bytes: Gauges::default(),
            memory_disk_bytes: Gauges::default(),
            memory_limit_bytes: Gauges::default(),
            subscriptions: Gauge::default(),
            sink_rows: Counters::default(),
            sink_refusals: Counters::default(),
            sink_queued_bytes: Gauge::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        metrics.registry = registry;
        Arc::new(metrics)
    }

    fn register(&self, to: &mut Registry) {
        to.register("connections", "Client connections that are open", self.connections.clone());
        to.register("connections_accepted", "Client connections ever accepted", self.connections_total.clone());
        to.register("statements", "Statements executed, failed ones included", self.statements.clone());
        to.register("statement_seconds", "Seconds per statement", self.statement_seconds.clone());
        to.register("errors", "Errors sent to clients, by SQLSTATE", self.errors.clone());
        to.register("rows_sent", "Rows sent to clients", self.rows_sent.clone());
        to.register("sent_bytes", "Bytes sent to clients", self.bytes_sent.clone());
        to.register("epochs_published", "Epochs published", self.epochs.clone());
        to.register("epoch", "The newest published epoch", self.epoch.clone());
        to.register("epoch_seconds", "Seconds from an epoch's closing to its publication", self.epoch_seconds.clone());
        to.register("log_bytes", "Bytes written to the input log on disk", self.log_bytes.clone());
        let help = "Seconds to write and sync what was appended to the input log meanwhile";
        to.register("log_sync_seconds", help, self.log_sync_seconds.clone());
        to.register("checkpoints", "Checkpoints taken", self.checkpoints.clone());
        to.register("checkpoint_bytes", "Bytes written for checkpoints", self.checkpoint_bytes.clone());
        to.register("checkpoint_seconds", "Seconds to write a checkpoint", self.checkpoint_seconds.clone());
        let help = "Seconds in which nothing else was done for a checkpoint";
        to.register("checkpoint_pause_seconds", help, self.checkpoint_pause_seconds.clone());
        to.register("rows_in", "Rows accepted, by source", self.rows_in.clone());
        to.register("bad_records", "Records that could not be read, by source", self.bad_records.clone());
        to.register("late_rows", "Rows below their watermark on arrival, by source", self.late.clone());
        to.register("late_accepted", "Changes that corrected a closed window, by view", self.late_accepted.clone());
        to.register("late_rejected", "Changes turned away as too late, by view", self.late_rejected.clone());
        to.register("failed_rows", "Rows that failed in an expression, by view", self.failed_rows.clone());
        let help = "Rows that left a view when their retention was over, by view";
        to.register("expired_rows", help, self.expired_rows.clone());
        to.register("view_lag_ms", "Milliseconds that a view is behind its input", self.lag_ms.clone());
        to.register("view_rows", "Rows kept, by view", self.view_rows.clone());
        to.register("view_bytes", "Bytes kept, by view", self.view_bytes.clone());
        to.register("memory_bytes", "Bytes of memory, by holder", self.memory_bytes.clone());
        let help = "Bytes on disk in the place of memory, by holder";
        to.register("memory_disk_bytes", help, self.memory_disk_bytes.clone());
        to.register("memory_limit_bytes", "Bytes of memory at most, by holder", self.memory_limit_bytes.clone());
        to.register("subscriptions", "Subscriptions that are open", self.subscriptions.clone());
        to.register("sink_rows", "Rows written, by sink", self.sink_rows.clone());
        to.register("sink_refusals", "Times that the disk refused a sink's files", self.sink_refusals.clone());
        to.register("sink_queued_bytes", "Bytes of changes that wait for all sinks", self.sink_queued_bytes.clone());
    }

    /// Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only if a metric's own encoding does; what was written so far is still of use.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Adds to the counter of one label value: `add(&metrics.rows_in, "source", "bids", 100)`.
pub fn add(counters: &Counters, label: &'static str, value: &str, n: u64) {
    counters.get_or_create(&vec![(label, value.to_owned())]).inc_by(n);
}

/// Sets the gauge of one label value.
pub fn set(gauges: &Gauges, label: &'static str, value: &str, n: i64) {
    gauges.get_or_create(&vec![(label, value.to_owned())]).set(n);
}

/// Forgets a label value: the source or view was dropped.
pub fn forget(gauges: &Gauges, label: &'static str, value: &str) {
    gauges.remove(&vec![(label, value.to_owned())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_every_label_value() {
        let metrics = Metrics::new();
        add(&metrics.rows_in, "source", "bids", 3);
        add(&metrics.rows_in, "source", "bids", 4);
        set(&metrics.lag_ms, "view", "v", 12);
        metrics.connections.inc();
        let text = metrics.text();
        assert!(text.contains("highwater_rows_in_total{source=\"bids\"} 7"), "{text}");
        assert!(text.contains("highwater_view_lag_ms{view=\"v\"} 12"), "{text}");
        assert!(text.contains("highwater_connections 1"), "{text}");
    }
}
