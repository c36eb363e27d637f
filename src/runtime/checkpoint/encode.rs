//! The bytes of parts.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::writer::StreamWriter;

use crate::error::Result;
use crate::store::ChunkImage;

/// An IPC stream; batches of one schema become one.
pub(super) fn write_batches(batches: &[RecordBatch], bytes: &mut Vec<u8>) -> Result<()> {
    let Some(first) = batches.first() else { return Ok(()) };
    let schema = first.schema();
    let mut writer = StreamWriter::try_new(bytes, &schema)?;
    if batches.len() > 1 && batches.iter().all(|batch| batch.schema_ref() == &schema) {
        writer.write(&concat_batches(&schema, batches)?)?;
    } else {
        batches.iter().try_for_each(|batch| writer.write(batch))?;
    }
    Ok(writer.finish()?)
}

pub(super) fn masks_bytes(chunks: &[ChunkImage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, mask) in (0_u32..).zip(chunks).filter_map(|(place, chunk)| Some((place, chunk.deleted()?))) {
        bytes.extend_from_slice(&place.to_le_bytes());
        bytes.extend_from_slice(&(mask.len() as u32).to_le_bytes());
        mask.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    }
    bytes
}
