//! Highwater: a SQL streaming query engine behind the PostgreSQL wire protocol.
//!
//! Clients declare tables, sources and *materialized views*; views are kept right as their inputs change. At every
//! epoch a view equals its query run once over what was accepted until then, minus what its lateness turned away and
//! the rows that failed in an expression; both can be read back.
//!
//! ```text
//!  psql / drivers / BI                               files, sockets
//!         | PostgreSQL protocol                             | bytes
//!    server -> engine: sessions, transactions          connectors -> formats
//!         |  SQL text              | row changes            | Arrow batches
//!    sql: parser, binder           v                        v
//!         -> DataFusion plan     runtime::sequencer: ONE ordered input log, table stores, the clock, epochs
//!    plan: -> incremental Plan            | commands, epoch by epoch
//!         (keys, append-only,             v
//!          watermarks, state bound)  runtime::workers (timely): exchange, operators, state
//!         ^                               | each view's changes per epoch
//!         |                               v
//!         +-- SELECT: DataFusion  <- runtime::publisher: view stores, late rows, errors, subscriptions
//!             over one published epoch    | each epoch's changes
//!                                         +-> sink: files, written by threads of their own
//! ```
//!
//! # The life of a statement
//!
//! 1. [`server`] reads bytes into a query text, or a prepared statement with parameters, and hands it to the
//!    connection's [`engine::Session`]. It knows the protocol and no SQL.
//! 2. [`sql`] parses the text into a closed `Statement` enum: PostgreSQL's syntax, and ours (WATERMARK FOR, EMIT,
//!    SUBSCRIBE, ..).
//! 3. [`sql`] binds it against one immutable snapshot of the [`catalog`]: names, types and column names as PostgreSQL
//!    would have them; a query becomes a DataFusion plan. TUMBLE and HOP are nodes of it that run in batch and
//!    streaming alike.
//! 4. [`engine`] does what the statement is:
//!    * SELECT: the plan runs as batch over the table and view stores of one published epoch.
//!    * INSERT, UPDATE, DELETE, COPY: row changes go to the sequencer, and the answer waits until their epoch is
//!      closed and its record durable. In a transaction they wait for COMMIT: a transaction lies in one epoch.
//!    * CREATE MATERIALIZED VIEW: [`plan`] lowers the query to the closed set of incremental operators, with the
//!      derived properties that say what may be emitted and what bounds the state; what has no operator is refused by
//!      name. The runtime builds the dataflow on every worker, feeds it what its inputs hold, and joins it to the
//!      clock at one epoch.
//!    * SUBSCRIBE: a view's store as of one epoch, then each later epoch's changes.
//!    * Whatever is computed for it is computed aside, on threads that serve no connection: one expression may take long.
//! 5. The outcome streams back through [`server`], which encodes Arrow columns as PostgreSQL text or binary. Dropping
//!    the stream, a cancel or a vanished client ends whatever the statement waits for, and leaves what it computes.
//!
//! # The life of a row
//!
//! 1. A [`connectors`] reader takes records from an offset on, [`formats`] makes Arrow batches of them; a record that
//!    does not decode is reported and the rest goes on. Rows of DML enter at the sequencer instead.
//! 2. The reader computes the source's watermark row by row, in arrival order. A batch in which a row is late carries
//!    each row's watermark before it ([`data::Arrival`]); one in order pays nothing.
//! 3. The sequencer admits it to the open epoch within a row and a byte budget, and closes the epoch with one record
//!    in the [`log`]: row changes, offset ranges, decisions of timing, and the vector of source watermarks. Every
//!    watermark inside a view is a pure function of that vector, so the log alone decides what a replay computes.
//! 4. On the workers the changes (rows with a diff: +1 inserts, -1 retracts) pass through [`operators`]. Filters and
//!    projections let them through; a window operator decides, once and without state, whether a row is too late for
//!    a window; below it, each worker aggregates what it has, and the parts are exchanged by key to the worker that owns
//!    their hash bucket, and change the [`state`] there. A row of overlapping windows travels once, for all of them.
//! 5. When the epoch's input is complete on every worker, `step` emits what changed: -1 the old row, +1 the new one.
//!    A view that emits on window close waits for the watermark to pass the window's end; after that, late rows
//!    correct the row until the window is final, and then its state is freed.
//! 6. The publisher applies each view's changes to its multi-version [`store`], and publishes the epoch when all
//!    views on the clock have it and its record is durable: SELECTs that waited for it go on, subscribers get its changes,
//!    and so do [`sink`]s, which write them outside.
//!
//! # The life of a data directory
//!
//! The log holds everything that is no pure function, so a replay of it makes everything again. A [`checkpoint`] is
//! what everything was at one epoch, copied at a quiet moment between two epochs, only as far as it changed, and kept
//! in the directory or in a bucket; a clean stop takes one too, and leaves no log to read back. So a start ([`engine`]
//! takes the directory and makes the catalog again, [`runtime`] the rest) puts tables, views and operators' states back
//! as the newest checkpoint has them, and replays the log behind it: tables get their changes, sources are read again
//! in the ranges that were logged, views join at their epochs, late rows and errors come as they came. Then readers go
//! on where the log ends, and epochs behind its last one: what had not become durable had not been shown to anybody.
//!
//! # Reading order
//!
//! The modules below are listed in reading order, and the list is the law: a module names only modules above it,
//! which a test checks. `timely` is named in [`runtime`] only, `pgwire` in [`server`], the SQL parser in [`sql`].

pub mod error;
pub mod config;
pub mod stack;
pub mod metrics;
pub mod fault;
pub mod data;
pub mod spill;
pub mod functions;
pub mod formats;
pub mod connectors;
pub mod catalog;
pub mod sql;
pub mod state;
pub mod plan;
pub mod operators;
pub mod log;
pub mod checkpoint;
pub mod archive;
pub mod store;
pub mod sink;
pub mod runtime;
pub mod engine;
pub mod server;
pub mod cli;
