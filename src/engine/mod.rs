//! The database as a value: sessions execute statements and give back outcomes; the server only moves them over the wire.
//!
//! Uses: error, config, metrics, data, functions, connectors, catalog, sql, plan, operators, runtime, store

mod inspect;
pub mod outcome;
mod session;

pub use inspect::{Replay, ViewDigest};
pub use session::{Parsed, Prepared, Session};

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::config::EngineConfig;
use crate::error::{Error, Result};
use crate::metrics::Metrics;

/// A running database.
pub struct Engine {
    /// How it was started.
    pub config: EngineConfig,
    /// All names.
    pub catalog: Catalog,
    /// Every figure of this server; `start` makes it with `Metrics::new()`.
    pub metrics: Arc<Metrics>,
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
    /// Starts workers, sequencer and publisher.
    pub fn start(_config: EngineConfig) -> Result<Arc<Self>> {
        Err(Error::internal("not built yet"))
    }

    /// Opens a session. Errors: `53300` too many connections, `22023` or `42704` for a bad startup setting.
    pub fn connect(self: &Arc<Self>, _startup: Startup) -> Result<Session> {
        Err(Error::internal("not built yet"))
    }

    /// Cancels what the session with this pid and secret runs; a wrong pair does nothing.
    pub fn cancel(&self, _pid: i32, _secret: i32) {}

    /// Ends all sessions (57P01), then the threads. Blocks for the threads' end: call it where blocking is fine.
    pub fn shutdown(&self) {}
}
