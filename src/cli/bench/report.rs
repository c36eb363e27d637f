//! The table of figures, on the terminal and as JSON.
//!
//! A column is shown where some figure of the suite has a value for it.

use std::io::Write;

use serde::Serialize;

use super::checksum::Checksum;
use super::measure::{Taken, median};
use crate::error::{Error, Result};

/// What was measured of one case.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) workers: usize,
    /// Rows that went in.
    pub(super) rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_rows_per_s: Option<f64>,
    /// The first over the second: above 1 the engine is faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    /// The same for CPU time, which other work on the machine disturbs less: the baseline's over the engine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_ratio: Option<f64>,
    /// Times as much as in the case that it is compared with: without late rows, or with one view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<f64>,
    /// Views on the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) views: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) startup_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_ms_per_epoch: Option<f64>,
    /// Of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_checksum: Option<String>,
}

/// What the runs of a case gave.
#[derive(Default)]
pub(super) struct Runs {
    engine: Vec<Taken>,
    baseline: Vec<Taken>,
    /// The engine's, and the baseline's if there is one.
    sums: Vec<(Checksum, Option<Checksum>)>,
}

impl Runs {
    /// Keeps a run of both sides. The first round (0) is for warming up: only what it computed counts.
    pub(super) fn push(&mut self, round: u32, engine: (Taken, Checksum), baseline: (Taken, Checksum)) {
        self.push_if(round, engine, Some(baseline));
    }

    /// The same where there may be no baseline.
    pub(super) fn push_if(&mut self, round: u32, engine: (Taken, Checksum), baseline: Option<(Taken, Checksum)>) {
        self.sums.push((engine.1, baseline.map(|(_, sum)| sum)));
        if round > 0 {
            self.engine.push(engine.0);
            self.baseline.extend(baseline.map(|(taken, _)| taken));
        }
    }

    /// The engine's median.
    pub(super) fn seconds(&self) -> f64 {
        median(self.engine.iter().map(|t| t.seconds))
    }

    /// The medians, and a checksum of which the baseline's differs if any does.
    pub(super) fn figure(&self, name: &str, workers: usize, rows: u64) -> Figure {
        let cpu = |taken: &[Taken]| median(taken.iter().map(|t| t.cpu_seconds));
        let ratio = |a: f64, b: f64| (a > 0.0 && b > 0.0).then_some(a / b);
        let baseline = median(self.baseline.iter().map(|t| t.seconds));
        let differs = |(ours, theirs): &&(Checksum, Option<Checksum>)| theirs.is_some_and(|theirs| *ours != theirs);
        let sums = self.sums.iter().find(differs).or(self.sums.first());
        Figure {
            name: name.to_owned(),
            workers,
            rows,
            rows_per_s: ratio(rows as f64, self.seconds()),
            baseline_rows_per_s: ratio(rows as f64, baseline),
            ratio: ratio(baseline, self.seconds()),
            cpu_ratio: ratio(cpu(&self.baseline), cpu(&self.engine)),
            checksum: sums.map(|(ours, _)| ours.text()),
            baseline_checksum: sums.and_then(|(_, theirs)| theirs.map(Checksum::text)),
            ..Figure::default()
        }
    }
}

/// The figures as JSON.
pub(super) fn json(figures: &[Figure]) -> Result<String> {
    serde_json::to_string_pretty(figures).map_err(|e| Error::internal(e.to_string()))
}

/// Prints the table of one suite.
pub(super) fn print(figures: &[Figure]) {
    let mut columns: Vec<Vec<String>> = COLUMNS
        .iter()
        .map(|(head, cell)| std::iter::once((*head).to_owned()).chain(figures.iter().map(cell)).collect())
        .collect();
    columns.retain(|cells: &Vec<String>| cells.iter().skip(1).any(|cell| !cell.is_empty()));
    let mut out = std::io::stdout();
    for line in 0..=figures.len() {
        let mut text = String::new();
        for (at, cells) in columns.iter().enumerate() {
            let width = cells.iter().map(String::len).max().unwrap_or(0);
            let cell = &cells[line];
            text += &if at == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") };
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    let _ = writeln!(out);
}

type Cell = fn(&Figure) -> String;

/// The columns of the table.
const COLUMNS: [(&str, Cell); 17] = [
    ("name", |f| f.name.clone()),
    ("workers", |f| f.workers.to_string()),
    ("views", |f| f.views.map(|views| views.to_string()).unwrap_or_default()),
    ("rows", |f| if f.rows > 0 { f.rows.to_string() } else { String::new() }),
    ("rows/s", |f| rate(f.rows_per_s)),
    ("baseline", |f| rate(f.baseline_rows_per_s)),
    ("ratio", |f| decimals(f.ratio)),
    ("cpu ratio", |f| decimals(f.cpu_ratio)),
    ("ready ms", |f| decimals(f.startup_ms)),
    ("cpu %", |f| decimals(f.cpu_percent)),
    ("cpu ms/epoch", |f| decimals(f.cpu_ms_per_epoch)),
    ("cost", |f| decimals(f.cost)),
    ("p50 ms", |f| decimals(f.p50_ms)),
    ("p99 ms", |f| decimals(f.p99_ms)),
    ("baseline p50", |f| decimals(f.baseline_p50_ms)),
    ("baseline p99", |f| decimals(f.baseline_p99_ms)),
    ("checksum", |f| f.checksum.clone().unwrap_or_default()),
];

/// Millions a second.
pub(super) fn rate(rate: Option<f64>) -> String {
    rate.map(|rate| format!("{:.2}M", rate / 1e6)).unwrap_or_default()
}

fn decimals(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.2}")).unwrap_or_default()
}

/// Fails if some case and its baseline disagree.
pub(super) fn verdict(figures: &[Figure]) -> Result<()> {
    let wrong = figures.iter().filter(|f| f.baseline_checksum.is_some() && f.checksum != f.baseline_checksum);
    let wrong: Vec<String> = wrong
        .map(|f| {
            let (ours, theirs) = (f.checksum.as_deref(), f.baseline_checksum.as_deref());
            format!("{} ({} is not {})", f.name, ours.unwrap_or("nothing"), theirs.unwrap_or("nothing"))
        })
        .collect();
    match wrong.as_slice() {
        [] => Ok(()),
        some => Err(Error::internal(format!("results differ from the baseline's: {}", some.join(", ")))),
    }
}
