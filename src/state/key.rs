//! Key bytes of columns, and their stable hashes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::row::{RowConverter, Rows, SortField};

use crate::data::hash;
use crate::error::{Error, Result};

/// Turns key columns into key bytes: Arrow's row format, order-preserving, with `-0.0` and NaN normalised.
pub struct KeyEncoder {
    columns: Vec<usize>,
    converter: RowConverter,
}

/// The key bytes of every row of a batch.
pub enum KeyBytes {
    /// There are no key columns: every key is empty. The number of rows.
    Empty(usize),
    /// One key per row.
    Rows(Rows),
}

impl KeyEncoder {
    /// For some columns of a schema, in this order; none is the empty key.
    pub fn new(schema: &Schema, columns: &[usize]) -> Result<Self> {
        let field = |&c: &usize| SortField::new(schema.field(c).data_type().clone());
        let converter = RowConverter::new(columns.iter().map(field).collect())?;
        Ok(Self { columns: columns.to_vec(), converter })
    }

    /// The key bytes of each row.
    pub fn encode(&self, rows: &RecordBatch) -> Result<KeyBytes> {
        if self.columns.is_empty() {
            return Ok(KeyBytes::Empty(rows.num_rows()));
        }
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&c| normalize(rows.column(c))).collect();
        Ok(KeyBytes::Rows(self.converter.convert_columns(&columns)?))
    }

    /// The stable hash of each row's key bytes, appended to `out`.
    pub fn hashes(&self, rows: &RecordBatch, out: &mut Vec<u64>) -> Result<()> {
        match (&self.columns[..], words(rows, &self.columns)) {
            (_, Some(column)) => {
                out.reserve(rows.num_rows());
                for (i, &word) in column.values().iter().enumerate() {
                    out.push(hash(&word_bytes((!column.is_null(i)).then_some(word))));
                }
            }
            ([], _) => out.extend(std::iter::repeat_n(hash(&[]), rows.num_rows())),
            _ => {
                if let KeyBytes::Rows(keys) = self.encode(rows)? {
                    out.extend(keys.iter().map(|k| hash(k.as_ref())));
                }
            }
        }
        Ok(())
    }

    /// The key columns again, from key bytes.
    pub fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        if self.columns.is_empty() {
            return Ok(vec![]);
        }
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(keys.map(|k| parser.parse(k)))?)
    }
}

impl KeyBytes {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty(n) => *n,
            Self::Rows(rows) => rows.num_rows(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of row `i`.
    pub fn key(&self, i: usize) -> &[u8] {
        match self {
            Self::Empty(_) => &[],
            Self::Rows(rows) => rows.row(i).data(),
        }
    }
}

/// The one key column as 64-bit integers, if it is stored as such.
fn words(rows: &RecordBatch, columns: &[usize]) -> Option<arrow::array::Int64Array> {
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    let [column] = columns else { return None };
    let column = rows.column(*column);
    match column.data_type() {
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().clone()),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
            Some(column.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        _ => None,
    }
}

/// The row format of one nullable 64-bit integer, without a converter.
fn word_bytes(word: Option<i64>) -> [u8; 9] {
    let mut bytes = [0; 9];
    if let Some(word) = word {
        bytes[0] = 1;
        bytes[1..].copy_from_slice(&(word ^ i64::MIN).to_be_bytes());
    }
    bytes
}

/// Floats with one zero and one NaN; other columns as they are.
pub fn normalize(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        _ => column.clone(),
    }
}

/// Refuses a type that cannot be a key.
pub fn check_key_type(data_type: &DataType) -> Result<()> {
    if RowConverter::supports_fields(&[SortField::new(data_type.clone())]) {
        return Ok(());
    }
    Err(Error::unsupported(format!("type {data_type} as a key"), "Group, join or deduplicate by other columns."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};

    #[test]
    fn the_short_cut_for_integers_hashes_as_the_row_format() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), None, Some(0), Some(i64::MIN), Some(7)]));
        let batch = RecordBatch::try_from_iter_with_nullable([("k", column, true)]).unwrap();
        let encoder = KeyEncoder::new(&batch.schema(), &[0]).unwrap();
        let KeyBytes::Rows(rows) = encoder.encode(&batch).unwrap() else { panic!() };
        let mut hashes = vec![];
        encoder.hashes(&batch, &mut hashes).unwrap();
        assert_eq!(hashes, rows.iter().map(|r| hash(r.as_ref())).collect::<Vec<_>>());
    }

    #[test]
    fn zeros_and_nans_are_one_key_each() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"; 4]));
        let batch = RecordBatch::try_from_iter([("f", column), ("t", text)]).unwrap();
        let encoder = KeyEncoder::new(&batch.schema(), &[0, 1]).unwrap();
        let keys = encoder.encode(&batch).unwrap();
        assert_eq!(keys.key(0), keys.key(1));
        assert_eq!(keys.key(2), keys.key(3));
        assert_ne!(keys.key(0), keys.key(2));
        let none = KeyEncoder::new(&batch.schema(), &[]).unwrap();
        let mut hashes = vec![];
        none.hashes(&batch, &mut hashes).unwrap();
        assert_eq!(hashes, vec![hash(&[]); 4]);
    }
}
