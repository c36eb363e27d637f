//! Kills the real server at random moments, also while it starts, and looks whether anything acknowledged is lost or there
//! twice, whether every view is its query, and whether a subscription that resumes, or a sink, misses or repeats anything.
//!
//! `HIGHWATER_CRASH=0..1000` runs these seeds (and, with `HIGHWATER_CRASH_DONE=FILE`, notes each in the file, with the
//! commit, and leaves out those that it names); `HIGHWATER_BINARY` names another server than that of the build.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use libtest_mimic::Trial;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::done::Done;
use crate::trial;

/// Which seeds to run instead of the tests.
pub const VARIABLE: &str = "HIGHWATER_CRASH";

const WRITERS: i64 = 3;
/// Longer than anything that is waited for.
const LIMIT: Duration = Duration::from_secs(120);

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Some seeds.
pub fn trials() -> Vec<Trial> {
    (0..4).map(|seed| trial(format!("crash::seed_{seed}"), history(seed))).collect()
}

/// Runs a range of seeds; the exit code.
pub fn run(range: &str) -> i32 {
    let Some((from, to)) = range.split_once("..").and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse().ok()?)))
    else {
        eprintln!("{VARIABLE}: write a range of seeds, as in 0..1000");
        return 2;
    };
    let done = Done::open(std::env::var("HIGHWATER_CRASH_DONE").ok(), Path::new(&binary()));
    for seed in (from..to).filter(|seed| !done.has(*seed)) {
        if let Err(error) = crate::runtime().block_on(history(seed)) {
            eprintln!("{error}");
            return 1;
        }
        done.note(seed);
    }
    println!("crash: seeds {range} are fine");
    0
}

const TABLES: [&str; 6] = [
    "CREATE TABLE t (w INT, k INT, v BIGINT, ts TIMESTAMP, PRIMARY KEY (w, k))",
    "CREATE TABLE j (w INT, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) APPEND ONLY",
    "CREATE TABLE late (w INT, n INT, ts TIMESTAMP)",
    "CREATE SOURCE bid WITH (connector = 'nexmark', stream = 'bid', events = '20000', rate = '10000')",
    "CREATE TABLE auction WITH (connector = 'nexmark', stream = 'auction', events = '5000', rate = '4000')",
    "CREATE SOURCE lines (n INT, s VARCHAR) WITH (connector = 'file', path = 'FILE') FORMAT PLAIN ENCODE CSV",
];

/// Views that are their queries at every epoch.
const VIEWS: [(&str, &str); 14] = [
    ("evens", "SELECT w, k, v FROM t WHERE v % 2 = 0"),
    ("sums", "SELECT w, count(*) AS c, sum(v) AS s, min(v) AS a, max(v) AS b, avg(v) AS m FROM t GROUP BY w"),
    ("one", "SELECT count(*) AS c, sum(v) AS s FROM t"),
    (
        "windows",
        "SELECT window_start, w, count(*) AS c, sum(n) AS s FROM TUMBLE(j, ts, INTERVAL '10' SECOND) GROUP BY window_start, w",
    ),
    (
        "hops",
        "SELECT window_start, count(*) AS c, max(v) AS b FROM HOP(t, ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND) GROUP BY window_start",
    ),
    ("remainders", "SELECT DISTINCT v % 100 AS r FROM t"),
    ("pairs", "SELECT t.w, t.k, t.v, j.ts FROM t JOIN j ON t.w = j.w AND t.k = j.n"),
    ("together", "SELECT w, k FROM t UNION ALL SELECT w, n FROM j"),
    ("apart", "SELECT w, unnest(ARRAY[k::bigint, v]) AS x FROM t"),
    ("above", "SELECT c % 3 AS g, sum(s) AS s FROM sums GROUP BY c % 3"),
    (
        "listed",
        "SELECT w, string_agg((v % 7)::text, ',' ORDER BY k) AS l, count(DISTINCT v % 5) AS d FROM t GROUP BY w",
    ),
    ("bids", "SELECT auction % 10 AS g, count(*) AS c, sum(price) AS s FROM bid GROUP BY auction % 10"),
    ("auctions", "SELECT category, count(*) AS c FROM auction GROUP BY category"),
    ("long", "SELECT length(s) AS l, count(*) AS c, sum(n) AS s FROM lines GROUP BY length(s)"),
];

/// Views that wait for the watermark: one never turns a row away, one does.
const CLOSING: [&str; 2] = [
    "CREATE MATERIALIZED VIEW closed AS SELECT window_end, count(*) AS c FROM TUMBLE(j, ts, INTERVAL '10' SECOND) \
     GROUP BY window_end EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '1000' DAY",
    "CREATE MATERIALIZED VIEW final AS SELECT window_end, count(*) AS c FROM TUMBLE(j, ts, INTERVAL '10' SECOND) \
     GROUP BY window_end EMIT ON WINDOW CLOSE LATE ROWS INTO late",
];

/// Sinks whose parts are done all the time, of a view and of a table. FOLDER is theirs.
const SINKS: [&str; 2] = [
    "CREATE SINK ks FROM sums WITH (connector = 'file', path = 'FOLDER', roll_interval = '20 ms') \
     FORMAT UPSERT ENCODE CSV (header = 'false', delimiter = '|', null = '\\N')",
    "CREATE SINK kj FROM j WITH (connector = 'file', path = 'FOLDER', roll_size = '2kB', roll_interval = '50 ms') \
     FORMAT PLAIN ENCODE JSON",
];

/// The server's program.
fn binary() -> String {
    std::env::var("HIGHWATER_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_highwater").to_owned())
}

/// A server of its own process.
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts it; `None` when it was killed before it was ready.
    pub async fn start(folder: &Path, workers: u32, killed_after: Option<Duration>) -> Result<Option<Self>> {
        let log = std::fs::File::options().append(true).create(true).open(folder.join("stderr")).map_err(text)?;
        let mut child = Command::new(binary())
            .args([
                "serve",
                "--pg-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--workers",
                &workers.to_string(),
            ])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(text)?;
        let lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let mut server = Self { child, address: String::new() };
        let listening = tokio::task::spawn_blocking(move || {
            let mut addresses =
                lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
            addresses.next()
        });
        let ready = async { listening.await.map_err(text)?.ok_or("the server ended before it was ready".to_owned()) };
        match tokio::time::timeout(killed_after.unwrap_or(LIMIT), ready).await {
            Ok(address) => {
                server.address = address?;
                Ok(Some(server))
            }
            Err(_) if killed_after.is_some() => server.kill().map(|()| None),
            Err(_) => Err(format!("the server was not ready after {LIMIT:?}")),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(text)?;
        self.child.wait().map(drop).map_err(text)
    }

    /// A connection to it.
    pub async fn connect(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.address, NoTls).await.map_err(text)?;
        crate::runtime().spawn(connection);
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// What a statement gives, as text.
pub async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<String>>> {
    let messages = client.simple_query(sql).await.map_err(|e| format!("{sql}: {e:?}"))?;
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect());
        }
    }
    Ok(rows)
}

/// The first value of it.
pub async fn value(client: &Client, sql: &str) -> Result<String> {
    rows(client, sql).await?.into_iter().flatten().next().ok_or_else(|| format!("{sql}: no row"))
}

/// What one writer knows of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// v by k, in `t`.
    rows: BTreeMap<i64, i64>,
    /// Rows in `j`, numbered from 0.
    journal: i64,
}

/// One client that writes, and knows what was acknowledged.
struct Writer {
    number: i64,
    random: SmallRng,
    acknowledged: Known,
    /// What it will be if the statement under way is done.
    under_way: Option<Known>,
    clock: i64,
}

impl Writer {
    fn new(number: i64, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed * 100 + number as u64);
        Self { number, random, acknowledged: Known::default(), under_way: None, clock: 0 }
    }

    /// A time that mostly goes on.
    fn time(&mut self) -> String {
        self.clock += self.random.random_range(0..3);
        let at = self.clock - if self.random.random_bool(0.05) { self.random.random_range(0..60) } else { 0 };
        format!("TIMESTAMP '2026-01-01 00:00:00' + INTERVAL '{at}' SECOND")
    }

    fn statement(&mut self, known: &mut Known) -> String {
        let w = self.number;
        let key = self.random.random_range(0..40);
        match self.random.random_range(0..6) {
            0 | 1 => {
                let v = self.random.random_range(0..1000);
                known.rows.insert(key, v);
                let at = self.time();
                format!("INSERT INTO t VALUES ({w}, {key}, {v}, {at}) ON CONFLICT (w, k) DO UPDATE SET v = EXCLUDED.v")
            }
            2 => {
                known.rows.remove(&key);
                format!("DELETE FROM t WHERE w = {w} AND k = {key}")
            }
            3 => {
                known.rows.values_mut().filter(|v| **v % 3 == 0).for_each(|v| *v += 1);
                format!("UPDATE t SET v = v + 1 WHERE w = {w} AND v % 3 = 0")
            }
            _ => {
                let count = self.random.random_range(1..5);
                let values: Vec<String> =
                    (0..count).map(|i| format!("({w}, {}, {})", known.journal + i, self.time())).collect();
                known.journal += count;
                format!("INSERT INTO j VALUES {}", values.join(", "))
            }
        }
    }

    /// Writes until the connection ends.
    async fn write(&mut self, client: &Client) {
        loop {
            let mut known = self.acknowledged.clone();
            let sql = match self.random.random_range(0..5) {
                0 => {
                    let all: Vec<String> = (0..3).map(|_| self.statement(&mut known)).collect();
                    format!("BEGIN; {}; COMMIT", all.join("; "))
                }
                1 => {
                    let count = self.random.random_range(1..200);
                    let mut lines = String::new();
                    for i in 0..count {
                        let second = (self.clock + i / 50) % 3600;
                        lines += &format!(
                            "{},{},2026-01-01 00:{:02}:{:02}\n",
                            self.number,
                            known.journal + i,
                            second / 60,
                            second % 60
                        );
                    }
                    known.journal += count;
                    self.under_way = Some(known);
                    if copy(client, lines).await.is_err() {
                        return;
                    }
                    self.acknowledged = self.under_way.take().unwrap_or_default();
                    continue;
                }
                _ => self.statement(&mut known),
            };
            self.under_way = Some(known);
            if client.batch_execute(&sql).await.is_err() {
                return;
            }
            self.acknowledged = self.under_way.take().unwrap_or_default();
        }
    }

    /// The server has what was acknowledged, and all or nothing of what was under way.
    async fn verify(&mut self, client: &Client) -> Result<()> {
        let w = self.number;
        let mut there = Known::default();
        for row in rows(client, &format!("SELECT k, v FROM t WHERE w = {w}")).await? {
            let (k, v) = (row[0].parse().map_err(text)?, row[1].parse().map_err(text)?);
            if there.rows.insert(k, v).is_some() {
                return Err(format!("writer {w}: key {k} is there twice"));
            }
        }
        let journal = format!("SELECT count(*), count(DISTINCT n), coalesce(max(n) + 1, 0) FROM j WHERE w = {w}");
        let counts = rows(client, &journal).await?;
        let [count, distinct, next] = &counts[0][..] else { return Err(format!("{counts:?}")) };
        if count != distinct || count != next {
            return Err(format!("writer {w}: {count} rows, {distinct} different ones, up to {next}"));
        }
        there.journal = count.parse().map_err(text)?;
        let under_way = self.under_way.take();
        if there != self.acknowledged && Some(&there) != under_way.as_ref() {
            return Err(format!(
                "writer {w}: acknowledged {:?}, under way {under_way:?}, there {there:?}",
                self.acknowledged
            ));
        }
        self.acknowledged = there;
        Ok(())
    }
}

async fn copy(client: &Client, lines: String) -> Result<()> {
    let sink = client.copy_in::<_, Bytes>("COPY j FROM STDIN WITH (FORMAT csv)").await.map_err(text)?;
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from(lines)).await.map_err(text)?;
    sink.finish().await.map_err(text)?;
    Ok(())
}

/// Follows a view across the lives of the server.
#[derive(Default)]
struct Subscriber {
    rows: BTreeMap<String, i64>,
    /// Everything up to here is in `rows`.
    epoch: Option<u64>,
    /// What was told, by epoch; the first is the snapshot.
    told: BTreeMap<u64, Vec<(String, i64)>>,
}

impl Subscriber {
    /// Reads until the connection ends, or until it has this epoch.
    async fn follow(&mut self, client: &Client, until: Option<u64>) -> Result<()> {
        let from = match self.epoch {
            Some(epoch) => format!("WITH (SNAPSHOT false, PROGRESS true) AS OF {epoch}"),
            None => "WITH (PROGRESS true)".to_owned(),
        };
        let sql = format!("COPY (SUBSCRIBE sums {from}) TO STDOUT");
        let stream = match client.copy_out(sql.as_str()).await {
            Ok(stream) => stream,
            // It was killed before it answered.
            Err(error) if error.is_closed() && until.is_none() => return Ok(()),
            Err(error) => return Err(text(error)),
        };
        let mut stream = std::pin::pin!(stream);
        let mut waiting: Vec<(u64, String, i64)> = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            let line = String::from_utf8(bytes.to_vec()).map_err(text)?;
            let mut fields = line.trim_end().splitn(4, '\t');
            let (epoch, progressed) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            let epoch: u64 = epoch.parse().map_err(|e| format!("{line}: {e}"))?;
            if self.epoch.is_some_and(|at| epoch <= at) && progressed == "f" {
                return Err(format!("epoch {epoch} came again: {line}"));
            }
            if progressed == "f" {
                let diff = fields.next().unwrap_or("").parse().map_err(|e| format!("{line}: {e}"))?;
                waiting.push((epoch, fields.next().unwrap_or("").to_owned(), diff));
                continue;
            }
            for (at, row, diff) in waiting.drain(..) {
                self.told.entry(at).or_default().push((row.clone(), diff));
                let count = self.rows.entry(row.clone()).or_default();
                *count += diff;
                if *count < 0 {
                    return Err(format!("{row} was taken back and is not there, at epoch {epoch}"));
                }
            }
            self.rows.retain(|_, count| *count != 0);
            self.epoch = Some(epoch);
            if until.is_some_and(|until| epoch >= until) {
                return Ok(());
            }
        }
        match until {
            Some(until) => Err(format!("the subscription ended before epoch {until}")),
            None => Ok(()),
        }
    }
}

/// Several lives of one data directory.
async fn history(seed: u64) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let lived = tokio::time::timeout(LIMIT, live(seed, folder.path())).await;
    lived.unwrap_or_else(|_| Err(format!("not done after {LIMIT:?}"))).map_err(|error| {
        let log = std::fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
        let log: Vec<&str> = log.lines().rev().take(8).collect();
        let kept = folder.keep();
        format!(
            "crash: seed {seed}: {error}\n(everything is in {}; its log ends, newest first: {log:#?})",
            kept.display()
        )
    })
}

async fn live(seed: u64, folder: &Path) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(seed);
    let file = folder.join("lines.csv");
    let lines: String = (0..3000).map(|n| format!("{n},{}\n", "x".repeat(n % 17))).collect();
    std::fs::write(&file, format!("n,s\n{lines}")).map_err(text)?;
    let mut writers: Vec<Writer> = (0..WRITERS).map(|w| Writer::new(w, seed)).collect();
    let mut subscriber = Subscriber::default();
    let lives = random.random_range(2..5);
    for life in 0..=lives {
        let mut server = loop {
            let killed_after = random.random_bool(0.3).then(|| Duration::from_millis(random.random_range(1..200)));
            if let Some(server) = Server::start(folder, random.random_range(1..5), killed_after).await? {
                break server;
            }
        };
        let client = server.connect().await?;
        let verified = async {
            if life == 0 {
                // Some never come to one, others take them all the time.
                let interval = [20, 100, 10_000][(seed % 3) as usize];
                let often = format!("ALTER SYSTEM SET checkpoint_interval = '{interval}ms'");
                client.batch_execute(&often).await.map_err(text)?;
                set_up(&client, &file, &folder.join("sinks")).await?;
            }
            for writer in &mut writers {
                writer.verify(&client).await?;
            }
            check_views(&client, life == lives).await
        };
        verified.await.map_err(|e| format!("life {life}: {e}"))?;
        if life == lives {
            check_sinks(&server, &client, &folder.join("sinks"), &mut subscriber).await?;
            return end(server, &client, &mut subscriber).await;
        }
        let mut clients = Vec::new();
        for _ in 0..=writers.len() {
            clients.push(server.connect().await?);
        }
        let Some(follower) = clients.pop() else { return Err("no client".into()) };
        let writing = writers.iter_mut().zip(&clients).map(|(writer, client)| writer.write(client));
        let killed = async {
            let until = Duration::from_millis(random.random_range(1..700));
            let _ = tokio::time::timeout(until, futures::future::pending::<()>()).await;
            server.kill()
        };
        let (_, followed, killed) =
            tokio::join!(futures::future::join_all(writing), subscriber.follow(&follower, None), killed);
        followed.map_err(|e| format!("life {life}: {e}"))?;
        killed?;
    }
    Ok(())
}

async fn set_up(client: &Client, file: &Path, sinks: &Path) -> Result<()> {
    for table in TABLES {
        client.batch_execute(&table.replace("FILE", &file.display().to_string())).await.map_err(text)?;
    }
    for (name, query) in VIEWS {
        let create = format!("CREATE MATERIALIZED VIEW {name} AS {query}");
        client.batch_execute(&create).await.map_err(|e| format!("{create}: {e:?}"))?;
    }
    for create in CLOSING {
        client.batch_execute(create).await.map_err(|e| format!("{create}: {e:?}"))?;
    }
    for create in SINKS {
        let create = create.replace("FOLDER", &sinks.display().to_string());
        client.batch_execute(&create).await.map_err(|e| format!("{create}: {e:?}"))?;
    }
    Ok(())
}

/// A FLUSH was answered: the sinks have written every change, once.
async fn check_sinks(server: &Server, client: &Client, folder: &Path, subscriber: &mut Subscriber) -> Result<()> {
    let failed = rows(client, "SELECT name, status, error FROM highwater.sinks WHERE status <> 'running'").await?;
    if !failed.is_empty() {
        return Err(format!("sinks: {failed:?}"));
    }
    let epoch = value(client, "SELECT max(epoch) FROM highwater.views").await?.parse().map_err(text)?;
    subscriber.follow(&server.connect().await?, Some(epoch)).await?;
    let lines = crate::sinks::lines(folder, "ks", "csv", true)?;
    let began = subscriber.told.keys().next().copied().unwrap_or(0);
    crate::sinks::compare_upserts(&lines, &subscriber.told, began)?;
    let shown = rows(client, "SELECT * FROM sums").await?;
    let mut there: Vec<String> = shown.iter().map(|row| row.join("\t")).collect();
    there.sort();
    if crate::sinks::folded(&lines)? != there {
        return Err(format!("sink ks leaves {:?}, the view has {there:?}", crate::sinks::folded(&lines)?));
    }
    crate::sinks::lines(folder, "kj", "json", false)?;
    let source = format!(
        "CREATE SOURCE kj_back (w INT, n INT, ts TIMESTAMP) WITH (connector = 'file', path = '{}/kj-*.json') \
         FORMAT PLAIN ENCODE JSON",
        folder.display()
    );
    if rows(client, "SELECT w FROM j LIMIT 1").await?.is_empty() {
        return Ok(());
    }
    client.batch_execute(&source).await.map_err(text)?;
    let sql = "(SELECT * FROM j EXCEPT ALL SELECT * FROM kj_back) UNION ALL (SELECT * FROM kj_back EXCEPT ALL SELECT * FROM j)";
    let differ = rows(client, sql).await?;
    if differ.is_empty() { Ok(()) } else { Err(format!("sink kj and table j differ by {differ:?}")) }
}

async fn check_views(client: &Client, is_last: bool) -> Result<()> {
    if is_last {
        client.batch_execute("FLUSH").await.map_err(text)?;
    }
    for (name, query) in VIEWS {
        // A source is read as a whole; its view has got there when the source has ended.
        if !is_last && (query.contains("bid") || query.contains("lines")) {
            continue;
        }
        let sql = format!(
            "(SELECT * FROM {name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL SELECT * FROM {name})"
        );
        let differ = rows(client, &sql).await?;
        if !differ.is_empty() {
            return Err(format!("view {name} is not its query: {differ:?}"));
        }
    }
    if !is_last {
        return Ok(());
    }
    let watermark = value(client, "SELECT watermark FROM highwater.watermarks WHERE source = 'j'").await?;
    if watermark == "NULL" {
        return Ok(());
    }
    let windows = "TUMBLE(j, ts, INTERVAL '10' SECOND)";
    let closed = format!(
        "SELECT window_end, count(*) FROM {windows} WHERE window_end <= TIMESTAMPTZ '{watermark}' AT TIME ZONE 'UTC' \
         GROUP BY window_end"
    );
    let sql =
        format!("(SELECT * FROM closed EXCEPT ALL ({closed})) UNION ALL (({closed}) EXCEPT ALL SELECT * FROM closed)");
    let differ = rows(client, &sql).await?;
    if !differ.is_empty() {
        return Err(format!("view closed is not its query at watermark {watermark}: {differ:?}"));
    }
    let sum = format!(
        "SELECT (SELECT count(*) FROM j) - (SELECT coalesce(sum(c), 0) FROM final) - (SELECT count(*) FROM late) \
         - (SELECT count(*) FROM {windows} WHERE window_end > TIMESTAMPTZ '{watermark}' AT TIME ZONE 'UTC')"
    );
    let left = value(client, &sum).await?;
    let late = "SELECT (SELECT late_rejected FROM highwater.views WHERE name = 'final') - (SELECT count(*) FROM late)";
    let miscounted = value(client, late).await?;
    if left != "0" || miscounted != "0" {
        return Err(format!(
            "{left} rows are neither in final nor late; {miscounted} late rows are not in their table"
        ));
    }
    Ok(())
}

/// The subscription has everything; the server stops by itself, and leaves a sound directory.
async fn end(mut server: Server, client: &Client, subscriber: &mut Subscriber) -> Result<()> {
    let epoch = value(client, "SELECT epoch FROM highwater.views WHERE name = 'sums'").await?.parse().map_err(text)?;
    if subscriber.epoch.is_none_or(|at| at < epoch) {
        let follower = server.connect().await?;
        subscriber.follow(&follower, Some(epoch)).await?;
    }
    let mut there: Vec<String> = rows(client, "SELECT * FROM sums").await?.iter().map(|row| row.join("\t")).collect();
    let mut followed: Vec<String> = Vec::new();
    for (row, count) in &subscriber.rows {
        followed.extend(std::iter::repeat_n(row.clone(), usize::try_from(*count).map_err(text)?));
    }
    there.sort();
    followed.sort();
    if there != followed {
        return Err(format!("the subscription has {followed:?}, the view {there:?}"));
    }
    let pid = server.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().map_err(text)?;
    let status = server.child.wait().map_err(text)?;
    if status.success() { Ok(()) } else { Err(format!("the server ended with {status}")) }
}
