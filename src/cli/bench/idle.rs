//! `bench idle`: how soon a server is ready, and what a hundred views cost while nothing happens.
//!
//! `startup`: from the start of the process until it says where it listens. `idle_views`: the server's CPU time, as a share
//! of one core, over some seconds in which no client does anything; its views hold rows.

use std::time::{Duration, Instant};

use super::Bench;
use super::child::Served;
use super::measure::median;
use super::report::Figure;
use crate::error::Result;

const STARTUP: &str = "startup";
const IDLE: &str = "idle_views";
/// Seconds of silence, with all rows.
const SILENCE: Duration = Duration::from_secs(10);
const VIEWS: u64 = 100;

/// Runs the cases that are wanted.
pub(super) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for peers in bench.peers() {
        if bench.wants(STARTUP) {
            let ready = |_| Ok(Served::start(peers, None)?.seconds_to_ready * 1000.0);
            let ready = (0..bench.runs).map(ready).collect::<Result<Vec<_>>>()?;
            let startup_ms = Some(median(ready));
            figures.push(Figure { name: STARTUP.to_owned(), workers: peers, startup_ms, ..Figure::default() });
        }
        if bench.wants(IDLE) {
            figures.push(idle(bench, peers)?);
        }
    }
    Ok(figures)
}

fn idle(bench: &Bench, peers: usize) -> Result<Figure> {
    super::progress(&format!("{IDLE} with {peers} workers"));
    // Small runs are for trying it out.
    let small = bench.rows < 100_000;
    let (views, silence) = if small { (VIEWS / 10, SILENCE / 20) } else { (VIEWS, SILENCE) };
    let server = Served::start(peers, None)?;
    let mut client = server.client()?;
    client.query("CREATE TABLE events (id BIGINT, kind BIGINT)")?;
    for view in 0..views {
        client.query(&format!(
            "CREATE MATERIALIZED VIEW kinds{view} AS
             SELECT kind % {} AS kind, count(*) AS n FROM events GROUP BY 1",
            view + 1
        ))?;
    }
    client.query("INSERT INTO events SELECT i, i % 1000 FROM generate_series(1, 10000) AS s (i)")?;
    client.query("FLUSH")?;
    // Figures that are sent now and then after work come to rest.
    std::thread::sleep(silence / 10);
    let (start, cpu) = (Instant::now(), server.cpu_seconds());
    std::thread::sleep(silence);
    let cpu_percent = Some((server.cpu_seconds() - cpu) / start.elapsed().as_secs_f64() * 100.0);
    client.close();
    Ok(Figure { name: IDLE.to_owned(), workers: peers, views: Some(views), cpu_percent, ..Figure::default() })
}
