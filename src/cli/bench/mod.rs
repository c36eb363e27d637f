//! `bench`: reproducible measurements, each beside a baseline that runs in turn with it in the same process.
//!
//! Every figure is the median of several runs, and what both sides computed is compared by a checksum over the multiset of
//! rows: if they disagree the exit code is 1.
//!
//! | suite | measures | beside |
//! |---|---|---|
//! | [`windows`] | views over rows in memory, into a reader that counts | DataFusion's batch run over the same batches |
//! | [`file`] | Parquet, CSV and JSON files to a view, COPY to a table | DataFusion's batch run over the file; PostgreSQL |
//! | [`latency`] | an INSERT until another connection's SUBSCRIBE has it | SELECT 1 |
//! | [`durable`] | the same with a data directory, by eight connections; COPY; the time until a server has read it back | a sync; the same in memory |
//! | [`idle`] | the time until a server is ready, and the CPU time of a hundred views at rest | |
//! | [`views`] | the CPU time of an epoch with 1, 10 and 100 views on one table | one view |
//! | nexmark | queries of the Nexmark benchmark, as [`windows`] does | DataFusion's batch run over the same batches |

mod baseline;
mod checksum;
mod child;
mod client;
mod durable;
mod file;
mod folder;
mod idle;
mod input;
mod latency;
mod measure;
mod memory;
mod queries;
mod report;
mod svg;
mod views;
mod windows;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use report::Figure;

/// What `bench` was asked for.
#[derive(Args)]
pub(super) struct Bench {
    /// What to measure; everything if left out.
    #[arg(value_enum)]
    suite: Option<Suite>,
    /// Write the figures there as JSON: an array of objects.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures there as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Rows of the largest input.
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    rows: u64,
    /// Worker threads; may be repeated [default: 1 and 2]
    #[arg(long, value_name = "N", value_parser = super::workers)]
    workers: Vec<usize>,
    /// Measured runs of each case: the median counts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Only the cases whose name contains TEXT; may be repeated.
    #[arg(long = "case", value_name = "TEXT")]
    cases: Vec<String>,
    /// A PostgreSQL to compare COPY with, which takes user postgres without a password.
    #[arg(long, value_name = "HOST:PORT", value_parser = super::address)]
    postgres: Option<SocketAddr>,
}

/// One suite of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Views over rows in memory: passthrough, TUMBLE and HOP in both EMIT modes, a VARCHAR key, a join, late rows
    Windows,
    /// Parquet, CSV and JSON files to a view, through a server; COPY FROM STDIN to a table
    File,
    /// From INSERT to SUBSCRIBE, at 1,000 rows a second and with ten views
    Latency,
    /// What a data directory costs: from INSERT to SUBSCRIBE, COPY FROM STDIN, a start
    Durable,
    /// How soon a server is ready, and what a hundred idle views cost
    Idle,
    /// What an epoch costs with 1, 10 and 100 views on one table
    Views,
    /// Queries of the Nexmark benchmark
    Nexmark,
}

impl Bench {
    /// Whether the case was asked for.
    fn wants(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|part| name.contains(part.as_str()))
    }

    /// The numbers of workers to run with.
    fn peers(&self) -> Vec<usize> {
        if self.workers.is_empty() { vec![1, 2] } else { self.workers.clone() }
    }
}

/// Runs the suites and prints their table.
pub(super) fn run(bench: &Bench) -> Result<()> {
    let suites = bench.suite.map_or_else(|| Suite::value_variants().to_vec(), |suite| vec![suite]);
    let mut figures: Vec<Figure> = Vec::new();
    for suite in suites {
        let found = match suite {
            Suite::Windows => windows::run(bench, queries::WINDOWS)?,
            Suite::File => file::run(bench)?,
            Suite::Latency => latency::run(bench)?,
            Suite::Durable => durable::run(bench)?,
            Suite::Idle => idle::run(bench)?,
            Suite::Views => views::run(bench)?,
            Suite::Nexmark => windows::run(bench, queries::NEXMARK)?,
        };
        silence();
        if !found.is_empty() {
            report::print(&found);
        }
        figures.extend(found);
    }
    if figures.is_empty() {
        return Err(Error::new(crate::error::SqlState::INVALID_PARAMETER_VALUE, "no case has such a name"));
    }
    if let Some(path) = &bench.json {
        std::fs::write(path, report::json(&figures)?)?;
    }
    if let Some(path) = &bench.svg {
        std::fs::write(path, svg::draw(&figures))?;
    }
    report::verdict(&figures)
}

/// Runs a future on a runtime of its own, with stacks that are deep enough for planning.
fn blocking<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let tokio = super::serve::tokio()?;
    tokio.block_on(tokio.spawn(future)).map_err(|error| Error::internal(format!("a task panicked: {error}")))
}

/// Says what is being measured, to a human only.
fn progress(what: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{what}");
        let _ = err.flush();
    }
}

/// Takes the last word of [`progress`] away.
fn silence() {
    progress("");
}
