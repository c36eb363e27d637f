//! `connect`: one connection, made again when it ends.

use std::io::ErrorKind;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use parking_lot::Mutex;

use super::client::{Client, Found, Making};
use super::reader::{Connections, Owed, SocketReader, wait_for};
use crate::connectors::options::bad_value;
use crate::error::Result;

/// How long after the end of a connection the next is tried; doubled with each failure.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A connection that is not there after this time will not be.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to connect to.
#[derive(Debug)]
pub(super) struct Dial {
    /// `host:port`.
    pub address: String,
    /// Why there is no connection now.
    trouble: Mutex<Option<String>>,
}

impl Dial {
    pub(super) fn new(address: &str) -> Result<Self> {
        let address = address.trim();
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        match port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0) {
            Some(_) => Ok(Self { address: address.to_owned(), trouble: Mutex::default() }),
            None => Err(bad_value("connect", address, "'host:port'")),
        }
    }

    /// Why there is no connection now.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(super) fn open(self: Arc<Self>, making: Arc<Making>) -> Result<SocketReader<Dialled>> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(8));
        let (line, schema) = (Line::Down { until: Instant::now() }, Arc::clone(&making.schema));
        Ok(SocketReader::new(Dialled { dial: self, poll, events, line, backoff: BACKOFF, making }, schema))
    }
}

/// The state of the connection.
enum Line {
    Down { until: Instant },
    Dialling { stream: TcpStream, until: Instant },
    Up(Box<Client>),
}

/// The connection, such as it is.
pub(super) struct Dialled {
    dial: Arc<Dial>,
    poll: Poll,
    events: Events,
    line: Line,
    /// How long to wait before the next try.
    backoff: Duration,
    making: Arc<Making>,
}

const LINE: Token = Token(0);

impl Connections for Dialled {
    /// One step of the connection's life.
    fn round(&mut self, found: &mut Found, owed: &mut Owed) -> Result<bool> {
        let is_up = matches!(self.line, Line::Up(_));
        owed.begin(is_up.then_some(0).into_iter());
        match std::mem::replace(&mut self.line, Line::Down { until: Instant::now() }) {
            Line::Down { until } if Instant::now() < until => {
                self.line = Line::Down { until };
                Ok(false)
            }
            Line::Down { .. } => match self.dial() {
                Ok(stream) => {
                    self.line = Line::Dialling { stream, until: Instant::now() + DIAL_TIMEOUT };
                    Ok(false)
                }
                Err(error) => {
                    self.down(&error.to_string());
                    Ok(false)
                }
            },
            Line::Dialling { stream, until } => self.dialling(stream, until),
            Line::Up(mut client) => {
                let turn = client.turn(found)?;
                owed.pay(0, &turn);
                if turn.over {
                    self.backoff = BACKOFF;
                    self.hang_up(client.stream);
                    self.down("the connection ended");
                } else {
                    self.line = Line::Up(client);
                }
                Ok(turn.moved || turn.over)
            }
        }
    }

    fn wait(&mut self, wait: Duration) -> Result<()> {
        let wait = match &self.line {
            Line::Down { until } => wait.min(until.saturating_duration_since(Instant::now())),
            Line::Dialling { .. } | Line::Up(_) => wait,
        };
        wait_for(&mut self.poll, &mut self.events, wait)
    }
}

impl Dialled {
    fn dial(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in self.dial.address.to_socket_addrs()? {
            match TcpStream::connect(address) {
                Ok(mut stream) => {
                    self.poll.registry().register(&mut stream, LINE, Interest::READABLE | Interest::WRITABLE)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn dialling(&mut self, stream: TcpStream, until: Instant) -> Result<bool> {
        let failed = match (stream.take_error(), stream.peer_addr()) {
            (Ok(None), Ok(_)) => {
                *self.dial.trouble.lock() = None;
                let client = Client::new(stream, self.dial.address.clone(), Arc::clone(&self.making))?;
                self.line = Line::Up(Box::new(client));
                return Ok(true);
            }
            (Ok(Some(error)) | Err(error), _) => error.to_string(),
            (Ok(None), Err(error)) if error.kind() != ErrorKind::NotConnected => error.to_string(),
            (Ok(None), Err(_)) if Instant::now() < until => {
                self.line = Line::Dialling { stream, until };
                return Ok(false);
            }
            (Ok(None), Err(_)) => "no answer".to_owned(),
        };
        self.hang_up(stream);
        self.down(&failed);
        Ok(false)
    }

    fn hang_up(&self, mut stream: TcpStream) {
        let _ = self.poll.registry().deregister(&mut stream);
    }

    /// Waits before the next try, longer each time.
    fn down(&mut self, why: &str) {
        let (address, wait) = (&self.dial.address, self.backoff);
        let trouble = format!("no connection to {address}: {why}; tried again every {} ms", wait.as_millis());
        tracing::info!("{trouble}");
        *self.dial.trouble.lock() = Some(trouble);
        self.line = Line::Down { until: Instant::now() + wait };
        self.backoff = (wait * 2).min(BACKOFF_MAX);
    }
}
