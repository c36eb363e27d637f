//! Views that are paused, and views that end the process, over several lives of a data directory.
//!
//! A life that is to end by a worker's panic is a child process of this binary, with the function `panic_at`.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use highwater::config::EngineConfig;
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// Names the data directory to a child process, which reads statements from its input.
pub const VARIABLE: &str = "HIGHWATER_POISON";

/// A statement that a child process does not send: it waits until a checkpoint has all that is published.
const CHECKPOINT: &str = "wait for a checkpoint";

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// All of them.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<()>| Trial::test(name, move || test().map_err(Failed::from));
    vec![
        trial("poison::a_view_that_ends_the_process_twice_is_paused", || twice_and_paused(&[])),
        trial("poison::a_view_that_ends_the_process_twice_behind_a_checkpoint_is_paused", || {
            twice_and_paused(&[CHECKPOINT])
        }),
        trial("poison::a_paused_view_stays_paused", || stays_paused(&[])),
        trial("poison::a_view_that_is_paused_in_a_checkpoint_stays_paused", || stays_paused(&[CHECKPOINT])),
        trial("poison::sinks_of_paused_views", || sinks_of_paused_views(&[])),
        trial("poison::sinks_of_paused_views_behind_a_checkpoint", || sinks_of_paused_views(&[CHECKPOINT])),
        trial("poison::sources_of_paused_views", sources_of_paused_views),
    ]
}

/// What a child process does: runs statements, says what each gives, and stops cleanly, unless it does not live that long.
pub fn live(folder: &str) -> i32 {
    let statements: Vec<String> = std::io::stdin().lock().lines().map_while(std::result::Result::ok).collect();
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let lived = crate::runtime().block_on(async {
        let config =
            EngineConfig { workers: 2, data_dir: Some(folder.into()), panic_function: true, ..EngineConfig::default() };
        let often = statements.iter().any(|statement| statement == CHECKPOINT);
        let checkpoint_interval = if often { Duration::from_millis(20) } else { config.checkpoint_interval };
        let config = EngineConfig { checkpoint_interval, ..config };
        let database = Database::with(Mode::One, config).await?;
        let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
        for statement in &statements {
            if statement == CHECKPOINT {
                checkpoint(&connection).await?;
                continue;
            }
            match connection.query(statement).await {
                Ok(result) => result.rows.iter().for_each(|row| println!("{}", row.join(" "))),
                Err(error) => println!("{}", text(error)),
            }
        }
        database.stop().await;
        Ok::<_, String>(())
    });
    match lived {
        Ok(()) => 0,
        Err(error) => {
            println!("{error}");
            1
        }
    }
}

async fn checkpoint(connection: &Connection) -> Result<()> {
    let epoch = connection.query("SELECT max(epoch) FROM highwater.views").await.map_err(text)?.rows[0].join("");
    let written = format!("SELECT count(*) FROM highwater.checkpoints WHERE epoch >= {epoch}");
    while connection.query(&written).await.map_err(text)?.rows[0].join("") == "0" {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// How a life ended, what it said, and what it warned of.
struct Life {
    clean: bool,
    said: String,
    warned: String,
}

fn life(folder: &Path, statements: &[&str]) -> Result<Life> {
    let this = std::env::current_exe().map_err(text)?;
    let mut child = Command::new(this)
        .env(VARIABLE, folder.join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    input.write_all(statements.join("\n").as_bytes()).map_err(text)?;
    drop(input);
    let output = child.wait_with_output().map_err(text)?;
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    Ok(Life { clean: output.status.success(), said: read(&output.stdout), warned: read(&output.stderr) })
}

impl Life {
    /// It ended by itself, and said this.
    fn says(self, wanted: &str) -> Result<()> {
        if self.clean && self.said == wanted {
            return Ok(());
        }
        Err(format!("wanted {wanted:?}; it said {:?}, and warned {:?}", self.said, self.warned))
    }

    /// A worker ended it.
    fn aborts(self) -> Result<()> {
        if !self.clean && self.warned.contains("it was asked to") {
            return Ok(());
        }
        Err(format!("it should have ended by a panic; it said {:?}, and warned {:?}", self.said, self.warned))
    }
}

const CREATE: [&str; 5] = [
    "CREATE TABLE t (s TEXT)",
    "CREATE MATERIALIZED VIEW v AS SELECT panic_at(s) AS s FROM t",
    "CREATE MATERIALIZED VIEW above AS SELECT count(*) AS c FROM v",
    "CREATE MATERIALIZED VIEW fine AS SELECT count(*) AS c FROM t",
    "INSERT INTO t VALUES ('then')",
];

const NOW: &str = "INSERT INTO t VALUES ('now')";
const STATUS: &str = "SELECT name, status FROM highwater.views ORDER BY name";

fn twice_and_paused(between: &[&str]) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let folder = folder.path();
    life(folder, &[&CREATE[..], between, &[NOW]].concat())?.aborts()?;
    // Whether the row is in the log or not: by it, or by the same again.
    life(folder, &[NOW])?.aborts()?;
    let reason = "SELECT reason FROM highwater.views WHERE name = 'v'";
    let third = life(folder, &[STATUS, reason, "SELECT * FROM v", "INSERT INTO t VALUES ('later')"])?;
    let why = "It ended the server 2 times in a row, the last time in ";
    if !third.warned.contains(&format!("materialized view \"v\" starts paused: {why}")) {
        return Err(format!("it warned {:?}", third.warned));
    }
    let said = third.said.clone();
    let mut lines = said.lines();
    let status: Vec<&str> = lines.by_ref().take(3).collect();
    let (reason, refused) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let right = status == ["above paused", "fine running", "v paused"]
        && reason.starts_with(why)
        && reason.ends_with(": panic: it was asked to")
        && refused.contains("55000")
        && refused.contains("is paused");
    if !right || !third.clean {
        return Err(format!("it said {:?}, and warned {:?}", third.said, third.warned));
    }
    // It stays so, and comes back for good when what it could not take is gone.
    let delete = ["DELETE FROM t WHERE s = 'now'", "SELECT c FROM fine"];
    life(folder, &[&[STATUS], &delete[..], between].concat())?.says("above paused\nfine running\nv paused\n2")?;
    life(folder, &["ALTER MATERIALIZED VIEW v RESUME", "SELECT * FROM v ORDER BY s"])?.says("later\nthen")?;
    life(folder, &["INSERT INTO t VALUES ('last')", "SELECT count(*) FROM v", "SELECT c FROM fine"])?.says("3\n3")
}

fn stays_paused(between: &[&str]) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let folder = folder.path();
    life(folder, &[&CREATE[..], &["ALTER MATERIALIZED VIEW v PAUSE", NOW], between, &[STATUS]].concat())?
        .says("above paused\nfine running\nv paused")?;
    // It would not get through, if it were computed.
    for _ in 0..2 {
        let reason = "SELECT count(*) FROM highwater.views WHERE reason LIKE 'It was paused by user %'";
        life(folder, &[STATUS, reason, "SELECT c FROM fine"])?.says("above paused\nfine running\nv paused\n1\n2")?;
    }
    life(folder, &["DELETE FROM t WHERE s = 'now'", "ALTER MATERIALIZED VIEW v RESUME", "SELECT * FROM v"])?
        .says("then")?;
    life(folder, &["SELECT * FROM v", "DROP MATERIALIZED VIEW v CASCADE", STATUS])?.says("then\nfine running")?;
    life(folder, &[STATUS])?.says("fine running")
}

/// A source that only a paused view reads is not read on, and one that others read is; it comes back with all of it.
fn sources_of_paused_views() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let folder = folder.path();
    let create = [
        "CREATE SOURCE bid WITH (connector = 'nexmark', stream = 'bid', events = '20000', rate = '10000')",
        "CREATE MATERIALIZED VIEW bids AS SELECT count(*) AS c FROM bid",
        "CREATE MATERIALIZED VIEW above AS SELECT c FROM bids",
        "ALTER MATERIALIZED VIEW bids PAUSE",
        "FLUSH",
        STATUS,
    ];
    life(folder, &create)?.says("above paused\nbids paused")?;
    let later = "CREATE MATERIALIZED VIEW later AS SELECT count(*) AS c FROM bid";
    life(folder, &[later, "FLUSH", "SELECT c FROM later", STATUS])?
        .says("18400\nabove paused\nbids paused\nlater running")?;
    let both = "SELECT bids.c, later.c FROM bids, later";
    life(folder, &["ALTER MATERIALIZED VIEW bids RESUME", "FLUSH", both])?.says("18400 18400")?;
    life(folder, &[both])?.says("18400 18400")
}

/// A start computes what a sink goes on from, though the view is paused, or has it from a checkpoint.
fn sinks_of_paused_views(between: &[&str]) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let folder = folder.path();
    let out = folder.join("out").display().to_string();
    let sink = format!("CREATE SINK k FROM v WITH (connector = 'file', path = '{out}') FORMAT UPSERT ENCODE JSON");
    let sinks = "SELECT status FROM highwater.sinks";
    let create = [
        "CREATE TABLE t (a INT, b INT)",
        "CREATE MATERIALIZED VIEW v AS SELECT a, sum(b) AS s FROM t GROUP BY a",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        &sink,
        "FLUSH",
        "ALTER MATERIALIZED VIEW v PAUSE",
        "DELETE FROM t WHERE a = 1",
        sinks,
    ];
    life(folder, &[&create[..], between].concat())?.says("waiting")?;
    life(folder, &[&[sinks, "INSERT INTO t VALUES (3, 3)"], between].concat())?.says("waiting")?;
    life(folder, &["ALTER MATERIALIZED VIEW v RESUME", "FLUSH", sinks])?.says("running")?;
    let source = format!(
        "CREATE SOURCE back (hw_state TEXT, a INT, s BIGINT) \
         WITH (connector = 'file', path = '{out}/*.json') FORMAT PLAIN ENCODE JSON"
    );
    life(folder, &[&source, "SELECT hw_state, a, s FROM back ORDER BY a, hw_state"])?
        .says("delete 1 1\nupsert 1 1\nupsert 2 2\nupsert 3 3")
}
