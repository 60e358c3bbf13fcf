//! One request with its target: connect, send, wait, pass the answer back (`attempt` chooses the target and says what
//! follows when it fails, `transfer` moves the bodies).

use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Instant;

use elba_core::forwarded::{push_response_head, ResponseContext};
use elba_core::http1::chunked::BadChunk;
use elba_core::http1::head_may_have_ended;
use elba_core::http1::response::{BadResponse, ResponseHead, MAX_HEAD};
use elba_core::pages::{closes, Answer};
use rustls::ClientConfig;

use super::attempt::{Attempt, ConnectFailure, Tried};
use super::connection::{Connection, Next};
use super::decide::Plan;
use super::state::{BalancerRuntime, Worker};
use super::sticky::set_cookies;
use super::transfer::{Download, UploadError};
use super::ClientStream;
use crate::buffers::{Input, BLOCK};
use crate::counters::{Target, TargetCells};
use crate::pool::{TargetRuntime, Upstream};
use crate::timer::Fired;

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
