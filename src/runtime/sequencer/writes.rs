//! Admission: transactions and late rows into the open epoch, in order, within its budget.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;

use crate::data::{Changes, ColumnNumbers, Epoch, ObjectId, batch_bytes};
use crate::error::{Error, Result, SqlState};
use crate::log::LateOrigin;
use crate::operators::{RowError, row_json};

use super::super::message::Commit;
use super::super::{Committed, LateTarget, OnConflict, TableWrite, WriteResult, altered};
use super::Sequencer;
use super::netting::net;

/// Late rows of one view and epoch, on their way back into a table.
pub(super) struct LateWrite {
    pub(super) origin: LateOrigin,
    pub(super) target: LateTarget,
    pub(super) rows: Vec<RecordBatch>,
}

/// What a transaction did, or why it did nothing.
type Transacted = Result<(Vec<WriteResult>, BTreeMap<ObjectId, Vec<Changes>>)>;

impl TableWrite {
    /// The table that it writes.
    pub fn table(&self) -> ObjectId {
        match self {
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Replace { table, .. }
            | Self::Delete { table, .. }
            | Self::Truncate { table } => table.id,
        }
    }

    /// The columns that it was made for.
    fn numbers(&self) -> Option<&ColumnNumbers> {
        match self {
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Replace { table, .. }
            | Self::Delete { table, .. }
            | Self::Truncate { table } => table.numbers.as_ref(),
        }
    }
}

impl Sequencer {
    /// Admits what waits, as far as the open epoch's budget goes; true when something came in.
    pub(super) fn admit(&mut self) -> Result<bool> {
        if self.is_blocked() {
            return self.admit_leased();
        }
        let mut progress = self.admit_late()?;
        progress |= self.admit_leased()?;
        // Only what can be closed soon is let in: what waits can be taken back. While the disk is full all are refused,
        // also when as many epochs as may be wait for room.
        while self.lease.is_none() && (self.log.is_full() || self.has_room() && !self.is_full()) {
            let Some(commit) = self.waiting.pop_front() else { break };
            if self.is_large(&commit) && self.open.has_rows() && !self.log.is_full() {
                // It has an epoch of its own.
                self.waiting.push_front(commit);
                self.open.full = true;
                break;
            }
            self.commit(commit)?;
            progress = true;
        }
        // When there is room, those who wait are the first to have it.
        if self.waiting.is_empty() || self.has_room() {
            progress |= self.admit_sources()?;
        }
        Ok(progress)
    }

    /// The writes of whoever holds the lease.
    fn admit_leased(&mut self) -> Result<bool> {
        let Some(lease) = self.lease.filter(|_| self.has_room()) else { return Ok(false) };
        let Some(at) = self.waiting.iter().position(|c| c.lease == Some(lease)) else { return Ok(false) };
        if let Some(commit) = self.waiting.remove(at) {
            self.commit(commit)?;
        }
        self.lease = None;
        Ok(true)
    }

    /// Whether the open epoch takes no more.
    pub(super) fn is_full(&self) -> bool {
        let limits = &self.config.limits;
        self.open.full || self.open.rows >= self.epoch_rows() || self.open.bytes >= limits.epoch_bytes
    }

    /// Rows of one epoch: what the views can take now.
    pub(super) fn epoch_rows(&self) -> usize {
        self.pace.rows(self.config.limits.epoch_rows)
    }

    fn is_large(&self, commit: &Commit) -> bool {
        commit.rows > self.epoch_rows() || commit.bytes > self.config.limits.epoch_bytes
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        if !commit.claim.admit() {
            return Ok(());
        }
        if let Err(error) = self.check_disk() {
            let _ = commit.reply.send(Err(error));
            return Ok(());
        }
        let large = self.is_large(&commit);
        let Commit { writes, bytes, reply, permit, .. } = commit;
        match self.transact(writes)? {
            Ok((results, changes)) => {
                let rows = self.accept(changes)?;
                self.open.rows += rows;
                self.open.bytes += if rows > 0 { bytes } else { 0 };
                self.open.full |= large;
                let committed = Committed { epoch: self.next_epoch, results };
                self.open.acks.push((reply, committed));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
        drop(permit);
        Ok(())
    }

    /// Makes all writes at the heads, or none.
    fn transact(&mut self, writes: Vec<TableWrite>) -> Result<Transacted> {
        let mut begun: BTreeSet<ObjectId> = BTreeSet::new();
        let mut changes: BTreeMap<ObjectId, Vec<Changes>> = BTreeMap::new();
        let mut results = Vec::with_capacity(writes.len());
        let mut failed = None;
        for write in writes {
            let id = write.table();
            let Some(table) = self.tables.get_mut(&id) else {
                failed = Some(Error::new(SqlState::UNDEFINED_TABLE, format!("relation {id} does not exist")));
                break;
            };
            if write.numbers().is_some_and(|numbers| *numbers != ColumnNumbers::carried(&table.spec.schema)) {
                failed = Some(altered());
                break;
            }
            if begun.insert(id) {
                table.store.begin();
            }
            match table.write(write, changes.entry(id).or_default()) {
                Ok(result) => results.push(result),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        for id in begun {
            if let Some(table) = self.tables.get_mut(&id) {
                match failed {
                    Some(_) => table.store.rollback()?,
                    None => table.store.commit(),
                }
            }
        }
        Ok(failed.map_or(Ok((results, changes)), Err))
    }

    /// Takes a transaction's changes into the open epoch: netted, and judged by their tables' watermarks.
    fn accept(&mut self, changes: BTreeMap<ObjectId, Vec<Changes>>) -> Result<usize> {
        let mut rows = 0;
        for (id, changes) in changes {
            let netted = net(changes)?;
            if netted.is_empty() {
                continue;
            }
            let Some(table) = self.tables.get_mut(&id) else { continue };
            for change in netted {
                rows += change.len();
                let judged = table.clock.admit(change.rows, change.diffs)?;
                self.open.tables.entry(id).or_default().push(judged);
            }
            self.open.changed_tables.insert(id);
            let (partition, watermark) = (table.clock.partition, table.clock.watermark);
            if table.clock.spec().is_some() {
                self.note_watermark(partition, watermark, false);
            }
        }
        Ok(rows)
    }

    /// Rows that a connector read for its table: each takes the place of the row with its key.
    pub(super) fn accept_rows(&mut self, table: ObjectId, rows: RecordBatch) -> Result<()> {
        let Some(head) = self.tables.get(&table) else { return Ok(()) };
        let keyless = head.spec.primary_key.is_empty();
        let on_conflict = if keyless { OnConflict::Error } else { OnConflict::Replace };
        let (count, bytes) = (rows.num_rows(), batch_bytes(&rows));
        let write =
            |rows| TableWrite::Insert { table: table.into(), rows, on_conflict: on_conflict.clone(), returning: false };
        match self.transact(vec![write(rows.clone())])? {
            Ok((_, changes)) => {
                self.open.rows += self.accept(changes)?;
                self.open.bytes += bytes;
            }
            Err(error) if count == 1 => self.refuse_row(table, &rows, &error),
            // One row spoils its batch: find it.
            Err(_) => {
                for i in 0..count {
                    self.accept_rows(table, rows.slice(i, 1))?;
                }
            }
        }
        Ok(())
    }

    fn refuse_row(&mut self, table: ObjectId, row: &RecordBatch, error: &Error) {
        let name = self.tables.get(&table).map_or_else(String::new, |t| t.spec.name.clone());
        let error = RowError {
            operator: Arc::from("table"),
            code: error.code(),
            message: Arc::from(error.message()),
            row: row_json(row, 0),
            diff: 1,
        };
        self.open.errors.push((table, name, error));
    }

    /// The publisher reports insertions that a view turned away.
    pub(in crate::runtime) fn late_rows(&mut self, view: ObjectId, epoch: Epoch, rows: Vec<RecordBatch>) {
        let target = self.views.get(&view).and_then(|v| v.spec.late_into.clone());
        let origin = LateOrigin { view, epoch };
        // While the log is read, what it has is written, and this is the same again.
        if let Some(target) = target
            && !self.late_logged.remove(&origin)
        {
            self.late.push_back(LateWrite { origin, target, rows });
        }
    }

    /// While the log is read: it has written these.
    pub(in crate::runtime) fn late_logged(&mut self, origins: &[LateOrigin]) {
        for origin in origins {
            match self.late.iter().position(|late| late.origin == *origin) {
                Some(at) => drop(self.late.remove(at)),
                // The publisher has not come to it yet.
                None => drop(self.late_logged.insert(*origin)),
            }
        }
    }

    fn admit_late(&mut self) -> Result<bool> {
        let mut progress = false;
        while self.lease.is_none() && !self.is_full() && !self.log.is_full() {
            let Some(LateWrite { origin, target, rows }) = self.late.pop_front() else { break };
            progress = true;
            self.open.late.push(origin);
            let Some(schema) = self.tables.get(&target.table).map(|t| Arc::clone(&t.spec.schema)) else { continue };
            for batch in rows {
                let column = |(i, from): (usize, &Option<usize>)| -> Result<ArrayRef> {
                    let wanted = schema.field(i).data_type();
                    Ok(match from {
                        Some(from) => cast(batch.column(*from), wanted)?,
                        None => new_null_array(wanted, batch.num_rows()),
                    })
                };
                let columns = target.columns.iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
                let lax: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
                let rows = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(lax)), columns)?;
                self.write_late(target.table, rows)?;
            }
        }
        Ok(progress)
    }

    /// Late rows enter like rows of an INSERT; one that the table refuses is an error of the table.
    fn write_late(&mut self, table: ObjectId, rows: RecordBatch) -> Result<()> {
        let bytes = batch_bytes(&rows);
        let write =
            |rows| TableWrite::Insert { table: table.into(), rows, on_conflict: OnConflict::Error, returning: false };
        match self.transact(vec![write(rows.clone())])? {
            Ok((_, changes)) => {
                self.open.rows += self.accept(changes)?;
                self.open.bytes += bytes;
            }
            Err(error) if rows.num_rows() == 1 => self.refuse_row(table, &rows, &error),
            Err(_) => {
                for i in 0..rows.num_rows() {
                    self.write_late(table, rows.slice(i, 1))?;
                }
            }
        }
        Ok(())
    }
}
