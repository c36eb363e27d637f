//! [`crate::plan::ViewPlan`] -> [`Graph`].

use super::Graph;
use crate::error::{Error, Result};
use crate::plan::ViewPlan;

/// The dataflow of a view.
pub fn render(_plan: &ViewPlan) -> Result<Graph> {
    Err(Error::internal("not built yet"))
}
