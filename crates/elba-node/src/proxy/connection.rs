//! The life of one client connection: read a request, do what `decide` says, again.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Instant;

use elba_core::compile::{Place, Serves};
use elba_core::forwarded::client_name;
use elba_core::http1::head_may_have_ended;
use elba_core::http1::request::MAX_HEAD;

use super::decide::Decision;
use super::guard::Fetched;
use super::logging::Draft;
use super::state::{Config, Worker};
use super::ClientStream;
use crate::access_log::ConnectionRecord;
use crate::buffers::{Input, BLOCK};
use crate::counters::{Balancer, BalancerCells};
use crate::timer::{Fired, Timer};

/// Until the load balancer is known (front door, before the first request).
const DEFAULT_IDLE_MS: u64 = 60_000;
/// How long and how much is still read from a client that was answered before it had sent everything: closing at
/// once would reset the connection, and the answer with it.
const LINGER_MS: u64 = 2_000;
const LINGER_BYTES: usize = 1 << 20;
/// How long a drain waits for the first request of a connection that was accepted just before it.
const FIRST_REQUEST_MS: u64 = 2_000;

/// How long a drain waits for the next request of a connection that has just been used: a busy client's is on its way,
/// and is told with its answer that the connection ends.
const NEXT_REQUEST_MS: u64 = 1_000;

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Again,
    Close,
    /// close, but let the client read the answer first
    Linger,
}

/// An open client connection in the counters, and its client as X-Forwarded-For names it: without and with its port.
pub struct Open {
    cells: Arc<BalancerCells>,
    names: [OnceCell<Box<str>>; 2],
}

impl Open {
    pub fn new(cells: Arc<BalancerCells>) -> Open {
        cells.add(Balancer::Opened, 1);
        cells.add(Balancer::NewConnectionCount, 1);
        Open {
            cells,
            names: Default::default(),
        }
    }

    /// The client as X-Forwarded-For names it.
    pub(super) fn client(&self, peer: SocketAddr, with_port: bool) -> &str {
        self.names[usize::from(with_port)].get_or_init(|| client_name(peer, with_port).into_boxed_str())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.cells.add(Balancer::Closed, 1);
    }
}

pub struct Connection<S> {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: S,
    pub(super) peer: SocketAddr,
    pub(super) serves: Rc<Serves>,
    pub(super) timer: Timer,
    /// received, not yet used
    pub(super) input: Input,
    /// to be sent, from `sent` on: to the target first, later to the client
    pub(super) output: Vec<u8>,
    pub(super) sent: usize,
    pub(super) idle_ms: u64,
    /// when the next response says `Connection: close`; fixed by the first request (client_keep_alive.seconds)
    pub(super) keep_until_ms: u64,
    /// received and sent since the last count
    pub(super) bytes: u64,
    /// received from the client, sent to it: since it connected
    pub(super) received: u64,
    pub(super) sent_total: u64,
    /// the access log's name for the connection; 0 = none yet
    pub(super) trace: u128,
    /// the record of the request that is under way
    pub(super) log: Option<Box<Draft>>,
    /// the client's address as security groups see it
    known_as: Cell<IpAddr>,
    /// what the request had to wait for, which is decided upon again
    pub(super) fetched: Option<Box<Fetched>>,
    opened_ms: u64,
    pub(super) open: Option<Rc<Open>>,
    place: Option<(Rc<Config>, Place)>,
}

impl<S: ClientStream> Connection<S> {
    pub fn new(worker: Rc<Worker>, stream: S, peer: SocketAddr, serves: Rc<Serves>) -> Connection<S> {
        let timer = worker.timers.timer();
        let opened_ms = worker.now_ms();
        timer.set_fresh_until(opened_ms + FIRST_REQUEST_MS);
        Connection {
            worker,
            stream,
            peer,
            serves,
            timer,
            input: Input::default(),
            output: Vec::new(),
            sent: 0,
            idle_ms: DEFAULT_IDLE_MS,
            keep_until_ms: 0,
            bytes: 0,
            received: 0,
            sent_total: 0,
            trace: 0,
            log: None,
            fetched: None,
            known_as: Cell::new(peer.ip()),
            opened_ms,
            open: None,
            place: None,
        }
    }

    /// A stream of a multiplexed connection, whose head is `head`.
    pub fn of_stream(
        worker: Rc<Worker>,
        stream: S,
        peer: SocketAddr,
        serves: Rc<Serves>,
        open: Rc<Open>,
        head: &[u8],
    ) -> Connection<S> {
        let mut connection = Connection::new(worker, stream, peer, serves);
        connection.keep_until_ms = u64::MAX;
        connection.open = Some(open);
        connection.timer.set_fresh_until(0);
        connection.input.put(&connection.worker.buffers, head);
        connection.received = head.len() as u64;
        connection.bytes = head.len() as u64;
        connection
    }

    /// Serves the one request of a stream.
    pub async fn run_stream(mut self) {
        poll_fn(|context| {
            self.timer.remember(context);
            Poll::Ready(())
        })
        .await;
        let decision = loop {
            match self.decide() {
                Decision::Wait(wait) => {
                    if !Box::pin(self.fetch(*wait)).await {
                        break Decision::Close;
                    }
                }
                decision => break decision,
            }
        };
        match decision {
            Decision::Incomplete => {
                // a head that is there whole and yet not: more of it than is read
                if let Decision::Answer(next) = self.refuse_unread(400) {
                    self.send_output(next).await;
                }
            }
            Decision::Close | Decision::Wait(_) => {}
            Decision::Answer(next) => {
                self.send_output(next).await;
            }
            Decision::Forward(plan) => {
                self.exchange(plan).await;
            }
        }
        self.count_bytes();
        self.end_log();
        self.input.consume(usize::MAX);
        self.input.release(&self.worker.buffers);
        self.worker
            .buffers
            .give_back_output(std::mem::take(&mut self.output));
    }

    /// Serves the client until either side ends it.
    pub async fn run(mut self) {
        poll_fn(|context| {
            self.timer.remember(context);
            Poll::Ready(())
        })
        .await;
        if let Serves::Listener { .. } = &*self.serves {
            // so that the connection counts, and idles as long as its load balancer says, before it asks anything
            let config = self.worker.config();
            if self
                .find_place(&config, None)
                .is_none_or(|place| !self.is_allowed(&config, place))
            {
                return;
            }
        }
        loop {
            let next = match self.next_request().await {
                None => break,
                Some(Decision::Incomplete | Decision::Close) => break,
                Some(Decision::Wait(wait)) => {
                    if Box::pin(self.fetch(*wait)).await {
                        continue;
                    }
                    Next::Close
                }
                Some(Decision::Answer(next)) => self.send_output(next).await,
                Some(Decision::Forward(plan)) => self.exchange(plan).await,
            };
            self.timer.set_target(0);
            self.timer.set_fresh_until(self.worker.now_ms() + NEXT_REQUEST_MS);
            self.count_bytes();
            self.end_log();
            match next {
                Next::Again if !self.worker.is_draining() => {}
                Next::Linger => {
                    self.linger().await;
                    break;
                }
                _ => break,
            }
            self.worker
                .buffers
                .give_back_output(std::mem::take(&mut self.output));
        }
        self.count_bytes();
        if self.stream.tls().is_some() {
            // the farewell, if there is room for it
            poll_fn(|context| {
                let _ = Pin::new(&mut self.stream).poll_shutdown(context);
                Poll::Ready(())
            })
            .await;
        }
        self.input.consume(usize::MAX);
        self.input.release(&self.worker.buffers);
        self.worker
            .buffers
            .give_back_output(std::mem::take(&mut self.output));
    }

    /// The client's next request decided upon; None when the connection is to be closed without a word.
    async fn next_request(&mut self) -> Option<Decision> {
        // how much of an incomplete head was there when it was last parsed, and at which length to look again
        let mut seen = 0;
        let mut look_at = 0;
        loop {
            let length = self.input.len();
            if length > 0 && (length >= look_at || head_may_have_ended(self.input.bytes(), seen)) {
                match self.decide() {
                    // limits are found out by looking; each look costs no more than all bytes so far
                    Decision::Incomplete => look_at = length * 2,
                    decision => return Some(decision),
                }
            }
            seen = length;
            let idle = length == 0;
            self.timer.set_idle(idle);
            self.timer.set(self.worker.now_ms() + self.idle_ms);
            let read = poll_fn(|context| {
                let fired = self.timer.fired();
                if let Some(why) = fired.filter(|why| *why != Fired::Drain) {
                    return Poll::Ready(Err(why));
                }
                let buffers = &self.worker.buffers;
                let read = self
                    .input
                    .poll_fill(context, &mut self.stream, buffers, MAX_HEAD + BLOCK);
                if read.is_pending() {
                    self.input.release(buffers);
                    // looked for first: a request that has arrived is served, drain or not
                    if let Some(why) = fired {
                        return Poll::Ready(Err(why));
                    }
                }
                read.map(Ok)
            })
            .await;
            self.timer.set_idle(false);
            match read {
                Ok(Ok(count)) if count > 0 => {
                    self.timer.reset();
                    self.bytes += count as u64;
                    self.received += count as u64;
                }
                Ok(_) => return None,
                Err(Fired::Timeout) if !idle => return Some(self.refuse_unread(408)),
                Err(_) => return None,
            }
        }
    }

    /// Where the request belongs; also counts the connection there and fixes its time-outs, once.
    pub(super) fn find_place(&mut self, config: &Rc<Config>, host: Option<&[u8]>) -> Option<Place> {
        let place = match &*self.serves {
            Serves::Listener { load_balancer, port } => match &self.place {
                Some((known, place)) if Rc::ptr_eq(known, config) => return Some(*place),
                _ => {
                    let place = config.compiled.find_listener(load_balancer, *port)?;
                    let is_tls = config.compiled.listener_at(place).tls.is_some();
                    if is_tls != self.stream.tls().is_some() {
                        // its protocol has been changed: nothing goes over the old one as if it were the new
                        return None;
                    }
                    self.place = Some((config.clone(), place));
                    place
                }
            },
            Serves::FrontDoor { port } => config.compiled.find_front_door(*port, host, false)?,
        };
        let runtime = &config.balancers[place.load_balancer as usize];
        let attributes = &runtime.balancer.attributes;
        self.idle_ms = attributes.idle_timeout_ms;
        if self.open.is_none() {
            self.open = Some(Rc::new(Open::new(runtime.cells.clone())));
            self.keep_until_ms = self.opened_ms + attributes.client_keep_alive_ms;
            if attributes.connection_log.is_some() && self.stream.tls().is_none() {
                self.trace = self.worker.connection_trace();
                let (trace, peer) = (self.trace, self.peer);
                self.worker.log.connected(&config.compiled, place, || {
                    ConnectionRecord::plain(config.compiled.clone(), place, peer, Instant::now(), trace)
                });
            }
        }
        Some(place)
    }

    /// Whether the load balancer's security groups let the client in.
    pub(super) fn is_allowed(&self, config: &Config, place: Place) -> bool {
        let listener = config.compiled.listener_at(place);
        self.worker.lets_in(listener, self.peer, &self.known_as)
    }

    pub(super) fn count_bytes(&mut self) {
        if let Some(open) = &self.open {
            let bytes = std::mem::take(&mut self.bytes);
            open.cells.add(Balancer::ProcessedBytes, bytes);
            if self.peer.is_ipv6() {
                open.cells.add(Balancer::IPv6ProcessedBytes, bytes);
            }
        }
    }

    /// Moves the deadline: there was progress.
    pub(super) fn progress(&self) {
        self.timer.set(self.worker.now_ms() + self.idle_ms);
    }

    /// Writes what is left of `output` to the client.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.sent < self.output.len() {
            let rest = &self.output[self.sent..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.bytes += count as u64;
            self.sent_total += count as u64;
            self.progress();
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the answer in `output`; `next` is what follows if that works.
    pub(super) async fn send_output(&mut self, next: Next) -> Next {
        self.sent = 0;
        self.timer.reset();
        self.progress();
        let sent = poll_fn(|context| match self.timer.fired() {
            Some(_) => Poll::Ready(false),
            None => self.poll_send(context).map(|result| result.is_ok()),
        })
        .await;
        self.stream.end_answer(sent);
        if sent {
            next
        } else {
            Next::Close
        }
    }

    async fn linger(&mut self) {
        self.timer.reset();
        self.timer.set(self.worker.now_ms() + LINGER_MS);
        let mut discarded = 0;
        poll_fn(|context| {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(context)).is_err() {
                return Poll::Ready(());
            }
            loop {
                if self.timer.fired().is_some() || discarded > LINGER_BYTES {
                    return Poll::Ready(());
                }
                self.input.consume(usize::MAX);
                let read = self
                    .input
                    .poll_fill(context, &mut self.stream, &self.worker.buffers, BLOCK);
                match ready!(read) {
                    Ok(count) if count > 0 => discarded += count,
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;

    #[test]
    fn a_connection_is_small() {
        // what an idle connection costs beside the system's socket: the task; no buffers
        let worker = Rc::new(Worker::new(0, Counters::new(), 1));
        let serves = Rc::new(Serves::FrontDoor { port: 80 });
        let (stream, _other) = tokio::io::duplex(64);
        let connection = Connection::new(worker, stream, SocketAddr::from(([127, 0, 0, 1], 1)), serves);
        let size = std::mem::size_of_val(&connection.run());
        assert!(size < 2048, "{size}");
    }
}
