//! What lies between two versions of one store: the rows that came and the rows that went, without looking at the chunks
//! that both share.

use arrow::array::{Int64Array, UInt32Array};
use std::sync::Arc;

use crate::data::Changes;
use crate::error::Result;

use super::Version;
use super::chunk::Chunk;

/// Rows of a chunk, by position.
struct Picked<'a> {
    chunk: &'a Chunk,
    positions: Vec<u32>,
    diff: i64,
}

impl Version {
    /// The changes that make this version of an older one of the same store, retractions first; `None` when the two are of
    /// different stores.
    pub fn since(&self, older: &Self) -> Result<Option<Vec<Changes>>> {
        if !Arc::ptr_eq(&self.encoder, &older.encoder) {
            return Ok(None);
        }
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let (mut old_only, mut new_only) = (Vec::new(), Vec::new());
        let mut theirs = self.chunks.iter().peekable();
        for chunk in older.chunks.iter() {
            // Chunks ascend by their ids, so a shared one is met in the same order on both sides.
            while theirs.peek().is_some_and(|c| c.first_id() < chunk.first_id()) {
                new_only.extend(theirs.next());
            }
            match theirs.next_if(|c| c.shares_rows(chunk)) {
                Some(now) => {
                    let went = |p: &u32| chunk.is_live(*p as usize) && !now.is_live(*p as usize);
                    if !now.shares_mask(chunk) {
                        gone.push(Picked { chunk, positions: chunk.all().filter(went).collect(), diff: -1 });
                    }
                }
                None => old_only.push(chunk),
            }
        }
        new_only.extend(theirs);
        // What was merged or rewritten meanwhile is compared by row id.
        let (before, after) = (ids(&old_only), ids(&new_only));
        let lacks = |ids: &[u64], chunk: &Chunk, p: u32| ids.binary_search(&chunk.id(p as usize)).is_err();
        for chunk in old_only {
            let went = chunk.all().filter(|p| chunk.is_live(*p as usize) && lacks(&after, chunk, *p));
            gone.push(Picked { chunk, positions: went.collect(), diff: -1 });
        }
        for chunk in new_only {
            let came = chunk.all().filter(|p| chunk.is_live(*p as usize) && lacks(&before, chunk, *p));
            new.push(Picked { chunk, positions: came.collect(), diff: 1 });
        }
        let picked = gone.into_iter().chain(new).filter(|p| !p.positions.is_empty());
        picked.map(Picked::changes).collect::<Result<_>>().map(Some)
    }
}

impl Picked<'_> {
    fn changes(self) -> Result<Changes> {
        let Self { chunk, positions, diff } = self;
        let count = positions.len();
        let whole = count == chunk.len();
        let all = Changes::insertions(chunk.passing_rows()?);
        let rows = if whole { all } else { all.take(&UInt32Array::from(positions))? };
        Ok(if diff == 1 { rows } else { Changes::new(rows.rows, Int64Array::from(vec![diff; count])) })
    }
}

/// The ids of live rows, ascending.
fn ids(chunks: &[&Chunk]) -> Vec<u64> {
    let live = |chunk: &&Chunk| {
        let chunk = *chunk;
        chunk.all().map(|p| p as usize).filter(|p| chunk.is_live(*p)).map(|p| chunk.id(p)).collect::<Vec<_>>()
    };
    let mut ids: Vec<u64> = chunks.iter().flat_map(live).collect();
    ids.sort_unstable();
    ids
}
