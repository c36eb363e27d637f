//! Rows of one window together.

use hashbrown::HashMap;

/// Where rows belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The last window's end.
    pub end: i64,
    /// In how many windows, counted back from the last one.
    pub windows: u32,
}

/// Neighbouring rows of one spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub spot: Spot,
    pub offset: usize,
    pub length: usize,
}

/// The runs of `count` rows as they are; `same` tells whether a row belongs where the one before it does.
pub(super) fn runs(count: usize, same: impl Fn(usize) -> bool, spot: impl Fn(usize) -> Spot) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    let mut offset = 0;
    for row in 1..=count {
        if row == count || !same(row) {
            runs.push(Run { spot: spot(offset), offset, length: row - offset });
            offset = row;
        }
    }
    runs
}

/// An order of rows in which those of one spot are together, in the order in which they came, and the runs of it.
pub(super) fn gathered(runs: &[Run]) -> (Vec<u32>, Vec<Run>) {
    let mut places: HashMap<Spot, usize> = HashMap::new();
    let mut together: Vec<Run> = vec![];
    let mut of = Vec::with_capacity(runs.len());
    for run in runs {
        // Mostly it is where the one before the last was: between them was a late row.
        let known =
            of.len().checked_sub(2).map(|i: usize| of[i]).filter(|&place: &usize| together[place].spot == run.spot);
        let place = known.unwrap_or_else(|| {
            *places.entry(run.spot).or_insert_with(|| {
                together.push(Run { length: 0, ..*run });
                together.len() - 1
            })
        });
        together[place].length += run.length;
        of.push(place);
    }
    let mut offset = 0;
    for run in &mut together {
        (run.offset, offset) = (offset, offset + run.length);
    }
    let mut next: Vec<usize> = together.iter().map(|run| run.offset).collect();
    let mut order = vec![0; offset];
    for (run, place) in runs.iter().zip(of) {
        let at = next[place];
        order[at..at + run.length].iter_mut().zip(run.offset as u32..).for_each(|(to, row)| *to = row);
        next[place] += run.length;
    }
    (order, together)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_window_come_together() {
        let ends = [10, 10, 20, 10, 30, 20];
        let found = runs(6, |row| ends[row] == ends[row - 1], |row| Spot { end: ends[row], windows: 1 });
        assert_eq!(found.len(), 5);
        let (order, together) = gathered(&found);
        assert_eq!(order, vec![0, 1, 3, 2, 5, 4]);
        let lengths: Vec<(i64, usize, usize)> = together.iter().map(|r| (r.spot.end, r.offset, r.length)).collect();
        assert_eq!(lengths, vec![(10, 0, 3), (20, 3, 2), (30, 5, 1)]);
    }
}
