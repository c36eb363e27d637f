//! Evaluating expressions over changes: a row that fails alone is reported and left out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Output, RowError, Stop};
use crate::data::Changes;
use crate::data::text::datetime::{write_date, write_timestamp};
use crate::error::{Error, Result};
use crate::plan::Scalar;
use crate::stack;
use crate::state::fault::{self, Fault};

/// Columns of a stretch of rows: offset, length, columns.
type Piece = (usize, usize, Vec<ArrayRef>);

/// Rows that an expression which may take long is evaluated over, before it is asked whether anybody still wants them.
const SLOW_ROWS: usize = 64;

/// How an operator evaluates its expressions.
pub(super) struct Evaluation {
    operator: Arc<str>,
    stop: Stop,
    slow: bool,
}

impl Evaluation {
    pub(super) fn new<'a>(operator: Arc<str>, stop: Stop, scalars: impl IntoIterator<Item = &'a Scalar>) -> Self {
        Self { operator, stop, slow: scalars.into_iter().any(Scalar::is_slow) }
    }

    /// Applies `f`, which must treat each row by itself, to a batch. On an error the batch is bisected: rows for which
    /// `f` fails alone go to the errors. Returns the other rows with their columns.
    pub(super) fn evaluate(
        &self,
        changes: Changes,
        out: &mut Output,
        f: &dyn Fn(&RecordBatch) -> Result<Vec<ArrayRef>>,
    ) -> Result<(Changes, Vec<ArrayRef>)> {
        let f = &|rows: &RecordBatch| stack::for_evaluation(|| f(rows));
        let nothing = || Ok((changes.slice(0, 0), f(&changes.rows.slice(0, 0)).unwrap_or_default()));
        if self.stop.is_set() {
            return nothing();
        }
        let (mut pieces, mut failures) = (vec![], vec![]);
        if self.slow && changes.len() > SLOW_ROWS {
            for offset in (0..changes.len()).step_by(SLOW_ROWS) {
                if self.stop.is_set() {
                    return nothing();
                }
                let length = SLOW_ROWS.min(changes.len() - offset);
                bisect(&changes.rows, offset, length, f, &mut pieces, &mut failures);
            }
        } else if let Ok(columns) = f(&changes.rows) {
            return Ok((changes, columns));
        } else {
            bisect(&changes.rows, 0, changes.len(), f, &mut pieces, &mut failures);
        }
        assemble(&self.operator, changes, out, f, (pieces, failures))
    }
}

/// Puts together what was evaluated in pieces; reports what failed.
fn assemble(
    operator: &Arc<str>,
    changes: Changes,
    out: &mut Output,
    f: &dyn Fn(&RecordBatch) -> Result<Vec<ArrayRef>>,
    (mut pieces, mut failures): (Vec<Piece>, Vec<(usize, Error)>),
) -> Result<(Changes, Vec<ArrayRef>)> {
    if fault::on(Fault::BatchFails) && failures.len() < changes.len() {
        let cause = failures.first().map_or_else(|| Error::internal("no cause"), |(_, e)| e.clone());
        failures = (0..changes.len()).map(|i| (i, cause.clone())).collect();
        pieces.clear();
    }
    let mut keep = vec![true; changes.len()];
    for (i, error) in &failures {
        keep[*i] = false;
        report(operator, error, &changes.rows, *i, changes.diff(*i), out);
    }
    let kept = if failures.is_empty() { changes.clone() } else { changes.filter(&BooleanArray::from(keep))? };
    let columns = match pieces.first() {
        None => f(&changes.rows.slice(0, 0)).unwrap_or_default(),
        Some((_, _, first)) => {
            let column = |c: usize| -> Result<ArrayRef> {
                let parts: Vec<&dyn Array> = pieces.iter().map(|(_, _, columns)| columns[c].as_ref()).collect();
                Ok(concat(&parts)?)
            };
            (0..first.len()).map(column).collect::<Result<_>>()?
        }
    };
    Ok((kept, columns))
}

fn bisect(
    rows: &RecordBatch,
    offset: usize,
    length: usize,
    f: &dyn Fn(&RecordBatch) -> Result<Vec<ArrayRef>>,
    pieces: &mut Vec<Piece>,
    failures: &mut Vec<(usize, Error)>,
) {
    match f(&rows.slice(offset, length)) {
        Ok(columns) => pieces.push((offset, length, columns)),
        Err(error) if length <= 1 => failures.push((offset, error)),
        Err(_) => {
            let half = length / 2;
            bisect(rows, offset, half, f, pieces, failures);
            bisect(rows, offset + half, length - half, f, pieces, failures);
        }
    }
}

/// Reports a failing row, or that it was taken back.
pub(super) fn report(operator: &Arc<str>, error: &Error, rows: &RecordBatch, i: usize, diff: i64, out: &mut Output) {
    if diff < 0 && fault::on(Fault::ErrorKept) {
        return;
    }
    out.error(RowError {
        operator: operator.clone(),
        code: error.code(),
        message: error.message().into(),
        row: row_json(rows, i),
        diff,
    });
}

/// A row as a JSON object: numbers and booleans plain, everything else as PostgreSQL-like text.
pub fn row_json(rows: &RecordBatch, i: usize) -> String {
    use arrow::datatypes::DataType;
    let options = FormatOptions::default().with_null("null");
    let mut text = String::from("{");
    for (c, field) in rows.schema_ref().fields().iter().enumerate() {
        if c > 0 {
            text.push_str(", ");
        }
        text.push_str(&serde_json::Value::from(field.name().as_str()).to_string());
        text.push_str(": ");
        let column = rows.column(c);
        let value = ArrayFormatter::try_new(column, &options).map(|f| f.value(i).to_string()).unwrap_or_default();
        let plain = matches!(
            field.data_type(),
            DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..)
        );
        if column.is_null(i) {
            text.push_str("null");
        } else if let Some(record) = column.as_struct_opt() {
            text.push_str(&row_json(&RecordBatch::from(record.slice(i, 1)), 0));
        } else if plain || (field.data_type().is_floating() && value.parse().is_ok_and(f64::is_finite)) {
            text.push_str(&value);
        } else if let Some(time) = time_text(column, i) {
            text.push_str(&serde_json::Value::from(time).to_string());
        } else {
            text.push_str(&serde_json::Value::from(value).to_string());
        }
    }
    text.push('}');
    text
}

/// A date or a timestamp, the latter in UTC.
fn time_text(column: &ArrayRef, i: usize) -> Option<String> {
    let mut text = String::new();
    match column.as_primitive_opt::<Date32Type>() {
        Some(days) => write_date(&mut text, days.value(i)).ok()?,
        None => write_timestamp(&mut text, column.as_primitive_opt::<TimestampMicrosecondType>()?.value(i)).ok()?,
    }
    Some(text)
}

/// A batch of declared columns; a column of another type than declared is cast.
pub(super) fn batch(
    schema: &arrow::datatypes::SchemaRef,
    mut columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    for (column, field) in columns.iter_mut().zip(schema.fields()) {
        if column.data_type() != field.data_type() {
            *column = arrow::compute::cast(column, field.data_type())?;
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
