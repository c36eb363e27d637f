//! The beginning of a connection: encryption is declined, cancel requests are passed on, a session is opened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::connection::Connection;
use super::decode::utf8;
use super::frontend::violation;
use super::report;
use super::socket::{End, Reader, Writer};
use crate::config::{MAX_STARTUP, SHUTDOWN_S, STARTUP_TIMEOUT_S};
use crate::engine::{Engine, Session, Startup};
use crate::error::{Error, Result, SqlState};
use crate::metrics::Metrics;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// Protocol 3.0; clients that ask for a newer minor version are told.
const PROTOCOL: u32 = 3 << 16;

/// Serves one connection to its end. Without a `permit` there are too many of them, which the client is told.
pub async fn serve(
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    mut socket: TcpStream,
    address: SocketAddr,
    permit: Option<OwnedSemaphorePermit>,
) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = socket.set_nodelay(true);
    let mut buffer = BytesMut::new();
    let hello = timeout(Duration::from_secs(STARTUP_TIMEOUT_S), hello(&mut socket, &mut buffer)).await;
    let (reader, writer) = socket.into_split();
    let (mut reader, mut writer) = (Reader::new(reader, buffer), Writer::new(writer));
    let startup = match hello {
        Ok(Ok(Hello::Startup { minor, parameters })) => {
            negotiate(&mut writer, minor, &parameters);
            startup(parameters, address)
        }
        Ok(Ok(Hello::Cancel { pid, secret })) => return engine.cancel(pid, secret),
        Ok(Err(End::Fatal(error))) => Err(error),
        Ok(Err(End::Gone)) | Err(_) => return,
    };
    let full = || Error::new(SqlState("53300"), "sorry, too many clients already");
    let session = startup.and_then(|startup| match permit {
        Some(_) => engine.connect(startup),
        None => Err(full()),
    });
    let end = match session {
        Ok(session) => {
            greet(&mut writer, &session);
            let mut connection = Connection::new(engine, metrics.clone(), reader, writer, session);
            metrics.connections.inc();
            metrics.connections_total.inc();
            let end = connection.run().await;
            metrics.connections.dec();
            (reader, writer) = connection.into_socket();
            end
        }
        Err(error) => End::Fatal(error),
    };
    if let End::Fatal(error) = end {
        crate::metrics::add(&metrics.errors, "sqlstate", error.code().0, 1);
        writer.put(report::error(&error, "FATAL", 0));
        // One that does not read is not waited for long.
        let last_word = async {
            writer.close().await?;
            // Closing with unread bytes would take the last word from the client again.
            reader.drain().await
        };
        let _ = timeout(Duration::from_secs(SHUTDOWN_S), last_word).await;
    }
}

/// The first packet that is not about encryption.
enum Hello {
    Startup { minor: u32, parameters: Vec<(String, String)> },
    Cancel { pid: i32, secret: i32 },
}

async fn hello(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<Hello, End> {
    loop {
        let mut packet = packet(socket, buffer).await?;
        let code = packet.get_u32();
        match code {
            SSL_REQUEST | GSS_REQUEST => {
                // Whatever came unencrypted after the request was not meant for us to trust.
                if !buffer.is_empty() {
                    return Err(End::Fatal(violation("received unencrypted data after an encryption request")));
                }
                socket.write_all(b"N").await?;
            }
            CANCEL_REQUEST if packet.len() == 8 => {
                return Ok(Hello::Cancel { pid: packet.get_i32(), secret: packet.get_i32() });
            }
            CANCEL_REQUEST => return Err(End::Gone),
            _ if code >> 16 == 3 => {
                let parameters = parameters(packet).map_err(End::Fatal)?;
                return Ok(Hello::Startup { minor: code & 0xffff, parameters });
            }
            _ => {
                let (major, minor) = (code >> 16, code & 0xffff);
                let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0");
                return Err(End::Fatal(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)));
            }
        }
    }
}

/// A packet without a type byte; its length is checked before anything is read.
async fn packet(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<Bytes, End> {
    loop {
        if let Some(length) = buffer.get(..4) {
            let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
            if !(8..=MAX_STARTUP).contains(&length) {
                return Err(End::Fatal(violation("invalid length of startup packet")));
            }
            if buffer.len() >= length {
                let mut packet = buffer.split_to(length).freeze();
                packet.advance(4);
                return Ok(packet);
            }
        }
        if socket.read_buf(buffer).await? == 0 {
            return Err(End::Gone);
        }
    }
}

/// Names and values, ended by an empty name.
fn parameters(packet: Bytes) -> Result<Vec<(String, String)>> {
    let malformed = || violation("invalid startup packet layout: expected terminator as last byte");
    let body = packet.strip_suffix(b"\0\0").or_else(|| packet.strip_suffix(b"\0").filter(|rest| rest.is_empty()));
    let body = body.ok_or_else(malformed)?;
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<&str> = body.split(|b| *b == 0).map(utf8).collect::<Result<_>>()?;
    if !texts.len().is_multiple_of(2) {
        return Err(malformed());
    }
    Ok(texts.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect())
}

fn startup(parameters: Vec<(String, String)>, address: SocketAddr) -> Result<Startup> {
    let mut startup = Startup { address: Some(address), ..Startup::default() };
    for (name, value) in parameters {
        match name.as_str() {
            "user" => startup.user = value,
            "database" => startup.database = value,
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => {
                return Err(Error::unsupported("a replication connection", "use SUBSCRIBE to follow a view's changes"));
            }
            // Options of protocols newer than ours are negotiated away.
            name if name.starts_with("_pq_.") => {}
            _ => startup.options.push((name, value)),
        }
    }
    if startup.user.is_empty() {
        return Err(Error::new(SqlState("28000"), "no PostgreSQL user name specified in startup packet"));
    }
    if startup.database.is_empty() {
        startup.database.clone_from(&startup.user);
    }
    Ok(startup)
}

/// Tells a client that wants more than protocol 3.0 what it gets.
fn negotiate(writer: &mut Writer, minor: u32, parameters: &[(String, String)]) {
    let unknown: Vec<String> = parameters.iter().map(|(n, _)| n).filter(|n| n.starts_with("_pq_.")).cloned().collect();
    if minor > 0 || !unknown.is_empty() {
        writer.put(Backend::NegotiateProtocolVersion(NegotiateProtocolVersion::new(PROTOCOL as i32, unknown)));
    }
}

fn greet(writer: &mut Writer, session: &Session) {
    writer.put(Backend::Authentication(Authentication::Ok));
    for (name, value) in session.parameters() {
        writer.put(report::parameter(name, value));
    }
    writer.put(Backend::BackendKeyData(BackendKeyData::new(session.pid, SecretKey::I32(session.secret))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_parameters() {
        let read = |bytes: &'static [u8]| parameters(Bytes::from_static(bytes));
        assert_eq!(read(b"\0").unwrap(), []);
        let expected = [("user".to_owned(), "me".to_owned()), ("options".to_owned(), String::new())];
        assert_eq!(read(b"user\0me\0options\0\0\0").unwrap(), expected);
        for bad in [&b"user\0me\0"[..], b"user\0\0", b"user"] {
            assert_eq!(read(bad).unwrap_err().code(), SqlState::PROTOCOL_VIOLATION, "{bad:?}");
        }
        assert_eq!(read(b"user\0\xff\0\0").unwrap_err().code(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(startup(vec![], address).unwrap_err().code().0, "28000");
        assert_eq!(startup(vec![("user".into(), "me".into())], address).unwrap().database, "me");
    }
}
