//! Names -> objects.
//!
//! Uses: data, error

pub mod object;
mod schema_serde;
