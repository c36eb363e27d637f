//! One connection: its bytes, cut into lines and decoded.

use std::io::{ErrorKind, Read as _};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use mio::net::TcpStream;

use super::LINE_BYTES_MAX;
use crate::connectors::encoding::Encoding;
use crate::connectors::{BadRecord, Read};
use crate::error::{Result, SqlState};
use crate::formats::{BATCH_RECORDS_MAX, Cut, Cutter, Decoder, Records};

/// Bytes read from a client in its turn.
const TURN_BYTES: usize = 64 << 10;

/// The longest piece of half a line that is kept.
const SHOWN_BYTES: usize = 2048;

/// What every client's lines become.
#[derive(Debug)]
pub(super) struct Making {
    pub encoding: Encoding,
    pub schema: SchemaRef,
}

/// A connection.
pub(super) struct Client {
    pub stream: TcpStream,
    /// Its address, which begins the messages of bad records.
    name: String,
    making: Arc<Making>,
    cutter: Cutter,
    /// `None` until its header has come.
    decoder: Option<Arc<dyn Decoder>>,
}

/// What became of a client's turn.
pub(super) struct Turn {
    /// Bytes came, or lines were left from before.
    pub moved: bool,
    /// It is gone.
    pub over: bool,
    /// Bytes that were read.
    pub bytes: usize,
    /// There was nothing more to read.
    pub is_dry: bool,
}

impl Client {
    pub(super) fn new(stream: TcpStream, name: String, making: Arc<Making>) -> Result<Self> {
        // One record per line, whatever its quotes say: a sender can not open one that nobody closes.
        let cut = if making.encoding.cut() == Cut::AllLines { Cut::AllLines } else { Cut::Lines };
        let cutter = Cutter::limited(cut, LINE_BYTES_MAX);
        let headed = making.encoding.is_headed();
        let decoder = if headed { None } else { Some(making.encoding.decoder(None, &making.schema)?) };
        Ok(Self { stream, name, making, cutter, decoder })
    }

    /// Reads what is there, a turn's worth at most, and hands whole lines over.
    pub(super) fn turn(&mut self, found: &mut Found) -> Result<Turn> {
        let mut records = Records::default();
        let most = BATCH_RECORDS_MAX.saturating_sub(found.records).max(1);
        self.cutter.cut(&mut records, most);
        let mut turn = Turn { moved: !records.is_empty(), over: false, bytes: 0, is_dry: false };
        let mut broken = None;
        if records.len() < most {
            match self.read() {
                Ok(0) => turn.over = true,
                Ok(bytes) => (turn.moved, turn.bytes) = (true, bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => turn.is_dry = true,
                Err(error) => {
                    turn.over = true;
                    broken = Some(error);
                }
            }
            self.cutter.cut(&mut records, most);
        }
        self.decode(records, found)?;
        if turn.over {
            self.end(broken, found);
        }
        Ok(turn)
    }

    /// Reads once; 0 is the end.
    fn read(&mut self) -> std::io::Result<usize> {
        let stream = &mut self.stream;
        self.cutter.fill(|buffer| {
            let had = buffer.len();
            buffer.resize(had + TURN_BYTES, 0);
            let read = loop {
                match stream.read(&mut buffer[had..]) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            buffer.truncate(had + read.as_ref().map_or(0, |read| *read));
            read
        })
    }

    fn decode(&mut self, mut records: Records, found: &mut Found) -> Result<()> {
        if self.decoder.is_none() && !records.is_empty() {
            let Making { encoding, schema } = self.making.as_ref();
            self.decoder = Some(encoding.decoder(Some(&encoding.names(records.get(0))), schema)?);
            records = records.behind(1);
        }
        let Some(decoder) = self.decoder.as_ref().filter(|_| !records.is_empty()) else { return Ok(()) };
        let decoded = decoder.decode(&records, &self.name)?;
        found.records += records.len();
        found.bad.extend(decoded.bad);
        if decoded.rows.num_rows() > 0 {
            found.rows.push(decoded.rows);
        }
        Ok(())
    }

    /// Reports half a line, and a connection that broke.
    fn end(&self, broken: Option<std::io::Error>, found: &mut Found) {
        let rest = self.cutter.rest();
        if !rest.is_empty() {
            let why = format!("{}:{}: the connection ended within a line", self.name, self.cutter.next_line());
            let shown = String::from_utf8_lossy(&rest[..rest.len().min(SHOWN_BYTES)]).into_owned();
            found.report(SqlState::BAD_COPY_FILE_FORMAT, why, shown);
        }
        if let Some(error) = broken {
            let why = format!("{}: the connection broke: {error}", self.name);
            found.report(SqlState::CONNECTION_FAILURE, why, String::new());
        }
    }
}

/// What a reader has found in one round over its clients.
#[derive(Default)]
pub(super) struct Found {
    rows: Vec<RecordBatch>,
    bad: Vec<BadRecord>,
    records: usize,
}

impl Found {
    /// Adds what is no line.
    pub(super) fn report(&mut self, code: SqlState, message: String, record: String) {
        self.bad.push(BadRecord { code, message, record });
        self.records += 1;
    }

    /// Whether others have to wait for the next round.
    pub(super) fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS_MAX
    }

    /// All of it as one read, if there is anything.
    pub(super) fn into_read(self, schema: &SchemaRef, offset: &mut u64) -> Result<Option<Read>> {
        if self.records == 0 {
            return Ok(None);
        }
        *offset += self.records as u64;
        let rows = match self.rows.as_slice() {
            [one] => one.clone(),
            several => concat_batches(schema, several)?,
        };
        Ok(Some(Read::Rows { rows, bad: self.bad, next_offset: *offset }))
    }
}
