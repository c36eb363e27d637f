//! The rows of the system relations that show what runs.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::environment::Shared;
use super::micros;
use super::settings::{self, Scope, print_duration};
use super::sinks::sinks;
use crate::catalog::SystemRelation;
use crate::catalog::system::{Rows, Value};
use crate::config::STATUS_PATIENCE;
use crate::data::EventTime;
use crate::error::{Error, Result};
use crate::runtime::{ReadMode, Settings};

/// A system relation's rows now.
pub(super) async fn rows(shared: &Arc<Shared>, relation: &SystemRelation) -> Result<RecordBatch> {
    let mut rows = Rows::new(relation.schema.clone());
    if relation.namespace == "highwater" {
        // They show what was acknowledged before the statement, as a table would; but not only when what they are to
        // explain is over.
        let runtime = &shared.engine.runtime;
        match relation.name {
            "late_rows" | "errors" => drop(runtime.snapshot(ReadMode::Acknowledged).await?),
            _ => runtime.wait_settled(STATUS_PATIENCE).await?,
        }
    }
    match (relation.namespace, relation.name) {
        ("highwater", "views") => views(shared, &mut rows).await?,
        ("highwater", "watermarks") => watermarks(shared, &mut rows).await?,
        ("highwater", "late_rows") => late_rows(shared, &mut rows).await?,
        ("highwater", "errors") => errors(shared, &mut rows).await?,
        ("highwater", "sources") => sources(shared, &mut rows).await?,
        ("highwater", "sinks") => sinks(shared, &mut rows),
        ("highwater", "operators") => operators(shared, &mut rows).await?,
        ("highwater", "memory") => memory(shared, &mut rows).await,
        ("highwater", "checkpoints") => checkpoints(shared, &mut rows).await?,
        ("highwater", "epochs") => epochs(shared, &mut rows).await?,
        ("highwater", "settings") => all_settings(shared, &mut rows).await?,
        ("pg_catalog", "pg_settings") => pg_settings(shared, &mut rows).await?,
        ("pg_catalog", "pg_stat_activity") => activity(shared, &mut rows),
        ("pg_catalog", "pg_cursors") => cursors(shared, &mut rows),
        ("pg_catalog", "pg_prepared_statements") => prepared(shared, &mut rows),
        (namespace, name) => return Err(Error::internal(format!("no rows for {namespace}.{name}"))),
    }
    rows.finish()
}

/// A watermark as a timestamp: none at minus infinity, PostgreSQL's infinity at the end of event time.
fn instant(time: EventTime) -> Value {
    match time {
        EventTime::MIN => Value::Null,
        EventTime(micros) => Value::Int(micros),
    }
}

async fn views(shared: &Shared, rows: &mut Rows) -> Result<()> {
    let mut hidden = shared.engine.temporary.lock().clone();
    hidden.retain(|id, _| !shared.engine.replacements.lock().contains(id));
    for view in shared.engine.runtime.status().await?.views.iter().filter(|v| !hidden.contains_key(&v.id)) {
        rows.push([
            ("name", (&view.name).into()),
            ("status", view.phase.name().into()),
            ("epoch", view.epoch.0.into()),
            ("lag_ms", view.lag_ms.into()),
            ("freshness_ms", view.freshness_ms.into()),
            ("rows", view.rows.into()),
            ("bytes", view.bytes.into()),
            ("late_accepted", view.counters.late_accepted.into()),
            ("late_rejected", view.counters.late_rejected.into()),
            ("windows_missed", view.counters.windows_missed.into()),
            ("failed_rows", view.counters.failed_rows.into()),
            ("errors", view.errors.into()),
            ("progress", view.progress.into()),
            ("reason", view.reason.as_deref().map(str::to_owned).into()),
            ("expired_rows", view.counters.expired_rows.into()),
        ]);
    }
    Ok(())
}

async fn watermarks(shared: &Shared, rows: &mut Rows) -> Result<()> {
    for entry in &shared.engine.runtime.status().await?.watermarks {
        rows.push([
            ("source", (&entry.source).into()),
            ("partition", entry.partition.into()),
            ("watermark", instant(entry.watermark)),
            ("lag_ms", entry.lag_ms.into()),
            ("idle", entry.idle.into()),
            ("rows", entry.rows.into()),
            ("late", entry.late.into()),
            ("held_by", entry.held_by.clone().into()),
        ]);
    }
    Ok(())
}

async fn late_rows(shared: &Shared, rows: &mut Rows) -> Result<()> {
    for late in shared.engine.runtime.late_rows(None).await? {
        rows.push([
            ("view", late.view_name.as_ref().into()),
            ("hw_epoch", late.epoch.0.into()),
            ("hw_diff", late.diff.into()),
            ("event_time", instant(late.event_time)),
            ("watermark", instant(late.watermark)),
            ("windows_missed", late.windows_missed.into()),
            ("row", late.row.into()),
        ]);
    }
    Ok(())
}

async fn errors(shared: &Shared, rows: &mut Rows) -> Result<()> {
    for entry in shared.engine.runtime.errors().await? {
        rows.push([
            ("view", entry.view_name.as_ref().into()),
            ("hw_epoch", entry.epoch.0.into()),
            ("hw_diff", entry.error.diff.into()),
            ("operator", entry.error.operator.as_ref().into()),
            ("sqlstate", entry.error.code.0.into()),
            ("message", entry.error.message.as_ref().into()),
            ("row", entry.error.row.into()),
        ]);
    }
    Ok(())
}

async fn sources(shared: &Shared, rows: &mut Rows) -> Result<()> {
    for source in &shared.engine.runtime.status().await?.sources {
        rows.push([
            ("name", (&source.name).into()),
            ("partition", source.partition.into()),
            ("status", source.status.into()),
            ("offset", source.offset.into()),
            ("rows", source.rows.into()),
            ("bad_records", source.bad_records.into()),
            ("queued_rows", source.queued_rows.into()),
            ("error", source.error.clone().into()),
            ("address", source.address.clone().into()),
            ("archive_rows", source.archive.as_ref().map(|archive| archive.rows).into()),
            ("archive_bytes", source.archive.as_ref().map(|archive| archive.bytes).into()),
            ("archive_oldest", source.archive.as_ref().and_then(|archive| archive.oldest.clone()).into()),
        ]);
    }
    Ok(())
}

async fn operators(shared: &Shared, rows: &mut Rows) -> Result<()> {
    for operator in &shared.engine.runtime.status().await?.operators {
        rows.push([
            ("view", (&operator.view_name).into()),
            ("node", operator.node.into()),
            ("worker", operator.worker.into()),
            ("operator", (&operator.name).into()),
            ("rows_in", operator.rows_in.into()),
            ("rows_out", operator.rows_out.into()),
            ("state_rows", operator.state_rows.into()),
            ("state_bytes", operator.state_bytes.into()),
            ("watermark", operator.watermark.map_or(Value::Null, instant)),
        ]);
    }
    Ok(())
}

async fn memory(shared: &Shared, rows: &mut Rows) {
    for held in shared.engine.memory().await {
        rows.push([
            ("holder", held.holder.into()),
            ("memory_bytes", held.memory.into()),
            ("disk_bytes", held.disk.into()),
            ("limit_bytes", held.limit.into()),
        ]);
    }
}

async fn checkpoints(shared: &Shared, rows: &mut Rows) -> Result<()> {
    let ms = |took: std::time::Duration| took.as_secs_f64() * 1000.0;
    for checkpoint in &shared.engine.runtime.status().await?.checkpoints {
        rows.push([
            ("number", checkpoint.number.into()),
            ("epoch", checkpoint.epoch.0.into()),
            ("taken", checkpoint.taken.into()),
            ("bytes", checkpoint.written.map(|written| written.bytes).into()),
            ("total_bytes", checkpoint.total_bytes.into()),
            ("took_ms", checkpoint.written.map(|written| ms(written.took)).into()),
            ("pause_ms", checkpoint.written.map(|written| ms(written.pause)).into()),
        ]);
    }
    Ok(())
}

async fn epochs(shared: &Shared, rows: &mut Rows) -> Result<()> {
    for epoch in &shared.engine.runtime.status().await?.epochs {
        rows.push([
            ("epoch", epoch.epoch.0.into()),
            ("rows", epoch.rows.into()),
            ("bytes", epoch.bytes.into()),
            ("transactions", epoch.transactions.into()),
            ("closed", micros(epoch.closed).into()),
            ("latency_ms", epoch.latency_ms.into()),
        ]);
    }
    Ok(())
}

/// A setting's value now: the session's, or the server's.
pub(super) fn value_of(shared: &Shared, system: &Settings, definition: &settings::Definition) -> String {
    let ms = |d: std::time::Duration| print_duration(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    match definition.name {
        "epoch_interval" => ms(system.epoch_interval),
        "checkpoint_interval" => ms(system.checkpoint_interval),
        "history" => ms(system.history),
        "max_lag" => ms(system.max_lag),
        "idle_timeout" => ms(system.idle_timeout),
        "late_rows" => system.late_rows.to_string(),
        _ => shared.settings.lock().get(definition),
    }
}

async fn all_settings(shared: &Shared, rows: &mut Rows) -> Result<()> {
    let system = shared.engine.runtime.settings();
    for definition in settings::ALL {
        let scope = match definition.scope {
            Scope::Session => "session",
            Scope::System => "system",
            Scope::Fixed => "fixed",
        };
        rows.push([
            ("name", definition.name.into()),
            ("value", value_of(shared, &system, definition).into()),
            ("default_value", definition.default.into()),
            ("scope", scope.into()),
            ("description", definition.description.into()),
        ]);
    }
    Ok(())
}

async fn pg_settings(shared: &Shared, rows: &mut Rows) -> Result<()> {
    let system = shared.engine.runtime.settings();
    for definition in settings::ALL {
        let (context, kind) = (context(definition.scope), vartype(definition.kind));
        rows.push([
            ("name", definition.name.into()),
            ("setting", value_of(shared, &system, definition).into()),
            ("category", "Highwater".into()),
            ("short_desc", definition.description.into()),
            ("context", context.into()),
            ("vartype", kind.into()),
            ("source", "default".into()),
            ("boot_val", definition.default.into()),
            ("reset_val", definition.default.into()),
        ]);
    }
    Ok(())
}

fn context(scope: Scope) -> &'static str {
    match scope {
        Scope::Session => "user",
        Scope::System => "sighup",
        Scope::Fixed => "internal",
    }
}

fn vartype(kind: settings::Kind) -> &'static str {
    match kind {
        settings::Kind::Bool => "bool",
        settings::Kind::Int(..) | settings::Kind::ExactDigits | settings::Kind::Duration | settings::Kind::Bytes => {
            "integer"
        }
        settings::Kind::Enum(_) | settings::Kind::Only(_) => "enum",
        settings::Kind::Text | settings::Kind::Zone | settings::Kind::DateStyle => "string",
    }
}

fn activity(shared: &Shared, rows: &mut Rows) {
    for session in shared.engine.sessions() {
        let activity = session.activity.lock().clone();
        let transaction = session.transaction.lock();
        let state = match (activity.running, transaction.is_open(), transaction.is_failed()) {
            (true, _, _) => "active",
            (false, true, true) => "idle in transaction (aborted)",
            (false, true, false) => "idle in transaction",
            (false, false, _) => "idle",
        };
        let began = transaction.is_open().then_some(transaction.began);
        drop(transaction);
        rows.push([
            ("datid", 16000_u32.into()),
            ("datname", (&session.database).into()),
            ("pid", session.pid.into()),
            ("leader_pid", Value::Null),
            ("usesysid", 10_u32.into()),
            ("usename", (&session.user).into()),
            ("application_name", session.settings.lock().named("application_name").into()),
            ("client_addr", session.address.map(|a| a.ip().to_string()).into()),
            ("client_port", session.address.map(|a| i32::from(a.port())).into()),
            ("backend_start", session.connected.into()),
            ("xact_start", began.into()),
            ("query_start", (activity.since > 0).then_some(activity.since).into()),
            ("state_change", (activity.since > 0).then_some(activity.since).into()),
            ("state", state.into()),
            ("backend_xid", Value::Null),
            ("backend_xmin", Value::Null),
            ("query_id", Value::Null),
            ("query", activity.query.into()),
            ("backend_type", "client backend".into()),
        ]);
    }
}

/// The session's own cursors, as they were before the statement that asks.
fn cursors(shared: &Shared, rows: &mut Rows) {
    for cursor in &shared.activity.lock().cursors {
        rows.push([
            ("name", (&cursor.name).into()),
            ("statement", (&cursor.statement).into()),
            ("is_holdable", cursor.hold.into()),
            ("creation_time", cursor.created.into()),
        ]);
    }
}

/// The session's own statements of PREPARE.
fn prepared(shared: &Shared, rows: &mut Rows) {
    for (name, text) in &shared.activity.lock().prepared {
        rows.push([
            ("name", name.into()),
            ("statement", text.into()),
            ("prepare_time", Value::Null),
            ("from_sql", true.into()),
        ]);
    }
}
