//! DISTINCT: the values seen per entry, and how often.

use std::collections::HashMap;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};

use super::Rows;
use super::lists::{lists, unlist};
use crate::data::KeyEncoder;
use crate::error::Result;

/// The values seen per entry.
pub(super) struct Distinct {
    encoder: KeyEncoder,
    width: usize,
    seen: Vec<HashMap<Box<[u8]>, i64>>,
}

/// Rows of its own making: entries, arguments, diffs.
pub(super) type Made = (Vec<u32>, Vec<ArrayRef>, Vec<i64>);

impl Distinct {
    /// Over arguments of these types.
    pub fn new(inputs: &[DataType]) -> Result<Self> {
        let fields: Vec<Field> = inputs.iter().map(|t| Field::new("v", t.clone(), true)).collect();
        let all: Vec<usize> = (0..inputs.len()).collect();
        Ok(Self { encoder: KeyEncoder::new(&Schema::new(fields), &all)?, width: inputs.len(), seen: vec![] })
    }

    pub fn resize(&mut self, entries: usize) {
        self.seen.resize(entries, HashMap::new());
    }

    pub fn reset(&mut self, entry: u32) {
        self.seen[entry as usize] = HashMap::new();
    }

    pub fn bytes(&self) -> usize {
        self.seen.iter().map(|m| m.capacity() * 48).sum()
    }

    /// The rows by which a value comes to a group (+1) or leaves it (-1).
    pub fn transitions(&mut self, rows: &Rows<'_>) -> Result<Made> {
        let keys = self.encoder.encode_columns(rows.arguments, rows.entries.len())?;
        let (mut places, mut entries, mut diffs) = (vec![], vec![], vec![]);
        rows.each(|i, e, d| {
            let seen = &mut self.seen[e as usize];
            let key = keys.get(i);
            let before = seen.get(key).copied().unwrap_or(0);
            let after = before + d;
            if after == 0 {
                seen.remove(key);
            } else {
                seen.insert(key.into(), after);
            }
            if (before > 0) != (after > 0) {
                places.push(i as u32);
                entries.push(e);
                diffs.push(if after > 0 { 1 } else { -1 });
            }
        });
        let places = UInt32Array::from(places);
        let arguments = rows.arguments.iter().map(|a| Ok(take(a, &places, None)?)).collect::<Result<_>>()?;
        Ok((entries, arguments, diffs))
    }

    /// What entries have seen.
    pub fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut index, mut keys, mut weights) = (vec![], vec![], vec![]);
        for (i, &e) in entries.iter().enumerate() {
            for (key, n) in &self.seen[e as usize] {
                index.push(i as u32);
                keys.push(key);
                weights.push(*n);
            }
        }
        lists(entries.len(), &index, self.encoder.decode(keys.into_iter().map(AsRef::as_ref))?, weights)
    }

    /// The rows that [`Self::dump`] stands for.
    pub fn dumped(&self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<Made> {
        unlist(entries, self.width, columns)
    }
}
