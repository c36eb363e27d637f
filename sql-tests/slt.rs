//! The .slt files: each runs in each mode, against a server of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use sqllogictest::Runner;
use tempfile::TempDir;

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// No file takes longer than this, in any mode.
const LIMIT: Duration = Duration::from_secs(60);

/// One trial per file and mode; with `HIGHWATER_TEST_PG=postgres://..` one per file, against that server (only files
/// that PostgreSQL understands pass there).
pub fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests/slt");
    let mut files = Vec::new();
    find(&root, &mut files);
    files.sort();
    let reference = std::env::var("HIGHWATER_TEST_PG").ok();
    let mut trials = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("").display().to_string();
        if let Some(uri) = &reference {
            let uri = uri.clone();
            trials.push(Trial::test(format!("postgres::{name}"), move || against_postgres(&file, &uri)));
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for mode in Mode::ALL {
            if text.lines().any(|l| l.starts_with(&format!("# not in mode {}: ", mode.name()))) {
                continue;
            }
            let file = file.clone();
            trials.push(Trial::test(format!("slt::{}::{name}", mode.name()), move || run(&file, mode)));
        }
    }
    trials
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|e| e == "slt") {
            files.push(path);
        }
    }
}

fn run(file: &Path, mode: Mode) -> Result<(), Failed> {
    crate::runtime().block_on(async {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let disk = text.lines().any(|l| l.starts_with("# on disk: ")).then(TempDir::new).transpose();
        let disk = disk.map_err(|e| e.to_string())?;
        let database = Database::start_on(mode, disk.as_ref().map(|folder| folder.path().join("data"))).await?;
        let sinks = sinks(file)?;
        let folder = sinks.as_ref().map(|folder| folder.path());
        let result = tokio::time::timeout(LIMIT, script(file, folder, &database)).await;
        let result = result.unwrap_or_else(|_| Err(format!("not done after {LIMIT:?}: {}", database.noted())));
        let result = match result {
            Ok(()) => match tokio::time::timeout(LIMIT, database.finish()).await {
                Ok(result) => result,
                Err(_) => Err(format!("the last checks were not done after {LIMIT:?}")),
            },
            Err(error) => Err(error),
        };
        database.stop().await;
        result.map_err(Failed::from)
    })
}

/// A folder of its own for a file that speaks of one, below what servers may read and write.
fn sinks(file: &Path) -> Result<Option<TempDir>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    if !text.contains("$SINKS") {
        return Ok(None);
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target).map_err(|e| e.to_string())?;
    tempfile::Builder::new().prefix("sinks-").tempdir_in(target).map(Some).map_err(|e| e.to_string())
}

async fn script(file: &Path, sinks: Option<&Path>, database: &Arc<Database>) -> Result<(), String> {
    let mut runner = Runner::new(|| {
        let database = database.clone();
        async move { Connection::open(&database.uri(), Some(database.clone())).await }
    });
    runner.set_var("DATA".into(), concat!(env!("CARGO_MANIFEST_DIR"), "/sql-tests/data").into());
    if let Some(sinks) = sinks {
        runner.set_var("SINKS".into(), sinks.display().to_string());
    }
    runner.run_file_async(file).await.map_err(|e| e.to_string())
}

fn against_postgres(file: &Path, uri: &str) -> Result<(), Failed> {
    crate::runtime().block_on(async {
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
        // Views over there are not kept up: plain ones are, by nature.
        let plain = !file.components().any(|c| c.as_os_str() == "errors");
        let text = if plain { text.replace("CREATE MATERIALIZED VIEW", "CREATE VIEW") } else { text };
        let text = text.replace("\nFLUSH\n", "\nSELECT 1\n");
        let open = || async { Connection::open(uri, None).await };
        let fresh = open().await?;
        fresh.query("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public").await?;
        let mut runner = Runner::new(open);
        runner.run_script_async(&text).await.map_err(|e| Failed::from(e.to_string()))
    })
}
