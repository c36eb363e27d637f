//! `bench latency`: from an INSERT to another connection's SUBSCRIBE, beside SELECT 1.
//!
//! Measured: four connections insert a row each in turn, 1,000 rows a second together, into a table that ten views read;
//! a fifth subscribes to one of them. A row's latency runs from the moment at which it was due to be sent (a writer that is
//! held up counts) until the subscriber's socket has it. The baseline is SELECT 1 on a sixth connection, 500 times a
//! second, meanwhile. Seconds of one run: five, or fewer with few `--rows`.

use std::time::{Duration, Instant};

use super::Bench;
use super::checksum::Checksum;
use super::child::Served;
use super::measure::{median, percentile};
use super::report::Figure;
use crate::error::{Error, Result};

const NAME: &str = "insert_to_subscribe";
const WRITERS: u64 = 4;
/// Between two inserts, over all writers.
const EVERY: Duration = Duration::from_millis(1);
/// Between two of the baseline's statements.
const BASELINE_EVERY: Duration = Duration::from_millis(2);
const INSERTS_MAX: u64 = 5000;

/// Per run, in milliseconds.
#[derive(Default)]
struct Percentiles {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Percentiles {
    fn push(&mut self, latencies: &[f64]) {
        self.p50.push(percentile(latencies, 0.5));
        self.p99.push(percentile(latencies, 0.99));
    }
}

/// Runs the case, if it is wanted.
pub(super) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    if !bench.wants(NAME) {
        return Ok(Vec::new());
    }
    let mut figures = Vec::new();
    for peers in bench.peers() {
        let server = Served::start(peers, None)?;
        figures.push(measure(bench, (NAME, WRITERS), (&server, peers), || Ok(None))?);
    }
    Ok(figures)
}

/// The runs of one case on a new server. The baseline is what `before` measures before each run, or SELECT 1 meanwhile;
/// in milliseconds.
pub(super) fn measure(
    bench: &Bench,
    (name, writers): (&str, u64),
    (server, peers): (&Served, usize),
    before: impl Fn() -> Result<Option<Vec<f64>>>,
) -> Result<Figure> {
    let inserts = (bench.rows / 100).clamp(WRITERS, INSERTS_MAX);
    prepare(server)?;
    let (mut ours, mut theirs) = (Percentiles::default(), Percentiles::default());
    let (mut seen, mut sent) = (Checksum::default(), Checksum::default());
    for round in 0..=bench.runs {
        super::progress(&format!("{name} with {peers} workers, run {round} of {}", bench.runs));
        let first = u64::from(round) * inserts;
        let baseline = before()?;
        let (latencies, selects) = once(server, writers, first, inserts, &mut seen)?;
        (first..first + inserts).for_each(|id| sent.add_numbers(&vec![Some(id.to_string())]));
        if round > 0 {
            ours.push(&latencies);
            theirs.push(&baseline.unwrap_or(selects));
        }
    }
    Ok(Figure {
        name: name.to_owned(),
        workers: peers,
        rows: inserts,
        p50_ms: Some(median(ours.p50)),
        p99_ms: Some(median(ours.p99)),
        baseline_p50_ms: Some(median(theirs.p50)),
        baseline_p99_ms: Some(median(theirs.p99)),
        checksum: Some(seen.text()),
        baseline_checksum: Some(sent.text()),
        ..Figure::default()
    })
}

/// The table and its ten views.
fn prepare(server: &Served) -> Result<()> {
    let mut client = server.client()?;
    client.query("CREATE TABLE events (id BIGINT, kind BIGINT)")?;
    client.query("CREATE MATERIALIZED VIEW every AS SELECT id, kind FROM events WHERE id >= 0")?;
    for view in 1..10 {
        client.query(&format!(
            "CREATE MATERIALIZED VIEW kinds{view} AS
             SELECT kind % {view} AS kind, count(*) AS n, max(id) AS newest FROM events GROUP BY 1"
        ))?;
    }
    client.close();
    Ok(())
}

/// Inserts ids from `first` on; the latencies of their arrival, and those of the baseline.
fn once(server: &Served, writers: u64, first: u64, inserts: u64, seen: &mut Checksum) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut subscriber = server.client()?;
    subscriber.copy_out("COPY (SUBSCRIBE every WITH (SNAPSHOT false)) TO STDOUT")?;
    let start = Instant::now() + Duration::from_millis(20);
    let due = move |id: u64| start + EVERY * (id - first) as u32;
    let step = writers as usize;
    let writers: Vec<_> = (0..writers)
        .map(|writer| {
            let mut client = server.client()?;
            Ok(std::thread::spawn(move || {
                for id in (first + writer..first + inserts).step_by(step) {
                    wait_until(due(id));
                    client.query(&format!("INSERT INTO events VALUES ({id}, {})", id % 100))?;
                }
                client.close();
                Ok::<_, Error>(())
            }))
        })
        .collect::<Result<_>>()?;
    let mut prober = server.client()?;
    let prober = std::thread::spawn(move || {
        let mut latencies = Vec::new();
        for at in 0..(inserts / 2).max(1) {
            let due = start + BASELINE_EVERY * at as u32;
            wait_until(due);
            prober.query("SELECT 1")?;
            latencies.push(millis(due));
        }
        prober.close();
        Ok::<_, Error>(latencies)
    });
    let mut latencies = Vec::new();
    while (latencies.len() as u64) < inserts {
        let line = subscriber.next_line()?;
        let id = line.split('\t').nth(2).unwrap_or_default();
        latencies.push(millis(due(id.parse().unwrap_or(first))));
        seen.add_numbers(&vec![Some(id.to_owned())]);
    }
    let panicked = || Error::internal("a client panicked");
    for writer in writers {
        writer.join().map_err(|_| panicked())??;
    }
    Ok((latencies, prober.join().map_err(|_| panicked())??))
}

fn wait_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// Milliseconds since a moment.
fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
