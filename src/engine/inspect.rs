//! Looks inside a running engine, and turns it inside out: restart with other workers, replay of the log.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use crate::catalog::object::Object;
use crate::error::{Error, Result};
use crate::plan::ViewPlan;

use super::Engine;

/// A materialized view, planned anew from its definition.
#[derive(Clone, Debug)]
pub struct InspectedView {
    /// What the catalog holds.
    pub object: Arc<Object>,
    /// The query as a batch plan, its scans over catalog relations.
    pub query: LogicalPlan,
    /// The incremental plan.
    pub plan: ViewPlan,
}

/// What a replay found: per view and epoch a digest of changes, late rows and errors.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// As it was when it happened.
    pub recorded: Vec<ViewDigest>,
    /// As the log gave it again.
    pub replayed: Vec<ViewDigest>,
}

/// What one view changed in one epoch, as one number that does not depend on order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViewDigest {
    /// The view's name.
    pub view: String,
    /// The epoch.
    pub epoch: u64,
    /// Sum of hashes times diffs.
    pub digest: u64,
}

impl Engine {
    /// The materialized views on the clock, in order of creation.
    pub fn inspect_views(&self) -> Result<Vec<InspectedView>> {
        Err(Error::internal("not built yet"))
    }

    /// Ends the worker threads and starts `workers` new ones with the state of the old. Sessions, cursors and
    /// subscriptions live on.
    pub async fn restart(&self, workers: usize) -> Result<()> {
        Err(Error::internal(format!("not built yet: {workers}")))
    }

    /// Replays the log with other workers, beside the running ones, and compares. Needs `keep_log`.
    pub async fn replay(&self, workers: usize) -> Result<Replay> {
        Err(Error::internal(format!("not built yet: {workers}")))
    }
}
