//! INSERT: rows into the open epoch at once, or buffered by a transaction block.
//!
//! What the rows already there decide (ON CONFLICT DO UPDATE) is evaluated by the sequencer at the head. Where that, or
//! RETURNING, may take long ([`is_quick`]), it is evaluated aside before the commit, over the rows of an epoch with all
//! acknowledged writes, and lands only if they are still there.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;

use super::buffer;
use super::dml::{Done, Evaluated, changeable, checked, qualified, writable};
use super::head::is_quick;
use super::outcome::Outcome;
use super::query::{Filled, collect, current_snapshot, version_of};
use super::session::Session;
use super::specs::table_ref;
use super::stream::Guard;
use super::transaction::Overlay;
use crate::catalog::object::Object;
use crate::config::{PIECE_BYTES, WRITE_RETRIES};
use crate::data::batch_bytes;
use crate::error::{Error, Result, SqlState};
use crate::runtime::{OnConflict, ReadMode, TableWrite, is_conflict};
use crate::sql::binder::{BoundInsert, ConflictAction};

/// ON CONFLICT, ready to run.
#[derive(Clone)]
pub(super) enum Conflict {
    Error,
    Nothing,
    Update { assignments: Vec<(usize, Arc<dyn PhysicalExpr>)>, filter: Option<Arc<dyn PhysicalExpr>> },
}

impl Conflict {
    fn for_runtime(self) -> OnConflict {
        match self {
            Self::Error => OnConflict::Error,
            Self::Nothing => OnConflict::Nothing,
            Self::Update { assignments, filter } => OnConflict::Update { assignments, filter },
        }
    }
}

/// An INSERT with its rows.
#[derive(Clone)]
struct Insertion {
    table: Arc<Object>,
    rows: RecordBatch,
    conflict: Conflict,
    returning: Evaluated,
}

impl Session {
    /// INSERT INTO t [AS alias].
    pub(super) async fn insert(
        &self,
        bound: &BoundInsert,
        alias: Option<&str>,
        parameters: &[ScalarValue],
        guard: Guard,
    ) -> Result<Outcome> {
        writable(&bound.target, "insert into")?;
        let table = bound.target.clone();
        if matches!(bound.on_conflict, Some(ConflictAction::Update { .. })) {
            changeable(&table, "ON CONFLICT DO UPDATE")?;
        }
        let returning = Evaluated::new(&self.shared, bound.returning.as_ref(), &table, alias, parameters)?;
        let conflict = self.on_conflict(bound, alias, parameters)?;
        let query = Filled { plan: bound.source.clone(), parameters: parameters.to_vec(), as_of: None };
        let done = guard.wait(async {
            let rows = self.whole(&table, collect(&self.shared, query, None).await?).await?;
            let insertion = Insertion { table, rows, conflict, returning };
            match (self.in_transaction(), expressions(bound).all(is_quick)) {
                (true, true) => self.buffer_insert(insertion).await,
                (true, false) => self.buffer_slow_insert(insertion).await,
                (false, true) => self.insert_at_head(insertion).await,
                (false, false) => self.insert_from_outside(insertion).await,
            }
        });
        Ok(done.await?.outcome("INSERT 0"))
    }

    /// The rows as the table takes them.
    async fn whole(&self, table: &Arc<Object>, batches: Vec<RecordBatch>) -> Result<RecordBatch> {
        if batches.iter().map(batch_bytes).sum::<usize>() < PIECE_BYTES {
            return checked(table, batches);
        }
        let table = table.clone();
        self.shared.compute(move || checked(&table, batches)).await
    }

    async fn insert_at_head(&self, insertion: Insertion) -> Result<Done> {
        let Insertion { table, rows, conflict, returning } = insertion;
        let (on_conflict, wanted) = (conflict.for_runtime(), returning.is_wanted());
        let write = TableWrite::Insert { table: table_ref(&table), rows, on_conflict, returning: wanted };
        returning.result(self.commit_one(write).await?)
    }

    async fn buffer_insert(&self, insertion: Insertion) -> Result<Done> {
        let Insertion { table, rows, conflict, returning } = insertion;
        let version = version_of(&current_snapshot(&self.shared).await?, &table)?;
        let rows = {
            let mut transaction = self.shared.transaction.lock();
            let rows = buffer::insert(transaction.overlay_of(&table)?, &table, &version, rows, &conflict)?;
            transaction.check_size(&self.shared.engine.runtime)?;
            rows
        };
        returning.done(rows.num_rows() as u64, Some(rows))
    }

    async fn buffer_slow_insert(&self, insertion: Insertion) -> Result<Done> {
        let table = insertion.table.clone();
        let version = version_of(&current_snapshot(&self.shared).await?, &table)?;
        let before = self.shared.transaction.lock().overlays.get(&table.id).cloned();
        let (overlay, done) = self.shared.compute(move || insertion.over(&version, before)).await?;
        let mut transaction = self.shared.transaction.lock();
        transaction.overlays.insert(table.id, overlay);
        transaction.check_size(&self.shared.engine.runtime)?;
        Ok(done)
    }

    /// Reads at an epoch, and commits if what it met is still there, and nothing else came.
    async fn insert_from_outside(&self, insertion: Insertion) -> Result<Done> {
        let table = insertion.table.clone();
        for attempt in 0..=WRITE_RETRIES {
            let snapshot = self.shared.engine.runtime.snapshot(ReadMode::Acknowledged).await?;
            let version = version_of(&snapshot, &table)?;
            let again = insertion.clone();
            let (overlay, done) = self.shared.compute(move || again.over(&version, None)).await?;
            let writes = overlay.writes(table.id)?;
            if writes.is_empty() {
                return Ok(done);
            }
            let met = |e: &Error| is_conflict(e) || e.code() == SqlState::UNIQUE_VIOLATION;
            match self.shared.commit(writes).await {
                Ok(_) => return Ok(done),
                Err(error) if met(&error) && attempt < WRITE_RETRIES => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("an INSERT was neither committed nor refused"))
    }

    /// ON CONFLICT with its expressions ready to run.
    fn on_conflict(&self, bound: &BoundInsert, alias: Option<&str>, parameters: &[ScalarValue]) -> Result<Conflict> {
        Ok(match &bound.on_conflict {
            None => Conflict::Error,
            Some(ConflictAction::Nothing) => Conflict::Nothing,
            Some(ConflictAction::Update { assignments, filter }) => {
                let old = qualified(&bound.target, alias)?;
                let proposed = DFSchema::try_from_qualified_schema("excluded", &bound.target.schema)?;
                let schema = old.join(&proposed)?;
                Conflict::Update {
                    assignments: self.assignments(assignments, &schema, parameters)?,
                    filter: filter.as_ref().map(|f| self.physical(f, &schema, parameters)).transpose()?,
                }
            }
        })
    }
}

impl Insertion {
    /// What it makes of a table's changes, and what it says.
    fn over(self, version: &crate::store::Version, before: Option<Arc<Overlay>>) -> Result<(Arc<Overlay>, Done)> {
        let mut overlay = before.unwrap_or_else(|| Arc::new(Overlay::of(&self.table)));
        overlay.check(&self.table.shape().numbers)?;
        let rows = buffer::insert(Arc::make_mut(&mut overlay), &self.table, version, self.rows, &self.conflict)?;
        Ok((overlay, self.returning.done(rows.num_rows() as u64, Some(rows))?))
    }
}

/// What is evaluated over rows that go in, or are there.
fn expressions(bound: &BoundInsert) -> impl Iterator<Item = &Expr> {
    let (assigned, filter) = match &bound.on_conflict {
        Some(ConflictAction::Update { assignments, filter }) => (assignments.as_slice(), filter.as_ref()),
        Some(ConflictAction::Nothing) | None => (&[][..], None),
    };
    let returned = bound.returning.iter().flat_map(|r| &r.exprs);
    assigned.iter().flatten().chain(filter).chain(returned)
}
