//! Bytes -> rows: decoders that keep going.
//!
//! A decoder turns records (lines, mostly) into one Arrow batch, in columns; a record that cannot be decoded becomes a
//! [`BadRecord`] and the rest goes on. Decoders know no connector, no SQL and no epochs, so that files, COPY and HTTP
//! bodies can share them.
//!
//! Uses: error

use arrow::array::RecordBatch;

use crate::error::SqlState;

/// A record that could not be decoded: counted, kept with its reason, and the rest goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// SQLSTATE.
    pub code: SqlState,
    /// Why, with file and line or offset.
    pub message: String,
    /// The record, cut at some kilobytes.
    pub record: String,
}

/// What became of some records: the rows of the good ones, in order, and the bad ones, in order.
#[derive(Debug)]
pub struct Decoded {
    /// Rows in the target schema.
    pub rows: RecordBatch,
    /// The records that are not among them.
    pub bad: Vec<BadRecord>,
}
