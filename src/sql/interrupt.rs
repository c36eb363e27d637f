//! A long query lets others go on, and ends when it must.
//!
//! DataFusion's plans yield where they read their inputs. A join or an UNNEST makes many rows out of few inputs, and a
//! nested loop may look at all pairs before it finds a row that it can give; so these yield by what they give, and the
//! loop asks between its steps whether the query is still wanted, and leaves its thread's other work to another thread.
//!
//! One step (an expression over a batch) can't be interrupted, however long it takes. The tasks of a query, those that
//! DataFusion spawns among them, are polled by [`alone`]: their thread leaves its other work to another thread where a
//! step may be long.

use std::any::Any;
use std::fmt::{self, Display, Formatter};
use std::future::{Future, poll_fn};
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::future::{BoxFuture, FutureExt};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Whether a query has to end. Cheap: it is asked once per batch.
pub type Ended = Arc<dyn Fn() -> bool + Send + Sync>;

/// For queries that are not ended from outside.
pub fn never() -> Ended {
    Arc::new(|| false)
}

/// A step that took longer makes the next one wait for a thread of its own.
const LONG_STEP: Duration = Duration::from_micros(500);

/// Polls a future of which a step may be long. The first is taken to be, and others if the one before was.
pub async fn alone<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut long = true;
    poll_fn(move |context| {
        let began = Instant::now();
        let polled = match many_threads().filter(|_| long) {
            // Its budget (what makes DataFusion's operators yield) is lifted there, and block_on gives it a new one.
            Some(handle) => tokio::task::block_in_place(|| handle.block_on(async { future.as_mut().poll(context) })),
            None => future.as_mut().poll(context),
        };
        long = began.elapsed() > LONG_STEP;
        polled
    })
    .await
}

/// The runtime, if it has other threads than this.
fn many_threads() -> Option<Handle> {
    Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// From now on the tasks that DataFusion spawns are polled by [`alone`].
pub(super) fn polled_alone() {
    static ONCE: Once = Once::new();
    // An error would say that it was done before.
    ONCE.call_once(|| drop(set_join_set_tracer(&Spawned)));
}

/// What DataFusion spawns.
struct Spawned;

impl JoinSetTracer for Spawned {
    fn trace_future(&self, future: BoxFuture<'static, Box<dyn Any + Send>>) -> BoxFuture<'static, Box<dyn Any + Send>> {
        alone(future).boxed()
    }

    fn trace_block(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> {
        work
    }
}

/// Pairs of rows after which a loop lets the others have its thread.
const PAIRS_PER_TURN: usize = 1 << 20;

/// A physical plan that yields, and ends when `ended` says so.
pub(super) fn interruptible(plan: Arc<dyn ExecutionPlan>, ended: &Ended) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            let filter = join.filter().map(|filter| watched(filter, ended));
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
            return Ok(Transformed::yes(Arc::new(CooperativeExec::new(Arc::new(join)))));
        }
        let multiplies = node.is::<CrossJoinExec>()
            || node.is::<HashJoinExec>()
            || node.is::<SortMergeJoinExec>()
            || node.is::<UnnestExec>();
        Ok(if multiplies { Transformed::yes(Arc::new(CooperativeExec::new(node)) as _) } else { Transformed::no(node) })
    })?;
    Ok(plan.data)
}

fn watched(filter: &JoinFilter, ended: &Ended) -> JoinFilter {
    let inner = Arc::clone(filter.expression());
    let expression = Watched { inner, ended: Arc::clone(ended), pairs: Arc::default() };
    JoinFilter::new(Arc::new(expression), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// A join's condition.
struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    ended: Ended,
    /// Looked at since the others last had their turn.
    pairs: Arc<AtomicUsize>,
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if (self.ended)() {
            // Whoever ended it says why.
            return Err(DataFusionError::Execution("the query was ended".into()));
        }
        let pairs = self.pairs.fetch_add(batch.num_rows(), Ordering::Relaxed) + batch.num_rows();
        if pairs >= PAIRS_PER_TURN && many_threads().is_some() {
            self.pairs.store(0, Ordering::Relaxed);
            return tokio::task::block_in_place(|| self.inner.evaluate(batch));
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, ended: Arc::clone(&self.ended), pairs: Arc::clone(&self.pairs) }))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl Display for Watched {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.inner, f)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.inner.as_ref() == other.inner.as_ref()
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
