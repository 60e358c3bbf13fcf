//! One request with a function: the whole request goes to the control plane, which maps it to an event, invokes the
//! function and maps its result back. Source: alb.md section 18.

use std::future::{poll_fn, Future};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use elba_core::choice::Chosen;
use elba_core::protocol::Node;
use serde::Deserialize;

use super::body::Body;
use super::connection::{Connection, Next};
use super::decide::Plan;
use super::exchange::HeadForm;
use super::state::Worker;
use super::ClientStream;
use crate::buffers::BLOCK;
use crate::client::{ask, Failure, Limits, Reply};
use crate::counters::{Balancer, Target, TargetCells};
use crate::timer::Fired;

const MAX_BODY: usize = 1024 * 1024;
/// A result of 1 MB of JSON may hold a body that is no longer; its head comes on top.
const MAX_ANSWER: usize = MAX_BODY + 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Functions run 15 minutes at most, and say themselves when that is over.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(960);

/// Why a function gave no answer, as the access log says it, and whether that is the user's fault (LambdaUserError).
const REASONS: [(&str, bool); 26] = [
    ("LambdaAccessDenied", true),
    ("LambdaBadRequest", true),
    ("LambdaEC2AccessDeniedException", true),
    ("LambdaEC2ThrottledException", true),
    ("LambdaEC2UnexpectedException", true),
    ("LambdaENILimitReachedException", true),
    ("LambdaInvalidResponse", true),
    ("LambdaInvalidRuntimeException", true),
    ("LambdaInvalidSecurityGroupIDException", true),
    ("LambdaInvalidSubnetIDException", true),
    ("LambdaInvalidZipFileException", true),
    ("LambdaKMSAccessDeniedException", true),
    ("LambdaKMSDisabledException", true),
    ("LambdaKMSInvalidStateException", true),
    ("LambdaKMSNotFoundException", true),
    ("LambdaRequestTooLarge", true),
    ("LambdaResourceNotFound", true),
    ("LambdaResponseTooLarge", true),
    ("LambdaSubnetIPAddressLimitReachedException", true),
    ("LambdaThrottling", true),
    ("LambdaUnhandled", true),
    ("LambdaWebsocketNotSupported", true),
    ("LambdaConnectionError", false),
    ("LambdaConnectionTimeout", false),
    ("LambdaServiceException", false),
    ("LambdaUnhandledException", false),
];

/// The load balancer answers itself, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Refusal {
    status: u16,
    reason: String,
}

impl Refusal {
    fn new(status: u16, reason: &str) -> Refusal {
        Refusal {
            status,
            reason: reason.to_owned(),
        }
    }

    fn of(failure: &Failure) -> Refusal {
        match failure {
            Failure::ConnectTimeout => Refusal::new(504, "LambdaConnectionTimeout"),
            Failure::TooLarge => Refusal::new(502, "LambdaResponseTooLarge"),
            Failure::Connect(_) | Failure::BadUrl | Failure::Timeout | Failure::Broken(_) => {
                Refusal::new(502, "LambdaConnectionError")
            }
            Failure::Malformed => Refusal::new(502, "LambdaServiceException"),
        }
    }

    /// What the control plane says when it has no answer of the function's.
    fn read(reply: &Reply) -> Refusal {
        serde_json::from_slice(&reply.body)
            .ok()
            .filter(|refusal: &Refusal| matches!(refusal.status, 400..=599))
            .unwrap_or_else(|| Refusal::new(502, "LambdaServiceException"))
    }

    /// The reason as it is known, and whether it is the user's fault.
    fn known(&self) -> (&'static str, bool) {
        let known = REASONS.iter().find(|(name, _)| *name == self.reason);
        known.copied().unwrap_or(("LambdaUnhandledException", false))
    }
}

/// The headers of an invocation by this node on behalf of a target group.
pub fn invocation(node: &Node, group: &str, form: &str) -> String {
    format!(
        "x-elba-node: {}\r\nx-elba-secret: {}\r\nx-elba-target-group: {group}\r\nx-elba-form: {form}\r\n",
        node.id, node.functions_secret
    )
}

/// Where a function is invoked.
pub fn invocation_url(node: &Node, function: &str) -> String {
    format!("{}{function}/invocations", node.functions_url)
}

/// Why something that was waited for did not come.
pub(super) enum Interrupted {
    ClientGone,
    ClientTimeout,
    BadBody,
    TooLarge,
    Ended,
}

impl<S: ClientStream> Connection<S> {
    /// Has the function answer the request whose head is in the output buffer.
    pub(super) async fn invoke(&mut self, mut plan: Plan) -> Next {
        let worker = self.worker.clone();
        let Some(index) = plan.group.group.eligible.first().copied() else {
            return self.fail(plan, 503).await;
        };
        plan.chosen = index;
        let runtime = plan.config.balancers[plan.place.load_balancer as usize].clone();
        let target = plan.group.targets[index as usize].clone();
        let group = &plan.group.group.source.arn;
        let cells = target.cells(worker.index, &worker.counters, &runtime.balancer, group);
        if plan.is_websocket {
            return self
                .refuse(plan, &cells, &Refusal::new(400, "LambdaWebsocketNotSupported"))
                .await;
        }
        if plan.expects_continue && !self.send_continue().await {
            return Next::Close;
        }
        let mut request = std::mem::take(&mut self.output);
        if let Err(why) = self.collect(&mut plan.upload.body, &mut request, MAX_BODY).await {
            return match why {
                Interrupted::TooLarge => {
                    self.refuse(plan, &cells, &Refusal::new(413, "LambdaRequestTooLarge"))
                        .await
                }
                Interrupted::ClientTimeout => self.fail(plan, 408).await,
                Interrupted::BadBody => self.fail(plan, 400).await,
                Interrupted::ClientGone => self.client_gone(&runtime, 400),
                Interrupted::Ended => Next::Close,
            };
        }
        let began = Instant::now();
        self.note(|log| log.record.dispatched = Some(began));
        let node = &plan.config.compiled.node;
        let function = &plan.group.group.targets[index as usize].source.id;
        let (url, fields) = (invocation_url(node, function), invocation(node, group, "request"));
        let limits = Limits {
            connect: CONNECT_TIMEOUT,
            whole: INVOCATION_TIMEOUT,
            bytes: MAX_ANSWER,
        };
        let asked = ask("POST", &url, &fields, &request, None, limits);
        let reply = match self.wait_for(asked, INVOCATION_TIMEOUT).await {
            Ok(reply) => reply,
            Err(Interrupted::ClientGone) => return self.client_gone(&runtime, 460),
            Err(_) => return Next::Close,
        };
        self.count_request(
            &plan,
            &cells,
            Chosen {
                index,
                failed_open: false,
            },
        );
        match reply {
            Ok(reply) if reply.status == 200 => {
                let processed = reply.field("x-elba-processed").and_then(|text| text.parse().ok());
                runtime
                    .cells
                    .add(Balancer::LambdaTargetProcessedBytes, processed.unwrap_or(0));
                self.pass_result(plan, &worker, &cells, began, &reply.body).await
            }
            Ok(reply) => self.refuse(plan, &cells, &Refusal::read(&reply)).await,
            Err(failure) => self.refuse(plan, &cells, &Refusal::of(&failure)).await,
        }
    }

    /// Gives the client what the function's result says: an HTTP/1.1 response, whole.
    async fn pass_result(
        &mut self,
        plan: Plan,
        worker: &Worker,
        cells: &Arc<TargetCells>,
        began: Instant,
        response: &[u8],
    ) -> Next {
        let keep = plan.keep && !worker.is_draining();
        let parsed = {
            let mut scratch = worker.scratch.borrow_mut();
            let head = &mut scratch.response;
            match head.parse(response) {
                Ok(Some(used)) if head.status >= 200 => {
                    cells.add_answer(head.status);
                    cells.add_response_time(began.elapsed().as_micros() as u64);
                    self.note(|log| log.answered(head.status));
                    let form = HeadForm::whole(keep);
                    self.put_head(worker, &plan, response, head, form);
                    if !plan.to_head && !matches!(head.status, 204 | 304) {
                        self.output.extend_from_slice(&response[used..]);
                    }
                    true
                }
                _ => false,
            }
        };
        if !parsed {
            return self
                .refuse(plan, cells, &Refusal::new(502, "LambdaInvalidResponse"))
                .await;
        }
        self.send_output(if keep { Next::Again } else { Next::Close })
            .await
    }

    /// Answers instead of the function.
    async fn refuse(&mut self, plan: Plan, cells: &TargetCells, refusal: &Refusal) -> Next {
        let (reason, by_user) = refusal.known();
        cells.add(
            if by_user {
                Target::LambdaUserError
            } else {
                Target::LambdaInternalError
            },
            1,
        );
        self.note(|log| log.record.error_reason = reason);
        self.fail(plan, refusal.status).await
    }

    /// Appends what is still to come of the request's body to `into`, without chunks.
    pub(super) async fn collect(
        &mut self,
        body: &mut Body,
        into: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Interrupted> {
        let worker = self.worker.clone();
        let start = into.len();
        self.timer.reset();
        self.progress();
        poll_fn(|context| loop {
            match self.timer.fired() {
                Some(Fired::Timeout) => return Poll::Ready(Err(Interrupted::ClientTimeout)),
                Some(_) => return Poll::Ready(Err(Interrupted::Ended)),
                None => {}
            }
            if matches!(body, Body::Length(rest) if *rest > most as u64) {
                return Poll::Ready(Err(Interrupted::TooLarge));
            }
            match body.take_plain(self.input.bytes(), into) {
                Ok(used) => self.input.consume(used),
                Err(_) => return Poll::Ready(Err(Interrupted::BadBody)),
            }
            if into.len() - start > most {
                return Poll::Ready(Err(Interrupted::TooLarge));
            }
            if body.is_done() {
                return Poll::Ready(Ok(()));
            }
            match self
                .input
                .poll_fill(context, &mut self.stream, &worker.buffers, BLOCK)
            {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.bytes += count as u64;
                    self.received += count as u64;
                    self.progress();
                }
                Poll::Ready(_) => return Poll::Ready(Err(Interrupted::ClientGone)),
                Poll::Pending => return Poll::Pending,
            }
        })
        .await
    }

    /// Waits for an answer from somebody else than a target. A client that leaves meanwhile is noticed.
    pub(super) async fn wait_for<F: Future>(
        &mut self,
        answer: F,
        at_most: Duration,
    ) -> Result<F::Output, Interrupted> {
        let mut answer = pin!(answer);
        self.timer.reset();
        self.timer
            .set(self.worker.now_ms() + at_most.as_millis() as u64 + 1000);
        poll_fn(|context| {
            if self.timer.fired().is_some() {
                return Poll::Ready(Err(Interrupted::Ended));
            }
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Ok(answer));
            }
            self.poll_gone(context).map(|()| Err(Interrupted::ClientGone))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_their_status_and_a_known_reason() {
        let read = |body: &str| {
            Refusal::read(&Reply {
                status: 502,
                fields: vec![],
                body: body.into(),
            })
        };
        let told = read(r#"{"reason": "LambdaThrottling", "status": 502}"#);
        assert_eq!((told.status, told.known()), (502, ("LambdaThrottling", true)));
        for odd in ["", "{}", r#"{"reason": "x", "status": 200}"#] {
            assert_eq!(read(odd).known(), ("LambdaServiceException", false), "{odd}");
        }
        assert_eq!(
            read(r#"{"reason": "New", "status": 500}"#).known(),
            ("LambdaUnhandledException", false)
        );
        assert_eq!(Refusal::of(&Failure::ConnectTimeout).status, 504);
    }
}
