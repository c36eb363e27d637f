//! Sets of row numbers.

use std::ops::Range;

use arrow::array::BooleanArray;
use serde::{Deserialize, Serialize};

/// Row numbers as ascending ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRanges(Vec<Range<u64>>);

impl RowRanges {
    /// Adds rows behind all that are in it.
    pub fn push(&mut self, rows: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ if rows.is_empty() => {}
            _ => self.0.push(rows),
        }
    }

    /// Adds rows behind all that are in it, each so much further on.
    pub fn extend(&mut self, rows: &Self, shift: u64) {
        for range in &rows.0 {
            self.push(range.start + shift..range.end + shift);
        }
    }

    /// Those of `rows`, counted from its start.
    #[must_use]
    pub fn within(&self, rows: Range<u64>) -> Self {
        let first = self.0.partition_point(|range| range.end <= rows.start);
        let met = self.0[first..].iter().take_while(|range| range.start < rows.end);
        let cut = |range: &Range<u64>| range.start.max(rows.start) - rows.start..range.end.min(rows.end) - rows.start;
        Self(met.map(cut).collect())
    }

    /// Number of ranges: what it takes to keep them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For each of `length` rows: whether it is in it.
    pub fn mask(&self, length: usize) -> BooleanArray {
        let mut mask = vec![false; length];
        for range in &self.0 {
            mask[range.start as usize..range.end as usize].fill(true);
        }
        mask.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_are_cut() {
        let mut rows = RowRanges::default();
        rows.push(3..4);
        rows.push(4..6);
        rows.push(9..9);
        rows.push(10..12);
        assert_eq!(rows.0, [3..6, 10..12]);
        assert_eq!(rows.within(5..11).0, [0..1, 5..6]);
        assert!(rows.within(6..10).is_empty());
        let mut more = RowRanges::default();
        more.extend(&rows.within(5..11), 100);
        assert_eq!(more.0, [100..101, 105..106]);
        assert_eq!(more.within(100..106).mask(6).true_count(), 2);
    }
}
