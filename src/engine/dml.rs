//! UPDATE, DELETE, TRUNCATE: at the head, or buffered by a transaction block.
//!
//! Outside a block a change that looks at its own row alone is evaluated by the sequencer at the head, in one step. One
//! that looks further (subqueries, FROM, a scan of a large table), or that may take long ([`is_quick`]), is read outside,
//! at an epoch with all acknowledged writes, and lands only if the rows it saw are still there: three times, and then
//! with all other writers held off, which they are for [`WRITE_LEASE`] at most.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::physical_plan::PhysicalExpr;
use tokio::time::timeout;

use super::environment::Shared;
use super::head::is_quick;
use super::outcome::{Column, Outcome};
use super::query::{collect, current_snapshot, fill_expr, fill_plan, version_of};
use super::session::Session;
use super::specs::table_ref;
use super::stream::{Guard, once};
use super::transaction::{Mode, row_keys};
use crate::catalog::object::{Kind, Object};
use crate::config::{HEAD_SCAN_ROWS, PIECE_BYTES, WRITE_LEASE, WRITE_RETRIES};
use crate::data::batch_bytes;
use crate::data::text::{columns as text_columns, row_detail};
use crate::data::types::pg_type;
use crate::error::{Error, Result, SqlState};
use crate::runtime::{Committed, ReadMode, TableWrite, Target, WriteResult, is_conflict};
use crate::sql::binder::{BoundDelete, BoundUpdate, Local, Returning};
use crate::sql::statement::Name;
use crate::store::Version;

/// What a DML statement did.
pub(super) struct Done {
    pub count: u64,
    pub returned: Option<(Vec<Column>, RecordBatch)>,
}

impl Done {
    pub(super) fn outcome(self, tag: &'static str) -> Outcome {
        match self.returned {
            Some((columns, rows)) => Outcome::Rows { columns, rows: once(rows), tag },
            None => Outcome::Done { tag: format!("{tag} {}", self.count) },
        }
    }
}

impl Session {
    pub(super) async fn update(
        &self,
        bound: &BoundUpdate,
        parameters: &[ScalarValue],
        guard: Guard,
    ) -> Result<Outcome> {
        writable(&bound.target, "update")?;
        changeable(&bound.target, "UPDATE")?;
        let change = Change {
            table: bound.target.clone(),
            local: bound.local.as_ref(),
            plan: fill_plan(bound.plan.clone(), parameters)?,
            returning: bound.returning.as_ref(),
            update: true,
        };
        Ok(guard.wait(self.change(change, parameters)).await?.outcome("UPDATE"))
    }

    pub(super) async fn delete(
        &self,
        bound: &BoundDelete,
        parameters: &[ScalarValue],
        guard: Guard,
    ) -> Result<Outcome> {
        writable(&bound.target, "delete from")?;
        changeable(&bound.target, "DELETE")?;
        let change = Change {
            table: bound.target.clone(),
            local: bound.local.as_ref(),
            plan: fill_plan(bound.plan.clone(), parameters)?,
            returning: bound.returning.as_ref(),
            update: false,
        };
        Ok(guard.wait(self.change(change, parameters)).await?.outcome("DELETE"))
    }

    async fn change(&self, change: Change<'_>, parameters: &[ScalarValue]) -> Result<Done> {
        if self.in_transaction() {
            return self.buffer_change(&change).await;
        }
        if let Some(local) = change.local
            && change.is_quick(local)
            && let Some(target) = self.head_target(&change.table, local, parameters).await?
        {
            return self.change_at_head(&change, local, target, parameters).await;
        }
        self.change_from_outside(&change).await
    }

    /// What the sequencer is to look at, unless that is too much for it.
    async fn head_target(&self, table: &Object, local: &Local, parameters: &[ScalarValue]) -> Result<Option<Target>> {
        let filter = local.filter.clone().map(|f| fill_expr(f, parameters)).transpose()?;
        if let Some(keys) = filter.as_ref().and_then(|f| fixed_key(table, f)) {
            return Ok(Some(Target::Keys(keys)));
        }
        let snapshot = self.shared.engine.runtime.snapshot(ReadMode::Latest).await?;
        let small = snapshot.version(table.id, &table.name).is_ok_and(|v| v.rows() <= HEAD_SCAN_ROWS);
        Ok(small.then_some(Target::All))
    }

    async fn change_at_head(
        &self,
        change: &Change<'_>,
        local: &Local,
        target: Target,
        parameters: &[ScalarValue],
    ) -> Result<Done> {
        let table = table_ref(&change.table);
        let predicate = local.filter.as_ref().map(|f| self.physical(f, &local.schema, parameters)).transpose()?;
        let returning = change.returning.is_some();
        let evaluated = Evaluated::over(&self.shared, change.returning, local.schema.clone(), parameters)?;
        let write = if change.update {
            let assignments = self.assignments(&local.assignments, &local.schema, parameters)?;
            TableWrite::Update { table, target, predicate, assignments, returning }
        } else {
            TableWrite::Delete { table, target, predicate, returning }
        };
        evaluated.result(self.commit_one(write).await?)
    }

    /// Reads at an epoch, and commits if the rows are still there.
    async fn change_from_outside(&self, change: &Change<'_>) -> Result<Done> {
        let runtime = &self.shared.engine.runtime;
        for attempt in 0..=WRITE_RETRIES {
            let lease = if attempt == WRITE_RETRIES { Some(runtime.lock_writes().await?) } else { None };
            let snapshot = runtime.snapshot(ReadMode::Acknowledged).await?;
            let read = Found::read(&self.shared, change, snapshot);
            let found = match &lease {
                Some(_) => timeout(WRITE_LEASE, read).await.map_err(|_| overtaken())??,
                None => read.await?,
            };
            if found.old.num_rows() == 0 {
                return found.done(change, 0);
            }
            let (table, target) = (table_ref(&change.table), Target::Rows(found.old.clone()));
            let write = match &found.new {
                Some(rows) => TableWrite::Replace { table, target, rows: rows.clone(), returning: false },
                None => TableWrite::Delete { table, target, predicate: None, returning: false },
            };
            match self.shared.commit_leased(vec![write], lease).await {
                Ok(committed) => {
                    let count = committed.results.first().map_or(0, |r| r.count);
                    return found.done(change, count);
                }
                Err(error) if is_conflict(&error) && attempt < WRITE_RETRIES => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("a write that holds off all others found a conflict"))
    }

    async fn buffer_change(&self, change: &Change<'_>) -> Result<Done> {
        let snapshot = current_snapshot(&self.shared).await?;
        let found = Found::read(&self.shared, change, snapshot.clone()).await?;
        let count = found.old.num_rows() as u64;
        if count > 0 {
            let version = version_of(&snapshot, &change.table)?;
            super::buffer::replace(&self.shared, &change.table, &version, &found.old, found.new.clone())?;
        }
        found.done(change, count)
    }

    /// A transaction of one write.
    pub(super) async fn commit_one(&self, write: TableWrite) -> Result<WriteResult> {
        let Committed { results, .. } = self.shared.commit(vec![write]).await?;
        results.into_iter().next().ok_or_else(|| Error::internal("a write without a result"))
    }

    pub(super) async fn truncate(&self, names: &[Name], guard: Guard) -> Result<Outcome> {
        let catalog = self.shared.engine.catalog.snapshot();
        let mut tables = Vec::new();
        for name in names {
            let table = super::ddl::find_any(&catalog, name)?;
            writable(&table, "truncate")?;
            changeable(&table, "TRUNCATE")?;
            tables.push(table);
        }
        guard
            .wait(async {
                if self.in_transaction() {
                    let snapshot = current_snapshot(&self.shared).await?;
                    for table in &tables {
                        let stored = version_of(&snapshot, table)?.batches()?;
                        let overlay = self.shared.transaction.lock().overlays.get(&table.id).cloned();
                        let rows = overlay.map_or(Ok(stored.clone()), |o| o.apply(stored))?;
                        let mut transaction = self.shared.transaction.lock();
                        let overlay = transaction.overlay_of(table)?;
                        for batch in &rows {
                            overlay.delete(batch)?;
                        }
                    }
                    return Ok(());
                }
                let writes = tables.iter().map(|t| TableWrite::Truncate { table: table_ref(t) }).collect();
                self.shared.commit(writes).await.map(|_| ())
            })
            .await?;
        Ok(Outcome::Done { tag: "TRUNCATE TABLE".into() })
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.shared.transaction.lock().mode != Mode::None
    }

    pub(super) fn physical(
        &self,
        expr: &Expr,
        schema: &DFSchema,
        parameters: &[ScalarValue],
    ) -> Result<Arc<dyn PhysicalExpr>> {
        self.shared.engine.executor().physical_expr(&fill_expr(expr.clone(), parameters)?, schema)
    }

    pub(super) fn assignments(
        &self,
        assignments: &[Option<Expr>],
        schema: &DFSchema,
        parameters: &[ScalarValue],
    ) -> Result<Vec<(usize, Arc<dyn PhysicalExpr>)>> {
        let assigned = assignments.iter().enumerate().filter_map(|(i, a)| a.as_ref().map(|a| (i, a)));
        assigned.map(|(i, a)| Ok((i, self.physical(a, schema, parameters)?))).collect()
    }
}

/// An UPDATE or DELETE.
struct Change<'a> {
    table: Arc<Object>,
    local: Option<&'a Local>,
    /// Per changed row: the old columns, then (UPDATE) the new ones, then those of RETURNING.
    plan: LogicalPlan,
    returning: Option<&'a Returning>,
    update: bool,
}

impl Change<'_> {
    /// Whether the sequencer may evaluate it.
    fn is_quick(&self, local: &Local) -> bool {
        let assigned = local.assignments.iter().flatten();
        let returned = self.returning.iter().flat_map(|r| &r.exprs);
        local.filter.iter().chain(assigned).chain(returned).all(is_quick)
    }
}

/// 40001: the rows change faster than the statement computes.
fn overtaken() -> Error {
    let hint = "Others changed its rows each time before it was done. Run it again, or change fewer rows at once.";
    Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update").with_hint(hint)
}

/// What an UPDATE's or DELETE's query found.
struct Found {
    old: RecordBatch,
    new: Option<RecordBatch>,
    returned: RecordBatch,
}

impl Found {
    async fn read(shared: &Arc<Shared>, change: &Change<'_>, snapshot: crate::runtime::Snapshot) -> Result<Self> {
        let version = version_of(&snapshot, &change.table)?;
        let schema: SchemaRef = Arc::new(change.plan.schema().as_arrow().clone());
        let batches = collect(shared, change.plan.clone().into(), Some(snapshot)).await?;
        let large = batches.iter().map(batch_bytes).sum::<usize>() > PIECE_BYTES;
        let (table, update) = (change.table.clone(), change.update);
        let found = move || Self::of(&table, update, &relaxed(&schema), &batches, &version);
        if large { shared.compute(found).await } else { found() }
    }

    fn of(
        table: &Object,
        update: bool,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        version: &Version,
    ) -> Result<Self> {
        let batches = batches.iter().map(|b| Ok(RecordBatch::try_new(schema.clone(), b.columns().to_vec())?));
        let rows = concat_batches(schema, &batches.collect::<Result<Vec<_>>>()?)?;
        let width = table.schema.fields().len();
        let old = with_schema(&relaxed(&table.schema), &rows, 0)?;
        let keep =
            first_matches(table, &old, (0..version.chunks()).map_while(|chunk| version.batch(chunk).transpose()))?;
        let (rows, old) = (take_record_batch(&rows, &keep)?, take_record_batch(&old, &keep)?);
        let old = RecordBatch::try_new(table.schema.clone(), old.columns().to_vec())?;
        let new = if update {
            let new = with_schema(&relaxed(&table.schema), &rows, width)?;
            Some(checked(table, vec![new])?)
        } else {
            None
        };
        let begin = if update { 2 * width } else { width };
        let returned = rows.project(&(begin..rows.num_columns()).collect::<Vec<_>>())?;
        Ok(Self { old, new, returned })
    }

    fn done(self, change: &Change<'_>, count: u64) -> Result<Done> {
        let returned = match change.returning {
            None => None,
            Some(returning) => {
                let fields: Vec<_> = returning.columns.iter().map(|f| f.clone().with_nullable(true)).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(self.returned.num_rows()));
                let columns = self.returned.columns().to_vec();
                let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
                Some((returning_columns(returning), rows))
            }
        };
        Ok(Done { count, returned })
    }
}

/// The rows that count: each row of the table once, however often it was matched.
fn first_matches(
    table: &Object,
    old: &RecordBatch,
    stored: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<UInt32Array> {
    let keys = row_keys(old)?;
    let distinct: HashSet<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
    if distinct.len() == keys.len() {
        return Ok((0..old.num_rows() as u32).collect());
    }
    let mut allowed = std::collections::HashMap::new();
    if table.primary_key().is_empty() {
        for batch in stored {
            for key in row_keys(&batch?)? {
                if distinct.contains(key.as_ref()) {
                    *allowed.entry(key).or_insert(0_usize) += 1;
                }
            }
        }
    }
    let mut keep = Vec::new();
    for (i, key) in keys.into_iter().enumerate() {
        let left = allowed.entry(key).or_insert(1);
        if *left > 0 {
            *left -= 1;
            keep.push(i as u32);
        }
    }
    Ok(UInt32Array::from(keep))
}

/// RETURNING, ready to run over whole rows of the table.
#[derive(Clone)]
pub(super) struct Evaluated {
    exprs: Option<Vec<Arc<dyn PhysicalExpr>>>,
    columns: Vec<Column>,
}

impl Evaluated {
    pub(super) fn new(
        shared: &Shared,
        returning: Option<&Returning>,
        table: &Object,
        alias: Option<&str>,
        parameters: &[ScalarValue],
    ) -> Result<Self> {
        Self::over(shared, returning, Arc::new(qualified(table, alias)?), parameters)
    }

    fn over(
        shared: &Shared,
        returning: Option<&Returning>,
        schema: DFSchemaRef,
        parameters: &[ScalarValue],
    ) -> Result<Self> {
        let Some(returning) = returning else { return Ok(Self { exprs: None, columns: Vec::new() }) };
        let executor = shared.engine.executor();
        let ready = |e: &Expr| executor.physical_expr(&fill_expr(e.clone(), parameters)?, &schema);
        let exprs = returning.exprs.iter().map(ready).collect::<Result<Vec<_>>>()?;
        Ok(Self { exprs: Some(exprs), columns: returning_columns(returning) })
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.exprs.is_some()
    }

    pub(super) fn result(self, result: WriteResult) -> Result<Done> {
        self.done(result.count, result.returned)
    }

    pub(super) fn done(self, count: u64, rows: Option<RecordBatch>) -> Result<Done> {
        let (Some(exprs), Some(rows)) = (self.exprs, rows) else { return Ok(Done { count, returned: None }) };
        let fields: Vec<_> = self.columns.iter().map(|c| c.field.clone().with_nullable(true)).collect();
        let value =
            |e: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> { Ok(e.evaluate(&rows)?.into_array(rows.num_rows())?) };
        let arrays = exprs.iter().map(value).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        Ok(Done { count, returned: Some((self.columns, batch)) })
    }
}

/// RETURNING's columns.
pub(super) fn returning_columns(returning: &Returning) -> Vec<Column> {
    returning.columns.iter().map(|field| Column { field: field.clone(), origin: (0, 0) }).collect()
}

/// The table's columns, qualified as the statement names it.
pub(super) fn qualified(table: &Object, alias: Option<&str>) -> Result<DFSchema> {
    let reference = TableReference::bare(alias.unwrap_or(&table.name).to_owned());
    Ok(DFSchema::try_from_qualified_schema(reference, &table.schema)?)
}

/// The values of the whole primary key that a filter fixes by equality.
fn fixed_key(table: &Object, filter: &Expr) -> Option<RecordBatch> {
    let key = table.primary_key();
    if key.is_empty() {
        return None;
    }
    let conjuncts = split_conjunction(filter);
    let mut arrays = Vec::with_capacity(key.len());
    for &column in key {
        let field = table.schema.field(column);
        let value = conjuncts.iter().find_map(|c| equal_to(c, field.name()))?;
        let value = value.cast_to(field.data_type()).ok().filter(|v| !v.is_null())?;
        arrays.push(value.to_array().ok()?);
    }
    let schema = Arc::new(table.schema.project(key).ok()?);
    RecordBatch::try_new(schema, arrays).ok()
}

fn equal_to<'a>(expr: &'a Expr, column: &str) -> Option<&'a ScalarValue> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(c)) if c.name == column => {
            // A value that the column's type can't hold exactly is left to the filter.
            Some(value).filter(|v| is_plain(&v.data_type()))
        }
        _ => None,
    }
}

fn is_plain(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(data_type, DataType::Utf8 | DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
}

/// The same columns, all nullable: what a query gives before NOT NULL is checked.
fn relaxed(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

/// `schema`'s width of columns, from `begin`.
fn with_schema(schema: &SchemaRef, rows: &RecordBatch, begin: usize) -> Result<RecordBatch> {
    let columns = rows.columns()[begin..begin + schema.fields().len()].to_vec();
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Whole rows as the table takes them: NOT NULL and varchar(n) hold.
pub(super) fn checked(table: &Object, batches: Vec<RecordBatch>) -> Result<RecordBatch> {
    let schema = relaxed(&table.schema);
    let batches = batches.iter().map(|b| with_schema(&schema, b, 0)).collect::<Result<Vec<_>>>()?;
    let rows = concat_batches(&schema, &batches)?;
    for (field, column) in table.schema.fields().iter().zip(rows.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            let row = (0..column.len()).find(|i| column.is_null(*i)).unwrap_or(0);
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                field.name(),
                table.name
            );
            let detail = format!("Failing row contains {}.", row_detail(&text_columns(&rows)?, row));
            return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message).with_detail(detail));
        }
        check_length(field, column)?;
    }
    Ok(RecordBatch::try_new(table.schema.clone(), rows.columns().to_vec())?)
}

/// varchar(n) holds n characters.
pub(super) fn check_length(field: &arrow::datatypes::Field, column: &ArrayRef) -> Result<()> {
    let pg = pg_type(field);
    let Some(texts) = column.as_any().downcast_ref::<arrow::array::StringArray>() else { return Ok(()) };
    if pg.oid != 1043 || pg.typmod < 4 {
        return Ok(());
    }
    let limit = (pg.typmod - 4) as usize;
    if texts.iter().flatten().any(|t| t.len() > limit && t.chars().count() > limit) {
        let message = format!("value too long for type character varying({limit})");
        return Err(Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message));
    }
    Ok(())
}

/// Only tables take rows.
pub(super) fn writable(object: &Object, verb: &str) -> Result<()> {
    let name = &object.name;
    let (message, hint) = match &object.kind {
        Kind::Table(_) => return Ok(()),
        Kind::Source(_) => (format!("cannot {verb} source \"{name}\""), "A source's rows come from its connector."),
        Kind::Sink(_) => (format!("cannot {verb} sink \"{name}\""), "Write to the tables that it writes out."),
        Kind::View(_) => (format!("cannot {verb} view \"{name}\""), "Write to the tables that the view reads."),
        Kind::MaterializedView(_) if verb == "copy to" => {
            (format!("cannot copy to materialized view \"{name}\""), "Write to the tables that the view reads.")
        }
        Kind::MaterializedView(_) if verb == "truncate" => {
            (format!("\"{name}\" is not a table"), "Delete from the tables that the view reads.")
        }
        Kind::MaterializedView(_) => {
            (format!("cannot change materialized view \"{name}\""), "Write to the tables that the view reads.")
        }
    };
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
}

/// APPEND ONLY tables only take new rows.
pub(super) fn changeable(object: &Object, what: &str) -> Result<()> {
    match &object.kind {
        Kind::Table(table) if table.append_only => {
            let what = format!("{what} on append-only table \"{}\"", object.name);
            Err(Error::unsupported(what, "Create the table without APPEND ONLY to change its rows."))
        }
        Kind::Table(_) | Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => Ok(()),
    }
}
