//! How changes travel between workers: [`Parcel`], the container of a timely stream, and its division by key.
//!
//! One parcel is one batch. Timely counts rows to know what is under way, so a parcel is never empty and its division keeps
//! every row. Inside a process parcels move by pointer; between processes they are encoded.

use std::cell::OnceCell;
use std::io::{Cursor, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message, Stamp};

use super::worker::abort;
use crate::data::{Arrival, Bucket, Changes, KeyEncoder, Late, ObjectId, Partition};
use crate::error::{Error, Result};
use crate::state::fault::{self, Fault};

/// One batch on a stream between operators; `None` only where timely makes a default to leave behind.
#[derive(Clone, Default)]
pub(super) struct Parcel {
    changes: Option<Changes>,
    /// The batches that it was cut from, while a view hydrates: the sequencer sees by them how much is under way.
    held: Option<Arc<Vec<Changes>>>,
    /// The encoded form: asked for its length first, and for its bytes later.
    encoded: OnceCell<Vec<u8>>,
}

impl Parcel {
    /// Keeps `held` alive until the rows are taken in.
    pub(super) fn holding(changes: Changes, held: &Arc<Vec<Changes>>) -> Self {
        Self { held: Some(Arc::clone(held)), ..Self::from(changes) }
    }

    pub(super) fn take(&mut self) -> Option<Changes> {
        self.changes.take()
    }

    fn encoded(&self) -> &[u8] {
        self.encoded.get_or_init(|| match self.changes.as_ref().map(encode).transpose() {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => abort("a batch could not be encoded for another process", &error),
        })
    }
}

impl From<Changes> for Parcel {
    fn from(changes: Changes) -> Self {
        Self { changes: Some(changes), held: None, encoded: OnceCell::new() }
    }
}

impl Accountable for Parcel {
    fn record_count(&self) -> i64 {
        self.changes.as_ref().map_or(0, |c| i64::try_from(c.len()).unwrap_or(i64::MAX))
    }
}

impl ContainerBytes for Parcel {
    fn from_bytes(bytes: Bytes) -> Self {
        match decode(&bytes) {
            Ok(changes) => Self::from(changes),
            Err(error) => abort("a batch from another process could not be decoded", &error),
        }
    }

    fn length_in_bytes(&self) -> usize {
        self.encoded().len()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        if let Err(error) = writer.write_all(self.encoded()) {
            abort("a batch could not be sent to another process", &error.into());
        }
    }
}

/// Bytes before the Arrow IPC stream: its length (u64), then flags, source and partition (u32 each) and 4 bytes of zeros.
const HEADER: usize = 24;
const HAS_DIFFS: u32 = 1;
const SETTLED: u32 = 2;
const LATE: u32 = 4;

/// Header, an Arrow IPC stream of the rows (with the diffs and arrival watermarks as further columns), zeros up to a
/// multiple of eight.
fn encode(changes: &Changes) -> Result<Vec<u8>> {
    let mut flags = 0;
    let mut from = Partition { source: ObjectId(0), index: 0 };
    let mut extra: Vec<Int64Array> = Vec::new();
    if let Some(diffs) = &changes.diffs {
        flags |= HAS_DIFFS;
        extra.push(diffs.clone());
    }
    match &changes.arrival {
        Arrival::OnTime => {}
        Arrival::Settled => flags |= SETTLED,
        Arrival::Late { partition, rows } => {
            flags |= LATE;
            from = *partition;
            extra.push(rows.to_column(changes.len()));
        }
    }
    let batch = widen(&changes.rows, extra)?;
    let mut bytes = vec![0; HEADER];
    let mut writer = StreamWriter::try_new(&mut bytes, batch.schema_ref())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    let length = (bytes.len() - HEADER) as u64;
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    for (at, word) in [(8, flags), (12, from.source.0), (16, from.index)] {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<Changes> {
    let broken = || Error::internal("a batch from another process is cut short");
    let word = |at: usize| -> Result<u32> {
        let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or_else(broken)?;
        Ok(u32::from_le_bytes(four))
    };
    let length = usize::try_from(u64::from(word(0)?) | u64::from(word(4)?) << 32).map_err(|_| broken())?;
    let flags = word(8)?;
    let partition = Partition { source: ObjectId(word(12)?), index: word(16)? };
    let stream = bytes.get(HEADER..HEADER.saturating_add(length)).ok_or_else(broken)?;
    let mut rows = StreamReader::try_new(Cursor::new(stream), None)?.next().ok_or_else(broken)??;
    let watermark = if flags & LATE != 0 { Some(narrow(&mut rows)?) } else { None };
    let diffs = if flags & HAS_DIFFS != 0 { Some(narrow(&mut rows)?) } else { None };
    let arrival = match watermark {
        Some(watermark) => Arrival::of(partition, Late::from_column(&watermark)),
        None if flags & SETTLED != 0 => Arrival::Settled,
        None => Arrival::OnTime,
    };
    Ok(Changes { rows, diffs, arrival })
}

/// The batch with columns added at its end.
fn widen(rows: &RecordBatch, extra: Vec<Int64Array>) -> Result<RecordBatch> {
    let schema = rows.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    for column in extra {
        fields.push(Arc::new(Field::new("", DataType::Int64, false)));
        columns.push(Arc::new(column) as ArrayRef);
    }
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
}

/// Takes the last column, which [`widen`] added, off the batch.
fn narrow(rows: &mut RecordBatch) -> Result<Int64Array> {
    let last = rows.num_columns().checked_sub(1);
    let last = last.ok_or_else(|| Error::internal("a batch from another process lacks a column"))?;
    let column = rows.column(last).as_primitive_opt::<Int64Type>().cloned();
    let schema = rows.schema();
    let fields: Vec<_> = schema.fields().iter().take(last).cloned().collect();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    *rows = RecordBatch::try_new_with_options(Arc::new(schema), rows.columns()[..last].to_vec(), &options)?;
    column.ok_or_else(|| Error::internal("a batch from another process has a column of another type"))
}

/// Divides batches among workers by the buckets of their keys.
pub(super) struct Divider {
    columns: Vec<usize>,
    /// Made for the first batch's schema, which all batches of a stream share.
    encoder: Option<KeyEncoder>,
    /// Row numbers per worker; kept for their memory.
    rows: Vec<Vec<u32>>,
}

impl Divider {
    pub(super) fn new(columns: &[usize], peers: usize) -> Self {
        Self { columns: columns.to_vec(), encoder: None, rows: vec![Vec::new(); peers] }
    }

    /// The part of each worker that has one.
    pub(super) fn divide(&mut self, changes: Changes) -> Result<Vec<(usize, Changes)>> {
        let peers = self.rows.len();
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(KeyEncoder::new(changes.rows.schema_ref(), &self.columns)?),
        };
        let wrong = fault::on(Fault::WrongBucket);
        for (row, hash) in (0..).zip(encoder.hashes(&changes.rows)?) {
            let worker = if wrong { row as usize % peers } else { Bucket::of(hash).worker(peers) };
            self.rows[worker].push(row);
        }
        let mut parts = Vec::new();
        for (worker, rows) in self.rows.iter_mut().enumerate() {
            if rows.len() == changes.len() {
                rows.clear();
                return Ok(vec![(worker, changes)]);
            }
            if !rows.is_empty() {
                parts.push((worker, changes.take(&UInt32Array::from_iter_values(rows.drain(..)))?));
            }
        }
        Ok(parts)
    }
}

impl Distributor<Parcel> for Divider {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(
        &mut self,
        parcel: &mut Parcel,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        debug_assert_eq!(pushers.len(), self.rows.len());
        // The container is used again: nothing of this batch may stay in it.
        let held = parcel.held.take();
        let Some(changes) = parcel.take() else { return };
        match self.divide(changes) {
            Ok(parts) => {
                for (worker, part) in parts {
                    let mut part = Parcel { held: held.clone(), ..Parcel::from(part) };
                    Message::push_at(&mut part, stamp.clone(), &mut pushers[worker]);
                }
            }
            Err(error) => abort("a batch could not be divided by key", &error),
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    fn rows() -> RecordBatch {
        let texts = StringArray::from(vec![Some("a"), None, Some("b"), Some("")]);
        let numbers = Int64Array::from(vec![1, 2, 3, 4]);
        RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef), ("n", Arc::new(numbers))]).unwrap()
    }

    fn check_round_trip(changes: Changes) {
        let parcel = Parcel::from(changes.clone());
        let mut bytes = Vec::new();
        parcel.into_bytes(&mut bytes);
        assert_eq!((bytes.len(), bytes.len() % 8), (parcel.length_in_bytes(), 0));
        let bytes = timely::bytes::arc::BytesMut::from(bytes).freeze();
        let back = Parcel::from_bytes(bytes).take().unwrap();
        assert_eq!(back.rows, changes.rows);
        assert_eq!(back.diffs, changes.diffs);
        assert_eq!(format!("{:?}", back.arrival), format!("{:?}", changes.arrival));
    }

    #[test]
    fn parcels_survive_encoding() {
        let ints = || Int64Array::from(vec![1, -1, 2, -3]);
        check_round_trip(Changes::insertions(rows()));
        check_round_trip(Changes::settled(rows(), Some(ints())));
        let arrival = |at| Arrival::of(Partition { source: ObjectId(7), index: at }, Late::from_column(&ints()));
        check_round_trip(Changes { rows: rows(), diffs: None, arrival: arrival(3) });
        check_round_trip(Changes {
            rows: rows().slice(1, 3),
            diffs: Some(ints().slice(0, 3)),
            arrival: Arrival::OnTime,
        });
        let options = RecordBatchOptions::new().with_row_count(Some(4));
        let bare = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        check_round_trip(Changes::insertions(bare.clone()));
        check_round_trip(Changes::settled(bare, Some(ints())));
    }

    #[test]
    fn division_keeps_every_row_and_agrees_with_buckets() {
        let n = Int64Array::from_iter_values(0..1000);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(n.clone()) as ArrayRef)]).unwrap();
        let keys = KeyEncoder::new(batch.schema_ref(), &[0]).unwrap().encode(&batch).unwrap();
        let parts = Divider::new(&[0], 3).divide(Changes::new(batch.clone(), n)).unwrap();
        assert_eq!(parts.iter().map(|(_, p)| p.len()).sum::<usize>(), 1000);
        for (worker, part) in &parts {
            assert!(part.len() > 200);
            for i in 0..part.len() {
                let row = usize::try_from(part.diff(i)).unwrap();
                assert_eq!(Bucket::of(keys.hash(row)).worker(3), *worker);
            }
        }
        let whole = Divider::new(&[], 3).divide(Changes::insertions(batch)).unwrap();
        assert_eq!(whole.len(), 1);
    }
}
