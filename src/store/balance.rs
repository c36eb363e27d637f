//! What a store gives back when memory is short: first the rows of chunks, those that were used longest ago, with their
//! lists for look-ups; then the index; the filters last.

use std::sync::{Arc, Weak};

use crate::error::Result;

use super::Store;
use super::chunk::{Chunk, Data, tick};
use super::index::Index;

/// Of its share a store keeps as much, one part of so many, for rows that were asked for, whatever the index needs.
const READ_PART: usize = 4;

/// Chunks that are no more in the list, above which those are forgotten that nobody reads.
const GONE_MAX: usize = 1024;

impl Store {
    /// Says how much it holds, and gives memory back if all who hold some have too much together. What the disk refuses
    /// stays in memory.
    pub fn relieve(&mut self) {
        let masks: usize = self.chunks.iter().map(Chunk::mask_bytes).sum();
        self.account.hold(masks + self.index.as_ref().map_or(0, Index::bytes));
        if !self.memory.is_short() {
            if self.memory.limit().is_none() {
                self.gone.clear();
            } else if self.gone.len() > GONE_MAX {
                self.gone.retain(|data| data.strong_count() > 0);
            }
            return;
        }
        match self.shrink(masks) {
            Ok(()) => self.refused = false,
            // Once is enough.
            Err(_) if self.refused => {}
            Err(error) => {
                self.refused = true;
                tracing::warn!("rows stay in memory, above its limit: {error}");
            }
        }
    }

    fn shrink(&mut self, masks: usize) -> Result<()> {
        self.gone.retain(|data| data.strong_count() > 0);
        let gone = self.gone.iter().filter_map(Weak::upgrade);
        let all: Vec<Arc<Data>> = self.chunks.iter().map(|chunk| Arc::clone(chunk.data())).chain(gone).collect();
        let mut coldest: Vec<(u64, usize, &Arc<Data>)> = all.iter().map(|d| (d.used(), d.movable(), d)).collect();
        coldest.retain(|(_, bytes, _)| *bytes > 0);
        let mut movable: usize = coldest.iter().map(|(_, bytes, _)| bytes).sum();
        let fixed = masks + all.iter().map(|data| data.stubborn()).sum::<usize>();
        let index = self.index.as_ref().map_or(0, Index::bytes);
        let Some(share) = self.memory.share(movable + fixed + index) else { return Ok(()) };
        tick();
        coldest.sort_unstable_by_key(|(used, ..)| *used);
        let most = share.saturating_sub(fixed + index).max(share / READ_PART);
        for (_, bytes, data) in coldest {
            if movable <= most {
                break;
            }
            data.spill()?;
            movable -= bytes;
        }
        let index = match &mut self.index {
            Some(own) if movable + fixed + index > share => {
                own.shrink(share.saturating_sub(movable + fixed), &self.memory)?;
                self.account.spilled(own.disk_bytes());
                self.account.hold(masks + own.bytes());
                own.bytes()
            }
            Some(_) | None => index,
        };
        if movable + fixed + index > share {
            all.iter().for_each(|data| data.drop_filter());
        }
        Ok(())
    }
}
