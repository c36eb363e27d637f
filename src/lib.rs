//! Highwater: a SQL streaming query engine behind the PostgreSQL wire protocol.
//!
//! The modules below are listed in reading order, and the list is the law: a module names only modules above it.

pub mod error;
pub mod config;
pub mod metrics;
pub mod data;
pub mod functions;
pub mod formats;
pub mod connectors;
pub mod catalog;
pub mod sql;
pub mod state;
pub mod plan;
pub mod operators;
pub mod log;
pub mod store;
pub mod runtime;
pub mod engine;
pub mod server;
pub mod cli;
