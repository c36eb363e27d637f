//! The system relations: one list of all, each table in a file of its own.

use std::sync::Arc;

use super::SystemRelation;

/// Looks a system relation up.
pub fn find(_namespace: &str, _name: &str) -> Option<Arc<SystemRelation>> {
    None
}
