//! EXPLAIN of the queries in `plans/*.sql`, held by snapshots: a change of a plan is seen, and meant.
//!
//! A file holds the statements that make its objects and ends with one EXPLAIN.

use std::path::Path;

use libtest_mimic::Trial;

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// One trial per file.
pub fn trials() -> Vec<Trial> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests/plans");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "sql"))
        .filter_map(|e| Some(e.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let trial = |name: String| {
        let file = folder.join(format!("{name}.sql"));
        crate::trial(format!("plans::{name}"), async move {
            let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
            let database = Database::start(Mode::One).await?;
            let connection = Connection::open(&database.uri(), None).await.map_err(|e| e.to_string())?;
            let rows = connection.query(&text).await.map_err(|e| e.to_string());
            database.stop().await;
            let lines: Vec<String> = rows?.rows.into_iter().map(|row| row.join(" ")).collect();
            let plan = lines.join("\n");
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path("plans");
            settings.set_prepend_module_to_snapshot(false);
            settings.set_description(text);
            let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                settings.bind(|| insta::assert_snapshot!(name, plan));
            }));
            held.map_err(|_| "the plan has changed: `cargo insta review`".to_owned())
        })
    };
    names.into_iter().map(trial).collect()
}
