//! `highwater bench`, with few rows: every case runs, agrees with its baseline, and says what the JSON promises.

use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

/// The cases of each suite, and what each figure must hold beside its name.
const SUITES: [(&str, &[&str], &[&str]); 1] = [(
    "windows",
    &[
        "passthrough",
        "tumble_close",
        "tumble_update",
        "hop_close",
        "hop_close_panes",
        "tumble_close_varchar",
        "tumble_update_varchar",
        "hop_close_varchar",
        "join",
        "tumble_close_late0",
        "tumble_close_late1",
        "tumble_close_late10",
    ],
    &["workers", "rows", "rows_per_s", "baseline_rows_per_s", "ratio"],
)];

/// One trial per suite.
pub fn trials() -> Vec<Trial> {
    let trial = |(suite, cases, figures): (&'static str, &'static [&str], &'static [&str])| {
        Trial::test(format!("bench::{suite}"), move || run(suite, cases, figures))
    };
    SUITES.into_iter().map(trial).collect()
}

fn run(suite: &str, cases: &[&str], figures: &[&str]) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("bench.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["bench", suite, "--rows", "3000", "--runs", "1", "--workers", "2", "--json"]).arg(&json);
    let output = command.output()?;
    let table = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{table}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let found: Vec<Value> = serde_json::from_slice(&std::fs::read(json)?).map_err(|e| e.to_string())?;
    let names: Vec<&str> = found.iter().filter_map(|figure| figure["name"].as_str()).collect();
    if names != cases {
        return Err(format!("{names:?} instead of {cases:?}").into());
    }
    for figure in &found {
        let positive = |name: &&&str| figure[**name].as_f64().is_some_and(|value| value > 0.0);
        if let Some(missing) = figures.iter().find(|name| !positive(name)) {
            return Err(format!("{missing} in {figure}").into());
        }
        let checksum = figure["checksum"].as_str().unwrap_or_default();
        if !checksum.contains(':') || checksum.starts_with("0:") || figure["baseline_checksum"] != checksum {
            return Err(format!("checksum in {figure}").into());
        }
        if !table.contains(checksum) {
            return Err(format!("{checksum} is not in the table:\n{table}").into());
        }
    }
    Ok(())
}
