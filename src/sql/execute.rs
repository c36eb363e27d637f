//! Running bound plans as batch: one shared DataFusion session for all of Highwater's.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::error::{Error, Result};

/// Plans and runs batches. Everything of a session is in the bound plan, so one serves all. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executor {
    state: Arc<SessionState>,
}

#[expect(unused_variables, reason = "bodies follow")]
impl Executor {
    /// `partitions`: threads that one query may use.
    pub fn new(partitions: usize) -> Self {
        Self { state: Arc::new(datafusion::execution::SessionStateBuilder::new().build()) }
    }

    /// DataFusion's session: functions, rules and planners.
    pub fn state(&self) -> &Arc<SessionState> {
        &self.state
    }

    /// Replaces the sources of scans: what `provide` leaves (None) stays.
    pub fn with_sources(
        &self,
        plan: LogicalPlan,
        provide: &mut dyn FnMut(&Arc<dyn TableSource>) -> Result<Option<Arc<dyn TableProvider>>>,
    ) -> Result<LogicalPlan> {
        Err(Error::internal("not built yet"))
    }

    /// Optimizes and plans a bound query whose scans are over table providers.
    pub async fn physical_plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        Err(Error::internal("not built yet"))
    }

    /// What running a physical plan needs.
    pub fn task(&self) -> Arc<TaskContext> {
        self.state.task_ctx()
    }

    /// An expression ready to run over batches of a schema.
    pub fn physical_expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        Err(Error::internal("not built yet"))
    }
}
