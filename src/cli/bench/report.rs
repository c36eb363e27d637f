//! The table of figures, on the terminal and as JSON.

use std::io::Write;

use serde::Serialize;

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
    /// Times as long as the same view takes when no row is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_checksum: Option<String>,
}

impl Figure {
    /// Of runs of the engine and of its baseline, over so many rows each.
    pub(super) fn of(name: &str, workers: usize, rows: u64, engine: &[Taken], baseline: &[Taken]) -> Self {
        let seconds = |taken: &[Taken]| median(taken.iter().map(|t| t.seconds));
        let cpu = |taken: &[Taken]| median(taken.iter().map(|t| t.cpu_seconds));
        let rate = |taken: &[Taken]| rows as f64 / seconds(taken);
        let ratio = |a: f64, b: f64| (b > 0.0).then_some(a / b);
        Self {
            name: name.to_owned(),
            workers,
            rows,
            rows_per_s: Some(rate(engine)),
            baseline_rows_per_s: Some(rate(baseline)),
            ratio: ratio(rate(engine), rate(baseline)),
            cpu_ratio: ratio(cpu(baseline), cpu(engine)),
            ..Self::default()
        }
    }
}

/// The figures as JSON.
pub(super) fn json(figures: &[Figure]) -> Result<String> {
    serde_json::to_string_pretty(figures).map_err(|e| Error::internal(e.to_string()))
}

/// Prints the table of one suite.
pub(super) fn print(figures: &[Figure]) {
    if figures.is_empty() {
        return;
    }
    let head = ["name", "workers", "rows", "rows/s", "baseline", "ratio", "cpu ratio", "cost", "checksum"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(figures.iter().map(cells));
    let widths: Vec<usize> =
        (0..head.len()).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0)).collect();
    let mut out = std::io::stdout();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let _ = writeln!(out);
}

fn cells(figure: &Figure) -> [String; 9] {
    let rate = |rate: Option<f64>| rate.map(|rate| format!("{:.2}M", rate / 1e6)).unwrap_or_default();
    let times = |value: Option<f64>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
    [
        figure.name.clone(),
        figure.workers.to_string(),
        figure.rows.to_string(),
        rate(figure.rows_per_s),
        rate(figure.baseline_rows_per_s),
        times(figure.ratio),
        times(figure.cpu_ratio),
        times(figure.cost),
        figure.checksum.clone().unwrap_or_default(),
    ]
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
