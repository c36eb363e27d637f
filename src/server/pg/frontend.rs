//! Messages from a client, read strictly.
//!
//! pgwire's own decoder is not used for these: it reads beyond the end of a message that lies about its contents, and
//! replaces bytes that are not UTF-8. Here a message is first cut out by its length, then read to its last byte.

use bytes::{Buf, Bytes};

use super::decode::utf8;
use crate::error::{Error, Result, SqlState};

/// A message of the running protocol.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Simple query.
    Query(String),
    /// Prepare a statement.
    Parse(Parse),
    /// Make a portal.
    Bind(Bind),
    /// Describe a statement or portal.
    Describe(Target),
    /// Run a portal.
    Execute {
        /// Its name; empty is the unnamed one.
        portal: String,
        /// At most so many rows; 0 is all.
        max_rows: u32,
    },
    /// Close a statement or portal.
    Close(Target),
    /// Send what is buffered.
    Flush,
    /// End of a batch.
    Sync,
    /// Goodbye.
    Terminate,
    /// A piece of COPY FROM STDIN.
    CopyData(Bytes),
    /// Its end.
    CopyDone,
    /// Its failure on the client's side.
    CopyFail(String),
    /// A password, which nobody asked for.
    Password,
    /// The old function call interface.
    FunctionCall,
}

/// What Parse says.
#[derive(Debug, PartialEq, Eq)]
pub struct Parse {
    /// Empty is the unnamed statement.
    pub name: String,
    /// SQL, one statement.
    pub query: String,
    /// Oids of the parameters that the client knows the types of; 0 is unknown.
    pub types: Vec<u32>,
}

/// What Bind says.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind {
    /// Empty is the unnamed portal.
    pub portal: String,
    /// The statement.
    pub statement: String,
    /// None (all text), one for all, or one for each parameter.
    pub formats: Vec<i16>,
    /// The parameters; `None` is NULL.
    pub values: Vec<Option<Bytes>>,
    /// None (all text), one for all, or one for each result column.
    pub results: Vec<i16>,
}

/// A statement or a portal.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// By name.
    Statement(String),
    /// By name.
    Portal(String),
}

/// Whether a type byte is one of the protocol's; others end the connection, as nothing after them can be trusted.
pub fn is_known(tag: u8) -> bool {
    matches!(tag, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'd' | b'c' | b'f' | b'p' | b'F')
}

/// Whether an error in a message of this type makes the server skip to the next Sync.
pub fn is_extended(tag: u8) -> bool {
    matches!(tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
}

/// Reads a message's body. Errors: `08P01` malformed, `22021` not UTF-8.
pub fn decode(tag: u8, body: Bytes) -> Result<Message> {
    let mut body = Body(body);
    let message = match tag {
        b'Q' => Message::Query(body.string()?),
        b'P' => {
            let (name, query) = (body.string()?, body.string()?);
            let types = (0..body.u16()?).map(|_| body.u32()).collect::<Result<_>>()?;
            Message::Parse(Parse { name, query, types })
        }
        b'B' => Message::Bind(bind(&mut body)?),
        b'D' => Message::Describe(body.target("DESCRIBE")?),
        b'C' => Message::Close(body.target("CLOSE")?),
        b'E' => {
            let portal = body.string()?;
            // PostgreSQL reads a negative number as "all" too.
            Message::Execute { portal, max_rows: body.i32()?.try_into().unwrap_or(0) }
        }
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'd' => Message::CopyData(std::mem::take(&mut body.0)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(body.string()?),
        b'p' => {
            body.0.clear();
            Message::Password
        }
        b'F' => {
            body.0.clear();
            Message::FunctionCall
        }
        _ => return Err(violation(format!("invalid frontend message type {tag}"))),
    };
    if !body.0.is_empty() {
        return Err(violation("invalid message format"));
    }
    Ok(message)
}

fn bind(body: &mut Body) -> Result<Bind> {
    let (portal, statement) = (body.string()?, body.string()?);
    let formats = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_>>()?;
    let values = (0..body.u16()?).map(|_| body.value()).collect::<Result<_>>()?;
    let results = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_>>()?;
    Ok(Bind { portal, statement, formats, values, results })
}

/// `08P01`
pub fn violation(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// What is left of a message.
struct Body(Bytes);

impl Body {
    fn need(&self, n: usize) -> Result<()> {
        if self.0.len() < n { Err(violation("insufficient data left in message")) } else { Ok(()) }
    }

    fn u16(&mut self) -> Result<u16> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(self.u16()? as i16)
    }

    fn u32(&mut self) -> Result<u32> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(self.u32()? as i32)
    }

    fn string(&mut self) -> Result<String> {
        let end = self.0.iter().position(|b| *b == 0).ok_or_else(|| violation("invalid string in message"))?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        Ok(utf8(&bytes)?.to_owned())
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| violation("insufficient data left in message"))?;
        self.need(length)?;
        Ok(Some(self.0.split_to(length)))
    }

    fn target(&mut self, message: &str) -> Result<Target> {
        self.need(1)?;
        let kind = self.0.get_u8();
        let name = self.string()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            other => Err(violation(format!("invalid {message} message subtype {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, body: &[u8]) -> Result<Message> {
        decode(tag, Bytes::copy_from_slice(body))
    }

    #[test]
    fn messages_are_read_to_their_last_byte() {
        assert_eq!(read(b'Q', b"select 1\0").unwrap(), Message::Query("select 1".into()));
        assert_eq!(
            read(b'P', b"s\0select $1\0\0\x01\0\0\0\x17").unwrap(),
            Message::Parse(Parse { name: "s".into(), query: "select $1".into(), types: vec![23] })
        );
        let bind = read(b'B', b"\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02hi\0\0").unwrap();
        let values = vec![None, Some(Bytes::from_static(b"hi"))];
        let expected = Bind { portal: String::new(), statement: "s".into(), formats: vec![1], values, results: vec![] };
        assert_eq!(bind, Message::Bind(expected));
        assert_eq!(read(b'E', b"\0\0\0\0\x05").unwrap(), Message::Execute { portal: String::new(), max_rows: 5 });
        assert_eq!(read(b'C', b"Pp\0").unwrap(), Message::Close(Target::Portal("p".into())));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for (tag, body, message) in [
            (b'Q', &b"select 1"[..], "invalid string in message"),
            (b'Q', b"select 1\0x", "invalid message format"),
            (b'Q', b"\xff\0", "invalid byte sequence for encoding \"UTF8\": 0xff"),
            (b'P', b"\0\0\0\x05\0\0", "insufficient data left in message"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff", "insufficient data left in message"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0", "insufficient data left in message"),
            (b'B', b"\0\0\xff\xff", "insufficient data left in message"),
            (b'D', b"X\0", "invalid DESCRIBE message subtype 88"),
            (b'S', b"x", "invalid message format"),
            (b'E', b"\0\0", "insufficient data left in message"),
            (b'z', b"", "invalid frontend message type 122"),
        ] {
            assert_eq!(read(tag, body).unwrap_err().message(), message);
        }
    }
}
