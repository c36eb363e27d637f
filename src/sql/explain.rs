//! [`Explain`]: what EXPLAIN says.

use super::statement::{CreateMaterializedView, Name, Select, Subscribe};

/// EXPLAIN.
#[derive(Clone, Debug)]
pub struct Explain {
    /// Its options.
    pub options: ExplainOptions,
    /// What.
    pub what: Explained,
}

/// Options of EXPLAIN.
#[derive(Clone, Copy, Debug)]
pub struct ExplainOptions {
    /// ANALYZE: what it did, not only what it would do.
    pub analyze: bool,
    /// VERBOSE.
    pub verbose: bool,
    /// FORMAT JSON rather than TEXT.
    pub json: bool,
    /// TIMING: how long each operator took.
    pub timing: bool,
    /// SUMMARY: how long all took.
    pub summary: bool,
}

/// What EXPLAIN explains.
#[derive(Clone, Debug)]
pub enum Explained {
    /// A query: its batch plan.
    Query(Select),
    /// A subscription: the incremental plan of its query.
    Subscribe(Box<Subscribe>),
    /// A continuous view that is not created: its incremental plan.
    View(Box<CreateMaterializedView>),
    /// EXPLAIN MATERIALIZED VIEW v: the plan of one that runs.
    Running(Name),
}
