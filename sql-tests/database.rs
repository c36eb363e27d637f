//! A server of ours inside the test process, in one of the modes, and what happens after every FLUSH.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater::config::{EngineConfig, ServeConfig};
use highwater::engine::Engine;
use highwater::runtime::Digest;
use highwater::server::Server;
use tempfile::TempDir;

use crate::recovery::{self, Shown};

/// How a test's server runs. Every .slt gives the same answers in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One worker.
    One,
    /// Four workers.
    Four,
    /// Batches of one row, two workers.
    OneRow,
    /// After every FLUSH: snapshot everything, end the workers, restore with another number of them.
    Restart,
    /// Everything is kept in a data directory. At the end the log is replayed beside the server, with another number of
    /// workers: the same changes per view and epoch; and another server starts on the directory: the same tables, views
    /// and counts.
    Replay,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::One, Self::Four, Self::OneRow, Self::Restart, Self::Replay];

    /// As in names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Four => "four",
            Self::OneRow => "one_row",
            Self::Restart => "restart",
            Self::Replay => "replay",
        }
    }
}

/// A running server.
pub struct Database {
    /// The engine behind it.
    pub engine: Arc<Engine>,
    mode: Mode,
    server: Mutex<Option<Server>>,
    address: SocketAddr,
    /// Where `/health` and `/metrics` are.
    pub http: SocketAddr,
    comparisons: AtomicUsize,
    flushes: AtomicUsize,
    noted: Mutex<String>,
    /// Mode replay's.
    folder: Option<TempDir>,
}

impl Database {
    /// Starts a server on a free port of the loopback address.
    pub async fn start(mode: Mode) -> Result<Arc<Self>, String> {
        Self::start_on(mode, None).await
    }

    /// The same, on a data directory, which mode replay has anyway.
    pub async fn start_on(mode: Mode, data_dir: Option<PathBuf>) -> Result<Arc<Self>, String> {
        let workers = match mode {
            Mode::One | Mode::Replay => 1,
            Mode::OneRow | Mode::Restart => 2,
            Mode::Four => 4,
        };
        let config = EngineConfig {
            workers,
            file_root: Some(concat!(env!("CARGO_MANIFEST_DIR")).into()),
            one_row_batches: mode == Mode::OneRow,
            // Nothing of it fits into memory.
            memory_limit: (mode == Mode::Restart).then_some(0),
            keep_log: true,
            // What the log has behind a checkpoint is read back too.
            last_checkpoint: false,
            data_dir,
            ..EngineConfig::default()
        };
        Self::with(mode, config).await
    }

    /// Starts a server with a configuration of one's own.
    pub async fn with(mode: Mode, mut config: EngineConfig) -> Result<Arc<Self>, String> {
        let folder = (mode == Mode::Replay).then(TempDir::new).transpose().map_err(|e| e.to_string())?;
        if let Some(folder) = &folder {
            config.data_dir = Some(folder.path().join("data"));
            config.checkpoint_interval = Duration::from_millis(20);
        }
        let engine = Engine::start(config).map_err(|e| format!("{e:?}"))?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let serve = ServeConfig {
            memory_limit: None,
            pg_listen: any,
            http_listen: any,
            workers: engine.config.workers,
            data_dir: None,
            checkpoint_url: None,
            restore: false,
            file_root: None,
        };
        let server = Server::start(&serve, engine.clone()).await.map_err(|e| format!("{e:?}"))?;
        Ok(Arc::new(Self {
            engine,
            mode,
            address: server.pg,
            http: server.http,
            server: Mutex::new(Some(server)),
            flushes: AtomicUsize::new(0),
            comparisons: AtomicUsize::new(0),
            noted: Mutex::default(),
            folder,
        }))
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For tokio-postgres.
    pub fn uri(&self) -> String {
        format!("postgres://tester@{}:{}/highwater", self.address.ip(), self.address.port())
    }

    /// Remembers what runs now, for the message of a test that hangs.
    pub fn note(&self, sql: &str) {
        sql.clone_into(&mut self.noted.lock().unwrap());
    }

    /// What was noted last.
    pub fn noted(&self) -> String {
        self.noted.lock().unwrap().clone()
    }

    /// A FLUSH was answered: every view is compared with its query, and in mode restart everything is put to the side and
    /// taken up again by another number of workers, which must not change a thing.
    pub async fn flushed(self: &Arc<Self>) -> Result<(), String> {
        crate::oracle::check(self).await?;
        if self.mode == Mode::Restart {
            let workers = [3, 1, 4, 2][self.flushes.fetch_add(1, Ordering::Relaxed) % 4];
            self.engine.restart(workers).await.map_err(|e| format!("restart with {workers} workers: {e:?}"))?;
            crate::oracle::check(self).await.map_err(|e| format!("after a restart with {workers} workers: {e}"))?;
        }
        Ok(())
    }

    /// The end of a test: in mode replay the log is read back, twice; the server has ended then.
    pub async fn finish(self: &Arc<Self>) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let replay = self.engine.replay(3).await.map_err(|e| format!("replay: {e:?}"))?;
        compare_digests(&replay.recorded, &replay.replayed)?;
        self.engine.runtime.flush().await.map_err(|e| format!("{e:?}"))?;
        let shown = Shown::of(&self.engine).await?;
        self.stop().await;
        if shown.moves() {
            Ok(())
        } else {
            recovery::check(&shown, &self.engine.config, &folder.path().join("data")).await
        }
    }

    /// A view was compared with its query.
    pub fn compared(&self) {
        self.comparisons.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a view was compared with its query.
    pub fn comparisons(&self) -> usize {
        self.comparisons.load(Ordering::Relaxed)
    }

    /// Ends the server and all of its threads.
    pub async fn stop(&self) {
        let server = self.server.lock().unwrap().take();
        if let Some(server) = server {
            server.shutdown().await;
        }
    }
}

fn compare_digests(recorded: &[Digest], replayed: &[Digest]) -> Result<(), String> {
    if recorded == replayed {
        return Ok(());
    }
    let only =
        |a: &[Digest], b: &[Digest]| -> Vec<Digest> { a.iter().filter(|d| !b.contains(d)).take(5).copied().collect() };
    Err(format!(
        "the replay differs: recorded, not replayed: {:?}; replayed, not recorded: {:?}",
        only(recorded, replayed),
        only(replayed, recorded)
    ))
}

/// The configuration with so many rows of a source in one epoch at most.
pub fn source_rows(mut config: EngineConfig, rows: usize) -> EngineConfig {
    config.source_rows = rows;
    config
}
