//! EXPLAIN of a view: the operators with what is known about their output.

use super::ViewPlan;

/// The lines of EXPLAIN.
pub fn explain(_plan: &ViewPlan) -> Vec<String> {
    vec![]
}
