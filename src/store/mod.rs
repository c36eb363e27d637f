//! Multi-version row stores: where tables and views keep the rows that SELECT reads.
//!
//! A [`Store`] is a list of immutable Arrow chunks with deletion masks, and a hash index. Its writer appends, deletes and
//! seals a [`Version`] per epoch; a version shares all chunks with its neighbours, and whoever holds it can read it from
//! any thread, for as long as it likes, without stopping anybody.
//!
//! ```text
//!  Store (one writer):  [chunk 0][chunk 1][chunk 2]..   index: row identity -> row ids
//!                            \        |       /          seal() merges small neighbours
//!  Version (any reader): rows (shared) + deletion mask (copied when it changes)
//! ```
//!
//! A row has an id for life, ascending in the order of insertion, whatever chunk it lies in. A row's *identity* is the
//! 128-bit XXH3 hash of its key bytes: of the key columns where there is a key, of the whole row where there is none.
//!
//! Where memory is bounded, chunks that nobody has asked for lately are on disk: `balance.rs` says when, and which.
//!
//! Uses: error, data, spill

mod balance;
mod chunk;
mod difference;
mod expire;
mod ids;
mod image;
mod index;
mod lookup;
mod merge;
mod past;
mod recast;
mod version;
mod writer;

pub use image::ChunkImage;
pub use past::Past;
pub use version::Version;
pub use writer::Store;

/// Rows of a chunk at most.
pub const CHUNK_ROWS: usize = 65_536;
/// Bytes of a chunk, about, at most; a row may be larger.
pub const CHUNK_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests;
