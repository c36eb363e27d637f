//! The database as a value: sessions execute statements and give back outcomes; the server only moves them over the wire.
//!
//! ```text
//!  text --Session::parse--> Parsed --prepare--> Prepared --execute--> Outcome
//!                                                 |
//!        ddl.rs        CREATE, DROP, COMMENT: catalog + runtime; alter.rs ALTER TABLE; rename.rs ALTER .. RENAME, SWAP
//!        views.rs      CREATE MATERIALIZED VIEW; replace.rs CREATE OR REPLACE MATERIALIZED VIEW
//!        insert.rs, dml.rs  INSERT; UPDATE, DELETE: at the head, or buffered by a transaction block (transaction.rs)
//!        query.rs      SELECT: DataFusion over one published epoch (provider.rs, scan.rs); past.rs AS OF an older one
//!        aside.rs      what a statement computes, away from the threads that serve connections; stream.rs waits for it
//!        subscribe.rs  SUBSCRIBE; cursor.rs DECLARE, FETCH; copy.rs COPY; ingest.rs the same without a statement
//!        sinks.rs      CREATE SINK
//!        show.rs       SHOW, DESCRIBE, EXPLAIN; settings.rs SET; introspect.rs the system relations of what runs
//! ```
//!
//! Uses: error, config, stack, metrics, data, spill, functions, connectors, catalog, sql, plan, operators, log, checkpoint, archive, store, sink, runtime

mod inspect;
pub mod outcome;

mod alter;
mod aside;
mod binding;
mod blocks;
mod buffer;
mod checkpoint_place;
mod copy;
mod cursor;
mod data_dir;
mod ddl;
mod dml;
mod envelope;
mod environment;
mod explain;
mod head;
mod ingest;
mod insert;
mod introspect;
mod memory;
mod past;
mod prepared;
mod provider;
mod query;
mod rename;
mod replace;
mod scan;
mod session;
mod settings;
mod show;
mod sinks;
mod specs;
mod stream;
mod subscribe;
mod transaction;
mod views;
mod warnings;

pub use data_dir::DataDir;
pub use ingest::Ingest;
pub use inspect::{InspectedView, Replay};
pub use session::{Parsed, Prepared, Session};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::archive::Archive;
use crate::catalog::Catalog;
use crate::config::{EngineConfig, MAX_CONNECTIONS};
use crate::connectors::Connector;
use crate::data::ObjectId;
use crate::error::{Error, Result, SqlState};
use crate::log::LogFiles;
use crate::metrics::Metrics;
use crate::runtime::{Kept, Limits, Runtime, RuntimeConfig, Settings};
use crate::spill::Memory;
use crate::sql::Executor;
use aside::Aside;
use environment::Shared;

/// A running database.
pub struct Engine {
    /// How it was started.
    pub config: EngineConfig,
    /// Held until the engine is shut down.
    data_dir: Mutex<Option<DataDir>>,
    /// All names.
    pub catalog: Catalog,
    /// Every figure of this server; `start` makes it with `Metrics::new()`.
    pub metrics: Arc<Metrics>,
    /// Everything below SQL.
    pub runtime: Runtime,
    executor: Executor,
    aside: Aside,
    sessions: Mutex<BTreeMap<i32, Weak<Shared>>>,
    next_pid: AtomicI32,
    /// Connectors of sources and tables, as CREATE made them.
    connectors: Mutex<HashMap<ObjectId, Arc<dyn Connector>>>,
    /// Archives of sources.
    archives: Mutex<HashMap<ObjectId, Arc<Archive>>>,
    /// Subscriptions' own views, with what they read.
    temporary: Mutex<HashMap<ObjectId, Vec<ObjectId>>>,
    /// Among these: views that are to take the place of others.
    replacements: Mutex<HashSet<ObjectId>>,
    /// Held while names are checked and taken.
    ddl: Arc<tokio::sync::Mutex<()>>,
    /// Microseconds since 1970.
    started: i64,
}

/// What a client says when it connects.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    /// Any name is accepted.
    pub user: String,
    /// Any name is accepted; `current_database()` says it.
    pub database: String,
    /// All other startup parameters: settings (`application_name`, `TimeZone`, `options` with `-c name=value`, ..).
    pub options: Vec<(String, String)>,
    /// The client's address, for pg_stat_activity.
    pub address: Option<std::net::SocketAddr>,
}

impl Engine {
    /// Starts workers, sequencer and publisher, and makes again what the data directory holds, if there is one.
    ///
    /// Errors: what [`DataDir::open`] says of the directory, `XX001` it is damaged.
    pub fn start(config: EngineConfig) -> Result<Arc<Self>> {
        let data_dir = config.data_dir.as_deref().map(DataDir::open).transpose()?;
        let metrics = Metrics::new();
        let memory = memory(&config)?;
        let state = match &data_dir {
            Some(dir) => Some(dir.state(config.checkpoint_url.as_deref(), config.restore, &memory)?),
            None => None,
        };
        let runtime = runtime_config(&config, metrics, memory);
        Self::start_with(config, runtime, data_dir, state)
    }

    fn start_with(
        config: EngineConfig,
        runtime: RuntimeConfig,
        data_dir: Option<DataDir>,
        state: Option<(LogFiles, Kept)>,
    ) -> Result<Arc<Self>> {
        let metrics = runtime.metrics.clone();
        let executor = Executor::bounded(config.workers, &runtime.memory)?;
        let runtime = Runtime::start(runtime)?;
        let engine = Arc::new(Self {
            aside: Aside::start(config.workers)?,
            config,
            data_dir: Mutex::new(data_dir),
            catalog: Catalog::default(),
            metrics,
            runtime,
            executor,
            sessions: Mutex::default(),
            next_pid: AtomicI32::new(1),
            connectors: Mutex::default(),
            archives: Mutex::default(),
            temporary: Mutex::default(),
            replacements: Mutex::default(),
            ddl: Arc::default(),
            started: micros_now(),
        });
        if let Some((log, kept)) = state
            && let Err(error) = engine.recover(log, kept)
        {
            engine.shutdown();
            return Err(error);
        }
        Ok(engine)
    }

    /// Opens a session. Errors: `53300` too many connections, `22023` or `42704` for a bad startup setting.
    pub fn connect(self: &Arc<Self>, startup: Startup) -> Result<Session> {
        let pid = self.next_pid.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared::new(self.clone(), pid, startup)?);
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, session| session.strong_count() > 0);
        if sessions.len() >= MAX_CONNECTIONS {
            return Err(Error::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
        }
        sessions.insert(pid, Arc::downgrade(&shared));
        drop(sessions);
        Ok(Session::new(shared))
    }

    /// Cancels what the session with this pid and secret runs; a wrong pair does nothing.
    pub fn cancel(&self, pid: i32, secret: i32) {
        if let Some(session) = self.session(pid)
            && session.secret == secret
        {
            session.cancel();
        }
    }

    /// Ends all sessions (57P01), then the threads. Blocks for the threads' end: call it where blocking is fine.
    pub fn shutdown(&self) {
        for session in self.sessions() {
            session.terminate();
        }
        futures::executor::block_on(self.runtime.shutdown());
        // The log is closed: another process may take the directory.
        if let Some(data_dir) = self.data_dir.lock().take() {
            data_dir.stopped();
        }
    }

    /// DataFusion's session as queries use it.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The live session with this pid.
    fn session(&self, pid: i32) -> Option<Arc<Shared>> {
        self.sessions.lock().get(&pid).and_then(Weak::upgrade)
    }

    /// All live sessions, by pid.
    fn sessions(&self) -> Vec<Arc<Shared>> {
        self.sessions.lock().values().filter_map(Weak::upgrade).collect()
    }
}

/// The memory's limit, and the folder for what does not fit. What a process that was killed left there is removed.
fn memory(config: &EngineConfig) -> Result<Arc<Memory>> {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    let folder = match &config.data_dir {
        Some(data_dir) => data_dir.join("spill"),
        None => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!("highwater-spill-{}-{number}", std::process::id()))
        }
    };
    match config.memory_limit {
        Some(limit) => Memory::bounded(limit, folder),
        None => {
            let _ = std::fs::remove_dir_all(folder);
            Ok(Memory::unbounded())
        }
    }
}

fn runtime_config(config: &EngineConfig, metrics: Arc<Metrics>, memory: Arc<Memory>) -> RuntimeConfig {
    let limits = Limits {
        batch_rows: config.batch_rows,
        source_rows: config.source_rows,
        // Batch by batch, whatever there is.
        hydrate_rows: if config.one_row_batches { 0 } else { Limits::default().hydrate_rows },
        ..Limits::default()
    };
    RuntimeConfig {
        workers: config.workers,
        keep_log: config.keep_log,
        last_checkpoint: config.last_checkpoint,
        record_digests: config.keep_log,
        one_row_batches: config.one_row_batches,
        sink_folder: config.data_dir.as_ref().map(|dir| dir.join("sinks")),
        limits: match config.memory_limit {
            Some(limit) => limits.within(limit),
            None => limits,
        },
        memory,
        settings: Settings { checkpoint_interval: config.checkpoint_interval, ..Settings::default() },
        metrics,
        compact: data_dir::compact,
        ..RuntimeConfig::default()
    }
}

/// The wall clock, microseconds since 1970.
fn micros_now() -> i64 {
    micros(SystemTime::now())
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
