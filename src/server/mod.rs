//! The wire: who may connect, and how values travel; no SQL meaning here.
//!
//! [`Server`] listens for clients of the PostgreSQL protocol (`pg`) and for HTTP (`http`), on loopback addresses only,
//! and serves both until it is shut down. Connections are tasks that share nothing but the engine and the metrics.
//!
//! Uses: error, config, metrics, data, formats, engine

mod http;
mod ingest;
mod pg;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{MAX_CONNECTIONS, SHUTDOWN_S, ServeConfig};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::metrics::Metrics;

/// A server that listens.
pub struct Server {
    engine: Arc<Engine>,
    /// Where clients of the PostgreSQL protocol connect.
    pub pg: SocketAddr,
    /// Where `/health`, `/metrics` and `/ingest/{table}` are.
    pub http: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
    listeners: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds both addresses and starts to accept. Errors: `58030` with the address that can't be had.
    pub async fn start(config: &ServeConfig, engine: Arc<Engine>) -> Result<Self> {
        let metrics = engine.metrics.clone();
        let pg = bind(config.pg_listen).await?;
        let http = bind(config.http_listen).await?;
        let (pg_address, http_address) = (pg.local_addr()?, http.local_addr()?);
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let accept = accept(pg, engine.clone(), metrics.clone(), stop.clone(), connections.clone());
        let listeners = vec![tokio::spawn(accept), tokio::spawn(http::serve(http, engine.clone(), stop.clone()))];
        Ok(Self { engine, pg: pg_address, http: http_address, stop, connections, listeners })
    }

    /// Stops accepting, tells clients 57P01, and ends the engine.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for listener in self.listeners {
            let _ = listener.await;
        }
        let engine = self.engine.clone();
        // The engine tells its sessions, which tell their clients; its threads are joined.
        let ended = tokio::task::spawn_blocking(move || engine.shutdown());
        self.connections.close();
        let _ = timeout(Duration::from_secs(SHUTDOWN_S + 1), self.connections.wait()).await;
        let _ = ended.await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let code = crate::error::SqlState::IO_ERROR;
        Error::new(code, format!("could not listen on {address}: {error}")).with_hint("Choose another port, or port 0.")
    })
}

async fn accept(
    listener: TcpListener,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // A connection that is refused still has to be told so; that too is bounded.
    let refusals = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let permit = permits.clone().try_acquire_owned().ok();
        let Ok(refusal) = refusals.clone().try_acquire_owned() else { continue };
        let (engine, metrics) = (engine.clone(), metrics.clone());
        connections.spawn(async move {
            let refusal = if permit.is_some() { None } else { Some(refusal) };
            pg::serve(engine, metrics, socket, address, permit).await;
            drop(refusal);
        });
    }
}
