//! A checksum over a multiset of rows: the sum over all rows of diff times the row's hash.
//!
//! Order and batching do not matter, and a row that is retracted takes its hash away again, so the changes of a view sum up
//! to the checksum of its rows. Integers of all widths, timestamps and whole decimals hash by their value.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use xxhash_rust::xxh3::xxh3_64;

use super::client::Row;
use crate::error::Result;

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
const NULL: u64 = 0x5bd1_e995_27d4_eb2f;

/// Counts and sums rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    /// Insertions minus retractions.
    pub(super) rows: i64,
    pub(super) sum: u64,
}

impl Checksum {
    /// Adds rows with their diffs; all +1 without.
    pub(super) fn add(&mut self, rows: &RecordBatch, diffs: Option<&[i64]>) -> Result<()> {
        let mut hashes = vec![0_u64; rows.num_rows()];
        for column in rows.columns() {
            fold(column, &mut hashes)?;
        }
        match diffs {
            None => {
                self.rows += rows.num_rows() as i64;
                self.sum = hashes.iter().fold(self.sum, |sum, hash| sum.wrapping_add(*hash));
            }
            Some(diffs) => {
                for (hash, diff) in hashes.iter().zip(diffs) {
                    self.rows += diff;
                    self.sum = self.sum.wrapping_add(hash.wrapping_mul(*diff as u64));
                }
            }
        }
        Ok(())
    }

    /// Adds one row of whole numbers in text form.
    pub(super) fn add_numbers(&mut self, row: &Row) {
        let value = |text: &Option<String>| text.as_ref().map_or(NULL, |t| t.parse::<i128>().unwrap_or(-1) as u64);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row.iter().fold(0, |hash, text| mix(hash, value(text))));
    }

    /// Adds what another reader has counted.
    pub(super) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// As it is printed.
    pub(super) fn text(self) -> String {
        format!("{}:{:016x}", self.rows, self.sum)
    }
}

/// Mixes one column into the rows' hashes.
fn fold(column: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    match column.data_type() {
        DataType::Utf8 => each(hashes, column.as_string::<i32>().iter(), |text| xxh3_64(text.as_bytes())),
        DataType::Utf8View => each(hashes, column.as_string_view().iter(), |text| xxh3_64(text.as_bytes())),
        DataType::Decimal128(_, 0) => {
            let values = column.as_primitive::<Decimal128Type>();
            each(hashes, values.iter(), |value| value as u64);
        }
        _ => {
            let whole = cast(column, &DataType::Int64)?;
            let values = whole.as_primitive::<Int64Type>();
            if values.null_count() == 0 {
                values.values().iter().zip(hashes).for_each(|(value, hash)| *hash = mix(*hash, *value as u64));
            } else {
                each(hashes, values.iter(), |value| value as u64);
            }
        }
    }
    Ok(())
}

fn each<T>(hashes: &mut [u64], values: impl Iterator<Item = Option<T>>, of: impl Fn(T) -> u64) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = mix(*hash, value.map_or(NULL, &of));
    }
}

fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash.rotate_left(29) ^ value).wrapping_mul(MIX);
    mixed ^ (mixed >> 32)
}
