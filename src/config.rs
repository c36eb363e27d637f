//! Every setting and every limit, with default and unit.
//!
//! What a session can SET is listed in `sql::settings`; here is what the process is started with and what bounds it.
//!
//! Uses: error

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result, SqlState};

/// Where clients of the PostgreSQL protocol connect.
pub const PG_LISTEN: &str = "127.0.0.1:7432";
/// Where `/health`, `/metrics` and `/ingest/{table}` are.
pub const HTTP_LISTEN: &str = "127.0.0.1:7480";
/// Where a durable server keeps its data.
pub const DATA_DIR: &str = "./highwater-data";

/// What `serve` was started with.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// PostgreSQL protocol; port 0 picks a free one.
    pub pg_listen: SocketAddr,
    /// HTTP; port 0 picks a free one.
    pub http_listen: SocketAddr,
    /// Timely worker threads.
    pub workers: usize,
    /// Where everything is kept; `None`: nothing outlives the process.
    pub data_dir: Option<PathBuf>,
    /// Where checkpoints are kept; `None`: where they were, in the data directory at first.
    pub checkpoint_url: Option<String>,
    /// A new data directory begins with a checkpoint that is there.
    pub restore: bool,
    /// Files are read only below it, when given.
    pub file_root: Option<PathBuf>,
    /// Bytes that states, rows, history and queries may have together; more goes to disk. `None`: there is no limit.
    pub memory_limit: Option<usize>,
}

/// Client connections at once; more are refused with 53300.
pub const MAX_CONNECTIONS: usize = 1000;
/// Bytes of one message from a client (a statement, its parameters, a piece of COPY); longer ones end the connection.
pub const MAX_MESSAGE: usize = 256 << 20;
/// Bytes of a startup packet, as in PostgreSQL.
pub const MAX_STARTUP: usize = 10_000;
/// Seconds that a client may take to say who it is.
pub const STARTUP_TIMEOUT_S: u64 = 60;
/// Bytes that are read ahead from a client while a statement of its runs.
pub const READ_AHEAD: usize = 1 << 20;
/// Bytes of results that are collected before they are written to a client.
pub const WRITE_BUFFER: usize = 64 << 10;
/// Prepared statements and portals of one connection, each.
pub const MAX_PREPARED: usize = 10_000;
/// Rows that COPY FROM STDIN hands on at once.
pub const COPY_BATCH_ROWS: usize = 8192;
/// Bytes of one line of COPY FROM STDIN.
pub const COPY_MAX_LINE: usize = 64 << 20;
/// HTTP requests at once that bring rows; more are 429.
pub const INGEST_REQUESTS: usize = 64;
/// Seconds that such a request may bring nothing.
pub const INGEST_STALL_S: u64 = 60;
/// Seconds that clients get on shutdown to be told 57P01.
pub const SHUTDOWN_S: u64 = 3;

/// Bytes of a file of the input log, above which the next one begins.
pub const LOG_FILE_BYTES: u64 = 64 << 20;
/// How often a start that takes its time says how far it is.
pub const TELL_EVERY: Duration = Duration::from_secs(1);
/// Seconds that a clean stop waits for its checkpoint to be written; without it the next start reads the log back.
pub const STOP_CHECKPOINT_S: u64 = 20;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Worker threads; default: the number of cores.
    pub workers: usize,
    /// Where everything is kept; `None`: nothing outlives the process.
    pub data_dir: Option<PathBuf>,
    /// Where checkpoints are kept; `None`: where they were, in the data directory at first.
    pub checkpoint_url: Option<String>,
    /// A new data directory begins with a checkpoint that is there.
    pub restore: bool,
    /// Files of `connector = 'file'` must lie below this folder, when given.
    pub file_root: Option<PathBuf>,
    /// Bytes of memory, beyond which states and rows go to disk: to the data directory, or, where there is none, to the
    /// system's folder for temporary files. `None`: there is no limit.
    pub memory_limit: Option<usize>,
    /// Rows per batch at most.
    pub batch_rows: usize,
    /// Operators see every changed row as a batch of its own (tests: batching must change nothing).
    pub one_row_batches: bool,
    /// Rows of one source in one epoch at most.
    pub source_rows: usize,
    /// What the setting `checkpoint_interval` is at first.
    pub checkpoint_interval: Duration,
    /// A checkpoint is taken at a clean stop.
    pub last_checkpoint: bool,
    /// Keeps the whole input log and a digest of what every view changed in every epoch, so that the log can be replayed.
    pub keep_log: bool,
    /// There is a function `panic(text)` that panics: `'plan'` while the statement is planned, anything else while it runs
    /// (tests: a panic is one statement's error), and `panic_at(text)`, with which views do.
    pub panic_function: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            workers,
            data_dir: None,
            checkpoint_url: None,
            restore: false,
            file_root: None,
            memory_limit: None,
            batch_rows: BATCH_ROWS,
            one_row_batches: false,
            source_rows: EPOCH_ROWS,
            checkpoint_interval: Duration::from_secs(10),
            last_checkpoint: true,
            keep_log: false,
            panic_function: false,
        }
    }
}

/// Rows per batch that readers and queries aim at.
pub const BATCH_ROWS: usize = 8192;
/// Rows of one epoch at most, over all inputs; what is above waits for the next epoch.
pub const EPOCH_ROWS: usize = 65_536;
/// Bytes of one epoch at most, over all inputs.
pub const EPOCH_BYTES: usize = 64 << 20;
/// Epochs sent to the workers and not yet complete, at most.
pub const EPOCHS_IN_FLIGHT: usize = 4;
/// Pieces that a reader may be ahead of the sequencer.
pub const READER_QUEUE: usize = 4;
/// Bytes of one transaction at most (1 GiB); more is 54000.
pub const MAX_TRANSACTION_BYTES: usize = 1 << 30;
/// Of a memory limit, as parts of it: bytes of all epochs under way.
pub const IN_FLIGHT_PART: usize = 16;
/// Bytes of one epoch.
pub const EPOCH_PART: usize = 64;
/// Bytes of one transaction.
pub const TRANSACTION_PART: usize = 8;
/// Bytes of writes that wait for the sequencer.
pub const WAITING_PART: usize = 16;
/// Bytes read ahead per source partition.
pub const INGEST_PART: usize = 64;
/// Bytes of all tables' and views' history together.
pub const HISTORY_PART: usize = 16;
/// Bytes that all subscribers together may leave unread.
pub const SUBSCRIBE_PART: usize = 16;
/// Bytes of changes that all sinks together keep until they are written.
pub const SINK_PART: usize = 32;
/// Memory of all queries (not of views) together, where there is no limit; they sort and group on disk when it is not enough, or end with 53200.
pub const QUERY_BYTES: usize = 2 << 30;
/// The least of it: what a small limit leaves them.
pub const QUERY_BYTES_MIN: usize = 32 << 20;
/// Sorts that have room at once for what each keeps in reserve.
pub const SORTS_AT_ONCE: usize = 64;
/// Threads of queries at most: those that compute, and those that stand in for them meanwhile.
pub const QUERY_THREADS: usize = 1024;
/// Computations of one session that nobody waits for any more (cancelled, timed out), at most; beyond it the session's
/// next statement waits for one of them.
pub const ABANDONED_OF_SESSION: usize = 16;
/// The same of all sessions together.
pub const ABANDONED: usize = 64;
/// Bytes of a statement's text that are bound at once; longer ones are bound aside.
pub const QUICK_TEXT: usize = 1000;
/// Bytes of rows that a query hands to a connection at once.
pub const PIECE_BYTES: usize = 8 << 20;
/// Rows that an operator may work on before it yields.
pub const FUEL_ROWS: usize = 65_536;
/// Rows that an operator which makes many of few sends while it takes input; what is more waits for `step`, which yields.
pub const EAGER_ROWS: usize = 8 * BATCH_ROWS;
/// Late rows kept per view, the newest.
pub const LATE_ROWS_KEPT: usize = 10_000;
/// Errors kept per view, the newest.
pub const ERRORS_KEPT: usize = 10_000;
/// How long past versions of views can be read, milliseconds.
pub const HISTORY_MS: u64 = 60_000;
/// Bytes of history kept per view at most.
pub const HISTORY_BYTES: usize = 256 << 20;
/// A view that holds the published epoch back longer leaves the clock, milliseconds.
pub const MAX_LAG_MS: u64 = 10_000;
/// A partition that was silent so long stops holding back the others, milliseconds.
pub const IDLE_TIMEOUT_MS: u64 = 10_000;
/// Bytes that a subscriber may leave unread before it is ended with 53400; the setting `subscribe_buffer`'s default.
pub const SUBSCRIBE_BUFFER_BYTES: usize = 64 << 20;
/// Bytes of changes that all sinks together keep in memory until they are written.
pub const SINK_BYTES: usize = 256 << 20;
/// Bytes of changes that all sinks together keep on disk, in the data directory, when that is not enough (16 GiB).
pub const SINK_SPILL_BYTES: u64 = 16 << 30;
/// Bytes of rows, in memory, of one file of a sink, unless the option `roll_size` says otherwise.
pub const SINK_ROLL_BYTES: usize = 64 << 20;
/// How long a sink's file takes in changes, unless the option `roll_interval` says otherwise.
pub const SINK_ROLL_INTERVAL: Duration = Duration::from_secs(10);
/// Seconds that connecting to a bucket may take.
pub const BUCKET_CONNECT_S: u64 = 5;
/// Seconds that one request to a bucket may take: it moves a pack of 64 MiB.
pub const BUCKET_REQUEST_S: u64 = 120;
/// Seconds after which a request to a bucket that failed is not repeated at once.
pub const BUCKET_RETRY_S: u64 = 10;
/// How long a sink waits before it tries again what the disk refused; twice as long each time, up to the longest.
pub const SINK_RETRY: Duration = Duration::from_secs(1);
/// The longest.
pub const SINK_RETRY_MAX: Duration = Duration::from_secs(30);
/// Rows of a table that an UPDATE or DELETE without its key scans at the head; larger ones are read outside.
pub const HEAD_SCAN_ROWS: usize = 10_000;
/// Times that a scanning UPDATE or DELETE reads anew after a conflict, before it runs inside the sequencer.
pub const WRITE_RETRIES: usize = 3;
/// How long such a write may hold off all others while it computes; then it fails with 40001.
pub const WRITE_LEASE: Duration = Duration::from_secs(1);
/// How long nothing may have been published when a system relation does not wait for what was acknowledged any more.
pub const STATUS_PATIENCE: Duration = Duration::from_secs(1);
/// How long a DROP waits for what is under way, before the views that it drops leave the clock for it.
pub const DROP_PATIENCE: Duration = Duration::from_millis(100);
/// `server_version`: what `version()` and the startup parameters say.
pub const SERVER_VERSION: &str = "15.0";
/// `server_version_num`.
pub const SERVER_VERSION_NUM: &str = "150000";

/// A memory limit is at least this.
pub const MEMORY_MIN: usize = 64 << 20;

/// Stack on which deep statements are planned and evaluated.
pub const STACK_BYTES: usize = 64 << 20;
/// Stack that must be left on a thread for a short statement.
pub const STACK_LEFT_BYTES: usize = 4 << 20;

/// Bytes of one text, or column of texts, that `repeat`, `lpad` or `rpad` makes in one go.
pub const TEXT_BYTES_MAX: usize = 256 << 20;

/// Values of the arrays that `generate_series` makes in one go.
pub const SERIES_MAX: u64 = 1 << 26;

/// Parses `HOST:PORT`; anything but a loopback address is refused, until there is authentication.
pub fn loopback(text: &str) -> Result<SocketAddr> {
    let invalid = || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid address \"{text}\""));
    let text = text.replace("localhost:", "127.0.0.1:");
    let address: SocketAddr =
        text.parse().map_err(|_| invalid().with_hint("Write HOST:PORT, as in 127.0.0.1:7432."))?;
    if !address.ip().is_loopback() {
        return Err(Error::unsupported(
            format!("listening on {address}, which is not a loopback address,"),
            "There is no authentication yet: listen on 127.0.0.1 or [::1].",
        ));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        assert_eq!(loopback("localhost:0").unwrap().port(), 0);
        assert_eq!(loopback("[::1]:5").unwrap().port(), 5);
        for bad in ["0.0.0.0:7432", "192.168.1.1:7432", "[::]:1"] {
            assert_eq!(loopback(bad).unwrap_err().code(), SqlState::FEATURE_NOT_SUPPORTED, "{bad}");
        }
        assert_eq!(loopback("7432").unwrap_err().code(), SqlState::INVALID_PARAMETER_VALUE);
    }
}
