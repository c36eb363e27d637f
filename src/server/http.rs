//! `/health`, `/metrics`, and `POST /ingest/{table}`, which [`super::ingest`] answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::ingest::{self, Ingesting};
use crate::engine::Engine;

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, engine: Arc<Engine>, stop: CancellationToken) {
    let ingest = Router::new().route("/ingest/{table}", post(ingest::post)).with_state(Ingesting::new(engine.clone()));
    let router = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/metrics", get(text))
        .with_state(engine.clone())
        .merge(ingest);
    // A request under way may be dropped with its connection: its rows are committed all at once, or not at all.
    tokio::select! {
        served = axum::serve(listener, router) => {
            if let Err(error) = served {
                tracing::error!(%error, "http ended");
            }
        }
        () = stop.cancelled() => {}
    }
}

async fn text(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    engine.measure_memory().await;
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], engine.metrics.text())
}
