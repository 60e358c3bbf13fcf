//! HTTP/2 by hand: frames that no library would send.
#![allow(clippy::unwrap_used)] // a test's helpers may panic: that is how it fails
#![allow(dead_code)] // each test file uses its part

use std::io;

use elba_node::tls::TlsStream;
use rustls::ClientConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::Node;
use crate::support_http2::handshake;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A length or an index of HPACK behind so many bits of a pattern.
fn push_number(out: &mut Vec<u8>, pattern: u8, bits: u32, mut number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return out.push(pattern | number as u8);
    }
    out.push(pattern | most as u8);
    number -= most;
    while number >= 128 {
        out.push(number as u8 | 128);
        number /= 128;
    }
    out.push(number as u8);
}

/// Fields as they stand, whatever is in them: literals without an index.
pub fn block(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        push_number(&mut out, 0, 7, name.len());
        out.extend_from_slice(name);
        push_number(&mut out, 0, 7, value.len());
        out.extend_from_slice(value);
    }
    out
}

pub fn field(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// A request's own fields.
pub fn request(method: &str, path: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![
        field(":method", method),
        field(":scheme", "https"),
        field(":authority", "one.example"),
        field(":path", path),
    ]
}

pub struct Frames {
    stream: TlsStream<ClientConnection>,
}

impl Frames {
    pub async fn open(node: &Node) -> Frames {
        let mut stream = handshake(node.address, &["h2"]).await;
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        push_frame(&mut out, SETTINGS, 0, 0, &[]);
        stream.write_all(&out).await.unwrap();
        Frames { stream }
    }

    /// Whether the node still takes it.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// None once the node has ended the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.read(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    async fn read(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(into).await.map(|_| ())
    }

    /// Why the node ended the connection, once it has; None = without a word.
    pub async fn end(&mut self) -> Option<u32> {
        let mut why = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                why = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        why
    }
}
