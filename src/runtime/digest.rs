//! What a run did, in a form that two runs can be compared by.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::data::{Changes, Epoch, KeyEncoder, ObjectId, WatermarkVector};
use crate::error::Result;
use crate::operators::{LateRows, RowError};

/// What one view sent, or was wrong with one source, in one epoch, as order-independent hashes: sums over rows of hash times
/// weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// The view, source or table.
    pub view: u32,
    /// The epoch.
    pub epoch: u64,
    /// Its changes.
    pub changes: u64,
    /// Its late rows.
    pub late: u64,
    /// Its errors.
    pub errors: u64,
    /// What left it when its retention was over.
    pub expired: u64,
}

/// The input of one epoch, as the log has it (rows of replayable sources included).
#[derive(Clone, Debug)]
pub struct InputEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// Per table and source: netted changes in statement order, rows in arrival order, with their arrival watermarks.
    pub inputs: Vec<(ObjectId, Vec<Changes>)>,
    /// At the end of the epoch.
    pub watermarks: Arc<WatermarkVector>,
    /// Views that joined at this epoch; it has no inputs then.
    pub joined: Vec<ObjectId>,
}

impl Digest {
    pub(super) fn new(view: ObjectId, epoch: Epoch) -> Self {
        Self { view: view.0, epoch: epoch.0, ..Self::default() }
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.changes == 0 && self.late == 0 && self.errors == 0 && self.expired == 0
    }

    /// What was sent in two epochs, as if in one.
    pub(super) fn add(&mut self, other: &Self) {
        self.changes = self.changes.wrapping_add(other.changes);
        self.late = self.late.wrapping_add(other.late);
        self.errors = self.errors.wrapping_add(other.errors);
        self.expired = self.expired.wrapping_add(other.expired);
    }

    pub(super) fn add_changes(&mut self, changes: &Changes) -> Result<()> {
        self.changes = self.changes.wrapping_add(sum(changes, |_| 0)?);
        Ok(())
    }

    pub(super) fn add_expired(&mut self, changes: &Changes) -> Result<()> {
        self.expired = self.expired.wrapping_add(sum(changes, |_| 0)?);
        Ok(())
    }

    pub(super) fn add_late(&mut self, late: &LateRows) -> Result<()> {
        let extra = |i: usize| {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&late.event_time[i].0.to_le_bytes());
            bytes[8..16].copy_from_slice(&late.watermark[i].0.to_le_bytes());
            bytes[16..].copy_from_slice(&late.windows_missed[i].to_le_bytes());
            xxh3_64(&bytes)
        };
        self.late = self.late.wrapping_add(sum(&late.changes, extra)?);
        Ok(())
    }

    pub(super) fn add_error(&mut self, error: &RowError) {
        let text = format!("{}\0{}\0{}\0{}", error.operator, error.code.0, error.message, error.row);
        self.errors = self.errors.wrapping_add(xxh3_64(text.as_bytes()).wrapping_mul(error.diff as u64));
    }
}

fn sum(changes: &Changes, extra: impl Fn(usize) -> u64) -> Result<u64> {
    let columns: Vec<usize> = (0..changes.rows.num_columns()).collect();
    let keys = KeyEncoder::exact(&changes.rows.schema(), &columns)?.encode(&changes.rows)?;
    let one = |i: usize| {
        let hash = xxh3_64(&[xxh3_64(keys.get(i)).to_le_bytes(), extra(i).to_le_bytes()].concat());
        hash.wrapping_mul(changes.diff(i) as u64)
    };
    Ok((0..changes.len()).map(one).fold(0, u64::wrapping_add))
}
