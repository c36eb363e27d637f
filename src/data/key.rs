//! Key bytes, their stable hash, and the 256 buckets.
//!
//! Key bytes are Arrow's row format of the key columns: order-preserving, NULL is a value, `-0.0` and NaN are
//! normalised first. The hash is XXH3 (64 bit, seed 0) over these bytes: fixed, so that a bucket means the same in every
//! process and every version.

use xxhash_rust::xxh3::xxh3_64;

/// Number of hash ranges of keys. Buckets map to workers; snapshots are kept per bucket.
pub const BUCKETS: usize = 256;

/// One of [`BUCKETS`] fixed hash ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u8);

/// The stable hash of key bytes.
pub fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

impl Bucket {
    /// The bucket of a key hash: its top eight bits.
    pub fn of(hash: u64) -> Self {
        Self((hash >> 56) as u8)
    }

    /// The worker that owns this bucket: contiguous ranges of buckets, so that more workers split ranges.
    pub fn worker(self, workers: usize) -> usize {
        usize::from(self.0) * workers / BUCKETS
    }
}
