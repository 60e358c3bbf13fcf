//! What is done with a request: all of it in one step without waiting, from the bytes of the head to the head for
//! the target (or the answer) in the output buffer.

use std::rc::Rc;

use elba_core::compile::Place;
use elba_core::desync::Verdict;
use elba_core::forwarded::{
    forwarded_for_count, is_host, push_request_head, without_port, RequestContext, MAX_FORWARDED_FOR,
};
use elba_core::guard::oidc::CALLBACK_PATH;
use elba_core::guard::Guard;
use elba_core::http1::chunked::ChunkedReader;
use elba_core::http1::request::{Refused, RequestHead, Version};
use elba_core::http1::Framing;
use elba_core::pages::{closes, Answer};
use elba_core::routing::{normalised_path, Action, Facts, Original, Rule};
use elba_core::target_tls::TargetTls;

use super::body::Body;
use super::connection::{Connection, Next};
use super::guard::{come_back, count_failure, pass, Fetched, Identity, Refusal, Seen, Wait};
use super::state::{BalancerRuntime, Config, GroupRuntime, Worker};
use super::sticky::{self, sticky_group, Sticky};
use super::transfer::Upload;
use super::ClientStream;
use crate::buffers::{Input, BLOCK};
use crate::counters::Balancer;

/// Evaluations of rules that a request has for nothing, in RuleEvaluations (and so in its load balancer capacity units).
const FREE_RULES: u64 = 10;

pub(super) enum Decision {
    /// the head has not come whole
    Incomplete,
    /// without an answer
    Close,
    /// it is in the output buffer
    Answer(Next),
    Forward(Plan),
    /// something has to be fetched first
    Wait(Box<Wait>),
}

/// How a request is forwarded. Its head for the target, with what has come of the body, is in the output buffer.
pub(super) struct Plan {
    pub config: Rc<Config>,
    pub place: Place,
    pub group: Rc<GroupRuntime>,
    pub upload: Upload,
    pub to_head: bool,
    /// may be sent again when it is not known whether the target has acted on it
    pub is_idempotent: bool,
    pub is_websocket: bool,
    /// its target is a function
    pub is_function: bool,
    /// its target speaks HTTP/2, as the client does
    pub is_multiplexed: bool,
    pub expects_continue: bool,
    /// the client understands chunks
    pub client_is_http11: bool,
    /// the client's connection may carry another request
    pub keep: bool,
    pub sticky: Sticky,
    /// the target (index) that has the request now
    pub chosen: u32,
    /// an ambiguous request: the target's connection is not used again either
    pub close_target: bool,
    /// of a session that was renewed: its cookies go with the answer
    pub renewed: Option<Box<Identity>>,
}

impl Plan {
    /// How TLS is spoken with its targets; None = not at all.
    pub fn target_tls(&self) -> Option<&'static TargetTls> {
        let listener = self.config.compiled.listener_at(self.place);
        listener.target_tls.filter(|_| self.group.group.is_secured())
    }
}

/// A request target taken apart.
struct Target<'a> {
    authority: Option<&'a [u8]>,
    /// as it is forwarded: path and query
    whole: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
}

/// None if it is in no form that a request to a server may have.
fn split_target<'a>(target: &'a [u8], method: &[u8]) -> Option<Target<'a>> {
    let (authority, whole) = if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        (None, target)
    } else {
        let scheme = ["http://", "https://"].iter().find(|scheme| {
            target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
        })?;
        let rest = &target[scheme.len()..];
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(rest.len());
        let authority = &rest[..end];
        if authority.is_empty() || !is_host(authority) {
            return None;
        }
        match &rest[end..] {
            [] => (Some(authority), &b"/"[..]),
            // a query without a path: "/?query" would have to be made up
            [b'?', ..] => return None,
            whole => (Some(authority), whole),
        }
    };
    let mark = memchr::memchr(b'?', whole).unwrap_or(whole.len());
    Some(Target {
        authority,
        whole,
        path: &whole[..mark],
        query: whole.get(mark + 1..).unwrap_or(&[]),
    })
}

/// What an answer of our own needs to know of the request.
#[derive(Clone, Copy)]
struct Asked {
    place: Option<Place>,
    /// bytes of the head
    used: usize,
    framing: Framing,
    keep: bool,
    to_head: bool,
}

impl<S: ClientStream> Connection<S> {
    pub(super) fn decide(&mut self) -> Decision {
        let worker = self.worker.clone();
        let config = worker.config();
        let mut scratch = worker.scratch.borrow_mut();
        let head = &mut scratch.request;
        if self.output.capacity() == 0 {
            self.output = worker.buffers.output();
        }
        self.output.clear();
        self.sent = 0;
        let used = match head.parse(self.input.bytes()) {
            Ok(None) => return Decision::Incomplete,
            Ok(Some(used)) => used,
            Err(Refused(status)) => return self.refuse_unread(status),
        };
        let input = std::mem::take(&mut self.input);
        // it was fetched for this request, and must not meet another
        let fetched = self.fetched.take().map(|fetched| *fetched);
        let decision = self.decide_complete(&worker, &config, head, &input, used, fetched);
        self.input = input;
        match decision {
            Ok((plan, taken)) => {
                self.input.consume(used + taken);
                Decision::Forward(plan)
            }
            Err(Stop::Close) => Decision::Close,
            Err(Stop::Wait(wait)) => Decision::Wait(wait),
            Err(Stop::Answered(next, consumed)) => {
                self.input.consume(consumed);
                Decision::Answer(next)
            }
        }
    }

    /// The plan, and how much of the body was put into the output after the head.
    fn decide_complete(
        &mut self,
        worker: &Worker,
        config: &Rc<Config>,
        head: &RequestHead,
        input: &Input,
        used: usize,
        fetched: Option<Fetched>,
    ) -> Result<(Plan, usize), Stop> {
        // what it is counted for was counted when it was first decided upon
        let is_first = fetched.is_none();
        let bytes = input.bytes();
        let method = head.method.of(bytes);
        let target = split_target(head.target.of(bytes), method);
        let authority = target.as_ref().and_then(|target| target.authority);
        let host = authority.or(head.host.map(|host| host.of(bytes)));
        let place = self.find_place(config, host);
        let mut asked = Asked {
            place,
            used,
            framing: head.framing,
            keep: false,
            to_head: method == b"HEAD",
        };
        let Some(place) = place else {
            return match &*self.serves {
                // the listener is gone
                elba_core::compile::Serves::Listener { .. } => Err(Stop::Close),
                elba_core::compile::Serves::FrontDoor { .. } => {
                    Err(self.error(worker, config, asked, input, 421))
                }
            };
        };
        if !self.is_allowed(config, place) {
            return Err(Stop::Close);
        }
        let runtime = &config.balancers[place.load_balancer as usize];
        let (balancer, cells) = (&*runtime.balancer, &*runtime.cells);
        let listener = config.compiled.listener_at(place);
        let attributes = &balancer.attributes;
        self.begin_log(
            config,
            place,
            Some((head, bytes, used)),
            target.as_ref().map(|target| target.whole),
            host,
            bytes.len(),
        );

        // what came over HTTP/2 was framed by it: there is nothing to be out of step with
        let verdict = if S::MULTIPLEXED {
            Verdict::Route
        } else {
            attributes.desync_mode.judge(head.classification)
        };
        if is_first && !S::MULTIPLEXED && head.classification.reason().is_some() {
            cells.add(Balancer::DesyncNonCompliant, 1);
        }
        // another protocol's version says more than that it is no request
        if verdict == Verdict::Block && head.refused != Some(Refused(505)) {
            return Err(self.error(worker, config, asked, input, 400));
        }
        if let Some(Refused(status)) = head.refused {
            return Err(self.error(worker, config, asked, input, status));
        }
        let host_is_fine = match head.host {
            Some(host) => is_host(host.of(bytes)),
            None => head.version < Version::Http11,
        };
        let Some(target) = target.filter(|_| host_is_fine) else {
            return Err(self.error(worker, config, asked, input, 400));
        };
        asked.keep = head.keeps_alive()
            && verdict == Verdict::Route
            && !worker.is_draining()
            && worker.now_ms() < self.keep_until_ms;
        if method == b"TRACE" || method == b"CONNECT" {
            return Err(self.error(worker, config, asked, input, 405));
        }
        if forwarded_for_count(bytes, head) > MAX_FORWARDED_FOR {
            return Err(self.error(worker, config, asked, input, 463));
        }
        if is_first && head.has_invalid_names {
            let dropped = attributes.drop_invalid_header_fields;
            cells.add(
                if dropped {
                    Balancer::DroppedInvalidHeaderRequest
                } else {
                    Balancer::ForwardedInvalidHeaderRequest
                },
                1,
            );
        }

        let bare_host = host.map_or(&b""[..], without_port);
        let path = if listener.router.has_conditions() {
            normalised_path(target.path)
        } else {
            std::borrow::Cow::Borrowed(target.path)
        };
        let facts = Facts {
            method,
            host: bare_host,
            path: &path,
            query: target.query,
            client: self.peer.ip(),
            buffer: bytes,
            fields: &head.fields,
        };
        let seen = Seen {
            bytes,
            head,
            host,
            whole: target.whole,
            query: target.query,
        };
        if target.path == CALLBACK_PATH && listener.router.has_oidc() {
            self.note(|log| log.record.guard = "authenticate");
            let refusal = come_back(
                worker,
                runtime,
                |id| listener.router.oidc(id).cloned(),
                &seen,
                fetched,
            );
            return Err(self.turn_away(worker, config, runtime, asked, input, refusal));
        }
        let Some((rule, evaluated)) = listener.router.route(&facts) else {
            self.note(|log| log.record.priority = Some(-1));
            return Err(self.error(worker, config, asked, input, 500));
        };
        self.note(|log| {
            log.record.priority = i32::try_from(rule.priority).ok();
            log.record.actions = match &rule.action {
                Action::Forward(_) => "forward",
                Action::Fixed(_) => "fixed-response",
                Action::Redirect(_) => "redirect",
                Action::Impossible => "",
            };
        });
        let identity = match &rule.guard {
            None => None,
            Some(guard) => {
                let name = match guard {
                    Guard::Jwt(_) => "jwt-validation",
                    Guard::Oidc(_) | Guard::Impossible => "authenticate",
                };
                self.note(|log| log.record.guard = name);
                match pass(worker, runtime, guard, &seen, fetched) {
                    Ok(identity) => Some(identity),
                    Err(refusal) => {
                        self.note(|log| log.record.actions = "");
                        return Err(self.turn_away(worker, config, runtime, asked, input, refusal));
                    }
                }
            }
        };
        if evaluated > FREE_RULES {
            cells.add(Balancer::RuleEvaluations, evaluated - FREE_RULES);
        }
        let forward = match &rule.action {
            Action::Forward(forward) => forward,
            Action::Fixed(fixed) => {
                cells.add(Balancer::FixedResponse, 1);
                return Err(self.answer_with(
                    worker,
                    config,
                    asked,
                    input,
                    fixed.status,
                    renewed_cookies(&identity),
                    |answer, out| {
                        answer.push_fixed(out, fixed.status, &fixed.content_type, fixed.body.as_bytes());
                    },
                ));
            }
            Action::Redirect(redirect) => {
                let original = Original {
                    https: listener.protocol == "HTTPS",
                    host: if bare_host.is_empty() {
                        balancer.source.dns_name.as_bytes()
                    } else {
                        bare_host
                    },
                    port: listener.port,
                    path: target.path,
                    query: target.query,
                };
                let Some(location) = redirect.location(&original) else {
                    cells.add(Balancer::RedirectUrlLimitExceeded, 1);
                    return Err(self.error(worker, config, asked, input, 507));
                };
                cells.add(Balancer::Redirect, 1);
                self.note(|log| log.record.redirect = log.put(&location));
                return Err(self.answer_with(
                    worker,
                    config,
                    asked,
                    input,
                    redirect.status,
                    renewed_cookies(&identity),
                    |answer, out| {
                        answer.push_redirect(out, redirect.status, &location);
                    },
                ));
            }
            Action::Impossible => return Err(self.error(worker, config, asked, input, 500)),
        };
        let chosen = if forward.groups.len() > 1 {
            worker.random()
        } else {
            0
        };
        let slot = sticky_group(worker, runtime, forward, bytes, head)
            .or_else(|| forward.choose(chosen))
            .and_then(|to| to.slot);
        self.note(|log| log.record.group = slot);
        let group = slot
            .and_then(|slot| config.groups.get(slot as usize))
            .and_then(Option::as_ref);
        let Some(group) = group else {
            return Err(self.error(worker, config, asked, input, 503));
        };
        let is_multiplexed = match group.group.source.protocol_version.as_str() {
            "HTTP2" => Some(true).filter(|_| S::MULTIPLEXED),
            "GRPC" => Some(true).filter(|_| S::MULTIPLEXED && method == b"POST"),
            _ => Some(false).filter(|_| !(S::MULTIPLEXED && is_grpc(bytes, head, method))),
        };
        let Some(is_multiplexed) = is_multiplexed else {
            return Err(self.error(worker, config, asked, input, 464));
        };
        if !group.group.is_supported || (group.group.is_secured() && listener.target_tls.is_none()) {
            return Err(self.error(worker, config, asked, input, 502));
        }

        let rewritten = match transform(rule, &target, bare_host) {
            Ok(rewritten) => rewritten,
            Err(elba_core::routing::BadTransform) => {
                return Err(self.error(worker, config, asked, input, 500));
            }
        };
        self.note(|log| log.rewritten(rewritten.0.as_deref(), rewritten.1.as_deref()));
        let open = self.open.clone();
        let names = &listener.request_names;
        let context = RequestContext {
            client: open
                .as_ref()
                .map_or("", |open| open.client(self.peer, attributes.xff_client_port)),
            xff_mode: attributes.xff_mode,
            https: listener.protocol == "HTTPS",
            tls_headers: attributes.tls_headers,
            tls: self
                .stream
                .tls()
                .filter(|_| attributes.tls_headers)
                .map(|agreed| (agreed.version, agreed.cipher)),
            tls_names: [&names.tls[0], &names.tls[1]],
            client_certificate: self
                .stream
                .tls()
                .and_then(|agreed| agreed.client.as_ref())
                .map(|told| (&names.client_certificate, &told.values)),
            listener_port: listener.port,
            preserve_host: attributes.preserve_host_header,
            drop_invalid_names: attributes.drop_invalid_header_fields,
            authority: target.authority,
            dns_name: &balancer.source.dns_name,
            rewritten_host: rewritten.1.as_deref(),
            target: rewritten.0.as_deref().unwrap_or(target.whole),
            trace: self
                .log
                .as_ref()
                .map_or_else(|| worker.trace_seed(), |log| log.seed),
            head_bytes: used,
            identity: identity.as_ref().map(|identity| identity.lines.as_slice()),
        };
        push_request_head(&mut self.output, bytes, head, &context);
        let mut upload = Upload::new(match head.framing {
            Framing::None | Framing::UntilClose => Body::Done,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(ChunkedReader::default()),
        });
        let is_function = group.group.source.target_type == "lambda";
        // a function gets its body without chunks
        let taken = if is_function {
            Ok(0)
        } else {
            upload.body.take(&bytes[used..], &mut self.output, BLOCK)
        };
        let Ok(taken) = taken else {
            self.output.clear();
            asked.keep = false;
            return Err(self.error(worker, config, asked, input, 400));
        };
        let plan = Plan {
            config: config.clone(),
            place,
            group: group.clone(),
            to_head: asked.to_head,
            is_idempotent: matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE"),
            is_websocket: head.upgrades_to_websocket,
            is_function,
            is_multiplexed,
            expects_continue: head.expects_continue
                && head.version == Version::Http11
                && taken == 0
                && !upload.body.is_done(),
            upload,
            client_is_http11: head.version == Version::Http11 && !S::MULTIPLEXED,
            keep: asked.keep,
            sticky: if forward.stickiness_seconds.is_some() || group.group.source.stickiness_enabled {
                sticky::read(worker, runtime, forward, group, bytes, head)
            } else {
                Sticky::default()
            },
            chosen: 0,
            close_target: verdict == Verdict::RouteThenClose,
            renewed: identity
                .filter(|identity| !identity.cookies.is_empty())
                .map(Box::new),
        };
        Ok((plan, taken))
    }

    /// An error answer to what could not be read as a request; the connection ends with it.
    pub(super) fn refuse_unread(&mut self, status: u16) -> Decision {
        let worker = self.worker.clone();
        let config = worker.config();
        let asked = Asked {
            place: self.find_place(&config, None),
            used: 0,
            framing: Framing::UntilClose,
            keep: false,
            to_head: false,
        };
        if self.output.capacity() == 0 {
            self.output = worker.buffers.output();
        }
        self.output.clear();
        if let Some(place) = asked.place {
            let waiting = self.input.len();
            self.begin_log(&config, place, None, None, None, waiting);
        }
        match self.error(&worker, &config, asked, &Input::default(), status) {
            Stop::Close | Stop::Wait(_) => Decision::Close,
            Stop::Answered(next, _) => Decision::Answer(next),
        }
    }

    fn error(
        &mut self,
        worker: &Worker,
        config: &Config,
        mut asked: Asked,
        input: &Input,
        status: u16,
    ) -> Stop {
        asked.keep &= !closes(status);
        self.answer(worker, config, asked, input, status, |answer, out| {
            answer.push_error(out, status)
        })
    }

    /// What a request gets that does not pass its guard.
    fn turn_away(
        &mut self,
        worker: &Worker,
        config: &Config,
        runtime: &BalancerRuntime,
        asked: Asked,
        input: &Input,
        refusal: Refusal,
    ) -> Stop {
        match refusal {
            Refusal::Wait(wait) => Stop::Wait(wait),
            Refusal::Failed(failure) => {
                count_failure(runtime, failure);
                self.note(|log| log.record.error_reason = failure.reason);
                self.error(worker, config, asked, input, failure.status)
            }
            Refusal::Redirect { location, cookies } => {
                self.note(|log| log.record.redirect = log.put(location.as_bytes()));
                self.answer_with(worker, config, asked, input, 302, &cookies, |answer, out| {
                    answer.push_redirect(out, 302, location.as_bytes());
                })
            }
        }
    }

    fn answer(
        &mut self,
        worker: &Worker,
        config: &Config,
        asked: Asked,
        input: &Input,
        status: u16,
        push: impl FnOnce(&Answer, &mut Vec<u8>),
    ) -> Stop {
        self.answer_with(worker, config, asked, input, status, &[], push)
    }

    /// Puts an answer of our own into the output, counts it, and says how the connection goes on: it can carry
    /// another request only if this one's body is here whole.
    #[allow(clippy::too_many_arguments)] // `answer` with one more
    fn answer_with(
        &mut self,
        worker: &Worker,
        config: &Config,
        asked: Asked,
        input: &Input,
        status: u16,
        cookies: &[u8],
        push: impl FnOnce(&Answer, &mut Vec<u8>),
    ) -> Stop {
        let rest = input.len() - asked.used.min(input.len());
        let body = match asked.framing {
            Framing::None => Some(0),
            Framing::Length(length) if length <= rest as u64 => Some(length as usize),
            _ => None,
        };
        let keep = asked.keep && body.is_some();
        let listener = asked.place.map(|place| config.compiled.listener_at(place));
        let date = worker.date();
        let answer = Answer {
            date: &date,
            keep_alive: keep,
            to_head: asked.to_head,
            server: listener.is_none_or(|listener| listener.server_header),
            extra: listener.map_or(&[], |listener| listener.response_headers.as_slice()),
            cookies,
        };
        push(&answer, &mut self.output);
        self.note(|log| log.record.status = status);
        if let Some(place) = asked.place {
            config.balancers[place.load_balancer as usize]
                .cells
                .add_answer(status);
        }
        let consumed = asked.used + body.unwrap_or(0);
        Stop::Answered(if keep { Next::Again } else { Next::Linger }, consumed)
    }
}

/// A call of gRPC, over HTTP/2. Source: alb.md section 14.
fn is_grpc(bytes: &[u8], head: &RequestHead, method: &[u8]) -> bool {
    method == b"POST"
        && head.fields.iter().any(|field| {
            field.name.of(bytes).eq_ignore_ascii_case(b"content-type")
                && field.value.of(bytes).starts_with(b"application/grpc")
        })
}

/// The cookies of a session that was renewed for this request.
fn renewed_cookies(identity: &Option<Identity>) -> &[u8] {
    identity.as_ref().map_or(&[], |identity| &identity.cookies)
}

enum Stop {
    Close,
    Wait(Box<Wait>),
    /// with how much of the input was used
    Answered(Next, usize),
}

type Rewritten = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Target and host as the rule's transforms leave them.
fn transform(
    rule: &Rule,
    target: &Target,
    host: &[u8],
) -> Result<Rewritten, elba_core::routing::BadTransform> {
    if !rule.transforms() {
        return Ok((None, None));
    }
    Ok((rule.rewritten_target(target.whole)?, rule.rewritten_host(host)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_targets() {
        let split = |target: &'static str, method: &str| {
            split_target(target.as_bytes(), method.as_bytes()).map(|split| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (
                    split.authority.map(text),
                    text(split.whole),
                    text(split.path),
                    text(split.query),
                )
            })
        };
        let plain = |authority: Option<&str>, whole: &str, path: &str, query: &str| {
            Some((
                authority.map(str::to_owned),
                whole.to_owned(),
                path.to_owned(),
                query.to_owned(),
            ))
        };
        assert_eq!(split("/a?b?c", "GET"), plain(None, "/a?b?c", "/a", "b?c"));
        assert_eq!(split("HTTP://h:1/a", "GET"), plain(Some("h:1"), "/a", "/a", ""));
        assert_eq!(split("http://h", "GET"), plain(Some("h"), "/", "/", ""));
        assert_eq!(split("*", "OPTIONS"), plain(None, "*", "*", ""));
        for bad in [
            "*",
            "a",
            "http:///a",
            "http://u@h/",
            "ftp://h/",
            "http://h?x",
            "h:80",
        ] {
            assert_eq!(split(bad, "GET"), None, "{bad}");
        }
    }
}
