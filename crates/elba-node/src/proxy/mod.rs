//! The request path: one task per client connection, which carries its requests to targets and the answers back.
//!
//! `state` is what a worker's connections share, `connection` the life of one client connection, `decide` what is
//! done with a request (no waiting in there), `exchange` one request with its target, `tunnel` what follows a 101,
//! `logging` what is written down of it all.

pub mod connection;
mod decide;
mod exchange;
pub mod logging;
pub mod state;
mod sticky;
mod tunnel;

use tokio::io::{AsyncRead, AsyncWrite};

/// A client's byte stream: TCP now; what a TLS listener will hand over has the same face.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream for S {}
