//! The end of a test in mode replay: the server stops, another one starts on its data directory, with another number of
//! workers, and everything is as it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use highwater::catalog::object::{Kind, Object};
use highwater::config::EngineConfig;
use highwater::engine::{DataDir, Engine};
use highwater::runtime::{ReadMode, Status};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::bag::compare;
use crate::connection::Connection;
use crate::database::{Database, Mode};
use crate::trial;

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// What a server shows when nothing moves.
pub struct Shown {
    objects: BTreeMap<String, (Arc<Object>, Option<Vec<RecordBatch>>)>,
    status: Status,
    errors: usize,
    late_rows: usize,
}

impl Shown {
    /// Of a running engine.
    pub async fn of(engine: &Arc<Engine>) -> Result<Self> {
        let snapshot = engine.runtime.snapshot(ReadMode::Acknowledged).await.map_err(text)?;
        let mut objects = BTreeMap::new();
        let catalog = engine.catalog.snapshot();
        for object in catalog.objects().chain(catalog.sinks()) {
            let is_stored = matches!(object.kind, Kind::Table(_) | Kind::MaterializedView(_));
            // A view that is away from the clock has no rows.
            let version = snapshot.version(object.id, &object.name).ok().filter(|_| is_stored);
            let rows = version.map(|v| v.batches()).transpose().map_err(text)?;
            objects.insert(object.name.clone(), (object.clone(), rows));
        }
        let errors = engine.runtime.errors().await.map_err(text)?.len();
        let late_rows = engine.runtime.late_rows(None).await.map_err(text)?.len();
        Ok(Self { objects, status: engine.runtime.status().await.map_err(text)?, errors, late_rows })
    }

    /// Whether something comes in by itself, so that nobody can say what there will be.
    pub fn moves(&self) -> bool {
        self.status.sources.iter().any(|s| s.status == "running" || s.status == "held")
    }

    /// What differs in what was shown before.
    fn compare(&self, after: &Self) -> Result<()> {
        let names = |shown: &Self| shown.objects.keys().cloned().collect::<Vec<_>>();
        if names(self) != names(after) {
            return Err(format!("there were {:?}, and now there are {:?}", names(self), names(after)));
        }
        for ((name, (before, rows)), (now, again)) in self.objects.iter().zip(after.objects.values()) {
            // Metadata have no order.
            let value = |object: &Object| serde_json::to_value(object).map_err(text);
            if value(before)? != value(now)? {
                return Err(format!("{name} was {before:?}, and is now {now:?}"));
            }
            match (rows, again) {
                (Some(rows), Some(again)) => compare(rows, again).map_err(|e| format!("{name}: {e}"))?,
                (None, None) => {}
                (before, _) => {
                    return Err(format!("{name}: readable only {}", if before.is_some() { "before" } else { "after" }));
                }
            }
        }
        let counters = |shown: &Self| {
            let mut all: Vec<String> = shown
                .status
                .views
                .iter()
                .filter(|v| shown.objects.contains_key(&v.name))
                .map(|v| format!("{} {:?} {:?}", v.name, v.phase, v.counters))
                .collect();
            let marks = &shown.status.watermarks;
            all.extend(
                marks.iter().map(|w| format!("{} {} {:?} {} {}", w.source, w.partition, w.watermark, w.rows, w.late)),
            );
            all.extend(
                shown.status.sources.iter().map(|s| format!("{} {} {} {}", s.name, s.status, s.rows, s.bad_records)),
            );
            all.push(format!("{} errors, {} late rows", shown.errors, shown.late_rows));
            all
        };
        let (before, now) = (counters(self), counters(after));
        if before != now { Err(format!("counted before: {before:#?}; now: {now:#?}")) } else { Ok(()) }
    }
}

/// Starts another engine on the directory and compares; then one that has only the input log.
pub async fn check(before: &Shown, config: &EngineConfig, folder: &Path) -> Result<()> {
    start_and_compare(before, config, folder).await.map_err(|e| format!("after a recovery: {e}"))?;
    std::fs::remove_dir_all(folder.join("checkpoints")).map_err(text)?;
    start_and_compare(before, config, folder).await.map_err(|e| format!("after a recovery without checkpoints: {e}"))
}

async fn start_and_compare(before: &Shown, config: &EngineConfig, folder: &Path) -> Result<()> {
    let config = EngineConfig { workers: 3, data_dir: Some(folder.to_owned()), ..config.clone() };
    let engine = tokio::task::spawn_blocking(move || Engine::start(config)).await.map_err(text)?.map_err(text)?;
    let compared = match Shown::of(&engine).await {
        Ok(after) => before.compare(&after),
        Err(error) => Err(error),
    };
    tokio::task::spawn_blocking(move || engine.shutdown()).await.map_err(text)?;
    compared
}

/// Servers one after the other on one directory.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("recovery::followed_files_go_on", followed_files_go_on(false)),
        trial("recovery::followed_files_go_on_from_a_checkpoint", followed_files_go_on(true)),
        trial("recovery::streams_of_one_auction_house", streams_of_one_auction_house()),
        trial("recovery::other_files_of_a_pattern", other_files_of_a_pattern()),
        trial("recovery::a_lost_file_keeps_nothing_else_from_starting", a_lost_file()),
        trial("recovery::a_lost_file_keeps_no_checkpoint_from_being_taken", checkpoints_without_a_file()),
        trial("recovery::one_server_at_a_time", one_server_at_a_time()),
        trial("recovery::what_was_going_on", what_was_going_on()),
        trial("recovery::what_was_read_back_is_no_larger", what_was_read_back_is_no_larger()),
        trial("recovery::a_clean_stop_leaves_no_log_to_read", a_clean_stop()),
        trial("recovery::views_that_are_still_being_filled", views_that_are_still_being_filled()),
    ]
}

/// One life of the directory: runs statements, and then a query that gives one column. The next one reads the log back.
async fn life(folder: &Path, statements: &[String], query: &str) -> Result<Vec<String>> {
    live(folder, false, statements, query).await
}

/// `last_checkpoint`: the next one begins with a checkpoint of all that.
async fn live(folder: &Path, last_checkpoint: bool, statements: &[String], query: &str) -> Result<Vec<String>> {
    let config =
        EngineConfig { workers: 2, data_dir: Some(folder.join("data")), last_checkpoint, ..EngineConfig::default() };
    let database = Database::with(Mode::One, config).await?;
    let found = ask(&database, statements, query).await;
    database.stop().await;
    found
}

async fn ask(database: &Database, statements: &[String], query: &str) -> Result<Vec<String>> {
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    for statement in statements {
        connection.query(statement).await.map_err(|e| format!("{statement}: {e:?}"))?;
    }
    let rows = connection.query(query).await.map_err(|e| format!("{query}: {e:?}"))?.rows;
    Ok(rows.into_iter().flatten().collect())
}

fn expect(found: Vec<String>, wanted: &[&str]) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(format!("wanted {wanted:?}, found {found:?}")) }
}

fn append(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let file = std::fs::File::options().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| e.to_string())
}

/// Streams that have a pace are read in small steps at first and in large ones from the log: the last events, that no person
/// is among, could not be read back. Views come while the others already read.
async fn streams_of_one_auction_house() -> Result<()> {
    for (events, rate) in [(2344, 20_000), (1046, 10_000), (9_998, 100_000), (40, 1000)] {
        let folder = TempDir::new().map_err(text)?;
        let streams = ["bid", "auction", "person"];
        let options = format!("connector = 'nexmark', events = '{events}', rate = '{rate}'");
        let source = |s: &str| format!("CREATE SOURCE {s} WITH ({options}, stream = '{s}')");
        let view = |s: &str| format!("CREATE MATERIALIZED VIEW {s}s AS SELECT count(*) AS n FROM {s}");
        let mut create: Vec<String> = streams.iter().map(|s| source(s)).collect();
        create.extend(streams.iter().map(|s| view(s)));
        create.extend(["CREATE MATERIALIZED VIEW again AS SELECT count(*) AS n FROM person".into(), "FLUSH".into()]);
        let counts = "SELECT (SELECT n FROM bids) + (SELECT n FROM auctions) + (SELECT n FROM persons) || ' ' || \
                      (SELECT n FROM again)";
        let all = format!("{events} {}", events / 50 + 1);
        expect(life(folder.path(), &create, counts).await?, &[&all])?;
        for _ in 0..2 {
            std::fs::remove_dir_all(folder.path().join("data/checkpoints")).map_err(text)?;
            expect(life(folder.path(), &[], counts).await?, &[&all])?;
        }
    }
    Ok(())
}

/// Files that grow in turn, a header that came alone, half a line, a new file, a renamed one.
async fn followed_files_go_on(last_checkpoint: bool) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let [a, b, c] = ["a.csv", "b.csv", "c.csv"].map(|name| folder.path().join(name));
    append(&a, "n,s\n1,x\n2,")?;
    append(&b, "n,s\n")?;
    let flush = "FLUSH".to_owned();
    let rows = "SELECT n || s FROM v ORDER BY n";
    let source = format!(
        "CREATE SOURCE f (n INT, s VARCHAR) WITH (connector = 'file', path = '{}/*.csv', follow = 'true') \
         FORMAT PLAIN ENCODE CSV",
        folder.path().display()
    );
    let create = [source, "CREATE MATERIALIZED VIEW v AS SELECT n, s FROM f".into(), flush.clone()];
    expect(live(folder.path(), last_checkpoint, &create, rows).await?, &["1x"])?;
    append(&a, "y\n")?;
    append(&b, "3,z\n")?;
    expect(live(folder.path(), last_checkpoint, std::slice::from_ref(&flush), rows).await?, &["1x", "2y", "3z"])?;
    append(&c, "s,n\nw,5\n")?;
    append(&a, "4,v\n")?;
    std::fs::rename(&b, folder.path().join("d.csv")).map_err(text)?;
    append(&folder.path().join("d.csv"), "6,u\n")?;
    let later = "CREATE MATERIALIZED VIEW later AS SELECT count(*) AS n FROM f".to_owned();
    let again = [flush.clone(), later, flush.clone()];
    expect(live(folder.path(), last_checkpoint, &again, rows).await?, &["1x", "2y", "3z", "4v", "5w", "6u"])?;
    append(&c, "t,7\n")?;
    expect(live(folder.path(), last_checkpoint, std::slice::from_ref(&flush), "SELECT n FROM later").await?, &["7"])?;
    expect(live(folder.path(), last_checkpoint, &[flush], rows).await?, &["1x", "2y", "3z", "4v", "5w", "6u", "7t"])
}

/// A source keeps the files that it had when it was first read.
async fn other_files_of_a_pattern() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    append(&folder.path().join("b.csv"), "n\n1\n2\n")?;
    let source = format!(
        "CREATE SOURCE f (n INT) WITH (connector = 'file', path = '{}/*.csv') FORMAT PLAIN ENCODE CSV",
        folder.path().display()
    );
    let create = [source, "CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS n FROM f".into(), "FLUSH".into()];
    expect(life(folder.path(), &create, "SELECT n FROM v").await?, &["3"])?;
    append(&folder.path().join("a.csv"), "n\n4\n")?;
    expect(life(folder.path(), &["FLUSH".into()], "SELECT n FROM v").await?, &["3"])?;
    expect(life(folder.path(), &[], "SELECT sum(n) FROM f").await?, &["3"])
}

async fn a_lost_file() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let file = folder.path().join("a.csv");
    append(&file, "n\n1\n2\n")?;
    let source = format!(
        "CREATE SOURCE f (n INT) WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE CSV",
        file.display()
    );
    let create = [
        "CREATE TABLE t (n INT)".into(),
        source,
        "CREATE MATERIALIZED VIEW lost AS SELECT sum(n) AS n FROM f".into(),
        "CREATE MATERIALIZED VIEW above AS SELECT n + 1 AS n FROM lost".into(),
        "CREATE MATERIALIZED VIEW fine AS SELECT sum(n) AS n FROM t".into(),
        "FLUSH".into(),
        "INSERT INTO t VALUES (5)".into(),
    ];
    expect(life(folder.path(), &create, "SELECT n FROM above").await?, &["4"])?;
    let hidden = folder.path().join("hidden");
    std::fs::rename(&file, &hidden).map_err(text)?;
    let insert = ["INSERT INTO t VALUES (6)".to_owned()];
    expect(life(folder.path(), &insert, "SELECT n FROM fine").await?, &["11"])?;
    for view in ["lost", "above"] {
        match life(folder.path(), &[], &format!("SELECT n FROM {view}")).await {
            Err(error) if error.contains("55000") => {}
            other => return Err(format!("{view}: {other:?}")),
        }
    }
    std::fs::rename(&hidden, &file).map_err(text)?;
    expect(life(folder.path(), &[], "SELECT above.n + fine.n FROM above, fine").await?, &["15"])
}

/// Checkpoints go on while a file is away; when it is back, and a checkpoint has all since, the views on it are filled anew.
async fn checkpoints_without_a_file() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (file, hidden) = (folder.path().join("a.csv"), folder.path().join("hidden"));
    append(&file, "n\n1\n2\n")?;
    let create = [
        "CREATE TABLE t (n INT)".to_owned(),
        format!(
            "CREATE SOURCE f (n INT) WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE CSV",
            file.display()
        ),
        "CREATE MATERIALIZED VIEW lost AS SELECT sum(n) AS n FROM f".into(),
        "CREATE MATERIALIZED VIEW above AS SELECT n + 1 AS n FROM lost".into(),
        "FLUSH".into(),
    ];
    expect(life(folder.path(), &create, "SELECT n FROM above").await?, &["4"])?;
    std::fs::rename(&file, &hidden).map_err(text)?;
    // The first reads it back, and cannot; the second begins with the checkpoint of the first.
    for value in [5, 6] {
        let insert = [format!("INSERT INTO t VALUES ({value})")];
        let found = "SELECT status FROM highwater.views ORDER BY name";
        expect(live(folder.path(), true, &insert, found).await?, &["failed", "failed"])?;
        let (log, checkpoints) = DataDir::inspect(&folder.path().join("data")).map_err(text)?;
        let newest = checkpoints.last().map(|(_, _, log)| *log);
        if newest.is_none_or(|newest| log.bytes_from(newest) > 0) {
            return Err("there is no checkpoint of all that".into());
        }
    }
    std::fs::rename(&hidden, &file).map_err(text)?;
    expect(until_it_is_back(folder.path(), "SELECT above.n + (SELECT sum(n) FROM t) FROM above").await?, &["15"])
}

/// The answer, once the views in it are on the clock.
async fn until_it_is_back(folder: &Path, query: &str) -> Result<Vec<String>> {
    let config = EngineConfig { workers: 2, data_dir: Some(folder.join("data")), ..EngineConfig::default() };
    let database = Database::with(Mode::One, config).await?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let found = loop {
        match ask(&database, &[], query).await {
            Err(error) if error.contains("55000") && tokio::time::Instant::now() < deadline => {
                tokio::task::yield_now().await;
            }
            other => break other,
        }
    };
    database.stop().await;
    found
}

async fn one_server_at_a_time() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let config = EngineConfig { data_dir: Some(folder.path().join("data")), ..EngineConfig::default() };
    let start = |config: EngineConfig| tokio::task::spawn_blocking(move || Engine::start(config));
    let first = start(config.clone()).await.map_err(text)?.map_err(text)?;
    match start(config).await.map_err(text)? {
        Err(error) if error.code().0 == "55006" && error.parts().hint.is_some() => {}
        other => return Err(format!("a second server: {:?}", other.map(|_| ()))),
    }
    tokio::task::spawn_blocking(move || first.shutdown()).await.map_err(text)?;
    append(&folder.path().join("other"), "something")?;
    let config = EngineConfig { data_dir: Some(folder.path().to_owned()), ..EngineConfig::default() };
    match start(config).await.map_err(text)? {
        Err(error) if error.code().0 == "42809" => Ok(()),
        other => Err(format!("a directory of somebody else: {:?}", other.map(|_| ()))),
    }
}

/// Names, comments, settings, plain views, subscriptions and ids survive as they were.
async fn what_was_going_on() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let create = [
        "CREATE TABLE t (n INT DEFAULT 7, s VARCHAR(3))",
        "CREATE VIEW plain AS SELECT n * 2 AS d FROM t",
        "CREATE MATERIALIZED VIEW v AS SELECT d FROM plain",
        "CREATE TABLE named (n INT)",
        "ALTER TABLE named RENAME TO renamed",
        "COMMENT ON TABLE renamed IS 'what it is'",
        "ALTER SYSTEM SET history = '90s'",
        "CREATE TABLE gone (n INT)",
        "DROP TABLE gone",
        "BEGIN",
        "DECLARE c CURSOR FOR SUBSCRIBE (SELECT count(*) FROM t)",
        "FETCH 1 FROM c",
        "COMMIT",
        "INSERT INTO t (s) VALUES ('abc')",
    ]
    .map(str::to_owned);
    life(folder.path(), &create, "SELECT 1").await?;
    let found = "SELECT current_setting('history') || ' ' || obj_description('renamed'::regclass) || ' ' || s || ' ' || \
                 (SELECT d FROM v) || ' ' || (SELECT count(*) FROM highwater.views) FROM t";
    let more = ["INSERT INTO t DEFAULT VALUES".to_owned(), "DELETE FROM t WHERE s IS NULL".to_owned()];
    for _ in 0..2 {
        expect(life(folder.path(), &more, found).await?, &["90s what it is abc 14 1"])?;
    }
    let ids = "SELECT count(DISTINCT oid) = count(*) AND max(oid) = 16390 FROM pg_class WHERE oid >= 16384";
    let table = ["CREATE TABLE new (n INT)".to_owned()];
    expect(life(folder.path(), &table, ids).await?, &["t"])
}

/// A view that was created in the background, and had not joined when the server stopped, joins after the next start.
async fn views_that_are_still_being_filled() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let create = [
        "CREATE TABLE t (n INT)",
        "INSERT INTO t SELECT generate_series(1, 200000)",
        "SET background_ddl = on",
        "CREATE MATERIALIZED VIEW v AS SELECT n % 10 AS g, count(*) AS c FROM t GROUP BY n % 10",
    ]
    .map(str::to_owned);
    life(folder.path(), &create, "SELECT 1").await?;
    let counted = until_it_is_back(folder.path(), "SELECT count(*) || ' ' || sum(c) FROM v").await;
    expect(counted?, &["10 200000"])
}

/// All is in the checkpoint of the stop, also what comes in by itself until then.
async fn a_clean_stop() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let out = folder.path().join("out");
    let create = [
        "CREATE TABLE t (n INT)".to_owned(),
        "CREATE SOURCE bid WITH (connector = 'nexmark', stream = 'bid', rate = '2000')".into(),
        "CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS n FROM t".into(),
        "CREATE MATERIALIZED VIEW bids AS SELECT auction % 7 AS a, count(*) AS c FROM bid GROUP BY auction % 7".into(),
        format!("CREATE SINK k FROM v WITH (connector = 'file', path = '{}') FORMAT UPSERT ENCODE JSON", out.display()),
        "INSERT INTO t VALUES (1), (2)".into(),
    ];
    expect(live(folder.path(), true, &create, "SELECT n FROM v").await?, &["3"])?;
    for (value, sum) in [(3, "6"), (4, "10")] {
        let (log, checkpoints) = DataDir::inspect(&folder.path().join("data")).map_err(text)?;
        let newest = checkpoints.last().map(|(_, _, log)| *log);
        if newest.is_none_or(|newest| log.bytes_from(newest) > 0) {
            return Err("the log has more than the newest checkpoint".into());
        }
        let insert = [format!("INSERT INTO t VALUES ({value})")];
        expect(live(folder.path(), true, &insert, "SELECT n FROM v").await?, &[sum])?;
    }
    Ok(())
}

/// A table as it was read back is as large as it was.
async fn what_was_read_back_is_no_larger() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let create = [
        "CREATE TABLE t (a INT PRIMARY KEY, b TEXT)".to_owned(),
        "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 100000) x(g)".to_owned(),
    ];
    life(folder.path(), &create, "SELECT 1").await?;
    let change = ["UPDATE t SET b = upper(b)".to_owned(), "DELETE FROM t WHERE a > 10".to_owned()];
    expect(life(folder.path(), &change, "SELECT count(*) FROM t").await?, &["10"])
}
