//! Snapshot parts as bytes: a format version, then an Arrow IPC stream of one batch; nothing for no rows.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::ipc::{reader::StreamReader, writer::StreamWriter};

use super::Part;
use super::fault::{self, Fault};
use crate::data::{BUCKETS, Bucket};
use crate::error::{Error, Result};

/// First byte of every part.
const VERSION: u8 = 1;

/// One part of a batch.
fn encode(bucket: Bucket, rows: &RecordBatch) -> Result<Part> {
    let mut bytes = vec![VERSION];
    if rows.num_rows() > 0 {
        let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema())?;
        writer.write(rows)?;
        writer.finish()?;
    }
    Ok(Part { bucket: Some(bucket), bytes })
}

/// One part per wanted bucket of a batch whose rows have these key hashes; with `empty`, also for those without rows.
pub(super) fn encode_by_bucket(
    rows: &RecordBatch,
    hashes: &[u64],
    wanted: &[bool; BUCKETS],
    empty: bool,
) -> Result<Vec<Part>> {
    let mut by_bucket: Vec<Vec<u32>> = vec![vec![]; BUCKETS];
    for (i, &hash) in hashes.iter().enumerate() {
        by_bucket[usize::from(Bucket::of(hash).0)].push(i as u32);
    }
    let mut parts = vec![];
    let mut lacking = fault::on(Fault::SnapshotLacksBucket);
    for (bucket, indices) in by_bucket.into_iter().enumerate() {
        if !wanted[bucket] || (indices.is_empty() && !empty) {
            continue;
        }
        if std::mem::take(&mut lacking) {
            continue;
        }
        parts.push(encode(Bucket(bucket as u8), &take_record_batch(rows, &UInt32Array::from(indices))?)?);
    }
    Ok(parts)
}

/// The batch of a part, if it has rows.
pub(super) fn decode(part: &Part) -> Result<Option<RecordBatch>> {
    match part.bytes.split_first() {
        Some((&VERSION, [])) => Ok(None),
        Some((&VERSION, bytes)) => Ok(StreamReader::try_new(bytes, None)?.next().transpose()?),
        _ => Err(Error::internal("a state snapshot has an unknown version")),
    }
}
