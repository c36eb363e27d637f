//! Names -> objects.
//!
//! [`Catalog`] holds the current [`Snapshot`]; a statement takes one `Arc<Snapshot>` and binds against it without a lock.
//! User relations appear in logical plans as [`Relation`], system relations as [`SystemRelation`].
//!
//! Uses: data, error

pub mod functions;
mod highwater;
mod information_schema;
pub mod object;
pub mod pg_catalog;
mod relation;
mod schema_serde;
mod snapshot;
pub mod system;

pub use relation::{Relation, SystemRelation, object_of};
pub use snapshot::{Catalog, Resolved, Snapshot};
