//! One streaming operator per file, all implementing [`Operator`]; no timely here.
//!
//! The contract is in [`contract`]; debug builds wrap every operator in [`checked`], which asserts it.
//!
//! Uses: data, error, functions, state, plan

pub mod contract;
mod render;

pub use contract::{
    Counters, Exchange, Fuel, Graph, LateRows, Node, Operator, Output, RowError, Step, Upstream, Worker,
};
pub use render::render;
