//! Payloads: a JSON head for the small fields, then blobs: opaque bytes, and batches as Arrow IPC streams.
//!
//! Diffs and arrival watermarks travel as further columns of their batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::data::{Arrival, Changes, Epoch, Late, ObjectId, Partition};
use crate::error::{Error, Result};

use super::{
    Ddl, EpochRecord, Fault, JoinRecord, LateOrigin, Record, SourceEnd, SourceRange, TableChanges, WatermarkMove,
};

const DDL: u8 = 1;
const JOIN: u8 = 2;
pub(super) const LEAVE: u8 = 3;
const EPOCH: u8 = 4;
const SETTINGS: u8 = 5;
const DECISIONS: u8 = 6;
const VALUES: u8 = 7;
pub(super) const PAUSE: u8 = 8;

/// The byte that names a record's kind.
pub(super) fn kind(record: &Record) -> u8 {
    match record {
        Record::Ddl(_) => DDL,
        Record::Join(_) => JOIN,
        Record::Leave { .. } => LEAVE,
        Record::Pause { .. } => PAUSE,
        Record::Epoch(_) => EPOCH,
        Record::Settings { .. } => SETTINGS,
        Record::Decisions { .. } => DECISIONS,
        Record::Values { .. } => VALUES,
    }
}

/// The small fields of an [`EpochRecord`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct EpochHead {
    epoch: u64,
    tables: Vec<BatchesHead>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<SourceRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<BatchesHead>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moves: Vec<WatermarkMove>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends: Vec<SourceEnd>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    late: Vec<LateOrigin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
}

#[derive(Serialize, Deserialize)]
struct BatchesHead {
    object: u32,
    partition: u32,
    /// Per batch: whether it has diffs, and arrival watermarks of which partition.
    batches: Vec<(bool, Option<Partition>)>,
}

#[derive(Serialize, Deserialize)]
struct LeaveHead {
    view: ObjectId,
    epoch: Epoch,
    missed: Epoch,
    #[serde(default)]
    kept: bool,
}

/// Appends a record's payload.
pub(super) fn encode(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    match record {
        Record::Ddl(ddl) => {
            head(ddl, out)?;
            blob(&ddl.payload, out)
        }
        Record::Join(join) => head(join, out),
        Record::Leave { view, epoch, missed, kept } => {
            head(&LeaveHead { view: *view, epoch: *epoch, missed: *missed, kept: *kept }, out)
        }
        Record::Pause { view, epoch, reason, kept } => head(&(*view, *epoch, reason, *kept), out),
        Record::Settings { epoch, payload } => {
            head(epoch, out)?;
            blob(payload, out)
        }
        Record::Decisions { epoch, object, payload } => {
            head(&(*epoch, *object), out)?;
            blob(payload, out)
        }
        Record::Values { epoch, rows } => {
            head(&(*epoch, batches_head(rows)), out)?;
            rows.changes.iter().try_for_each(|changes| blob_of(out, |out| encode_changes(changes, out)))
        }
        Record::Epoch(record) => {
            let batches = |all: &[TableChanges]| all.iter().map(batches_head).collect();
            let small = EpochHead {
                epoch: record.epoch.0,
                tables: batches(&record.tables),
                ranges: record.ranges.clone(),
                rows: batches(&record.rows),
                moves: record.moves.clone(),
                ends: record.ends.clone(),
                late: record.late.clone(),
                faults: record.faults.clone(),
            };
            head(&small, out)?;
            for changes in record.tables.iter().chain(&record.rows).flat_map(|t| &t.changes) {
                blob_of(out, |out| encode_changes(changes, out))?;
            }
            Ok(())
        }
    }
}

/// Reads a payload back.
pub(super) fn decode(kind: u8, payload: &[u8]) -> Result<Record> {
    let mut input = Input(payload);
    let record = match kind {
        DDL => {
            let mut ddl: Ddl = input.head()?;
            ddl.payload = input.blob()?.to_vec();
            Record::Ddl(ddl)
        }
        JOIN => Record::Join(input.head::<JoinRecord>()?),
        LEAVE => {
            let LeaveHead { view, epoch, missed, kept } = input.head()?;
            Record::Leave { view, epoch, missed, kept }
        }
        PAUSE => {
            let (view, epoch, reason, kept) = input.head()?;
            Record::Pause { view, epoch, reason, kept }
        }
        DECISIONS => {
            let (epoch, object) = input.head()?;
            Record::Decisions { epoch, object, payload: input.blob()?.to_vec() }
        }
        VALUES => {
            let (epoch, rows) = input.head()?;
            Record::Values { epoch, rows: input.batches(rows)? }
        }
        SETTINGS => Record::Settings { epoch: input.head()?, payload: input.blob()?.to_vec() },
        EPOCH => {
            let small: EpochHead = input.head()?;
            let mut batches =
                |heads: Vec<BatchesHead>| heads.into_iter().map(|h| input.batches(h)).collect::<Result<Vec<_>>>();
            Record::Epoch(EpochRecord {
                epoch: Epoch(small.epoch),
                tables: batches(small.tables)?,
                ranges: small.ranges,
                rows: batches(small.rows)?,
                moves: small.moves,
                ends: small.ends,
                late: small.late,
                faults: small.faults,
            })
        }
        other => return Err(Error::internal(format!("record kind {other} is unknown"))),
    };
    if input.0.is_empty() { Ok(record) } else { Err(Error::internal("a record is longer than its content")) }
}

fn batches_head(table: &TableChanges) -> BatchesHead {
    let one = |c: &Changes| {
        let arrival = match &c.arrival {
            Arrival::Late { partition, .. } => Some(*partition),
            Arrival::OnTime | Arrival::Settled => None,
        };
        (c.diffs.is_some(), arrival)
    };
    let batches = table.changes.iter().map(one).collect();
    BatchesHead { object: table.object.0, partition: table.partition, batches }
}

/// Changes as bytes, one blob behind the other.
pub fn write_changes(all: &[Changes]) -> Result<Vec<u8>> {
    let table = TableChanges { object: ObjectId(0), partition: 0, changes: all.to_vec() };
    let settled: Vec<bool> = all.iter().map(|changes| matches!(changes.arrival, Arrival::Settled)).collect();
    let mut out = Vec::new();
    head(&(batches_head(&table), settled), &mut out)?;
    for changes in all {
        blob_of(&mut out, |out| encode_changes(changes, out))?;
    }
    Ok(out)
}

/// What [`write_changes`] wrote.
pub fn read_changes(bytes: &[u8]) -> Result<Vec<Changes>> {
    let mut input = Input(bytes);
    let (head, settled): (BatchesHead, Vec<bool>) = input.head()?;
    let mut all = input.batches(head)?.changes;
    for (changes, _) in all.iter_mut().zip(settled).filter(|(_, settled)| *settled) {
        changes.arrival = Arrival::Settled;
    }
    Ok(all)
}

fn encode_changes(changes: &Changes, out: &mut Vec<u8>) -> Result<()> {
    let mut fields: Vec<Arc<Field>> = changes.rows.schema().fields().iter().cloned().collect();
    let mut columns = changes.rows.columns().to_vec();
    let mut push = |name: &str, column: &Int64Array| {
        fields.push(Arc::new(Field::new(name, DataType::Int64, false)));
        columns.push(Arc::new(column.clone()));
    };
    if let Some(diffs) = &changes.diffs {
        push("diff", diffs);
    }
    if let Arrival::Late { rows, .. } = &changes.arrival {
        push("arrival", &rows.to_column(changes.len()));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(changes.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
    let mut writer = StreamWriter::try_new(out, &schema)?;
    writer.write(&batch)?;
    Ok(writer.finish()?)
}

fn decode_changes(bytes: &[u8], has_diffs: bool, arrival: Option<Partition>) -> Result<Changes> {
    let short = || Error::internal("a batch of the input log lacks columns");
    let batch = StreamReader::try_new(bytes, None)?.next().ok_or_else(short)??;
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let mut pop = || -> Result<Int64Array> {
        let column = columns.pop().ok_or_else(short)?;
        Ok(column.as_primitive_opt::<Int64Type>().ok_or_else(short)?.clone())
    };
    let arrival = match arrival {
        Some(partition) => Arrival::of(partition, Late::from_column(&pop()?)),
        None => Arrival::OnTime,
    };
    let diffs = if has_diffs { Some(pop()?) } else { None };
    let fields: Vec<Arc<Field>> = batch.schema().fields().iter().take(columns.len()).cloned().collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(Changes { rows, diffs, arrival })
}

fn head<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(|e| Error::internal(format!("input log: {e}")))?;
    blob(&json, out)
}

fn blob(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    blob_of(out, |out| {
        out.extend_from_slice(bytes);
        Ok(())
    })
}

/// Appends a blob that is written where it stays.
fn blob_of(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = out.len() - start - 4;
    let length = u32::try_from(length).map_err(|_| Error::internal("a part of a record is longer than 4 GiB"))?;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// What is left of a payload.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn blob(&mut self) -> Result<&'a [u8]> {
        let short = || Error::internal("a record is shorter than its content");
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or_else(short)?;
        let (blob, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?;
        self.0 = rest;
        Ok(blob)
    }

    fn head<T: DeserializeOwned>(&mut self) -> Result<T> {
        serde_json::from_slice(self.blob()?).map_err(|e| Error::internal(format!("a record's head is invalid: {e}")))
    }

    fn batches(&mut self, head: BatchesHead) -> Result<TableChanges> {
        let batch = |(diffs, arrival): (bool, Option<Partition>)| decode_changes(self.blob()?, diffs, arrival);
        let changes = head.batches.into_iter().map(batch).collect::<Result<Vec<_>>>()?;
        Ok(TableChanges { object: ObjectId(head.object), partition: head.partition, changes })
    }
}
