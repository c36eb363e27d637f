//! [`Item`]: what the publisher gives a sink.

use crate::data::{Changes, Epoch};
use crate::store::Version;

/// What an epoch brings a sink.
#[derive(Clone, Debug)]
pub enum Item {
    /// The rows that are there when the sink begins.
    Snapshot(Version),
    /// The same, read back by a server that starts.
    Rows(Vec<Changes>),
    /// What the epoch changed.
    Changes(Vec<Changes>),
    /// What the rows are now that the relation is back, and what they were when it was seen last (nothing: never).
    Difference {
        /// Before.
        old: Option<Version>,
        /// The epoch of `old`.
        since: Epoch,
        /// Now.
        new: Version,
    },
}
