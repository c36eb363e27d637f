//! Checkpoints of everything, taken while the flow goes on; `crate::checkpoint` says how they are kept.
//!
//! ```text
//!  sequencer --quiet moment--> workers:   what changed in the operators' states, and some of what did not
//!      |                       publisher: rows of views, what they changed lately, errors, late rows
//!      |  + tables, clocks, offsets, what made the objects, late rows that wait
//!      v
//!   Image --> a thread: encodes, writes packs, puts the manifest --> sequencer: removes log files before the older one
//! ```
//!
//! The quiet moment is that of every barrier (`super::sequencer`): all epochs are published, none is open, all that was
//! appended to the log is durable. What is done in it is copying what changed; rows and whatever else never changes is
//! shared. How long it took decides when the next one comes: it never takes more than a twentieth of the time, whatever
//! `checkpoint_interval` says. The rest is done by a thread beside, one checkpoint at a time; when it cannot write (the
//! disk is full) it tries again, and nothing is lost but time, since the log is kept until a checkpoint is there.
//!
//! What a start does with one: `super::sequencer`. The `history` of views and tables is in it, so that subscriptions resume;
//! epochs that `highwater.epochs` shows are not.
//!
//! Not in it: views that have not joined (they are filled anew), views of subscriptions. A view that is away is there by name,
//! and what a sink on it saw last by its rows; a start fills it anew. So it is with one that reads a source which could
//! not be read back: a later start with the log behind an older checkpoint would find the source as it was, one with
//! this checkpoint reads the source as it is then.

mod content;
mod decode;
mod encode;
mod image;
mod load;
mod lost;
mod progress;
mod thread;
mod write;

pub use image::CatalogEntry;
pub(super) use image::{
    AwayImage, ClockImage, ErrorsImage, FeedImage, HistoryImage, Image, LeftImage, PartImage, PublishedImage,
    ShownImage, SinkImage, SourceErrors, StateImage, StoreImage, TableImage, ViewImage,
};
pub use load::Checkpoint;
pub(super) use thread::Checkpointer;
pub(super) use write::Written;
