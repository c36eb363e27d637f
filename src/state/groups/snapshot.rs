//! Snapshots of groups: one row per group, with its window, its weight, and what its aggregates hold.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};

use super::runs::{Run, Spot, runs};
use super::{GroupState, GroupTable, at};
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
        for aggregate in &table.aggregates {
            columns.extend(aggregate.dump(&entries)?);
        }
        let named = columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c, true));
        let rows = RecordBatch::try_from_iter_with_nullable(named)?;
        Ok(Some((rows, self.hashes(end, &entries)?)))
    }

    fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = self.layout.group.fields().len();
        let ends = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        for Run { spot, offset, length } in runs(ends.iter().map(|&end| Spot { end, windows: 1 })) {
            let rows = rows.slice(offset, length);
            let group = rows.columns()[3..3 + width].to_vec();
            let keys = if width == 0 {
                BatchKeys::Empty
            } else {
                self.batch_keys(&RecordBatch::try_new(nullable(&self.layout.group), group)?)?
            };
            let table = at(&mut self.tables, spot.end, &self.layout, self.form)?;
            let mut entries = vec![];
            table.keys.intern(&keys, 0, length, &mut entries);
            table.grow();
            table.emitted |= rows.column(1).as_boolean().value(0);
            let weights = rows.column(2).as_primitive::<Int64Type>();
            entries.iter().zip(weights.values()).for_each(|(&e, &w)| table.weight[e as usize] = w);
            let mut columns = rows.columns()[3 + width..].iter().cloned();
            for aggregate in &mut table.aggregates {
                aggregate.merge(&entries, &mut columns)?;
            }
        }
        Ok(())
    }
}

/// The schema with every column nullable: restored keys carry no such promise.
fn nullable(schema: &Schema) -> SchemaRef {
    let field = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

impl State for GroupState {
    fn snapshot(&self, since: Option<Epoch>) -> Result<Vec<Part>> {
        let mut dumps = vec![];
        let mut wanted = [since.is_none(); BUCKETS];
        for (end, table) in &self.tables {
            let Some((rows, hashes)) = self.dump(*end, table)? else { continue };
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
        self.tables.values().map(GroupTable::bytes).sum()
    }

    fn rows(&self) -> usize {
        self.tables.values().map(|t| t.keys.len()).sum()
    }

    fn drop_window(&mut self, window_end: EventTime) -> usize {
        self.dirty.remove(&window_end.0);
        self.tables.remove(&window_end.0).map_or(0, |t| t.keys.len())
    }
}
