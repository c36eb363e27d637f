//! [`Subscribe`]: what SUBSCRIBE and SELECT .. EMIT CHANGES say.

use super::statement::{Name, Query};

/// SUBSCRIBE.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// To what; SUBSCRIBE v has become SELECT * FROM v, with the name kept in `relation`.
    pub query: Query,
    /// The relation's name, when one was given instead of a query.
    pub relation: Option<Name>,
    /// SNAPSHOT (default true).
    pub snapshot: bool,
    /// PROGRESS (default false).
    pub progress: bool,
    /// AS OF.
    pub as_of: Option<u64>,
    /// UP TO.
    pub up_to: Option<u64>,
    /// ENVELOPE; `None`: every change is a row.
    pub envelope: Option<Envelope>,
}

/// ENVELOPE UPSERT and DEBEZIUM.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Which.
    pub kind: EnvelopeKind,
    /// KEY (columns), with their positions; `None`: the key that follows from the query.
    pub key: Option<Vec<(String, usize)>>,
}

/// How a subscription tells what happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeKind {
    /// The new row, or that it is gone.
    Upsert,
    /// The row before and the row after.
    Debezium,
}

impl EnvelopeKind {
    /// As SQL spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upsert => "UPSERT",
            Self::Debezium => "DEBEZIUM",
        }
    }
}
