//! `listen`: any number of clients, each in its turn.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use parking_lot::Mutex;

use super::CLIENTS_MAX;
use super::client::{Client, Found, Making};
use super::reader::{Connections, Owed, SocketReader, wait_for};
use crate::error::{Error, Result, SqlState};

/// How often, and after which time, an address is tried again that a source has just let go of.
const BIND_TRIES: u32 = 20;
const BIND_AGAIN: Duration = Duration::from_millis(20);

/// An address that is bound.
#[derive(Debug)]
pub(super) struct Listen {
    pub address: SocketAddr,
    listener: StdListener,
    /// The number of the reader that may take clients in: the others are on their way out.
    current: Mutex<u64>,
}

impl Listen {
    pub(super) fn bind(address: SocketAddr) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(SqlState::IO_ERROR, format!("could not listen on {address}: {error}"))
                .with_hint("Choose another port, or port 0, which picks a free one.")
        };
        let mut tries = 0;
        let listener = loop {
            match StdListener::bind(address) {
                // The reader of a source that was just dropped is still there for a moment.
                Err(error) if error.kind() == ErrorKind::AddrInUse && tries < BIND_TRIES => {
                    tries += 1;
                    std::thread::sleep(BIND_AGAIN);
                }
                bound => break bound.map_err(failed)?,
            }
        };
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, listener, current: Mutex::default() })
    }

    /// From now on no reader takes anything in, until the next is opened.
    pub(super) fn release(&self) {
        *self.current.lock() += 1;
    }

    pub(super) fn open(self: Arc<Self>, making: Arc<Making>) -> Result<SocketReader<Clients>> {
        let number = {
            let mut current = self.current.lock();
            *current += 1;
            *current
        };
        let mut listener = TcpListener::from_std(self.listener.try_clone()?);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let schema = Arc::clone(&making.schema);
        let clients = Clients {
            listen: self,
            number,
            listener,
            poll,
            events: Events::with_capacity(128),
            clients: BTreeMap::new(),
            next: 0,
            turn: 0,
            making,
        };
        Ok(SocketReader::new(clients, schema))
    }
}

const LISTENER: Token = Token(usize::MAX);

/// All clients of an address.
pub(super) struct Clients {
    listen: Arc<Listen>,
    /// As long as this is the current one.
    number: u64,
    listener: TcpListener,
    poll: Poll,
    events: Events,
    /// By token, in the order in which they came.
    clients: BTreeMap<usize, Client>,
    /// The token of the next client.
    next: usize,
    /// The client that is first in the next round.
    turn: usize,
    making: Arc<Making>,
}

impl Connections for Clients {
    /// New clients, then each in its turn.
    fn round(&mut self, found: &mut Found, owed: &mut Owed) -> Result<bool> {
        let mut moved = self.accept(found)?;
        owed.begin(self.clients.keys().copied());
        let later: Vec<usize> = self.clients.range(self.turn..).map(|(token, _)| *token).collect();
        let earlier: Vec<usize> = self.clients.range(..self.turn).map(|(token, _)| *token).collect();
        for token in later.into_iter().chain(earlier) {
            if found.is_full() {
                break;
            }
            self.turn = token + 1;
            let Some(client) = self.clients.get_mut(&token) else { continue };
            let turn = client.turn(found)?;
            owed.pay(token, &turn);
            moved |= turn.moved || turn.over;
            if turn.over
                && let Some(mut client) = self.clients.remove(&token)
            {
                self.poll.registry().deregister(&mut client.stream)?;
            }
        }
        Ok(moved)
    }

    fn wait(&mut self, wait: Duration) -> Result<()> {
        wait_for(&mut self.poll, &mut self.events, wait)
    }
}

impl Clients {
    /// Takes in whoever waits, as far as there is room.
    fn accept(&mut self, found: &mut Found) -> Result<bool> {
        let mut moved = false;
        while self.clients.len() < CLIENTS_MAX {
            // Checked and accepted in one step, so that nobody comes to a reader that is on its way out.
            let accepted = {
                let current = self.listen.current.lock();
                if *current != self.number {
                    return Ok(false);
                }
                self.listener.accept()
            };
            match accepted {
                Ok((mut stream, address)) => {
                    self.poll.registry().register(&mut stream, Token(self.next), Interest::READABLE)?;
                    let client = Client::new(stream, address.to_string(), Arc::clone(&self.making))?;
                    self.clients.insert(self.next, client);
                    self.next += 1;
                    moved = true;
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    // Out of file descriptors, most likely: it is tried again in the next round.
                    _ => {
                        let why = format!("{}: a client could not be accepted: {error}", self.listen.address);
                        found.report(SqlState::CONNECTION_FAILURE, why, String::new());
                        break;
                    }
                },
            }
        }
        Ok(moved)
    }
}
