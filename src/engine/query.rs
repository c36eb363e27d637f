//! SELECT: DataFusion over one published epoch.
//!
//! The epoch holds every write that was acknowledged before; inside a transaction block it is the block's, with the
//! block's own changes on top. A query that reads no table and no view never waits. AS OF an older epoch it sees what that
//! epoch was, as far as the history goes back: neither the block's epoch nor its changes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;

use super::aside::Pace;
use super::environment::Shared;
use super::introspect;
use super::outcome::{Column, Outcome};
use super::past;
use super::provider::{SourceTable, StoreTable};
use super::scan::Stored;
use super::session::Session;
use super::stream::{Batches, Guard};
use super::warnings;
use crate::archive::History;
use crate::catalog::object::{Kind, Object};
use crate::catalog::system;
use crate::catalog::{Relation, SystemRelation};
use crate::data::{ColumnNumbers, Epoch, batch_bytes};
use crate::error::{Error, Result, SqlState};
use crate::runtime::{ReadMode, Snapshot, Then, altered};
use crate::sql::binder::BoundQuery;
use crate::sql::interrupt::Ended;
use crate::sql::statement::AsOf;
use crate::store::Version;

impl Session {
    /// SELECT.
    pub(super) async fn query(
        &self,
        bound: &BoundQuery,
        as_of: Option<AsOf>,
        parameters: &[ScalarValue],
        guard: Guard,
    ) -> Result<Outcome> {
        let query = Filled::of(bound, as_of, parameters)?;
        let rows = guard.wait(run(&self.shared, query, None, Pace::Ahead)).await?;
        Ok(Outcome::Rows { columns: columns_of(bound), rows: guard.rows(rows), tag: "SELECT" })
    }
}

/// A bound query's result columns.
pub(super) fn columns_of(bound: &BoundQuery) -> Vec<Column> {
    let origins = bound.origins.iter().copied().chain(std::iter::repeat((0, 0)));
    bound.columns.iter().zip(origins).map(|(field, origin)| Column { field: field.clone(), origin }).collect()
}

/// A plan, and what is to be put in the place of its `$1`, ..
pub(super) struct Filled {
    pub plan: LogicalPlan,
    pub parameters: Vec<ScalarValue>,
    /// The epoch that it reads; `None`: the present.
    pub as_of: Option<Epoch>,
}

impl Filled {
    /// A query, as of an epoch.
    pub(super) fn of(bound: &BoundQuery, as_of: Option<AsOf>, parameters: &[ScalarValue]) -> Result<Self> {
        let as_of = as_of.map(|as_of| as_of.epoch(parameters)).transpose()?;
        Ok(Self { plan: bound.plan.clone(), parameters: parameters.to_vec(), as_of })
    }
}

impl From<LogicalPlan> for Filled {
    fn from(plan: LogicalPlan) -> Self {
        Self { plan, parameters: Vec::new(), as_of: None }
    }
}

/// Runs a plan over `snapshot`, or else over the epoch that the session is to see.
pub(super) async fn run(
    shared: &Arc<Shared>,
    query: Filled,
    snapshot: Option<Snapshot>,
    pace: Pace,
) -> Result<Batches> {
    let prepared = prepare(shared, query, snapshot).await?;
    let start = |ended| async move {
        let task = prepared.shared.engine.executor().task();
        Ok(execute_stream(prepared.physical(ended).await?, task)?)
    };
    shared.rows_aside(pace, start).await
}

/// Runs a plan to its end; its rows are bounded like a transaction.
pub(super) async fn collect(
    shared: &Arc<Shared>,
    query: Filled,
    snapshot: Option<Snapshot>,
) -> Result<Vec<RecordBatch>> {
    let mut rows = run(shared, query, snapshot, Pace::Ahead).await?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.next().await.transpose()? {
        bytes += batch_bytes(&batch);
        shared.engine.runtime.check_transaction(bytes, "Write in several statements.")?;
        batches.push(batch);
    }
    Ok(batches)
}

/// Waits for what a plan is to read.
pub(super) async fn prepare(shared: &Arc<Shared>, query: Filled, snapshot: Option<Snapshot>) -> Result<Ready> {
    let reads = Reads::of(&query.plan)?;
    if let Some(epoch) = query.as_of {
        let stored = Rows::Then(past::then(shared, &reads, epoch).await?);
        return Ok(Ready { shared: Arc::clone(shared), query, stored, running: HashMap::new() });
    }
    let stored = match snapshot {
        None if reads.stored() => Rows::At(current_snapshot(shared).await?),
        given => given.map_or(Rows::None, Rows::At),
    };
    if let Rows::At(snapshot) = &stored {
        warnings::of_reading(shared, &reads.user, snapshot);
    }
    let mut running = HashMap::new();
    for relation in reads.system.iter().filter(|r| system::running(r)) {
        running.insert(relation.oid, introspect::rows(shared, relation).await?);
    }
    Ok(Ready { shared: Arc::clone(shared), query, stored, running })
}

/// The rows of tables and views that a plan reads.
enum Rows {
    None,
    At(Snapshot),
    Then(Then),
}

/// A plan with all that it reads.
pub(super) struct Ready {
    shared: Arc<Shared>,
    query: Filled,
    stored: Rows,
    running: HashMap<u32, RecordBatch>,
}

impl Ready {
    /// The physical plan, with its sources in place. To be called aside: the optimizer computes what is constant.
    pub(super) async fn physical(self, ended: Ended) -> Result<Arc<dyn ExecutionPlan>> {
        let Self { shared, query, stored, running } = self;
        let executor = shared.engine.executor();
        let plan = fill_plan(query.plan, &query.parameters)?;
        let plan = executor.with_sources(plan, &mut |source| provide(&shared, &stored, &running, source))?;
        executor.physical_plan(&plan, &ended).await
    }
}

/// What a plan scans.
pub(super) struct Reads {
    pub user: Vec<Arc<Object>>,
    pub system: Vec<Arc<SystemRelation>>,
}

impl Reads {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut reads = Self { user: Vec::new(), system: Vec::new() };
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                if let Some(relation) = scan.source.downcast_ref::<Relation>() {
                    reads.user.push(relation.object().clone());
                } else if let Some(relation) = scan.source.downcast_ref::<SystemRelation>() {
                    reads.system.extend(system::find(relation.namespace, relation.name));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(reads)
    }

    /// Whether any rows of an epoch are read.
    fn stored(&self) -> bool {
        self.user.iter().any(|o| matches!(o.kind, Kind::Table(_) | Kind::MaterializedView(_)))
    }
}

/// The epoch that a statement reads now: the open transaction's, which the first read fixes.
pub(super) async fn current_snapshot(shared: &Arc<Shared>) -> Result<Snapshot> {
    if let Some(snapshot) = shared.transaction.lock().snapshot.clone() {
        return Ok(snapshot);
    }
    let snapshot = shared.engine.runtime.snapshot(read_mode(shared)).await?;
    let mut transaction = shared.transaction.lock();
    if transaction.is_open() {
        transaction.snapshot = Some(snapshot.clone());
    }
    Ok(snapshot)
}

/// What a read waits for.
pub(super) fn read_mode(shared: &Shared) -> ReadMode {
    let latest = shared.settings.lock().named("read_mode") == "latest";
    if latest { ReadMode::Latest } else { ReadMode::Acknowledged }
}

/// Puts rows behind a scan.
fn provide(
    shared: &Arc<Shared>,
    stored: &Rows,
    running: &HashMap<u32, RecordBatch>,
    source: &Arc<dyn TableSource>,
) -> Result<Option<Arc<dyn TableProvider>>> {
    if let Some(relation) = source.downcast_ref::<SystemRelation>() {
        let rows = match running.get(&relation.oid) {
            Some(rows) => rows.clone(),
            None => system::rows(relation, shared.as_ref())?,
        };
        return Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)));
    }
    let Some(relation) = source.downcast_ref::<Relation>() else { return Ok(None) };
    let object = relation.object();
    Ok(match (&object.kind, stored) {
        (Kind::Table(_) | Kind::MaterializedView(_), Rows::At(snapshot)) => {
            let version = version_of(snapshot, object)?;
            let overlay = shared.transaction.lock().overlays.get(&object.id).cloned();
            if let Some(overlay) = &overlay {
                overlay.check(&object.shape().numbers)?;
            }
            Some(Arc::new(StoreTable::new(object.schema.clone(), Stored::Now(version, overlay))))
        }
        (Kind::Table(_) | Kind::MaterializedView(_), Rows::Then(then)) => Some(past::table(shared, then, object)?),
        (Kind::Source(_), _) => Some(source_table(shared, object)?),
        (Kind::Table(_) | Kind::MaterializedView(_), Rows::None) | (Kind::View(_) | Kind::Sink(_), _) => None,
    })
}

/// The rows of a table or view, with the columns that a statement was bound to.
///
/// Errors: `40001` the table was altered meanwhile.
pub(super) fn version_of(snapshot: &Snapshot, object: &Object) -> Result<Version> {
    let version = snapshot.version(object.id, &object.name)?;
    check_columns(&version, object)?;
    Ok(version)
}

/// Errors: `40001` rows have other columns than a statement was bound to.
pub(super) fn check_columns(version: &Version, object: &Object) -> Result<()> {
    match &object.kind {
        Kind::Table(table) if ColumnNumbers::carried(version.schema()) != table.numbers => Err(altered()),
        Kind::Table(_) | Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => Ok(()),
    }
}

fn source_table(shared: &Arc<Shared>, object: &Object) -> Result<Arc<dyn TableProvider>> {
    let connector = match shared.engine.archive(object)? {
        Some(archive) => History::of(&archive, true),
        None => shared.engine.connector(object)?,
    };
    if connector.replayable() {
        let (shared, name) = (Arc::downgrade(shared), object.name.clone());
        // Nothing vanishes silently: a view would have them in highwater.errors.
        let skipped = Arc::new(move |count: u64, first: &str| {
            let records = if count == 1 { "record" } else { "records" };
            let message = format!("source \"{name}\" has {count} {records} that could not be read");
            let warning = Error::new(SqlState::WARNING, message).with_detail(first);
            let hint = "A materialized view over it leaves them out too, and highwater.errors tells of each.";
            if let Some(shared) = shared.upgrade() {
                shared.notice("WARNING", warning.with_hint(hint));
            }
        });
        let time = object.watermark().map(|w| w.column);
        return Ok(Arc::new(SourceTable::new(object.schema.clone(), connector, time, skipped)));
    }
    let what = format!("SELECT from source \"{}\", whose rows pass only once,", object.name);
    Err(Error::unsupported(what, "Create a materialized view over it, and SELECT from that."))
}

/// Puts values in the place of `$1`, ..
pub(super) fn fill_plan(plan: LogicalPlan, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    // DataFusion's own way finds the types of VALUES again, which are known.
    let filled = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(Transformed::yes(name.restore(fill_expr(expr, parameters)?)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(filled.data)
}

/// Puts values in the place of `$1`, .. in an expression.
pub(super) fn fill_expr(expr: Expr, parameters: &[ScalarValue]) -> Result<Expr> {
    let fill = |e: Expr| match e {
        Expr::Placeholder(placeholder) => {
            let number = placeholder.id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
            match parameters.get(number.wrapping_sub(1)) {
                Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
                None => Ok(Transformed::no(Expr::Placeholder(placeholder))),
            }
        }
        other => Ok(Transformed::no(other)),
    };
    Ok(expr.transform(fill)?.data)
}
