//! Many at once: connections, views, subscribers of which half stop reading, and views that come and go while an hour of
//! event time flows by. Nobody waits for those who do not read, what they missed can be read on, and nothing grows.
//!
//! It runs in a process of its own, whose memory and threads it looks at. An ordinary run is small;
//! `HIGHWATER_MANY=1 cargo test --test sql -- many::` has 500 connections, 200 views and 100 subscribers, and says what it saw.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::StreamExt;
use highwater::config::EngineConfig;
use libtest_mimic::{Failed, Trial};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// Tells a child process to run it, and how large.
pub const VARIABLE: &str = "HIGHWATER_TEST_MANY";

/// How many of everything.
struct Scale {
    connections: usize,
    views: usize,
    /// Half of them stop reading.
    subscribers: usize,
    /// Steps of the writer: together an hour of event time. With each one view is created and one dropped.
    steps: u64,
}

const FEW: Scale = Scale { connections: 100, views: 30, subscribers: 16, steps: 60 };
const ALL: Scale = Scale { connections: 500, views: 200, subscribers: 100, steps: 720 };

/// One trial.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("many::at_once", || in_a_child(std::env::var_os("HIGHWATER_MANY").is_some()))]
}

fn in_a_child(all: bool) -> Result<(), Failed> {
    let this = std::env::current_exe()?;
    let output = Command::new(this).env(VARIABLE, if all { "all" } else { "few" }).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if all {
        println!("{text}");
    }
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// What the child process does.
pub fn run(scale: &str) -> i32 {
    let scale = if scale == "all" { ALL } else { FEW };
    match crate::runtime().block_on(many(&scale)) {
        Ok(()) => 0,
        Err(error) => {
            println!("{error}");
            1
        }
    }
}

/// Rows of a view by their text, as a subscription adds them up.
type Rows = BTreeMap<String, i64>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

async fn many(scale: &Scale) -> Result<(), String> {
    let config = EngineConfig { workers: 2, ..EngineConfig::default() };
    let database = Database::with(Mode::One, config).await?;
    let result = scenario(&database, scale).await;
    database.stop().await;
    result
}

async fn open(database: &Arc<Database>) -> Result<Connection, String> {
    Connection::open(&database.uri(), None).await.map_err(|e| e.to_string())
}

async fn execute(connection: &Connection, sql: &str) -> Result<(), String> {
    connection.query(sql).await.map(|_| ()).map_err(|e| format!("{sql}: {e}"))
}

async fn scenario(database: &Arc<Database>, scale: &Scale) -> Result<(), String> {
    let began = Instant::now();
    let setup = open(database).await?;
    execute(&setup, "ALTER SYSTEM SET history = '1h'").await?;
    let table = "CREATE TABLE readings (k INT, v INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)";
    execute(&setup, table).await?;
    for i in 0..scale.views {
        execute(&setup, &format!("CREATE MATERIALIZED VIEW v{i} AS {}", query(i))).await?;
    }
    let mut idle = Vec::new();
    for _ in 0..scale.connections - scale.subscribers {
        let connection = open(database).await?;
        execute(&connection, "SELECT 1").await?;
        idle.push(connection);
    }
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let mut readers = Vec::new();
    let mut stopped = Vec::new();
    for i in 0..scale.subscribers {
        if i % 2 == 0 {
            let (connection, last) = (open(database).await?, last.clone());
            readers.push(tokio::spawn(
                async move { follow(&connection.client, "v0", None, &mut Rows::new(), &last).await },
            ));
        } else {
            stopped.push(Stopped::subscribe(database).await?);
        }
    }
    println!("{} views and {} connections after {:?}", scale.views, scale.connections, began.elapsed());
    flow(database, scale, 0..scale.steps / 2).await?;
    // Half an hour of history is kept for those who stopped reading; what is kept later is no growth.
    execute(&setup, "FLUSH").await?;
    let wide = contents(&setup, "v1").await?;
    let missed = Arc::new(AtomicU64::new(epoch(&setup).await?));
    execute(&setup, "INSERT INTO readings VALUES (77, 77, '2026-01-01 00:00:00')").await?;
    for subscriber in stopped {
        subscriber.read_on(database, &wide, &missed).await?;
    }
    execute(&setup, "ALTER SYSTEM SET history = '1s'").await?;
    flow(database, scale, scale.steps / 2..scale.steps).await?;
    println!("an hour of event time after {:?}", began.elapsed());

    execute(&setup, "FLUSH").await?;
    let narrow = contents(&setup, "v0").await?;
    last.store(epoch(&setup).await?, Ordering::SeqCst);
    execute(&setup, "INSERT INTO readings VALUES (77, 77, '2026-01-01 01:01:00')").await?;
    for reader in readers {
        let (rows, error) = reader.await.map_err(text)??;
        if error.is_some() || rows != narrow {
            return Err(format!("a subscriber has {rows:?} and {error:?}, not {narrow:?}"));
        }
    }
    for connection in idle.iter().step_by(7) {
        let rows = connection.query("SELECT count(*) FROM v0 WHERE k < 10").await.map_err(text)?.rows;
        if rows != [["10"]] {
            return Err(format!("an idle connection sees {rows:?}"));
        }
    }
    println!("all subscribers are right after {:?}", began.elapsed());
    Ok(())
}

/// Small aggregates, wide rows, and windows in turns.
fn query(i: usize) -> String {
    match i % 3 {
        0 => "SELECT k, count(*) AS n, sum(v) AS s FROM readings GROUP BY k".into(),
        1 if i == 1 => "SELECT k, v, ts, repeat('x', 8000) AS pad FROM readings".into(),
        1 => format!("SELECT k, v FROM readings WHERE v % {i} = 1"),
        _ => "SELECT window_end, k, max(v) AS m FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) \
              GROUP BY window_end, k EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '1' MINUTE"
            .into(),
    }
}

async fn epoch(connection: &Connection) -> Result<u64, String> {
    let now = connection.query("SELECT epoch FROM highwater.views WHERE name = 'v0'").await.map_err(text)?;
    now.rows[0][0].parse().map_err(|_| "no epoch".to_owned())
}

/// Some of an hour of rows, of which the last minutes are kept, while views come and go. In the second half nothing grows.
async fn flow(database: &Arc<Database>, scale: &Scale, steps: std::ops::Range<u64>) -> Result<(), String> {
    let (writer, creator) = (open(database).await?, open(database).await?);
    let mut half = Usage::default();
    let seconds = 3600 / scale.steps;
    let quarter = steps.start + (steps.end - steps.start) / 2;
    for step in steps.clone() {
        let at = |second: u64| format!("TIMESTAMP '2026-01-01' + INTERVAL '{second}' SECOND");
        let rows: Vec<String> = (0..10).map(|k| format!("({k}, {}, {})", step + k, at(step * seconds))).collect();
        let data = async {
            execute(&writer, &format!("INSERT INTO readings VALUES {}", rows.join(", "))).await?;
            if step >= 5 {
                let old = at((step - 5) * seconds);
                execute(&writer, &format!("DELETE FROM readings WHERE ts <= {old}")).await?;
            }
            Ok(())
        };
        let churn = async {
            let (from, query) = if step % 2 == 0 { ("v0", "n > 1") } else { ("readings", "v > 1") };
            execute(&creator, &format!("CREATE MATERIALIZED VIEW c{step} AS SELECT k FROM {from} WHERE {query}"))
                .await?;
            if step >= 3 {
                execute(&creator, &format!("DROP MATERIALIZED VIEW c{}", step - 3)).await?;
            }
            Ok::<(), String>(())
        };
        let (data, churn) = tokio::join!(data, churn);
        data.and(churn)?;
        if step == quarter {
            half = Usage::now(&writer).await?;
        }
    }
    let now = Usage::now(&writer).await?;
    if steps.start > 0 { half.compare(&now) } else { Ok(()) }
}

async fn contents(connection: &Connection, view: &str) -> Result<Rows, String> {
    let mut rows = Rows::new();
    for row in connection.query(&format!("SELECT * FROM {view}")).await.map_err(text)?.rows {
        *rows.entry(row.join("\t")).or_default() += 1;
    }
    Ok(rows)
}

/// Adds up what a subscription sends until an epoch above `last`, or until it ends with an error.
async fn follow(
    client: &Client,
    view: &str,
    resume: Option<&str>,
    rows: &mut Rows,
    last: &AtomicU64,
) -> Result<(Rows, Option<tokio_postgres::Error>), String> {
    let from = resume.map_or_else(String::new, |epoch| format!(" WITH (SNAPSHOT false) AS OF {epoch}"));
    let sql = format!("COPY (SUBSCRIBE {view}{from}) TO STDOUT");
    let stream = client.copy_out(&sql).await.map_err(text)?;
    add_up(stream, rows, last).await
}

async fn add_up(
    stream: tokio_postgres::CopyOutStream,
    rows: &mut Rows,
    last: &AtomicU64,
) -> Result<(Rows, Option<tokio_postgres::Error>), String> {
    let mut stream = std::pin::pin!(stream);
    let mut rest = String::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => rest.push_str(&String::from_utf8_lossy(&piece)),
            Err(error) => return Ok((std::mem::take(rows), Some(error))),
        }
        while let Some(end) = rest.find('\n') {
            let line: String = rest.drain(..=end).collect();
            let fields: Vec<&str> = line.trim_end_matches('\n').splitn(3, '\t').collect();
            let number = |i: usize| fields[i].parse::<i64>().map_err(|_| format!("bad line {line:?}"));
            if number(0)?.unsigned_abs() > last.load(Ordering::SeqCst) {
                return Ok((std::mem::take(rows), None));
            }
            *rows.entry(fields[2].to_owned()).or_default() += number(1)?;
            rows.retain(|_, weight| *weight != 0);
        }
    }
    Err("a subscription ended by itself".into())
}

/// A subscriber that has stopped reading from its socket.
struct Stopped {
    stream: tokio_postgres::CopyOutStream,
    reads: watch::Sender<bool>,
    _client: Client,
}

impl Stopped {
    async fn subscribe(database: &Arc<Database>) -> Result<Self, String> {
        let socket = tokio::net::TcpSocket::new_v4().map_err(text)?;
        // What the kernel takes in for it counts for nothing.
        socket.set_recv_buffer_size(4096).map_err(text)?;
        let socket = socket.connect(database.address()).await.map_err(text)?;
        let config: tokio_postgres::Config = "user=tester dbname=highwater".parse().map_err(text)?;
        let (client, mut connection) = config.connect_raw(socket, NoTls).await.map_err(text)?;
        let (reads, mut told) = watch::channel(true);
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
            loop {
                if told.wait_for(|reads| *reads).await.is_err() {
                    return;
                }
                tokio::select! {
                    message = messages.next() => if message.is_none() { return },
                    changed = told.changed() => if changed.is_err() { return },
                }
            }
        });
        client.batch_execute("SET subscribe_buffer = '64kB'").await.map_err(text)?;
        let stream = client.copy_out("COPY (SUBSCRIBE v1) TO STDOUT").await.map_err(text)?;
        reads.send_replace(false);
        Ok(Self { stream, reads, _client: client })
    }

    /// Reads again: what was sent, the error that says where to resume, and from there on the rest.
    async fn read_on(self, database: &Arc<Database>, expected: &Rows, last: &AtomicU64) -> Result<(), String> {
        self.reads.send_replace(true);
        let (mut rows, error) = add_up(self.stream, &mut Rows::new(), last).await?;
        let error = error.ok_or("a subscriber that did not read was not ended")?;
        let error = error.as_db_error().ok_or_else(|| text(&error))?;
        let hint = error.hint().unwrap_or_default();
        let epoch = hint.split("AS OF ").nth(1).and_then(|rest| rest.split(',').next());
        if error.code().code() != "53400" || epoch.is_none() {
            return Err(format!("ended with {error:?}"));
        }
        let connection = open(database).await?;
        let (rows, error) = follow(&connection.client, "v1", epoch, &mut rows, last).await?;
        if error.is_some() || rows != *expected {
            return Err(format!("resumed at {epoch:?}: {error:?}, {} rows for {}", rows.len(), expected.len()));
        }
        Ok(())
    }
}

/// What could grow.
#[derive(Debug, Default)]
struct Usage {
    resident_mib: u64,
    threads: u64,
    views: u64,
    operators: u64,
}

impl Usage {
    async fn now(connection: &Connection) -> Result<Self, String> {
        let status = std::fs::read_to_string("/proc/self/status").map_err(text)?;
        let of = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let counts = "SELECT (SELECT count(*) FROM highwater.views), (SELECT count(*) FROM highwater.operators)";
        let counts = connection.query(counts).await.map_err(text)?.rows;
        let count = |i: usize| counts[0][i].parse().unwrap_or(0);
        let (resident_mib, threads) = (of("VmRSS:") / 1024, of("Threads:"));
        Ok(Self { resident_mib, threads, views: count(0), operators: count(1) })
    }

    fn compare(&self, later: &Self) -> Result<(), String> {
        println!("half way {self:?}, at the end {later:?}");
        // Threads that answer for the file system come and go by themselves; the operators of the newest views, twelve
        // each, are told only when they have been running for a moment.
        let grows = later.resident_mib > self.resident_mib + self.resident_mib / 10 + 32
            || later.threads > self.threads + 8
            || later.views > self.views + 1
            || later.operators > self.operators + 24;
        if grows { Err(format!("something grows: half way {self:?}, at the end {later:?}")) } else { Ok(()) }
    }
}
