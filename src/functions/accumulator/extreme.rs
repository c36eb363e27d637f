//! min and max: the plain extreme over append-only input, an ordered multiset under retraction.
//!
//! Values are compared by codes: 64-bit integers (floats by their order, NaN above all, as PostgreSQL has it), 128-bit
//! integers for numeric, bytes for text.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
    StringArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type};

use super::lists::{lists, unlist};
use super::sorted::{ASCENDING, SortEncoder, sortable};
use super::{Cells, Finished, Rows, next};
use crate::data::{from_words, is_word, to_words};
use crate::error::{Error, Result};
use crate::fault::{self, Fault};

/// The extremes of a column of groups.
pub(super) struct Extreme {
    codes: Forms,
    retracting: bool,
    input: DataType,
    output: DataType,
}

enum Forms {
    /// Integers, dates, times, floats, booleans.
    Word(Codes<i64>),
    /// numeric.
    Wide(Codes<i128>),
    /// text, bytea.
    Bytes(Codes<Box<[u8]>>),
    /// All other types that have an order.
    Sorted(Codes<Box<[u8]>>, SortEncoder),
}

/// One extreme per entry.
struct Codes<C> {
    min: bool,
    kept: Kept<C>,
}

enum Kept<C> {
    Plain(Vec<Option<C>>),
    Multiset(Vec<BTreeMap<C, i64>>),
}

/// Whether min and max are supported over a type.
pub(super) fn supported(data_type: &DataType) -> bool {
    is_coded(data_type) || matches!(data_type, DataType::Utf8 | DataType::Binary) || sortable(data_type)
}

/// Whether values of a type are compared as numbers.
pub fn is_coded(data_type: &DataType) -> bool {
    use DataType::{Boolean, Decimal128, Float32, Float64};
    is_word(data_type) || matches!(data_type, Float32 | Float64 | Boolean | Decimal128(..))
}

impl<C: Ord + Clone> Codes<C> {
    fn new(min: bool, retracting: bool) -> Self {
        Self { min, kept: if retracting { Kept::Multiset(vec![]) } else { Kept::Plain(vec![]) } }
    }

    fn resize(&mut self, entries: usize) {
        match &mut self.kept {
            Kept::Plain(cells) => cells.resize(entries, None),
            Kept::Multiset(cells) => cells.resize(entries, BTreeMap::new()),
        }
    }

    fn reset(&mut self, entry: u32) {
        match &mut self.kept {
            Kept::Plain(cells) => cells[entry as usize] = None,
            Kept::Multiset(cells) => cells[entry as usize] = BTreeMap::new(),
        }
    }

    fn get(&self, entry: usize) -> Option<&C> {
        match &self.kept {
            Kept::Plain(cells) => cells[entry].as_ref(),
            Kept::Multiset(cells) if self.min => cells[entry].iter().find(|(_, n)| **n > 0).map(|(c, _)| c),
            Kept::Multiset(cells) => cells[entry].iter().rev().find(|(_, n)| **n > 0).map(|(c, _)| c),
        }
    }

    /// Adds codes of one word each.
    fn add_all(&mut self, rows: &Rows<'_>, codes: &[C])
    where
        C: Copy + ToOwnedCode<C>,
    {
        match (&mut self.kept, self.min) {
            (Kept::Plain(cells), true) => rows.each(|i, e, _| improve(&mut cells[e as usize], codes[i], |a, b| a < b)),
            (Kept::Plain(cells), false) => rows.each(|i, e, _| improve(&mut cells[e as usize], codes[i], |a, b| a > b)),
            (Kept::Multiset(_), _) => rows.each(|i, e, diff| self.add(e, &codes[i], diff)),
        }
    }

    /// Adds `diff` times a code, which is owned only when it is kept.
    #[inline]
    fn add<B: Ord + ?Sized + ToOwnedCode<C>>(&mut self, entry: u32, code: &B, diff: i64)
    where
        C: std::borrow::Borrow<B>,
    {
        match &mut self.kept {
            Kept::Plain(cells) => {
                let cell = &mut cells[entry as usize];
                let better = match cell {
                    None => true,
                    Some(old) if self.min => code < (*old).borrow(),
                    Some(old) => code > (*old).borrow(),
                };
                if better {
                    *cell = Some(code.to_code());
                }
            }
            Kept::Multiset(_) if diff < 0 && fault::on(Fault::ExtremeKept) => {}
            Kept::Multiset(cells) => {
                let cell = &mut cells[entry as usize];
                match cell.get_mut(code) {
                    Some(n) => {
                        *n += diff;
                        if *n == 0 {
                            cell.remove(code);
                        }
                    }
                    None => {
                        cell.insert(code.to_code(), diff);
                    }
                }
            }
        }
    }

    /// Entries' contents for a snapshot: (index among `entries`, code, weight).
    fn dump(&self, entries: &[u32]) -> Vec<(u32, C, i64)> {
        let mut out = vec![];
        for (i, &e) in entries.iter().enumerate() {
            match &self.kept {
                Kept::Plain(cells) => out.extend(cells[e as usize].iter().map(|c| (i as u32, c.clone(), 1))),
                Kept::Multiset(cells) => out.extend(cells[e as usize].iter().map(|(c, n)| (i as u32, c.clone(), *n))),
            }
        }
        out
    }

    fn bytes(&self, heap: impl Fn(&C) -> usize) -> usize {
        let one = size_of::<C>();
        match &self.kept {
            Kept::Plain(cells) => cells.iter().flatten().map(&heap).sum::<usize>() + cells.capacity() * (one + 8),
            Kept::Multiset(cells) => {
                let cell = |m: &BTreeMap<C, i64>| m.keys().map(|c| one + 16 + heap(c)).sum::<usize>();
                cells.iter().map(cell).sum::<usize>() + cells.capacity() * 24
            }
        }
    }
}

/// Keeps the better of two codes; it is written in any case, since no processor foresees which is better.
#[inline]
fn improve<C: Copy>(cell: &mut Option<C>, code: C, better: impl Fn(C, C) -> bool) {
    let old = cell.unwrap_or(code);
    *cell = Some(if better(code, old) { code } else { old });
}

/// `ToOwned` into the kept form.
trait ToOwnedCode<C> {
    fn to_code(&self) -> C;
}

impl ToOwnedCode<i64> for i64 {
    fn to_code(&self) -> i64 {
        *self
    }
}

impl ToOwnedCode<i128> for i128 {
    fn to_code(&self) -> i128 {
        *self
    }
}

impl ToOwnedCode<Box<[u8]>> for [u8] {
    fn to_code(&self) -> Box<[u8]> {
        self.into()
    }
}

impl Extreme {
    /// For values of a type; `retracting` tells whether they can be taken back.
    pub fn new(input: &DataType, output: &DataType, min: bool, retracting: bool) -> Result<Self> {
        let codes = match input {
            DataType::Decimal128(..) => Forms::Wide(Codes::new(min, retracting)),
            DataType::Utf8 | DataType::Binary => Forms::Bytes(Codes::new(min, retracting)),
            coded if is_coded(coded) => Forms::Word(Codes::new(min, retracting)),
            other => Forms::Sorted(Codes::new(min, retracting), SortEncoder::new(&[(other.clone(), ASCENDING)])?),
        };
        Ok(Self { codes, retracting, input: input.clone(), output: output.clone() })
    }
}

impl Cells for Extreme {
    fn resize(&mut self, entries: usize) {
        match &mut self.codes {
            Forms::Word(c) => c.resize(entries),
            Forms::Wide(c) => c.resize(entries),
            Forms::Bytes(c) | Forms::Sorted(c, _) => c.resize(entries),
        }
    }

    fn reset(&mut self, entry: u32) {
        match &mut self.codes {
            Forms::Word(c) => c.reset(entry),
            Forms::Wide(c) => c.reset(entry),
            Forms::Bytes(c) | Forms::Sorted(c, _) => c.reset(entry),
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let column = rows.argument(0)?;
        match &mut self.codes {
            Forms::Word(cells) => {
                let codes = word_codes(column)?;
                let codes = codes.values();
                cells.add_all(rows, codes);
            }
            Forms::Wide(cells) => {
                cells.add_all(rows, column.as_primitive::<Decimal128Type>().values());
            }
            Forms::Bytes(cells) => {
                if let Some(text) = column.as_string_opt::<i32>() {
                    rows.each(|i, entry, diff| cells.add(entry, text.value(i).as_bytes(), diff));
                } else {
                    let bytes = column.as_binary::<i32>();
                    rows.each(|i, entry, diff| cells.add(entry, bytes.value(i), diff));
                }
            }
            Forms::Sorted(cells, encoder) => {
                let codes = encoder.encode([column])?;
                rows.each(|i, entry, diff| cells.add(entry, codes.row(i).data(), diff));
            }
        }
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let entries = entries.iter().map(|&e| e as usize);
        Ok(Finished::fine(match &self.codes {
            Forms::Word(c) => decode_words(entries.map(|e| c.get(e).copied()).collect(), &self.output),
            Forms::Wide(c) => decode_wide(entries.map(|e| c.get(e).copied()).collect(), &self.output)?,
            Forms::Bytes(c) => decode_bytes(entries.map(|e| c.get(e).map(AsRef::as_ref)), &self.output),
            Forms::Sorted(c, encoder) => {
                let mut found: Vec<&[u8]> = vec![];
                let place = |e| {
                    found.push(c.get(e)?.as_ref());
                    Some(found.len() as u32 - 1)
                };
                let places: UInt32Array = entries.map(place).collect();
                take(&encoder.decode(found)?[0], &places, None)?
            }
        }))
    }

    fn bytes(&self) -> usize {
        match &self.codes {
            Forms::Word(c) => c.bytes(|_| 0),
            Forms::Wide(c) => c.bytes(|_| 0),
            Forms::Bytes(c) | Forms::Sorted(c, _) => c.bytes(|b| b.len()),
        }
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        fn split<C>(dump: Vec<(u32, C, i64)>) -> (Vec<u32>, Vec<Option<C>>, Vec<i64>) {
            let mut out = (vec![], vec![], vec![]);
            for (i, c, n) in dump {
                out.0.push(i);
                out.1.push(Some(c));
                out.2.push(n);
            }
            out
        }
        if !self.retracting {
            return Ok(vec![self.finish(entries)?.column]);
        }
        let (index, values, weights) = match &self.codes {
            Forms::Word(c) => {
                let (index, codes, weights) = split(c.dump(entries));
                (index, decode_words(codes.into_iter().collect(), &self.input), weights)
            }
            Forms::Wide(c) => {
                let (index, codes, weights) = split(c.dump(entries));
                (index, decode_wide(codes, &self.input)?, weights)
            }
            Forms::Bytes(c) => {
                let (index, codes, weights) = split(c.dump(entries));
                (index, decode_bytes(codes.iter().map(Option::as_deref), &self.input), weights)
            }
            Forms::Sorted(c, encoder) => {
                let (index, codes, weights) = split(c.dump(entries));
                (index, encoder.decode(codes.iter().flatten().map(AsRef::as_ref))?.remove(0), weights)
            }
        };
        lists(entries.len(), &index, vec![values], weights)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        if !self.retracting {
            let values = next(columns)?;
            let mask = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
            return self.update(&Rows { entries, arguments: &[values], mask: mask.as_ref(), diffs: None });
        }
        let (entries, values, weights) = unlist(entries, 1, columns)?;
        self.update(&Rows { entries: &entries, arguments: &values, mask: None, diffs: Some(&weights) })
    }
}

/// Order-preserving bits of a float; NaN above all, `-0` next below 0.
fn float_code(value: f64) -> i64 {
    let value = if value.is_nan() { f64::NAN } else { value };
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn float_of(code: i64) -> f64 {
    f64::from_bits((code ^ (((code >> 63) as u64) >> 1) as i64) as u64)
}

/// Values as words.
pub(super) fn word_codes(column: &ArrayRef) -> Result<Int64Array> {
    if let Some(words) = to_words(column) {
        return Ok(words);
    }
    Ok(match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().unary::<_, Int64Type>(float_code),
        DataType::Float32 => column.as_primitive::<Float32Type>().unary::<_, Int64Type>(|v| float_code(f64::from(v))),
        DataType::Boolean => column.as_boolean().iter().map(|b| b.map(i64::from)).collect(),
        other => return Err(Error::internal(format!("no extremes of {other}"))),
    })
}

/// The values of [`word_codes`].
pub(super) fn decode_words(codes: Int64Array, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Float64 => Arc::new(codes.iter().map(|c| c.map(float_of)).collect::<Float64Array>()),
        DataType::Float32 => Arc::new(codes.iter().map(|c| c.map(|c| float_of(c) as f32)).collect::<Float32Array>()),
        DataType::Boolean => Arc::new(codes.iter().map(|c| c.map(|c| c != 0)).collect::<BooleanArray>()),
        _ => from_words(codes, data_type),
    }
}

fn decode_wide(codes: Vec<Option<i128>>, data_type: &DataType) -> Result<ArrayRef> {
    Ok(Arc::new(Decimal128Array::from(codes).with_data_type(data_type.clone())))
}

fn decode_bytes<'a>(codes: impl Iterator<Item = Option<&'a [u8]>>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Utf8 => {
            let text = |c: Option<&'a [u8]>| c.map(|c| std::str::from_utf8(c).unwrap_or_default());
            Arc::new(codes.map(text).collect::<StringArray>())
        }
        _ => Arc::new(codes.collect::<BinaryArray>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_codes_keep_postgres_order() {
        let ascending = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        for pair in ascending.windows(2) {
            assert!(float_code(pair[0]) < float_code(pair[1]), "{pair:?}");
        }
        assert_eq!(float_code(f64::NAN), float_code(-f64::NAN));
        assert_eq!(float_of(float_code(-1.5)), -1.5);
    }

    #[test]
    fn the_next_value_shows_when_the_extreme_is_taken_back() {
        let mut max = Extreme::new(&DataType::Utf8, &DataType::Utf8, false, true).unwrap();
        max.resize(1);
        let mut add = |texts: &[&str], diffs: &[i64]| {
            let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
            let entries = vec![0; texts.len()];
            max.update(&Rows { entries: &entries, arguments: &[column], mask: None, diffs: Some(diffs) }).unwrap();
            max.finish(&[0]).unwrap().column.as_string::<i32>().value(0).to_owned()
        };
        assert_eq!(add(&["a", "c", "c"], &[1, 1, 1]), "c");
        assert_eq!(add(&["c"], &[-2]), "a");
    }
}
