//! Seeded histories of whole databases on disks that fail, tear, delay, fill up, lie and forget.
//!
//! A history is several lives of one data directory. In each, statements are run until the process is gone, in the midst of
//! whatever it asked of the log's disk or of the checkpoints' shelf; then the power may fail. Whatever was acknowledged is
//! there once, what was under way whole or not at all, each view is its query, and epochs never repeat. Where a sync had
//! lied, what is there is what once was, or the start says that the directory is damaged.
//!
//! `HIGHWATER_FAULT_SEEDS=from..to` runs other histories than the first few, `HIGHWATER_FAULT_AT_ONCE=n` so many at once; with
//! `HIGHWATER_FAULT_DONE=FILE` each is noted in the file, with the commit, and left out when it runs again. One that does
//! not end is told, with what all threads do, and ends the process.

mod look;
mod seeds;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::{Client, config, start};
use crate::checkpoint::{MemoryObjects, Objects};
use crate::data::Epoch;
use crate::engine::Engine;
use crate::error::SqlState;
use crate::log::{Luck, MemoryDisk, Odds};
use look::{look, shown};
use seeds::Step;

/// What is created first, one after the other.
const TABLES: [&str; 4] = [
    "CREATE TABLE t (k INT PRIMARY KEY, g INT, v BIGINT)",
    "CREATE TABLE j (n INT, g INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) APPEND ONLY",
    "CREATE TABLE late (n INT, g INT, ts TIMESTAMP)",
    "CREATE SOURCE bid WITH (connector = 'nexmark', stream = 'bid', events = '400')",
];

/// Views that come and go: each is its query at every epoch, but the last, which waits for windows to close.
const VIEWS: [(&str, &str); 10] = [
    ("evens", "SELECT k, v FROM t WHERE v % 2 = 0"),
    ("sums", "SELECT g, count(*) AS c, sum(v) AS s, min(v) AS a, max(v) AS b FROM t GROUP BY g"),
    ("one", "SELECT count(*) AS c, sum(v) AS s FROM t"),
    ("windows", "SELECT window_start, count(*) AS c FROM TUMBLE(j, ts, INTERVAL '10' SECOND) GROUP BY window_start"),
    ("remainders", "SELECT DISTINCT v % 10 AS r FROM t"),
    ("pairs", "SELECT t.k, t.v, j.n FROM t JOIN j ON t.g = j.g AND t.k = j.n"),
    ("together", "SELECT k, g FROM t UNION ALL SELECT n, g FROM j"),
    ("above", "SELECT c, sum(s) AS s FROM sums GROUP BY c"),
    ("bids", "SELECT auction % 5 AS a, count(*) AS c, sum(price) AS s FROM bid GROUP BY auction % 5"),
    (
        "final",
        "SELECT window_end, count(*) AS c FROM TUMBLE(j, ts, INTERVAL '10' SECOND) GROUP BY window_end \
         EMIT ON WINDOW CLOSE LATE ROWS INTO late",
    ),
];

/// How long a statement, or a start, may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the tables hold, and what else there is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    /// How many of [`TABLES`] there are.
    tables: usize,
    t: BTreeMap<i32, (i32, i64)>,
    /// Rows of `j`, numbered from 0.
    j: usize,
    views: BTreeSet<&'static str>,
    /// Columns that `t` was given later.
    columns: usize,
    has_sink: bool,
    paused: BTreeSet<&'static str>,
}

/// One data directory, and what is known of it.
struct History {
    random: SmallRng,
    luck: Luck,
    disk: MemoryDisk,
    objects: MemoryObjects,
    folder: TempDir,
    /// What it is.
    known: Known,
    /// What it may be instead: of what was under way nobody was told.
    instead: Vec<Known>,
    /// All that it ever was.
    past: Vec<Known>,
    /// A sync has said what is not so.
    was_lied_to: bool,
    /// The newest epoch that anybody was told of.
    told: Epoch,
    second: i64,
    /// What happened, newest last.
    story: Vec<String>,
}

/// How a history ended.
#[derive(Debug, Default)]
struct Outcome {
    starts: usize,
    /// Of these: with a checkpoint.
    from_checkpoint: usize,
    statements: usize,
    failed_starts: usize,
    damaged: usize,
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.starts += other.starts;
        self.from_checkpoint += other.from_checkpoint;
        self.statements += other.statements;
        self.failed_starts += other.failed_starts;
        self.damaged += other.damaged;
    }
}

impl History {
    fn new(seed: u64) -> Self {
        let (mut random, luck) = (SmallRng::seed_from_u64(seed), Luck::new(seed));
        Self {
            disk: MemoryDisk::with(luck.clone()),
            objects: MemoryObjects::with(luck.clone()),
            folder: TempDir::new().unwrap(),
            known: Known::default(),
            instead: vec![],
            past: vec![Known::default()],
            was_lied_to: false,
            told: Epoch(0),
            story: vec![],
            second: random.random_range(0..100),
            random,
            luck,
        }
    }

    /// All lives.
    fn run(&mut self, outcome: &mut Outcome, step: &Step) -> Result<(), String> {
        let lies = if self.random.random_bool(0.15) { 0.3 } else { 0.0 };
        let lives = self.random.random_range(2..6);
        for life in 0..=lives {
            let is_last = life == lives;
            let odds = Odds {
                fails: if self.random.random_bool(0.2) { 0.03 } else { 0.0 },
                is_slow: if self.random.random_bool(0.3) { 0.1 } else { 0.0 },
                lies,
            };
            if !is_last {
                self.luck.set(odds);
                if self.random.random_bool(0.7) {
                    let most = [12, 60, 300][self.random.random_range(0..3)];
                    self.luck.die_after(self.random.random_range(1..most));
                }
            }
            match self.life(is_last, outcome, step) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(format!("life {life} of {lives}: {error}")),
            }
            let (_, lied) = self.luck.revive();
            self.was_lied_to |= lied > 0;
            self.story.push(format!("the end of life {life}: {}", self.disk.describe()));
            if self.random.random_bool(0.5) {
                self.story.push("power failed".into());
                self.disk.lose_power(&mut self.random);
                self.objects.lose_power(&mut self.random);
                self.story.push(self.disk.describe());
            } else {
                self.disk.kill();
            }
        }
        Ok(())
    }

    /// One process; false when the directory is damaged, as it may be.
    fn life(&mut self, is_last: bool, outcome: &mut Outcome, step: &Step) -> Result<bool, String> {
        let interval = [1, 20, 100_000][self.random.random_range(0..3)];
        let config = config(self.random.random_range(1..4), Duration::from_millis(interval));
        let file = [600, 5000, 64 << 20][self.random.random_range(0..3)];
        outcome.starts += 1;
        step.begins("a start");
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let entered = tokio.enter();
        let started = start(&self.disk, &self.objects, config.clone(), file);
        drop(entered);
        let engine = match started {
            Ok(engine) => engine,
            Err(error) if self.luck.has_failed() => {
                self.story.push(format!("no start: {error}"));
                outcome.failed_starts += 1;
                return Ok(true);
            }
            Err(error) if self.was_lied_to && error.code() == SqlState::DATA_CORRUPTED => {
                outcome.damaged += 1;
                return Ok(false);
            }
            Err(error) => return Err(format!("no start: {error}")),
        };
        let began = engine.runtime.published();
        self.story.push(format!("life of {} from {began:?}, checkpoints every {interval} ms", config.workers));
        step.begins("looking at what is there");
        let lived = tokio.block_on(async {
            let mut client = Client::connect(&engine).map_err(|e| e.to_string())?;
            let verified = self.verify(&mut client, Some(began), is_last).await;
            match verified {
                Ok(()) => {}
                // It was gone before everything was looked at.
                Err(_) if self.luck.has_failed() => return Ok(()),
                Err(error) => return Err(error),
            }
            let count = if is_last { 3 } else { self.random.random_range(0..20) };
            for _ in 0..count {
                outcome.statements += 1;
                step.begins("a statement");
                if !self.statement(&engine, &mut client, began).await? {
                    return Ok(());
                }
            }
            step.begins("looking again");
            let again = self.verify(&mut client, None, is_last).await;
            if self.luck.has_failed() { Ok(()) } else { again }
        });
        if lived.is_ok() && !self.was_lied_to {
            // What was shown must stay.
            self.told = self.told.max(engine.runtime.published());
        }
        if self.random.random_bool(0.5) {
            // It does not end by itself.
            self.luck.die();
        }
        step.begins("its end");
        let entered = tokio.enter();
        engine.shutdown();
        drop(entered);
        drop(tokio);
        outcome.from_checkpoint += usize::from(self.objects.list().is_ok_and(|names| !names.is_empty()));
        lived.map(|()| true)
    }

    /// Runs one statement; false when the process is gone.
    async fn statement(&mut self, engine: &Engine, client: &mut Client, began: Epoch) -> Result<bool, String> {
        let mut after = self.known.clone();
        let Some(sql) = self.random_statement(&mut after) else { return Ok(true) };
        // A transaction that changes nothing needs no epoch.
        let is_write = (&after.t, after.j) != (&self.known.t, self.known.j);
        let asked = tokio::time::timeout(PATIENCE, client.ask(&sql)).await;
        let asked = asked.map_err(|_| format!("{sql}: no answer; {:?}", self.luck))?;
        let how = asked.as_ref().map_or_else(|e| e.to_string(), |_| format!("{:?}", engine.runtime.acknowledged()));
        self.story.push(format!("{sql}: {how}"));
        match asked {
            Ok(_) => {
                self.known = after;
                self.past.push(self.known.clone());
                let acknowledged = engine.runtime.acknowledged();
                // That in which a view joins is only published.
                let epoch = acknowledged.max(engine.runtime.published());
                if epoch < self.told || (is_write && acknowledged <= began) {
                    return Err(format!("{sql}: epoch {epoch} after {} and {began}", self.told));
                }
                self.told = epoch;
                Ok(true)
            }
            Err(_) if self.luck.has_failed() => {
                self.past.push(after.clone());
                self.instead.push(after);
                Ok(false)
            }
            Err(error) => Err(format!("{sql}: {error}")),
        }
    }

    fn time(&mut self) -> String {
        self.second += self.random.random_range(0..4);
        let late = if self.random.random_bool(0.1) { self.random.random_range(0..60) } else { 0 };
        format!("TIMESTAMP '2026-01-01 00:00:00' + INTERVAL '{}' SECOND", self.second - late)
    }

    fn random_statement(&mut self, known: &mut Known) -> Option<String> {
        if known.tables < TABLES.len() {
            known.tables += 1;
            return Some(TABLES[known.tables - 1].to_owned());
        }
        match self.random.random_range(0..20) {
            0..12 => Some(self.write(known)),
            12 => {
                let all: Vec<String> = (0..3).map(|_| self.write(known)).collect();
                Some(format!("BEGIN; {}; COMMIT", all.join("; ")))
            }
            13..16 => {
                let (name, query) = VIEWS[self.random.random_range(0..VIEWS.len())];
                if known.views.contains(name) {
                    return None;
                }
                if name == "above" && (!known.views.contains("sums") || known.paused.contains("sums")) {
                    return None;
                }
                known.views.insert(name);
                Some(format!("CREATE MATERIALIZED VIEW {name} AS {query}"))
            }
            16 => {
                let name = known.views.iter().nth(self.random.random_range(0..known.views.len().max(1))).copied()?;
                known.views.remove(name);
                known.paused.remove(name);
                if name == "sums" {
                    known.views.remove("above");
                    known.paused.remove("above");
                }
                Some(format!("DROP MATERIALIZED VIEW {name} CASCADE"))
            }
            17 if known.columns < 3 => {
                known.columns += 1;
                Some(format!("ALTER TABLE t ADD COLUMN x{} INT DEFAULT {}", known.columns, known.columns))
            }
            18 if !known.has_sink => {
                known.has_sink = true;
                let out = self.folder.path().join("out");
                // The files of one that a disk which lies has lost are in the way.
                let _ = std::fs::remove_dir_all(&out);
                Some(format!(
                    "CREATE SINK ks FROM j WITH (connector = 'file', path = '{}', roll_interval = '2 ms') \
                     FORMAT PLAIN ENCODE CSV (header = 'false')",
                    out.display()
                ))
            }
            19 => {
                let name = ["evens", "one", "windows"][self.random.random_range(0..3)];
                if !known.views.contains(name) {
                    return None;
                }
                let word = if known.paused.remove(name) { "RESUME" } else { "PAUSE" };
                if word == "PAUSE" {
                    known.paused.insert(name);
                }
                Some(format!("ALTER MATERIALIZED VIEW {name} {word}"))
            }
            _ => Some("FLUSH".into()),
        }
    }

    fn write(&mut self, known: &mut Known) -> String {
        let k = self.random.random_range(0..15);
        match self.random.random_range(0..7) {
            0..2 => {
                let (g, v) = (self.random.random_range(0..3), self.random.random_range(0..100));
                known.t.insert(k, (g, v));
                format!(
                    "INSERT INTO t (k, g, v) VALUES ({k}, {g}, {v}) \
                     ON CONFLICT (k) DO UPDATE SET g = EXCLUDED.g, v = EXCLUDED.v"
                )
            }
            2 => {
                known.t.remove(&k);
                format!("DELETE FROM t WHERE k = {k}")
            }
            3 => {
                let g = self.random.random_range(0..3);
                known.t.values_mut().filter(|row| row.0 == g).for_each(|row| row.1 += 1);
                format!("UPDATE t SET v = v + 1 WHERE g = {g}")
            }
            4 if self.random.random_bool(0.1) => {
                known.t.clear();
                "DELETE FROM t".into()
            }
            _ => {
                let rows = self.random.random_range(1..6);
                let row = |n| format!("({n}, {}, {})", n % 3, self.time());
                let values: Vec<String> = (known.j..known.j + rows).map(row).collect();
                known.j += rows;
                format!("INSERT INTO j VALUES {}", values.join(", "))
            }
        }
    }

    /// Looks whether everything is as it is known to be.
    async fn verify(&mut self, client: &mut Client, began: Option<Epoch>, is_last: bool) -> Result<(), String> {
        if let Some(began) = began.filter(|began| !self.was_lied_to && *began < self.told) {
            return Err(format!("it goes on with epoch {began}, and somebody was told of {}", self.told));
        }
        let there = tokio::time::timeout(PATIENCE, look(client)).await.map_err(|_| "no answer")??;
        let candidates = self.instead.iter().chain([&self.known]);
        let may_be: Vec<&Known> =
            if self.was_lied_to { candidates.chain(&self.past).collect() } else { candidates.collect() };
        let Some(found) = may_be.into_iter().find(|known| there == shown(known)).cloned() else {
            return Err(format!("there is {there:?}, known was {:?}, instead {:?}", self.known, self.instead));
        };
        if let Some(began) = began.filter(|_| self.was_lied_to) {
            self.told = began;
        }
        self.known = found;
        self.instead.clear();
        let checked = tokio::time::timeout(PATIENCE, self.views(client, is_last)).await;
        checked.map_err(|_| "no answer of views")?
    }

    async fn views(&mut self, client: &mut Client, is_last: bool) -> Result<(), String> {
        let is_flushed = is_last || self.random.random_bool(0.4);
        if is_flushed {
            client.ask("FLUSH").await.map_err(|e| format!("FLUSH: {e}"))?;
        }
        for (name, query) in VIEWS.iter().filter(|(name, _)| self.known.views.contains(name)) {
            let rows = match client.sorted(&format!("SELECT * FROM {name}")).await {
                Ok(rows) => rows,
                Err(error) if error.code() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
                    let is_paused = self.known.paused.contains(name);
                    if is_paused || !is_flushed {
                        continue;
                    }
                    return Err(format!("{name}: {error}"));
                }
                Err(error) => return Err(format!("{name}: {error}")),
            };
            if self.known.paused.contains(name) {
                return Err(format!("{name} is to be paused, and shows {rows:?}"));
            }
            if *name == "final" || (*name == "bids" && !is_flushed) {
                continue;
            }
            let batch = client.sorted(query).await.map_err(|e| format!("{query}: {e}"))?;
            if rows != batch {
                return Err(format!("{name} shows {rows:?}, its query gives {batch:?}"));
            }
        }
        if !is_flushed {
            return Ok(());
        }
        if self.known.has_sink && !self.was_lied_to {
            self.sink()?;
        }
        Ok(())
    }

    /// Every row of `j` since it was created, once.
    fn sink(&self) -> Result<(), String> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.folder.path().join("out")).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
        files.sort();
        let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let mut rows: Vec<usize> = text.lines().map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        rows.sort_unstable();
        if rows.iter().copied().eq(0..self.known.j) { Ok(()) } else { Err(format!("the sink has {rows:?}")) }
    }
}

#[test]
fn no_history_gives_a_wrong_answer() {
    let all = Mutex::new(Outcome::default());
    seeds::run(6, |seed, step| {
        let (mut history, mut outcome) = (History::new(seed), Outcome::default());
        let ran = history.run(&mut outcome, step);
        all.lock().add(&outcome);
        ran.map_err(|error| {
            let story = &history.story;
            let newest = story.len().saturating_sub(60);
            format!("{error}\nwhat came before:\n{}", story[newest..].join("\n"))
        })
    });
    println!("{:?}", all.lock());
}
