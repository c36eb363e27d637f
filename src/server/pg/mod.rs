//! The PostgreSQL protocol, version 3.
//!
//! One tokio task per connection, in a loop of our own over pgwire's messages: a statement runs beside a watch on the
//! socket, so that a client which vanishes ends even an idle stream; cancel requests reach whatever runs, the sending of
//! rows included; rows are sent whenever their stream has nothing ready, so that a stream is seen as it flows.
//!
//! ```text
//!  accept -> startup -> [ message -> simple | extended -> session -> rows | copy ] .. -> end
//!              |                                  ^
//!       cancel request ---------------------------+  (on a connection of its own, through the engine)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `socket` | bytes in and out, bounded |
//! | `frontend` | a client's messages, checked |
//! | `startup` | who is there; settings; cancel requests |
//! | `connection` | the loop, and what runs a future beside the watch |
//! | `simple`, `extended` | the two ways of sending a statement |
//! | `rows`, `copy` | results, COPY both ways |
//! | `encode`, `decode`, `copy_in` | values |
//! | `report` | errors, notices, descriptions |
//!
//! Uses: error, config, metrics, data, engine

mod connection;
mod copy;
pub(super) mod copy_in;
mod decode;
mod encode;
mod extended;
mod frontend;
mod report;
mod rows;
mod simple;
mod socket;
mod startup;

pub use startup::serve;

use crate::error::{Error, Result, SqlState};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the type's output function prints it.
    Text,
    /// As the type's send function does.
    Binary,
}

impl Format {
    /// The protocol's code for it.
    pub fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    /// Reads the protocol's code.
    pub fn of(code: i16) -> Result<Self> {
        match code {
            0 => Ok(Self::Text),
            1 => Ok(Self::Binary),
            _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {code}"))),
        }
    }
}
