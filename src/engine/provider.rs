//! What SELECT scans: tables and views at one epoch, and sources read from their beginning.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use parking_lot::Mutex;

use super::scan::{StoreScan, Stored};
use crate::connectors::{Connector, Read};
use crate::error::Result;
use crate::runtime::MaxAhead;

/// A table or view at one epoch.
pub(super) struct StoreTable {
    schema: SchemaRef,
    stored: Stored,
}

impl StoreTable {
    pub(super) fn new(schema: SchemaRef, stored: Stored) -> Self {
        Self { schema, stored }
    }

    /// The rows that can satisfy the filters: those of one key, or all; `None`: these are to be read piece by piece.
    fn rows(&self, filters: &[Expr]) -> Result<Option<Vec<RecordBatch>>> {
        let rows = match (&self.stored, self.key(filters)?) {
            (Stored::Then { past, .. }, Some(key)) => past.lookup(&key)?.to_vec(),
            (Stored::Now(version, overlay), key) => {
                let stored = match key {
                    Some(key) => vec![version.lookup(&key)?],
                    None if version.is_bounded() => return Ok(None),
                    None => version.batches()?,
                };
                match overlay {
                    Some(overlay) => overlay.apply(stored)?,
                    None => stored,
                }
            }
            (Stored::Then { .. }, None) => return Ok(None),
        };
        // The store's batches may know less of their fields (metadata) than the catalog.
        let named = |b: &RecordBatch| Ok(RecordBatch::try_new(self.schema.clone(), b.columns().to_vec())?);
        rows.iter().map(named).collect::<Result<_>>().map(Some)
    }

    fn key_columns(&self) -> Option<&[usize]> {
        match &self.stored {
            Stored::Now(version, _) => version.key(),
            Stored::Then { past, .. } => past.key(),
        }
    }

    /// The key that the filters fix, if they fix all of it.
    fn key(&self, filters: &[Expr]) -> Result<Option<RecordBatch>> {
        let Some(key) = self.key_columns() else { return Ok(None) };
        let mut arrays = Vec::with_capacity(key.len());
        for &column in key {
            let field = self.schema.field(column);
            let fixed = filters.iter().find_map(|f| equal_to(f, field.name()));
            match fixed.and_then(|value| value.cast_to(field.data_type()).ok()) {
                Some(value) if !value.is_null() => arrays.push(value.to_array()?),
                _ => return Ok(None),
            }
        }
        let schema = Arc::new(self.schema.project(key)?);
        Ok(if arrays.is_empty() { None } else { Some(RecordBatch::try_new(schema, arrays)?) })
    }
}

/// The literal that a filter `column = literal` demands.
fn equal_to<'a>(filter: &'a Expr, column: &str) -> Option<&'a ScalarValue> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(c)) if c.name == column => {
            Some(value)
        }
        _ => None,
    }
}

impl fmt::Debug for StoreTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreTable({:?})", self.stored)
    }
}

#[async_trait::async_trait]
impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let key: Vec<&str> =
            self.key_columns().unwrap_or_default().iter().map(|c| self.schema.field(*c).name().as_str()).collect();
        let support = |filter: &&Expr| match key.iter().any(|column| equal_to(filter, column).is_some()) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let Some(rows) = self.rows(filters)? else {
            let partitions = state.config().target_partitions();
            let scan = StoreScan::new(self.schema.clone(), self.stored.clone(), projection, partitions)?;
            return Ok(Arc::new(scan));
        };
        let count = state.config().target_partitions().clamp(1, rows.len().max(1));
        let mut partitions = vec![Vec::new(); count];
        for (i, batch) in rows.into_iter().enumerate() {
            partitions[i % count].push(batch);
        }
        Ok(MemorySourceConfig::try_new_exec(&partitions, self.schema.clone(), projection.cloned())?)
    }
}

/// Told, when all of a source was read, how many of its records were bad, if any, and why the first was.
pub(super) type Skipped = Arc<dyn Fn(u64, &str) + Send + Sync>;

/// A replayable source, read as batch: from its beginning to where it has nothing more to give.
pub(super) struct SourceTable {
    connector: Arc<dyn Connector>,
    schema: SchemaRef,
    ahead: Option<MaxAhead>,
    skipped: Skipped,
}

impl SourceTable {
    /// `time` is the column whose values may not be too far ahead.
    pub(super) fn new(schema: SchemaRef, connector: Arc<dyn Connector>, time: Option<usize>, skipped: Skipped) -> Self {
        let ahead = MaxAhead::of(connector.as_ref(), time);
        Self { connector, schema, ahead, skipped }
    }
}

impl fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceTable({:?})", self.connector)
    }
}

#[async_trait::async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let partition = |index| -> Arc<dyn PartitionStream> {
            let (connector, schema, ahead) = (self.connector.clone(), self.schema.clone(), self.ahead);
            Arc::new(SourcePartition { connector, schema, ahead, index, skipped: self.skipped.clone() })
        };
        let partitions = (0..self.connector.partitions()).map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(self.schema.clone(), partitions, projection, [], false, limit)?))
    }
}

/// One partition of a source.
struct SourcePartition {
    connector: Arc<dyn Connector>,
    schema: SchemaRef,
    ahead: Option<MaxAhead>,
    index: u32,
    skipped: Skipped,
}

impl fmt::Debug for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourcePartition({:?}, {})", self.connector, self.index)
    }
}

/// The bad records of a partition.
#[derive(Default)]
struct Bad {
    count: u64,
    /// Why the first one is.
    first: String,
}

impl Bad {
    fn add(&mut self, count: usize, why: impl FnOnce() -> String) {
        if self.count == 0 && count > 0 {
            self.first = why();
        }
        self.count += count as u64;
    }
}

/// Batches that a reader may be ahead of the query.
const READ_AHEAD: usize = 4;

impl PartitionStream for SourcePartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), READ_AHEAD);
        let (sender, connector) = (builder.tx(), self.connector.clone());
        let (schema, index, ahead) = (self.schema.clone(), self.index, self.ahead);
        let found = Arc::new(Mutex::new(Bad::default()));
        let counted = Arc::clone(&found);
        builder.spawn_blocking(move || {
            let mut reader = connector.open_at_once(index, 0)?;
            while !sender.is_closed() {
                match reader.read(Duration::ZERO)? {
                    Read::Rows { rows, bad, .. } => {
                        counted.lock().add(bad.len(), || bad[0].message.clone());
                        let rows = match ahead {
                            Some(limit) => {
                                let kept = limit.keep(&rows)?;
                                counted.lock().add(rows.num_rows() - kept.num_rows(), || limit.message());
                                kept
                            }
                            None => rows,
                        };
                        let rows = RecordBatch::try_new(schema.clone(), rows.columns().to_vec())?;
                        if sender.blocking_send(Ok(rows)).is_err() {
                            break;
                        }
                    }
                    Read::Waiting | Read::End => break,
                }
            }
            Ok::<(), DataFusionError>(())
        });
        // A query that needs no more of the rows is not told: it depends on the threads how far the reader has come.
        let skipped = Arc::clone(&self.skipped);
        let told = futures::stream::poll_fn(move |_| {
            let Bad { count, first } = std::mem::take(&mut *found.lock());
            if count > 0 {
                skipped(count, &first);
            }
            Poll::Ready(None)
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), builder.build().chain(told)))
    }
}
