//! [`Item`]: what the publisher gives a sink.

use std::sync::Arc;

use crate::data::{Changes, Epoch};
use crate::error::Result;
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
    /// One of these two that is not in memory.
    Stored(Arc<dyn Stored>),
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

/// Changes that are kept elsewhere than in memory.
pub trait Stored: Send + Sync + std::fmt::Debug {
    /// Reads them.
    ///
    /// Errors: `XX001` they are not what was written, `58030`.
    fn read(&self) -> Result<Vec<Changes>>;

    /// How large they are.
    fn size(&self) -> Size;

    /// Whether they are rows that were there when the sink began.
    fn is_snapshot(&self) -> bool;
}

/// How large an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes in memory; 0 when it shares them with the relation.
    pub bytes: usize,
    /// Rows.
    pub rows: u64,
}

impl Size {
    /// Of changes.
    pub fn of(changes: &[Changes]) -> Self {
        let bytes = changes.iter().map(Changes::bytes).sum();
        Self { bytes, rows: changes.iter().map(|c| c.len() as u64).sum() }
    }
}

impl Item {
    /// How large it is, and how many bytes of memory it holds alone.
    pub(super) fn size(&self) -> (Size, usize) {
        match self {
            Self::Changes(changes) | Self::Rows(changes) => {
                let size = Size::of(changes);
                (size, size.bytes)
            }
            Self::Stored(stored) => (stored.size(), 0),
            Self::Snapshot(version) | Self::Difference { new: version, .. } => {
                (Size { bytes: 0, rows: version.rows() as u64 }, 0)
            }
        }
    }

    /// Whether it is rows that were there when the sink began.
    pub(super) fn is_snapshot(&self) -> bool {
        match self {
            Self::Snapshot(_) | Self::Rows(_) => true,
            Self::Stored(stored) => stored.is_snapshot(),
            Self::Changes(_) | Self::Difference { .. } => false,
        }
    }
}
