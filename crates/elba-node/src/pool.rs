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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::counters::{Balancer, BalancerCells, Counters, TargetCells};
use crate::http2::upstream;

/// For how long a target that refused or broke a connection is only chosen if nothing else is left. Health checks
/// take over from there.
pub const SUSPECT_MS: u64 = 1500;

/// A connection to a target.
pub struct Upstream {
    stream: TcpStream,
    cells: Arc<BalancerCells>,
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
            stream,
            cells,
            is_used: false,
        })
    }

    /// Whether the target has neither closed it nor sent anything on it, as far as the last poll of the system knows.
    fn is_quiet(&self, context: &mut Context<'_>) -> bool {
        self.stream.poll_read_ready(context).is_pending()
    }

    /// The same, asked of the system now: for requests that cannot be sent twice.
    pub fn is_quiet_now(&self) -> bool {
        let mut byte = [MaybeUninit::uninit(); 1];
        let peeked = socket2::SockRef::from(&self.stream).peek(&mut byte);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.cells.add(Balancer::TargetClosed, 1);
    }
}

impl AsyncRead for Upstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
            let idle = self.idle.borrow_mut().pop()?;
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
    pub fn sweep(&self, oldest_ms: u64) {
        let mut context = Context::from_waker(Waker::noop());
        self.idle
            .borrow_mut()
            .retain(|idle| idle.since_ms >= oldest_ms && idle.upstream.is_quiet(&mut context));
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
