//! Connections to targets: kept per worker and target, taken last in, first out, so that the ones not needed grow
//! old and go. The pool has no fixed size: one smaller than the concurrency costs more than it saves (measured: 2.7
//! times the CPU per request).

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use elba_core::compile::{LoadBalancer, TargetState};
use elba_core::target_tls::session_name;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::counters::{Balancer, BalancerCells, Counters, TargetCells};
use crate::http2::upstream;
use crate::tls::TlsStream;

/// For how long a target that refused or broke a connection is only chosen if nothing else is left. Health checks
/// take over from there.
pub const SUSPECT_MS: u64 = 1500;

/// Counts a connection to a target as open for as long as it lives.
struct Open(Arc<BalancerCells>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.add(Balancer::TargetClosed, 1);
    }
}

/// Says farewell when it is dropped.
struct Secured(TlsStream<ClientConnection>);

impl Drop for Secured {
    fn drop(&mut self) {
        self.0.say_farewell();
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Secured),
}

/// A connection to a target.
pub struct Upstream {
    wire: Wire,
    _open: Open,
    /// it has carried a request before
    pub is_used: bool,
}

impl Upstream {
    /// Opens a connection. To be raced against a deadline by the caller: where security groups are in the way it
    /// never ends, as where a packet is dropped.
    ///
    /// # Errors
    /// As the system says it.
    pub async fn connect(state: &TargetState, cells: Arc<BalancerCells>) -> io::Result<Upstream> {
        if state.is_refused() {
            return std::future::pending().await;
        }
        let stream = TcpStream::connect(state.address).await?;
        stream.set_nodelay(true)?;
        cells.add(Balancer::NewConnectionCount, 1);
        cells.add(Balancer::TargetOpened, 1);
        Ok(Upstream {
            wire: Wire::Plain(stream),
            _open: Open(cells),
            is_used: false,
        })
    }

    /// The same connection under TLS, its handshake still to be made (`poll_handshake`).
    ///
    /// # Errors
    /// The configuration allows no handshake at all.
    pub fn secured(self, state: &TargetState, config: Arc<ClientConfig>) -> io::Result<Upstream> {
        let wire = match self.wire {
            Wire::Plain(stream) => {
                let session = session_name(state.address)
                    .and_then(|name| ClientConnection::new(config, name))
                    .map_err(io::Error::other)?;
                Wire::Tls(Secured(TlsStream::new(stream, session)))
            }
            tls @ Wire::Tls(_) => tls,
        };
        Ok(Upstream { wire, ..self })
    }

    /// # Errors
    /// The target breaks the protocol, has nothing in common with us, or leaves.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(_) => Poll::Ready(Ok(())),
            Wire::Tls(stream) => stream.0.poll_handshake(context),
        }
    }

    /// The protocol agreed upon under TLS.
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Tls(stream) => stream.0.alpn(),
        }
    }

    /// Whether the target has neither closed it nor sent anything on it, as far as the last poll of the system
    /// knows. What TLS sends on its own account (tickets, new keys) is taken in and does not count.
    fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.wire {
            Wire::Plain(stream) => stream.poll_read_ready(context).is_pending(),
            Wire::Tls(stream) => stream.0.is_quiet(context),
        }
    }

    /// The same, asked of the system now: for requests that cannot be sent twice.
    pub fn is_quiet_now(&mut self) -> bool {
        match &mut self.wire {
            Wire::Plain(stream) => {
                let mut byte = [MaybeUninit::uninit(); 1];
                let peeked = socket2::SockRef::from(&*stream).peek(&mut byte);
                matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Wire::Tls(stream) => stream.0.is_quiet_now(),
        }
    }
}

impl AsyncRead for Upstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Wire::Tls(stream) => Pin::new(&mut stream.0).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(&mut stream.0).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(&mut stream.0).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(&mut stream.0).poll_shutdown(context),
        }
    }
}

struct Idle {
    upstream: Upstream,
    since_ms: u64,
}

/// What one worker knows of one target.
pub struct TargetRuntime {
    pub state: Arc<TargetState>,
    idle: RefCell<Vec<Idle>>,
    suspect_until_ms: Cell<u64>,
    draining: Cell<bool>,
    /// connections that speak HTTP/2, once there are any
    http2: RefCell<Option<upstream::Pool>>,
    cells: RefCell<Option<(Arc<LoadBalancer>, Arc<TargetCells>)>>,
}

impl TargetRuntime {
    pub fn new(state: Arc<TargetState>) -> TargetRuntime {
        TargetRuntime {
            state,
            idle: RefCell::default(),
            suspect_until_ms: Cell::new(0),
            draining: Cell::new(false),
            http2: RefCell::default(),
            cells: RefCell::default(),
        }
    }

    /// A draining target keeps no idle connections.
    pub fn set_draining(&self, draining: bool) {
        self.draining.set(draining);
        if draining {
            self.forget_idle();
        }
    }

    pub fn is_suspect(&self, now_ms: u64) -> bool {
        self.suspect_until_ms.get() > now_ms
    }

    pub fn suspect(&self, now_ms: u64) {
        self.suspect_until_ms.set(now_ms + SUSPECT_MS);
        self.forget_idle();
    }

    /// Closes the idle connections: one of them was found dead, so the others are likely to be.
    pub fn forget_idle(&self) {
        let dead = std::mem::take(&mut *self.idle.borrow_mut());
        drop(dead);
        if let Some(http2) = &*self.http2.borrow() {
            http2.forget();
        }
    }

    /// Its connections that speak HTTP/2.
    pub fn http2(&self) -> upstream::Pool {
        self.http2.borrow_mut().get_or_insert_default().clone()
    }

    /// The connection used last that is still quiet.
    pub fn take_idle(&self, context: &mut Context<'_>) -> Option<Upstream> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if idle.upstream.is_quiet(context) {
                return Some(idle.upstream);
            }
        }
    }

    /// Keeps a connection whose last response has ended cleanly.
    pub fn keep(&self, mut upstream: Upstream, now_ms: u64) {
        if self.draining.get() {
            return;
        }
        upstream.is_used = true;
        self.idle.borrow_mut().push(Idle {
            upstream,
            since_ms: now_ms,
        });
    }

    /// Closes idle connections that the target has closed or that have been idle since before `oldest_ms`.
    pub fn sweep(&self, now_ms: u64, oldest_ms: u64) {
        if let Some(http2) = &*self.http2.borrow() {
            http2.sweep(now_ms, oldest_ms);
        }
        let mut context = Context::from_waker(Waker::noop());
        self.idle
            .borrow_mut()
            .retain_mut(|idle| idle.since_ms >= oldest_ms && idle.upstream.is_quiet(&mut context));
    }

    pub fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }

    /// This worker's counters of the target behind this load balancer.
    pub fn cells(
        &self,
        worker: usize,
        counters: &Counters,
        balancer: &Arc<LoadBalancer>,
        group: &str,
    ) -> Arc<TargetCells> {
        let mut known = self.cells.borrow_mut();
        match &*known {
            Some((owner, cells)) if Arc::ptr_eq(owner, balancer) => cells.clone(),
            _ => {
                let cells = counters.target(worker, &balancer.source.arn, group, &self.state.key);
                *known = Some((balancer.clone(), cells.clone()));
                cells
            }
        }
    }
}
