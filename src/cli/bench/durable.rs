//! `bench durable`: what it costs that writes survive.
//!
//! * `insert_to_subscribe_durable`: as `bench latency`, by eight connections, with a data directory; beside it a file of the
//!   same folder that is written and synced, 500 times before each run.
//! * `copy_durable`: COPY FROM STDIN into a table of a server with a data directory; beside it the same into one in memory.
//! * `restart`: the time until a server is ready on the directory that the COPY left.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use super::Bench;
use super::child::Served;
use super::file::{self, COLUMNS};
use super::folder::Folder;
use super::latency;
use super::report::{Figure, Runs};
use crate::error::Result;

const LATENCY: &str = "insert_to_subscribe_durable";
const COPY: &str = "copy_durable";
const RESTART: &str = "restart";
const WRITERS: u64 = 8;
const SYNCS: usize = 500;

/// Runs the cases that are wanted.
pub(super) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if bench.wants(LATENCY) {
        for peers in bench.peers() {
            figures.push(latency(bench, peers)?);
        }
    }
    if bench.wants(COPY) || bench.wants(RESTART) {
        figures.extend(copy(bench)?);
    }
    Ok(figures)
}

fn latency(bench: &Bench, peers: usize) -> Result<Figure> {
    let folder = Folder::create()?;
    let server = Served::durable(peers, folder.path())?;
    latency::measure(bench, (LATENCY, WRITERS), (&server, peers), || syncs(&folder).map(Some))
}

/// Milliseconds to append to a file and sync it, each time.
fn syncs(folder: &Folder) -> Result<Vec<f64>> {
    let mut file = File::create(folder.path().join("synced"))?;
    let mut taken = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[1; 512])?;
        file.sync_data()?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(taken)
}

fn copy(bench: &Bench) -> Result<Vec<Figure>> {
    let (text, rows) = file::lines(bench)?;
    let folder = Folder::create()?;
    let (durable, memory) = (Served::durable(1, folder.path())?, Served::start(1, None)?);
    let (mut ours, mut theirs) = (durable.client()?, memory.client()?);
    for client in [&mut ours, &mut theirs] {
        client.query(&format!("CREATE TABLE copied ({COLUMNS})"))?;
    }
    let mut runs = Runs::default();
    for round in 0..=bench.runs {
        super::progress(&format!("{COPY}, run {round} of {}", bench.runs));
        let ours = file::copy_once(&mut ours, "copied", &text)?;
        runs.push(round, ours, file::copy_once(&mut theirs, "copied", &text)?);
    }
    ours.copy_in("COPY copied FROM STDIN", &text)?;
    ours.close();
    theirs.close();
    drop((durable, memory));
    let again = Served::durable(1, folder.path())?;
    let copies = u64::from(bench.runs) + 2;
    let restart = Figure {
        name: RESTART.to_owned(),
        workers: 1,
        rows: rows * copies,
        startup_ms: Some(again.seconds_to_ready * 1000.0),
        ..Figure::default()
    };
    // Of two servers' CPU time neither is this process's.
    Ok(vec![Figure { cpu_ratio: None, ..runs.figure(COPY, 1, rows) }, restart])
}
