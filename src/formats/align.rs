//! Batches of any types -> batches of the target's types, by column name, without the rows that do not fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;

use super::shape::ragged;
use super::text::{self, BadValue};
use super::{BadRecord, Decoded};
use crate::data::types;
use crate::error::{Result, SqlState};

/// The longest piece of a bad record that is kept.
const RECORD_SHOWN_BYTES: usize = 2048;

/// By row: why it does not fit.
pub(super) type Refused = BTreeMap<usize, (SqlState, String)>;

/// Brings batches to a target schema.
#[derive(Debug)]
pub struct Align {
    target: SchemaRef,
}

impl Align {
    /// Towards a schema; its fields' nullability is NOT NULL.
    pub fn new(target: SchemaRef) -> Self {
        Self { target }
    }

    /// The schema of the rows.
    pub fn target(&self) -> &SchemaRef {
        &self.target
    }

    /// Converts one batch: text is parsed, other types are cast, a column that is not there is NULL. A row that does not
    /// fit is left out; `whose(row)` tells where it stood.
    pub fn batch(&self, batch: &RecordBatch, whose: impl Fn(usize) -> String) -> Result<Decoded> {
        let (rows, refused) = self.convert(batch, Refused::new())?;
        let bad = refused
            .into_iter()
            .map(|(row, (code, message))| BadRecord {
                code,
                message: format!("{}: {message}", whose(row)),
                record: shown(batch, row),
            })
            .collect();
        Ok(Decoded { rows, bad })
    }

    /// The rows that fit and were not refused before, and the first reason of each row that does not.
    pub(super) fn convert(&self, batch: &RecordBatch, mut refused: Refused) -> Result<(RecordBatch, Refused)> {
        let mut columns = Vec::with_capacity(self.target.fields().len());
        for field in self.target.fields() {
            let (array, bad) = match batch.column_by_name(field.name()) {
                Some(array) => column(array, field)?,
                None => (new_null_array(field.data_type(), batch.num_rows()), Vec::new()),
            };
            for value in bad {
                let message = format!("{} in column \"{}\"", value.message, field.name());
                refused.entry(value.row).or_insert((value.code, message));
            }
            if !field.is_nullable() {
                for row in text::missing(&array) {
                    let message = format!("null value in column \"{}\" violates not-null constraint", field.name());
                    refused.entry(row).or_insert((SqlState::NOT_NULL_VIOLATION, message));
                }
            }
            columns.push(array);
        }
        let rows = self.keep(columns, batch.num_rows(), &refused)?;
        Ok((rows, refused))
    }

    fn keep<V>(&self, columns: Vec<ArrayRef>, rows: usize, refused: &BTreeMap<usize, V>) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        if refused.is_empty() {
            return Ok(RecordBatch::try_new_with_options(Arc::clone(&self.target), columns, &options)?);
        }
        // Until the bad rows are out, NOT NULL does not hold.
        let all = RecordBatch::try_new_with_options(nullable(&self.target), columns, &options)?;
        let good: BooleanArray = (0..rows).map(|row| Some(!refused.contains_key(&row))).collect();
        let kept = filter_record_batch(&all, &good)?;
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.target), kept.columns().to_vec(), &options)?)
    }
}

/// One column in its target type, and what did not fit.
fn column(array: &ArrayRef, field: &Field) -> Result<(ArrayRef, Vec<BadValue>)> {
    let (array, mut bad) = converted(array, field)?;
    bad.extend(ragged(&array, field)?);
    Ok((array, bad))
}

/// [`column`], whose arrays of arrays may be of any shape.
fn converted(array: &ArrayRef, field: &Field) -> Result<(ArrayRef, Vec<BadValue>)> {
    if is_text(array.data_type()) {
        let array = cast_with_options(array, &DataType::Utf8, &CastOptions::default())?;
        if let Some(texts) = text::as_text(&array) {
            return text::parse(texts, field);
        }
    }
    if array.data_type() == field.data_type() && !array.data_type().is_nested() {
        return Ok((Arc::clone(array), Vec::new()));
    }
    match (array.data_type(), field.data_type()) {
        (DataType::List(_), DataType::List(_)) => return elements(array.as_list::<i32>(), field),
        (DataType::LargeList(item) | DataType::FixedSizeList(item, _), DataType::List(_)) => {
            let list = cast_with_options(array, &DataType::List(Arc::clone(item)), &CastOptions::default())?;
            return elements(list.as_list::<i32>(), field);
        }
        (DataType::Struct(_), DataType::Struct(fields)) => return members(array.as_struct(), fields),
        _ => {}
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(array, field.data_type(), &options)?;
    if let Some(texts) = text::as_text(&cast) {
        // Bytes that are read as text.
        let (texts, nul) = text::without_nul(texts);
        if !nul.is_empty() {
            return Ok((Arc::new(texts), nul));
        }
    }
    if cast.null_count() == array.logical_null_count() {
        return Ok((cast, Vec::new()));
    }
    let nulls = array.logical_nulls();
    let was_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let bad = (0..cast.len()).filter(|row| cast.is_null(*row) && !was_null(*row)).map(|row| BadValue {
        row,
        code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        message: format!(
            "value \"{}\" is out of range for type {}",
            array_value_to_string(array, row).unwrap_or_default(),
            types::sql_name(field)
        ),
    });
    let bad = bad.collect();
    Ok((cast, bad))
}

/// A list, element by element; what does not fit is the row's.
fn elements(list: &ListArray, field: &Field) -> Result<(ArrayRef, Vec<BadValue>)> {
    let item = types::item(field);
    // Of an array of arrays the whole has a shape.
    let values = if item.data_type().is_list() { converted } else { column };
    let (values, bad) = values(list.values(), &item)?;
    // What stands in no list is nobody's value.
    let row = |at: usize| {
        let row = list.value_offsets().partition_point(|offset| *offset as usize <= at).checked_sub(1)?;
        (row < list.len() && list.is_valid(row)).then_some(row)
    };
    let bad = bad.into_iter().filter_map(|value| Some(BadValue { row: row(value.row)?, ..value })).collect();
    let item = Arc::new(Field::new("item", item.data_type().clone(), true));
    let list = ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?;
    Ok((Arc::new(list), bad))
}

/// A struct, field by field, by their names; a field that is not there is NULL.
fn members(records: &StructArray, fields: &Fields) -> Result<(ArrayRef, Vec<BadValue>)> {
    let (mut columns, mut bad) = (Vec::with_capacity(fields.len()), Vec::new());
    for field in fields {
        let (values, wrong) = match records.column_by_name(field.name()) {
            Some(values) => column(values, field)?,
            None => (new_null_array(field.data_type(), records.len()), Vec::new()),
        };
        columns.push(values);
        // What stands where there is no record is nobody's value.
        let wrong = wrong.into_iter().filter(|value| records.is_valid(value.row));
        bad.extend(
            wrong
                .map(|value| BadValue { message: format!("{} in field \"{}\"", value.message, field.name()), ..value }),
        );
    }
    bad.sort_by_key(|value| value.row);
    let nulls = records.nulls().cloned();
    let records = StructArray::try_new_with_length(fields.clone(), columns, nulls, records.len())?;
    Ok((Arc::new(records), bad))
}

/// Whether [`Align`] can make one type of another.
pub fn convertible(from: &DataType, to: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Struct};
    match (from, to) {
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(to)) => {
            convertible(from.data_type(), to.data_type())
        }
        (Struct(from), Struct(to)) => to.iter().all(|to| {
            let found = from.iter().find(|from| from.name() == to.name());
            found.is_some_and(|from| convertible(from.data_type(), to.data_type()))
        }),
        (Struct(_), _) | (_, Struct(_)) => is_text(from),
        _ => from == to || is_text(from) || can_cast_types(from, to),
    }
}

/// Text in any of Arrow's layouts.
fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// The same columns, all of which may be NULL.
pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A row as text, cut.
fn shown(batch: &RecordBatch, row: usize) -> String {
    let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap_or_default());
    text::cut(&values.collect::<Vec<_>>().join(","), RECORD_SHOWN_BYTES)
}

/// A bad record that was bytes.
pub(super) fn bad_bytes(code: SqlState, message: String, record: &[u8]) -> BadRecord {
    let end = record.len().min(RECORD_SHOWN_BYTES + 4);
    BadRecord { code, message, record: text::cut(&String::from_utf8_lossy(&record[..end]), RECORD_SHOWN_BYTES) }
}
