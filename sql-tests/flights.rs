//! Real disorder: flights in landing order, windowed by departure; and the same input cut into epochs in many ways.
//!
//! The numbers were computed by a plain row-by-row model outside. The cut is in the repository; the whole file is read
//! where it is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// What one view over one file must come to.
struct Expected {
    name: &'static str,
    window: &'static str,
    delay: u32,
    lateness: u32,
    /// late_accepted, late_rejected, windows_missed, rows, sum(n), sum(delay), sum(worst).
    cut: [&'static str; 7],
    full: [&'static str; 7],
}

const VIEWS: [Expected; 4] = [
    Expected {
        name: "hours_6_6",
        window: "TUMBLE(FLIGHTS, departed_at, INTERVAL '1' HOUR)",
        delay: 6,
        lateness: 6,
        cut: ["11", "0", "0", "1854", "5000", "48609", "32823"],
        full: ["702", "0", "0", "119464", "327346", "4109880", "2742064"],
    },
    Expected {
        name: "hops_6_6",
        window: "HOP(FLIGHTS, departed_at, INTERVAL '1' HOUR, INTERVAL '6' HOUR)",
        delay: 6,
        lateness: 6,
        cut: ["11", "0", "0", "3392", "30000", "291654", "131892"],
        full: ["702", "0", "0", "222905", "1964076", "24659280", "10530216"],
    },
    Expected {
        name: "hours_2_1",
        window: "TUMBLE(FLIGHTS, departed_at, INTERVAL '1' HOUR)",
        delay: 2,
        lateness: 1,
        cut: ["493", "758", "758", "1647", "4242", "43659", "32752"],
        full: ["24329", "49520", "49520", "107206", "277826", "3687892", "2525270"],
    },
    Expected {
        name: "hops_2_1",
        window: "HOP(FLIGHTS, departed_at, INTERVAL '1' HOUR, INTERVAL '6' HOUR)",
        delay: 2,
        lateness: 1,
        cut: ["1240", "11", "1245", "3314", "28755", "283236", "129640"],
        full: ["73186", "663", "80917", "217761", "1883159", "24025794", "10287393"],
    },
];

fn cut() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/flights/landed_flights.parquet")
}

/// The whole file, where the data sets lie beside the repository.
fn full() -> Option<PathBuf> {
    let near = ["../shared", "../../shared"];
    let file = |up: &&str| Path::new(env!("CARGO_MANIFEST_DIR")).join(up).join("data/flights/landed_flights.parquet");
    near.iter().map(file).find(|f| f.exists())
}

/// The cut always, the whole where it is there, and the batching test.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        crate::trial("flights::cut", check(cut(), true, 2)),
        crate::trial("flights::a_later_view_sees_the_same", later()),
    ];
    if let Some(file) = full() {
        trials.push(crate::trial("flights::full", check(file, false, 2)));
    }
    for workers in [1, 2, 4] {
        for rows in [1, 100, 8192] {
            let name = format!("batching::{workers}_workers_{rows}_rows_an_epoch");
            trials.push(crate::trial(name, batching(workers, rows)));
        }
    }
    trials
}

fn ddl(file: &Path, view: &Expected) -> String {
    let source = format!("flights_{}h", view.delay);
    format!(
        "CREATE SOURCE IF NOT EXISTS {source} (departed_at TIMESTAMP, carrier VARCHAR, origin VARCHAR, dep_delay INT, \
         arr_delay INT, WATERMARK FOR departed_at AS departed_at - INTERVAL '{}' HOUR) \
         WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE PARQUET;
         CREATE MATERIALIZED VIEW {} AS SELECT window_start, window_end, carrier, origin, count(*) AS n, \
         sum(dep_delay) AS delay, max(arr_delay) AS worst FROM {} GROUP BY window_start, window_end, carrier, origin \
         EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '{}' HOUR",
        view.delay,
        file.display(),
        view.name,
        view.window.replace("FLIGHTS", &source),
        view.lateness
    )
}

async fn start(workers: usize, source_rows: usize) -> Result<(Arc<Database>, Connection), String> {
    let config = EngineConfig { workers, ..EngineConfig::default() };
    let database = Database::with(Mode::One, crate::database::source_rows(config, source_rows)).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(|e| e.to_string())?;
    Ok((database, connection))
}

async fn run(connection: &Connection, sql: &str) -> Result<Vec<Vec<String>>, String> {
    connection.query(sql).await.map(|r| r.rows).map_err(|e| format!("{sql}: {e}"))
}

async fn summary(connection: &Connection, view: &str) -> Result<Vec<String>, String> {
    let counters =
        format!("SELECT late_accepted, late_rejected, windows_missed FROM highwater.views WHERE name = '{view}'");
    let sums = format!("SELECT count(*), sum(n), sum(delay), sum(worst) FROM {view}");
    let mut all = run(connection, &counters).await?.concat();
    all.extend(run(connection, &sums).await?.concat());
    Ok(all)
}

async fn check(file: PathBuf, is_cut: bool, workers: usize) -> Result<(), String> {
    let (database, connection) = start(workers, 65_536).await?;
    let result = check_on(&connection, &file, is_cut).await;
    database.stop().await;
    result
}

async fn check_on(connection: &Connection, file: &Path, is_cut: bool) -> Result<(), String> {
    // A slow machine, or a build without optimizations, may well be behind for a while.
    run(connection, "ALTER SYSTEM SET max_lag = '1h'").await?;
    // Without optimizations the whole file goes through the tumbling windows only.
    let views: Vec<&Expected> =
        VIEWS.iter().filter(|v| is_cut || !cfg!(debug_assertions) || v.window.starts_with("TUMBLE")).collect();
    for view in &views {
        run(connection, &ddl(file, view)).await?;
    }
    run(connection, "FLUSH").await?;
    let mut wrong = Vec::new();
    for view in views {
        let (found, expected) = (summary(connection, view.name).await?, if is_cut { view.cut } else { view.full });
        if found != expected {
            wrong.push(format!("{}: expected {expected:?}, found {found:?}", view.name));
        }
        let newest = format!("SELECT count(*) FROM highwater.late_rows WHERE view = '{}'", view.name);
        let kept = run(connection, &newest).await?.concat().concat();
        let all: u64 = expected[1].parse().unwrap_or(0);
        if kept != all.min(10_000).to_string() {
            wrong.push(format!("{}: {kept} late rows are kept of {all}", view.name));
        }
    }
    // Nothing was turned away with six hours: the answer is that of a batch query over the file.
    let batch = "SELECT count(*) FROM (SELECT window_end, carrier, origin, count(*) AS n, sum(dep_delay) AS delay, \
                 max(arr_delay) AS worst FROM TUMBLE(flights_6h, departed_at, INTERVAL '1' HOUR) \
                 GROUP BY window_end, carrier, origin \
                 EXCEPT SELECT window_end, carrier, origin, n, delay, worst FROM hours_6_6) x";
    if run(connection, batch).await? != [["0"]] {
        wrong.push("hours_6_6 is not the batch query".into());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// A view created when the file is read judges the same rows the same way.
async fn later() -> Result<(), String> {
    let (database, connection) = start(2, 512).await?;
    let result = async {
        let view = &VIEWS[2];
        run(&connection, &ddl(&cut(), view)).await?;
        run(&connection, &ddl(&cut(), view).replace("VIEW hours_2_1", "VIEW at_once")).await?;
        run(&connection, "FLUSH").await?;
        run(&connection, &ddl(&cut(), view).replace("VIEW hours_2_1", "VIEW afterwards")).await?;
        for name in ["hours_2_1", "at_once", "afterwards"] {
            let found = summary(&connection, name).await?;
            if found != view.cut {
                return Err(format!("{name}: expected {:?}, found {found:?}", view.cut));
            }
        }
        Ok(())
    };
    let result = result.await;
    database.stop().await;
    result
}

/// The cut in epochs of so many rows: the same views, the same late rows.
async fn batching(workers: usize, rows: usize) -> Result<(), String> {
    let (database, connection) = start(workers, rows).await?;
    let result = async {
        for view in &VIEWS[2..] {
            run(&connection, &ddl(&cut(), view)).await?;
        }
        run(&connection, "FLUSH").await?;
        for view in &VIEWS[2..] {
            let found = summary(&connection, view.name).await?;
            if found != view.cut {
                return Err(format!("{}: expected {:?}, found {found:?}", view.name, view.cut));
            }
            let late = format!(
                "SELECT event_time, watermark, windows_missed, row FROM highwater.late_rows WHERE view = '{}'",
                view.name
            );
            let mut late = run(&connection, &late).await?;
            late.sort();
            late_rows(view.name, late)?;
        }
        Ok(())
    };
    let result = result.await;
    database.stop().await;
    result
}

/// The late rows are the same in every run of [`batching`]: the first one's are kept.
fn late_rows(view: &'static str, rows: Vec<Vec<String>>) -> Result<(), String> {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    static FIRST: Mutex<BTreeMap<&str, Vec<Vec<String>>>> = Mutex::new(BTreeMap::new());
    let mut first = FIRST.lock().map_err(|e| e.to_string())?;
    match first.get(view) {
        Some(known) if *known == rows => Ok(()),
        Some(known) => {
            Err(format!("{view}: {} late rows, of which some differ from the {} elsewhere", rows.len(), known.len()))
        }
        None => {
            first.insert(view, rows);
            Ok(())
        }
    }
}
