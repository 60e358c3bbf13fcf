//! The code flow of OpenID Connect as a load balancer goes through it: where a client is sent, what its way back has
//! to prove, what the provider is asked and what may be believed of its answers. Source: alb.md section 5.4.

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::Engine;
use percent_encoding::{percent_decode, utf8_percent_encode, AsciiSet, NON_ALPHANUMERIC};
use ring::aead::NONCE_LEN;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jwt::Token;
use super::{Failure, OnUnauthenticated};
use crate::protocol;
use crate::stickiness::{group_id, CookieKeys};

/// Where providers send clients back to.
pub const CALLBACK_PATH: &[u8] = b"/oauth2/idpresponse";
pub const NONCE_COOKIE: &str = "AWSALBAuthNonce";
/// A login that takes longer: 401.
const MAX_LOGIN_SECONDS: u64 = 15 * 60;
const STATE: &str = "oidc-state";
/// RFC 3986's unreserved characters stay.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const TOKEN_FAILED: Failure = Failure::new(561, "AuthTokenEpRequestFailed");
const BAD_TOKENS: Failure = Failure::new(561, "AuthInvalidTokenResponse");
const BAD_ID_TOKEN: Failure = Failure::new(561, "AuthInvalidIdToken");
const BAD_USER_INFO: Failure = Failure::new(561, "AuthInvalidUserinfoResponse");
const BAD_STATE: Failure = Failure::new(401, "AuthInvalidStateParam");

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// One authenticate action.
#[derive(Debug)]
pub struct Oidc {
    pub source: protocol::Authenticate,
    /// names it inside cookies and states
    pub id: u64,
    /// real seconds
    pub session_seconds: u64,
    pub on_unauthenticated: OnUnauthenticated,
}

/// What a client carries to the provider and back.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    guard: u64,
    since: u64,
    nonce: String,
    /// where it wanted to go
    url: String,
}

/// With what a state is sealed: the load balancer's keys, its ARN, and a nonce that was never used.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    pub keys: &'a CookieKeys,
    pub scope: &'a str,
    pub nonce: [u8; NONCE_LEN],
}

/// A client on its way to the provider.
#[derive(Debug)]
pub struct Departure {
    pub location: String,
    /// for the nonce cookie
    pub nonce: String,
}

/// A client that has come back with a code.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub guard: u64,
    pub code: String,
    pub url: String,
}

/// What the token endpoint gave.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: Option<String>,
    /// seconds that the access token is good for
    pub expires_in: Option<u64>,
    /// `sub` of the ID token
    pub subject: Option<String>,
}

impl Oidc {
    pub(super) fn compile(source: &protocol::Authenticate, scale: f64) -> Result<Oidc, String> {
        let on_unauthenticated = match source.on_unauthenticated.as_str() {
            "authenticate" | "" => OnUnauthenticated::Authenticate,
            "allow" => OnUnauthenticated::Allow,
            "deny" => OnUnauthenticated::Deny,
            other => return Err(format!("OnUnauthenticatedRequest {other:?} is not known")),
        };
        for (what, url) in [
            ("authorization", &source.authorization_endpoint),
            ("token", &source.token_endpoint),
            ("user info", &source.user_info_endpoint),
        ] {
            if !url.starts_with("https://") {
                return Err(format!("its {what} endpoint {url:?} is no https address"));
            }
        }
        let seconds = source.session_timeout_seconds / if scale > 0.0 { scale } else { 1.0 };
        Ok(Oidc {
            id: group_id(&format!(
                "{}\n{}\n{}",
                source.issuer, source.client_id, source.session_cookie_name
            )),
            session_seconds: seconds.max(1.0) as u64,
            on_unauthenticated,
            source: source.clone(),
        })
    }

    /// Sends a client to the provider. `host` is as it asked for it, `url` where it wanted to go. None without a key.
    pub fn depart(
        &self,
        sealing: Sealing,
        host: &str,
        url: String,
        now: u64,
        random: [u8; 16],
    ) -> Option<Departure> {
        let nonce = URL_SAFE_NO_PAD.encode(random);
        let state = State {
            guard: self.id,
            since: now,
            nonce: nonce.clone(),
            url,
        };
        let state = sealing.keys.seal_bytes(
            sealing.scope,
            STATE,
            &serde_json::to_vec(&state).ok()?,
            sealing.nonce,
        )?;
        let source = &self.source;
        let joint = if source.authorization_endpoint.contains('?') {
            '&'
        } else {
            '?'
        };
        let mut location = format!(
            "{}{joint}client_id={}&redirect_uri={}&response_type=code&scope={}&state={}",
            source.authorization_endpoint,
            encoded(&source.client_id),
            encoded(&redirect_uri(host)),
            encoded(&source.scope),
            URL_SAFE_NO_PAD.encode(state),
        );
        for pair in &source.extra_parameters {
            location.push_str(&format!("&{}={}", encoded(&pair.key), encoded(&pair.value)));
        }
        Some(Departure { location, nonce })
    }

    /// What the token endpoint is to be sent, as a form: with the code of an arrival, or with a refresh token.
    pub fn code_form(&self, code: &str, host: &str) -> String {
        format!(
            "grant_type=authorization_code&code={}&redirect_uri={}",
            encoded(code),
            encoded(&redirect_uri(host))
        )
    }

    pub fn refresh_form(&self, refresh_token: &str) -> String {
        format!(
            "grant_type=refresh_token&refresh_token={}",
            encoded(refresh_token)
        )
    }

    /// The Authorization field with which the load balancer proves who it is.
    pub fn authorization(&self) -> String {
        let source = &self.source;
        let pair = format!(
            "{}:{}",
            encoded(&source.client_id),
            encoded(&source.client_secret)
        );
        format!("Basic {}", STANDARD.encode(pair))
    }

    /// What the token endpoint answered. `is_login`: not a renewal, so that there has to be an ID token.
    ///
    /// # Errors
    /// 561 or 401.
    pub fn tokens(&self, status: u16, body: &[u8], is_login: bool, now: u64) -> Result<Tokens, Failure> {
        let answer: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
        if status != 200 {
            let error = answer.as_ref().and_then(|answer| answer.get("error"));
            return Err(match error.and_then(Value::as_str) {
                Some("invalid_grant") => Failure::new(561, "AuthInvalidGrantError"),
                _ => TOKEN_FAILED,
            });
        }
        let answer = answer.ok_or(BAD_TOKENS)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_bearer = text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        let access_token = text("access_token")
            .filter(|token| {
                is_bearer && !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
            })
            .ok_or(BAD_TOKENS)?;
        let subject = match text("id_token") {
            Some(token) => Some(self.subject_of(&token, now)?),
            None if is_login && self.source.scope.split(' ').any(|word| word == "openid") => {
                return Err(Failure::new(401, "AuthInvalidIdToken"));
            }
            None => None,
        };
        Ok(Tokens {
            access_token,
            refresh_token: text("refresh_token"),
            expires_in: answer.get("expires_in").and_then(|seconds| match seconds {
                Value::String(text) => text.parse().ok(),
                other => other.as_u64(),
            }),
            subject,
        })
    }

    /// Whom an ID token is about. It came from the provider itself over TLS: its signature need not be looked at
    /// (OpenID Connect Core 3.1.3.7), what it says has to be.
    fn subject_of(&self, token: &str, now: u64) -> Result<String, Failure> {
        let token = Token::parse(token.as_bytes()).ok_or(BAD_ID_TOKEN)?;
        let claim = |name: &str| token.claims.get(name);
        let audience_fits = match claim("aud") {
            Some(Value::String(one)) => *one == self.source.client_id,
            Some(Value::Array(several)) => several
                .iter()
                .any(|one| one.as_str() == Some(&self.source.client_id)),
            _ => false,
        };
        let is_ours = claim("iss").and_then(Value::as_str) == Some(&self.source.issuer) && audience_fits;
        let lives = claim("exp")
            .and_then(Value::as_f64)
            .is_some_and(|exp| exp > now as f64);
        let subject = claim("sub").and_then(Value::as_str).filter(|_| is_ours && lives);
        subject.map(str::to_owned).ok_or(BAD_ID_TOKEN)
    }

    /// The claims that the user info endpoint answered, and whom they are about.
    ///
    /// # Errors
    /// 561: it is no answer, or one about somebody else.
    pub fn user_info(
        &self,
        status: u16,
        body: &[u8],
        subject: Option<&str>,
    ) -> Result<(String, String), Failure> {
        if status != 200 {
            return Err(Failure::new(561, "AuthUserinfoEpRequestFailed"));
        }
        let claims: Map<String, Value> = serde_json::from_slice(body).map_err(|_| BAD_USER_INFO)?;
        let about = claims.get("sub").and_then(Value::as_str).ok_or(BAD_USER_INFO)?;
        if subject.is_some_and(|subject| subject != about)
            || about.bytes().any(|byte| byte < b' ' || byte == 0x7f)
        {
            return Err(BAD_USER_INFO);
        }
        let about = about.to_owned();
        Ok((Value::Object(claims).to_string(), about))
    }
}

/// Where the provider sends clients of this host back to.
fn redirect_uri(host: &str) -> String {
    format!("https://{host}/oauth2/idpresponse")
}

/// Reads a client's way back: the query of the callback, and its nonce cookie.
///
/// # Errors
/// 401, with AWS's reason.
pub fn arrive(
    keys: &CookieKeys,
    scope: &str,
    query: &[u8],
    nonce: Option<&[u8]>,
    now: u64,
) -> Result<Arrival, Failure> {
    let parameter = |name: &[u8]| {
        query.split(|byte| *byte == b'&').find_map(|pair| {
            let equals = memchr::memchr(b'=', pair)?;
            let plain: Vec<u8> = pair[equals + 1..]
                .iter()
                .map(|byte| if *byte == b'+' { b' ' } else { *byte })
                .collect();
            (&pair[..equals] == name).then(|| percent_decode(&plain).decode_utf8_lossy().into_owned())
        })
    };
    let state = parameter(b"state").ok_or(Failure::new(401, "AuthMissingStateParam"))?;
    let state: State = URL_SAFE_NO_PAD
        .decode(state)
        .ok()
        .and_then(|sealed| keys.open_bytes(scope, STATE, &sealed))
        .and_then(|opened| serde_json::from_slice(&opened).ok())
        .ok_or(BAD_STATE)?;
    match nonce {
        None => return Err(Failure::new(401, "AuthMissingAWSALBAuthNonce")),
        Some(nonce) if nonce != state.nonce.as_bytes() => {
            return Err(Failure::new(401, "AuthInvalidAWSALBAuthNonce"));
        }
        Some(_) => {}
    }
    if now.saturating_sub(state.since) > MAX_LOGIN_SECONDS {
        return Err(BAD_STATE);
    }
    if parameter(b"error").is_some() {
        return Err(Failure::new(401, ""));
    }
    Ok(Arrival {
        guard: state.guard,
        code: parameter(b"code").ok_or(Failure::new(401, "AuthMissingCodeParam"))?,
        url: state.url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc() -> Oidc {
        let source = protocol::Authenticate {
            issuer: "https://idp.example".into(),
            authorization_endpoint: "https://idp.example/authorize".into(),
            token_endpoint: "https://idp.example/token".into(),
            user_info_endpoint: "https://idp.example/me".into(),
            client_id: "the client".into(),
            client_secret: "s:t".into(),
            extra_parameters: vec![protocol::KeyValue {
                key: "prompt".into(),
                value: "log in".into(),
            }],
            ..Default::default()
        };
        Oidc::compile(&source, 60.0).unwrap()
    }

    fn keys() -> CookieKeys {
        let key = protocol::CookieKey {
            id: "1".into(),
            secret: STANDARD.encode([7; 32]),
        };
        CookieKeys::parse(&[key], &mut Vec::new())
    }

    fn state_of(location: &str) -> &str {
        let (_, rest) = location.split_once("state=").unwrap();
        rest.split('&').next().unwrap()
    }

    #[test]
    fn there_and_back() {
        let keys = keys();
        let sealing = Sealing {
            keys: &keys,
            scope: "lb",
            nonce: [2; 12],
        };
        let departure = oidc()
            .depart(
                sealing,
                "a.example:8443",
                "https://a.example/x?y=z".into(),
                1000,
                [1; 16],
            )
            .unwrap();
        assert!(departure.location.starts_with(
            "https://idp.example/authorize?client_id=the%20client&redirect_uri=https%3A%2F%2Fa.example%3A8443%2F\
             oauth2%2Fidpresponse&response_type=code&scope=openid&state="
        ));
        assert!(departure.location.ends_with("&prompt=log%20in"));
        let query = format!("code=a%2Bb+c&state={}", state_of(&departure.location));
        let nonce = Some(departure.nonce.as_bytes());
        let arrival = arrive(&keys, "lb", query.as_bytes(), nonce, 1800).unwrap();
        assert_eq!(
            (arrival.code.as_str(), arrival.url.as_str()),
            ("a+b c", "https://a.example/x?y=z")
        );
        assert_eq!(arrival.guard, oidc().id);
        let reason = |query: &str, nonce: Option<&[u8]>, now: u64| {
            arrive(&keys, "lb", query.as_bytes(), nonce, now)
                .unwrap_err()
                .reason
        };
        assert_eq!(reason(&query, None, 1800), "AuthMissingAWSALBAuthNonce");
        assert_eq!(reason(&query, Some(b"x"), 1800), "AuthInvalidAWSALBAuthNonce");
        assert_eq!(reason(&query, nonce, 1901), "AuthInvalidStateParam");
        assert_eq!(reason("code=x", nonce, 1001), "AuthMissingStateParam");
        assert_eq!(reason("code=x&state=abc", nonce, 1001), "AuthInvalidStateParam");
        let state = format!("state={}", state_of(&departure.location));
        assert_eq!(reason(&state, nonce, 1001), "AuthMissingCodeParam");
        let denied = format!("{state}&error=access_denied");
        assert_eq!(
            arrive(&keys, "lb", denied.as_bytes(), nonce, 1001)
                .unwrap_err()
                .status,
            401
        );
        assert_eq!(
            arrive(&keys, "other", query.as_bytes(), nonce, 1001).unwrap_err(),
            BAD_STATE
        );
    }

    fn id_token(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!(
            "{}.{}.AAAA",
            part(&serde_json::json!({"alg": "RS256"})),
            part(claims)
        )
    }

    #[test]
    fn what_the_token_endpoint_says_is_judged() {
        let oidc = oidc();
        let good = serde_json::json!({"iss": "https://idp.example", "aud": ["the client"], "sub": "me", "exp": 2000});
        let answer = |claims: Option<&Value>| {
            let mut answer =
                serde_json::json!({"access_token": "t", "token_type": "Bearer", "expires_in": 60});
            if let Some(claims) = claims {
                answer["id_token"] = id_token(claims).into();
            }
            oidc.tokens(200, answer.to_string().as_bytes(), true, 1000)
        };
        let tokens = answer(Some(&good)).unwrap();
        assert_eq!(
            (tokens.subject.as_deref(), tokens.expires_in),
            (Some("me"), Some(60))
        );
        assert_eq!(answer(None).unwrap_err().status, 401);
        for (name, value) in [
            ("iss", Value::from("https://other.example")),
            ("aud", "other".into()),
            ("exp", 999.into()),
            ("sub", Value::Null),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert_eq!(answer(Some(&bad)).unwrap_err(), BAD_ID_TOKEN, "{name}");
        }
        assert_eq!(oidc.tokens(200, b"no", true, 1000).unwrap_err(), BAD_TOKENS);
        assert_eq!(oidc.tokens(500, b"no", true, 1000).unwrap_err(), TOKEN_FAILED);
        assert_eq!(
            oidc.tokens(400, br#"{"error":"invalid_grant"}"#, true, 1000)
                .unwrap_err()
                .reason,
            "AuthInvalidGrantError"
        );
    }

    #[test]
    fn user_info_is_about_the_same_user() {
        let oidc = oidc();
        let body = br#"{"sub":"me","email":"me@example.com"}"#;
        assert_eq!(oidc.user_info(200, body, Some("me")).unwrap().1, "me");
        assert_eq!(oidc.user_info(200, body, Some("you")).unwrap_err(), BAD_USER_INFO);
        assert_eq!(oidc.user_info(200, b"{}", None).unwrap_err(), BAD_USER_INFO);
        assert_eq!(oidc.user_info(403, body, None).unwrap_err().status, 561);
    }
}
