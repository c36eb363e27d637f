//! What the publisher knows for the system relations.

use std::time::Duration;

use crate::data::ObjectId;
use crate::metrics::{forget, set};

use super::super::command::OperatorStats;
use super::super::{EpochStatus, OperatorStatus, Status, TableStatus, ViewPhase, ViewStatus};
use super::Publisher;
use super::view::View;

impl Publisher {
    /// Shows on `/metrics` how far the views are behind that are waited for.
    pub(super) fn show_lag(&mut self) {
        for (epoch, closed, views) in self.waiting.iter().map(|e| (e.epoch, e.closed, &e.views)).rev() {
            for id in views {
                if let Some(view) = self.views.get_mut(id).filter(|v| !v.is_complete(epoch)) {
                    let lag = i64::try_from(closed.elapsed().as_millis()).unwrap_or(i64::MAX);
                    set(&self.config.metrics.lag_ms, "view", &view.name, lag);
                    view.shows_lag = true;
                }
            }
        }
    }

    /// An object has another name.
    pub(super) fn rename(&mut self, object: ObjectId, name: &str) {
        if let Some(view) = self.views.get_mut(&object) {
            for gauges in [&self.config.metrics.lag_ms, &self.config.metrics.view_rows, &self.config.metrics.view_bytes]
            {
                forget(gauges, "view", &view.name);
            }
            view.name = name.into();
        }
        if let Some(table) = self.tables.get_mut(&object) {
            table.name = name.into();
        }
        if let Some((source, _)) = self.source_errors.get_mut(&object) {
            *source = name.into();
        }
    }

    /// Adds the views that are published, their operators, the epochs and the tables.
    pub(super) fn status(&self, mut status: Status) -> Status {
        status.epoch = self.published;
        for view in self.views.values().filter(|v| v.left.is_none() && v.history.is_some()) {
            if !status.views.iter().any(|v| v.id == view.id) {
                status.views.push(self.view_status(view));
            }
        }
        for told in &mut status.views {
            // One that has left is known to the sequencer, its rows are here.
            if let Some(view) = self.views.get(&told.id) {
                told.rows = view.store.rows() as u64;
                told.bytes = (view.store.bytes() + view.history.as_ref().map_or(0, |h| h.bytes)) as u64;
                told.counters = view.counters;
                told.errors = u64::try_from(view.errors.standing).unwrap_or(0);
            }
        }
        status.views.sort_by_key(|v| v.id);
        status.operators = self.views.values().flat_map(operators).collect();
        status.epochs = self.recent.iter().cloned().chain(self.under_way()).collect();
        for (id, table) in &self.tables {
            if let Some(entry) = self.objects.get(id) {
                let (rows, bytes) = (entry.version.rows() as u64, entry.version.bytes() as u64);
                status.tables.push(TableStatus { id: *id, name: table.name.to_string(), rows, bytes });
            }
        }
        status
    }

    fn view_status(&self, view: &View) -> ViewStatus {
        ViewStatus {
            id: view.id,
            name: view.name.to_string(),
            phase: ViewPhase::Running,
            epoch: self.published,
            lag_ms: u64::try_from(self.lag(view.id).as_millis()).unwrap_or(u64::MAX),
            freshness_ms: view.freshness.as_secs_f64() * 1000.0,
            rows: 0,
            bytes: 0,
            counters: view.counters,
            errors: 0,
            progress: Some(100.0),
            reason: None,
        }
    }

    /// The age of the oldest input that a view does not show yet.
    fn lag(&self, view: ObjectId) -> Duration {
        let oldest = self.waiting.iter().find(|e| e.views.contains(&view));
        oldest.map_or(Duration::ZERO, |e| e.closed.elapsed())
    }

    fn under_way(&self) -> impl Iterator<Item = EpochStatus> {
        self.waiting.iter().map(|info| EpochStatus {
            epoch: info.epoch,
            rows: info.rows as u64,
            bytes: info.bytes as u64,
            transactions: info.transactions as u64,
            closed: info.closed_at,
            latency_ms: None,
        })
    }
}

/// The figures of a view's operators, by node and worker.
fn operators(view: &View) -> Vec<OperatorStatus> {
    let mut operators = Vec::new();
    for (worker, nodes) in &view.operators {
        for (node, stats) in nodes.iter().enumerate() {
            let OperatorStats { name, rows_in, rows_out, state_rows, state_bytes, alarm } = stats.clone();
            operators.push(OperatorStatus {
                view: view.id,
                view_name: view.name.to_string(),
                node,
                worker: *worker,
                name,
                rows_in,
                rows_out,
                state_rows,
                state_bytes,
                watermark: alarm,
            });
        }
    }
    operators.sort_by_key(|o| (o.node, o.worker));
    operators
}
