//! Threads, epochs, and everything that is not a pure function.
//!
//! ```text
//!  sessions --Request--> sequencer (1 thread) --Command--> workers (n timely threads) --Report--> publisher (1 thread)
//!  readers  --pieces---> | input log, table heads,          operators, state             | view stores, late rows,
//!  (1 thread each)       | clock, epochs                                                 | errors, subscriptions
//!                        ^------------------- published epoch ---------------------------'
//! ```
//!
//! Uses: error, config, metrics, data, connectors, state, operators, log, store

pub mod command;
mod workers;

pub use workers::Workers;
