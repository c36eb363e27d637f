//! Keeps the list of chunks short: small neighbours are merged geometrically, and chunks that are mostly deleted are
//! rewritten.
//!
//! A chunk of at least [`SMALL`] live rows is never copied for the sake of a neighbour, so big batches pass through
//! without a copy. Below that a chunk is merged with the next one when that is at least half its size: a row is copied at
//! most log2([`SMALL`]) times, and the list holds a logarithmic number of small chunks between big ones.

use std::ops::Range;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::spill::Memory;

use super::chunk::{Chunk, Data};
use super::ids::Ids;
use super::{CHUNK_BYTES, CHUNK_ROWS};

/// Live rows from which on a chunk is left alone.
const SMALL: usize = 4096;

/// Bytes of chunks on disk that are read at once for being merged; the others wait.
const READ_BYTES: usize = 4 * CHUNK_BYTES;

/// Drops empty chunks, rewrites sparse ones, merges small neighbours; `gone` gets those that are no more in the list.
pub(super) fn tidy(
    schema: &SchemaRef,
    chunks: &[Chunk],
    memory: &Arc<Memory>,
    gone: &mut Vec<Weak<Data>>,
) -> Result<Vec<Chunk>> {
    let left = |chunk: &&Chunk| chunk.live() == 0;
    gone.extend(chunks.iter().filter(left).map(|chunk| Arc::downgrade(chunk.data())));
    let chunks: Vec<Chunk> = chunks.iter().filter(|c| c.live() > 0).cloned().collect();
    let groups = groups(&chunks);
    if groups.len() == chunks.len() && !chunks.iter().any(is_sparse) {
        return Ok(chunks);
    }
    let (mut tidied, mut budget) = (Vec::with_capacity(groups.len()), READ_BYTES);
    for group in groups {
        let group = &chunks[group];
        if let [one] = group
            && !is_sparse(one)
        {
            tidied.push(one.clone());
            continue;
        }
        let to_read: usize = group.iter().filter(|chunk| !chunk.is_resident()).map(Chunk::bytes).sum();
        if to_read > budget {
            tidied.extend_from_slice(group);
            continue;
        }
        budget -= to_read;
        tidied.push(merge(schema, group, memory)?);
        gone.extend(group.iter().map(|chunk| Arc::downgrade(chunk.data())));
    }
    Ok(tidied)
}

fn is_sparse(chunk: &Chunk) -> bool {
    chunk.live() * 2 < chunk.len()
}

/// Which neighbours become one chunk.
fn groups(chunks: &[Chunk]) -> Vec<Range<usize>> {
    let mut stack: Vec<(Range<usize>, usize)> = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        let (mut range, mut live) = (i..i + 1, chunk.live());
        while let Some((below, below_live)) = stack.last() {
            let wide =
                |range: &Range<usize>| chunks[range.clone()].iter().map(Chunk::bytes).sum::<usize>() > CHUNK_BYTES / 2;
            let small = *below_live < SMALL && live < SMALL && !wide(below) && !wide(&range);
            if !(small && *below_live <= 2 * live && below_live + live <= CHUNK_ROWS) {
                break;
            }
            (range, live) = (below.start..range.end, below_live + live);
            stack.pop();
        }
        stack.push((range, live));
    }
    stack.into_iter().map(|(range, _)| range).collect()
}

fn merge(schema: &SchemaRef, chunks: &[Chunk], memory: &Arc<Memory>) -> Result<Chunk> {
    let parts = chunks.iter().map(Chunk::live_rows).collect::<Result<Vec<RecordBatch>>>()?;
    let rows = concat_batches(schema, &parts)?;
    let mut ids: Vec<u64> = Vec::with_capacity(rows.num_rows());
    for chunk in chunks {
        ids.extend((0..chunk.len()).filter(|&p| chunk.is_live(p)).map(|p| chunk.id(p)));
    }
    Ok(Chunk::new(rows, Ids::of(&ids), memory))
}
