//! SQL text -> statements -> bound, analyzed DataFusion plans.
//!
//! [`parse`] splits a text into [`Statement`]s of ours, a closed enum; queries inside are sqlparser's. The binder turns
//! a query into a `LogicalPlan` whose expressions have PostgreSQL's names, types and errors.
//!
//! Uses: error, data, spill, functions, catalog

pub mod binder;
pub mod execute;
pub mod statement;
pub mod window;

mod alter;
mod dialect;
mod explain;
pub mod interrupt;
pub(crate) mod interval;
pub mod optimize;
mod parser;
mod pool;
mod select;
mod subscribe;
mod types;
mod window_exec;

pub(crate) use alter::renamed;
pub(crate) use binder::there_is_no;
pub use binder::{BindSession, Binder, visible};
pub use execute::{Executor, physical_expr};
pub(crate) use parser::first_parameter;
pub use parser::{Parsed, parse};
pub use statement::Statement;
pub use types::{TypeName, type_oid};
