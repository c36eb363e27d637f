//! For tests: what becomes of each thing that is asked of disks and shelves; those of one process share it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How long what is slow takes longer.
const DELAY: Duration = Duration::from_micros(700);

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lot {
    /// It is done.
    Done,
    /// It fails, and so much of it, of 1, is done nevertheless.
    Failed(f64),
    /// The process is gone.
    Gone,
}

/// How often, of 1, what goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// An operation fails.
    pub fails: f64,
    /// It takes its time.
    pub is_slow: f64,
    /// A sync says that it did, and did not.
    pub lies: f64,
}

/// What becomes of each operation.
#[derive(Clone, Debug)]
pub struct Luck(Arc<Mutex<Draws>>);

#[derive(Debug)]
struct Draws {
    random: SmallRng,
    odds: Odds,
    /// Operations until the process is gone.
    left: Option<u32>,
    gone: bool,
    failed: u32,
    lied: u32,
}

impl Default for Luck {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Luck {
    /// All goes well until something else is said.
    pub fn new(seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        let draws = Draws { random, odds: Odds::default(), left: None, gone: false, failed: 0, lied: 0 };
        Self(Arc::new(Mutex::new(draws)))
    }

    /// From now on.
    pub fn set(&self, odds: Odds) {
        self.0.lock().odds = odds;
    }

    /// The process is gone after so many operations, in the midst of the last.
    pub fn die_after(&self, operations: u32) {
        self.0.lock().left = Some(operations);
    }

    /// It is gone.
    pub fn die(&self) {
        self.0.lock().gone = true;
    }

    /// Another process: all goes well. Says how often something failed, and how often a sync has lied.
    pub fn revive(&self) -> (u32, u32) {
        let mut draws = self.0.lock();
        (draws.left, draws.gone, draws.odds) = (None, false, Odds::default());
        (std::mem::take(&mut draws.failed), std::mem::take(&mut draws.lied))
    }

    /// Whether anything has failed since the process began.
    pub fn has_failed(&self) -> bool {
        let draws = self.0.lock();
        draws.gone || draws.failed > 0
    }

    /// Of the next operation.
    pub fn draw(&self) -> Lot {
        let (lot, slow) = self.0.lock().draw();
        if slow {
            std::thread::park_timeout(DELAY);
        }
        lot
    }

    /// Whether the next sync lies.
    pub fn lies(&self) -> bool {
        let mut draws = self.0.lock();
        let odds = draws.odds.lies;
        let lies = draws.random.random_bool(odds);
        draws.lied += u32::from(lies);
        lies
    }
}

impl Draws {
    fn draw(&mut self) -> (Lot, bool) {
        if self.gone {
            return (Lot::Gone, false);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            self.gone = *left == 0;
        }
        let part = self.random.random();
        let fails = self.random.random_bool(self.odds.fails) || self.gone;
        self.failed += u32::from(fails);
        let lot = if fails { Lot::Failed(part) } else { Lot::Done };
        (lot, self.random.random_bool(self.odds.is_slow))
    }
}

/// The error of an operation that failed.
pub fn failed() -> io::Error {
    io::Error::other("the disk is gone")
}
