//! [`SocketReader`]: the reader of a socket, whichever way its connections come about.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use mio::{Events, Poll};

use super::client::{Found, Turn};
use crate::connectors::{Read, Reader};
use crate::error::Result;

/// More than a kernel keeps for one connection.
const RECEIVE_BYTES: usize = 16 << 20;

/// The connections of a socket.
pub(super) trait Connections: Send {
    /// Gives each its turn; whether anything moved.
    fn round(&mut self, found: &mut Found, owed: &mut Owed) -> Result<bool>;

    /// Waits until something may be read, or it is time to connect again.
    fn wait(&mut self, wait: Duration) -> Result<()>;
}

/// Reads in rounds over the connections.
pub(super) struct SocketReader<C> {
    connections: C,
    schema: SchemaRef,
    owed: Owed,
    offset: u64,
}

impl<C: Connections> SocketReader<C> {
    pub(super) fn new(connections: C, schema: SchemaRef) -> Self {
        Self { connections, schema, owed: Owed::default(), offset: 0 }
    }
}

impl<C: Connections> Reader for SocketReader<C> {
    fn read(&mut self, wait: Duration) -> Result<Read> {
        let mut waited = false;
        loop {
            let mut found = Found::default();
            let moved = self.connections.round(&mut found, &mut self.owed)?;
            if let Some(read) = found.into_read(&self.schema, &mut self.offset)? {
                return Ok(read);
            }
            // Only a whole round without a byte is a pause.
            if !moved {
                if waited {
                    return Ok(Read::Waiting);
                }
                waited = true;
                self.connections.wait(wait)?;
            }
        }
    }

    fn mark(&mut self) -> bool {
        self.owed = Owed::Everything;
        true
    }

    fn is_past_mark(&self) -> bool {
        self.owed.is_paid()
    }
}

/// What clients still owe from before a mark.
#[derive(Debug, Default)]
pub(super) enum Owed {
    /// The next round asks who is there.
    #[default]
    Everything,
    /// By client: at most so many bytes.
    Bytes(BTreeMap<usize, usize>),
}

impl Owed {
    /// A round begins with these clients.
    pub(super) fn begin(&mut self, clients: impl Iterator<Item = usize>) {
        if matches!(self, Self::Everything) {
            *self = Self::Bytes(clients.map(|client| (client, RECEIVE_BYTES)).collect());
        }
    }

    /// A client had its turn.
    pub(super) fn pay(&mut self, client: usize, turn: &Turn) {
        let Self::Bytes(owed) = self else { return };
        let Some(bytes) = owed.get_mut(&client) else { return };
        *bytes = bytes.saturating_sub(turn.bytes);
        if *bytes == 0 || turn.is_dry || turn.over {
            owed.remove(&client);
        }
    }

    pub(super) fn is_paid(&self) -> bool {
        matches!(self, Self::Bytes(owed) if owed.is_empty())
    }
}

/// Waits until something may be read. Spurious ends are fine.
pub(super) fn wait_for(poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<()> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
        _ => Ok(()),
    }
}
