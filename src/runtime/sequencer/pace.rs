//! How many rows an epoch takes: as many as the views get through in a small part of `max_lag`, by what they got through
//! lately. So a slow machine, or a slow view, gets small epochs and stays on the clock.
//!
//! It begins small and doubles while epochs are quick; whenever a view joins it begins again, since nobody knows what the
//! view costs. No clock is read here.

use std::time::Duration;

/// Rows of an epoch while nothing is known, and the fewest that an epoch is cut down to.
const LEAST: usize = 1024;
/// Parts of `max_lag` that one epoch may take: with four under way they take a quarter of it.
const PARTS: u32 = 16;

/// The row budget of an epoch.
#[derive(Debug)]
pub(super) struct Pace {
    rows: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { rows: LEAST }
    }

    /// Rows of one epoch, at most `most`.
    pub(super) fn rows(&self, most: usize) -> usize {
        self.rows.min(most)
    }

    /// Begins again: what epochs cost is not known any more.
    pub(super) fn restart(&mut self) {
        self.rows = self.rows.min(LEAST);
    }

    /// Epochs with so many rows took so long, from when they had the workers for themselves.
    pub(super) fn published(&mut self, rows: usize, took: Duration, max_lag: Duration, most: usize) {
        let goal = max_lag / PARTS;
        let now = self.rows(most);
        let fits = (rows as f64 * goal.as_secs_f64() / took.as_secs_f64().max(1e-6)) as usize;
        if rows >= now / 2 {
            self.rows = fits.clamp(now / 8, now * 2).max(LEAST);
        } else if took > goal {
            // Few rows, and yet slow: it is not the rows alone.
            self.rows = fits.clamp(now / 2, now).max(LEAST);
        }
    }

    /// How long an epoch may hold the clock back before its slow views leave it. A transaction that is many budgets large
    /// gets as many times longer.
    pub(super) fn patience(&self, rows: usize, max_lag: Duration, most: usize) -> Duration {
        let budgets = rows / self.rows(most).max(1) / 4;
        max_lag.saturating_mul(u32::try_from(budgets).unwrap_or(u32::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const MAX_LAG: Duration = Duration::from_secs(10);
    const MOST: usize = 65_536;

    /// Admits a million rows of a source, four epochs under way, on a machine that takes so long per epoch and per row. The
    /// longest time that the published epoch stood still, the largest epoch, and how many there were.
    fn run(pace: &mut Pace, epoch: Duration, row: Duration) -> (Duration, usize, usize) {
        let mut under_way: VecDeque<usize> = VecDeque::new();
        let (mut left, mut longest, mut largest, mut epochs) = (1_000_000, Duration::ZERO, 0, 0);
        while left > 0 || !under_way.is_empty() {
            while left > 0 && under_way.len() < 4 {
                let rows = pace.rows(MOST).min(left);
                left -= rows;
                (largest, epochs) = (largest.max(rows), epochs + 1);
                under_way.push_back(rows);
            }
            let rows = under_way.pop_front().unwrap();
            let took = epoch + row * u32::try_from(rows).unwrap();
            assert!(took < pace.patience(rows, MAX_LAG, MOST), "{rows} rows in {took:?}");
            longest = longest.max(took);
            pace.published(rows, took, MAX_LAG, MOST);
        }
        (longest, largest, epochs)
    }

    #[test]
    fn a_slow_machine_gets_small_epochs_and_a_fast_one_large_ones() {
        let micros = Duration::from_micros;
        for cost in [1, 40, 150, 400, 1000, 2000] {
            let (longest, largest, _) = run(&mut Pace::new(), micros(500), micros(cost));
            assert!(longest <= MAX_LAG / 4, "at {cost} us per row an epoch took {longest:?}");
            assert_eq!(largest == MOST, cost < 9, "at {cost} us per row: {largest} rows");
        }
        // Slow start costs some small epochs, beside the 16 large ones.
        assert!(run(&mut Pace::new(), micros(500), Duration::from_nanos(100)).2 < 50);
    }

    #[test]
    fn it_follows_when_epochs_become_dearer_and_cheaper() {
        let micros = Duration::from_micros;
        let mut pace = Pace::new();
        run(&mut pace, micros(500), micros(1));
        assert_eq!(pace.rows(MOST), MOST);
        // A view that joins is not thrown off before anybody knows what it costs.
        pace.restart();
        let (longest, ..) = run(&mut pace, micros(500), micros(1000));
        assert!(longest < MAX_LAG / 4, "{longest:?}");
        assert!(pace.rows(MOST) < 1500);
        run(&mut pace, micros(500), micros(1));
        assert_eq!(pace.rows(MOST), MOST);
        // Single rows say nothing of rows; windows that close with them do.
        pace.published(1, micros(800), MAX_LAG, MOST);
        assert_eq!(pace.rows(MOST), MOST);
        pace.published(1, Duration::from_secs(3), MAX_LAG, MOST);
        assert_eq!(pace.rows(MOST), MOST / 2);
    }

    #[test]
    fn a_large_transaction_gets_the_time_of_its_size() {
        let mut pace = Pace::new();
        assert_eq!(pace.patience(1, MAX_LAG, MOST), MAX_LAG);
        run(&mut pace, Duration::ZERO, Duration::from_micros(1));
        assert_eq!(pace.patience(MOST, MAX_LAG, MOST), MAX_LAG);
        assert_eq!(pace.patience(16 * MOST, MAX_LAG, MOST), 4 * MAX_LAG);
        assert_eq!(pace.patience(16 * MOST, Duration::MAX, MOST), Duration::MAX);
    }
}
