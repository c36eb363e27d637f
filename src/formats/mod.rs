//! Bytes -> rows: decoders that keep going; and rows -> bytes ([`RowWriter`]).
//!
//! A [`Decoder`] turns [`Records`] (lines, mostly) into one Arrow batch, in columns; a record that cannot be decoded
//! becomes a [`BadRecord`] and the rest goes on. [`Align`] does the same for batches that come with types of their own
//! (Parquet). Neither knows a connector, SQL or epochs, so that files, COPY and HTTP bodies can share them.
//!
//! ```text
//!  bytes --RecordReader--> Records --Csv | Json | Lines--> columns of text --text::parse--> typed columns --> Decoded
//!                                              Parquet --> columns of its types -----cast-----^
//! ```
//!
//! Uses: error, data

mod ahead;
mod align;
mod array;
pub mod csv;
mod documents;
mod infer;
pub mod json;
pub mod lines;
mod records;
mod shape;
pub mod text;
mod write;

pub use ahead::{Coming, threads};
pub use align::{Align, convertible};
pub use array::ArrayCutter;
pub use infer::infer;
pub use records::{CHUNK_BYTES, Cut, Cutter, RECORD_BYTES_MAX, RecordReader, Records};
pub use write::{Compression, RowEncoding, RowWriter};

use arrow::array::RecordBatch;

use crate::error::{Result, SqlState};

/// Records that a decoder takes at a time, at most.
pub const BATCH_RECORDS_MAX: usize = 8192;

/// Turns records into rows of one schema.
pub trait Decoder: Send + Sync {
    /// Decodes some records. `origin` (a file's name) begins the messages of bad ones.
    ///
    /// Errors: bugs only; what is wrong with a record is in [`Decoded::bad`].
    fn decode(&self, records: &Records, origin: &str) -> Result<Decoded>;
}

/// What became of some records: the rows of the good ones, in order, and the bad ones, in order.
#[derive(Debug)]
pub struct Decoded {
    /// Rows in the target schema.
    pub rows: RecordBatch,
    /// The records that are not among them.
    pub bad: Vec<BadRecord>,
}

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
