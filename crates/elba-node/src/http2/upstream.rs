//! HTTP/2 connections to targets: few, shared by many requests, kept by each worker for each target.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::counters::{Balancer, BalancerCells};

/// What one response, and all of a connection together, may send ahead of what clients have taken.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER: usize = 256 * 1024;
/// All fields of a response, as they are counted for HTTP/2. Source: alb.md section 11.1.
const MAX_HEADER_LIST: u32 = 32 * 1024 + 128 * 32;

/// The open connections to one target.
#[derive(Default)]
pub struct Shared {
    open: RefCell<Vec<SendRequest<Bytes>>>,
    /// somebody is opening one, and the others wait for it
    opening: Cell<bool>,
    opened: Notify,
}

/// The right to open a connection; the others are told when it ends.
pub struct Opening<'a>(&'a Shared);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.opened.notify_waiters();
    }
}

impl Shared {
    /// A connection that takes another stream now. Those that have ended are forgotten.
    fn ready(&self, context: &mut Context<'_>) -> Option<SendRequest<Bytes>> {
        let mut found = None;
        self.open.borrow_mut().retain_mut(|send| {
            if found.is_some() {
                return true;
            }
            match send.poll_ready(context) {
                Poll::Ready(Ok(())) => {
                    found = Some(send.clone());
                    true
                }
                Poll::Ready(Err(_)) => false,
                Poll::Pending => true,
            }
        });
        found
    }

    /// A connection that takes another stream, or the right to open one.
    pub async fn take(&self) -> Result<SendRequest<Bytes>, Opening<'_>> {
        loop {
            if let Some(send) = poll_fn(|context| Poll::Ready(self.ready(context))).await {
                return Ok(send);
            }
            if !self.opening.replace(true) {
                return Err(Opening(self));
            }
            self.opened.notified().await;
        }
    }

    /// Lets no further request onto the connections there are; those on them end in peace.
    pub fn forget(&self) {
        self.open.borrow_mut().clear();
    }

    pub fn count(&self) -> usize {
        self.open.borrow().len()
    }
}

impl Opening<'_> {
    /// Speaks HTTP/2 on a fresh connection, which others may then use too.
    ///
    /// # Errors
    /// The target does not speak HTTP/2.
    pub async fn start<C>(self, stream: C, cells: Arc<BalancerCells>) -> io::Result<SendRequest<Bytes>>
    where
        C: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (send, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(io::Error::other)?;
        cells.add(Balancer::NewConnectionCount, 1);
        cells.add(Balancer::TargetOpened, 1);
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            cells.add(Balancer::TargetClosed, 1);
        });
        self.0.open.borrow_mut().push(send.clone());
        Ok(send)
    }
}

/// As a target's runtime holds it: most targets have none.
pub type Pool = Rc<Shared>;
