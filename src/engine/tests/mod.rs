//! Databases on disks in memory or on a damaged one, and statements to them.

#[path = "../../../sql-tests/done.rs"]
mod done;
mod faults;
mod flips;
mod starts;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use super::outcome::Outcome;
use super::{Engine, Session, Startup, runtime_config};
use crate::checkpoint::{MemoryObjects, Objects, Owner};
use crate::config::EngineConfig;
use crate::error::{Error, Result};
use crate::log::{Disk, LogFiles, LogPlace, MemoryDisk};
use crate::metrics::Metrics;
use crate::runtime::{Checkpoint, Kept, RuntimeConfig};
use crate::spill::Memory;

/// Starts a database on what an earlier one left; where that one would end the process, it only ends.
fn start(disk: &MemoryDisk, objects: &MemoryObjects, config: EngineConfig, file: u64) -> Result<Arc<Engine>> {
    let objects: Arc<dyn Objects> = Arc::new(objects.clone());
    let log: Arc<dyn Disk> = Arc::new(disk.clone());
    let newest = Checkpoint::to_begin_with(&objects, &log, &Memory::unbounded())?;
    let from = newest.as_ref().map_or(LogPlace::START, Checkpoint::log);
    let files = LogFiles::find(log, from)?.in_files_of(file);
    let runtime = RuntimeConfig { failed: |_| (), ..runtime_config(&config, Metrics::new(), Memory::unbounded()) };
    Engine::start_with(config, runtime, None, Some((files, Kept { objects, owner: Owner::default(), newest })))
}

fn config(workers: usize, checkpoint_interval: Duration) -> EngineConfig {
    EngineConfig { workers, checkpoint_interval, ..EngineConfig::default() }
}

/// What statements give.
#[derive(Default)]
struct Rows {
    /// Of the last of them.
    columns: usize,
    /// Rows of all, as texts.
    texts: Vec<String>,
}

/// One client.
struct Client(Session);

impl Client {
    fn connect(engine: &Arc<Engine>) -> Result<Self> {
        engine.connect(Startup::default()).map(Self)
    }

    /// What some statements give.
    async fn rows(&mut self, sql: &str) -> Result<Rows> {
        let mut all = Rows::default();
        for parsed in self.0.parse(sql)? {
            let prepared = self.0.prepare(&parsed, &[]).await?;
            if let Outcome::Rows { columns, rows, .. } = self.0.execute(&prepared, vec![]).await? {
                all.columns = columns.len();
                for batch in rows.try_collect::<Vec<_>>().await? {
                    let options = FormatOptions::default().with_null("NULL");
                    let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options));
                    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(Error::from)?;
                    all.texts.extend((0..batch.num_rows()).map(|row| {
                        columns.iter().fold(String::new(), |mut text, column| {
                            let between = if text.is_empty() { "" } else { " " };
                            let _ = write!(text, "{between}{}", column.value(row));
                            text
                        })
                    }));
                }
            }
        }
        Ok(all)
    }

    /// The rows that some statements give, as texts.
    async fn ask(&mut self, sql: &str) -> Result<Vec<String>> {
        Ok(self.rows(sql).await?.texts)
    }

    /// The same, in an order of their own.
    async fn sorted(&mut self, sql: &str) -> Result<Vec<String>> {
        let mut rows = self.ask(sql).await?;
        rows.sort();
        Ok(rows)
    }
}
