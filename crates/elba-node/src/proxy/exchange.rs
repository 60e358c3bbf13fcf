//! One request with its target: choose, connect, send, wait, pass the answer back (`transfer` moves the bodies).
//!
//! When a target fails: nothing was sent yet (connect refused or timed out): another target is tried, whatever the
//! method, up to `MAX_TARGETS`. The request was sent, but not a byte came back: if its method is idempotent and its
//! body still in the buffer, it is sent again, once after an old connection (it may have been closed before) and once
//! after a new one, to another target if there is one: of a process that dies, connections may end before its port
//! does. Else: 502. AWS does not resend once bytes were sent; doing it here means that killing an instance fails no
//! request that may be repeated.

use std::future::{poll_fn, Future};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Instant;

use elba_core::choice::{Chosen, Doubt};
use elba_core::forwarded::{push_response_head, ResponseContext};
use elba_core::http1::chunked::BadChunk;
use elba_core::http1::head_may_have_ended;
use elba_core::http1::response::{BadResponse, ResponseHead, MAX_HEAD};
use elba_core::pages::{closes, Answer};
use rustls::ClientConfig;

use super::connection::{Connection, Next};
use super::decide::Plan;
use super::state::{BalancerRuntime, Worker};
use super::sticky::set_cookies;
use super::transfer::{Download, UploadError};
use super::ClientStream;
use crate::buffers::{Input, BLOCK};
use crate::counters::{Balancer, Target, TargetCells};
use crate::health::is_our_fault;
use crate::pool::{TargetRuntime, Upstream};
use crate::timer::Fired;

/// Source: alb.md section 14.
const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// How many targets one request is offered to when they cannot be connected to.
const MAX_TARGETS: usize = 3;
/// Interim responses a target may send before its final one.
const MAX_INTERIM: u32 = 32;

/// How an attempt with one target went.
enum Outcome {
    Response(Download),
    /// 101
    Upgraded,
    ClientGone,
    /// the client sent no more of its body in time
    ClientTimeout,
    BadBody,
    TargetTimeout,
    /// closed or reset; true if not a byte had come
    TargetLost(bool),
    BadResponse,
    Cut,
    Ended,
}

/// The targets that could not be connected to, or that lost the request.
pub(super) struct Tried {
    targets: [u32; MAX_TARGETS],
    count: usize,
    /// it ended an old connection: others come first, but nothing is known against it
    doubted: u32,
    was_lost: bool,
    /// the attempt that failed last: the status for the client if nobody else can take the request
    last: Option<(u16, Arc<TargetCells>, Chosen)>,
}

impl Default for Tried {
    fn default() -> Tried {
        Tried {
            targets: [u32::MAX; MAX_TARGETS],
            count: 0,
            doubted: u32::MAX,
            was_lost: false,
            last: None,
        }
    }
}

impl Tried {
    /// How many they are now.
    fn add(&mut self, target: u32) -> usize {
        if let Some(place) = self.targets.get_mut(self.count) {
            *place = target;
            self.count += 1;
        }
        self.count
    }

    /// The target lost the request before a byte of the answer came. Whether a request that may be repeated is to be
    /// sent again.
    pub fn lost(&mut self, target: u32, was_old: bool) -> bool {
        if was_old && self.doubted == u32::MAX {
            self.doubted = target;
            return true;
        }
        self.add(target) < MAX_TARGETS && !std::mem::replace(&mut self.was_lost, true)
    }

    /// The client gets this status if nobody else can take the request.
    pub fn failed(&mut self, status: u16, attempt: Attempt) {
        self.last = Some((status, attempt.cells, attempt.chosen));
    }
}

/// One target that is to have the request.
pub(super) struct Attempt {
    pub chosen: Chosen,
    pub target: Rc<TargetRuntime>,
    pub runtime: Rc<BalancerRuntime>,
    pub cells: Arc<TargetCells>,
    pub flight: Flight,
}

/// What a client gets that no target was found for.
pub(super) enum Given {
    /// an error page
    Error(u16),
    Nothing(Next),
}

/// A request in flight on a target, in the counters.
pub(super) struct Flight {
    pub target: Rc<TargetRuntime>,
    cells: Arc<TargetCells>,
}

impl Flight {
    fn new(target: Rc<TargetRuntime>, cells: Arc<TargetCells>) -> Flight {
        target.state.request_began();
        cells.add(Target::Begun, 1);
        Flight { target, cells }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.target.state.request_ended();
        self.cells.add(Target::Ended, 1);
    }
}

impl<S: ClientStream> Connection<S> {
    /// Carries the request in the output buffer to a target and its answer to the client.
    pub(super) async fn exchange(&mut self, mut plan: Plan) -> Next {
        if plan.is_function {
            return Box::pin(self.invoke(plan)).await;
        }
        if plan.expects_continue && !self.send_continue().await {
            return Next::Close;
        }
        if plan.is_multiplexed {
            return Box::pin(self.exchange_multiplexed(plan)).await;
        }
        let worker = self.worker.clone();
        let mut tried = Tried::default();
        let mut fresh_only = false;
        loop {
            let preferred = plan.sticky.preferred;
            let Some(attempt) = self.begin_attempt(&mut plan, &tried) else {
                return self.nobody_left(plan, tried).await;
            };
            let Attempt { target, cells, .. } = &attempt;

            let idle = if fresh_only {
                None
            } else {
                self.take_idle(&plan, target).await
            };
            let upstream = match idle {
                Some(upstream) => Ok(upstream),
                None => {
                    let tls = plan.target_tls().map(|tls| &tls.http1);
                    self.connect(target, tls, attempt.runtime.cells.clone()).await
                }
            };
            let mut upstream = match upstream {
                Ok(upstream) => upstream,
                Err(why) => match self.give_up(&plan, why, attempt, &mut tried) {
                    Some(given) => return self.give(plan, given).await,
                    None => continue,
                },
            };

            self.note(|log| log.record.dispatched = Some(Instant::now()));
            let mut from_target = Input::default();
            let outcome = self
                .attempt(&mut plan, &mut upstream, &mut from_target, cells)
                .await;
            if let Outcome::TargetLost(true) = outcome {
                if upstream.is_used {
                    target.forget_idle();
                } else {
                    target.suspect(worker.now_ms());
                }
                let again = tried.lost(attempt.chosen.index, upstream.is_used);
                if again && plan.is_idempotent && !plan.upload.is_streaming {
                    fresh_only = true;
                    if upstream.is_used {
                        plan.sticky.preferred = preferred;
                    }
                    tried.failed(502, attempt);
                    self.sent = 0;
                    plan.upload.is_finished = false;
                    plan.upload.is_broken = false;
                    continue;
                }
            }
            self.count_request(&plan, cells, attempt.chosen);
            return match outcome {
                Outcome::Response(download) => {
                    self.finish(plan, download, upstream, from_target, &attempt.flight)
                        .await
                }
                Outcome::Upgraded => {
                    self.tunnel(&mut upstream, &mut from_target).await;
                    from_target.consume(usize::MAX);
                    from_target.release(&worker.buffers);
                    Next::Close
                }
                other => {
                    from_target.consume(usize::MAX);
                    from_target.release(&worker.buffers);
                    drop(upstream);
                    match other {
                        Outcome::ClientTimeout => self.fail(plan, 408).await,
                        Outcome::BadBody => self.fail(plan, 400).await,
                        Outcome::TargetTimeout => self.fail(plan, 504).await,
                        Outcome::Ended => Next::Close,
                        Outcome::ClientGone => {
                            let status = if plan.upload.is_finished { 460 } else { 400 };
                            self.client_gone(&attempt.runtime, status)
                        }
                        _ => self.fail(plan, 502).await,
                    }
                }
            };
        }
    }

    /// The next target and what is counted there; None if nobody is left.
    pub(super) fn begin_attempt(&mut self, plan: &mut Plan, tried: &Tried) -> Option<Attempt> {
        let worker = self.worker.clone();
        let preferred = plan.sticky.preferred.take();
        let chosen = self.choose(plan, preferred, tried)?;
        plan.chosen = chosen.index;
        self.note(|log| log.record.target = Some(chosen.index));
        let target = plan.group.targets[chosen.index as usize].clone();
        let runtime = plan.config.balancers[plan.place.load_balancer as usize].clone();
        let group = &plan.group.group.source.arn;
        let cells = target.cells(worker.index, &worker.counters, &runtime.balancer, group);
        self.timer.reset();
        self.timer.set_target(Arc::as_ptr(&target.state) as usize);
        Some(Attempt {
            chosen,
            runtime,
            flight: Flight::new(target.clone(), cells.clone()),
            target,
            cells,
        })
    }

    /// Whom no target takes gets what the last of them did, or 503.
    pub(super) async fn nobody_left(&mut self, plan: Plan, tried: Tried) -> Next {
        let status = tried.last.map_or(503, |(status, cells, chosen)| {
            self.count_request(&plan, &cells, chosen);
            status
        });
        self.fail(plan, status).await
    }

    /// A connection that could not be made. None: another target may take the request; else what the client gets.
    pub(super) fn give_up(
        &mut self,
        plan: &Plan,
        why: ConnectFailure,
        attempt: Attempt,
        tried: &mut Tried,
    ) -> Option<Given> {
        match why {
            ConnectFailure::Gone(next) => Some(Given::Nothing(next)),
            ConnectFailure::Cut => Some(Given::Error(502)),
            ConnectFailure::Short => Some(Given::Error(503)),
            ConnectFailure::Failed(what, status) => {
                attempt.cells.add(what, 1);
                attempt.target.suspect(self.worker.now_ms());
                if tried.add(attempt.chosen.index) == MAX_TARGETS {
                    self.count_request(plan, &attempt.cells, attempt.chosen);
                    return Some(Given::Error(status));
                }
                tried.failed(status, attempt);
                None
            }
        }
    }

    pub(super) async fn give(&mut self, plan: Plan, given: Given) -> Next {
        match given {
            Given::Nothing(next) => next,
            Given::Error(status) => self.fail(plan, status).await,
        }
    }

    /// The target for the next attempt: the one that a cookie asks for, else as the group's algorithm says.
    fn choose(&self, plan: &Plan, preferred: Option<u32>, tried: &Tried) -> Option<Chosen> {
        let mut chooser = plan.group.chooser.borrow_mut();
        if let Some(index) = preferred {
            return Some(Chosen {
                index,
                failed_open: chooser.failed_open(),
            });
        }
        let now = self.worker.now_ms();
        let doubt = |index| {
            if tried.targets.contains(&index) {
                Doubt::Tried
            } else if index == tried.doubted || plan.group.targets[index as usize].is_suspect(now) {
                Doubt::Suspect
            } else {
                Doubt::None
            }
        };
        chooser.choose(&plan.group.group, now, || self.worker.random(), doubt)
    }

    pub(super) fn count_request(&self, plan: &Plan, cells: &TargetCells, chosen: Chosen) {
        let balancer = &plan.config.balancers[plan.place.load_balancer as usize].cells;
        balancer.add(Balancer::RequestCount, 1);
        cells.add(Target::RequestCount, 1);
        if self.peer.is_ipv6() {
            balancer.add(Balancer::IPv6RequestCount, 1);
            cells.add(Target::IPv6RequestCount, 1);
        }
        if chosen.failed_open {
            cells.add(Target::UnhealthyRoutingRequest, 1);
        }
    }

    pub(super) async fn send_continue(&mut self) -> bool {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        if S::MULTIPLEXED {
            return self.stream.send_continue();
        }
        self.timer.reset();
        self.progress();
        let mut sent = 0;
        poll_fn(|context| {
            while sent < CONTINUE.len() {
                if self.timer.fired().is_some() {
                    return Poll::Ready(false);
                }
                match ready!(Pin::new(&mut self.stream).poll_write(context, &CONTINUE[sent..])) {
                    Ok(count) if count > 0 => {
                        sent += count;
                        self.sent_total += count as u64;
                    }
                    _ => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    /// A pooled connection. What cannot be sent twice gets one that the system has just said is open.
    async fn take_idle(&self, plan: &Plan, target: &TargetRuntime) -> Option<Upstream> {
        if target.idle_count() == 0 {
            return None;
        }
        poll_fn(|context| {
            Poll::Ready(loop {
                let mut idle = target.take_idle(context);
                if plan.is_idempotent || idle.as_mut().is_none_or(Upstream::is_quiet_now) {
                    break idle;
                }
            })
        })
        .await
    }

    /// A new connection to the target; with `tls` its handshake is done, and `Upstream::alpn` says what was agreed.
    pub(super) async fn connect(
        &mut self,
        target: &TargetRuntime,
        tls: Option<&Arc<ClientConfig>>,
        cells: Arc<crate::counters::BalancerCells>,
    ) -> Result<Upstream, ConnectFailure> {
        let kind = Target::TargetConnectionError;
        let mut upstream = {
            let mut connecting = std::pin::pin!(Upstream::connect(&target.state, cells));
            self.in_time(|| kind, |context| connecting.as_mut().poll(context))
                .await?
        };
        if let Some(config) = tls {
            let kind = Target::TargetTlsNegotiationError;
            upstream = upstream
                .secured(&target.state, config.clone())
                .map_err(|_| ConnectFailure::Failed(kind, 502))?;
            self.in_time(|| kind, |context| upstream.poll_handshake(context))
                .await?;
        }
        Ok(upstream)
    }

    /// Whether the client has left. What it sends meanwhile, as far as there is room for it, waits in the input.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.input.has_room(BLOCK) {
            match self
                .input
                .poll_fill(context, &mut self.stream, &self.worker.buffers, BLOCK)
            {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.bytes += count as u64;
                    self.received += count as u64;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// Nobody is there to be told; counted as the log would say.
    pub(super) fn client_gone(&mut self, runtime: &BalancerRuntime, status: u16) -> Next {
        runtime.cells.add_answer(status);
        self.note(|log| log.record.status = status);
        Next::Close
    }

    /// What `poll` gives within the connect time-out; a failure counts as what `kind` says then.
    pub(super) async fn in_time<T>(
        &mut self,
        kind: impl Fn() -> Target,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, ConnectFailure> {
        self.timer.set(self.worker.now_ms() + CONNECT_TIMEOUT_MS);
        poll_fn(|context| {
            if let Some(why) = self.timer.fired() {
                return Poll::Ready(Err(match why {
                    Fired::Timeout => ConnectFailure::Failed(kind(), 504),
                    Fired::Cut => ConnectFailure::Cut,
                    Fired::Drain => ConnectFailure::Gone(Next::Close),
                }));
            }
            match ready!(poll(context)) {
                Ok(done) => Poll::Ready(Ok(done)),
                Err(error) => Poll::Ready(Err(ConnectFailure::of(&error, kind()))),
            }
        })
        .await
    }

    /// Sends the request and waits for the head of the response, which is then in the output buffer for the client.
    async fn attempt(
        &mut self,
        plan: &mut Plan,
        upstream: &mut Upstream,
        from_target: &mut Input,
        cells: &TargetCells,
    ) -> Outcome {
        let worker = self.worker.clone();
        self.progress();
        let mut began: Option<Instant> = None;
        let (mut seen, mut interim) = (0, 0);
        poll_fn(|context| {
            if let Some(why) = self.timer.fired() {
                return Poll::Ready(match why {
                    Fired::Timeout if plan.upload.waits_for_client => Outcome::ClientTimeout,
                    Fired::Timeout => Outcome::TargetTimeout,
                    Fired::Cut => Outcome::Cut,
                    Fired::Drain => Outcome::Ended,
                });
            }
            if !plan.upload.is_finished {
                match self.poll_upload(context, &mut plan.upload, upstream) {
                    Poll::Ready(Ok(())) => {
                        began = Some(Instant::now());
                        self.progress();
                    }
                    Poll::Ready(Err(UploadError::Target)) => {
                        plan.upload.is_finished = true;
                        plan.upload.is_broken = true;
                    }
                    Poll::Ready(Err(UploadError::Client)) => return Poll::Ready(Outcome::ClientGone),
                    Poll::Ready(Err(UploadError::BadBody)) => return Poll::Ready(Outcome::BadBody),
                    Poll::Pending => {}
                }
            }
            // a client that leaves is noticed; what it sends meanwhile is its next request
            if plan.upload.is_finished && self.poll_gone(context).is_ready() {
                return Poll::Ready(Outcome::ClientGone);
            }
            loop {
                match from_target.poll_fill(context, upstream, &worker.buffers, MAX_HEAD + BLOCK) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Outcome::TargetLost(from_target.is_empty())),
                }
                loop {
                    if seen > 0
                        && !head_may_have_ended(from_target.bytes(), seen)
                        && from_target.len() <= MAX_HEAD
                    {
                        seen = from_target.len();
                        break;
                    }
                    let mut scratch = worker.scratch.borrow_mut();
                    let head = &mut scratch.response;
                    let used = match head.parse(from_target.bytes()) {
                        Ok(Some(used)) => used,
                        Ok(None) => {
                            seen = from_target.len();
                            break;
                        }
                        Err(BadResponse) => return Poll::Ready(Outcome::BadResponse),
                    };
                    seen = 0;
                    match head.status {
                        101 if plan.is_websocket => {
                            cells.add_answer(101);
                            self.note(|log| {
                                log.record.is_websocket = true;
                                log.answered(101);
                            });
                            self.put_head(&worker, plan, from_target.bytes(), head, HeadForm::UPGRADE);
                            from_target.consume(used);
                            return Poll::Ready(Outcome::Upgraded);
                        }
                        101 => return Poll::Ready(Outcome::BadResponse),
                        100..=199 => {
                            interim += 1;
                            from_target.consume(used);
                            if interim > MAX_INTERIM {
                                return Poll::Ready(Outcome::BadResponse);
                            }
                            if from_target.is_empty() {
                                break;
                            }
                        }
                        status => {
                            cells.add_answer(status);
                            self.note(|log| log.answered(status));
                            if let Some(began) = began {
                                cells.add_response_time(began.elapsed().as_micros() as u64);
                            }
                            return Poll::Ready(
                                match self.begin_download(&worker, plan, head, from_target, used) {
                                    Ok(download) => Outcome::Response(download),
                                    Err(BadChunk) => Outcome::BadResponse,
                                },
                            );
                        }
                    }
                }
            }
        })
        .await
    }

    /// Puts the response head for the client into the output buffer.
    pub(super) fn put_head(
        &mut self,
        worker: &Worker,
        plan: &Plan,
        bytes: &[u8],
        head: &ResponseHead,
        form: HeadForm,
    ) {
        let date = worker.date();
        let listener = plan.config.compiled.listener_at(plan.place);
        let mut cookies = set_cookies(plan, worker, bytes, head);
        if let Some(renewed) = &plan.renewed {
            cookies.extend_from_slice(&renewed.cookies);
        }
        let context = ResponseContext {
            date: &date,
            keep_alive: form.keep_alive,
            chunked: form.chunked,
            upgrades: form.upgrades,
            extra: &listener.response_headers,
            cookies: &cookies,
        };
        self.output.clear();
        self.sent = 0;
        push_response_head(&mut self.output, bytes, head, &context);
    }

    /// Answers with an error page instead of a response. The connection goes on if the request has come whole.
    pub(super) async fn fail(&mut self, plan: Plan, status: u16) -> Next {
        let worker = self.worker.clone();
        let whole = plan.upload.body.is_done();
        let keep = plan.keep && whole && !closes(status) && !worker.is_draining();
        let listener = plan.config.compiled.listener_at(plan.place);
        plan.config.balancers[plan.place.load_balancer as usize]
            .cells
            .add_answer(status);
        self.note(|log| log.failed(status));
        let date = worker.date();
        self.output.clear();
        Answer {
            date: &date,
            keep_alive: keep,
            to_head: plan.to_head,
            server: listener.server_header,
            extra: &listener.response_headers,
            cookies: &[],
        }
        .push_error(&mut self.output, status);
        self.send_output(if keep { Next::Again } else { Next::Linger })
            .await
    }
}

/// What of a response head is ours to say.
#[derive(Clone, Copy)]
pub(super) struct HeadForm {
    pub chunked: bool,
    pub keep_alive: bool,
    pub upgrades: bool,
}

impl HeadForm {
    const UPGRADE: HeadForm = HeadForm {
        chunked: false,
        keep_alive: true,
        upgrades: true,
    };
    /// with a body of known length, or none
    pub fn whole(keep_alive: bool) -> HeadForm {
        HeadForm {
            chunked: false,
            keep_alive,
            upgrades: false,
        }
    }

    /// to a stream: what belongs to a connection is left out there
    pub const STREAM: HeadForm = HeadForm {
        chunked: false,
        keep_alive: true,
        upgrades: false,
    };
}

pub(super) enum ConnectFailure {
    /// no descriptors or memory left here: no fault of the target's
    Short,
    /// as what it counts, and the status for the client
    Failed(Target, u16),
    Cut,
    Gone(Next),
}

impl ConnectFailure {
    /// `kind`: what it counts as. Source of the statuses: alb.md section 12.
    pub fn of(error: &io::Error, kind: Target) -> ConnectFailure {
        if error.kind() == io::ErrorKind::TimedOut {
            ConnectFailure::Failed(kind, 504)
        } else if is_our_fault(error) {
            ConnectFailure::Short
        } else {
            ConnectFailure::Failed(kind, 502)
        }
    }
}
