//! `connector = 'socket'`: lines over TCP, from whoever connects (`listen`), or from where it connects to (`connect`).
//!
//! Delivery: at most once: a socket cannot be read again. Rows, and bad records, go into the input log themselves, so that a
//! restart or a replay has those that were accepted; what was on its way is lost with its connection. The first view starts the
//! reading (until then clients wait, as far as the kernel's buffers go), a later one gets rows from then on, and SELECT
//! from the source is refused. When no view reads it any more, its connections are closed.
//! Offsets: number of the record (good or bad) since the reading began, over all clients in the order in which their
//! bytes were read. One partition.
//! Options: exactly one of `listen` and `connect`, `'host:port'`. `listen` takes loopback addresses only, as the server
//! itself, and up to [`CLIENTS_MAX`] clients at once (others wait); port 0 picks a free one, which
//! `highwater.sources.address` shows. `connect` goes anywhere, and connects again when the connection ends or cannot be
//! had, after 100 ms, and twice as long after each failure, 10 s at most.
//! `max_ahead`: rows whose event time is further ahead of the clock are errors.
//! ENCODE: `JSON`, one object per line; `CSV (header, delimiter, null)`, one record per line, so without line ends in
//! quotes, with `header = 'true'` naming the columns on each connection's first line; `TEXT`, one column per line,
//! blank ones too. Columns have to be declared, but for TEXT, whose column is `line`.
//!
//! A line longer than [`LINE_BYTES_MAX`], half a line at the end of a connection, and a connection that breaks are bad
//! records, as are lines that do not decode. The reader reads only when the queue behind it has room, so that a slow
//! view fills the kernel's buffers, and these slow the sender.

mod client;
mod dial;
mod listen;
mod reader;

use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::encoding::{Encoding, Taken};
use super::options::{Options, invalid};
use super::{Connector, ConnectorSpec, Reader};
use crate::config::loopback;
use crate::error::{Error, Result, SqlState};
use crate::formats::lines;
use client::Making;
use dial::Dial;
use listen::Listen;

/// Clients of one source at once.
const CLIENTS_MAX: usize = 256;

/// A longer line is given up.
const LINE_BYTES_MAX: usize = 1 << 20;

const TAKEN: Taken = Taken { connector: "socket", encodings: &["JSON", "CSV", "TEXT"], header: false };

/// A socket, bound when it was created, or to be connected.
#[derive(Debug)]
pub(super) struct Socket {
    way: Way,
    making: Arc<Making>,
    max_ahead: Option<i64>,
}

#[derive(Debug)]
enum Way {
    Listen(Arc<Listen>),
    Connect(Arc<Dial>),
}

impl Socket {
    /// Reads the options and binds the address to listen on.
    ///
    /// Errors: `22023` options; `0A000` an address that is not loopback; `42P16` no columns; `58030` an address that
    /// cannot be had.
    pub(super) fn build(spec: &ConnectorSpec) -> Result<Self> {
        let later = [("idle_timeout", "The setting idle_timeout holds for all sources.")];
        let known = ["listen", "connect", "max_ahead"];
        let options = Options::new("connector \"socket\"", &spec.options, &known, &later)?;
        let max_ahead = options.max_ahead()?;
        let encoding = Encoding::build(spec, &TAKEN)?;
        let schema = columns(&encoding, spec.declared.as_ref())?;
        let way = match (options.text("listen"), options.text("connect")) {
            (Some(address), None) => Way::Listen(Arc::new(Listen::bind(address_of("listen", loopback(address))?)?)),
            (None, Some(address)) => Way::Connect(Arc::new(Dial::new(address)?)),
            (None, None) => {
                let hint = "Add listen = '127.0.0.1:9000', or connect = 'host:9000', to WITH (..).";
                return Err(invalid("connector \"socket\" needs option \"listen\" or \"connect\"").with_hint(hint));
            }
            (Some(_), Some(_)) => {
                let hint = "Create two sources, and a view over their UNION ALL.";
                return Err(invalid("connector \"socket\" takes listen or connect, not both").with_hint(hint));
            }
        };
        Ok(Self { way, max_ahead, making: Arc::new(Making { encoding, schema }) })
    }
}

/// Says which option an address came from.
fn address_of(option: &str, address: Result<SocketAddr>) -> Result<SocketAddr> {
    address.map_err(|error| match error.code() {
        SqlState::FEATURE_NOT_SUPPORTED => error,
        _ => error.with_hint(format!("Write {option} = 'host:port', as in '127.0.0.1:9000'.")),
    })
}

fn columns(encoding: &Encoding, declared: Option<&SchemaRef>) -> Result<SchemaRef> {
    match (encoding, declared) {
        (Encoding::Text, declared) => lines::columns(declared),
        (_, Some(declared)) => Ok(Arc::clone(declared)),
        (_, None) => {
            let message = "the columns of a socket have to be declared";
            let error = Error::new(SqlState::INVALID_TABLE_DEFINITION, message);
            Err(error.with_hint("Name them and their types behind the source's name; only a file can tell them."))
        }
    }
}

impl Connector for Socket {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.making.schema)
    }

    fn max_ahead(&self) -> Option<i64> {
        self.max_ahead
    }

    fn replayable(&self) -> bool {
        false
    }

    fn open(&self, _partition: u32, _offset: u64) -> Result<Box<dyn Reader>> {
        let making = Arc::clone(&self.making);
        Ok(match &self.way {
            Way::Listen(listen) => Box::new(Arc::clone(listen).open(making)?),
            Way::Connect(dial) => Box::new(Arc::clone(dial).open(making)?),
        })
    }

    fn release(&self) {
        if let Way::Listen(listen) = &self.way {
            listen.release();
        }
    }

    fn address(&self) -> Option<String> {
        Some(match &self.way {
            Way::Listen(listen) => listen.address.to_string(),
            Way::Connect(dial) => dial.address.clone(),
        })
    }

    fn trouble(&self) -> Option<String> {
        match &self.way {
            Way::Listen(_) => None,
            Way::Connect(dial) => dial.trouble(),
        }
    }
}

#[cfg(test)]
mod tests;
