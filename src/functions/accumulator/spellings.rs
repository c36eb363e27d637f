//! How the values of a group are spelled, which are all equal: `1.0` and `1` in jsonb, `30 days` and `1 mon`.
//!
//! The arguments are a value and its key form. The result is NULL while some row has the key form itself, which the group
//! knows; else the least of the other spellings.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};

use super::count::{dumped, merged};
use super::lists::{lists, unlist};
use super::{Cells, Finished, Rows, next};
use crate::data::KeyEncoder;
use crate::error::Result;

/// Spellings and how many rows have each.
type Others = BTreeMap<Box<[u8]>, i64>;

pub(super) struct Spellings {
    value: DataType,
    /// Over the value, bit for bit.
    encoder: KeyEncoder,
    /// Per entry: rows whose value is the key form.
    plain: Vec<i64>,
    /// Per entry: the other rows' values.
    others: Vec<Option<Box<Others>>>,
    heap: usize,
}

/// What a spelling costs beside its bytes.
const OVERHEAD: usize = 32;

impl Spellings {
    pub fn new(value: &DataType) -> Result<Self> {
        let schema = Schema::new(vec![Field::new("value", value.clone(), true)]);
        let encoder = KeyEncoder::exact(&schema, &[0])?;
        Ok(Self { value: value.clone(), encoder, plain: vec![], others: vec![], heap: 0 })
    }

    fn add(&mut self, entry: u32, value: &[u8], diff: i64) {
        let others = self.others[entry as usize].get_or_insert_default();
        let Some(count) = others.get_mut(value) else {
            if diff != 0 {
                self.heap += value.len() + OVERHEAD;
                others.insert(value.into(), diff);
            }
            return;
        };
        *count += diff;
        if *count == 0 {
            others.remove(value);
            self.heap -= value.len() + OVERHEAD;
        }
    }

    /// What an entry shows, if not its key form.
    fn shown(&self, entry: u32) -> Option<&[u8]> {
        if self.plain[entry as usize] > 0 {
            return None;
        }
        let others = self.others[entry as usize].as_ref()?;
        others.iter().find(|(_, n)| **n > 0).map(|(value, _)| value.as_ref())
    }
}

impl Cells for Spellings {
    fn resize(&mut self, entries: usize) {
        self.plain.resize(entries, 0);
        self.others.resize(entries, None);
    }

    fn reset(&mut self, entry: u32) {
        self.plain[entry as usize] = 0;
        let others = self.others[entry as usize].take();
        self.heap -= others.iter().flat_map(|o| o.keys()).map(|value| value.len() + OVERHEAD).sum::<usize>();
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let len = rows.entries.len();
        let values = self.encoder.encode_columns(&[Arc::clone(rows.argument(0)?)], len)?;
        let forms = self.encoder.encode_columns(&[Arc::clone(rows.argument(1)?)], len)?;
        rows.each(|i, e, d| {
            if values.get(i) == forms.get(i) {
                self.plain[e as usize] += d;
            } else {
                self.add(e, values.get(i), d);
            }
        });
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let mut shown = vec![];
        let place = |&e: &u32| {
            self.shown(e).map(|value| {
                shown.push(value);
                shown.len() as u32 - 1
            })
        };
        let places: UInt32Array = entries.iter().map(place).collect();
        if shown.is_empty() {
            return Ok(Finished::fine(new_null_array(&self.value, entries.len())));
        }
        let values = self.encoder.decode(shown)?;
        Ok(Finished::fine(take(&values[0], &places, None)?))
    }

    fn bytes(&self) -> usize {
        self.heap + self.plain.capacity() * 8 + self.others.capacity() * size_of::<Option<Box<Others>>>()
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut index, mut values, mut weights) = (vec![], vec![], vec![]);
        for (i, &e) in entries.iter().enumerate() {
            for (value, &n) in self.others[e as usize].iter().flat_map(|o| o.iter()) {
                index.push(i as u32);
                values.push(value.as_ref());
                weights.push(n);
            }
        }
        let mut columns = vec![dumped(&self.plain, entries)];
        columns.extend(lists(entries.len(), &index, self.encoder.decode(values)?, weights)?);
        Ok(columns)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.plain, entries, &next(columns)?);
        let (entries, values, weights) = unlist(entries, 1, columns)?;
        let values = self.encoder.encode_columns(&values, entries.len())?;
        for (i, (&e, &n)) in entries.iter().zip(&weights).enumerate() {
            self.add(e, values.get(i), n);
        }
        Ok(())
    }
}
