//! DataFusion's logical plan -> [`Plan`](super::Plan), or an error that names what cannot be run incrementally.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;

use super::ViewPlan;
use crate::catalog::object::Emit;
use crate::data::ObjectId;
use crate::error::{Error, Result};

/// The clauses behind a view's query, and its settings.
#[derive(Clone, Debug)]
pub struct ViewOptions {
    /// EMIT ..
    pub emit: Emit,
    /// ALLOW LATENESS, microseconds, not negative.
    pub lateness: Option<i64>,
    /// LATE ROWS INTO.
    pub late_into: Option<LateTarget>,
    /// The session's settings (TimeZone) that the view keeps.
    pub config: Arc<ConfigOptions>,
}

/// The table that takes late rows.
#[derive(Clone, Debug)]
pub struct LateTarget {
    /// Its id.
    pub table: ObjectId,
    /// Its name, for messages.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

impl Default for ViewOptions {
    /// EMIT ON UPDATE, nothing else.
    fn default() -> Self {
        Self { emit: Emit::OnUpdate, lateness: None, late_into: None, config: Arc::new(ConfigOptions::default()) }
    }
}

/// Lowers an optimized logical plan whose scans are over [`crate::catalog::relation::Relation`]s.
///
/// What is known of an input (append-only, key, watermarks) comes from its catalog object.
///
/// Errors: `0A000` with a hint, naming the operator, for what cannot be run incrementally or cannot emit as asked.
pub fn lower(_plan: &LogicalPlan, _options: &ViewOptions) -> Result<ViewPlan> {
    Err(Error::internal("not built yet"))
}
