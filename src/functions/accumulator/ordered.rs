//! string_agg, array_agg, json_agg and its like, first_value, last_value and any_value: the rows of each group, in order.
//!
//! Rows stand in the order of ORDER BY, then of the arguments' values: what is left open there has one answer, whatever
//! order rows came in, on however many workers, in views and in SELECT alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, ListArray, StringBuilder, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::DataType;

use super::documents::documents;
use super::lists::{lists, unlist};
use super::sorted::{ASCENDING, SortEncoder};
use super::{Cells, Finished, Rows};
use crate::error::{Error, Result, SqlState};

/// What is made of a group's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SQL's names")]
pub enum OrderedFunction {
    StringAgg,
    ArrayAgg,
    FirstValue,
    LastValue,
    AnyValue,
    JsonArray,
    /// json_agg of arrays or rows.
    JsonLines,
    JsonbArray,
    JsonObject,
    JsonbObject,
}

impl OrderedFunction {
    /// Whether it makes a document of values that are JSON; and whether that is jsonb.
    pub fn document(self) -> Option<bool> {
        match self {
            Self::JsonArray | Self::JsonLines | Self::JsonObject => Some(false),
            Self::JsonbArray | Self::JsonbObject => Some(true),
            Self::StringAgg | Self::ArrayAgg | Self::FirstValue | Self::LastValue | Self::AnyValue => None,
        }
    }
}

/// The rows of a column of groups.
pub(super) struct Ordered {
    function: OrderedFunction,
    output: DataType,
    /// Number of arguments; ORDER BY's expressions come behind them.
    arguments: usize,
    keys: usize,
    /// Of ORDER BY's expressions, then the arguments.
    encoder: SortEncoder,
    /// Per entry: rows and how often they are there.
    rows: Vec<BTreeMap<Box<[u8]>, i64>>,
    heap: usize,
}

/// What a row costs beside its bytes.
const OVERHEAD: usize = 32;

impl Ordered {
    /// `inputs`: the arguments' types, then those of ORDER BY's expressions, which `order` describes.
    pub fn new(
        function: OrderedFunction,
        inputs: &[DataType],
        order: &[SortOptions],
        output: &DataType,
    ) -> Result<Self> {
        let arguments = inputs.len().saturating_sub(order.len());
        let keys = inputs[arguments..].iter().cloned().zip(order.iter().copied());
        let columns: Vec<_> = keys.chain(inputs[..arguments].iter().map(|t| (t.clone(), ASCENDING))).collect();
        let encoder = SortEncoder::new(&columns)?;
        Ok(Self { function, output: output.clone(), arguments, keys: order.len(), encoder, rows: vec![], heap: 0 })
    }

    fn add(&mut self, entry: u32, row: &[u8], diff: i64) {
        let rows = &mut self.rows[entry as usize];
        match rows.get_mut(row) {
            Some(n) => {
                *n += diff;
                if *n == 0 {
                    rows.remove(row);
                    self.heap -= row.len() + OVERHEAD;
                }
            }
            None => {
                rows.insert(row.into(), diff);
                self.heap += row.len() + OVERHEAD;
            }
        }
    }

    /// The arguments of the rows of entries that the result is made of, and how many rows each entry has.
    fn held(&self, entries: &[u32]) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        let (mut rows, mut places, mut lengths): (Vec<&[u8]>, Vec<u32>, Vec<usize>) = (vec![], vec![], vec![]);
        for &e in entries {
            let before = places.len();
            let mut held = self.rows[e as usize].iter().filter(|(_, n)| **n > 0);
            let one = match self.function {
                OrderedFunction::FirstValue | OrderedFunction::AnyValue => held.next(),
                OrderedFunction::LastValue => held.next_back(),
                _ => {
                    for (row, &n) in held {
                        places.extend(std::iter::repeat_n(rows.len() as u32, n as usize));
                        rows.push(row);
                    }
                    None
                }
            };
            if let Some((row, _)) = one {
                places.push(rows.len() as u32);
                rows.push(row);
            }
            lengths.push(places.len() - before);
        }
        let repeated = places.len() > rows.len();
        let columns = self.encoder.decode(rows)?;
        let places = UInt32Array::from(places);
        let columns = columns.into_iter().skip(self.keys);
        let columns = columns.map(|c| if repeated { Ok(take(&c, &places, None)?) } else { Ok(c) });
        Ok((columns.collect::<Result<_>>()?, lengths))
    }

    /// The values, each behind its delimiter, but for the first.
    fn strings(&self, values: &[ArrayRef], lengths: &[usize]) -> Result<ArrayRef> {
        let [values, delimiters] = values else { return Err(Error::internal("string_agg has two arguments")) };
        let total = bytes_of(values)? + bytes_of(delimiters)?;
        if total > i32::MAX as usize {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "results of string_agg exceed 2 GB"));
        }
        let mut starts = vec![];
        let mut at = 0;
        for length in lengths {
            starts.push(at..at + length);
            at += length;
        }
        Ok(match values.data_type() {
            DataType::Binary => {
                let (values, delimiters) = (values.as_binary::<i32>(), delimiters.as_binary::<i32>());
                let mut out = BinaryBuilder::with_capacity(lengths.len(), total);
                let mut one = vec![];
                for rows in starts {
                    one.clear();
                    for row in rows.clone() {
                        if row > rows.start && delimiters.is_valid(row) {
                            one.extend_from_slice(delimiters.value(row));
                        }
                        one.extend_from_slice(values.value(row));
                    }
                    out.append_option((!rows.is_empty()).then_some(&one));
                }
                Arc::new(out.finish())
            }
            _ => {
                let (values, delimiters) = (values.as_string::<i32>(), delimiters.as_string::<i32>());
                let mut out = StringBuilder::with_capacity(lengths.len(), total);
                let mut one = String::new();
                for rows in starts {
                    one.clear();
                    for row in rows.clone() {
                        if row > rows.start && delimiters.is_valid(row) {
                            one.push_str(delimiters.value(row));
                        }
                        one.push_str(values.value(row));
                    }
                    out.append_option((!rows.is_empty()).then_some(&one));
                }
                Arc::new(out.finish())
            }
        })
    }
}

fn bytes_of(column: &ArrayRef) -> Result<usize> {
    Ok(column.to_data().get_slice_memory_size()?)
}

impl Cells for Ordered {
    fn resize(&mut self, entries: usize) {
        self.rows.resize(entries, BTreeMap::new());
    }

    fn reset(&mut self, entry: u32) {
        let rows = std::mem::take(&mut self.rows[entry as usize]);
        self.heap -= rows.keys().map(|row| row.len() + OVERHEAD).sum::<usize>();
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (arguments, keys) = rows.arguments.split_at(self.arguments);
        let encoded = self.encoder.encode(keys.iter().chain(arguments))?;
        rows.each(|i, e, d| self.add(e, encoded.row(i).data(), d));
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let (values, lengths) = self.held(entries)?;
        let first = values.first().ok_or_else(|| Error::internal("an aggregate lacks its argument"))?;
        if self.function.document().is_some() {
            return documents(self.function, &values, &lengths);
        }
        let column = match (self.function, &self.output) {
            (OrderedFunction::StringAgg, _) => self.strings(&values, &lengths)?,
            (OrderedFunction::ArrayAgg, DataType::List(item)) => {
                let nulls: NullBuffer = lengths.iter().map(|n| *n > 0).collect();
                let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
                Arc::new(ListArray::try_new(item.clone(), offsets, first.clone(), Some(nulls))?)
            }
            _ => {
                let mut next = 0;
                let place = |n: &usize| {
                    (*n > 0).then(|| {
                        next += 1;
                        next - 1
                    })
                };
                let places: UInt32Array = lengths.iter().map(place).collect();
                take(first, &places, None)?
            }
        };
        Ok(Finished::fine(column))
    }

    fn bytes(&self) -> usize {
        self.heap + self.rows.capacity() * size_of::<BTreeMap<Box<[u8]>, i64>>()
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut index, mut rows, mut weights) = (vec![], vec![], vec![]);
        for (i, &e) in entries.iter().enumerate() {
            for (row, &n) in &self.rows[e as usize] {
                index.push(i as u32);
                rows.push(row.as_ref());
                weights.push(n);
            }
        }
        lists(entries.len(), &index, self.encoder.decode(rows)?, weights)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        let (entries, columns, weights) = unlist(entries, self.keys + self.arguments, columns)?;
        let encoded = self.encoder.encode(&columns)?;
        for (i, (&e, &n)) in entries.iter().zip(&weights).enumerate() {
            self.add(e, encoded.row(i).data(), n);
        }
        Ok(())
    }
}
