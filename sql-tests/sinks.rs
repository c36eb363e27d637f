//! Sinks across the lives of a server, and what is wrong with their folders; what they wrote, for the test that kills it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::connection::Connection;
use crate::database::{Database, Mode};
use crate::trial;

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("sinks::go_on_after_a_restart", go_on_after_a_restart()),
        trial("sinks::parts_belong_to_their_readers", parts_belong_to_their_readers()),
        trial("sinks::a_folder_that_is_away", a_folder_that_is_away()),
        trial("sinks::another_file_root", another_file_root()),
        trial("sinks::an_older_copy_of_the_data_directory", an_older_copy()),
        trial("sinks::a_manifest_that_is_gone", a_manifest_that_is_gone()),
        trial("sinks::parts_roll_by_time_rows_and_bytes", parts_roll()),
    ]
}

/// The lines of a sink's parts, in order. Each part tells its epochs by its name, and none is told twice; with hw_epoch in
/// front of the lines, they lie in their part.
pub fn lines(folder: &Path, prefix: &str, ending: &str, tells_epochs: bool) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(text)? {
        let name = entry.map_err(text)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{prefix}-")) && name.ends_with(&format!(".{ending}")) {
            names.push(name);
        }
    }
    names.sort();
    let (mut lines, mut through) = (Vec::new(), None);
    for name in names {
        let epochs = &name[prefix.len() + 1..name.len() - ending.len() - 1];
        let (first, last) = epochs.split_once('-').ok_or_else(|| format!("{name}: no epochs"))?;
        let (first, last): (u64, u64) = (first.parse().map_err(text)?, last.parse().map_err(text)?);
        if first > last || through.is_some_and(|through| first <= through) {
            return Err(format!("{name} comes after a part up to epoch {through:?}"));
        }
        through = Some(last);
        let whole = std::fs::read_to_string(folder.join(&name)).map_err(text)?;
        if !whole.ends_with('\n') {
            return Err(format!("{name} is half a part"));
        }
        for line in whole.lines() {
            let epoch = line.split('|').next().and_then(|epoch| epoch.parse::<u64>().ok());
            if tells_epochs && !epoch.is_some_and(|epoch| first <= epoch && epoch <= last) {
                return Err(format!("{name} has a line that is none of its: {line}"));
            }
            lines.push(line.to_owned());
        }
    }
    Ok(lines)
}

/// The lines of an UPSERT sink (hw_epoch, hw_state, then the row, whose first value is its key; `|` between) against what a
/// subscription said of the same view (rows with tabs between, by epoch), after the epoch at which it began.
pub fn compare_upserts(lines: &[String], told: &BTreeMap<u64, Vec<(String, i64)>>, began: u64) -> Result<()> {
    let key = |row: &str| row.split('\t').next().unwrap_or_default().to_owned();
    let mut written: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for line in lines {
        let (epoch, rest) = line.split_once('|').ok_or_else(|| format!("no epoch: {line}"))?;
        let epoch = epoch.parse().map_err(text)?;
        if epoch > began {
            written.entry(epoch).or_default().push(rest.replacen('|', " ", 1).replace('|', "\t"));
        }
    }
    let mut wanted: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (epoch, changes) in told.iter().filter(|(epoch, _)| **epoch > began) {
        let new: BTreeSet<String> = changes.iter().filter(|(_, d)| *d > 0).map(|(row, _)| key(row)).collect();
        let told = changes.iter().filter(|(row, diff)| *diff > 0 || !new.contains(&key(row)));
        let told = told.map(|(row, diff)| format!("{} {row}", if *diff > 0 { "upsert" } else { "delete" }));
        wanted.insert(*epoch, told.collect());
    }
    wanted.values_mut().for_each(|lines| lines.sort());
    written.values_mut().for_each(|lines| lines.sort());
    for epoch in wanted.keys().chain(written.keys()) {
        if wanted.get(epoch) != written.get(epoch) {
            let (wanted, written) = (wanted.get(epoch), written.get(epoch));
            return Err(format!("epoch {epoch}: the subscription says {wanted:?}, the sink {written:?}"));
        }
    }
    Ok(())
}

/// What the lines of an UPSERT sink leave, in order.
pub fn folded(lines: &[String]) -> Result<Vec<String>> {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let mut fields = line.splitn(3, '|');
        let (_, op, row) = (fields.next(), fields.next(), fields.next().unwrap_or_default());
        let key = row.split('|').next().unwrap_or_default().to_owned();
        match op {
            Some("upsert") => drop(rows.insert(key, row.replace('|', "\t"))),
            // The row that goes is the one that was there.
            Some("delete") if rows.get(&key).is_some_and(|was| *was == row.replace('|', "\t")) => {
                rows.remove(&key);
            }
            _ => return Err(format!("{line}: there is {:?}", rows.get(&key))),
        }
    }
    let mut left: Vec<String> = rows.into_values().collect();
    left.sort();
    Ok(left)
}

async fn start(folder: &Path) -> Result<std::sync::Arc<Database>> {
    let config = EngineConfig { workers: 2, data_dir: Some(folder.join("data")), ..EngineConfig::default() };
    Database::with(Mode::One, config).await
}

/// Runs statements on a connection of its own, and gives the values of the last one.
async fn run(database: &Database, statements: &[&str]) -> Result<Vec<String>> {
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    let mut last = Vec::new();
    for statement in statements {
        let rows = connection.query(statement).await.map_err(|e| format!("{statement}: {e:?}"))?.rows;
        last = rows.into_iter().flatten().collect();
    }
    last.extend(connection.take_notices().iter().map(|notice| notice.message().to_owned()));
    Ok(last)
}

/// One life of the directory.
async fn life(folder: &Path, statements: &[&str]) -> Result<Vec<String>> {
    let database = start(folder).await?;
    let found = run(&database, statements).await;
    database.stop().await;
    found
}

fn expect(found: impl std::fmt::Debug + PartialEq<Vec<String>>, wanted: &[&str]) -> Result<()> {
    let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
    if found == wanted { Ok(()) } else { Err(format!("wanted {wanted:?}, found {found:?}")) }
}

fn sink(folder: &Path, options: &str) -> String {
    let path = folder.join("out");
    let path = path.display();
    format!(
        "CREATE SINK k FROM t WITH (connector = 'file', path = '{path}'{options}) FORMAT PLAIN ENCODE CSV (header = 'false')"
    )
}

const TABLE: &str = "CREATE TABLE t (n INT) APPEND ONLY";

/// A stop finishes what is open; the next start goes on behind it. DROP writes the rest.
async fn go_on_after_a_restart() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (path, out) = (folder.path(), folder.path().join("out"));
    let create = sink(path, ", roll_interval = '1 hour'");
    life(path, &[TABLE, "INSERT INTO t VALUES (1)", &create, "INSERT INTO t VALUES (2)"]).await?;
    expect(lines(&out, "k", "csv", false)?, &["1", "2"])?;
    life(path, &["INSERT INTO t VALUES (3)", "ALTER SINK k RENAME TO renamed"]).await?;
    expect(lines(&out, "k", "csv", false)?, &["1", "2", "3"])?;
    let figures = "SELECT status, parts, rows, error FROM highwater.sinks";
    expect(life(path, &[figures]).await?, &["running", "2", "3", "NULL"])?;
    let shown = life(path, &["SHOW CREATE SINK renamed"]).await?;
    if shown.get(1) != Some(&create.replace("SINK k", "SINK renamed")) {
        return Err(format!("SHOW CREATE SINK says {shown:?}"));
    }
    life(path, &["INSERT INTO t VALUES (4)", "DROP SINK renamed", "INSERT INTO t VALUES (5)"]).await?;
    // The log tells of a sink that is gone.
    expect(life(path, &["INSERT INTO t VALUES (6)", "SHOW SINKS"]).await?, &[])?;
    expect(lines(&out, "k", "csv", false)?, &["1", "2", "3", "4"])
}

/// Whoever reads parts may take them away: they do not come again.
async fn parts_belong_to_their_readers() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (path, out) = (folder.path(), folder.path().join("out"));
    life(path, &[TABLE, &sink(path, ""), "INSERT INTO t VALUES (1)", "FLUSH", "INSERT INTO t VALUES (2)"]).await?;
    for entry in std::fs::read_dir(&out).map_err(text)? {
        let entry = entry.map_err(text)?;
        if entry.file_name().to_string_lossy().starts_with('k') {
            std::fs::remove_file(entry.path()).map_err(text)?;
        }
    }
    life(path, &["INSERT INTO t VALUES (3)"]).await?;
    expect(lines(&out, "k", "csv", false)?, &["3"])
}

/// A folder that is not there is waited for, and writers are not.
async fn a_folder_that_is_away() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (path, out, hidden) = (folder.path(), folder.path().join("out"), folder.path().join("hidden"));
    let status = "SELECT status, error LIKE '%No such file or directory' FROM highwater.sinks";
    let database = start(path).await?;
    run(&database, &[TABLE, &sink(path, ""), "INSERT INTO t VALUES (1)", "FLUSH"]).await?;
    std::fs::rename(&out, &hidden).map_err(text)?;
    let told = run(&database, &["INSERT INTO t VALUES (2)", "FLUSH"]).await?;
    if !told.iter().any(|told| told.starts_with("sink \"k\" has not written everything")) {
        return Err(format!("FLUSH said {told:?}"));
    }
    expect(run(&database, &[status]).await?, &["retrying", "t"])?;
    std::fs::rename(&hidden, &out).map_err(text)?;
    expect(run(&database, &["INSERT INTO t VALUES (3)", "FLUSH"]).await?, &[])?;
    expect(run(&database, &["SELECT status, rows FROM highwater.sinks"]).await?, &["running", "3"])?;
    database.stop().await;
    // A server starts without it, too.
    std::fs::rename(&out, &hidden).map_err(text)?;
    let database = start(path).await?;
    run(&database, &["INSERT INTO t VALUES (4)", "FLUSH"]).await?;
    expect(run(&database, &[status]).await?, &["retrying", "t"])?;
    database.stop().await;
    let database = start(path).await?;
    run(&database, &["INSERT INTO t VALUES (5)"]).await?;
    std::fs::rename(&hidden, &out).map_err(text)?;
    expect(run(&database, &["FLUSH"]).await?, &[])?;
    database.stop().await;
    expect(lines(&out, "k", "csv", false)?, &["1", "2", "3", "4", "5"])
}

/// A server that may not write there any more starts, and says so; another one that may goes on.
async fn another_file_root() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (path, out) = (folder.path(), folder.path().join("out"));
    life(path, &[TABLE, &sink(path, ""), "INSERT INTO t VALUES (1)"]).await?;
    let (data_dir, file_root) = (Some(path.join("data")), Some(path.join("data")));
    let config = EngineConfig { data_dir, file_root, ..EngineConfig::default() };
    let database = Database::with(Mode::One, config).await?;
    let status = "SELECT status, error LIKE '%outside of the server''s file root' FROM highwater.sinks";
    let found = run(&database, &["INSERT INTO t VALUES (2)", status]).await;
    database.stop().await;
    expect(found?, &["failed", "t"])?;
    life(path, &["INSERT INTO t VALUES (3)"]).await?;
    expect(lines(&out, "k", "csv", false)?, &["1", "2", "3"])
}

/// Epochs that were written are not taken for others of the same number.
async fn an_older_copy() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (path, out) = (folder.path(), folder.path().join("out"));
    life(path, &[TABLE, &sink(path, ""), "INSERT INTO t VALUES (1)"]).await?;
    let (data, copy) = (path.join("data"), path.join("copy"));
    for folder in [&copy, &copy.join("log")] {
        std::fs::create_dir(folder).map_err(text)?;
    }
    for from in [&data, &data.join("log")] {
        for entry in std::fs::read_dir(from).map_err(text)? {
            let from = entry.map_err(text)?.path();
            let to = copy.join(from.strip_prefix(&data).map_err(text)?);
            if from.is_file() {
                std::fs::copy(&from, to).map_err(text)?;
            }
        }
    }
    life(path, &["INSERT INTO t VALUES (2)", "FLUSH", "INSERT INTO t VALUES (3)"]).await?;
    std::fs::remove_dir_all(&data).and_then(|()| std::fs::rename(&copy, &data)).map_err(text)?;
    let status = "SELECT status, error LIKE 'files up to epoch % are there, and the server knows epochs up to %' \
                  FROM highwater.sinks";
    expect(life(path, &["INSERT INTO t VALUES (4)", status]).await?, &["failed", "t"])?;
    expect(lines(&out, "k", "csv", false)?, &["1", "2", "3"])
}

/// Without it nobody knows what was written: the sink says so, and all else goes on.
async fn a_manifest_that_is_gone() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (path, out) = (folder.path(), folder.path().join("out"));
    life(path, &[TABLE, &sink(path, ""), "INSERT INTO t VALUES (1)"]).await?;
    std::fs::remove_file(out.join(".k.sink")).map_err(text)?;
    let found =
        life(path, &["INSERT INTO t VALUES (2)", "SELECT status, error, (SELECT sum(n) FROM t) FROM highwater.sinks"]);
    let gone = format!("\"{}\" is gone, which says what was written", out.join(".k.sink").display());
    expect(found.await?, &["failed", &gone, "3"])?;
    let told = life(path, &["FLUSH"]).await?;
    if !told.iter().any(|told| told.contains("is gone")) {
        return Err(format!("FLUSH said {told:?}"));
    }
    let again = sink(path, "").replace("out", "other");
    life(path, &["DROP SINK k", &again]).await?;
    expect(lines(&folder.path().join("other"), "k", "csv", false)?, &["1", "2"])
}

/// Parts are done by themselves when they are large, or old.
async fn parts_roll() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let out = folder.path().join("out");
    let database = start(folder.path()).await?;
    let named = |name: &str, options: &str| sink(folder.path(), options).replace("SINK k", &format!("SINK {name}"));
    let long = "roll_interval = '1 hour'";
    let creates = [
        named("by_time", ", rollover_seconds = '0.01'"),
        named("by_rows", &format!(", max_row_count = '1', {long}")),
        named("by_bytes", &format!(", roll_size = '1kB', {long}")),
    ];
    let statements: Vec<&str> = std::iter::once(TABLE).chain(creates.iter().map(String::as_str)).collect();
    run(&database, &statements).await?;
    let status = "SELECT name FROM highwater.sinks WHERE rows < 2000 OR parts < 2 OR queued_bytes > 0";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let insert = "INSERT INTO t SELECT x FROM generate_series(1, 1000) AS g(x)";
    run(&database, &[insert]).await?;
    let first = "SELECT name FROM highwater.sinks WHERE parts < 1";
    for (wanted, then) in [(first, insert), (status, "SELECT 1")] {
        while !run(&database, &[wanted]).await?.is_empty() {
            if tokio::time::Instant::now() > deadline {
                return Err(format!("{wanted} still has rows"));
            }
            tokio::task::yield_now().await;
        }
        run(&database, &[then]).await?;
    }
    database.stop().await;
    for name in ["by_time", "by_rows", "by_bytes"] {
        let count = lines(&out, name, "csv", false)?.len();
        if count != 2000 {
            return Err(format!("{name} has {count} rows"));
        }
    }
    Ok(())
}
