//! [`Arrival`]: by what window operators judge the rows of a batch, and [`Late`]: the watermarks of its late rows.

use arrow::array::{Array, BooleanArray, Int64Array, UInt32Array};

use super::Partition;

/// By what window operators judge the rows of a batch.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// Every row is on time: it was not late at its source, or it was there before the view was (hydration).
    OnTime,
    /// Some row of the batch was late at its source. Lost behind the first stateful operator.
    Late {
        /// Where the rows come from.
        partition: Partition,
        /// Which rows were late.
        rows: Late,
    },
    /// Came out of a stateful operator: judged by the watermark at the end of the epoch before.
    Settled,
}

/// The rows of a batch that were below their partition's watermark, each with that watermark, microseconds. Only those
/// can be too late for a window: the functions that lead from a source to a window are monotone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Late(Vec<(u32, i64)>);

impl Late {
    /// Notes a row; rows come ascending.
    pub fn push(&mut self, row: usize, watermark: i64) {
        self.0.push((row as u32, watermark));
    }

    /// The rows and their watermarks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, i64)> {
        self.0.iter().map(|&(row, watermark)| (row as usize, watermark))
    }

    /// How many rows are late.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no row is late.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One watermark per row of a batch of `rows`; `i64::MIN` where the row is on time.
    pub fn to_column(&self, rows: usize) -> Int64Array {
        let mut column = vec![i64::MIN; rows];
        self.iter().for_each(|(row, watermark)| column[row] = watermark);
        column.into()
    }

    /// The reverse of [`Self::to_column`].
    pub fn from_column(column: &Int64Array) -> Self {
        let rows = (0..).zip(column.values().iter().copied());
        Self(rows.filter(|(_, watermark)| *watermark != i64::MIN).collect())
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<(u32, i64)>()
    }

    /// Adds those of a batch that follows behind `rows` rows.
    pub fn append(&mut self, other: &Self, rows: usize) {
        self.0.extend(other.0.iter().map(|&(row, watermark)| (row + rows as u32, watermark)));
    }

    fn slice(&self, offset: usize, length: usize) -> Self {
        let at = |row: usize| self.0.partition_point(|(r, _)| (*r as usize) < row);
        let range = &self.0[at(offset)..at(offset + length)];
        Self(range.iter().map(|&(row, watermark)| (row - offset as u32, watermark)).collect())
    }

    fn filter(&self, keep: &BooleanArray) -> Self {
        let (mut kept, mut from, mut left) = (0, 0, vec![]);
        for &(row, watermark) in &self.0 {
            let at = row as usize;
            kept += keep.slice(from, at - from).true_count();
            from = at;
            if keep.is_valid(at) && keep.value(at) {
                left.push((kept as u32, watermark));
            }
        }
        Self(left)
    }

    fn take(&self, indices: &UInt32Array, rows: usize) -> Self {
        let column = self.to_column(rows);
        let taken = (0..).zip(indices.values().iter().map(|&i| column.value(i as usize)));
        Self(taken.filter(|(_, watermark)| *watermark != i64::MIN).collect())
    }
}

impl Arrival {
    /// Of a batch of which these rows are late.
    pub fn of(partition: Partition, rows: Late) -> Self {
        if rows.is_empty() { Self::OnTime } else { Self::Late { partition, rows } }
    }

    fn map(&self, f: impl FnOnce(&Late) -> Late) -> Self {
        match self {
            Self::OnTime => Self::OnTime,
            Self::Settled => Self::Settled,
            Self::Late { partition, rows } => Self::of(*partition, f(rows)),
        }
    }

    /// Of the rows where `keep` is true (null counts as false).
    #[must_use]
    pub fn filter(&self, keep: &BooleanArray) -> Self {
        self.map(|late| late.filter(keep))
    }

    /// Of the rows at `indices` of a batch of `rows` rows.
    #[must_use]
    pub fn take(&self, indices: &UInt32Array, rows: usize) -> Self {
        self.map(|late| late.take(indices, rows))
    }

    /// Of `length` rows from `offset`.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        self.map(|late| late.slice(offset, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_rows_are_found_again_in_parts_of_the_batch() {
        let column = Int64Array::from(vec![i64::MIN, 7, i64::MIN, 8, 9]);
        let late = Late::from_column(&column);
        assert_eq!(late.to_column(5), column);
        let rows = |late: Late| late.iter().collect::<Vec<_>>();
        assert_eq!(rows(late.slice(2, 2)), vec![(1, 8)]);
        let keep = BooleanArray::from(vec![Some(true), None, Some(true), Some(true), Some(true)]);
        assert_eq!(rows(late.filter(&keep)), vec![(2, 8), (3, 9)]);
        assert_eq!(rows(late.take(&UInt32Array::from(vec![4, 0, 1, 4]), 5)), vec![(0, 9), (2, 7), (3, 9)]);
        let mut both = late.slice(0, 2);
        both.append(&late.slice(2, 3), 2);
        assert_eq!(both, late);
        let on_time = Arrival::of(Partition { source: crate::data::ObjectId(1), index: 0 }, late.slice(0, 1));
        assert!(matches!(on_time, Arrival::OnTime));
    }
}
