//! The newest rows that a view turned away.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};

use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::operators::{LateRows, row_json};

use super::super::LateRow;

/// A ring of late rows, as batches; the oldest rows leave when there are too many.
#[derive(Default)]
pub(super) struct Late {
    kept: VecDeque<(Epoch, LateRows)>,
    rows: usize,
}

impl Late {
    pub(super) fn add(&mut self, epoch: Epoch, late: LateRows, limit: usize) {
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
