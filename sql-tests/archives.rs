//! Kills the real server at random moments while it archives what comes over a socket: what FLUSH said was there is in the
//! archive, in order and once, and all views agree, whenever they were created. `HIGHWATER_SEEDS=10..20` runs these seeds.

use std::time::Duration;

use libtest_mimic::Trial;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::crash::{Server, rows, value};
use crate::trial;

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Some seeds.
pub fn trials() -> Vec<Trial> {
    let range = std::env::var("HIGHWATER_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    range.unwrap_or(0..3).map(|seed: u64| trial(format!("archives::seed_{seed}"), history(seed))).collect()
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
