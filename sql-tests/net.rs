//! What tests send over other connections than PostgreSQL's: lines to a socket source, and HTTP requests.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends, says that nothing follows, and waits until the other side has read it all and hung up.
pub async fn send(address: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// An HTTP response.
pub struct Answer {
    /// 200, ..
    pub status: u16,
    /// The head, from the status line on.
    pub head: String,
    /// What follows the headers.
    pub body: String,
}

impl Answer {
    /// The body on one line, the number of its epoch replaced by N.
    pub fn without_epoch(&self) -> String {
        let body = self.body.trim();
        let Some((before, rest)) = body.split_once("\"epoch\":") else { return body.to_owned() };
        format!("{before}\"epoch\":N{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
    }
}

/// POSTs a body with its length.
pub async fn post(address: SocketAddr, path: &str, content_type: &str, body: &str) -> std::io::Result<Answer> {
    let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
    request(address, "POST", path, &headers, body).await
}

/// Any request, with its own headers.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
