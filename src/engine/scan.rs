//! [`StoreScan`]: the rows of a table or view whose memory is bounded, read chunk by chunk as they are asked for.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};

use super::transaction::Overlay;
use crate::error::Result;
use crate::store::Version;

/// Reads a version. A partition holds one chunk at a time.
pub(super) struct StoreScan {
    version: Version,
    /// With its own changes a transaction reads in one partition: it counts the rows that it has deleted.
    overlay: Option<Arc<Overlay>>,
    /// Of the whole rows.
    whole: SchemaRef,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl StoreScan {
    pub(super) fn new(
        whole: SchemaRef,
        version: Version,
        overlay: Option<Arc<Overlay>>,
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<Self> {
        let projection = projection.cloned();
        let schema = match &projection {
            Some(columns) => Arc::new(whole.project(columns)?),
            None => Arc::clone(&whole),
        };
        let partitions = if overlay.is_some() { 1 } else { partitions.clamp(1, version.chunks().max(1)) };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { version, overlay, whole, projection, properties: Arc::new(properties) })
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }
}

impl fmt::Debug for StoreScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreScan({} rows)", self.version.rows())
    }
}

impl DisplayAs for StoreScan {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreScan: {} rows", self.version.rows())
    }
}

impl ExecutionPlan for StoreScan {
    fn name(&self) -> &'static str {
        "StoreScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let (version, whole, projection) = (self.version.clone(), Arc::clone(&self.whole), self.projection.clone());
        let chunks = (partition..version.chunks()).step_by(self.partitions());
        let stored = chunks.filter_map(move |chunk| version.batch(chunk).transpose());
        let rows: Box<dyn Iterator<Item = Result<RecordBatch>> + Send> = match &self.overlay {
            Some(overlay) => Box::new(overlay.over(stored)),
            None => Box::new(stored),
        };
        let rows = rows.map(move |rows| {
            // The store's batches may know less of their fields (metadata) than the catalog.
            let rows = RecordBatch::try_new(Arc::clone(&whole), rows?.columns().to_vec())?;
            Ok(match &projection {
                Some(columns) => rows.project(columns)?,
                None => rows,
            })
        });
        let rows = rows.map(|rows: Result<RecordBatch>| rows.map_err(DataFusionError::from));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), futures::stream::iter(rows))))
    }

    fn statistics_from_inputs(
        &self,
        _input_stats: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if args.partition().is_none() {
            let (rows, bytes) = (self.version.rows(), self.version.bytes());
            statistics.num_rows =
                if self.overlay.is_some() { Precision::Inexact(rows) } else { Precision::Exact(rows) };
            statistics.total_byte_size = Precision::Inexact(bytes);
        }
        Ok(Arc::new(statistics))
    }
}
