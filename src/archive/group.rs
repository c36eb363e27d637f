//! A group: consecutive rows of an archive as Parquet files, one per day of event time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::checkpoint::Objects;
use crate::data::types::sql_name;
use crate::data::{Epoch, EventTime};
use crate::error::{Error, Result, SqlState};
use crate::formats::{Compression, RowEncoding, RowWriter};

const DAY: i64 = 86_400_000_000;
/// Days of a group at most; rows of more are in one file.
const DAYS: usize = 64;
const ENDING: &str = ".parquet";
/// The folder of rows without event time, and of those of many days.
const NO_DAY: &str = "other";

/// Whether rows of these columns can be archived.
///
/// Errors: `0A000` names the column.
pub fn check(schema: &SchemaRef) -> Result<()> {
    let interval = schema.fields().iter().find(|field| matches!(field.data_type(), DataType::Interval(_)));
    if let Some(field) = interval {
        let what = format!("an archive of column \"{}\" of type {}", field.name(), sql_name(field));
        return Err(Error::unsupported(what, "Parquet has no such intervals: declare it as text."));
    }
    RowEncoding::Parquet(Compression::Zstd).check(schema)
}

/// Rows with their epochs and numbers, as the last two columns.
pub(super) struct Numbered(RecordBatch);

fn numbered(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("hw_epoch", DataType::Int64, false)));
    fields.push(Arc::new(Field::new("hw_row", DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

impl Numbered {
    pub(super) fn of(schema: &SchemaRef, first: u64, epoch: Epoch, rows: &RecordBatch) -> Result<Self> {
        let n = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(vec![epoch.0.cast_signed(); n])));
        columns.push(Arc::new(Int64Array::from_iter_values((first..).take(n).map(u64::cast_signed))));
        Ok(Self(RecordBatch::try_new(numbered(schema), columns)?))
    }

    pub(super) fn concat(schema: &SchemaRef, parts: &[Self]) -> Result<Self> {
        Ok(Self(concat_batches(&numbered(schema), parts.iter().map(|part| &part.0))?))
    }

    /// The rows alone, without the first ones.
    pub(super) fn rows(&self, schema: &SchemaRef, skip: usize) -> Result<RecordBatch> {
        let columns = self.0.columns()[..schema.fields().len()].to_vec();
        let rows = RecordBatch::try_new(SchemaRef::clone(schema), columns)?;
        Ok(rows.slice(skip, rows.num_rows() - skip))
    }

    fn number(&self, at: usize) -> u64 {
        let numbers = self.0.column(self.0.num_columns() - 1).as_primitive::<Int64Type>();
        numbers.value(at).cast_unsigned()
    }

    /// By day: which rows; and the latest time.
    fn days(&self, time: usize) -> (BTreeMap<String, Vec<u32>>, i64) {
        let times = self.0.column(time).as_primitive_opt::<TimestampMicrosecondType>();
        let mut days: BTreeMap<Option<i64>, Vec<u32>> = BTreeMap::new();
        let mut latest = i64::MIN;
        for (i, row) in (0..self.0.num_rows()).zip(0..) {
            let time = times.filter(|times| times.is_valid(i)).map(|times| times.value(i));
            let time = time.filter(|time| !matches!(*time, i64::MIN | i64::MAX));
            latest = latest.max(time.unwrap_or(i64::MIN));
            days.entry(time.map(|time| time.div_euclid(DAY))).or_default().push(row);
        }
        if days.len() > DAYS {
            let all = (0..).take(self.0.num_rows()).collect();
            return (BTreeMap::from([(NO_DAY.to_owned(), all)]), latest);
        }
        let named = |day: Option<i64>| day.and_then(date).unwrap_or_else(|| NO_DAY.to_owned());
        let mut files: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (day, rows) in days {
            files.entry(named(day)).or_default().extend(rows);
        }
        // In order, also where several days share a folder.
        files.values_mut().for_each(|rows| rows.sort_unstable());
        (files, latest)
    }
}

fn date(day: i64) -> Option<String> {
    let date = chrono::DateTime::from_timestamp(day.checked_mul(86_400)?, 0)?;
    Some(date.format("%Y-%m-%d").to_string())
}

/// Where it is, and what is known of it without looking into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) first: u64,
    pub(super) end: u64,
    /// The watermark before its first row.
    pub(super) before: EventTime,
    /// The latest event time.
    pub(super) latest: i64,
    files: Vec<String>,
    /// Of all files.
    pub(super) bytes: u64,
}

impl Group {
    pub(super) fn rows(&self) -> u64 {
        self.end - self.first
    }

    /// Whether its retention is over at a watermark.
    pub(super) fn is_over(&self, retention: i64, now: i64) -> bool {
        self.latest != i64::MIN && self.latest.saturating_add(retention) <= now && now != i64::MAX
    }

    /// The first day of event time that a file of it is of.
    pub(super) fn oldest_day(&self) -> Option<&str> {
        let days = self.files.iter().filter_map(|name| name.split_once('/')).map(|(day, _)| day);
        days.filter(|day| *day != NO_DAY).min()
    }

    /// Looks how long its files are.
    pub(super) fn measure(&mut self, objects: &dyn Objects) -> Result<()> {
        self.bytes = self.files.iter().map(|name| objects.size(name)).sum::<Result<_>>()?;
        Ok(())
    }

    /// Writes consecutive rows; it is there when this returns.
    pub(super) fn write(objects: &dyn Objects, rows: &Numbered, time: usize, before: EventTime) -> Result<Self> {
        let (days, latest) = rows.days(time);
        let (first, count) = (rows.number(0), days.len());
        let mut group = Self { first, end: first + rows.0.num_rows() as u64, before, latest, files: vec![], bytes: 0 };
        for (k, (day, own)) in (1..).zip(days) {
            let own = take_record_batch(&rows.0, &UInt32Array::from(own))?;
            let encoding = RowEncoding::Parquet(Compression::Zstd);
            let mut writer = RowWriter::new(&encoding, &own.schema(), Vec::new())?;
            writer.write(&own)?;
            let name = group.name(&day, k, count);
            let bytes = Bytes::from(writer.finish()?);
            group.bytes += bytes.len() as u64;
            objects.put(&name, bytes)?;
            group.files.push(name);
        }
        Ok(group)
    }

    fn name(&self, day: &str, k: usize, count: usize) -> String {
        let Self { first, end, before, latest, .. } = self;
        let (before, latest) = (before.0.cast_unsigned(), latest.cast_unsigned());
        format!("{day}/{first:012}-{end:012}-{k}of{count}-{before:016x}-{latest:016x}{ENDING}")
    }

    /// What a name says: its group, and of how many files.
    fn parse(name: &str) -> Option<(Self, usize)> {
        let (_, file) = name.split_once('/')?;
        let mut words = file.strip_suffix(ENDING)?.split('-');
        let (first, end) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (_, count) = words.next()?.split_once("of")?;
        let mut time = || Some(u64::from_str_radix(words.next()?, 16).ok()?.cast_signed());
        let (before, latest) = (EventTime(time()?), time()?);
        let group = Self { first, end, before, latest, files: vec![name.to_owned()], bytes: 0 };
        (first < end && words.next().is_none()).then_some((group, count.parse().ok()?))
    }

    /// Its rows, in arrival order.
    pub(super) fn read(&self, objects: &dyn Objects, schema: &SchemaRef) -> Result<Numbered> {
        let schema = numbered(schema);
        let mut parts = Vec::new();
        for name in &self.files {
            let damaged = |why: String| {
                let message = format!("\"{}\" of an archive cannot be read: {why}", objects.path(name));
                Error::new(SqlState::DATA_CORRUPTED, message)
            };
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(objects.get(name)?).and_then(|builder| builder.build());
            for rows in reader.map_err(|e| damaged(e.to_string()))? {
                let rows = rows.map_err(|e| damaged(e.to_string()))?;
                let rows = RecordBatch::try_new(SchemaRef::clone(&schema), rows.columns().to_vec());
                parts.push(rows.map_err(|e| damaged(e.to_string()))?);
            }
        }
        let rows = concat_batches(&schema, &parts)?;
        let numbers = rows.column(rows.num_columns() - 1);
        let order = sort_to_indices(numbers, None, None)?;
        let rows = Numbered(take_record_batch(&rows, &order)?);
        if rows.0.num_rows() as u64 != self.rows() {
            let message = format!("an archive has {} of the rows {} to {}", rows.0.num_rows(), self.first, self.end);
            return Err(Error::new(SqlState::DATA_CORRUPTED, message));
        }
        Ok(rows)
    }

    /// Removes its files.
    pub(super) fn remove(&self, objects: &dyn Objects) -> Result<()> {
        self.files.iter().try_for_each(|name| objects.remove(name))
    }
}

/// The whole groups among some files, in order; those of which files lack, and whose rows no whole group has; and the files
/// that are of no use.
pub(super) fn whole(names: Vec<String>) -> (Vec<Group>, Vec<Group>, Vec<String>) {
    let mut found: BTreeMap<(u64, std::cmp::Reverse<u64>), (Group, usize)> = BTreeMap::new();
    let all: BTreeSet<String> = names.into_iter().filter(|name| name.ends_with(ENDING)).collect();
    for (group, count) in all.iter().filter_map(|name| Group::parse(name)) {
        let (known, _) = found
            .entry((group.first, std::cmp::Reverse(group.end)))
            .or_insert_with(|| (Group { files: vec![], ..group.clone() }, count));
        known.files.extend(group.files);
    }
    let (mut groups, mut partial): (Vec<Group>, Vec<Group>) = (Vec::new(), Vec::new());
    for (group, count) in found.into_values() {
        // The larger of two that begin with one row comes first.
        if group.files.len() != count {
            partial.push(group);
        } else if groups.last().is_none_or(|last| last.end <= group.first) {
            groups.push(group);
        }
    }
    partial.retain(|group| !covered(group, &groups));
    let used: BTreeSet<&String> = groups.iter().chain(&partial).flat_map(|group| &group.files).collect();
    let rest = all.iter().filter(|name| !used.contains(name)).cloned().collect();
    (groups, partial, rest)
}

/// Whether other groups, in order, have all rows of one.
fn covered(group: &Group, by: &[Group]) -> bool {
    let mut row = group.first;
    for other in by {
        if (other.first..other.end).contains(&row) {
            row = other.end;
        }
    }
    row >= group.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_groups_take_the_place_of_their_parts() {
        let group = |first, end| Group { first, end, before: EventTime::MIN, latest: 5, files: vec![], bytes: 0 };
        let mut names =
            vec![group(0, 10).name("d", 1, 1), group(10, 20).name("d", 1, 1), group(10, 20).name("e", 1, 1)];
        names.extend([group(0, 20).name("d", 1, 2)]);
        let rows = |groups: &[Group]| groups.iter().map(|g| (g.first, g.end)).collect::<Vec<_>>();
        let (groups, partial, rest) = whole(names.clone());
        // Nobody else has rows 10 to 20: what there is of them stays.
        assert_eq!((rows(&groups), rows(&partial), rest.len()), (vec![(0, 10)], vec![(0, 20), (10, 20)], 0));
        names.extend([group(0, 20).name("e", 2, 2), group(20, 30).name("e", 1, 1)]);
        let (groups, partial, rest) = whole(names);
        assert_eq!((rows(&groups), partial.len()), (vec![(0, 20), (20, 30)], 0));
        assert_eq!((groups[0].latest, groups[0].before, rest.len()), (5, EventTime::MIN, 3));
    }
}
