//! Schema `highwater`: what runs, as tables. The columns are fixed; the engine fills in the rows.

use super::system::{Source, SystemTable};

/// The tables of the schema.
pub(super) static TABLES: &[&SystemTable] = &[
    &VIEWS,
    &WATERMARKS,
    &LATE_ROWS,
    &ERRORS,
    &SOURCES,
    &SINKS,
    &OPERATORS,
    &MEMORY,
    &EPOCHS,
    &CHECKPOINTS,
    &SETTINGS,
];

/// One row per materialized view.
static VIEWS: SystemTable = SystemTable {
    name: "views",
    oid: 13400,
    columns: "name text, status text, epoch int8, lag_ms int8, freshness_ms float8, rows int8, bytes int8, \
              late_accepted int8, late_rejected int8, windows_missed int8, failed_rows int8, errors int8, progress float8, \
              reason text, expired_rows int8",
    source: Source::Engine,
};

/// One row per partition of a source or table with a watermark.
static WATERMARKS: SystemTable = SystemTable {
    name: "watermarks",
    oid: 13401,
    columns: "source text, partition int4, watermark timestamptz, lag_ms int8, idle bool, rows int8, late int8, held_by text",
    source: Source::Engine,
};

/// One row per change turned away from all its windows; the newest per view.
static LATE_ROWS: SystemTable = SystemTable {
    name: "late_rows",
    oid: 13402,
    columns: "view text, hw_epoch int8, hw_diff int8, event_time timestamptz, watermark timestamptz, \
              windows_missed int4, row text",
    source: Source::Engine,
};

/// One row per row that failed, and per record that could not be decoded.
static ERRORS: SystemTable = SystemTable {
    name: "errors",
    oid: 13403,
    columns: "view text, hw_epoch int8, hw_diff int8, operator text, sqlstate text, message text, row text",
    source: Source::Engine,
};

/// One row per partition that is, or was, read.
static SOURCES: SystemTable = SystemTable {
    name: "sources",
    oid: 13404,
    columns: "name text, partition int4, status text, offset int8, rows int8, bad_records int8, queued_rows int8, error text, \
              address text, archive_rows int8, archive_bytes int8, archive_oldest text",
    source: Source::Engine,
};

/// One row per sink.
static SINKS: SystemTable = SystemTable {
    name: "sinks",
    oid: 13420,
    columns: "name text, relation text, connector text, format text, encode text, path text, status text, epoch int8, \
              parts int8, rows int8, bytes int8, queued_bytes int8, error text, comment text",
    source: Source::Engine,
};

/// One row per view, operator and worker.
static OPERATORS: SystemTable = SystemTable {
    name: "operators",
    oid: 13405,
    columns: "view text, node int4, worker int4, operator text, rows_in int8, rows_out int8, state_rows int8, \
              state_bytes int8, watermark timestamptz",
    source: Source::Engine,
};

/// One row per sort of thing that memory is held for.
static MEMORY: SystemTable = SystemTable {
    name: "memory",
    oid: 13421,
    columns: "holder text, memory_bytes int8, disk_bytes int8, limit_bytes int8",
    source: Source::Engine,
};

/// The newest epochs.
static EPOCHS: SystemTable = SystemTable {
    name: "epochs",
    oid: 13406,
    columns: "epoch int8, rows int8, bytes int8, transactions int8, closed timestamptz, latency_ms float8",
    source: Source::Engine,
};

/// The newest checkpoints.
static CHECKPOINTS: SystemTable = SystemTable {
    name: "checkpoints",
    oid: 13408,
    columns: "number int8, epoch int8, taken timestamptz, bytes int8, total_bytes int8, took_ms float8, pause_ms float8",
    source: Source::Engine,
};

/// All settings, the session's and the server's.
static SETTINGS: SystemTable = SystemTable {
    name: "settings",
    oid: 13407,
    columns: "name text, value text, default_value text, scope text, description text",
    source: Source::Engine,
};
