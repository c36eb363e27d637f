//! Random histories: what tables, views and joins of them were at an epoch is what SELECT .. AS OF it says, and says again
//! after a start. A failure prints its seed; `HIGHWATER_SEEDS=10..20` runs these seeds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use crate::connection::Connection;
use crate::database::{Database, Mode};
use crate::{seeds_or, trial};

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Some seeds.
pub fn trials() -> Vec<Trial> {
    seeds_or(0..4).map(|seed: u64| trial(format!("past::seed_{seed}"), async move { history(seed).await })).collect()
}

const SETUP: [&str; 7] = [
    "ALTER SYSTEM SET history = '1h'",
    "CREATE TABLE t (id INT PRIMARY KEY, k INT, v INT, s TEXT)",
    "CREATE TABLE d (k INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)",
    "CREATE MATERIALIZED VIEW sums AS SELECT k, count(*) AS n, sum(v) AS v, max(s) AS s FROM t GROUP BY k",
    "CREATE MATERIALIZED VIEW joined AS SELECT t.id, d.ts FROM t JOIN d ON d.k = t.k",
    "CREATE MATERIALIZED VIEW closed AS SELECT window_end, count(*) AS n FROM TUMBLE(d, ts, INTERVAL '10' SECOND) \
     GROUP BY window_end EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '20' SECOND",
    "CREATE MATERIALIZED VIEW kept WITH (retention = '10 seconds') AS SELECT window_end, count(*) AS n FROM \
     TUMBLE(d, ts, INTERVAL '10' SECOND) GROUP BY window_end",
];

const QUERIES: [&str; 9] = [
    "SELECT * FROM t",
    "SELECT * FROM t WHERE id = 3",
    "SELECT * FROM d",
    "SELECT * FROM sums",
    "SELECT * FROM sums WHERE k = 1",
    "SELECT * FROM joined",
    "SELECT * FROM closed",
    "SELECT * FROM kept",
    "SELECT d.k, d.ts, s.n, t.v FROM d JOIN sums s ON s.k = d.k LEFT JOIN t ON t.id = d.k",
];

/// A statement that changes something, at about so many seconds of event time.
fn statement(random: &mut SmallRng, seconds: u32) -> String {
    let (id, k, v) = (random.random_range(0..20), random.random_range(0..4), random.random_range(0..100));
    let late = random.random_range(0..40).min(seconds);
    let ts = seconds - if random.random_bool(0.3) { late } else { 0 };
    let ts = format!("2026-01-01 00:{:02}:{:02}", ts / 60, ts % 60);
    match random.random_range(0..7) {
        0 | 1 => format!(
            "INSERT INTO t VALUES ({id}, {k}, {v}, repeat('x', {v})) ON CONFLICT (id) DO UPDATE SET v = {v}, k = {k}"
        ),
        2 => format!("UPDATE t SET v = v + 1 WHERE k = {k}"),
        3 => format!("DELETE FROM t WHERE id = {id}"),
        4 => format!("DELETE FROM d WHERE k = {k} AND ts < '{ts}'"),
        _ => format!("INSERT INTO d VALUES ({k}, '{ts}'), ({k}, '{ts}')"),
    }
}

async fn rows(connection: &Connection, query: &str) -> Result<Vec<String>> {
    let rows = connection.query(query).await.map_err(|error| format!("{query}: {error}"))?.rows;
    let mut rows: Vec<String> = rows.into_iter().map(|row| row.join("|")).collect();
    rows.sort();
    Ok(rows)
}

/// What all queries said when this was the epoch.
type Then = (String, Vec<Vec<String>>);

async fn check(connection: &Connection, then: &[Then]) -> Result<()> {
    for (epoch, answers) in then {
        for (query, wanted) in QUERIES.iter().zip(answers) {
            let query = format!("{query} AS OF {epoch}");
            let found = rows(connection, &query).await?;
            if found != *wanted {
                return Err(format!("{query}: wanted {wanted:?}, found {found:?}"));
            }
        }
    }
    Ok(())
}

async fn start(folder: &Path, random: &mut SmallRng) -> Result<(Arc<Database>, Connection)> {
    let config = EngineConfig {
        workers: random.random_range(1..4),
        data_dir: Some(folder.join("data")),
        checkpoint_interval: Duration::from_millis(30),
        last_checkpoint: random.random_bool(0.5),
        memory_limit: random.random_bool(0.5).then_some(0),
        ..EngineConfig::default()
    };
    let database = Database::with(Mode::One, config).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    Ok((database, connection))
}

async fn run(seed: u64) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut seconds, mut then) = (0, Vec::new());
    for life in 0..3 {
        let (database, connection) = start(folder.path(), &mut random).await?;
        for sql in SETUP.iter().filter(|_| life == 0) {
            connection.query(sql).await.map_err(text)?;
        }
        check(&connection, &then).await?;
        for _ in 0..12 {
            seconds += random.random_range(0..8);
            let statements: Vec<String> =
                (0..random.random_range(1..4)).map(|_| statement(&mut random, seconds)).collect();
            connection.query(&statements.join("; ")).await.map_err(text)?;
            let mut answers = Vec::new();
            for query in QUERIES {
                answers.push(rows(&connection, query).await?);
            }
            then.push((rows(&connection, "SELECT max(epoch) FROM highwater.epochs").await?.join(""), answers));
        }
        check(&connection, &then).await?;
        database.stop().await;
    }
    Ok(())
}

async fn history(seed: u64) -> Result<()> {
    run(seed).await.map_err(|error| format!("seed {seed}: {error}"))
}
