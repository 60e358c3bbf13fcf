//! HTTP/2 connections to targets: few, shared by many requests, kept by each worker for each target.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, Future};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::counters::{Balancer, BalancerCells};
use crate::timer::now_ms;

/// What one response may send ahead of what its client has taken. All of a connection may send it at once: what is for
/// a client that does not read must not use up the room of the others.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// Requests on one connection at most, whatever the target takes.
const MAX_STREAMS: usize = 100;
const SEND_BUFFER: usize = 64 * 1024;
/// How much small frames may cost (256 bytes each, less what they say) that came in one go, before those they are for
/// can take them: 130,000 of them. They do at once, whether the client takes them or not.
const SMALL_FRAMES: usize = 32 * 1024 * 1024;
/// All fields of a response, as they are counted for HTTP/2. Source: alb.md section 11.1.
const MAX_HEADER_LIST: u32 = 32 * 1024 + 128 * 32;

/// One connection, and how many requests are on it.
struct Line {
    send: SendRequest<Bytes>,
    active: Rc<Cell<usize>>,
    /// when it was last seen to be in use
    used_ms: Cell<u64>,
}

/// The open connections to one target.
#[derive(Default)]
pub struct Shared {
    lines: RefCell<Vec<Line>>,
    /// somebody is opening one, and the others wait for it
    opening: Cell<bool>,
    opened: Notify,
}

/// A place for one request on a connection, given back when it is dropped.
pub struct Place {
    pub send: SendRequest<Bytes>,
    active: Rc<Cell<usize>>,
}

impl Place {
    fn on(line: &Line) -> Place {
        line.active.set(line.active.get() + 1);
        Place {
            send: line.send.clone(),
            active: line.active.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.active.set(self.active.get() - 1);
    }
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
    /// A place on a connection that takes another stream now. Those that have ended are forgotten.
    fn free(&self, context: &mut Context<'_>) -> Option<Place> {
        let mut lines = self.lines.borrow_mut();
        lines.retain_mut(|line| !matches!(line.send.poll_ready(context), Poll::Ready(Err(_))));
        lines
            .iter()
            .find(|line| line.active.get() < line.send.current_max_send_streams().min(MAX_STREAMS))
            .map(Place::on)
    }

    /// A place on a connection, or the right to open another one.
    pub async fn take(&self) -> Result<Place, Opening<'_>> {
        loop {
            if let Some(place) = poll_fn(|context| Poll::Ready(self.free(context))).await {
                return Ok(place);
            }
            if !self.opening.replace(true) {
                return Err(Opening(self));
            }
            self.opened.notified().await;
        }
    }

    /// Lets no further request onto the connection of this one.
    pub fn leave(&self, place: &Place) {
        self.lines
            .borrow_mut()
            .retain(|line| !Rc::ptr_eq(&line.active, &place.active));
    }

    /// Ends connections without a request since before `oldest_ms`.
    pub fn sweep(&self, now_ms: u64, oldest_ms: u64) {
        self.lines.borrow_mut().retain(|line| {
            if line.active.get() > 0 {
                line.used_ms.set(now_ms);
            }
            line.used_ms.get() >= oldest_ms
        });
    }

    /// Lets no further request onto the connections there are; those on them end in peace.
    pub fn forget(&self) {
        self.lines.borrow_mut().clear();
    }
}

impl Opening<'_> {
    /// Speaks HTTP/2 on a fresh connection, which others may then use too. It is there when the target has said how
    /// many streams it takes: what is sent before could be refused after its body is gone.
    ///
    /// # Errors
    /// The target does not speak HTTP/2.
    pub async fn start<C>(self, stream: C, cells: Arc<BalancerCells>) -> io::Result<Place>
    where
        C: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (send, mut connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(0)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(SMALL_FRAMES)
            .max_header_list_size(MAX_HEADER_LIST)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(io::Error::other)?;
        poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Pending if send.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        cells.add(Balancer::NewConnectionCount, 1);
        cells.add(Balancer::TargetOpened, 1);
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            cells.add(Balancer::TargetClosed, 1);
        });
        let line = Line {
            send,
            active: Rc::default(),
            used_ms: Cell::new(now_ms()),
        };
        let place = Place::on(&line);
        self.0.lines.borrow_mut().push(line);
        Ok(place)
    }
}

/// As a target's runtime holds it: most targets have none.
pub type Pool = Rc<Shared>;
