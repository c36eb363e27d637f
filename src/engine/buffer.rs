//! Writes inside a transaction block: kept in the block's overlay, checked against keys at once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch, take_record_batch};

use super::environment::Shared;
use super::insert::Conflict;
use super::transaction::{Overlay, row_keys};
use crate::catalog::object::Object;
use crate::catalog::pg_catalog::key_name;
use crate::data::text::columns as text_columns;
use crate::error::{Error, Result, SqlState};
use crate::store::Version;

/// INSERT: the rows as they were written (for RETURNING).
pub(super) fn insert(
    overlay: &mut Overlay,
    table: &Object,
    version: &Version,
    rows: RecordBatch,
    conflict: &Conflict,
) -> Result<RecordBatch> {
    let key = table.primary_key();
    if key.is_empty() {
        overlay.insert(rows.clone())?;
        return Ok(rows);
    }
    let existing = existing(overlay, version, &rows.project(key)?)?;
    let keys = row_keys(&rows.project(key)?)?;
    let mut at: HashMap<Box<[u8]>, Place> = HashMap::new();
    for (i, k) in row_keys(&existing.project(key)?)?.into_iter().enumerate() {
        at.insert(k, Place::Existing(i));
    }
    let mut fresh = Vec::new();
    let mut clashes = Vec::new();
    for (i, k) in keys.into_iter().enumerate() {
        match at.get(&k) {
            None => {
                at.insert(k, Place::New);
                fresh.push(i as u32);
            }
            Some(Place::Existing(j)) => clashes.push((i, Some(*j))),
            Some(Place::New) => clashes.push((i, None)),
        }
    }
    let written = match (clashes.first(), conflict) {
        (Some((i, _)), Conflict::Error) => return Err(duplicate(table, &rows, *i)),
        (_, Conflict::Error | Conflict::Nothing) => {
            let fresh = take_record_batch(&rows, &UInt32Array::from(fresh))?;
            overlay.insert(fresh.clone())?;
            fresh
        }
        (_, Conflict::Update { .. }) => {
            let fresh = take_record_batch(&rows, &UInt32Array::from(fresh))?;
            let (old, new) = upsert(table, &rows, &existing, &clashes, conflict)?;
            overlay.delete(&old)?;
            overlay.insert(new.clone())?;
            overlay.insert(fresh.clone())?;
            concat_batches(&table.schema, [&fresh, &new])?
        }
    };
    Ok(written)
}

/// Where a proposed key is already.
enum Place {
    Existing(usize),
    New,
}

/// The rows of the table, as the block sees it, that have one of these keys.
fn existing(overlay: &Overlay, version: &Version, keys: &RecordBatch) -> Result<RecordBatch> {
    let stored = overlay.apply_deleted(version.lookup(keys)?)?;
    let own = overlay.own_with_keys(&row_keys(keys)?)?;
    Ok(concat_batches(&overlay.schema, [&stored, &own])?)
}

/// DO UPDATE: the old rows that change, and the new ones.
fn upsert(
    table: &Object,
    rows: &RecordBatch,
    existing: &RecordBatch,
    clashes: &[(usize, Option<usize>)],
    conflict: &Conflict,
) -> Result<(RecordBatch, RecordBatch)> {
    let Conflict::Update { assignments, filter } = conflict else {
        return Err(Error::internal("an upsert without DO UPDATE"));
    };
    let mut seen = Vec::new();
    for (_, old) in clashes {
        if old.is_none() || seen.contains(old) {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            let hint =
                "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.";
            return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(hint));
        }
        seen.push(*old);
    }
    let old: Vec<u32> = clashes.iter().filter_map(|(_, j)| j.map(|j| j as u32)).collect();
    let proposed: Vec<u32> = clashes.iter().map(|(i, _)| *i as u32).collect();
    let old = take_record_batch(existing, &UInt32Array::from(old))?;
    let proposed = take_record_batch(rows, &UInt32Array::from(proposed))?;
    let fields: Vec<_> = table.schema.fields().iter().chain(table.schema.fields()).cloned().collect();
    let columns: Vec<ArrayRef> = old.columns().iter().chain(proposed.columns()).cloned().collect();
    let mut both = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?;
    let mut old = old;
    if let Some(filter) = filter {
        let keep = filter.evaluate(&both)?.into_array(both.num_rows())?;
        let keep: BooleanArray = keep.as_boolean().iter().map(|k| Some(k == Some(true))).collect();
        both = filter_record_batch(&both, &keep)?;
        old = filter_record_batch(&old, &keep)?;
    }
    let mut new: Vec<ArrayRef> = old.columns().to_vec();
    for (column, expr) in assignments {
        new[*column] = expr.evaluate(&both)?.into_array(both.num_rows())?;
    }
    let relaxed: Vec<_> = table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let new = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(relaxed)), new)?;
    Ok((old, super::dml::checked(table, vec![new])?))
}

/// UPDATE and DELETE: old rows go, new ones come.
pub(super) fn replace(
    shared: &Shared,
    table: &Object,
    version: &Version,
    old: &RecordBatch,
    new: Option<RecordBatch>,
) -> Result<()> {
    let key = table.primary_key();
    let mut transaction = shared.transaction.lock();
    let overlay = transaction.overlay_of(table)?;
    overlay.delete(old)?;
    if let Some(new) = new {
        if !key.is_empty() {
            let clashing = existing(overlay, version, &new.project(key)?)?;
            if clashing.num_rows() > 0 {
                return Err(duplicate(table, &clashing, 0));
            }
            let keys = row_keys(&new.project(key)?)?;
            let mut seen = std::collections::HashSet::new();
            if let Some(i) = keys.iter().position(|k| !seen.insert(k)) {
                return Err(duplicate(table, &new, i));
            }
        }
        overlay.insert(new)?;
    }
    transaction.check_size(&shared.engine.runtime)
}

/// 23505 in PostgreSQL's words.
fn duplicate(table: &Object, rows: &RecordBatch, row: usize) -> Error {
    let message = format!("duplicate key value violates unique constraint \"{}\"", key_name(table));
    let error = Error::new(SqlState::UNIQUE_VIOLATION, message);
    let key = table.primary_key();
    let names: Vec<&str> = key.iter().map(|c| table.schema.field(*c).name().as_str()).collect();
    let Some(columns) = rows.project(key).ok().and_then(|k| text_columns(&k).ok()) else { return error };
    let values = crate::data::text::row_detail(&columns, row);
    error.with_detail(format!("Key ({})={values} already exists.", names.join(", ")))
}

/// Picks rows of several batches by (batch, row).
pub(super) fn pick(batches: &[RecordBatch], at: &[(usize, usize)]) -> Result<Option<RecordBatch>> {
    if at.is_empty() || batches.is_empty() {
        return Ok(None);
    }
    let refs: Vec<&RecordBatch> = batches.iter().collect();
    Ok(Some(interleave_record_batch(&refs, at)?))
}
