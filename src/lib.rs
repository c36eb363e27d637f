//! Highwater: a SQL streaming query engine behind the PostgreSQL wire protocol.
//!
//! The modules below are listed in reading order, and the list is the law: a module names only modules above it.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod connectors;
pub mod data;
pub mod engine;
pub mod error;
pub mod formats;
pub mod functions;
pub mod log;
pub mod metrics;
pub mod operators;
pub mod plan;
pub mod runtime;
pub mod server;
pub mod sql;
pub mod state;
pub mod store;
