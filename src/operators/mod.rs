//! One streaming operator per file, all implementing [`Operator`]; no timely here.
//!
//! The contract is in [`contract`]; debug builds wrap every operator in a check of it. [`render`] makes a view's
//! dataflow of its plan; [`harness`] runs one in a single thread, for tests.
//!
//! Uses: data, error, stack, spill, functions, catalog, plan, state

mod aggregate;
mod checked;
pub mod contract;
mod evaluate;
mod filter;
pub mod harness;
mod join;
mod preaggregate;
mod project;
mod render;
#[cfg(test)]
mod tests;
mod union;
mod unnest;
mod window;

pub use crate::state::fault;
pub use contract::{
    Counters, Exchange, Fuel, Graph, LateRows, Node, Operator, Output, RowError, Step, Stop, Upstream, Worker,
};
pub use evaluate::row_json;
pub use render::render;
