//! authenticate-oidc through real sockets, with a provider that does what a test says.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/tls.rs"]
mod support_tls;

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::Engine;
use elba_core::compile::Serves;
use elba_core::protocol;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use support::*;
use support_tls::{certificate, client_config, https};

/// A provider for `localhost` whose access tokens are good for `lifetime` seconds; each is another one.
struct Provider {
    target: Target,
    root: String,
}

impl Provider {
    fn start(lifetime: u64) -> Provider {
        let (certificate, _) = certificate(&["localhost"]);
        let chain = CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(certificate.private_key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let (config, issued) = (Arc::new(config), AtomicU32::new(0));
        let target = Target::serving(move |stream, requests| {
            let port = stream.local_addr().unwrap().port();
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut reader = BufReader::new(StreamOwned::new(session, stream));
            let Some(request) = Request::read(&mut reader) else {
                return;
            };
            requests.lock().unwrap().push(request.clone());
            let form = String::from_utf8(request.body.clone()).unwrap();
            let (status, body) = match request.line.as_str() {
                "POST /token HTTP/1.1" if form.contains("code=bad") => {
                    (400, r#"{"error":"invalid_grant"}"#.into())
                }
                "POST /token HTTP/1.1" => {
                    let number = issued.fetch_add(1, Ordering::SeqCst);
                    let claims = format!(
                        r#"{{"iss":"https://localhost:{port}","aud":"me","sub":"ada","exp":9999999999}}"#
                    );
                    let id_token = format!(
                        "{}.{}.AAAA",
                        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
                        URL_SAFE_NO_PAD.encode(claims)
                    );
                    let body = format!(
                        r#"{{"access_token":"token-{number}","token_type":"Bearer","id_token":"{id_token}",
                            "refresh_token":"again-{number}","expires_in":{lifetime}}}"#
                    );
                    (200, body)
                }
                _ => (200, r#"{"sub":"ada","email":"ada@example.com"}"#.into()),
            };
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = reader.get_mut().write_all(format!("{head}{body}").as_bytes());
        });
        Provider {
            target,
            root: certificate.chain,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.target.address.port())
    }

    fn guard(&self, seconds: f64, on_unauthenticated: &str) -> protocol::Action {
        protocol::Action {
            kind: "authenticate-oidc".into(),
            authenticate: Some(protocol::Authenticate {
                issuer: self.url(),
                authorization_endpoint: format!("{}/authorize", self.url()),
                token_endpoint: format!("{}/token", self.url()),
                user_info_endpoint: format!("{}/me", self.url()),
                client_id: "me".into(),
                client_secret: "secret".into(),
                session_timeout_seconds: seconds,
                on_unauthenticated: on_unauthenticated.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// A node whose listener asks who is there; `/fixed` is answered by the load balancer.
    fn node(&self, target: &Target, seconds: f64, on_unauthenticated: &str) -> Node {
        let mut snapshot = snapshot(&[target.address]);
        let balancer = &mut snapshot.load_balancers[0];
        balancer.trusted_roots = self.root.clone();
        balancer.cookie_keys = vec![protocol::CookieKey {
            id: "1".into(),
            secret: STANDARD.encode([7; 32]),
        }];
        balancer.identity_key = Some(protocol::IdentityKey {
            id: "k".into(),
            private_key: STANDARD.encode(KeyPair::generate().unwrap().serialize_der()),
        });
        let guard = self.guard(seconds, on_unauthenticated);
        let rules = &mut balancer.listeners[0].rules;
        rules[0].actions.insert(0, guard.clone());
        let condition = protocol::Condition {
            field: "path-pattern".into(),
            values: vec!["/fixed".into()],
            ..Default::default()
        };
        let fixed = protocol::Action {
            kind: "fixed-response".into(),
            fixed_response: Some(protocol::FixedResponse {
                status: 200,
                body: "inside".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut rule = rule(1, vec![condition], fixed);
        rule.actions.insert(0, guard);
        rules.insert(0, rule);
        let (own, _) = certificate(&["one.example"]);
        Node::start_as(
            https(snapshot, vec![own]),
            1,
            Serves::Listener {
                load_balancer: LB.into(),
                port: 443,
            },
        )
    }
}

type Line = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(node: &Node) -> Line {
    let name = ServerName::try_from("one.example").unwrap();
    let session = ClientConnection::new(client_config(&["http/1.1"]), name).unwrap();
    let stream = TcpStream::connect(node.address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    BufReader::new(StreamOwned::new(session, stream))
}

/// A browser's cookies.
#[derive(Clone, Default)]
struct Browser(BTreeMap<String, String>);

struct Page {
    status: u16,
    location: String,
}

impl Browser {
    /// One request on this connection; keeps what cookies come.
    fn ask(&mut self, line: &mut Line, path: &str) -> Page {
        let cookies: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: one.example\r\nCookie: {}\r\n\r\n",
            cookies.join("; ")
        );
        line.get_mut().write_all(request.as_bytes()).unwrap();
        let mut answer = Request::read_head(line).unwrap();
        answer.read_body(line).unwrap();
        for (_, cookie) in answer.fields.iter().filter(|(name, _)| name == "Set-Cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => self.0.remove(name),
                value => self.0.insert(name.into(), value.into()),
            };
        }
        Page {
            status: answer.line[9..12].parse().unwrap(),
            location: answer.field("location").unwrap_or_default().into(),
        }
    }

    fn get(&mut self, node: &Node, path: &str) -> Page {
        self.ask(&mut connect(node), path)
    }

    /// The whole way to the provider and back.
    fn log_in(&mut self, node: &Node, code: &str) -> Page {
        let page = self.get(node, "/a?b=c");
        assert_eq!(page.status, 302);
        let (_, rest) = page.location.split_once("state=").unwrap();
        let state = rest.split('&').next().unwrap();
        self.get(node, &format!("/oauth2/idpresponse?code={code}&state={state}"))
    }

    fn is_logged_in(&self) -> bool {
        self.0.contains_key("AWSELBAuthSessionCookie-0")
    }
}

/// Sum of what was reported of ELBAuthLatency.
fn authentications(node: &Node) -> u64 {
    let reports = node.counters.take().0;
    reports
        .iter()
        .map(|report| report.authentication_time.count)
        .sum()
}

#[test]
fn a_login_ends_with_its_session_or_when_its_cookie_goes() {
    let (provider, target) = (Provider::start(3600), Target::saying("hello"));
    let node = provider.node(&target, 2.0, "authenticate");
    let mut browser = Browser::default();
    let page = browser.log_in(&node, "good");
    assert_eq!(
        (page.status, page.location.as_str()),
        (302, "https://one.example/a?b=c")
    );
    assert!(browser.is_logged_in() && browser.0.len() == 1);
    assert_eq!(authentications(&node), 1);
    assert_eq!(browser.get(&node, "/").status, 200);
    assert_eq!(target.last().field("x-amzn-oidc-identity"), Some("ada"));
    let token = provider.target.requests.lock().unwrap()[0].clone();
    let basic = format!("Basic {}", STANDARD.encode("me:secret"));
    assert_eq!(token.field("authorization"), Some(basic.as_str()));
    // logged out: the application took the cookie away
    assert_eq!(Browser::default().get(&node, "/").status, 302);
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(browser.get(&node, "/").status, 302);
    // nobody is turned away who was known once
    let node = provider.node(&target, 2.0, "deny");
    assert_eq!(browser.get(&node, "/").status, 302);
    assert_eq!(Browser::default().get(&node, "/").status, 401);
}

#[test]
fn what_was_renewed_for_one_request_is_of_no_use_to_the_next() {
    let (provider, target) = (Provider::start(0), Target::saying("hello"));
    let node = provider.node(&target, 3600.0, "authenticate");
    let mut browser = Browser::default();
    browser.log_in(&node, "good");
    let mut line = connect(&node);
    let before = browser.0.clone();
    assert_eq!(browser.ask(&mut line, "/").status, 200);
    assert_eq!(target.last().field("x-amzn-oidc-accesstoken"), Some("token-1"));
    assert_ne!(browser.0, before);
    // the same connection, and nobody known on it
    let page = Browser::default().ask(&mut line, "/");
    assert_eq!((page.status, target.count()), (302, 1));
    // an answer of the load balancer's own renews the session just so
    let before = browser.0.clone();
    assert_eq!(browser.ask(&mut line, "/fixed").status, 200);
    assert_ne!(browser.0, before);
    let forms: Vec<String> = provider
        .target
        .requests
        .lock()
        .unwrap()
        .iter()
        .filter(|request| request.line.starts_with("POST"))
        .map(|request| String::from_utf8(request.body.clone()).unwrap())
        .collect();
    assert!(forms[1].contains("refresh_token=again-0") && forms[2].contains("refresh_token=again-1"));
    assert_eq!(node.counted("ELBAuthRefreshTokenSuccess", 2.0), 2.0);
}

#[test]
fn a_code_that_the_provider_refuses_is_561() {
    let (provider, target) = (Provider::start(60), Target::saying("hello"));
    let node = provider.node(&target, 60.0, "authenticate");
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&node, "bad").status, 561);
    assert!(!browser.is_logged_in());
    provider.target.kill();
    assert_eq!(browser.log_in(&node, "good").status, 500);
    assert_eq!(node.counted("ELBAuthError", 1.0), 1.0);
}
