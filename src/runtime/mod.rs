//! Threads, epochs, and everything that is not a pure function.
//!
//! ```text
//!  sessions --Message--> sequencer (1 thread) --Command--> workers (n timely threads) --Report--> publisher (1 thread)
//!  readers  --pieces---> | input log, table heads,          operators, state             | view stores, late rows,
//!  (1 thread each)       | clock, epochs                                                 | errors, subscriptions
//!                        ^------------------- published epoch ---------------------------'
//! ```
//!
//! [`Runtime`] is the handle that sessions hold. Every wait in it is cancelled by dropping the future; what
//! the sequencer has begun is done all the same, and [`Requests`] tells the one from the other.
//!
//! Uses: error, config, stack, metrics, data, spill, functions, connectors, state, operators, log, checkpoint, archive, store, sink

mod aborts;
mod ahead;
mod arrival;
mod as_of;
mod bare;
mod claim;
mod checkpoint;
pub mod command;
mod digest;
mod driver;
mod exchange;
mod handle;
mod holders;
mod ingest;
mod kept;
mod limits;
mod lookout;
mod message;
mod publisher;
mod render;
mod recover;
mod replay;
mod schedule;
mod sequencer;
mod shared;
mod spec;
mod stage;
mod status;
mod subscribe;
mod worker;
mod workers;

pub use aborts::Aborts;
pub(crate) use ahead::MaxAhead;
pub use as_of::Then;
pub use bare::Bare;
pub use checkpoint::{CatalogEntry, Checkpoint};
pub use claim::Requests;
pub use digest::{Digest, InputEpoch};
pub use handle::{Runtime, Snapshot, WriteLease, altered, is_altered, is_conflict};
pub use kept::KeptWindows;
pub use limits::Limits;
pub use recover::Kept;
pub use spec::{
    Committed, ForSubscription, LateTarget, OnConflict, Planned, ReadMode, RuntimeConfig, Settings, SinkSpec,
    SourceSpec, Spec, SubscribeSpec, TableAlter, TableRef, TableSpec, TableWrite, Target, ViewSpec, WatermarkSpec,
    WriteResult,
};
pub use status::{
    CheckpointStatus, CheckpointWritten, EpochStatus, ErrorRow, LateRow, MemoryStatus, Missing, OperatorStatus,
    SourceStatus, Status, TableStatus, ViewPhase, ViewStatus, WatermarkStatus,
};
pub use subscribe::{Subscription, SubscriptionEvent};
pub use workers::Workers;

#[cfg(test)]
mod tests;
