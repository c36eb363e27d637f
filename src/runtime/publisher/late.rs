//! The newest rows that a view turned away.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};

use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::operators::{LateRows, row_json};

use super::super::LateRow;
use super::errors::stamp;

/// A ring of late rows, as batches; the oldest rows leave when there are too many.
#[derive(Default)]
pub(super) struct Late {
    kept: VecDeque<(Epoch, LateRows)>,
    rows: usize,
    /// Another one after each change; 0 while there was none.
    stamp: u64,
}

impl Late {
    /// All of it, and what changes with it.
    pub(super) fn image(&self) -> (u64, Vec<(Epoch, LateRows)>) {
        (self.stamp, self.kept.iter().cloned().collect())
    }

    /// What [`Self::image`] gave.
    pub(super) fn restored(stamp: u64, kept: Vec<(Epoch, LateRows)>) -> Self {
        let rows = kept.iter().map(|(_, late)| late.changes.len()).sum();
        Self { kept: kept.into(), rows, stamp }
    }

    pub(super) fn add(&mut self, epoch: Epoch, late: LateRows, limit: usize) {
        self.stamp = stamp();
        self.rows += late.changes.len();
        self.kept.push_back((epoch, late));
        while self.rows > limit {
            let Some((_, first)) = self.kept.front_mut() else { return };
            let (surplus, length) = (self.rows - limit, first.changes.len());
            if surplus >= length {
                self.rows -= length;
                self.kept.pop_front();
            } else {
                self.rows -= surplus;
                first.changes = first.changes.slice(surplus, length - surplus);
                first.event_time.drain(..surplus);
                first.watermark.drain(..surplus);
                first.windows_missed.drain(..surplus);
            }
        }
    }

    /// Oldest first.
    pub(super) fn rows(&self, view: ObjectId, name: &Arc<str>) -> impl Iterator<Item = LateRow> {
        self.kept.iter().flat_map(move |(epoch, late)| {
            (0..late.changes.len()).map(move |i| LateRow {
                view,
                view_name: Arc::clone(name),
                epoch: *epoch,
                diff: late.changes.diff(i),
                event_time: late.event_time[i],
                watermark: late.watermark[i],
                windows_missed: late.windows_missed[i],
                row: row_json(&late.changes.rows, i),
            })
        })
    }
}

/// The insertions among late rows, each as often as it was inserted: what LATE ROWS INTO gets.
pub(super) fn insertions(late: &LateRows) -> Result<Option<RecordBatch>> {
    let changes = &late.changes;
    let copies = (0u32..)
        .zip(0..changes.len())
        .flat_map(|(row, i)| std::iter::repeat_n(row, usize::try_from(changes.diff(i)).unwrap_or(0)));
    let copies: Vec<u32> = copies.collect();
    if copies.is_empty() {
        return Ok(None);
    }
    Ok(Some(changes.take(&UInt32Array::from(copies))?.rows))
}
