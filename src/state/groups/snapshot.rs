//! Snapshots of groups: one row per group, with its window, its weight, and what its aggregates hold.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};

use super::runs::{Run, Spot, runs};
use super::table::Aggregate;
use super::{GroupState, GroupTable};
use crate::data::{BUCKETS, Bucket, Epoch, EventTime};
use crate::error::Result;
use crate::state::interner::BatchKeys;
use crate::state::{Part, State, part};

impl GroupState {
    /// All entries of a window as one batch: what [`Self::load`] takes.
    fn dump(&self, end: i64, table: &GroupTable) -> Result<Option<(RecordBatch, Vec<u64>)>> {
        let entries = if self.global() { (0..table.weight.len() as u32).collect() } else { table.live() };
        if entries.is_empty() {
            return Ok(None);
        }
        let weights: Int64Array = entries.iter().map(|&e| table.weight[e as usize]).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![end; entries.len()])),
            Arc::new(BooleanArray::from(vec![table.emitted; entries.len()])),
            Arc::new(weights),
        ];
        columns.extend(self.group_columns(end, &entries)?);
        for aggregate in table.aggregates.iter().filter_map(Aggregate::own) {
            columns.extend(aggregate.dump(&entries)?);
        }
        let named = columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c, true));
        let rows = RecordBatch::try_from_iter_with_nullable(named)?;
        Ok(Some((rows, self.hashes(end, &entries)?)))
    }

    fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = self.layout.group.fields().len();
        let ends = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        let spot = |row: usize| Spot { end: ends[row], windows: 1 };
        for Run { spot, offset, length } in runs(ends.len(), |row| ends[row] == ends[row - 1], spot) {
            let rows = rows.slice(offset, length);
            let group = rows.columns()[3..3 + width].to_vec();
            let keys = if width == 0 { BatchKeys::Empty } else { self.batch_keys(&group, length)? };
            let table = self.tables.at(spot.end, &self.layout, self.form)?;
            let mut entries = vec![];
            table.keys.intern(&keys, 0, length, &mut entries);
            table.grow();
            table.emitted |= rows.column(1).as_boolean().value(0);
            let weights = rows.column(2).as_primitive::<Int64Type>();
            entries.iter().zip(weights.values()).for_each(|(&e, &w)| table.weight[e as usize] = w);
            let mut columns = rows.columns()[3 + width..].iter().cloned();
            for aggregate in table.aggregates.iter_mut().filter_map(Aggregate::own_mut) {
                aggregate.merge(&entries, &mut columns)?;
            }
        }
        Ok(())
    }
}

impl State for GroupState {
    fn snapshot(&self, since: Option<Epoch>) -> Result<Vec<Part>> {
        let mut dumps = vec![];
        let mut wanted = [since.is_none(); BUCKETS];
        for (end, table) in self.tables.iter() {
            let Some((rows, hashes)) = self.dump(end, table)? else { continue };
            if let Some(since) = since {
                let entries = if self.global() { (0..table.weight.len() as u32).collect() } else { table.live() };
                for (&e, &hash) in entries.iter().zip(&hashes) {
                    wanted[usize::from(Bucket::of(hash).0)] |= table.touched[e as usize] > since.0;
                }
            }
            dumps.push((rows, hashes));
        }
        if let Some(since) = since {
            wanted.iter_mut().zip(self.removed.iter()).for_each(|(w, r)| *w |= *r > since.0);
        }
        let all = match dumps.first() {
            Some((first, _)) => arrow::compute::concat_batches(&first.schema(), dumps.iter().map(|(rows, _)| rows))?,
            None => RecordBatch::new_empty(Arc::new(Schema::empty())),
        };
        let hashes: Vec<u64> = dumps.iter().flat_map(|(_, hashes)| hashes.iter().copied()).collect();
        part::encode_by_bucket(&all, &hashes, &wanted, since.is_some())
    }

    fn restore(&mut self, parts: &[Part]) -> Result<()> {
        for part in parts {
            if let Some(rows) = part::decode(part)? {
                self.load(&rows)?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.tables.bytes() + self.panes.bytes()
    }

    fn rows(&self) -> usize {
        self.tables.iter().map(|(_, t)| t.keys.len()).sum()
    }

    fn drop_window(&mut self, window_end: EventTime) -> usize {
        self.dirty.remove(&window_end.0);
        self.tables.remove(window_end.0, &self.layout)
    }
}
