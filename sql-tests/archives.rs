//! Kills the real server at random moments while it archives what comes over a socket: what FLUSH said was there is in the
//! archive, in order and once, and all views agree, whenever they were created. `HIGHWATER_SEEDS=10..20` runs these seeds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::buckets::checkpointed;
use crate::connection::Connection;
use crate::crash::{Server, rows, value};
use crate::database::{Database, Mode};
use crate::{seeds_or, trial};

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Some seeds.
pub fn trials() -> Vec<Trial> {
    let seeds = seeds_or(0..3).map(|seed: u64| trial(format!("archives::seed_{seed}"), history(seed)));
    seeds.chain([trial("archives::a_dropped_source_frees_its_files", dropped())]).collect()
}

const SOURCE: &str = "CREATE SOURCE s (v BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) WITH \
                      (connector = 'socket', listen = '127.0.0.1:0', archive = '1000 days') FORMAT PLAIN ENCODE CSV";
const QUERY: &str = "SELECT window_start, count(*) AS n, sum(v) AS s FROM TUMBLE(s, ts, INTERVAL '1' MINUTE) GROUP BY \
                     window_start EMIT ON WINDOW CLOSE";

/// What was sent, and what was said to be there.
struct Sender {
    random: SmallRng,
    next: i64,
    /// Numbers that a FLUSH came behind.
    flushed: Vec<i64>,
    unflushed: Vec<i64>,
    views: usize,
}

impl Sender {
    /// Some lines, most of them in order: one is a quarter of a minute behind the last, or some hours late.
    fn lines(&mut self) -> String {
        let mut lines = String::new();
        for _ in 0..self.random.random_range(1..200) {
            let late = if self.random.random_bool(0.1) { self.random.random_range(0..20_000) } else { 0 };
            let seconds = (self.next * 15 - late).max(0);
            let (day, rest) = (1 + seconds / 86_400, seconds % 86_400);
            let time = format!("2026-01-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
            lines.push_str(&format!("{},{time}\n", self.next));
            self.unflushed.push(self.next);
            self.next += 1;
        }
        lines
    }

    async fn live(&mut self, client: &Client) -> Result<()> {
        let address = value(client, "SELECT address FROM highwater.sources").await?;
        let mut socket = TcpStream::connect(address).await.map_err(text)?;
        loop {
            let lines = self.lines();
            socket.write_all(lines.as_bytes()).await.map_err(text)?;
            if self.random.random_bool(0.5) {
                client.batch_execute("FLUSH").await.map_err(text)?;
                self.flushed.append(&mut self.unflushed);
            }
            if self.random.random_bool(0.2) {
                let name = format!("v{}", self.views);
                self.views += 1;
                client.batch_execute(&format!("CREATE MATERIALIZED VIEW {name} AS {QUERY}")).await.map_err(text)?;
            }
        }
    }

    async fn check(&self, client: &Client) -> Result<()> {
        client.batch_execute("FLUSH").await.map_err(text)?;
        let kept = rows(client, "SELECT v FROM s").await?;
        let kept: Vec<i64> = kept.iter().map(|row| row[0].parse().map_err(text)).collect::<Result<_>>()?;
        if !kept.is_sorted_by(|a, b| a < b) {
            return Err("rows are there twice, or out of order".into());
        }
        if let Some(lost) = self.flushed.iter().find(|v| kept.binary_search(v).is_err()) {
            return Err(format!("{lost} is lost"));
        }
        let total =
            value(client, "SELECT (SELECT n::text || ' ' || s FROM total) = count(*) || ' ' || sum(v) FROM s").await?;
        if total != "t" && !kept.is_empty() {
            return Err("a view does not have the rows of the archive".into());
        }
        client.batch_execute(&format!("CREATE MATERIALIZED VIEW now AS {QUERY}")).await.map_err(text)?;
        let views = rows(client, "SELECT matviewname FROM pg_matviews WHERE matviewname LIKE 'v%'").await?;
        for view in views.iter().map(|row| &row[0]) {
            for (a, b) in [(view.as_str(), "now"), ("now", view.as_str())] {
                let more = format!("SELECT count(*) FROM (SELECT * FROM {a} EXCEPT SELECT * FROM {b}) x");
                let more = value(client, &more).await?;
                if more != "0" {
                    return Err(format!("{a} has {more} rows that {b} has not"));
                }
            }
        }
        client.batch_execute("DROP MATERIALIZED VIEW now").await.map_err(text)
    }
}

async fn history(seed: u64) -> Result<()> {
    run(seed).await.map_err(|error| format!("seed {seed}: {error}"))
}

async fn run(seed: u64) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let random = SmallRng::seed_from_u64(seed);
    let mut sender = Sender { random, next: 0, flushed: vec![], unflushed: vec![], views: 0 };
    for life in 0..6 {
        let workers = sender.random.random_range(1..4);
        let hasty = life > 0 && sender.random.random_bool(0.2);
        let patience = hasty.then(|| Duration::from_millis(sender.random.random_range(1..200)));
        let Some(mut server) = Server::start(folder.path(), workers, patience).await? else { continue };
        let client = server.connect().await?;
        if life == 0 {
            client.batch_execute("ALTER SYSTEM SET checkpoint_interval = '30ms'").await.map_err(text)?;
            client.batch_execute(SOURCE).await.map_err(text)?;
            let total = "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(v) AS s FROM s";
            client.batch_execute(total).await.map_err(text)?;
        }
        sender.check(&client).await?;
        let until = Duration::from_millis(sender.random.random_range(20..600));
        // What goes wrong in its last moment is that it was killed.
        if let Ok(Err(error)) = tokio::time::timeout(until, sender.live(&client)).await {
            return Err(error);
        }
        server.kill()?;
        sender.unflushed.clear();
    }
    let server = Server::start(folder.path(), 2, None).await?.ok_or("it was not killed")?;
    sender.check(&server.connect().await?).await
}

/// Files of archives.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// A source with rows in its archive, and what is said of it.
async fn archived(folder: &Path) -> Result<(Arc<Database>, Connection)> {
    let config = EngineConfig {
        workers: 1,
        data_dir: Some(folder.join("data")),
        checkpoint_interval: Duration::from_millis(10),
        last_checkpoint: false,
        ..EngineConfig::default()
    };
    let database = Database::with(Mode::One, config).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    connection.query(SOURCE).await.map_err(text)?;
    connection.query("CREATE TABLE t (n INT)").await.map_err(text)?;
    let address = connection.query("SELECT address FROM highwater.sources").await.map_err(text)?.rows[0].join("");
    let mut socket = TcpStream::connect(address).await.map_err(text)?;
    socket.write_all(b"1,2026-01-02 00:00:00\n2,2026-01-01 23:59:59\n").await.map_err(text)?;
    while connection.query("SELECT archive_rows FROM highwater.sources").await.map_err(text)?.rows[0].join("") != "2" {
        connection.query("FLUSH").await.map_err(text)?;
    }
    checkpointed(&connection).await?;
    let kept = "SELECT archive_rows, archive_bytes > 1000, archive_oldest FROM highwater.sources";
    let kept = connection.query(kept).await.map_err(text)?.rows[0].join(" ");
    if kept == "2 t 2026-01-01" { Ok((database, connection)) } else { Err(format!("it keeps {kept}")) }
}

/// DROP SOURCE frees the files at once; not those that a start may need to read back how a view joined.
async fn dropped() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let archive = folder.path().join("data/archive");
    let (database, connection) = archived(folder.path()).await?;
    connection.query("DROP SOURCE s").await.map_err(text)?;
    while files(&archive) > 0 {
        tokio::task::yield_now().await;
    }
    database.stop().await;

    let folder = TempDir::new().map_err(text)?;
    let archive = folder.path().join("data/archive");
    let (database, connection) = archived(folder.path()).await?;
    // No checkpoint has it.
    for sql in [
        "ALTER SYSTEM SET checkpoint_interval = '1h'",
        "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM s",
        "DROP SOURCE s CASCADE",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t",
    ] {
        connection.query(sql).await.map_err(text)?;
    }
    if files(&archive) == 0 {
        return Err("what the log needs is gone".into());
    }
    database.stop().await;
    let config = EngineConfig { workers: 1, data_dir: Some(folder.path().join("data")), ..EngineConfig::default() };
    let database = Database::with(Mode::One, config).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    let rows = connection.query("SELECT count(*) FROM t").await.map_err(text)?.rows[0].join("");
    database.stop().await;
    if rows == "1" && files(&archive) == 0 { Ok(()) } else { Err(format!("{rows} rows, {} files", files(&archive))) }
}
