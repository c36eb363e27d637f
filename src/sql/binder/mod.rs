//! Syntax -> analyzed DataFusion plans with PostgreSQL's names, types and errors.
//!
//! A query's life here: `clauses` and `calls` refuse what stands where it may not, `prepare` changes its syntax (column
//! names, literals; `syntax` has what it is made with), DataFusion's `SqlToRel` plans it over `provider`, which answers for
//! names and functions and hooks in `operators` (types of operators) and `windows` (TUMBLE, HOP; those in GROUP BY are
//! `group_windows`'); `typing` gives all other expressions PostgreSQL's types (`conditions` those that look at a value more
//! than once), `lazy` makes AND and OR lazy, `keys` lets equal values meet, `errors` words what went wrong and `places` says
//! where. `query` puts it together, `dml` does INSERT, UPDATE, DELETE.

mod aggregates;
mod aliases;
mod bound;
mod calls;
mod changes;
mod clauses;
mod conditions;
mod containers;
mod dml;
mod errors;
mod exists;
mod fold;
mod group_windows;
mod intervals;
mod keys;
mod lateral;
mod lazy;
mod marks;
mod moment;
mod names;
mod operators;
mod places;
mod prepare;
mod provider;
mod query;
mod records;
mod rows;
mod scope;
mod sets;
mod stand_in;
mod stars;
mod subqueries;
mod syntax;
mod table_functions;
mod typing;
mod unions;
mod using;
mod values;
mod windows;
mod written;

pub(in crate::sql) use provider::options;
pub(crate) use query::there_is_no;

pub use names::visible;

pub use bound::{BoundDelete, BoundInsert, BoundQuery, BoundUpdate, BoundView, ConflictAction, Local, Returning};

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::catalog::Snapshot;
use crate::data::text::TimeZone;
use crate::error::Result;

use super::statement::{Delete, Insert, Query, Update};

/// What binding needs to know of a session. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BindSession {
    /// Functions that know the session or the catalog, by lower-case name; they come before all others.
    pub functions: Arc<HashMap<String, Arc<ScalarUDF>>>,
    /// TimeZone.
    pub time_zone: TimeZone,
    /// Schemas searched for unqualified names, in order (`pg_catalog` is searched first in any case).
    pub search_path: Vec<String>,
    /// What `now()` is: microseconds UTC, the start of the transaction.
    pub now: i64,
}

/// Binds statements against one version of the catalog, for one session.
#[derive(Clone, Copy, Debug)]
pub struct Binder<'a> {
    /// Names.
    pub snapshot: &'a Arc<Snapshot>,
    /// Settings and functions.
    pub session: &'a BindSession,
}

impl<'a> Binder<'a> {
    /// A binder; costs nothing.
    pub fn new(snapshot: &'a Arc<Snapshot>, session: &'a BindSession) -> Self {
        Self { snapshot, session }
    }

    /// A query. `parameters`: oids of `$1`, ..; 0 or missing is inferred.
    pub fn query(&self, query: &Query, parameters: &[u32]) -> Result<BoundQuery> {
        self.bind_query(query, parameters)
    }

    /// A query that no parameters come to. Errors: 42P02.
    pub fn closed_query(&self, query: &Query) -> Result<BoundQuery> {
        self.bind_closed_query(query)
    }

    /// The query of a continuous view: the fixed list of rules is applied, volatile functions are 0A000.
    /// `columns`: names given in CREATE; empty: the query's. `windows`: puts windows into the plan before the rules.
    pub fn view(
        &self,
        query: &Query,
        columns: &[String],
        windows: impl FnOnce(LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<BoundView> {
        self.bind_view(query, columns, windows)
    }

    /// The query of a plain view: what its columns are called and of which types they are.
    pub fn plain_view(&self, query: &Query, columns: &[String]) -> Result<BoundQuery> {
        self.bind_view_columns(query, columns)
    }

    /// INSERT.
    pub fn insert(&self, insert: &Insert, parameters: &[u32]) -> Result<BoundInsert> {
        self.bind_insert(insert, parameters)
    }

    /// UPDATE.
    pub fn update(&self, update: &Update, parameters: &[u32]) -> Result<BoundUpdate> {
        self.bind_update(update, parameters)
    }

    /// DELETE.
    pub fn delete(&self, delete: &Delete, parameters: &[u32]) -> Result<BoundDelete> {
        self.bind_delete(delete, parameters)
    }

    /// An expression kept as text (DEFAULT, WATERMARK) over a relation's columns, cast to `target`'s type as an
    /// assignment casts.
    pub fn expression(&self, text: &str, schema: &Schema, target: &Field) -> Result<Expr> {
        self.bind_expression(text, schema, target)
    }

    /// The value of an expression without columns (EXECUTE's arguments, advance_watermark's), cast to `target` if given.
    pub fn constant(&self, expr: &ast::Expr, target: Option<&Field>) -> Result<ScalarValue> {
        self.bind_constant(expr, target)
    }
}

#[cfg(test)]
mod tests;
