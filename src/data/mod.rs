//! The vocabulary: what flows, and when.
//!
//! A *change* is a row with a signed weight, its *diff*: +1 inserts, -1 retracts (a Z-set). Changes travel in
//! [`Changes`], an Arrow batch with its diffs. An [`Epoch`] is the inputs accepted together; everything downstream
//! happens epoch by epoch. [`EventTime`] is a column of the data and never mixes with epochs. A *watermark* is the
//! promise, per source [`Partition`], that event time has reached a point; all watermarks inside views are pure functions
//! ([`WatermarkExpr`]) of the vector of source watermarks, which every worker has.
//!
//! ```text
//!  source partition --> Changes (+ arrival watermark where a row was late) --> epoch e --> operators --> views
//!                  \--> its watermark at the end of e: one entry of the WatermarkVector of e
//! ```
//!
//! Uses: error

mod arrival;
mod change;
mod consolidate;
mod key;
mod key_form;
mod packing;
mod ranges;
mod shape;
pub mod text;
mod time;
pub mod types;
mod watermark;
mod window;
mod words;

pub use arrival::{Arrival, Late};
pub use change::{Changes, batch_bytes};
pub use consolidate::{consolidate, ordered};
pub use key::{BUCKETS, Bucket, KeyEncoder, Keys, hash};
pub use key_form::{key_form, one_nan, varies};
pub use packing::{Packer, unpack};
pub use ranges::RowRanges;
pub use shape::{ColumnNumbers, Recast, Shape};
pub use time::{Epoch, EventTime, Partition, PartitionWatermark, WatermarkVector, Watermarks};
pub use watermark::{Judge, Monotone, WatermarkExpr, WatermarkTerm, floor};
pub use window::{BEFORE_TIME, BEHIND_TIME, CalendarUnit, Retention, Span};
pub use words::{from_words, is_word, to_words};

use serde::{Deserialize, Serialize};

/// Names a catalog object for ever; never reused. Also its oid towards PostgreSQL clients (first one: 16384).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub u32);

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
