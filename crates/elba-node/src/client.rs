//! Requests that the node makes itself, to others than targets: to the control plane, which invokes functions, and to
//! identity providers. One connection for each request; everything is bounded, in time and in bytes.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use elba_core::http1::chunked::{ChunkedReader, Piece};
use elba_core::http1::response::{ResponseHead, MAX_HEAD};
use elba_core::http1::Framing;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{timeout_at, Instant};

use crate::tls::TlsStream;

/// How long and how much an exchange may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connect: Duration,
    pub whole: Duration,
    /// of the response's body
    pub bytes: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no connection in time")]
    ConnectTimeout,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no response in time")]
    Timeout,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the response is malformed")]
    Malformed,
    #[error("the response is too large")]
    TooLarge,
    #[error("the address is not one")]
    BadUrl,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// names in lower case
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An http or https address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url<'a> {
    pub https: bool,
    /// without brackets
    pub host: &'a str,
    pub port: u16,
    /// host and port as written
    pub authority: &'a str,
    /// path and query, "/" at least
    pub target: &'a str,
}

impl<'a> Url<'a> {
    /// None if it is not of this form, or has bytes that a request line cannot have.
    pub fn parse(text: &'a str) -> Option<Url<'a>> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(literal) => {
                let (host, rest) = literal.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'));
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if https => 443,
            None => 80,
        };
        (is_host && (target.is_empty() || target.starts_with('/'))).then_some(Url {
            https,
            host,
            port,
            authority,
            target: if target.is_empty() { "/" } else { target },
        })
    }
}

/// Sends a request and reads the whole response. `fields`: header lines with their ends, without Host and length.
///
/// # Errors
/// See `Failure`; redirects are not followed.
pub async fn ask(
    method: &str,
    url: &str,
    fields: &str,
    body: &[u8],
    trust: Option<&Arc<ClientConfig>>,
    limits: Limits,
) -> Result<Reply, Failure> {
    let url = Url::parse(url).ok_or(Failure::BadUrl)?;
    let began = Instant::now();
    let connected = timeout_at(began + limits.connect.min(limits.whole), connect(&url, trust)).await;
    let stream = connected
        .map_err(|_| Failure::ConnectTimeout)?
        .map_err(Failure::Connect)?;
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\n{fields}Connection: close\r\n",
        url.target, url.authority
    );
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut message = head.into_bytes();
    message.extend_from_slice(body);
    let exchanged = timeout_at(began + limits.whole, async {
        match stream {
            Stream::Plain(stream) => exchange(stream, &message, method == "HEAD", limits.bytes).await,
            Stream::Tls(stream) => exchange(stream, &message, method == "HEAD", limits.bytes).await,
        }
    });
    exchanged.await.map_err(|_| Failure::Timeout)?
}

enum Stream {
    Plain(TcpStream),
    Tls(TlsStream<ClientConnection>),
}

async fn connect(url: &Url<'_>, trust: Option<&Arc<ClientConfig>>) -> io::Result<Stream> {
    // as curl and browsers do: names below localhost are this machine
    let place = if url.host.ends_with(".localhost") {
        "127.0.0.1"
    } else {
        url.host
    };
    let socket = TcpStream::connect((place, url.port)).await?;
    socket.set_nodelay(true)?;
    if !url.https {
        return Ok(Stream::Plain(socket));
    }
    let trust = trust.ok_or(io::ErrorKind::Unsupported)?;
    let name = ServerName::try_from(url.host.to_owned()).map_err(io::Error::other)?;
    let session = ClientConnection::new(trust.clone(), name).map_err(io::Error::other)?;
    let mut stream = TlsStream::new(socket, session);
    poll_fn(|context| stream.poll_handshake(context)).await?;
    Ok(Stream::Tls(stream))
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    message: &[u8],
    to_head: bool,
    most: usize,
) -> Result<Reply, Failure> {
    let (reading, writing) = tokio::io::split(&mut stream);
    let mut read = pin!(read_response(reading, to_head, most));
    let mut write = pin!(write_all(writing, message));
    // a server may answer, and refuse to read on, before it has everything
    tokio::select! {
        biased;
        written = &mut write => {
            written.map_err(Failure::Broken)?;
            read.await
        }
        reply = &mut read => reply,
    }
}

async fn write_all(mut writing: impl AsyncWrite + Unpin, message: &[u8]) -> io::Result<()> {
    writing.write_all(message).await?;
    writing.flush().await
}

async fn read_response(
    mut reading: impl AsyncRead + Unpin,
    to_head: bool,
    most: usize,
) -> Result<Reply, Failure> {
    let mut bytes = Vec::with_capacity(4096);
    let mut head = ResponseHead::default();
    loop {
        match head.parse(&bytes).map_err(|_| Failure::Malformed)? {
            Some(used) if (100..=199).contains(&head.status) => {
                bytes.drain(..used);
                continue;
            }
            Some(used) => {
                let fields = head.fields.iter().map(|field| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    (
                        text(field.name.of(&bytes)).to_ascii_lowercase(),
                        text(field.value.of(&bytes)),
                    )
                });
                let fields = fields.collect();
                let status = head.status;
                bytes.drain(..used);
                let body = read_body(&mut reading, head.framing(to_head), bytes, most).await?;
                return Ok(Reply { status, fields, body });
            }
            None if bytes.len() > MAX_HEAD => return Err(Failure::Malformed),
            None => {}
        }
        if reading.read_buf(&mut bytes).await.map_err(Failure::Broken)? == 0 {
            return Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

async fn read_body(
    reading: &mut (impl AsyncRead + Unpin),
    framing: Framing,
    mut bytes: Vec<u8>,
    most: usize,
) -> Result<Vec<u8>, Failure> {
    let mut chunks = ChunkedReader::default();
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        match framing {
            Framing::None => return Ok(Vec::new()),
            Framing::Length(length) if length > most as u64 => return Err(Failure::TooLarge),
            Framing::Length(length) => {
                if bytes.len() as u64 >= length {
                    bytes.truncate(length as usize);
                    return Ok(bytes);
                }
            }
            Framing::Chunked => {
                while let Piece::Data { start, end } =
                    chunks.next(&bytes, &mut at).map_err(|_| Failure::Malformed)?
                {
                    body.extend_from_slice(&bytes[start..end]);
                }
                bytes.drain(..at);
                at = 0;
                if body.len() > most {
                    return Err(Failure::TooLarge);
                }
                if chunks.is_done() {
                    return Ok(body);
                }
            }
            Framing::UntilClose if bytes.len() > most => return Err(Failure::TooLarge),
            Framing::UntilClose => {}
        }
        let count = reading.read_buf(&mut bytes).await.map_err(Failure::Broken)?;
        if count == 0 {
            return match framing {
                Framing::UntilClose => Ok(bytes),
                _ => Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let url = Url::parse("https://idp.example:8443/token?x=1#part").unwrap();
        assert_eq!((url.https, url.host, url.port), (true, "idp.example", 8443));
        assert_eq!((url.authority, url.target), ("idp.example:8443", "/token?x=1"));
        let url = Url::parse("http://[::1]").unwrap();
        assert_eq!((url.host, url.port, url.target), ("::1", 80, "/"));
        for bad in [
            "ftp://h/",
            "https://",
            "https://h:x/",
            "https://u@h/",
            "https://h/a b",
            "h/",
            "https://h?x",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }

    fn read(bytes: &[u8], most: usize) -> Result<Reply, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_response(bytes, false, most))
    }

    #[test]
    fn responses_in_every_framing() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabcdef",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-a: b\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-a: b\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ] {
            let reply = read(text.as_bytes(), 3).unwrap();
            assert_eq!(
                (reply.status, reply.body.as_slice()),
                (200, &b"abc"[..]),
                "{text}"
            );
            assert_eq!(reply.field("x-a"), Some("b"));
            assert!(
                matches!(read(text.as_bytes(), 2), Err(Failure::TooLarge)),
                "{text}"
            );
        }
        assert!(matches!(read(b"SSH-2.0-x\r\n", 9), Err(Failure::Malformed)));
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab";
        assert!(matches!(read(cut, 9), Err(Failure::Broken(_))));
    }
}
