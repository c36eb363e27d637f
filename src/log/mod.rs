//! The input log: one ordered log of versioned, checksummed records through which everything enters that is not a pure
//! function. Replaying it gives the same epochs, changes, late rows and errors.
//!
//! Uses: data, error
