//! A small client of the PostgreSQL protocol: enough to measure a server from outside, over a real socket.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::error::{Error, Result};

/// Bytes of one CopyData message.
const COPY_PIECE: usize = 64 << 10;

/// One row as text.
pub(super) type Row = Vec<Option<String>>;

/// A connection that is waited for.
pub(super) struct Client {
    input: BufReader<TcpStream>,
    output: TcpStream,
}

impl Client {
    /// Connects as anybody; the server must not ask for a password.
    pub(super) fn connect(address: SocketAddr, user: &str, database: &str) -> Result<Self> {
        let output = TcpStream::connect(address)?;
        output.set_nodelay(true)?;
        let mut client = Self { input: BufReader::with_capacity(64 << 10, output.try_clone()?), output };
        let mut startup = vec![0, 3, 0, 0];
        for text in ["user", user, "database", database, ""] {
            startup.extend(text.as_bytes());
            startup.push(0);
        }
        let length = (startup.len() as u32 + 4).to_be_bytes();
        client.output.write_all(&[&length, startup.as_slice()].concat())?;
        client.until_ready(|_, _| Ok(()))?;
        Ok(client)
    }

    /// Runs statements; the rows of all of them.
    pub(super) fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.ask(sql)?;
        let mut rows = Vec::new();
        self.until_ready(|kind, body| {
            if kind == b'D' {
                rows.push(row(body)?);
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// COPY .. FROM STDIN: sends the bytes, waits for the answer.
    pub(super) fn copy_in(&mut self, sql: &str, bytes: &[u8]) -> Result<()> {
        self.ask(sql)?;
        self.expect(b'G')?;
        for piece in bytes.chunks(COPY_PIECE) {
            self.send(b'd', piece)?;
        }
        self.send(b'c', &[])?;
        self.until_ready(|_, _| Ok(()))
    }

    /// COPY (SUBSCRIBE ..) TO STDOUT: rows come by [`Self::next_line`].
    pub(super) fn copy_out(&mut self, sql: &str) -> Result<()> {
        self.ask(sql)?;
        self.expect(b'H')
    }

    /// Waits for the next line of COPY .. TO STDOUT.
    pub(super) fn next_line(&mut self) -> Result<String> {
        loop {
            let (kind, body) = self.message()?;
            match kind {
                b'd' => return Ok(String::from_utf8_lossy(&body).trim_end().to_owned()),
                b'E' => return Err(server_error(&body)),
                _ => {}
            }
        }
    }

    /// Ends the conversation.
    pub(super) fn close(mut self) {
        let _ = self.send(b'X', &[]);
    }

    fn ask(&mut self, sql: &str) -> Result<()> {
        self.send(b'Q', &[sql.as_bytes(), &[0]].concat())
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let mut message = Vec::with_capacity(body.len() + 5);
        message.push(kind);
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        Ok(self.output.write_all(&message)?)
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.input.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; (length as usize).saturating_sub(4)];
        self.input.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        loop {
            match self.message()? {
                (kind, _) if kind == wanted => return Ok(()),
                (b'E', body) => return Err(server_error(&body)),
                (b'Z', _) => return Err(Error::internal("the statement is no COPY")),
                _ => {}
            }
        }
    }

    fn until_ready(&mut self, mut each: impl FnMut(u8, &[u8]) -> Result<()>) -> Result<()> {
        let mut failed = None;
        loop {
            match self.message()? {
                (b'Z', _) => return failed.map_or(Ok(()), Err),
                (b'E', body) if failed.is_none() => failed = Some(server_error(&body)),
                (b'R', body) if body != [0, 0, 0, 0] => return Err(Error::internal("the server asks for a password")),
                (kind, body) => each(kind, &body)?,
            }
        }
    }
}

/// The values of a DataRow.
fn row(body: &[u8]) -> Result<Row> {
    let cut = || Error::internal("a DataRow is cut");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(cut)?;
    let mut values = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            values.push(None);
            rest = tail;
            continue;
        };
        let (value, tail) = tail.split_at_checked(length).ok_or_else(cut)?;
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = tail;
    }
    Ok(values)
}

/// The message of an ErrorResponse.
fn server_error(body: &[u8]) -> Error {
    let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    let message = fields.filter_map(|field| field.strip_prefix(b"M")).next().unwrap_or_default();
    Error::internal(format!("the server says: {}", String::from_utf8_lossy(message)))
}
