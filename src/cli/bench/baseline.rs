//! Batch runs by DataFusion, with its own SQL and functions and nothing of ours.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::checksum::Checksum;
use super::input::Input;
use crate::error::{Error, Result};

/// As many threads as workers.
pub(super) fn tokio(threads: usize) -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

/// A session over rows in memory, as tables of the inputs' names.
pub(super) fn context(inputs: &[Input], partitions: usize) -> Result<SessionContext> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    for input in inputs {
        let mut parts = vec![Vec::new(); partitions];
        for (at, batch) in input.batches.iter().enumerate() {
            parts[at % partitions].push(batch.clone());
        }
        let table = MemTable::try_new(input.spec.schema.clone(), parts)?;
        context.register_table(input.spec.name.as_str(), Arc::new(table))?;
    }
    Ok(context)
}

/// Plans a query.
pub(super) fn plan(tokio: &Runtime, context: &SessionContext, query: &str) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(tokio.block_on(async { context.sql(query).await?.create_physical_plan().await })?)
}

/// Runs a plan to its end; each partition's rows are counted and checksummed as they come.
pub(super) fn run(tokio: &Runtime, context: &SessionContext, plan: &Arc<dyn ExecutionPlan>) -> Result<Checksum> {
    let partition = |at| {
        let (plan, task) = (Arc::clone(plan), context.task_ctx());
        tokio.spawn(async move {
            let mut sum = Checksum::default();
            let mut rows = plan.execute(at, task)?;
            while let Some(batch) = rows.next().await {
                sum.add(&batch?, None)?;
            }
            Ok::<_, Error>(sum)
        })
    };
    let partitions: Vec<_> = (0..plan.output_partitioning().partition_count()).map(partition).collect();
    let mut sum = Checksum::default();
    for partition in partitions {
        sum.merge(tokio.block_on(partition).map_err(|e| Error::internal(e.to_string()))??);
    }
    Ok(sum)
}
