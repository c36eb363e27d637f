//! `POST /ingest/{table}`: the body's rows into a table, one request, one transaction, as COPY does it.
//!
//! | Content-Type | body | columns |
//! |---|---|---|
//! | `application/x-ndjson`, `application/jsonl` | one JSON object per line | by key |
//! | `application/json` | an array of objects, or one object | by key |
//! | `text/csv` | CSV as COPY .. (FORMAT csv) reads it | by the names in the first line; by position with `header=absent` |
//!
//! Columns that are left out get their defaults. The answer is `{"epoch": e, "rows": n}` once the rows are in the input
//! log: a SELECT that is sent after it sees them. Else nothing was written, and the answer is
//! `{"code": SQLSTATE, "message": .., "detail": .., "hint": .., "line": n}` (what is known) with status 400 for rows that
//! do not fit, 404 no such table, 408 a body that stalls, 413 more than `max_transaction`, 415 another Content-Type,
//! 429 too many requests at once, 503 the server stops or has too many sessions.
//!
//! A body is decoded as it comes; what waits is its rows, up to `max_transaction`, of [`INGEST_REQUESTS`] requests.

mod body;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{INGEST_REQUESTS, INGEST_STALL_S};
use crate::engine::{Engine, Startup};
use crate::error::{Error, Result, SqlState};
use body::Rows;

/// What all requests share.
#[derive(Clone)]
pub(super) struct Ingesting {
    engine: Arc<Engine>,
    permits: Arc<Semaphore>,
}

impl Ingesting {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, permits: Arc::new(Semaphore::new(INGEST_REQUESTS)) }
    }
}

/// Why a request was refused: a status of HTTP's own, or the one that goes with the SQLSTATE; and where in the body.
struct Refusal {
    status: Option<StatusCode>,
    error: Error,
    line: Option<u64>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: None, error, line: None }
    }
}

impl Refusal {
    fn with(status: StatusCode, code: SqlState, message: impl Into<String>, hint: &str) -> Self {
        Self { status: Some(status), error: Error::new(code, message).with_hint(hint), line: None }
    }
}

/// Answers a request.
pub(super) async fn post(
    State(ingesting): State<Ingesting>,
    Path(table): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match ingest(&ingesting, &table, &headers, body).await {
        Ok((epoch, rows)) => answer(StatusCode::OK, &json!({ "epoch": epoch, "rows": rows })),
        Err(refusal) => refused(&refusal),
    }
}

async fn ingest(ingesting: &Ingesting, table: &str, headers: &HeaderMap, body: Body) -> Result<(u64, u64), Refusal> {
    let Ok(_permit) = ingesting.permits.try_acquire() else {
        let message = format!("more than {INGEST_REQUESTS} requests bring rows at once");
        let hint = "Try again, and put more rows into each request.";
        return Err(Refusal::with(StatusCode::TOO_MANY_REQUESTS, SqlState::TOO_MANY_CONNECTIONS, message, hint));
    };
    check_headers(ingesting, headers)?;
    let kind = body::Kind::of(headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default());
    let Some(kind) = kind else {
        let hint = "Send application/x-ndjson (one object per line), application/json or text/csv.";
        let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, SqlState::FEATURE_NOT_SUPPORTED);
        return Err(Refusal::with(status, code, "this Content-Type is not supported", hint));
    };
    let startup = Startup { options: vec![("application_name".to_owned(), "http".to_owned())], ..Startup::default() };
    let mut session = ingesting.engine.connect(startup)?;
    let stopped = session.terminated();
    let mut rows = Rows::new(session.ingest(table)?, kind);
    let mut stream = body.into_data_stream();
    let mut bytes = 0;
    loop {
        let next = tokio::select! {
            biased;
            () = stopped.cancelled() => return Err(stopping().into()),
            next = timeout(Duration::from_secs(INGEST_STALL_S), stream.next()) => next,
        };
        let Ok(next) = next else {
            let message = format!("no byte of the body came for {INGEST_STALL_S} s");
            let (status, code) = (StatusCode::REQUEST_TIMEOUT, SqlState::QUERY_CANCELED);
            return Err(Refusal::with(status, code, message, "Send the request again: nothing was written."));
        };
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|error| Error::new(SqlState::CONNECTION_FAILURE, error.to_string()))?;
        bytes += chunk.len();
        check_size(ingesting, bytes)?;
        rows.push(&chunk)?;
    }
    let (epoch, rows) = rows.finish()?.commit().await?;
    Ok((epoch.0, rows))
}

/// What can be refused before the body is read.
fn check_headers(ingesting: &Ingesting, headers: &HeaderMap) -> Result<(), Refusal> {
    let number = |value: &HeaderValue| value.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    check_size(ingesting, headers.get(CONTENT_LENGTH).and_then(number).unwrap_or_default())?;
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, SqlState::FEATURE_NOT_SUPPORTED);
            Err(Refusal::with(status, code, "Content-Encoding is not supported", "Send the body as it is."))
        }
        _ => Ok(()),
    }
}

fn check_size(ingesting: &Ingesting, bytes: usize) -> crate::error::Result<()> {
    ingesting.engine.runtime.check_transaction(bytes, "Send it in several requests.")
}

fn stopping() -> Error {
    Error::new(SqlState::ADMIN_SHUTDOWN, "the server is stopping").with_hint("Send the request to it again later.")
}

fn refused(refusal: &Refusal) -> Response {
    let parts = refusal.error.parts();
    let status = refusal.status.unwrap_or(match parts.code {
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => StatusCode::NOT_FOUND,
        SqlState::PROGRAM_LIMIT_EXCEEDED => StatusCode::PAYLOAD_TOO_LARGE,
        SqlState::TOO_MANY_CONNECTIONS | SqlState::ADMIN_SHUTDOWN => StatusCode::SERVICE_UNAVAILABLE,
        SqlState::INTERNAL_ERROR => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    });
    let mut told = json!({ "code": parts.code.0, "message": parts.message });
    for (name, text) in [("detail", &parts.detail), ("hint", &parts.hint)] {
        if let Some(text) = text {
            told[name] = json!(text);
        }
    }
    if let Some(line) = refusal.line {
        told["line"] = json!(line);
    }
    answer(status, &told)
}

fn answer(status: StatusCode, told: &serde_json::Value) -> Response {
    let mut response = (status, format!("{told}\n")).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
