//! Internal consistency: money moves between ten accounts from four connections, by inserts, updates and deletes. Whoever
//! looks, and whenever, sees ten accounts and a total of nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::StreamExt;
use libtest_mimic::Trial;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::connection::Connection;
use crate::database::{Database, Mode};

const WRITERS: u64 = 4;
const STEPS: u64 = 16;

const SCHEMA: &str = "
CREATE TABLE transfers (id INT PRIMARY KEY, src INT NOT NULL, dst INT NOT NULL, amount INT NOT NULL);
CREATE MATERIALIZED VIEW credits AS SELECT dst AS account, sum(amount) AS s FROM transfers GROUP BY dst;
CREATE MATERIALIZED VIEW debits AS SELECT src AS account, sum(amount) AS s FROM transfers GROUP BY src;
CREATE MATERIALIZED VIEW balances AS
  SELECT c.account, c.s - d.s AS balance FROM credits c JOIN debits d ON c.account = d.account;
CREATE MATERIALIZED VIEW total AS SELECT count(*) AS accounts, sum(balance) AS s FROM balances;
CREATE MATERIALIZED VIEW copies AS SELECT id, amount FROM transfers";

/// With one worker and with four.
pub fn trials() -> Vec<Trial> {
    let trial = |mode: Mode| crate::trial(format!("consistency::transfers_{}", mode.name()), transfers(mode));
    vec![trial(Mode::One), trial(Mode::Four)]
}

async fn open(database: &Arc<Database>) -> Result<Connection, String> {
    Connection::open(&database.uri(), None).await.map_err(|e| e.to_string())
}

async fn transfers(mode: Mode) -> Result<(), String> {
    let database = Database::start(mode).await?;
    let result = scenario(&database).await;
    database.stop().await;
    result
}

async fn scenario(database: &Arc<Database>) -> Result<(), String> {
    let setup = open(database).await?;
    setup.client.batch_execute(SCHEMA).await.map_err(|e| format!("{e:?}"))?;
    // Each account owes itself nothing, so that it is there on both sides of the join.
    let own: Vec<String> = (0..10).map(|a| format!("({a}, {a}, {a}, 0)")).collect();
    setup.query(&format!("INSERT INTO transfers VALUES {}", own.join(", "))).await.map_err(|e| e.to_string())?;
    let writing = Arc::new(AtomicBool::new(true));
    let polls = Arc::new(AtomicU64::new(0));
    let mut tasks: Vec<tokio::task::JoinHandle<Result<(), String>>> = Vec::new();
    for _ in 0..2 {
        tasks.push(tokio::spawn(poll(open(database).await?, writing.clone(), polls.clone())));
    }
    let last = Arc::new(AtomicU64::new(u64::MAX));
    for view in ["balances", "total"] {
        tasks.push(tokio::spawn(follow(open(database).await?, view, last.clone())));
    }
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(open(database).await?, open(database).await?, writer)));
    }
    let mut outcome = Ok(());
    for writer in writers {
        outcome = outcome.and(writer.await.map_err(|e| e.to_string())?);
    }
    writing.store(false, Ordering::SeqCst);
    setup.query("FLUSH").await.map_err(|e| e.to_string())?;
    let epoch =
        setup.query("SELECT epoch FROM highwater.views WHERE name = 'total'").await.map_err(|e| e.to_string())?;
    last.store(epoch.rows[0][0].parse().map_err(|_| "no epoch")?, Ordering::SeqCst);
    // One more change, which changes no balance but moves the subscribers past that epoch.
    let nudge = "INSERT INTO transfers VALUES (-1, 0, 1, 1), (-2, 1, 0, 2)";
    setup.query(nudge).await.map_err(|e| e.to_string())?;
    for task in tasks {
        outcome = outcome.and(task.await.map_err(|e| e.to_string())?);
    }
    outcome?;
    if polls.load(Ordering::SeqCst) < 10 { Err("hardly anybody looked".into()) } else { Ok(()) }
}

/// Writes on one connection, and looks with another at what it was told is done.
async fn write(connection: Connection, other: Connection, writer: u64) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(writer);
    let mut mine: BTreeMap<u64, i32> = BTreeMap::new();
    for step in 0..STEPS {
        let id = 1000 + writer * 10_000 + step;
        let (src, dst, amount) = (rng.random_range(0..10), rng.random_range(0..10), rng.random_range(1..100));
        let some = mine.keys().copied().nth(rng.random_range(0..mine.len().max(1)));
        let (sql, id) = match (rng.random_range(0..10), some) {
            (5..=7, Some(id)) => {
                mine.insert(id, amount);
                (format!("UPDATE transfers SET amount = {amount}, dst = {dst} WHERE id = {id}"), id)
            }
            (8.., Some(id)) => {
                mine.remove(&id);
                (format!("DELETE FROM transfers WHERE id = {id}"), id)
            }
            _ => {
                mine.insert(id, amount);
                (format!("INSERT INTO transfers VALUES ({id}, {src}, {dst}, {amount})"), id)
            }
        };
        connection.query(&sql).await.map_err(|e| format!("{sql}: {e}"))?;
        for relation in ["transfers", "copies"] {
            let seen = other.query(&format!("SELECT amount FROM {relation} WHERE id = {id}")).await;
            let seen = seen.map_err(|e| e.to_string())?.rows.first().map(|row| row[0].clone());
            let expected = mine.get(&id).map(ToString::to_string);
            if seen != expected {
                return Err(format!("after {sql}: {relation} shows {seen:?} to another connection"));
            }
        }
    }
    Ok(())
}

async fn poll(connection: Connection, writing: Arc<AtomicBool>, polls: Arc<AtomicU64>) -> Result<(), String> {
    let queries = [
        "SELECT accounts, s FROM total",
        "SELECT count(*), sum(balance) FROM balances",
        "SELECT (SELECT count(*) FROM balances), (SELECT s FROM total)",
        "SELECT (SELECT count(*) FROM credits), (SELECT sum(s) FROM credits) - (SELECT sum(s) FROM debits)",
    ];
    while writing.load(Ordering::SeqCst) {
        for query in queries {
            let rows = connection.query(query).await.map_err(|e| format!("{query}: {e}"))?.rows;
            if rows != [["10", "0"]] {
                return Err(format!("{query} gave {rows:?}"));
            }
            polls.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Adds up what a subscription pushes; at the end of every epoch the sum must be right.
async fn follow(connection: Connection, view: &str, last: Arc<AtomicU64>) -> Result<(), String> {
    let sql = format!("COPY (SUBSCRIBE {view} WITH (PROGRESS)) TO STDOUT");
    let mut stream = std::pin::pin!(connection.client.copy_out(&sql).await.map_err(|e| format!("{e:?}"))?);
    let mut rows: BTreeMap<String, i64> = BTreeMap::new();
    let mut rest = String::new();
    let mut epochs = 0;
    while let Some(piece) = stream.next().await {
        rest.push_str(&String::from_utf8_lossy(&piece.map_err(|e| format!("{e:?}"))?));
        while let Some(end) = rest.find('\n') {
            let line: String = rest.drain(..=end).collect();
            let fields: Vec<&str> = line.trim_end().splitn(4, '\t').collect();
            let epoch: u64 = fields[0].parse().map_err(|_| format!("bad line {line:?}"))?;
            if fields[1] == "t" {
                whole(view, &rows, epoch)?;
                epochs += 1;
                if epoch >= last.load(Ordering::SeqCst) {
                    return if epochs > 5 { Ok(()) } else { Err(format!("only {epochs} epochs of {view}")) };
                }
            } else {
                let diff: i64 = fields[2].parse().map_err(|_| format!("bad line {line:?}"))?;
                *rows.entry(fields[3].to_owned()).or_default() += diff;
                rows.retain(|_, weight| *weight != 0);
            }
        }
    }
    Err(format!("the subscription to {view} ended by itself"))
}

fn whole(view: &str, rows: &BTreeMap<String, i64>, epoch: u64) -> Result<(), String> {
    let right = match view {
        "total" => rows.len() == 1 && rows.get("10\t0") == Some(&1),
        _ => {
            let balance = |row: &String| row.split('\t').nth(1).and_then(|b| b.parse::<i64>().ok()).unwrap_or(i64::MIN);
            rows.len() == 10 && rows.values().all(|w| *w == 1) && rows.keys().map(balance).sum::<i64>() == 0
        }
    };
    if right { Ok(()) } else { Err(format!("{view} after epoch {epoch}: {rows:?}")) }
}
