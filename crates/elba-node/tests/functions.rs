//! Functions as targets of HTTP/2 clients: the control plane is a server here that says what a test wants.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/http2.rs"]
mod support_http2;
#[path = "support/tls.rs"]
mod support_tls;

use std::net::SocketAddr;

use elba_core::protocol;
use http::Request as Asked;
use support::*;
use support_http2::{ask, client, get, pattern, post, run};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// The group's target is a function that is invoked at `control`.
fn with_function(control: SocketAddr) -> protocol::Snapshot {
    let mut snapshot = snapshot(&[]);
    snapshot.node.functions_url = format!("http://{control}/functions/");
    snapshot.node.id = "n".into();
    snapshot.node.functions_secret = "hush".into();
    let group = &mut snapshot.target_groups[0];
    group.target_type = "lambda".into();
    group.targets = vec![protocol::Target {
        id: FUNCTION.into(),
        known_health: "healthy".into(),
        ..Default::default()
    }];
    snapshot
}

fn reply(status: u16, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_http2_request_is_an_invocation() {
    let control = Target::answering(|request| {
        let result: &[u8] = if has(&request.body, b" /head HTTP/1.1\r\n") {
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        } else if has(&request.body, b" /throttled HTTP/1.1\r\n") {
            return reply(502, br#"{"reason": "LambdaThrottling", "status": 502}"#);
        } else if has(&request.body, b" /nonsense HTTP/1.1\r\n") {
            b"what?"
        } else {
            b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nX-Mixed-Case: yes\r\nContent-Length: 5\r\n\r\nhello"
        };
        reply(200, result)
    });
    let node = support_http2::start(with_function(control.address));
    run(async {
        let send = client(&node).await;
        // of unknown length, in several frames
        let body = pattern(100_000);
        let request = post("/a?b=c").header("x-own", "1").header("cookie", "a=1");
        let answer = ask(&send, request, &body).await.unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (201, "hello"));
        assert_eq!(answer.parts.headers["x-mixed-case"], "yes");
        assert_eq!(answer.parts.headers["content-length"], "5");
        assert!(!answer.parts.headers.contains_key("connection"));
        let invoked = control.last();
        assert_eq!(
            invoked.line,
            format!("POST /functions/{FUNCTION}/invocations HTTP/1.1")
        );
        assert_eq!(invoked.field("x-elba-secret"), Some("hush"));
        assert!(invoked.body.starts_with(b"POST /a?b=c HTTP/1.1\r\n"));
        assert!(invoked.body.ends_with(&body), "the body comes without chunks");
        for line in [
            &b"\r\nHost: one.example\r\n"[..],
            b"\r\nX-Forwarded-Proto: https\r\n",
            b"\r\nX-Amzn-Trace-Id: Root=1-",
            b"\r\nx-own: 1\r\n",
            b"\r\ncookie: a=1\r\n",
        ] {
            assert!(has(&invoked.body, line), "{}", String::from_utf8_lossy(line));
        }

        let answer = ask(&send, Asked::head("https://one.example/head"), b"")
            .await
            .unwrap();
        assert_eq!((answer.status(), answer.body.len()), (200, 0));
        assert_eq!(answer.parts.headers["content-length"], "5");
        for path in ["/throttled", "/nonsense"] {
            let answer = ask(&send, get(path), b"").await.unwrap();
            assert_eq!(answer.status(), 502);
            assert!(answer.text().contains("<h1>502 Bad Gateway</h1>"));
        }
        // more than a function takes, told beforehand and not
        for stated in [true, false] {
            let large = pattern((1 << 20) + 1);
            let mut request = post("/");
            if stated {
                request = request.header("content-length", large.len());
            }
            let before = control.count();
            let answer = ask(&send, request, &large).await.unwrap();
            assert_eq!(answer.status(), 413, "{stated}");
            assert_eq!(control.count(), before, "it is not invoked");
        }
        // side by side on one connection
        let many: Vec<_> = (0..20)
            .map(|_| {
                let send = send.clone();
                tokio::task::spawn_local(async move { ask(&send, get("/"), b"").await.unwrap().status() })
            })
            .collect();
        for one in many {
            assert_eq!(one.await.unwrap(), 201);
        }
    });
    let (balancers, targets) = node.counters.take();
    let errors = targets
        .iter()
        .filter_map(|one| one.counters.get("LambdaUserError"));
    assert_eq!(
        errors.sum::<f64>(),
        4.0,
        "throttled, nonsense, and twice too large"
    );
    let requests = balancers
        .iter()
        .filter_map(|one| one.counters.get("RequestCount"));
    assert_eq!(requests.sum::<f64>(), 24.0);
}
