//! Random histories against random views: after every FLUSH the oracle compares, sometimes the workers are replaced by
//! another number of them, and at the end the log is replayed.
//!
//! A failure prints its seed and the script that led to it; `HIGHWATER_SEEDS=17..18 cargo test --test sql -- random` runs
//! that seed again, `HIGHWATER_SEEDS=1000..2000` a thousand others.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater::runtime::ReadMode;
use libtest_mimic::Trial;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// Seeds of an ordinary run, and how many of them one trial takes.
pub const SEEDS: std::ops::Range<u64> = 0..12;
const CHUNK: u64 = 2;

const EQUAL_JSONB: [&str; 8] =
    ["'1'", "'1.0'", "'[1, {\"a\": 2.50}]'", "'1.00'", "'[1.0, {\"a\": 2.5}]'", "'\"1.0\"'", "'2'", "NULL"];
const EQUAL_INTERVALS: [&str; 7] =
    ["'1 mon'", "'30 days'", "'720 hours'", "'-1 day'", "'-24 hours'", "'1 hour'", "NULL"];

/// Some trials of several seeds each.
pub fn trials() -> Vec<Trial> {
    let range = std::env::var("HIGHWATER_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    let range: std::ops::Range<u64> = range.unwrap_or(SEEDS);
    let chunks = range.clone().step_by(usize::try_from(CHUNK).unwrap_or(1));
    let trial = |from: u64| {
        let to = (from + CHUNK).min(range.end);
        crate::trial(format!("random::seeds_{from:04}_to_{to:04}"), async move {
            for seed in from..to {
                run(seed).await?;
            }
            Ok(())
        })
    };
    chunks.map(trial).collect()
}

/// One history. Errors: what differs, with the seed and the script.
pub async fn run(seed: u64) -> Result<(), String> {
    let mut history = History::new(seed).await?;
    let result = history.play().await;
    history.database.stop().await;
    let script = &history.script;
    result.map_err(|e| format!("seed {seed}: {e}\n---- the script of seed {seed} ----\n{script}"))
}

/// A table of the history; its rows have an id that is unique among those that exist.
struct Table {
    name: String,
    key: bool,
    append_only: bool,
    ids: Vec<i64>,
}

struct History {
    rng: SmallRng,
    database: Arc<Database>,
    connection: Connection,
    script: String,
    tables: Vec<Table>,
    /// Views with the columns k, v, d, j, i, ts, and whether ts keeps its watermark.
    sources: Vec<String>,
    views: usize,
    /// Views whose windows become final one day.
    final_views: Vec<String>,
    /// Views that show nothing, not even an error, when all rows that can be deleted are.
    undone_views: Vec<String>,
    refused: usize,
    next_id: i64,
    /// Event time, in seconds, of what comes next in order.
    clock: i64,
    /// What `clock` counts from, in seconds since 1970: some histories begin shortly before.
    base: i64,
}

impl History {
    async fn new(seed: u64) -> Result<Self, String> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mode = [Mode::One, Mode::Four, Mode::OneRow, Mode::Replay][rng.random_range(0..4)];
        let database = Database::start(mode).await?;
        let connection = Connection::open(&database.uri(), Some(database.clone())).await.map_err(|e| e.to_string())?;
        let base = if rng.random_bool(0.25) { -40 } else { 1_767_225_600 };
        let (script, tables, sources) = (format!("-- mode {}\n", mode.name()), Vec::new(), Vec::new());
        Ok(Self {
            rng,
            database,
            connection,
            script,
            tables,
            sources,
            views: 0,
            final_views: Vec::new(),
            undone_views: Vec::new(),
            refused: 0,
            next_id: 0,
            clock: 0,
            base,
        })
    }

    async fn play(&mut self) -> Result<(), String> {
        for i in 0..self.rng.random_range(1..=3) {
            self.create_table(i).await?;
        }
        let early = self.rng.random_range(2..=5);
        for _ in 0..early {
            self.create_view().await?;
        }
        let steps = self.rng.random_range(12..28);
        let mut gap = 1;
        for step in 0..steps {
            self.step().await?;
            if self.rng.random_bool(0.06) {
                self.create_view().await?;
            }
            if step % gap == 0 {
                gap = (gap * 2).min(5);
                self.flush().await?;
            }
        }
        self.create_view().await?;
        self.flush().await?;
        self.pass_all_time().await?;
        self.undo().await?;
        if self.views == 0 {
            return Err(format!("all {} views were refused", self.refused));
        }
        if self.database.comparisons() == 0 {
            return Err("the oracle had nothing to compare".into());
        }
        self.database.finish().await
    }

    async fn run(&mut self, sql: &str) -> Result<(), String> {
        let _ = writeln!(self.script, "{sql};");
        self.database.note(sql);
        let limit = Duration::from_secs(30);
        match tokio::time::timeout(limit, self.connection.query(sql)).await {
            Ok(result) => result.map(|_| ()).map_err(|e| format!("{sql}: {e}")),
            Err(_) => Err(format!("{sql}: no answer after {limit:?}")),
        }
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.run("FLUSH").await?;
        self.database.flushed().await?;
        if self.rng.random_bool(0.15) {
            let workers = self.rng.random_range(1..=4);
            let _ = writeln!(self.script, "-- restart with {workers} workers");
            self.database.engine.restart(workers).await.map_err(|e| format!("restart: {e:?}"))?;
        }
        Ok(())
    }

    /// Lets event time end: every window closes and becomes final, and nothing of it is kept.
    async fn pass_all_time(&mut self) -> Result<(), String> {
        for i in 0..self.tables.len() {
            self.run(&format!("SELECT highwater.advance_watermark('t{i}', TIMESTAMP '9999-01-01 00:00:00')")).await?;
        }
        self.run("FLUSH").await?;
        self.database.flushed().await?;
        let limit = Instant::now() + Duration::from_secs(10);
        for view in self.final_views.clone() {
            // Figures come a moment later than their epoch.
            while self.rows_of_windows(&view).await? > 0 {
                if Instant::now() > limit {
                    return Err(format!("view \"{view}\" keeps state of windows that are final"));
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Deletes whatever can be deleted: the errors of rows go with them.
    async fn undo(&mut self) -> Result<(), String> {
        for i in 0..self.tables.len() {
            if !self.tables[i].append_only {
                self.run(&format!("DELETE FROM t{i}")).await?;
            }
        }
        self.run("FLUSH").await?;
        self.database.flushed().await?;
        let engine = &self.database.engine;
        let snapshot = engine.runtime.snapshot(ReadMode::Acknowledged).await.map_err(|e| format!("{e:?}"))?;
        for view in engine.inspect_views().map_err(|e| format!("{e:?}"))? {
            let errors = snapshot.standing_errors(view.object.id);
            if errors > 0 && self.undone_views.contains(&view.object.name) {
                return Err(format!("view \"{}\" has {errors} errors of rows that are gone", view.object.name));
            }
        }
        Ok(())
    }

    /// Rows that a view's windowed aggregate, its last, has in its state.
    async fn rows_of_windows(&self, view: &str) -> Result<u64, String> {
        let status = self.database.engine.runtime.status().await.map_err(|e| format!("{e:?}"))?;
        let own = status.operators.iter().filter(|o| o.view_name == view && o.name == "Aggregate");
        let last = own.clone().map(|o| o.node).max();
        Ok(own.filter(|o| Some(o.node) == last).map(|o| o.state_rows).sum())
    }

    async fn create_table(&mut self, i: usize) -> Result<(), String> {
        let (key, append_only) = (self.rng.random_bool(0.5), self.rng.random_bool(0.2));
        let delay = [0, 0, 5, 20][self.rng.random_range(0..4)];
        let name = format!("t{i}");
        let sql = format!(
            "CREATE TABLE {name} (id INT{}, k TEXT, v INT, d DOUBLE PRECISION, ts TIMESTAMP, j JSONB, i INTERVAL, \
             WATERMARK FOR ts AS ts - INTERVAL '{delay}' SECOND){}",
            if key { " PRIMARY KEY" } else { "" },
            if append_only { " APPEND ONLY" } else { "" }
        );
        self.tables.push(Table { name, key, append_only, ids: Vec::new() });
        self.run(&sql).await
    }

    async fn create_view(&mut self) -> Result<(), String> {
        let name = format!("v{}", self.views);
        let (query, reusable) = self.query();
        let sql = format!("CREATE MATERIALIZED VIEW {name} AS {query}");
        match self.run(&sql).await {
            Ok(()) => {
                self.views += 1;
                let lasting = self.tables.iter().filter(|t| t.append_only).any(|t| query.contains(&t.name));
                let views = (0..self.views - 1).map(|i| format!("v{i}"));
                let on_lasting = views.filter(|v| !self.undone_views.contains(v)).any(|v| query.contains(&v));
                if query.contains("ALLOW LATENESS") || query.contains("EMIT ON WINDOW CLOSE") {
                    self.final_views.push(name.clone());
                } else if !lasting && !on_lasting {
                    self.undone_views.push(name.clone());
                }
                if reusable {
                    self.sources.push(name);
                }
                Ok(())
            }
            // A shape that lost its watermark, or is not built: refused by name, and never a reason to fail otherwise.
            Err(error) if error.contains("ERROR 0A000") => {
                let _ = writeln!(self.script, "-- refused: {error}");
                self.refused += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.random_range(0..from.len())]
    }

    fn table(&mut self) -> String {
        let i = self.rng.random_range(0..self.tables.len());
        self.tables[i].name.clone()
    }

    /// One in eight fails where v is 0, which is an error of that row alone.
    fn predicate(&mut self) -> String {
        if self.rng.random_bool(0.125) { "12 / v < 5".into() } else { self.safe_predicate() }
    }

    fn safe_predicate(&mut self) -> String {
        let n = self.rng.random_range(0..5);
        match self.rng.random_range(0..7) {
            0 => format!("v > {n}"),
            1 => format!("v <= {n}"),
            2 => "k <> 'b'".into(),
            3 => "k IS NOT NULL".into(),
            4 => format!("d < {n}.5"),
            5 => format!("v IS NULL OR v <> {n}"),
            _ => format!("k IN ('a', 'c') AND v < {n}"),
        }
    }

    /// Something with the columns k, v, d, j, i, ts, fit for FROM.
    fn source(&mut self, depth: usize) -> String {
        let choice = self.rng.random_range(0..if depth == 0 { 3 } else { 9 });
        match choice {
            0 | 1 => self.table(),
            2 if !self.sources.is_empty() => {
                let i = self.rng.random_range(0..self.sources.len());
                self.sources[i].clone()
            }
            2 => self.table(),
            3 => {
                let (from, p) = (self.source(depth - 1), self.predicate());
                format!("(SELECT k, v, d, j, i, ts FROM {from} s WHERE {p})")
            }
            4 => {
                let (a, b) = (self.source(depth - 1), self.source(depth - 1));
                format!("(SELECT k, v, d, j, i, ts FROM {a} x UNION ALL SELECT k, v, d, j, i, ts FROM {b} y)")
            }
            5 => format!("(SELECT DISTINCT k, v, d, j, i, ts FROM {} s)", self.source(depth - 1)),
            6 => format!(
                "(SELECT k, max(v) AS v, min(d) AS d, j, max(i) AS i, ts FROM {} s GROUP BY k, j, ts)",
                self.source(depth - 1)
            ),
            _ => {
                let shift = self.rng.random_range(-10..=10);
                format!(
                    "(SELECT upper(k) AS k, v + 1 AS v, -d AS d, j, i, ts + INTERVAL '{shift}' SECOND AS ts FROM {} s)",
                    self.source(depth - 1)
                )
            }
        }
    }

    fn aggregates(&mut self) -> String {
        let all = [
            "count(*) AS n",
            "count(v) AS c",
            "sum(v) AS s",
            "min(v) AS lo",
            "max(v) AS hi",
            "avg(v) AS a",
            "sum(d) AS sd",
            "min(d) AS dlo",
            "max(k) AS mk",
            "count(*) FILTER (WHERE v > 2) AS f",
            "count(DISTINCT v) AS dv",
            "count(DISTINCT k) FILTER (WHERE v > 1) AS dk",
            "sum(DISTINCT v) AS sv",
            "avg(DISTINCT d) AS ad",
            "stddev_pop(d) AS pd",
            "variance(v) AS vv",
            "corr(d, v) AS co",
            "bool_and(v > 1) AS ba",
            "bit_or(v) AS bo",
            "string_agg(k, ',' ORDER BY v DESC) AS sk",
            "array_agg(v ORDER BY k, v) AS av",
            "array_agg(DISTINCT d) AS dd",
            "last_value(v ORDER BY ts) AS lv",
            "approx_distinct(d) AS ap",
            "count(DISTINCT j) AS dj",
            "array_agg(DISTINCT i) AS di",
        ];
        let from = self.rng.random_range(0..all.len() - 2);
        let to = self.rng.random_range(from + 1..=all.len());
        all[from..to].join(", ")
    }

    /// A query with its clauses, and whether views may be built on it as a source.
    fn query(&mut self) -> (String, bool) {
        match self.rng.random_range(0..12) {
            0 => {
                let (from, p) = (self.source(1), self.predicate());
                (format!("SELECT k, v, d, j, i, ts FROM {from} s WHERE {p}"), true)
            }
            1 => {
                let (aggregates, from) = (self.aggregates(), self.source(2));
                let having = self.pick(&["", " HAVING count(*) > 1", " HAVING min(v) IS NOT NULL"]);
                let key = self.pick(&["k", "v", "k, v", "d", "j", "i", "k, i"]);
                (format!("SELECT {key}, {aggregates} FROM {from} s GROUP BY {key}{having}"), false)
            }
            2 => {
                let (aggregates, from) = (self.aggregates(), self.source(2));
                (format!("SELECT {aggregates} FROM {from} s"), false)
            }
            3 => {
                let (a, b) = (self.source(1), self.source(1));
                let on = self.pick(&[
                    "a.k = b.k",
                    "a.v = b.v",
                    "a.k = b.k AND a.v = b.v",
                    "a.ts = b.ts",
                    "a.d = b.d",
                    "a.j = b.j",
                    "a.i = b.i",
                ]);
                let p = self.pick(&["", " WHERE a.v < 4", " WHERE a.d <= b.d"]);
                (format!("SELECT a.k, a.v, b.d, a.j, b.i, a.ts FROM {a} a JOIN {b} b ON {on}{p}"), true)
            }
            4 => {
                let key = self.pick(&["k, v", "d", "j, i"]);
                (format!("SELECT DISTINCT {key} FROM {} s", self.source(2)), false)
            }
            5 => {
                let (a, b) = (self.source(1), self.source(1));
                (format!("SELECT k, v, d, j, i, ts FROM {a} x UNION ALL SELECT k, v, d, j, i, ts FROM {b} y"), true)
            }
            6 => {
                let a = self.source(1);
                let b = self.source(1);
                (
                    format!(
                        "SELECT x.k, x.n, y.s FROM (SELECT k, count(*) AS n FROM {a} s GROUP BY k) x \
                         JOIN (SELECT k, sum(v) AS s FROM {b} s GROUP BY k) y ON x.k = y.k"
                    ),
                    false,
                )
            }
            _ => (self.windowed(), false),
        }
    }

    fn windowed(&mut self) -> String {
        let from = self.source(2);
        let window = match self.rng.random_range(0..3) {
            0 => format!("HOP({from}, ts, INTERVAL '10' SECOND, INTERVAL '30' SECOND)"),
            1 => format!("HOP({from}, ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND)"),
            _ => format!("TUMBLE({from}, ts, INTERVAL '{}' SECOND)", self.pick(&["10", "20", "60"])),
        };
        let aggregates = self.aggregates();
        let key = self.pick(&[
            "window_start, window_end",
            "window_start, window_end, k",
            "window_end, v, window_start",
            "window_start, window_end, i",
        ]);
        let having = self.pick(&["", "", " HAVING count(*) > 1"]);
        let p = if self.rng.random_bool(0.2) { format!(" WHERE {}", self.predicate()) } else { String::new() };
        let clause = self.pick(&[
            "",
            " ALLOW LATENESS INTERVAL '0' SECOND",
            " EMIT ON UPDATE ALLOW LATENESS INTERVAL '15' SECOND",
            " EMIT ON WINDOW CLOSE",
            " EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '10' SECOND",
            " EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '25' SECOND",
        ]);
        format!("SELECT {key}, {aggregates} FROM {window} w{p} GROUP BY {key}{having}{clause}")
    }

    async fn step(&mut self) -> Result<(), String> {
        let transaction = self.rng.random_bool(0.2);
        if transaction {
            self.run("BEGIN").await?;
        }
        for _ in 0..if transaction { self.rng.random_range(2..4) } else { 1 } {
            let sql = self.statement();
            self.run(&sql).await?;
        }
        if transaction { self.run("COMMIT").await } else { Ok(()) }
    }

    fn statement(&mut self) -> String {
        let t = self.rng.random_range(0..self.tables.len());
        let name = self.tables[t].name.clone();
        let roll =
            if self.tables[t].append_only || self.tables[t].ids.is_empty() { 0 } else { self.rng.random_range(0..100) };
        match roll {
            0..=61 => self.insert(t),
            62..=81 => {
                let set = match self.rng.random_range(0..5) {
                    0 => "v = v + 1".to_owned(),
                    1 => format!("k = '{}', d = d + 0.25", self.pick(&["a", "b", "c"])),
                    2 => format!("ts = ts + INTERVAL '{}' SECOND", self.rng.random_range(-20..20)),
                    3 => "v = NULL".to_owned(),
                    _ => format!("d = {}.5, v = {}", self.rng.random_range(0..4), self.rng.random_range(0..5)),
                };
                let p = self.target(t);
                format!("UPDATE {name} SET {set} WHERE {p}")
            }
            82..=97 => {
                let p = self.target(t);
                format!("DELETE FROM {name} WHERE {p}")
            }
            _ => {
                self.tables[t].ids.clear();
                format!("DELETE FROM {name}")
            }
        }
    }

    fn target(&mut self, t: usize) -> String {
        let ids = &self.tables[t].ids;
        let id = ids[self.rng.random_range(0..ids.len())];
        match self.rng.random_range(0..3) {
            0 => format!("id = {id}"),
            1 => format!("id BETWEEN {} AND {id}", id - 3),
            _ => self.safe_predicate(),
        }
    }

    fn timestamp(&self, at: i64) -> String {
        let at = chrono::DateTime::from_timestamp(self.base + at, 0).unwrap_or_default();
        at.format("'%Y-%m-%d %H:%M:%S'").to_string()
    }

    fn insert(&mut self, t: usize) -> String {
        let rows = if self.rng.random_bool(0.5) { 1 } else { self.rng.random_range(1..=20) };
        let mut values = Vec::new();
        for _ in 0..rows {
            self.clock += self.rng.random_range(0..4);
            let behind = if self.rng.random_bool(0.15) { self.rng.random_range(1..60) } else { 0 };
            let at = (self.clock - behind).max(0);
            let at = self.timestamp(at);
            let k = self.pick(&["'a'", "'b'", "'c'", "'d'", "''", "NULL"]);
            let v = self.pick(&["0", "1", "2", "3", "4", "5", "NULL"]);
            let mut d = self.pick(&["0", "0.25", "0.5", "1.75", "-2.5", "NULL"]);
            let ts = if self.rng.random_bool(0.02) { "NULL".into() } else { at };
            let id = self.next_id;
            self.next_id += 1;
            // Values that are equal and not the same.
            d = match (d, id % 4, id % 29) {
                ("0", 0, _) => "'-0'",
                (_, _, 7) => "'NaN'",
                (d, ..) => d,
            };
            let j = EQUAL_JSONB[id as usize * 7 % EQUAL_JSONB.len()];
            let i = EQUAL_INTERVALS[id as usize * 5 % EQUAL_INTERVALS.len()];
            self.tables[t].ids.push(id);
            values.push(format!("({id}, {k}, {v}, {d}, {ts}, {j}, {i})"));
        }
        let table = &self.tables[t];
        // Now and then a row whose key may exist.
        let again = table.key && !table.append_only && self.rng.random_bool(0.15);
        let name = table.name.clone();
        if again {
            let id = table.ids[self.rng.random_range(0..table.ids.len())];
            let at = self.timestamp(self.clock);
            return format!(
                "INSERT INTO {name} (id, k, v, d, ts) VALUES ({id}, 'z', 9, 9.25, {at}) \
                 ON CONFLICT (id) DO UPDATE SET v = excluded.v, ts = excluded.ts"
            );
        }
        format!("INSERT INTO {name} VALUES {}", values.join(", "))
    }
}
