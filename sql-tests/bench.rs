//! `highwater bench`, with few rows: every case runs, agrees with its baseline, and says what the JSON promises.

use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

/// A suite: its name, its cases, what each figure must hold beside its name, and whether it has rows to checksum.
type Suite = (&'static str, &'static [&'static str], &'static [&'static str], bool);

const RATES: &[&str] = &["workers", "rows", "rows_per_s", "baseline_rows_per_s", "ratio"];

const SUITES: [Suite; 6] = [
    (
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
            "tumble_view",
            "tumble_close_late0",
            "tumble_close_late1",
            "tumble_close_late10",
        ],
        RATES,
        true,
    ),
    ("file", &["file_parquet", "file_csv", "file_json"], RATES, true),
    ("latency", &["insert_to_subscribe"], &["p50_ms", "p99_ms", "baseline_p50_ms", "baseline_p99_ms"], true),
    ("idle", &["startup", "idle_views"], &["workers"], false),
    ("views", &["views_1", "views_10", "views_100"], &["views", "rows"], true),
    ("nexmark", &["q0", "q1", "q2", "q5_like", "q7_like"], RATES, true),
];

/// One trial per suite.
pub fn trials() -> Vec<Trial> {
    SUITES.into_iter().map(|suite| Trial::test(format!("bench::{}", suite.0), move || run(suite))).collect()
}

fn run((suite, cases, figures, summed): Suite) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let (json, svg) = (folder.path().join("bench.json"), folder.path().join("bench.svg"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["bench", suite, "--rows", "3000", "--runs", "1", "--workers", "2", "--json"]).arg(&json);
    command.arg("--svg").arg(&svg);
    // COPY has a baseline only where there is a PostgreSQL.
    if suite == "file" {
        command.args(["--case", "file_"]);
    }
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
        if !summed {
            continue;
        }
        let checksum = figure["checksum"].as_str().unwrap_or_default();
        if !checksum.contains(':') || checksum.starts_with("0:") || figure["baseline_checksum"] != checksum {
            return Err(format!("checksum in {figure}").into());
        }
        if !table.contains(checksum) {
            return Err(format!("{checksum} is not in the table:\n{table}").into());
        }
    }
    let picture = std::fs::read_to_string(svg)?;
    match cases.iter().find(|case| !picture.contains(&format!(">{case}<"))) {
        Some(missing) => Err(format!("{missing} is not in the picture").into()),
        None => Ok(()),
    }
}
