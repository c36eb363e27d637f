//! `serve`: starts engine and server, says where they listen, and stops on a signal.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::demo;
use crate::config::{EngineConfig, ServeConfig};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::server::Server;

/// Deep expressions recurse while they are planned.
const STACK_BYTES: usize = 16 << 20;

/// Runs until a signal. `script`: SQL to run first.
pub fn run(config: ServeConfig, script: Option<&str>) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HIGHWATER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,highwater=info"));
    let ansi = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).try_init();
    let runtime = tokio()?;
    // The main thread's own stack is too small for the script's planning.
    let script = script.map(str::to_owned);
    let done = runtime.block_on(async move { tokio::spawn(serve(config, script)).await });
    done.map_err(|error| Error::internal(format!("the server panicked: {error}")))?
}

/// The runtime of a server.
pub(super) fn tokio() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()?)
}

/// A second signal: what is in the log is enough.
fn gone_at_once() {
    tracing::warn!("stopped by a second signal, without a checkpoint: the next start reads the log back");
    std::process::exit(0);
}

async fn serve(config: ServeConfig, script: Option<String>) -> Result<()> {
    // Before anything else, so that a signal during the start is not missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let engine_config = EngineConfig {
        workers: config.workers,
        data_dir: config.data_dir.clone(),
        checkpoint_url: config.checkpoint_url.clone(),
        restore: config.restore,
        file_root: config.file_root.clone(),
        memory_limit: config.memory_limit,
        ..EngineConfig::default()
    };
    // Reading a long log back takes its time; it can be stopped at any moment and begins anew.
    let starting = tokio::task::spawn_blocking(move || Engine::start(engine_config));
    let engine: Arc<Engine> = tokio::select! {
        engine = starting => engine.map_err(|error| Error::internal(format!("the start panicked: {error}")))??,
        _ = terminate.recv() => std::process::exit(0),
        _ = interrupt.recv() => std::process::exit(0),
    };
    let server = match Server::start(&config, engine.clone()).await {
        Ok(server) => server,
        Err(error) => {
            engine.shutdown();
            return Err(error);
        }
    };
    let started = match &script {
        Some(script) => demo::run(&engine, script).await,
        None => Ok(()),
    };
    if started.is_ok() {
        let mut out = std::io::stdout();
        let _ = writeln!(out, "http on http://{}", server.http);
        let _ = writeln!(out, "listening on postgres://{}/highwater", server.pg);
        if script.is_some() {
            let _ = writeln!(out, "{}", demo::guide(server.pg));
        }
        let _ = out.flush();
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopped by SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopped by SIGINT"),
        }
    }
    // The last checkpoint takes a while when much has changed; all that it has is in the log too.
    tokio::select! {
        () = server.shutdown() => {}
        _ = terminate.recv() => gone_at_once(),
        _ = interrupt.recv() => gone_at_once(),
    }
    started
}
