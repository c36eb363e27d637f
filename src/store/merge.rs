//! Keeps the list of chunks short: small neighbours are merged geometrically, and chunks that are mostly deleted are
//! rewritten.
//!
//! A chunk of at least [`SMALL`] live rows is never copied for the sake of a neighbour, so big batches pass through
//! without a copy. Below that a chunk is merged with the next one when that is at least half its size: a row is copied at
//! most log2([`SMALL`]) times, and the list holds a logarithmic number of small chunks between big ones.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;

use super::CHUNK_ROWS;
use super::chunk::{Chunk, Ids};

/// Live rows from which on a chunk is left alone.
const SMALL: usize = 4096;

/// Drops empty chunks, rewrites sparse ones, merges small neighbours.
pub(super) fn tidy(schema: &SchemaRef, chunks: Vec<Chunk>) -> Result<Vec<Chunk>> {
    let chunks: Vec<Chunk> = chunks.into_iter().filter(|c| c.live() > 0).collect();
    let groups = groups(&chunks);
    if groups.len() == chunks.len() && !chunks.iter().any(is_sparse) {
        return Ok(chunks);
    }
    groups
        .into_iter()
        .map(|group| match &chunks[group] {
            [one] if !is_sparse(one) => Ok(one.clone()),
            several => merge(schema, several),
        })
        .collect()
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
            let small = *below_live < SMALL && live < SMALL;
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

fn merge(schema: &SchemaRef, chunks: &[Chunk]) -> Result<Chunk> {
    let parts = chunks.iter().map(Chunk::live_rows).collect::<Result<Vec<RecordBatch>>>()?;
    let rows = concat_batches(schema, &parts)?;
    let mut ids: Vec<u64> = Vec::with_capacity(rows.num_rows());
    for chunk in chunks {
        ids.extend((0..chunk.len()).filter(|&p| chunk.is_live(p)).map(|p| chunk.id(p)));
    }
    let consecutive = ids.first().zip(ids.last()).is_some_and(|(a, b)| (b - a) as usize + 1 == ids.len());
    let ids = if consecutive { Ids::From(ids[0]) } else { Ids::List(ids) };
    Ok(Chunk::new(rows, ids))
}
