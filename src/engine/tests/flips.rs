//! Any byte of a small data directory, or of a sink's manifest, is flipped: the start says so, or nothing differs.
//!
//! `HIGHWATER_FLIPS=from..to` flips all bytes of this range of all of them, instead of some here and there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{Client, config};
use crate::engine::Engine;
use crate::error::{Error, Result};

const TABLES: &str = "CREATE TABLE t (k INT PRIMARY KEY, v BIGINT); CREATE TABLE j (n INT, s TEXT) APPEND ONLY; \
    CREATE MATERIALIZED VIEW sums AS SELECT v % 3 AS g, count(*) AS c, sum(v) AS s FROM t GROUP BY v % 3; \
    INSERT INTO j VALUES (1, 'one'), (2, 'two'); INSERT INTO t SELECT x, x * 7 FROM generate_series(1, 20) AS g(x)";

/// Everything: the data directory, and what a sink writes.
struct Place {
    folder: TempDir,
    tokio: Runtime,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Result<Arc<Engine>> {
        let _entered = self.tokio.enter();
        let config = config(1, Duration::from_secs(3600));
        Engine::start(crate::config::EngineConfig { data_dir: Some(self.path("live/data")), ..config })
    }

    fn stop(&self, engine: &Engine) {
        let _entered = self.tokio.enter();
        engine.shutdown();
    }

    /// Runs statements, of which the last gives rows.
    fn ask(&self, engine: &Arc<Engine>, sql: &str) -> Vec<String> {
        let answer = self.tokio.block_on(async { Client::connect(engine)?.sorted(sql).await });
        answer.unwrap_or_else(|error: Error| panic!("{sql}: {error}"))
    }

    /// A directory with a log, two checkpoints and something behind them, and a sink.
    fn create() -> Self {
        let tokio = Builder::new_current_thread().enable_time().build().unwrap();
        let place = Self { folder: TempDir::new().unwrap(), tokio };
        fs::create_dir(place.path("live")).unwrap();
        let engine = place.start().unwrap();
        place.ask(&engine, TABLES);
        let out = place.path("live/out");
        let sink = format!(
            "CREATE SINK k FROM j WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE CSV (header = 'false')",
            out.display()
        );
        place.ask(&engine, &format!("{sink}; ALTER SYSTEM SET checkpoint_interval = '1ms'"));
        let count = "SELECT count(*) FROM highwater.checkpoints";
        while place.ask(&engine, count)[0].parse::<usize>().unwrap() < 2 {
            place.ask(&engine, "UPDATE t SET v = v + 1 WHERE k = 3; FLUSH");
        }
        place.ask(&engine, "ALTER SYSTEM SET checkpoint_interval = '1h'");
        place.ask(&engine, "INSERT INTO j VALUES (3, 'three'); DELETE FROM t WHERE k > 18; FLUSH");
        place.stop(&engine);
        copy(&place.path("live"), &place.path("whole"));
        place
    }

    /// As it was at first.
    fn renew(&self) {
        fs::remove_dir_all(self.path("live")).unwrap();
        copy(&self.path("whole"), &self.path("live"));
    }

    fn shown(&self, engine: &Arc<Engine>) -> Vec<Vec<String>> {
        ["SELECT * FROM t", "SELECT * FROM j", "SELECT * FROM sums"].iter().map(|sql| self.ask(engine, sql)).collect()
    }

    /// What the sink has written.
    fn written(&self) -> String {
        let mut files: Vec<_> = fs::read_dir(self.path("live/out")).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
        files.sort();
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Files and their lengths, by path within the folder; without what the sink wrote for others.
fn files(folder: &Path, within: &Path, found: &mut Vec<(PathBuf, usize)>) {
    for entry in fs::read_dir(folder.join(within)).unwrap().map(|entry| entry.unwrap()) {
        let path = within.join(entry.file_name());
        if entry.path().is_dir() {
            files(folder, &path, found);
        } else if path.extension().is_none_or(|ending| ending != "csv") {
            found.push((path, entry.metadata().unwrap().len() as usize));
        }
    }
    found.sort();
}

#[test]
fn a_flipped_byte_is_noticed_or_harmless() {
    let place = Place::create();
    let engine = place.start().unwrap();
    let shown = place.shown(&engine);
    place.stop(&engine);
    assert_eq!(place.written(), "1,one\n2,two\n3,three\n");
    let mut found = vec![];
    files(&place.path("whole"), Path::new(""), &mut found);
    let all: Vec<(&Path, usize)> =
        found.iter().flat_map(|(path, length)| (0..*length).map(move |at| (path.as_path(), at))).collect();
    let range = std::env::var("HIGHWATER_FLIPS").ok();
    let range =
        range.as_deref().and_then(|s| s.split_once("..")).map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
    let ((from, to), step) = range.map_or(((0, all.len()), all.len() / 40), |range: (usize, usize)| (range, 1));
    let (mut noticed, mut harmless) = (0, 0);
    for &(path, at) in all.iter().take(to).skip(from).step_by(step) {
        place.renew();
        let file = place.path("live").join(path);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&file, bytes).unwrap();
        let called = format!("byte {at} of {}", path.display());
        match place.start() {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(&*path.file_name().unwrap().to_string_lossy()), "{called}: {text}");
                noticed += 1;
            }
            Ok(engine) => {
                assert_eq!(place.shown(&engine), shown, "{called}");
                place.ask(&engine, "INSERT INTO j VALUES (4, 'four'); FLUSH");
                let broken = "SELECT error FROM highwater.sinks WHERE status = 'failed'";
                match place.ask(&engine, broken).first() {
                    Some(error) => assert!(error.contains(".k.sink"), "{called}: {error}"),
                    None => assert_eq!(place.written(), "1,one\n2,two\n3,three\n4,four\n", "{called}"),
                }
                place.stop(&engine);
                harmless += 1;
            }
        }
    }
    println!("{noticed} of {} bytes noticed, {harmless} harmless", all.len());
}
