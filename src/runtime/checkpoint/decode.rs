//! Reads batches of checkpoints on all cores: what takes the time of a start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;

use crate::checkpoint::{PartRef, Parts};
use crate::error::{Error, Result};

use super::content::{Content, DeltaRef, StoreRef};

/// Parts that were read.
pub(super) type Decoded = HashMap<PartRef, Vec<RecordBatch>>;

/// The rows of tables, of views and of operators' states, as many threads as there are cores taking one part after the other.
pub(super) fn all(parts: &Parts, content: &Content) -> Result<Decoded> {
    let wanted = wanted(content);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(PartRef, Vec<RecordBatch>)>> {
        let mut own = vec![];
        while let Some(part) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            own.push((*part, batches(parts, part)?));
        }
        Ok(own)
    };
    let mut decoded = Decoded::with_capacity(wanted.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.min(wanted.len())).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let own = thread.join().map_err(|_| Error::internal("a thread that reads a checkpoint panicked"))?;
            decoded.extend(own?);
        }
        Ok(decoded)
    })
}

fn wanted(content: &Content) -> Vec<PartRef> {
    fn rows(store: &StoreRef) -> impl Iterator<Item = PartRef> {
        store.chunks.iter().map(|chunk| chunk.rows)
    }
    let mut wanted: Vec<PartRef> = content.tables.values().flat_map(|table| rows(&table.rows)).collect();
    for view in content.views.values() {
        wanted.extend(rows(&view.rows));
        let deltas = view.states.iter().flat_map(|state| &state.deltas);
        wanted.extend(deltas.flat_map(|DeltaRef { removed, rows, .. }| removed.iter().chain(rows)));
    }
    // As they lie on the disk.
    wanted.sort_unstable_by_key(|part| (part.pack, part.at));
    wanted
}

/// The batches of a part.
pub(super) fn batches(parts: &Parts, part: &PartRef) -> Result<Vec<RecordBatch>> {
    let bytes = parts.get(part)?;
    if bytes.is_empty() {
        return Ok(vec![]);
    }
    // The batches lie in these bytes: nothing is copied.
    let (mut buffer, mut decoder, mut batches) = (Buffer::from(bytes), StreamDecoder::new(), vec![]);
    while !buffer.is_empty() {
        batches.extend(decoder.decode(&mut buffer)?);
    }
    decoder.finish()?;
    Ok(batches)
}
