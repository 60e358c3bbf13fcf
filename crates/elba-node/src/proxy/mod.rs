//! The request path: one task per client connection, which carries its requests to targets and the answers back.
//!
//! `state` is what a worker's connections share, `connection` the life of one client connection, `decide` what is
//! done with a request (no waiting in there), `exchange` one request with its target, `tunnel` what follows a 101,
//! `logging` what is written down of it all.

pub mod accept;
pub mod connection;
mod decide;
mod exchange;
pub mod logging;
pub mod state;
mod sticky;
mod tunnel;

use tokio::io::{AsyncRead, AsyncWrite};

/// A client's byte stream: plain or under TLS.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin {
    /// One of several on a connection, each with one request: it has no connection to keep or to close.
    const MULTIPLEXED: bool = false;

    /// Version and cipher suite as OpenSSL writes them; None = plain.
    fn tls(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Nothing more of the answer comes; `whole`: for it is complete.
    fn end_answer(&mut self, _whole: bool) {}
}

impl ClientStream for tokio::net::TcpStream {}

impl ClientStream for crate::tls::ClientTls {
    fn tls(&self) -> Option<(&'static str, &'static str)> {
        self.spoken()
    }
}

#[cfg(test)]
impl ClientStream for tokio::io::DuplexStream {}
