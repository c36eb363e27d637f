//! The two halves of a client's socket: messages in, buffered messages out.
//!
//! Both are safe to use in `select!`: a future that is dropped loses no byte.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::frontend::{self, Message, violation};
use crate::config::{MAX_MESSAGE, READ_AHEAD, WRITE_BUFFER};
use crate::error::{Error, Result};

/// Why a connection ends.
#[derive(Debug)]
pub enum End {
    /// The client said goodbye, or is gone.
    Gone,
    /// The client has to be told why, once.
    Fatal(Error),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// The reading half.
pub struct Reader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
}

impl Reader {
    /// Reads from a socket; `buffer` is what was read of it already.
    pub fn new(socket: OwnedReadHalf, buffer: BytesMut) -> Self {
        Self { socket, buffer }
    }

    /// The next message, with its type; an inner error concerns this message alone.
    pub async fn message(&mut self) -> Result<(u8, Result<Message>), End> {
        loop {
            if let Some((tag, length)) = self.header()? {
                if self.buffer.len() > length {
                    let mut body = self.buffer.split_to(length + 1).freeze();
                    body.advance(5);
                    return Ok((tag, frontend::decode(tag, body)));
                }
                // Grows with what arrives, not with what the client claims.
                self.buffer.reserve((length + 1 - self.buffer.len()).min(READ_AHEAD));
            }
            self.fill().await?;
        }
    }

    /// Type and length of the message at the buffer's start.
    fn header(&self) -> Result<Option<(u8, usize)>, End> {
        let Some(&tag) = self.buffer.first() else { return Ok(None) };
        if !frontend::is_known(tag) {
            return Err(End::Fatal(violation(format!("invalid frontend message type {tag}"))));
        }
        let Some(length) = self.buffer.get(1..5) else { return Ok(None) };
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length < 4 {
            return Err(End::Fatal(violation("invalid message length")));
        }
        if length > MAX_MESSAGE {
            let error = violation(format!("a message of {length} bytes exceeds the limit of {MAX_MESSAGE} bytes"));
            return Err(End::Fatal(error.with_hint("Send the rows in several statements, or with COPY.")));
        }
        Ok(Some((tag, length)))
    }

    async fn fill(&mut self) -> Result<(), End> {
        if self.socket.read_buf(&mut self.buffer).await? == 0 {
            return Err(End::Gone);
        }
        Ok(())
    }

    /// Reads and forgets until the client closes.
    pub async fn drain(&mut self) -> Result<(), End> {
        loop {
            self.buffer.clear();
            self.fill().await?;
        }
    }

    /// Ends when the client has gone. Reads ahead meanwhile, up to a limit; use it beside whatever runs.
    pub async fn gone(&mut self) {
        while self.buffer.len() < READ_AHEAD {
            if self.fill().await.is_err() {
                return;
            }
        }
        // The socket stays readable, so there is no event to wait for; look from time to time.
        loop {
            match self.socket.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(Duration::from_secs(1)).await,
                _ => return,
            }
        }
    }
}

/// The writing half.
pub struct Writer {
    socket: OwnedWriteHalf,
    /// Messages that were not yet sent.
    pub buffer: BytesMut,
    /// Bytes sent since it was last looked at.
    pub sent: u64,
}

impl Writer {
    /// Writes to a socket.
    pub fn new(socket: OwnedWriteHalf) -> Self {
        Self { socket, buffer: BytesMut::with_capacity(8 << 10), sent: 0 }
    }

    /// Buffers a message.
    pub fn put(&mut self, message: PgWireBackendMessage) {
        if let Err(error) = message.encode(&mut self.buffer) {
            tracing::warn!(%error, "a message could not be encoded");
        }
    }

    /// Whether enough is buffered to be written.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= WRITE_BUFFER
    }

    /// Sends what is buffered, and that nothing follows.
    pub async fn close(&mut self) -> Result<(), End> {
        self.flush().await?;
        Ok(self.socket.shutdown().await?)
    }

    /// Sends what is buffered.
    pub async fn flush(&mut self) -> Result<(), End> {
        while self.buffer.has_remaining() {
            let n = self.socket.write_buf(&mut self.buffer).await?;
            if n == 0 {
                return Err(End::Gone);
            }
            self.sent += n as u64;
        }
        // One long row should not keep its memory for ever.
        if self.buffer.capacity() > 16 * WRITE_BUFFER {
            self.buffer = BytesMut::with_capacity(8 << 10);
        }
        Ok(())
    }
}
