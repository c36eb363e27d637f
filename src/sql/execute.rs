//! Running bound plans as batch: one shared DataFusion session for all of Highwater's.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DfResult;
use datafusion::execution::context::{QueryPlanner, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionStateBuilder, SessionStateDefaults, TaskContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;

use super::interrupt::{Ended, interruptible, polled_alone};
use super::pool::QueryPool;
use super::window_exec::WindowPlanner;
use crate::config::{QUERY_BYTES, QUERY_BYTES_MIN, SORTS_AT_ONCE};
use crate::error::Result;
use crate::functions::registry;
use crate::spill::Memory;

/// What stands in for a scan's source; `None` leaves it.
pub type Provide<'a> = dyn FnMut(&Arc<dyn TableSource>) -> Result<Option<Arc<dyn TableProvider>>> + 'a;

/// Plans and runs batches. Everything of a session is in the bound plan, so one serves all. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executor {
    state: Arc<SessionState>,
}

impl Executor {
    /// `partitions`: threads that one query may use.
    pub fn new(partitions: usize) -> Self {
        Self::with_runtime(partitions, QUERY_BYTES, RuntimeEnv::default())
    }

    /// Whose queries sort and group in a folder what they have no memory for.
    ///
    /// Errors: `58030` of the folder.
    pub fn bounded(partitions: usize, memory: &Memory) -> Result<Self> {
        let (Some(bytes), Some(folder)) = (memory.queries(), memory.query_folder()) else {
            return Ok(Self::new(partitions));
        };
        std::fs::create_dir_all(&folder)?;
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![folder]));
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build()?;
        Ok(Self::with_runtime(partitions, bytes.max(QUERY_BYTES_MIN), runtime))
    }

    fn with_runtime(partitions: usize, bytes: usize, runtime: RuntimeEnv) -> Self {
        polled_alone();
        let mut config = SessionConfig::new().with_target_partitions(partitions.max(1));
        config.options_mut().clone_from(super::binder::options());
        let mut config = config.with_target_partitions(partitions.max(1)).with_information_schema(false);
        // What each sort keeps in reserve for merging: many must have room at once.
        let reserve = &mut config.options_mut().execution.sort_spill_reservation_bytes;
        *reserve = (*reserve).min(bytes / SORTS_AT_ONCE);
        let registry = registry();
        let memory = Arc::new(QueryPool::new(bytes));
        let runtime = Arc::new(RuntimeEnv { memory_pool: memory, ..runtime });
        // DISTINCT ON becomes a call of this by its name.
        let first = SessionStateDefaults::default_aggregate_functions().into_iter().find(|f| f.name() == "first_value");
        let state = SessionStateBuilder::new()
            .with_runtime_env(runtime)
            .with_config(config)
            .with_default_features()
            .with_scalar_functions(registry.scalar.values().cloned().collect())
            .with_aggregate_functions(registry.aggregate.values().cloned().chain(first).collect())
            .with_window_functions(registry.window.values().cloned().collect())
            .with_optimizer_rules(rules())
            .with_query_planner(Arc::new(Planner))
            .build();
        Self { state: Arc::new(state) }
    }

    /// Bytes that running queries have in memory and on disk, and how many they may have in memory together.
    pub fn held(&self) -> (u64, u64, Option<u64>) {
        let runtime = self.state.runtime_env();
        let limit = match runtime.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => Some(bytes as u64),
            MemoryLimit::Infinite | MemoryLimit::Unknown => None,
        };
        (runtime.memory_pool.reserved() as u64, runtime.disk_manager.used_disk_space(), limit)
    }

    /// Bytes of the queries' memory, for what they hold outside of their operators.
    ///
    /// Errors: `53200` there are not so many.
    pub fn reserve(&self, what: &str, bytes: usize) -> Result<MemoryReservation> {
        let reservation = MemoryConsumer::new(what).register(&self.state.runtime_env().memory_pool);
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }

    /// DataFusion's session: functions, rules and planners.
    pub fn state(&self) -> &Arc<SessionState> {
        &self.state
    }

    /// Replaces the sources of scans, in subqueries too: what `provide` leaves (None) stays.
    pub fn with_sources(&self, plan: LogicalPlan, provide: &mut Provide<'_>) -> Result<LogicalPlan> {
        let replaced = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(mut scan) => match provide(&scan.source)? {
                Some(provider) => {
                    scan.source = provider_as_source(provider);
                    Ok(Transformed::new(LogicalPlan::TableScan(scan), true, TreeNodeRecursion::Continue))
                }
                None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            },
            other => Ok(Transformed::no(other)),
        });
        Ok(replaced?.data)
    }

    /// Optimizes a bound query.
    pub fn optimize(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        Ok(self.state.optimize(plan)?)
    }

    /// Optimizes and plans a bound query whose scans are over table providers; it will end when `ended` says so.
    pub async fn physical_plan(&self, plan: &LogicalPlan, ended: &Ended) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(interruptible(self.state.create_physical_plan(plan).await?, ended)?)
    }

    /// What running a physical plan needs.
    pub fn task(&self) -> Arc<TaskContext> {
        self.state.task_ctx()
    }

    /// An expression ready to run over batches of a schema.
    pub fn physical_expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        physical_expr(expr, schema)
    }
}

/// DataFusion's rules, but for the one that adds sums up: the sum of sums has another type than the sum.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let all = Optimizer::new().rules.into_iter();
    all.filter(|rule| rule.name() != "single_distinct_aggregation_to_group_by").collect()
}

/// An expression ready to run over batches of a schema.
pub fn physical_expr(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(create_physical_expr(expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
}

/// A session for what wants one while planning.
pub(super) fn planning_state() -> Arc<SessionState> {
    static STATE: OnceLock<Executor> = OnceLock::new();
    STATE.get_or_init(|| Executor::new(1)).state.clone()
}

/// DataFusion's physical planner, with windows.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(WindowPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}
