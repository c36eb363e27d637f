//! FORMAT: an epoch's changes as the rows that a part holds.
//!
//! | FORMAT | columns | one row per |
//! |---|---|---|
//! | PLAIN | the relation's | row that came |
//! | UPSERT | `hw_epoch`, `hw_state`, the relation's | key that changed: its new row (`upsert`), or the row that went (`delete`) |
//! | DEBEZIUM | `before`, `after`, `op`, `ts_ms`, `hw_epoch` | change: `r` a row of the snapshot, `c`, `u`, `d` |

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashMap;

use crate::data::{Changes, Epoch, KeyEncoder};
use crate::error::{Error, Result, SqlState};
use crate::formats::RowEncoding;

/// FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Upsert,
    Debezium,
}

/// The epoch of a row's change.
const EPOCH: &str = "hw_epoch";
/// What happened to a row's key.
const STATE: &str = "hw_state";

/// Makes the rows of parts.
#[derive(Debug)]
pub(super) struct Shape {
    format: Format,
    encoding: RowEncoding,
    /// Of the relation.
    input: SchemaRef,
    /// Over the key, where there is one.
    key: Option<KeyEncoder>,
    /// Over all columns.
    whole: KeyEncoder,
    /// Of the parts.
    pub(super) output: SchemaRef,
}

impl Shape {
    /// Errors: `42701` a column has the name of one that the format adds; `0A000` the encoding has not such a type.
    pub(super) fn new(
        format: Format,
        encoding: &RowEncoding,
        input: &SchemaRef,
        key: Option<&[usize]>,
    ) -> Result<Self> {
        encoding.check(input)?;
        let stored = encoding.stored(input);
        let own = [Field::new(EPOCH, DataType::Int64, false), Field::new(STATE, DataType::Utf8, false)];
        let output = match format {
            Format::Plain => SchemaRef::clone(&stored),
            Format::Upsert => {
                if let Some(taken) = own.iter().find(|own| input.index_of(own.name()).is_ok()) {
                    let message = format!("column \"{}\" has the name of one that FORMAT UPSERT adds", taken.name());
                    return Err(Error::new(SqlState::DUPLICATE_COLUMN, message)
                        .with_hint("Give it another name in a materialized view, or use FORMAT DEBEZIUM."));
                }
                let fields = own.into_iter().map(Arc::new).chain(stored.fields().iter().cloned());
                Arc::new(Schema::new(fields.collect::<Vec<_>>()))
            }
            Format::Debezium => {
                let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
                let row = DataType::Struct(stored.fields().iter().map(nullable).collect());
                Arc::new(Schema::new(vec![
                    Field::new("before", row.clone(), true),
                    Field::new("after", row, true),
                    Field::new("op", DataType::Utf8, false),
                    Field::new("ts_ms", DataType::Int64, false),
                    Field::new(EPOCH, DataType::Int64, false),
                ]))
            }
        };
        let all: Vec<usize> = (0..input.fields().len()).collect();
        Ok(Self {
            format,
            encoding: encoding.clone(),
            key: key.map(|key| KeyEncoder::new(input, key)).transpose()?,
            whole: KeyEncoder::exact(input, &all)?,
            input: SchemaRef::clone(input),
            output,
        })
    }

    /// The rows of one epoch's changes; `first`: they are the snapshot.
    ///
    /// Errors: `55000` rows went, and the format has no word for that.
    pub(super) fn rows(&self, epoch: Epoch, changes: Vec<Changes>, first: bool) -> Result<Vec<RecordBatch>> {
        if let Some(changed) = changes.iter().find(|c| c.rows.schema().fields().len() != self.input.fields().len()) {
            let (now, then) = (changed.rows.num_columns(), self.input.fields().len());
            let message = format!("the relation has {now} columns now, and had {then} when the sink was created");
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint("DROP the sink, and create it anew."));
        }
        let changes = match changes.iter().any(|c| c.diffs.is_some()) {
            true => vec![crate::data::consolidate(&self.input, &self.whole, &changes)?],
            false => changes,
        };
        changes.into_iter().filter(|c| !c.is_empty()).map(|c| self.batch(epoch, &c, first)).collect()
    }

    fn batch(&self, epoch: Epoch, changes: &Changes, first: bool) -> Result<RecordBatch> {
        let rows = self.encoding.storable(&changes.rows)?;
        match self.format {
            Format::Plain => self.plain(&rows, changes),
            Format::Upsert => self.upsert(epoch, &rows, changes),
            Format::Debezium => self.debezium(epoch, &rows, changes, first),
        }
    }

    fn plain(&self, rows: &RecordBatch, changes: &Changes) -> Result<RecordBatch> {
        let columns = match &changes.diffs {
            None => rows.columns().to_vec(),
            Some(diffs) if diffs.values().iter().any(|diff| *diff < 0) => {
                let message = "rows went or were corrected, and FORMAT PLAIN only tells of rows that come";
                return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("DROP the sink, and create it anew with FORMAT UPSERT or FORMAT DEBEZIUM."));
            }
            Some(_) => taken(rows, &repeated(changes, |diff| diff > 0))?,
        };
        self.output(columns)
    }

    fn upsert(&self, epoch: Epoch, rows: &RecordBatch, changes: &Changes) -> Result<RecordBatch> {
        let key = self.key.as_ref().ok_or_else(|| Error::internal("an upsert without a key"))?;
        let keys = key.encode(&changes.rows)?;
        let is_new = |row: &usize| changes.diff(*row) > 0;
        let new: HashMap<&[u8], ()> = (0..changes.len()).filter(is_new).map(|row| (keys.get(row), ())).collect();
        let kept: Vec<u32> = (0..changes.len())
            .filter(|row| is_new(row) || !new.contains_key(keys.get(*row)))
            .map(|row| row as u32)
            .collect();
        let op = |row: &u32| if changes.diff(*row as usize) > 0 { "upsert" } else { "delete" };
        let ops = StringArray::from_iter_values(kept.iter().map(op));
        let mut columns: Vec<ArrayRef> = vec![self.epochs(epoch, kept.len()), Arc::new(ops)];
        columns.extend(taken(rows, &UInt32Array::from(kept))?);
        self.output(columns)
    }

    fn debezium(&self, epoch: Epoch, rows: &RecordBatch, changes: &Changes, first: bool) -> Result<RecordBatch> {
        let (gone, new) = (repeated(changes, |diff| diff < 0), repeated(changes, |diff| diff > 0));
        let keys = self.key.as_ref().map(|key| key.encode(&changes.rows)).transpose()?;
        let mut old: HashMap<&[u8], u32> = HashMap::new();
        if let Some(keys) = &keys {
            old.extend(gone.values().iter().map(|row| (keys.get(*row as usize), *row)));
        }
        let (mut before, mut after, mut ops) = (Vec::new(), Vec::new(), Vec::new());
        for row in new.values() {
            let was = keys.as_ref().and_then(|keys| old.remove(keys.get(*row as usize)));
            before.push(was);
            after.push(Some(*row));
            ops.push(match was {
                Some(_) => "u",
                None if first => "r",
                None => "c",
            });
        }
        // Rows that went come first, as in a subscription.
        let updated: hashbrown::HashSet<u32> = before.iter().flatten().copied().collect();
        let went: Vec<u32> = gone.values().iter().copied().filter(|row| !updated.contains(row)).collect();
        before.splice(0..0, went.iter().map(|row| Some(*row)));
        after.splice(0..0, went.iter().map(|_| None));
        ops.splice(0..0, went.iter().map(|_| "d"));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let count = ops.len();
        self.output(vec![
            self.record(rows, before)?,
            self.record(rows, after)?,
            Arc::new(StringArray::from(ops)),
            Arc::new(Int64Array::from(vec![now; count])),
            self.epochs(epoch, count),
        ])
    }

    /// Rows as values of one column.
    fn record(&self, rows: &RecordBatch, places: Vec<Option<u32>>) -> Result<ArrayRef> {
        let DataType::Struct(fields) = self.output.field(0).data_type() else {
            return Err(Error::internal("no column of rows"));
        };
        let places = UInt32Array::from(places);
        let columns = taken(rows, &places)?;
        let nulls = places.nulls().cloned();
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, places.len())?))
    }

    fn epochs(&self, epoch: Epoch, count: usize) -> ArrayRef {
        Arc::new(Int64Array::from(vec![epoch.0.cast_signed(); count]))
    }

    fn output(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let count = columns.first().map_or(0, |column| column.len());
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(SchemaRef::clone(&self.output), columns, &options)?)
    }
}

/// The positions of rows whose weights are wanted, as often as they weigh.
fn repeated(changes: &Changes, wanted: impl Fn(i64) -> bool) -> UInt32Array {
    let weights = (0..changes.len()).map(|row| (row as u32, changes.diff(row))).filter(|(_, diff)| wanted(*diff));
    let rows = weights
        .flat_map(|(row, diff)| std::iter::repeat_n(row, usize::try_from(diff.unsigned_abs()).unwrap_or(usize::MAX)));
    UInt32Array::from_iter_values(rows)
}

fn taken(rows: &RecordBatch, places: &UInt32Array) -> Result<Vec<ArrayRef>> {
    rows.columns().iter().map(|column| Ok(take(column, places, None)?)).collect()
}
