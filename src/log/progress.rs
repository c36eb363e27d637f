//! How far something is that takes its time: said now and then.

use std::time::{Duration, Instant};

use crate::config::TELL_EVERY;

/// Bytes of so many.
#[derive(Debug)]
pub struct Progress {
    what: String,
    done: u64,
    total: u64,
    told: Instant,
    every: Duration,
}

impl Progress {
    /// Nothing yet.
    pub fn new(what: impl Into<String>, total: u64) -> Self {
        Self { what: what.into(), done: 0, total, told: Instant::now(), every: TELL_EVERY }
    }

    /// Some more; what is to be said of it, if it is time.
    pub fn add(&mut self, bytes: u64) -> Option<String> {
        self.done += bytes;
        if self.told.elapsed() < self.every {
            return None;
        }
        self.told = Instant::now();
        Some(format!("{}: {} of {}", self.what, size(self.done), size(self.total)))
    }
}

/// Bytes in words.
pub fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        mib => format!("{mib} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_now_and_then() {
        let mut progress = Progress::new("reading", 3 << 20);
        assert_eq!(progress.add(1000), None);
        progress.every = Duration::ZERO;
        assert_eq!(progress.add(1000).as_deref(), Some("reading: 2 KiB of 3 MiB"));
        assert_eq!(progress.add((3 << 20) - 2000).as_deref(), Some("reading: 3 MiB of 3 MiB"));
    }
}
