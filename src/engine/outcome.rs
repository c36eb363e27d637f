//! What a statement gives back, as the wire needs it.

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use futures::stream::BoxStream;

use crate::error::{Error, Result};

/// A result column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name, type and metadata.
    pub field: Field,
    /// Oid of the relation and attribute number (from 1) that the column comes from, or zeros.
    pub origin: (u32, i16),
}

/// What describing a statement tells before it runs.
#[derive(Clone, Debug)]
pub struct Description {
    /// Types of `$1`, `$2`, .. as clients send them.
    pub parameters: Vec<Field>,
    /// Result columns; `None` for statements without rows.
    pub columns: Option<Vec<Column>>,
}

/// What executing a statement gives.
pub enum Outcome {
    /// A command that is complete.
    Done {
        /// `INSERT 0 3`, `CREATE TABLE`, ..
        tag: String,
    },
    /// Rows, perhaps without end.
    Rows {
        /// Their columns.
        columns: Vec<Column>,
        /// The batches. Dropping it cancels the query.
        rows: BoxStream<'static, Result<RecordBatch>>,
        /// The command's word: `SELECT`, `FETCH`, `INSERT 0`, ..; the row count follows it.
        tag: &'static str,
    },
    /// COPY .. TO STDOUT: one CopyData message per row, flushed per batch.
    CopyOut {
        /// The schema of the batches.
        schema: SchemaRef,
        /// The batches. Dropping it cancels the query.
        rows: BoxStream<'static, Result<RecordBatch>>,
        /// How to write them.
        format: CopyFormat,
    },
    /// COPY .. FROM STDIN: the server feeds decoded batches to the sink.
    CopyIn {
        /// The columns expected.
        schema: SchemaRef,
        /// How to read them.
        format: CopyFormat,
        /// Takes the rows.
        sink: Box<dyn CopySink>,
    },
    /// An empty query string.
    Empty,
}

/// Takes the rows of COPY FROM STDIN.
#[async_trait::async_trait]
pub trait CopySink: Send {
    /// Rows in order; may wait (backpressure).
    async fn rows(&mut self, rows: RecordBatch) -> Result<()>;
    /// CopyDone: commits, and tells the number of rows.
    async fn finish(self: Box<Self>) -> Result<u64>;
    /// CopyFail, or the client vanished: nothing is kept.
    fn fail(self: Box<Self>, _reason: &str) {}
}

/// COPY's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// CSV rather than text.
    pub csv: bool,
    /// Binary format.
    pub binary: bool,
    /// Between columns: tab in text, comma in CSV.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
    /// A first line with column names.
    pub header: bool,
    /// CSV quote.
    pub quote: u8,
    /// CSV escape.
    pub escape: u8,
}

/// A NOTICE, WARNING or INFO to be sent before the outcome.
#[derive(Clone, Debug)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, `INFO`.
    pub severity: &'static str,
    /// Code, message, detail, hint.
    pub error: Error,
}

/// ReadyForQuery's letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`
    Idle,
    /// `T`
    InBlock,
    /// `E`
    Failed,
}
