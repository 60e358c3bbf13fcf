//! One request with a target over HTTP/2: groups of protocol version HTTP2 and GRPC. Data and trailers pass from
//! stream to stream as they are, in both directions at once. Source: alb.md sections 6 and 14.

use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use tokio::net::TcpStream;

use super::attempt::{Attempt, ConnectFailure, Tried};
use super::connection::{Connection, Next};
use super::decide::Plan;
use super::exchange::HeadForm;
use super::ClientStream;
use crate::counters::{BalancerCells, Target, TargetCells};
use crate::http2::head;
use crate::http2::pipe::{Pipe, PipeError};
use crate::http2::upstream::Place;
use crate::pool::TargetRuntime;
use crate::timer::Fired;
use crate::tls::secure;

/// How an attempt with one target went, the answer not having begun.
enum Outcome {
    /// its head went to the client
    Begun(RecvStream),
    ClientGone,
    ClientTimeout,
    TargetTimeout,
    /// `untouched`: the target said that it has not looked at the request; `alone`: it ended this stream only
    TargetLost {
        untouched: bool,
        alone: bool,
    },
    BadResponse,
    Cut,
    Ended,
}

impl<S: ClientStream> Connection<S> {
    /// Carries the request whose head is in the output buffer to a target and its answer to the client.
    pub(super) async fn exchange_multiplexed(&mut self, mut plan: Plan) -> Next {
        let worker = self.worker.clone();
        let is_grpc = plan.group.group.source.protocol_version == "GRPC";
        let Some(request) = head::request(&self.output, &mut worker.scratch.borrow_mut().request, is_grpc)
        else {
            return self.fail(plan, 400).await;
        };
        let mut upload = Pipe::new(self.stream.receive_ended());
        let mut tried = Tried::default();
        let mut was_lost = false;
        loop {
            let Some(attempt) = self.begin_attempt(&mut plan, &tried) else {
                return self.nobody_left(plan, tried).await;
            };
            let Attempt { target, cells, .. } = &attempt;
            let stream_place = match self
                .connect_multiplexed(&plan, target, attempt.runtime.cells.clone())
                .await
            {
                Ok(place) => place,
                Err(why) => match self.give_up(&plan, why, attempt, &mut tried) {
                    Some(given) => return self.give(plan, given).await,
                    None => continue,
                },
            };
            self.note(|log| log.record.dispatched = Some(Instant::now()));
            let outcome = self
                .attempt_multiplexed(
                    &plan,
                    stream_place.send.clone(),
                    request.clone(),
                    &mut upload,
                    cells,
                )
                .await;
            if let Outcome::TargetTimeout = outcome {
                // it may be dead without a word
                target.http2().leave(&stream_place);
            }
            if let Outcome::TargetLost { untouched, alone } = outcome {
                if !alone {
                    target.http2().forget();
                }
                let again = tried.lost(attempt.chosen.index, !was_lost);
                was_lost = true;
                if again && (untouched || plan.is_idempotent) && !upload.has_begun() {
                    tried.failed(502, attempt);
                    continue;
                }
            }
            self.count_request(&plan, cells, attempt.chosen);
            if is_grpc {
                cells.add(Target::GrpcRequest, 1);
            }
            return match outcome {
                Outcome::Begun(answer) => self.pass_on(answer, &mut upload).await,
                Outcome::ClientTimeout => self.fail(plan, 408).await,
                Outcome::TargetTimeout => self.fail(plan, 504).await,
                Outcome::Ended => Next::Close,
                Outcome::ClientGone => {
                    let status = if upload.is_done() { 460 } else { 400 };
                    self.client_gone(&attempt.runtime, status)
                }
                Outcome::TargetLost { .. } | Outcome::BadResponse | Outcome::Cut => {
                    self.fail(plan, 502).await
                }
            };
        }
    }

    /// A connection to the target that takes a stream.
    async fn connect_multiplexed(
        &mut self,
        plan: &Plan,
        target: &TargetRuntime,
        cells: Arc<BalancerCells>,
    ) -> Result<Place, ConnectFailure> {
        let tls = plan.target_tls().map(|tls| tls.http2.clone());
        let kind = Cell::new(Target::TargetConnectionError);
        let pool = target.http2();
        let address = target.state.address;
        let mut connecting = pin!(async {
            match pool.take().await {
                Ok(place) => Ok(place),
                Err(opening) => {
                    if target.state.is_refused() {
                        return std::future::pending().await;
                    }
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    let Some(config) = tls else {
                        return opening.start(stream, cells).await;
                    };
                    kind.set(Target::TargetTlsNegotiationError);
                    let stream = secure(stream, address, config).await?;
                    kind.set(Target::TargetConnectionError);
                    opening.start(stream, cells).await
                }
            }
        });
        self.in_time(|| kind.get(), |context| connecting.as_mut().poll(context))
            .await
    }

    /// Sends the request and waits for the head of the response, which then goes to the client.
    async fn attempt_multiplexed(
        &mut self,
        plan: &Plan,
        mut send: SendRequest<Bytes>,
        request: http::Request<()>,
        upload: &mut Pipe,
        cells: &TargetCells,
    ) -> Outcome {
        self.progress();
        let Ok((answer, to_target)) = send.send_request(request, upload.is_done()) else {
            return Outcome::TargetLost {
                untouched: true,
                alone: false,
            };
        };
        drop(send);
        self.stream.set_upstream(to_target);
        let began = Instant::now();
        let mut answer: Pin<&mut ResponseFuture> = pin!(answer);
        let outcome = poll_fn(|context| {
            if let Some(why) = self.timer.fired() {
                return Poll::Ready(Err(match why {
                    Fired::Timeout if upload.waits_for_more() => Outcome::ClientTimeout,
                    Fired::Timeout => Outcome::TargetTimeout,
                    Fired::Cut => Outcome::Cut,
                    Fired::Drain => Outcome::Ended,
                }));
            }
            if let Poll::Ready(Err(error)) = self.poll_upload_multiplexed(context, upload) {
                // a target that wants no more may still answer
                if matches!(error, PipeError::From) {
                    return Poll::Ready(Err(Outcome::ClientGone));
                }
            }
            match answer.as_mut().poll(context) {
                Poll::Ready(Ok(response)) => return Poll::Ready(Ok(response)),
                Poll::Ready(Err(error)) => {
                    let untouched = error.reason() == Some(Reason::REFUSED_STREAM)
                        || (error.is_go_away()
                            && error.is_remote()
                            && error.reason() == Some(Reason::NO_ERROR));
                    return Poll::Ready(Err(match error.reason() {
                        Some(Reason::PROTOCOL_ERROR) if !error.is_remote() => Outcome::BadResponse,
                        _ => Outcome::TargetLost {
                            untouched,
                            alone: error.is_reset() && error.is_remote(),
                        },
                    }));
                }
                Poll::Pending => {}
            }
            match self.stream.poll_given_up(context) {
                Poll::Ready(_) => Poll::Ready(Err(Outcome::ClientGone)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let response = match outcome {
            Ok(response) => response,
            Err(outcome) => return outcome,
        };
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        cells.add_answer(status);
        cells.add_response_time(began.elapsed().as_micros() as u64);
        self.note(|log| log.answered(status));
        let worker = self.worker.clone();
        let mut bytes = worker.buffers.output();
        head::push_response(&mut bytes, &parts);
        let mut scratch = worker.scratch.borrow_mut();
        let parsed = matches!(scratch.response.parse(&bytes), Ok(Some(_)));
        if parsed {
            self.put_head(&worker, plan, &bytes, &scratch.response, HeadForm::STREAM);
        }
        drop(scratch);
        worker.buffers.give_back_output(bytes);
        if !parsed {
            return Outcome::BadResponse;
        }
        self.sent_total += self.output.len() as u64;
        self.bytes += self.output.len() as u64;
        match self.stream.send_head_of(&self.output, body.is_end_stream()) {
            Ok(()) => Outcome::Begun(body),
            Err(_) => Outcome::ClientGone,
        }
    }

    fn poll_upload_multiplexed(
        &mut self,
        context: &mut Context<'_>,
        upload: &mut Pipe,
    ) -> Poll<Result<(), PipeError>> {
        if upload.is_done() {
            return Poll::Ready(Ok(()));
        }
        let mut moved = 0;
        let Some((from, to)) = self.stream.upload_ends() else {
            return Poll::Ready(Err(PipeError::From));
        };
        let polled = upload.poll(context, from, to, &mut moved);
        if moved > 0 {
            self.received += moved;
            self.bytes += moved;
            self.progress();
        }
        if let Poll::Ready(Err(PipeError::To)) = polled {
            upload.end();
        }
        polled
    }

    /// Passes the body of the answer on, and what is still to come of the request.
    async fn pass_on(&mut self, mut answer: RecvStream, upload: &mut Pipe) -> Next {
        let mut download = Pipe::new(answer.is_end_stream());
        self.progress();
        let whole = poll_fn(|context| {
            if self.timer.fired().is_some() {
                return Poll::Ready(false);
            }
            let _ = self.poll_upload_multiplexed(context, upload);
            let mut moved = 0;
            let Some(to) = self.stream.answer_end() else {
                return Poll::Ready(download.is_done());
            };
            let polled = download.poll(context, &mut answer, to, &mut moved);
            if moved > 0 {
                self.sent_total += moved;
                self.bytes += moved;
                self.progress();
            }
            match polled {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => match self.stream.poll_given_up(context) {
                    Poll::Ready(_) => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                },
            }
        })
        .await;
        self.stream.end_answer(whole);
        Next::Close
    }
}
