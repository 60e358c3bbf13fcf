//! The request path: one task per client connection, which carries its requests to targets and the answers back.
//!
//! `state` is what a worker's connections share, `connection` the life of one client connection, `decide` what is
//! done with a request (no waiting in there), `guard` what stands before a rule's routing action, `attempt` which
//! target has it next, `exchange` one request with its target, `transfer` the bodies on their way, `tunnel` what
//! follows a 101, `multiplexed` one request with a target over HTTP/2, `function` one with a function, `logging` what
//! is written down of it all.

pub mod accept;
mod attempt;
mod body;
pub mod connection;
mod decide;
mod exchange;
pub mod function;
mod guard;
pub mod logging;
mod multiplexed;
pub mod state;
mod sticky;
mod transfer;
mod tunnel;

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::Agreed;

/// A client's byte stream: plain, under TLS, or a stream of an HTTP/2 connection. What has a body here is for the last.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin {
    /// One of several on a connection, each with one request: it has no connection to keep or to close.
    const MULTIPLEXED: bool = false;

    /// What its handshake came to; None = plain.
    fn tls(&self) -> Option<&Rc<Agreed>> {
        None
    }

    /// Tells the client to go on with its body, where that is no bytes of HTTP/1. False: it has gone.
    fn send_continue(&mut self) -> bool {
        false
    }

    /// Nothing more of the answer comes; `whole`: for it is complete.
    fn end_answer(&mut self, _whole: bool) {}

    /// Whether the client has given this stream up; pending while it has not, and forever for others.
    fn poll_given_up(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    /// The request has no body, or none any more.
    fn receive_ended(&self) -> bool {
        true
    }

    /// The target's side of the request's body.
    fn set_upstream(&mut self, _: SendStream<Bytes>) {}

    /// Both ends of the way of the request's body, if this is a stream with a target that speaks HTTP/2 too.
    fn upload_ends(&mut self) -> Option<(&mut RecvStream, &mut SendStream<Bytes>)> {
        None
    }

    /// Where the answer's body goes.
    fn answer_end(&mut self) -> Option<&mut SendStream<Bytes>> {
        None
    }

    /// Sends the head of an answer whose body comes as frames; `ends`: there is none.
    ///
    /// # Errors
    /// The client has gone.
    fn send_head_of(&mut self, _: &[u8], _ends: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl ClientStream for tokio::net::TcpStream {}

impl ClientStream for crate::tls::ClientTls {
    fn tls(&self) -> Option<&Rc<Agreed>> {
        self.agreed.as_ref()
    }
}

#[cfg(test)]
impl ClientStream for tokio::io::DuplexStream {}
