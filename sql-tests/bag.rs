//! A multiset of rows: what tests compare, and what their models compute with.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use highwater::data::text::{Column, TimeZone};

/// Rows with their weights; those of weight 0 are not there.
pub struct Bag {
    schema: SchemaRef,
    converter: RowConverter,
    rows: BTreeMap<Vec<u8>, i64>,
}

impl Bag {
    /// Nothing yet.
    pub fn new(schema: SchemaRef) -> Self {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        Self { schema, converter: RowConverter::new(fields).expect("sortable types"), rows: BTreeMap::new() }
    }

    /// Adds rows, each with its weight.
    pub fn add(&mut self, batch: &RecordBatch, weight: impl Fn(usize) -> i64) {
        if self.schema.fields().is_empty() {
            let sum: i64 = (0..batch.num_rows()).map(weight).sum();
            return self.change(Vec::new(), sum);
        }
        let rows = self.converter.convert_columns(batch.columns()).expect("the schema's columns");
        for (i, row) in rows.iter().enumerate() {
            self.change(row.as_ref().to_vec(), weight(i));
        }
    }

    fn change(&mut self, row: Vec<u8>, weight: i64) {
        let entry = self.rows.entry(row);
        let sum = entry.or_insert(0);
        *sum += weight;
        if *sum == 0 {
            self.rows.retain(|_, w| *w != 0);
        }
    }

    /// What makes `before` into this: rows with weights.
    pub fn since(&self, before: &Self) -> Vec<(RecordBatch, i64)> {
        let mut by_weight: BTreeMap<i64, Vec<&[u8]>> = BTreeMap::new();
        let keys: std::collections::BTreeSet<&Vec<u8>> = self.rows.keys().chain(before.rows.keys()).collect();
        for key in keys {
            let weight = self.rows.get(key).unwrap_or(&0) - before.rows.get(key).unwrap_or(&0);
            if weight != 0 {
                by_weight.entry(weight).or_default().push(key);
            }
        }
        by_weight.into_iter().map(|(weight, keys)| (self.decode(keys), weight)).collect()
    }

    /// The rows, each as often as its weight says. Errors: a negative weight.
    pub fn batch(&self) -> Result<RecordBatch, String> {
        let mut keys: Vec<&[u8]> = Vec::new();
        for (key, weight) in &self.rows {
            if *weight < 0 {
                return Err(format!("a row with weight {weight}: {:?}", lines(&self.decode(vec![key]))));
            }
            keys.extend(std::iter::repeat_n(key.as_slice(), usize::try_from(*weight).unwrap_or(0)));
        }
        Ok(self.decode(keys))
    }

    fn decode(&self, keys: Vec<&[u8]>) -> RecordBatch {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(keys.len()));
        let parser = self.converter.parser();
        let columns = if self.schema.fields().is_empty() {
            Vec::new()
        } else {
            self.converter.convert_rows(keys.iter().map(|k| parser.parse(k))).expect("own bytes")
        };
        RecordBatch::try_new_with_options(nullable(&self.schema), columns, &options).expect("the schema's columns")
    }
}

/// The same columns, all nullable.
pub fn nullable(schema: &SchemaRef) -> SchemaRef {
    let field = |f: &arrow::datatypes::FieldRef| f.as_ref().clone().with_nullable(true);
    Arc::new(arrow::datatypes::Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The rows of a batch as text, one line each.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let columns: Vec<Column> =
        batch.columns().iter().zip(schema.fields()).map(|(a, f)| Column::new(a, f).expect("a known type")).collect();
    let zone = TimeZone::utc();
    let line = |row: usize| {
        let mut line = String::new();
        for column in &columns {
            if column.is_null(row) {
                line.push_str("NULL");
            } else {
                column.write(row, &zone, &mut line);
            }
            line.push('|');
        }
        line
    };
    (0..batch.num_rows()).map(line).collect()
}

/// Compares two multisets of rows; floats to 1e-9. Errors: what differs, some of it.
pub fn compare(expected: &[RecordBatch], actual: &[RecordBatch]) -> Result<(), String> {
    let sorted = |batches: &[RecordBatch]| {
        let mut lines: Vec<String> = batches.iter().flat_map(lines).collect();
        lines.sort();
        lines
    };
    let (expected_lines, actual_lines) = (sorted(expected), sorted(actual));
    if expected_lines == actual_lines || (has_floats(expected) && close(&expected_lines, &actual_lines)) {
        return Ok(());
    }
    let missing = without(&expected_lines, &actual_lines);
    let surplus = without(&actual_lines, &expected_lines);
    Err(format!(
        "{} rows expected, {} found; missing: {:#?}; surplus: {:#?}",
        expected_lines.len(),
        actual_lines.len(),
        &missing[..missing.len().min(10)],
        &surplus[..surplus.len().min(10)]
    ))
}

/// The lines of a sorted list that another has not, counting.
fn without(lines: &[String], others: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in others {
        *counts.entry(line).or_default() += 1;
    }
    let mut rest = Vec::new();
    for line in lines {
        match counts.get_mut(line.as_str()) {
            Some(n) if *n > 0 => *n -= 1,
            _ => rest.push(line.clone()),
        }
    }
    rest
}

fn has_floats(batches: &[RecordBatch]) -> bool {
    let floats = |b: &RecordBatch| {
        b.schema().fields().iter().any(|f| matches!(f.data_type(), DataType::Float32 | DataType::Float64))
    };
    batches.iter().any(floats)
}

/// Whether the lines agree one by one, values that are numbers to 1e-9.
fn close(a: &[String], b: &[String]) -> bool {
    let value = |x: &str, y: &str| {
        x == y
            || match (x.parse::<f64>(), y.parse::<f64>()) {
                (Ok(x), Ok(y)) => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0),
                _ => false,
            }
    };
    let line = |x: &String, y: &String| x.split('|').zip(y.split('|')).all(|(x, y)| value(x, y));
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| line(x, y))
}
