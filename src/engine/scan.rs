//! [`StoreScan`]: the rows of a table or view whose memory is bounded, or as of an epoch, read chunk by chunk as they are asked for.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};

use super::transaction::Overlay;
use crate::error::Result;
use crate::store::{Past, Version};

/// The rows that are scanned.
#[derive(Clone)]
pub(super) enum Stored {
    /// What is there, with what the session's own transaction has changed.
    Now(Version, Option<Arc<Overlay>>),
    /// What was there at an epoch.
    Then {
        past: Arc<Past>,
        /// Of what it takes to know.
        _memory: Arc<MemoryReservation>,
    },
}

impl Stored {
    /// Where rows are counted off that were deleted, or have come since, one partition reads them all.
    fn partitions(&self, most: usize) -> usize {
        match self {
            Self::Now(version, None) => most.clamp(1, version.chunks().max(1)),
            Self::Now(_, Some(_)) | Self::Then { .. } => 1,
        }
    }

    /// The rows of one partition.
    fn read(&self, partition: usize, partitions: usize) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send> {
        let (version, overlay) = match self {
            Self::Then { past, .. } => return Box::new(past.batches()),
            Self::Now(version, overlay) => (version.clone(), overlay),
        };
        let chunks = (partition..version.chunks()).step_by(partitions);
        let stored = chunks.filter_map(move |chunk| version.batch(chunk).transpose());
        match overlay {
            Some(overlay) => Box::new(overlay.over(stored)),
            None => Box::new(stored),
        }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(version, _) => write!(f, "{} rows", version.rows()),
            Self::Then { past, .. } => write!(f, "{} rows of the past", past.rows()),
        }
    }
}

/// Reads what is stored. A partition holds one chunk at a time.
pub(super) struct StoreScan {
    stored: Stored,
    /// Of the whole rows.
    whole: SchemaRef,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl StoreScan {
    pub(super) fn new(
        whole: SchemaRef,
        stored: Stored,
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<Self> {
        let projection = projection.cloned();
        let schema = match &projection {
            Some(columns) => Arc::new(whole.project(columns)?),
            None => Arc::clone(&whole),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(stored.partitions(partitions)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { stored, whole, projection, properties: Arc::new(properties) })
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }
}

impl fmt::Debug for StoreScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreScan({:?})", self.stored)
    }
}

impl DisplayAs for StoreScan {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreScan: {:?}", self.stored)
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
        let (whole, projection) = (Arc::clone(&self.whole), self.projection.clone());
        let rows = self.stored.read(partition, self.partitions());
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
            let (rows, bytes) = match &self.stored {
                Stored::Now(version, None) => (Precision::Exact(version.rows()), Precision::Inexact(version.bytes())),
                Stored::Now(version, Some(_)) => {
                    (Precision::Inexact(version.rows()), Precision::Inexact(version.bytes()))
                }
                Stored::Then { past, .. } => (Precision::Inexact(past.rows()), Precision::Absent),
            };
            (statistics.num_rows, statistics.total_byte_size) = (rows, bytes);
        }
        Ok(Arc::new(statistics))
    }
}
