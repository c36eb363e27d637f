//! Time passed and CPU time used, and medians of them.

use std::time::Instant;

/// Clock ticks of a second in /proc, fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) seconds: f64,
    /// Of the whole process; 0 where the system does not tell.
    pub(super) cpu_seconds: f64,
}

/// Measures until it is asked.
pub(super) struct Stopwatch {
    start: Instant,
    cpu: f64,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { cpu: cpu_seconds(), start: Instant::now() }
    }

    pub(super) fn taken(&self) -> Taken {
        Taken { seconds: self.start.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - self.cpu }
    }
}

/// CPU time that this process has used, in user and kernel mode.
pub(super) fn cpu_seconds() -> f64 {
    cpu_seconds_of("self")
}

/// The same of a process by its number.
pub(super) fn cpu_seconds_of(process: &str) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    // The program's name, in parentheses, may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// The value that a share of the values do not exceed: 0.5 is the median, 0.99 the 99th percentile.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The middle value; the mean of the middle two of an even number.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
