//! The database as a value: sessions execute statements and give back outcomes; the server only moves them over the wire.
//!
//! Uses: error, config, metrics, data, functions, connectors, catalog, sql, plan, operators, runtime, store

pub mod outcome;
