//! Checkpoints as they are kept: what everything was at an epoch, so that a start need not read the whole input log.
//!
//! ```text
//!  NUMBER.pack        header (magic, number u64), parts one behind the other, long ones packed: never changed
//!  NUMBER.checkpoint  the manifest: a line (magic word, format, crc32), then JSON: epoch, place in the input log, and
//!                     which parts of which packs hold what
//! ```
//!
//! * A checkpoint is there when its manifest is: it is put at once, behind packs that survive a power loss.
//! * It is incremental: what has not changed since an earlier one is named, not written. Of state and tables only what
//!   changed is written (`crate::state`, `crate::store`); packs of which little is still of use are written anew,
//!   so that space and the time of a start follow the size of what is kept.
//! * The two newest are kept, and the input log from the older one on. When the newest is damaged the other one takes its
//!   place; so no single damage is the end, and none is passed over: every part has a checksum.
//! * Everything goes through [`Objects`]: a local folder, or a bucket of anything that speaks S3 (`url`).
//! * A checkpoint says whose it is ([`Owner`]): of two servers that write to one place the one that sees the other stops.
//!
//! What is in a checkpoint is the runtime's (`crate::runtime`): this knows names, bytes and checksums. The idea of
//! immutable parts shared by snapshots that a manifest names is that of table formats and of Flink's incremental
//! checkpoints; there is no merging of files, since the state itself is copied in turns.
//!
//! Uses: error, config, data, log

mod manifest;
#[cfg(test)]
mod memory;
mod objects;
mod pack;
mod url;

pub use manifest::{Found, Manifest, Owner, Used, clear, copy, find, owner};
#[cfg(test)]
pub use memory::MemoryObjects;
pub use objects::{Bucket, Objects};
pub use pack::{PartRef, Parts, Writer, pack_bytes};
