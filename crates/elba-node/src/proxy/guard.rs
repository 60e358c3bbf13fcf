//! What stands before a rule's routing action, on a connection: sessions and tokens of requests, the way to an identity
//! provider and back. Deciding does not wait: it says what it needs (`Wait`), which is fetched, and then the request is
//! decided upon again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use elba_core::guard::oidc::{arrive, Arrival, Oidc, Sealing, NONCE_COOKIE};
use elba_core::guard::session::Session;
use elba_core::guard::{jwt, Failure, Guard, OnUnauthenticated};
use elba_core::http1::date::http_date;
use elba_core::http1::request::RequestHead;
use elba_core::stickiness::find_cookie;

use super::connection::Connection;
use super::function::Interrupted;
use super::state::{BalancerRuntime, Worker};
use super::ClientStream;
use crate::counters::Balancer;
use crate::{client, idp};

/// How long a signed statement about a user is good for.
const IDENTITY_SECONDS: u64 = 120;
/// Two endpoints are asked for a login.
const FETCH_LIMIT: Duration = idp::LIMIT.saturating_mul(2);
const UNHANDLED: Failure = Failure::new(500, "AuthUnhandledException");

/// What has to be fetched before the request can be decided upon.
#[derive(Debug)]
pub(super) enum Wait {
    Login {
        oidc: Arc<Oidc>,
        arrival: Arrival,
        host: String,
    },
    Renewal {
        oidc: Arc<Oidc>,
        session: Session,
    },
    Keys {
        url: String,
    },
}

/// What was fetched.
pub(super) enum Fetched {
    /// the session, and where the client wanted to go
    Login(Result<(Session, String), Failure>),
    /// None: the provider does not renew it
    Renewal(Option<Session>),
    /// the worker has them
    Keys,
}

/// What a target is told of the user.
#[derive(Default)]
pub(super) struct Identity {
    /// whole lines for the target
    pub lines: Vec<u8>,
    /// whole Set-Cookie lines for the client
    pub cookies: Vec<u8>,
}

/// Why a request does not pass.
pub(super) enum Refusal {
    Failed(Failure),
    /// to the provider, or back to where the client wanted to go; with whole Set-Cookie lines
    Redirect {
        location: String,
        cookies: Vec<u8>,
    },
    Wait(Box<Wait>),
}

/// A request as guards look at it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
    /// as received, with its port
    pub host: Option<&'a [u8]>,
    /// path and query
    pub whole: &'a [u8],
    pub query: &'a [u8],
}

impl Seen<'_> {
    fn host(&self) -> Result<String, Refusal> {
        let host = self.host.filter(|host| !host.is_empty());
        host.map(|host| String::from_utf8_lossy(host).into_owned())
            .ok_or(Refusal::Failed(Failure::new(401, "AuthMissingHostHeader")))
    }
}

/// What the target is told of a request that passes.
pub(super) fn pass(
    worker: &Worker,
    runtime: &BalancerRuntime,
    guard: &Guard,
    seen: &Seen,
    fetched: Option<Fetched>,
) -> Result<Identity, Refusal> {
    match guard {
        Guard::Impossible => Err(Refusal::Failed(UNHANDLED)),
        Guard::Oidc(oidc) => pass_oidc(worker, runtime, oidc, seen, fetched),
        Guard::Jwt(rules) => {
            let passed = pass_jwt(worker, rules, seen);
            match &passed {
                Ok(()) => runtime.cells.add(Balancer::JwtValidationSuccess, 1),
                Err(Refusal::Failed(_)) => runtime.cells.add(Balancer::JwtValidationFailure, 1),
                Err(_) => {}
            }
            passed.map(|()| Identity::default())
        }
    }
}

fn pass_oidc(
    worker: &Worker,
    runtime: &BalancerRuntime,
    oidc: &Arc<Oidc>,
    seen: &Seen,
    fetched: Option<Fetched>,
) -> Result<Identity, Refusal> {
    let balancer = &runtime.balancer;
    let scope = balancer.source.arn.as_str();
    let name = oidc.source.session_cookie_name.as_str();
    let now = worker.epoch_seconds();
    let known = Session::find(seen.bytes, &seen.head.fields, &balancer.cookie_keys, scope, name)
        .filter(|session| session.guard == oidc.id);
    let had_session = known.is_some();
    let mut session = known.filter(|session| now.saturating_sub(session.since) < oidc.session_seconds);
    let mut identity = Identity::default();
    let is_due =
        |session: &Session| session.refresh_token.is_some() && session.renew_at.is_some_and(|at| at <= now);
    if session.as_ref().is_some_and(is_due) {
        session = match (fetched, session) {
            (Some(Fetched::Renewal(renewed)), _) => {
                if let Some(renewed) = &renewed {
                    runtime.cells.add(Balancer::AuthRefreshTokenSuccess, 1);
                    push_session(worker, runtime, oidc, renewed, &mut identity.cookies)?;
                }
                renewed
            }
            (_, Some(session)) => {
                let oidc = oidc.clone();
                return Err(Refusal::Wait(Box::new(Wait::Renewal { oidc, session })));
            }
            (_, None) => None,
        };
    }
    let Some(session) = session else {
        return match oidc.on_unauthenticated {
            OnUnauthenticated::Allow => Ok(identity),
            OnUnauthenticated::Deny if !had_session => Err(Refusal::Failed(Failure::new(401, ""))),
            _ => Err(depart(worker, runtime, oidc, seen)?),
        };
    };
    let signer = balancer.signer.as_ref().ok_or(Refusal::Failed(UNHANDLED))?;
    let source = &oidc.source;
    let data = signer
        .sign(
            scope,
            &source.issuer,
            &source.client_id,
            &session.claims,
            now + IDENTITY_SECONDS,
        )
        .ok_or(Refusal::Failed(UNHANDLED))?;
    for (name, value) in [
        ("x-amzn-oidc-accesstoken", session.access_token.as_str()),
        ("x-amzn-oidc-identity", session.subject.as_str()),
        ("x-amzn-oidc-data", data.as_str()),
    ] {
        identity
            .lines
            .extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    Ok(identity)
}

/// A client that comes back from its provider.
pub(super) fn come_back(
    worker: &Worker,
    runtime: &BalancerRuntime,
    find_oidc: impl Fn(u64) -> Option<Arc<Oidc>>,
    seen: &Seen,
    fetched: Option<Fetched>,
) -> Refusal {
    if let Some(Fetched::Login(result)) = fetched {
        return match result {
            Err(failure) => Refusal::Failed(failure),
            Ok((session, url)) => {
                let Some(oidc) = find_oidc(session.guard) else {
                    return Refusal::Failed(Failure::new(401, "AuthInvalidStateParam"));
                };
                let mut cookies = Vec::new();
                if let Err(refusal) = push_session(worker, runtime, &oidc, &session, &mut cookies) {
                    return refusal;
                }
                runtime.cells.add(Balancer::AuthSuccess, 1);
                let line = format!(
                    "Set-Cookie: {NONCE_COOKIE}=; Expires={}; Path=/; Secure; HttpOnly\r\n",
                    http_date(0)
                );
                cookies.extend_from_slice(line.as_bytes());
                Refusal::Redirect {
                    location: url,
                    cookies,
                }
            }
        };
    }
    let balancer = &runtime.balancer;
    let nonce = find_cookie(seen.bytes, &seen.head.fields, NONCE_COOKIE);
    let arrival = arrive(
        &balancer.cookie_keys,
        &balancer.source.arn,
        seen.query,
        nonce,
        worker.epoch_seconds(),
    );
    let arrival = match arrival {
        Ok(arrival) => arrival,
        Err(failure) => return Refusal::Failed(failure),
    };
    match (find_oidc(arrival.guard), seen.host()) {
        (Some(oidc), Ok(host)) => Refusal::Wait(Box::new(Wait::Login { oidc, arrival, host })),
        (None, _) => Refusal::Failed(Failure::new(401, "AuthInvalidStateParam")),
        (_, Err(refusal)) => refusal,
    }
}

impl<S: ClientStream> Connection<S> {
    /// Fetches what the request waits for; it is to be decided upon again then. False if the client has left meanwhile.
    pub(super) async fn fetch(&mut self, wait: Wait) -> bool {
        let worker = self.worker.clone();
        let config = worker.config();
        let Some(place) = self.find_place(&config, None) else {
            return false;
        };
        let runtime = config.balancers[place.load_balancer as usize].clone();
        let mut roots = config.compiled.node.identity_authorities.clone();
        roots.push_str(&runtime.balancer.source.trusted_roots);
        drop(config);
        match self
            .wait_for(fetch(&worker, &runtime, &roots, wait), FETCH_LIMIT)
            .await
        {
            Ok(fetched) => {
                self.fetched = Some(Box::new(fetched));
                self.timer.reset();
                self.progress();
                true
            }
            Err(why) => {
                if let Interrupted::ClientGone = why {
                    self.client_gone(&runtime, 460);
                }
                false
            }
        }
    }
}

async fn fetch(worker: &Worker, runtime: &BalancerRuntime, roots: &str, wait: Wait) -> Fetched {
    let began = Instant::now();
    match wait {
        Wait::Keys { url } => {
            worker.idp.fetch_keys(roots, &url, worker.now_ms()).await;
            Fetched::Keys
        }
        Wait::Login { oidc, arrival, host } => {
            let form = oidc.code_form(&arrival.code, &host);
            let session = log_in(worker, roots, &oidc, form, None).await;
            runtime
                .cells
                .add_authentication_time(began.elapsed().as_micros() as u64);
            Fetched::Login(session.map(|session| (session, arrival.url)))
        }
        Wait::Renewal { oidc, session } => {
            let form = oidc.refresh_form(session.refresh_token.as_deref().unwrap_or_default());
            let renewed = log_in(worker, roots, &oidc, form, Some(session)).await;
            runtime
                .cells
                .add_authentication_time(began.elapsed().as_micros() as u64);
            Fetched::Renewal(renewed.ok())
        }
    }
}

/// Counts a failure of authentication.
pub(super) fn count_failure(runtime: &BalancerRuntime, failure: Failure) {
    let kind = match failure.reason {
        "AuthUserinfoResponseSizeExceeded" => Balancer::AuthUserClaimsSizeExceeded,
        "AuthMissingHostHeader" | "AuthUnhandledException" => Balancer::AuthError,
        reason if reason.starts_with("AuthTokenEp") || reason.starts_with("AuthUserinfoEp") => {
            Balancer::AuthError
        }
        reason if reason.starts_with("JW") => return,
        _ => Balancer::AuthFailure,
    };
    runtime.cells.add(kind, 1);
}

fn pass_jwt(worker: &Worker, rules: &elba_core::protocol::JwtValidation, seen: &Seen) -> Result<(), Refusal> {
    let authorization = seen
        .head
        .fields
        .iter()
        .find(|field| field.name.of(seen.bytes).eq_ignore_ascii_case(b"authorization"))
        .map(|field| field.value.of(seen.bytes));
    let token = jwt::bearer(authorization).map_err(Refusal::Failed)?;
    let token =
        jwt::Token::parse(token).ok_or(Refusal::Failed(Failure::new(401, "JWTRequestFormatInvalid")))?;
    let url = &rules.jwks_endpoint;
    match worker.idp.keys(url, &token.key_id, worker.now_ms()) {
        None => Err(Refusal::Wait(Box::new(Wait::Keys { url: url.clone() }))),
        Some(Err(failure)) => Err(Refusal::Failed(failure)),
        Some(Ok(keys)) => {
            jwt::validate(rules, &keys, &token, worker.epoch_seconds()).map_err(Refusal::Failed)
        }
    }
}

/// Sends the client to its provider.
fn depart(worker: &Worker, runtime: &BalancerRuntime, oidc: &Oidc, seen: &Seen) -> Result<Refusal, Refusal> {
    let host = seen.host()?;
    let url = format!("https://{host}{}", String::from_utf8_lossy(seen.whole));
    let (Some(random), Some(nonce)) = (worker.nonce(), worker.nonce()) else {
        return Err(Refusal::Failed(UNHANDLED));
    };
    let mut secret = [0; 16];
    secret[..12].copy_from_slice(&random);
    secret[12..].copy_from_slice(&(worker.random() as u32).to_be_bytes());
    let balancer = &runtime.balancer;
    let sealing = Sealing {
        keys: &balancer.cookie_keys,
        scope: &balancer.source.arn,
        nonce,
    };
    let departure = oidc
        .depart(sealing, &host, url, worker.epoch_seconds(), secret)
        .ok_or(Refusal::Failed(UNHANDLED))?;
    let cookies = format!(
        "Set-Cookie: {NONCE_COOKIE}={}; Path=/; Secure; HttpOnly\r\n",
        departure.nonce
    );
    Ok(Refusal::Redirect {
        location: departure.location,
        cookies: cookies.into_bytes(),
    })
}

fn push_session(
    worker: &Worker,
    runtime: &BalancerRuntime,
    oidc: &Oidc,
    session: &Session,
    cookies: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let expires = http_date(session.since + oidc.session_seconds);
    let balancer = &runtime.balancer;
    let name = &oidc.source.session_cookie_name;
    let nonce = worker.nonce().ok_or(Refusal::Failed(UNHANDLED))?;
    if session.push_cookies(
        cookies,
        &balancer.cookie_keys,
        &balancer.source.arn,
        name,
        &expires,
        nonce,
    ) {
        Ok(())
    } else {
        Err(Refusal::Failed(Failure::new(
            500,
            "AuthUserinfoResponseSizeExceeded",
        )))
    }
}

/// Asks the token endpoint and then the user info endpoint. `before`: the session that is renewed.
async fn log_in(
    worker: &Worker,
    roots: &str,
    oidc: &Oidc,
    form: String,
    before: Option<Session>,
) -> Result<Session, Failure> {
    let now = worker.epoch_seconds();
    let source = &oidc.source;
    let reply = worker
        .idp
        .post(roots, &source.token_endpoint, &oidc.authorization(), &form)
        .await
        .map_err(|error| match error {
            client::Failure::TooLarge => Failure::new(561, "AuthInvalidTokenResponse"),
            _ => Failure::new(500, "AuthTokenEpRequestTimeout"),
        })?;
    let tokens = oidc.tokens(reply.status, &reply.body, before.is_none(), now)?;
    let bearer = format!("Bearer {}", tokens.access_token);
    let reply = worker
        .idp
        .get(roots, &source.user_info_endpoint, &bearer)
        .await
        .map_err(|error| match error {
            client::Failure::TooLarge => Failure::new(500, "AuthUserinfoResponseSizeExceeded"),
            _ => Failure::new(500, "AuthUserinfoEpRequestTimeout"),
        })?;
    let about = before.as_ref().map(|session| session.subject.as_str());
    let (claims, subject) = oidc.user_info(reply.status, &reply.body, tokens.subject.as_deref().or(about))?;
    let session = Session {
        guard: oidc.id,
        since: before.as_ref().map_or(now, |session| session.since),
        subject,
        access_token: tokens.access_token,
        claims,
        refresh_token: tokens
            .refresh_token
            .or(before.and_then(|session| session.refresh_token)),
        renew_at: tokens.expires_in.map(|seconds| now + seconds),
    };
    if session.is_too_large() {
        return Err(Failure::new(500, "AuthUserinfoResponseSizeExceeded"));
    }
    Ok(session)
}
