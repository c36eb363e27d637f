//! Transactions: what a block has read, what it will write, and whether it has failed.
//!
//! A block reads one epoch. Its writes are kept netted, per table: rows of that epoch that it took away, and rows that it
//! added ([`Overlay`]); reads inside see them. COMMIT turns them into one transaction of the runtime: a row that is no
//! longer there is a conflict, 40001.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use super::outcome::TransactionStatus;
use super::settings::Values;
use crate::catalog::object::Object;
use crate::data::{ColumnNumbers, ObjectId, batch_bytes};
use crate::error::{Error, Result, SqlState};
use crate::runtime::{OnConflict, Runtime, Snapshot, TableRef, TableWrite, Target, altered};

/// Who opened the transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody: every statement is its own.
    #[default]
    None,
    /// A multi-statement query.
    Implicit,
    /// BEGIN.
    Block,
}

/// A session's transaction.
#[derive(Default)]
pub(super) struct Transaction {
    pub mode: Mode,
    failed: bool,
    pub read_only: bool,
    /// The epoch that the block reads.
    pub snapshot: Option<Snapshot>,
    pub overlays: BTreeMap<ObjectId, Arc<Overlay>>,
    savepoints: Vec<Savepoint>,
    /// The session's settings at BEGIN: what ROLLBACK restores.
    settings: Option<Values>,
    /// Objects that the block has created: what ROLLBACK drops.
    pub created: Vec<ObjectId>,
    /// Whether DDL was done that ROLLBACK can't undo.
    pub irrevocable: bool,
    /// Microseconds since 1970 at which it began: `now()`.
    pub began: i64,
}

struct Savepoint {
    name: String,
    overlays: BTreeMap<ObjectId, Arc<Overlay>>,
    settings: Values,
}

/// A block's own changes to a table.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    pub schema: SchemaRef,
    /// Which columns these are.
    pub numbers: ColumnNumbers,
    /// Columns of the primary key.
    key: Vec<usize>,
    /// Of the rows that are new: their keys, when the table has one.
    own_keys: HashSet<Box<[u8]>>,
    /// Rows of the snapshot that are gone, by content, with how often.
    deleted: HashMap<Box<[u8]>, usize>,
    deleted_rows: Vec<RecordBatch>,
    /// Rows that are new.
    pub inserted: Vec<RecordBatch>,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match (self.mode, self.failed) {
            (Mode::Block, true) => TransactionStatus::Failed,
            (Mode::Block, false) => TransactionStatus::InBlock,
            (Mode::None | Mode::Implicit, _) => TransactionStatus::Idle,
        }
    }

    pub(super) fn fail(&mut self) {
        self.failed = self.mode != Mode::None;
    }

    pub(super) fn is_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn is_open(&self) -> bool {
        self.mode != Mode::None
    }

    pub(super) fn has_writes(&self) -> bool {
        self.overlays.values().any(|o| !o.is_empty())
    }

    /// BEGIN, or a multi-statement query's beginning; BEGIN inside such a query takes it over.
    pub(super) fn begin(&mut self, mode: Mode, read_only: bool, settings: Values, now: i64) {
        if self.mode == Mode::None {
            *self = Self { settings: Some(settings), began: now, ..Self::default() };
        }
        self.mode = mode;
        self.read_only = read_only;
    }

    /// Ends the transaction: everything is forgotten. The settings that ROLLBACK restores come back.
    pub(super) fn end(&mut self) -> Option<Values> {
        std::mem::take(self).settings
    }

    /// The overlay of a table, to be changed.
    ///
    /// Errors: `40001` the table has been altered since it was changed first.
    pub(super) fn overlay_of(&mut self, table: &Object) -> Result<&mut Overlay> {
        let overlay = self.overlays.entry(table.id).or_insert_with(|| Arc::new(Overlay::of(table)));
        overlay.check(&table.shape().numbers)?;
        Ok(Arc::make_mut(overlay))
    }

    /// The bytes buffered must stay below the limit of a transaction.
    pub(super) fn check_size(&self, runtime: &Runtime) -> Result<()> {
        let bytes: usize = self.overlays.values().map(|o| o.bytes()).sum();
        runtime.check_transaction(bytes, "Commit more often.")
    }

    /// What COMMIT asks of the runtime.
    pub(super) fn writes(&self) -> Result<Vec<TableWrite>> {
        let mut writes = Vec::new();
        for (table, overlay) in &self.overlays {
            writes.extend(overlay.writes(*table)?);
        }
        Ok(writes)
    }

    pub(super) fn savepoint(&mut self, name: &str, settings: Values) {
        let overlays = self.overlays.clone();
        self.savepoints.push(Savepoint { name: name.to_owned(), overlays, settings });
    }

    /// RELEASE: forgets the savepoint and those after it.
    pub(super) fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// ROLLBACK TO: the savepoint stays; the settings as they were come back.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<Values> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at + 1);
        let savepoint = &self.savepoints[at];
        self.overlays = savepoint.overlays.clone();
        self.failed = false;
        Ok(savepoint.settings.clone())
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        let found = self.savepoints.iter().rposition(|s| s.name == name);
        let message = || format!("savepoint \"{name}\" does not exist");
        found.ok_or_else(|| Error::new(SqlState::INVALID_SAVEPOINT, message()))
    }
}

impl Overlay {
    /// No changes of a table yet.
    pub(super) fn of(table: &Object) -> Self {
        let (schema, key) = (table.schema.clone(), table.primary_key().to_vec());
        let numbers = table.shape().numbers;
        let (deleted_rows, inserted) = (Vec::new(), Vec::new());
        Self { schema, numbers, key, own_keys: HashSet::new(), deleted: HashMap::new(), deleted_rows, inserted }
    }

    /// Errors: `40001` the table has other columns now.
    pub(super) fn check(&self, numbers: &ColumnNumbers) -> Result<()> {
        if self.numbers == *numbers { Ok(()) } else { Err(altered()) }
    }

    /// What the runtime is asked for, to make these changes.
    pub(super) fn writes(&self, table: ObjectId) -> Result<Vec<TableWrite>> {
        let table = TableRef { id: table, numbers: Some(self.numbers.clone()) };
        let mut writes = Vec::new();
        if !self.deleted_rows.is_empty() {
            let target = Target::Rows(concat_batches(&self.schema, &self.deleted_rows)?);
            writes.push(TableWrite::Delete { table: table.clone(), target, predicate: None, returning: false });
        }
        if !self.inserted.is_empty() {
            let rows = concat_batches(&self.schema, &self.inserted)?;
            writes.push(TableWrite::Insert { table, rows, on_conflict: OnConflict::Error, returning: false });
        }
        Ok(writes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deleted_rows.is_empty() && self.inserted.is_empty()
    }

    fn bytes(&self) -> usize {
        self.deleted_rows.iter().chain(&self.inserted).map(batch_bytes).sum()
    }

    pub(super) fn insert(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() > 0 {
            if !self.key.is_empty() {
                self.own_keys.extend(row_keys(&rows.project(&self.key)?)?);
            }
            self.inserted.push(rows);
        }
        Ok(())
    }

    /// The block's own rows that have one of these keys.
    pub(super) fn own_with_keys(&self, keys: &[Box<[u8]>]) -> Result<RecordBatch> {
        let wanted: HashSet<&[u8]> = keys.iter().filter(|k| self.own_keys.contains(*k)).map(AsRef::as_ref).collect();
        let mut at = Vec::new();
        if !wanted.is_empty() {
            for (i, batch) in self.inserted.iter().enumerate() {
                let found = row_keys(&batch.project(&self.key)?)?;
                at.extend((0..found.len()).filter(|j| wanted.contains(found[*j].as_ref())).map(|j| (i, j)));
            }
        }
        let picked = super::buffer::pick(&self.inserted, &at)?;
        Ok(picked.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone())))
    }

    /// Stored rows without those that the block took away.
    pub(super) fn apply_deleted(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if self.deleted.is_empty() {
            return Ok(rows);
        }
        let mut gone = self.deleted.clone();
        without(&rows, &mut gone)
    }

    /// Takes rows away: the block's own where they are, else the snapshot's.
    pub(super) fn delete(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut wanted: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for (i, key) in row_keys(rows)?.into_iter().enumerate() {
            wanted.entry(key).or_default().push(i as u32);
        }
        self.take_own(&mut wanted)?;
        let mut rest: Vec<u32> = wanted.values().flatten().copied().collect();
        rest.sort_unstable();
        for (key, indices) in wanted {
            if !indices.is_empty() {
                *self.deleted.entry(key).or_insert(0) += indices.len();
            }
        }
        if !rest.is_empty() {
            self.deleted_rows.push(take_record_batch(rows, &UInt32Array::from(rest))?);
        }
        Ok(())
    }

    /// Removes from the block's own rows what is wanted, and from `wanted` what was found.
    fn take_own(&mut self, wanted: &mut HashMap<Box<[u8]>, Vec<u32>>) -> Result<()> {
        for batch in &mut self.inserted {
            let mut keep = Vec::with_capacity(batch.num_rows());
            for key in row_keys(batch)? {
                keep.push(wanted.get_mut(&key).is_none_or(|indices| indices.pop().is_none()));
            }
            if keep.contains(&false) {
                if !self.key.is_empty() {
                    for (key, kept) in row_keys(&batch.project(&self.key)?)?.iter().zip(&keep) {
                        if !kept {
                            self.own_keys.remove(key);
                        }
                    }
                }
                *batch = filter_record_batch(batch, &BooleanArray::from(keep))?;
            }
        }
        self.inserted.retain(|b| b.num_rows() > 0);
        Ok(())
    }

    /// The table as the block sees it.
    pub(super) fn apply(&self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        self.over(batches.into_iter().map(Ok)).collect()
    }

    /// The same, batch by batch.
    pub(super) fn over<B>(&self, batches: B) -> impl Iterator<Item = Result<RecordBatch>> + use<B>
    where
        B: Iterator<Item = Result<RecordBatch>>,
    {
        let mut gone = self.deleted.clone();
        let left = move |batch: Result<RecordBatch>| if gone.is_empty() { batch } else { without(&batch?, &mut gone) };
        batches.map(left).chain(self.inserted.clone().into_iter().map(Ok))
    }
}

/// The rows that are not gone; each that is counts once.
fn without(rows: &RecordBatch, gone: &mut HashMap<Box<[u8]>, usize>) -> Result<RecordBatch> {
    let mut keep = Vec::with_capacity(rows.num_rows());
    for key in row_keys(rows)? {
        keep.push(match gone.get_mut(&key) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
    }
    Ok(filter_record_batch(rows, &BooleanArray::from(keep))?)
}

/// The bytes of each row's content.
pub(super) fn row_keys(rows: &RecordBatch) -> Result<Vec<Box<[u8]>>> {
    let fields = rows.columns().iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let converted = converter.convert_columns(rows.columns())?;
    Ok(converted.iter().map(|row| Box::from(row.as_ref())).collect())
}
