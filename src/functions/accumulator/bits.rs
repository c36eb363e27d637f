//! bool_and, bool_or, bit_and, bit_or and bit_xor.
//!
//! Over input that retracts, the rows in which a bit is set are counted, bit by bit; otherwise the result so far is enough.
//! A boolean is an integer of one bit.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::count::{dumped, merged};
use super::{Cells, Finished, Rows, next};
use crate::data::from_words;
use crate::error::Result;

/// How bits come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SQL's names")]
pub enum BitFunction {
    And,
    Or,
    Xor,
}

impl BitFunction {
    /// What it is of no rows.
    fn identity(self) -> i64 {
        match self {
            Self::And => -1,
            Self::Or | Self::Xor => 0,
        }
    }

    fn apply(self, a: i64, b: i64) -> i64 {
        match self {
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
        }
    }
}

/// The bits of a column of groups.
pub(super) struct Bits {
    function: BitFunction,
    output: DataType,
    count: Vec<i64>,
    kept: Kept,
}

enum Kept {
    /// The result so far; an exclusive or is its own reverse.
    Plain(Vec<i64>),
    /// Per entry and bit: the rows in which it is set.
    Counted { ones: Vec<i64>, width: usize },
}

impl Bits {
    pub fn new(function: BitFunction, output: &DataType, retracting: bool) -> Self {
        let width = match output {
            DataType::Boolean => 1,
            DataType::Int16 => 16,
            DataType::Int32 => 32,
            _ => 64,
        };
        let kept = match retracting && function != BitFunction::Xor {
            true => Kept::Counted { ones: vec![], width },
            false => Kept::Plain(vec![]),
        };
        Self { function, output: output.clone(), count: vec![], kept }
    }

    fn value(&self, entry: u32) -> i64 {
        let e = entry as usize;
        match &self.kept {
            Kept::Plain(values) => values[e],
            Kept::Counted { ones, width } => {
                let enough = if self.function == BitFunction::And { self.count[e] } else { 1 };
                let ones = &ones[e * width..(e + 1) * width];
                let bits = ones.iter().enumerate().map(|(bit, n)| i64::from(*n >= enough) << bit);
                let value = bits.fold(0, |a, b| a | b);
                // The sign of the narrower types.
                let unused = 64 - *width as u32;
                value << unused >> unused
            }
        }
    }
}

fn words(column: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

impl Cells for Bits {
    fn resize(&mut self, entries: usize) {
        self.count.resize(entries, 0);
        match &mut self.kept {
            Kept::Plain(values) => values.resize(entries, self.function.identity()),
            Kept::Counted { ones, width } => ones.resize(entries * *width, 0),
        }
    }

    fn reset(&mut self, entry: u32) {
        let e = entry as usize;
        self.count[e] = 0;
        match &mut self.kept {
            Kept::Plain(values) => values[e] = self.function.identity(),
            Kept::Counted { ones, width } => ones[e * *width..(e + 1) * *width].fill(0),
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let words = words(rows.argument(0)?)?;
        let words = words.values();
        let (count, function) = (&mut self.count, self.function);
        match &mut self.kept {
            Kept::Plain(values) => rows.each(|i, e, d| {
                count[e as usize] += d;
                if function != BitFunction::Xor || d % 2 != 0 {
                    values[e as usize] = function.apply(values[e as usize], words[i]);
                }
            }),
            Kept::Counted { ones, width } => rows.each(|i, e, d| {
                count[e as usize] += d;
                let ones = &mut ones[e as usize * *width..(e as usize + 1) * *width];
                ones.iter_mut().enumerate().for_each(|(bit, n)| *n += d * (words[i] >> bit & 1));
            }),
        }
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let value = |&e: &u32| (self.count[e as usize] > 0).then(|| self.value(e));
        Ok(Finished::fine(match &self.output {
            DataType::Boolean => {
                Arc::new(entries.iter().map(|e| value(e).map(|v| v & 1 != 0)).collect::<BooleanArray>())
            }
            output => from_words(entries.iter().map(value).collect(), output),
        }))
    }

    fn bytes(&self) -> usize {
        let kept = match &self.kept {
            Kept::Plain(values) => values.capacity(),
            Kept::Counted { ones, .. } => ones.capacity(),
        };
        (self.count.capacity() + kept) * 8
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![dumped(&self.count, entries)];
        match &self.kept {
            Kept::Plain(values) => columns.push(dumped(values, entries)),
            Kept::Counted { ones, width } => {
                let bit = |bit| entries.iter().map(move |&e| ones[e as usize * width + bit]).collect::<Int64Array>();
                columns.extend((0..*width).map(|b| Arc::new(bit(b)) as ArrayRef));
            }
        }
        Ok(columns)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        merged(&mut self.count, entries, &next(columns)?);
        match &mut self.kept {
            Kept::Plain(values) => {
                let column = next(columns)?;
                let column = column.as_primitive::<Int64Type>().values();
                for (&e, &word) in entries.iter().zip(column) {
                    values[e as usize] = self.function.apply(values[e as usize], word);
                }
            }
            Kept::Counted { ones, width } => {
                for bit in 0..*width {
                    let column = next(columns)?;
                    let column = column.as_primitive::<Int64Type>().values();
                    entries.iter().zip(column).for_each(|(&e, n)| ones[e as usize * *width + bit] += n);
                }
            }
        }
        Ok(())
    }
}
