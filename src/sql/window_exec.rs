//! [`WindowExec`]: TUMBLE and HOP over batches, by the kernel that the streaming operator uses.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::StreamExt;

use super::window::WindowAssign;
use crate::error::{Error, SqlState};
use crate::functions::window::{WindowKind, window_pairs, window_starts};

/// Rows of one output batch, roughly: a hop multiplies rows.
const ROWS_OUT: usize = 8192;

/// Plans [`WindowAssign`].
#[derive(Debug)]
pub(super) struct WindowPlanner;

#[async_trait]
impl ExtensionPlanner for WindowPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(window), Some(input)) = (node.as_any().downcast_ref::<WindowAssign>(), physical_inputs.first())
        else {
            return Ok(None);
        };
        let schema = Arc::new(window.output().as_arrow().clone());
        let shape = Shape {
            column: window.time_column,
            kind: window.kind,
            window_time: window.window_time,
            nulls: window.keeps_nulls(),
        };
        Ok(Some(Arc::new(WindowExec::new(input.clone(), shape, schema))))
    }
}

/// Which windows, of which column.
#[derive(Clone, Copy, Debug)]
struct Shape {
    column: usize,
    kind: WindowKind,
    window_time: bool,
    /// Rows without time stay; otherwise they are dropped.
    nulls: bool,
}

/// Assigns rows to windows.
#[derive(Debug)]
struct WindowExec {
    input: Arc<dyn ExecutionPlan>,
    shape: Shape,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WindowExec {
    fn new(input: Arc<dyn ExecutionPlan>, shape: Shape, schema: SchemaRef) -> Self {
        let partitioning = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            partitioning,
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self { input, shape, schema, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for WindowExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowExec: {:?}", self.shape.kind)
    }
}

impl ExecutionPlan for WindowExec {
    fn name(&self) -> &'static str {
        "WindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().ok_or_else(|| DataFusionError::Internal("one child".into()))?;
        let schema = self.schema.clone();
        Ok(Arc::new(Self::new(input, self.shape, schema)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let shape = self.shape;
        let schema = self.schema.clone();
        let per_row = usize::try_from(shape.kind.windows_per_row()).unwrap_or(1).max(1);
        let rows = (ROWS_OUT / per_row).max(1);
        let out = self.schema.clone();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = input.flat_map(move |batch| {
            let schema = schema.clone();
            let pieces: Vec<Result<RecordBatch>> = match batch {
                Ok(batch) => (0..batch.num_rows())
                    .step_by(rows)
                    .map(|from| {
                        let piece = batch.slice(from, rows.min(batch.num_rows() - from));
                        let _timer = metrics.elapsed_compute().timer();
                        let assigned = assign(&piece, shape, &schema)?;
                        metrics.record_output(assigned.num_rows());
                        Ok(assigned)
                    })
                    .collect(),
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(pieces)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(out, stream)))
    }
}

fn assign(batch: &RecordBatch, shape: Shape, schema: &SchemaRef) -> Result<RecordBatch> {
    let time = batch.column(shape.column);
    let times = time.as_primitive::<TimestampMicrosecondType>();
    if !shape.nulls && !shape.kind.holds_all(times) {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range").into());
    }
    let (mut columns, starts) = if shape.nulls {
        (batch.columns().to_vec(), window_starts(times, shape.kind))
    } else {
        let (rows, starts) = window_pairs(times, shape.kind);
        let taken = batch.columns().iter().map(|c| compute::take(c, &rows, None));
        (taken.collect::<Result<Vec<ArrayRef>, _>>()?, starts)
    };
    let ends: Int64Array = starts.unary(|s| shape.kind.end(s));
    let stamp = |values: &Int64Array| -> ArrayRef {
        let array = TimestampMicrosecondArray::new(values.values().clone(), values.nulls().cloned());
        let zone = match time.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        Arc::new(array.with_timezone_opt(zone))
    };
    columns.push(stamp(&starts));
    columns.push(stamp(&ends));
    if shape.window_time {
        columns.push(stamp(&ends.unary(|e| e.saturating_sub(1))));
    }
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
