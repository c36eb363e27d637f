//! The end of a test in mode replay: the server stops, another one starts on its data directory, with another number of
//! workers, and everything is as it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use highwater::catalog::object::{Kind, Object};
use highwater::config::EngineConfig;
use highwater::engine::Engine;
use highwater::runtime::{ReadMode, Status};

use crate::bag::compare;

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
        for object in engine.catalog.snapshot().objects() {
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

/// Starts another engine on the directory and compares.
pub async fn check(before: &Shown, config: &EngineConfig, folder: &Path) -> Result<()> {
    let config = EngineConfig { workers: 3, data_dir: Some(folder.to_owned()), ..config.clone() };
    let engine = tokio::task::spawn_blocking(move || Engine::start(config)).await.map_err(text)?.map_err(text)?;
    let compared = match Shown::of(&engine).await {
        Ok(after) => before.compare(&after),
        Err(error) => Err(error),
    };
    tokio::task::spawn_blocking(move || engine.shutdown()).await.map_err(text)?;
    compared.map_err(|e| format!("after a recovery: {e}"))
}
