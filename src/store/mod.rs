//! Multi-version row stores: where tables and views keep the rows that SELECT reads.
//!
//! A [`Store`] is a list of immutable Arrow chunks with deletion masks, and a hash index. Its writer appends, deletes and
//! seals a [`Version`] per epoch; a version shares all chunks with its neighbours, and whoever holds it can read it from
//! any thread, for as long as it likes, without stopping anybody.
//!
//! Uses: error, data

mod version;

pub use version::Version;
