//! Parts: what rows bring to groups, put together where the rows are, before they are exchanged.
//!
//! A part of a group has the group's columns, the number of windows that it stands for (where there are panes), its
//! weight, and what its aggregates hold, as in a snapshot.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::runs::Run;
use super::table::{Part, PartKeys};
use super::{GroupLayout, GroupState};
use crate::error::Result;

impl GroupLayout {
    /// The columns of parts.
    pub fn parts(&self) -> Result<SchemaRef> {
        let mut fields: Vec<Arc<Field>> = self.group.fields().iter().cloned().collect();
        let mut push = |name: &str, data_type: &DataType| {
            fields.push(Arc::new(Field::new(name, data_type.clone(), true)));
        };
        if self.panes.is_some() {
            push("windows", &DataType::UInt32);
        }
        push("weight", &DataType::Int64);
        for dump in self.dumps()?.iter().flatten() {
            push("part", dump.data_type());
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// What the aggregates hold of no groups at all.
    fn dumps(&self) -> Result<Vec<Vec<ArrayRef>>> {
        let mut dumps = vec![];
        for i in 0..self.kinds.len() {
            dumps.extend(self.aggregate(i)?.own().map(|a| a.dump(&[])).transpose()?);
        }
        Ok(dumps)
    }
}

impl GroupState {
    /// Takes rows, to be asked for as [`Self::parts`] at the end of the epoch.
    pub fn collect(&mut self, rows: &RecordBatch, diffs: Option<&Int64Array>) -> Result<()> {
        let rows = self.in_runs(rows, diffs, &self.used)?;
        self.add_runs(&rows, true)
    }

    /// How many groups were collected.
    pub fn collected(&self) -> usize {
        self.panes.iter().map(|(_, table)| table.keys.len()).sum()
    }

    /// Each row as a part of its own.
    pub fn singles(&self, rows: &RecordBatch, diffs: Option<&Int64Array>) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let entries: Vec<u32> = (0..count as u32).collect();
        let mut columns = rows.columns()[..self.layout.group.fields().len()].to_vec();
        columns.extend(self.layout.panes.map(|(windows, _)| rows.column(windows).clone()));
        columns.push(Arc::new(diffs.cloned().unwrap_or_else(|| Int64Array::from(vec![1; count]))));
        for (i, (arguments, filter)) in self.layout.arguments.iter().enumerate() {
            let mut aggregate = self.layout.aggregate(i)?;
            let Some(aggregate) = aggregate.own_mut() else { continue };
            aggregate.resize(count);
            let arguments: Vec<ArrayRef> = arguments.iter().map(|&c| rows.column(c).clone()).collect();
            let filter = filter.map(|c| rows.column(c).as_boolean());
            aggregate.update(&entries, &arguments, filter, diffs.map(|d| &d.values()[..]))?;
            columns.extend(aggregate.dump(&entries)?);
        }
        Ok(RecordBatch::try_new(self.layout.parts()?, columns)?)
    }

    /// The parts of what was collected.
    pub fn parts(&mut self) -> Result<Option<RecordBatch>> {
        let schema = self.layout.parts()?;
        let mut batches = vec![];
        for (spot, table) in self.panes.take_all() {
            let part = table.part()?;
            let all: Vec<u32> = (0..part.weight.len() as u32).collect();
            let mut columns = self.columns_of(&table, spot.end, &all)?;
            if self.layout.panes.is_some() {
                columns.push(Arc::new(UInt32Array::from(vec![spot.windows; all.len()])));
            }
            columns.push(Arc::new(Int64Array::from(part.weight.to_vec())));
            columns.extend(part.dumps.into_iter().flatten());
            batches.push(RecordBatch::try_new(schema.clone(), columns)?);
            self.panes.retire(table, &self.layout);
        }
        Ok(match &batches[..] {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(concat_batches(&schema, several)?),
        })
    }

    /// Adds parts that came from any worker.
    pub fn add_parts(&mut self, rows: &RecordBatch) -> Result<()> {
        let at = self.layout.group.fields().len() + usize::from(self.layout.panes.is_some());
        let used: Vec<usize> = self.keys.iter().copied().chain(at..rows.num_columns()).collect();
        let rows = self.in_runs(rows, None, &used)?;
        let keys = self.batch_keys(&rows.columns, rows.count)?;
        let slide = self.layout.panes.map_or(0, |(_, slide)| slide);
        let widths: Vec<usize> = self.layout.dumps()?.iter().map(Vec::len).collect();
        let weights = rows.columns[at].as_primitive::<Int64Type>().values().clone();
        let mut entries = std::mem::take(&mut self.entries);
        for &Run { spot, offset, length } in &rows.runs {
            let mut columns = rows.columns[at + 1..].iter().map(|c| c.slice(offset, length));
            let dumps = widths.iter().map(|&width| columns.by_ref().take(width).collect()).collect();
            let keys = PartKeys::Rows(&keys, offset, length);
            let part = Part { keys, weight: &weights[offset..offset + length], dumps };
            self.merge(spot, slide, &part, &mut entries)?;
        }
        self.entries = entries;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{AccumulatorKind, AggregateFunction, NO_WINDOW};

    fn state() -> GroupState {
        let kind = |function, output| AccumulatorKind {
            function,
            inputs: vec![DataType::Int64],
            order: vec![],
            output,
            retracting: true,
            distinct: false,
        };
        GroupState::new(GroupLayout {
            group: Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)])),
            window: vec![],
            exchange: vec![0],
            panes: None,
            kinds: vec![
                kind(AggregateFunction::Sum, DataType::Decimal128(38, 0)),
                kind(AggregateFunction::Max, DataType::Int64),
            ],
            arguments: vec![(vec![1], None), (vec![1], None)],
            keep_old: false,
        })
        .unwrap()
    }

    fn results(state: &GroupState) -> Vec<String> {
        let table = state.get(NO_WINDOW).unwrap();
        let entries = table.live();
        let mut columns = state.group_columns(NO_WINDOW, &entries).unwrap();
        columns.extend(table.results(&entries).unwrap().into_iter().map(|results| results.column));
        let row = |i: usize| columns.iter().map(|c| format!("{:?}|", c.slice(i, 1))).collect::<String>();
        let mut rows: Vec<String> =
            (0..entries.len()).map(|i| format!("{} {}", table.weight(entries[i]), row(i))).collect();
        rows.sort();
        rows
    }

    #[test]
    fn parts_and_single_rows_bring_what_rows_bring() {
        let column = |values: &[Option<i64>]| Arc::new(values.iter().copied().collect::<Int64Array>()) as ArrayRef;
        let keys = column(&[Some(1), None, Some(1), Some(2), None, Some(1)]);
        let values = column(&[Some(5), Some(7), None, Some(-3), Some(9), Some(8)]);
        let rows = RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("v", values, true)]).unwrap();
        let diffs = Int64Array::from(vec![1, 1, 2, 1, 1, 1]);
        let (mut direct, mut collected, mut single) = (state(), state(), state());
        direct.add(&rows, Some(&diffs)).unwrap();
        let mut before = state();
        before.collect(&rows, Some(&diffs)).unwrap();
        let parts = before.parts().unwrap().unwrap();
        assert_eq!(parts.num_rows(), 3);
        collected.add_parts(&parts).unwrap();
        single.add_parts(&before.singles(&rows, Some(&diffs)).unwrap()).unwrap();
        assert_eq!(results(&collected), results(&direct));
        assert_eq!(results(&single), results(&direct));
        assert!(before.parts().unwrap().is_none());
    }
}
