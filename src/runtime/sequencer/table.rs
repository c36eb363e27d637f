//! A table's head: where writes are checked and made, one transaction after another.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{and, cast, concat_batches, filter_record_batch, interleave_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use crate::config::{MEMORY_MIN, TRANSACTION_PART};
use crate::data::text::{self, TimeZone};
use crate::data::{Changes, Partition};
use crate::error::{Error, Result, SqlState};
use crate::spill::Memory;
use crate::stack;
use crate::store::Store;

use super::super::arrival::Clock;
use super::super::{OnConflict, TableSpec, TableWrite, Target, WriteResult};

/// Column position and new value.
type Assignments = [(usize, Arc<dyn PhysicalExpr>)];

/// The newest state of a table: what all transactions so far have made of it.
pub(in crate::runtime) struct TableHead {
    pub(in crate::runtime) spec: TableSpec,
    pub(in crate::runtime) store: Store,
    pub(in crate::runtime) clock: Clock,
    /// Bytes of all rows, above which they are not changed at once.
    most: usize,
}

/// The rows that a write looks at: ids and rows, one to one.
struct Found {
    ids: Vec<u64>,
    rows: RecordBatch,
}

impl TableHead {
    pub(in crate::runtime) fn new(spec: TableSpec, memory: &Arc<Memory>) -> Result<Self> {
        let key = (!spec.primary_key.is_empty()).then_some(spec.primary_key.as_slice());
        let store = Store::new(Arc::clone(&spec.schema), key)?.bounded(memory);
        let clock = Clock::new(Partition { source: spec.id, index: 0 }, spec.watermark.clone());
        let most = memory.limit().map_or(usize::MAX, |limit| limit.max(MEMORY_MIN) / TRANSACTION_PART);
        Ok(Self { spec, store, clock, most })
    }

    /// Makes one write; what it changed is appended to `changes`, in order. On an error the caller rolls back.
    pub(in crate::runtime) fn write(&mut self, write: TableWrite, changes: &mut Vec<Changes>) -> Result<WriteResult> {
        match write {
            TableWrite::Insert { rows, on_conflict, returning, .. } => {
                let rows = self.conform(&rows)?;
                self.insert(rows, &on_conflict, returning, changes)
            }
            TableWrite::Update { target, predicate, assignments, returning, .. } => {
                self.refuse_append_only("update")?;
                let found = self.find(target, predicate.as_ref())?;
                let new = assign(&found.rows, &self.spec.schema, &found.rows, &assignments)?;
                self.replace(found, new, returning, changes)
            }
            TableWrite::Replace { target, rows, returning, .. } => {
                self.refuse_append_only("update")?;
                let found = self.find(target, None)?;
                let rows = self.conform(&rows)?;
                self.replace(found, rows, returning, changes)
            }
            TableWrite::Delete { target, predicate, returning, .. } => {
                self.refuse_append_only("delete from")?;
                let found = self.find(target, predicate.as_ref())?;
                self.delete(found, returning, changes)
            }
            TableWrite::Truncate { .. } => {
                self.refuse_append_only("truncate")?;
                let all = self.all()?;
                self.store.truncate();
                changes.push(negative(all.rows));
                Ok(WriteResult::default())
            }
        }
    }

    fn refuse_append_only(&self, verb: &str) -> Result<()> {
        if !self.spec.append_only {
            return Ok(());
        }
        let message = format!("cannot {verb} append-only table \"{}\"", self.spec.name);
        Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
            .with_hint("Create the table without APPEND ONLY to change or delete its rows."))
    }

    /// The rows under the table's own schema; NOT NULL is checked.
    fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let schema = &self.spec.schema;
        if rows.num_columns() != schema.fields().len() {
            return Err(Error::internal(format!("rows for table \"{}\" have the wrong columns", self.spec.name)));
        }
        let mut columns = Vec::with_capacity(rows.num_columns());
        for (i, (field, column)) in schema.fields().iter().zip(rows.columns()).enumerate() {
            let required = !field.is_nullable() || self.spec.primary_key.contains(&i);
            if required && column.null_count() > 0 {
                return Err(self.null_in(field, column, rows));
            }
            let fits = column.data_type() == field.data_type();
            columns.push(if fits { Arc::clone(column) } else { cast(column, field.data_type())? });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    fn null_in(&self, field: &Field, column: &ArrayRef, rows: &RecordBatch) -> Error {
        let row = (0..column.len()).find(|&i| column.is_null(i)).unwrap_or_default();
        let fields = self.spec.schema.fields().iter();
        let values: Vec<String> = rows.columns().iter().zip(fields).map(|(c, f)| display(c, f, row)).collect();
        let name = &self.spec.name;
        let column = field.name();
        let message = format!("null value in column \"{column}\" of relation \"{name}\" violates not-null constraint");
        Error::new(SqlState::NOT_NULL_VIOLATION, message)
            .with_detail(format!("Failing row contains ({}).", values.join(", ")))
    }

    fn insert(
        &mut self,
        rows: RecordBatch,
        on_conflict: &OnConflict,
        returning: bool,
        changes: &mut Vec<Changes>,
    ) -> Result<WriteResult> {
        if self.spec.primary_key.is_empty() {
            self.store.insert(&rows)?;
            return Ok(inserted(rows, returning, changes));
        }
        let identities = self.store.identities(&rows)?;
        match on_conflict {
            OnConflict::Error => {
                self.check_new(&rows, &identities)?;
                self.store.insert_identified(&rows, &identities)?;
                Ok(inserted(rows, returning, changes))
            }
            OnConflict::Nothing => {
                let mut seen = HashSet::new();
                let mut keep: Vec<u32> = Vec::new();
                let there = self.store.find_all(&identities)?;
                for ((i, identity), there) in (0..).zip(&identities).zip(there) {
                    if there.is_none() && seen.insert(*identity) {
                        keep.push(i);
                    }
                }
                let rows = take(&rows, &keep)?;
                self.store.insert(&rows)?;
                Ok(inserted(rows, returning, changes))
            }
            OnConflict::Update { assignments, filter } => {
                self.upsert(&rows, &identities, assignments, filter.as_ref(), returning, changes)
            }
            OnConflict::Replace => self.overwrite(&rows, &identities, returning, changes),
        }
    }

    /// 23505 when one of these rows, or a row of the table, has the key of another of them.
    fn check_new(&mut self, rows: &RecordBatch, identities: &[u128]) -> Result<()> {
        let mut seen = HashSet::with_capacity(if identities.len() > 1 { identities.len() } else { 0 });
        let there = self.store.find_all(identities)?;
        for ((i, identity), there) in identities.iter().enumerate().zip(there) {
            if there.is_some() || (identities.len() > 1 && !seen.insert(*identity)) {
                return Err(self.duplicate(rows, i));
            }
        }
        Ok(())
    }

    fn duplicate(&self, rows: &RecordBatch, row: usize) -> Error {
        let key = &self.spec.primary_key;
        let names: Vec<&str> = key.iter().map(|&c| self.spec.schema.field(c).name().as_str()).collect();
        let values: Vec<String> =
            key.iter().map(|&c| display(rows.column(c), self.spec.schema.field(c), row)).collect();
        let constraint = format!("{}_pkey", self.spec.name);
        Error::new(
            SqlState::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{constraint}\""),
        )
        .with_detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
    }

    /// ON CONFLICT DO UPDATE: first the rows that are new, then those that meet another.
    fn upsert(
        &mut self,
        rows: &RecordBatch,
        identities: &[u128],
        assignments: &Assignments,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        returning: bool,
        changes: &mut Vec<Changes>,
    ) -> Result<WriteResult> {
        let (mut new, mut ids, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        let there = self.store.find_all(identities)?;
        for ((i, identity), there) in (0u32..).zip(identities).zip(there) {
            if !seen.insert(*identity) {
                let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
                return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(
                    "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
                ));
            }
            match there {
                Some(id) => {
                    ids.push(id);
                    excluded.push(i);
                }
                None => new.push(i),
            }
        }
        let new = take(rows, &new)?;
        self.store.insert(&new)?;
        let first = inserted(new, returning, changes);

        let mut found = Found { rows: self.store.take(&ids)?, ids };
        let mut both = beside(&found.rows, &take(rows, &excluded)?)?;
        if let Some(filter) = filter {
            let keep = predicate_of(filter, &both)?;
            both = filter_record_batch(&both, &keep)?;
            found = found.filter(&keep)?;
        }
        let updated = assign(&both, &self.spec.schema, &found.rows, assignments)?;
        let updated = self.conform(&updated)?;
        let second = self.replace(found, updated, returning, changes)?;
        let returned = match (first.returned, second.returned) {
            (Some(a), Some(b)) => Some(concat_batches(&self.spec.schema, [&a, &b])?),
            (a, b) => a.or(b),
        };
        Ok(WriteResult { count: first.count + second.count, returned })
    }

    /// A row whose key exists takes its place; of several with one key the last wins.
    fn overwrite(
        &mut self,
        rows: &RecordBatch,
        identities: &[u128],
        returning: bool,
        changes: &mut Vec<Changes>,
    ) -> Result<WriteResult> {
        let mut last: HashMap<u128, usize> = HashMap::with_capacity(identities.len());
        for (i, identity) in identities.iter().enumerate() {
            last.insert(*identity, i);
        }
        let keys: Vec<u128> = last.keys().copied().collect();
        let mut ids: Vec<u64> = self.store.find_all(&keys)?.into_iter().flatten().collect();
        ids.sort_unstable();
        let old = Found { rows: self.store.take(&ids)?, ids };
        if !old.ids.is_empty() {
            self.refuse_append_only("update")?;
            self.delete(old, false, changes)?;
        }
        let rows = if last.len() == identities.len() {
            rows.clone()
        } else {
            let mut keep: Vec<u32> = last.values().map(|&i| i as u32).collect();
            keep.sort_unstable();
            take(rows, &keep)?
        };
        self.store.insert(&rows)?;
        Ok(inserted(rows, returning, changes))
    }

    /// Each found row becomes the new row at its place.
    fn replace(
        &mut self,
        found: Found,
        new: RecordBatch,
        returning: bool,
        changes: &mut Vec<Changes>,
    ) -> Result<WriteResult> {
        if found.ids.len() != new.num_rows() {
            return Err(Error::internal("an update has not one new row per old row"));
        }
        let new = self.conform(&new)?;
        let count = found.ids.len();
        if count > 0 {
            self.store.delete_rows(&found.ids, &found.rows)?;
            if !self.spec.primary_key.is_empty() {
                let identities = self.store.identities(&new)?;
                self.check_new(&new, &identities)?;
            }
            self.store.insert(&new)?;
            // -old, +new, -old, +new: each pair in its place.
            let order: Vec<(usize, usize)> = (0..count).flat_map(|i| [(0, i), (1, i)]).collect();
            let rows = interleave_record_batch(&[&found.rows, &new], &order)?;
            let diffs: Int64Array = (0..count).flat_map(|_| [-1, 1]).collect::<Vec<i64>>().into();
            changes.push(Changes::new(rows, diffs));
        }
        Ok(WriteResult { count: count as u64, returned: returning.then_some(new) })
    }

    fn delete(&mut self, found: Found, returning: bool, changes: &mut Vec<Changes>) -> Result<WriteResult> {
        self.store.delete_rows(&found.ids, &found.rows)?;
        let count = found.ids.len() as u64;
        if count > 0 {
            changes.push(negative(found.rows.clone()));
        }
        Ok(WriteResult { count, returned: returning.then_some(found.rows) })
    }

    fn find(&mut self, target: Target, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Result<Found> {
        let found = match target {
            Target::Keys(keys) => self.by_identity(&self.store.key_identities(&keys)?, true)?,
            Target::RowIds(ids) => {
                if ids.iter().any(|id| !self.store.contains(*id)) {
                    return Err(conflict());
                }
                Found { rows: self.store.take(&ids)?, ids }
            }
            Target::Rows(rows) => self.by_content(&rows)?,
            Target::All => self.all()?,
        };
        match predicate {
            Some(predicate) if !found.ids.is_empty() => {
                let keep = predicate_of(predicate, &found.rows)?;
                found.filter(&keep)
            }
            Some(_) | None => Ok(found),
        }
    }

    fn all(&mut self) -> Result<Found> {
        if self.store.bytes() > self.most {
            let message = format!("the rows of table \"{}\" are too many to be changed at once", self.spec.name);
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_detail(format!("Under --memory-limit one transaction may have {} MiB.", self.most >> 20))
                .with_hint("Change them in several statements, or drop the table."));
        }
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for (batch, batch_ids) in self.store.batches_with_ids()? {
            rows.push(batch);
            ids.extend_from_slice(batch_ids.values());
        }
        Ok(Found { ids, rows: concat_batches(&self.spec.schema, &rows)? })
    }

    fn by_identity(&mut self, identities: &[u128], may_lack: bool) -> Result<Found> {
        let mut ids = Vec::with_capacity(identities.len());
        for there in self.store.find_all(identities)? {
            match there {
                Some(id) => ids.push(id),
                None if may_lack => {}
                None => return Err(conflict()),
            }
        }
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(*id));
        Ok(Found { rows: self.store.take(&ids)?, ids })
    }

    /// Rows by their whole content, each another one.
    fn by_content(&mut self, rows: &RecordBatch) -> Result<Found> {
        let rows = self.conform(rows)?;
        let identities = self.store.identities(&rows)?;
        if self.spec.primary_key.is_empty() {
            let ids = self.store.find_distinct(&identities)?.ok_or_else(conflict)?;
            return Ok(Found { rows, ids });
        }
        let found = self.by_identity(&identities, false)?;
        if found.ids.len() != rows.num_rows() || found.rows.columns() != rows.columns() {
            return Err(conflict());
        }
        Ok(found)
    }
}

impl Found {
    fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let ids = self.ids.iter().zip(keep.iter()).filter(|(_, k)| *k == Some(true)).map(|(id, _)| *id).collect();
        Ok(Self { ids, rows: filter_record_batch(&self.rows, keep)? })
    }
}

fn inserted(rows: RecordBatch, returning: bool, changes: &mut Vec<Changes>) -> WriteResult {
    let count = rows.num_rows() as u64;
    if count > 0 {
        changes.push(Changes::insertions(rows.clone()));
    }
    WriteResult { count, returned: returning.then_some(rows) }
}

fn negative(rows: RecordBatch) -> Changes {
    let diffs = Int64Array::from(vec![-1; rows.num_rows()]);
    Changes::new(rows, diffs)
}

fn take(rows: &RecordBatch, indices: &[u32]) -> Result<RecordBatch> {
    if indices.len() == rows.num_rows() {
        return Ok(rows.clone());
    }
    Ok(arrow::compute::take_record_batch(rows, &UInt32Array::from(indices.to_vec()))?)
}

/// The columns of both, side by side: what ON CONFLICT's expressions see.
fn beside(target: &RecordBatch, excluded: &RecordBatch) -> Result<RecordBatch> {
    let fields = |batch: &RecordBatch| batch.schema().fields().iter().cloned().collect::<Vec<_>>();
    let fields = [fields(target), fields(excluded)].concat();
    // Either side may be filled with what the other forbids.
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new(schema, [target.columns(), excluded.columns()].concat())?)
}

/// The rows of `old` with some columns assigned, by expressions over `input`; under a schema that lets NULLs pass, which
/// are refused with PostgreSQL's words afterwards.
fn assign(
    input: &RecordBatch,
    schema: &SchemaRef,
    old: &RecordBatch,
    assignments: &Assignments,
) -> Result<RecordBatch> {
    let mut columns = old.columns().to_vec();
    for (column, value) in assignments {
        let array = evaluate(value, input)?;
        let wanted: &DataType = schema.field(*column).data_type();
        columns[*column] = if array.data_type() == wanted { array } else { cast(&array, wanted)? };
    }
    let lax: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(lax)), columns)?)
}

/// A statement's expression; if it panics that is the statement's error, and nothing has been written yet.
pub(super) fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef> {
    let work = || stack::for_evaluation(|| Ok(expr.evaluate(rows)?.into_array(rows.num_rows())?));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
}

/// A predicate over rows; NULL is no.
fn predicate_of(predicate: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<BooleanArray> {
    let array = evaluate(predicate, rows)?;
    let mask =
        array.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| Error::internal("a predicate gave no booleans"))?;
    Ok(if mask.null_count() > 0 {
        and(&BooleanArray::new(mask.values().clone(), None), &is_not_null(mask)?)?
    } else {
        mask.clone()
    })
}

/// Target rows have changed since they were read.
pub(super) fn conflict() -> Error {
    Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
}

fn display(column: &ArrayRef, field: &Field, row: usize) -> String {
    let mut out = String::new();
    let written = text::write(column.as_ref(), row, field, &TimeZone::utc(), &mut out);
    if column.is_null(row) || written.is_err() { "null".to_owned() } else { out }
}
