//! [`Shape`]: which columns a relation has, as somebody sees them. Tables are altered; what was planned over them is not.
//!
//! A column has a number that is never given to another one, so rows of one shape become rows of another ([`Recast`]):
//! columns move by their numbers, those that came are filled, those that went are left out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::Changes;
use crate::error::Result;

/// The numbers of a relation's columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnNumbers {
    /// Empty: 1, 2, .. as CREATE counted them.
    list: Vec<u16>,
    /// The largest ever given.
    last: u16,
}

/// Schema metadata: the numbers of its columns.
const META_NUMBERS: &str = "hw.numbers";

impl ColumnNumbers {
    /// The number of a column.
    pub fn of(&self, position: usize) -> u16 {
        self.list.get(position).copied().unwrap_or_else(|| u16::try_from(position + 1).unwrap_or(u16::MAX))
    }

    /// Where the column of this number is, among so many.
    pub fn position(&self, number: u16, width: usize) -> Option<usize> {
        (0..width).find(|at| self.of(*at) == number)
    }

    /// Numbers a column that comes behind so many others.
    pub fn add(&mut self, width: usize) -> u16 {
        self.begin(width);
        self.last += 1;
        self.list.push(self.last);
        self.last
    }

    /// Forgets a column of so many.
    pub fn remove(&mut self, width: usize, position: usize) {
        self.begin(width);
        self.list.remove(position);
    }

    fn begin(&mut self, width: usize) {
        if self.last == 0 {
            self.list = (0..width).map(|at| self.of(at)).collect();
            self.last = self.list.last().copied().unwrap_or(0);
        }
    }

    /// Those that a store's schema carries.
    pub fn carried(schema: &Schema) -> Self {
        schema.metadata().get(META_NUMBERS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// A relation's columns and their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The columns.
    pub schema: SchemaRef,
    /// Their numbers.
    pub numbers: ColumnNumbers,
}

impl Shape {
    /// The shape of a store's rows.
    pub fn carried(schema: &SchemaRef) -> Self {
        Self { schema: Arc::clone(schema), numbers: ColumnNumbers::carried(schema) }
    }

    /// A schema that carries the numbers along, for a store.
    pub fn carrier(&self) -> SchemaRef {
        if self.numbers == ColumnNumbers::default() {
            return Arc::clone(&self.schema);
        }
        let text = serde_json::to_string(&self.numbers).unwrap_or_default();
        let metadata = HashMap::from([(META_NUMBERS.to_owned(), text)]);
        Arc::new(self.schema.as_ref().clone().with_metadata(metadata))
    }

    /// The numbers, ascending by position.
    pub fn all(&self) -> impl Iterator<Item = u16> {
        (0..self.schema.fields().len()).map(|at| self.numbers.of(at))
    }
}

/// Makes rows of one shape of rows of another.
#[derive(Clone, Debug)]
pub struct Recast {
    schema: SchemaRef,
    from: Vec<Origin>,
}

#[derive(Clone, Debug)]
enum Origin {
    Column(usize),
    /// One value for all rows; `None`: NULL.
    Value(Option<ArrayRef>),
}

impl Recast {
    /// From rows of one shape to rows of another; `fill` knows the values of columns that came, which else are NULL.
    pub fn new(from: &Shape, to: &Shape, fill: impl Fn(u16) -> Option<ArrayRef>) -> Self {
        let width = from.schema.fields().len();
        let origin = |number| match from.numbers.position(number, width) {
            Some(at) => Origin::Column(at),
            None => Origin::Value(fill(number)),
        };
        let carrier = to.carrier();
        // What has gone is NULL, whatever was promised of it.
        let fields: Vec<Field> = carrier.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, carrier.metadata().clone()));
        Self { schema, from: to.all().map(origin).collect() }
    }

    /// Rows.
    pub fn rows(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), self.columns(rows)?)?)
    }

    /// Their columns; some that came may have to be filled yet.
    pub fn columns(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let count = rows.num_rows();
        let column = |(origin, field): (&Origin, &Arc<Field>)| -> Result<ArrayRef> {
            Ok(match origin {
                Origin::Column(at) => Arc::clone(rows.column(*at)),
                Origin::Value(None) => new_null_array(field.data_type(), count),
                Origin::Value(Some(value)) => take(value, &UInt32Array::from(vec![0; count]), None)?,
            })
        };
        self.from.iter().zip(self.schema.fields()).map(column).collect()
    }

    /// Changes.
    pub fn changes(&self, changes: &Changes) -> Result<Changes> {
        Ok(Changes { rows: self.rows(&changes.rows)?, ..changes.clone() })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array};
    use arrow::datatypes::DataType;

    use super::*;

    fn shape(names: &[&str], numbers: ColumnNumbers) -> Shape {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        Shape { schema: Arc::new(Schema::new(fields)), numbers }
    }

    #[test]
    fn a_number_is_never_given_again() {
        let mut numbers = ColumnNumbers::default();
        assert_eq!(numbers.add(2), 3);
        numbers.remove(3, 2);
        assert_eq!(numbers.add(2), 4);
        let carried = ColumnNumbers::carried(&shape(&["a", "b", "d"], numbers.clone()).carrier());
        assert_eq!(carried, numbers);
        assert_eq!((0..3).map(|at| numbers.of(at)).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[test]
    fn rows_move_by_number() {
        let old = shape(&["a", "b"], ColumnNumbers::default());
        let mut numbers = ColumnNumbers::default();
        numbers.remove(2, 0);
        numbers.add(1);
        let new = shape(&["b", "c"], numbers);
        let ints = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let rows = RecordBatch::try_new(Arc::clone(&old.schema), vec![ints(&[1, 2]), ints(&[3, 4])]).unwrap();
        let there = Recast::new(&old, &new, |number| (number == 3).then(|| ints(&[7])));
        let cast = there.rows(&rows).unwrap();
        assert_eq!(cast.columns(), [ints(&[3, 4]), ints(&[7, 7])]);
        let back = Recast::new(&new, &old, |_| None).rows(&cast).unwrap();
        assert_eq!(back.column(1), &ints(&[3, 4]));
        assert_eq!(back.column(0).null_count(), 2);
    }
}
