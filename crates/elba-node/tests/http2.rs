//! HTTP/2 through real sockets: clients' streams to targets that speak HTTP/1, HTTP/2 and gRPC.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/http2.rs"]
mod support_http2;
#[path = "support/tls.rs"]
mod support_tls;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use elba_core::protocol;
use h2::Reason;
use http::Request;
use support::*;
use support_http2::*;

#[test]
fn a_stream_is_a_request_to_an_http1_target() {
    let target = Target::answering(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX-Mixed-Case: yes\r\n\r\nhello"
            .to_vec()
    });
    let node = start(snapshot(&[target.address]));
    run(async {
        let send = client(&node).await;
        let request = get("/a?b=c")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers");
        let answer = ask(&send, request, b"").await.unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.parts.headers["x-mixed-case"], "yes");
        assert!(!answer.parts.headers.contains_key("connection"));
        assert!(answer.parts.headers.contains_key("date"));
    });
    let request = target.last();
    assert_eq!(request.line, "GET /a?b=c HTTP/1.1");
    assert_eq!(request.field("host"), Some("one.example"));
    assert_eq!(request.field("cookie"), Some("a=1; b=2"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert!(request.field("x-amzn-trace-id").is_some());
    assert_eq!(request.field("te"), None);
    assert!(request.fields.iter().any(|(name, _)| name == "X-Forwarded-For"));
    assert_eq!(node.counted("NewConnectionCount", 2.0), 2.0);
}

#[test]
fn bodies_pass_both_ways_with_and_without_a_length() {
    let target = Target::answering(|request| {
        let mut out = match request.field("x-answer") {
            Some("chunks") => {
                let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                for chunk in request.body.chunks(10_000) {
                    write!(out, "{:x}\r\n", chunk.len()).unwrap();
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
                return out;
            }
            Some("close") => b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(),
            _ => format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            )
            .into_bytes(),
        };
        out.extend_from_slice(&request.body);
        out
    });
    let node = start(snapshot(&[target.address]));
    run(async {
        let send = client(&node).await;
        for size in [0, 1, 16_384, 70_000, 1_500_000] {
            let body = pattern(size);
            for form in ["length", "chunks", "close"] {
                for stated in [true, false] {
                    let mut request = post("/").header("x-answer", form);
                    if stated {
                        request = request.header("content-length", size);
                    }
                    let answer = ask(&send, request, &body).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    assert!(answer.body == body, "{size} {form} {stated}");
                    assert_eq!(target.last().chunked, !stated && size > 0);
                }
            }
        }
    });
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let gate = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let opened = gate.clone();
    let target = Target::answering(move |request| {
        if request.line.starts_with("GET /slow ") {
            let mut open = gate.0.lock().unwrap();
            while !*open {
                open = gate.1.wait(open).unwrap();
            }
        }
        ok("done")
    });
    let node = start(snapshot(&[target.address]));
    run(async {
        let send = client(&node).await;
        let slow: Vec<_> = (0..20)
            .map(|_| {
                let send = send.clone();
                tokio::task::spawn_local(async move { ask(&send, get("/slow"), b"").await.unwrap().status() })
            })
            .collect();
        for _ in 0..50 {
            assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 200);
        }
        *opened.0.lock().unwrap() = true;
        opened.1.notify_all();
        for one in slow {
            assert_eq!(one.await.unwrap(), 200);
        }
    });
}

#[test]
fn our_own_answers_and_broken_ones() {
    let target = Target::answering(|request| match request.line.as_str() {
        "GET /short HTTP/1.1" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf".to_vec()
        }
        "GET /garbage HTTP/1.1" => b"what?\r\n\r\n".to_vec(),
        "HEAD / HTTP/1.1" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n".to_vec(),
    });
    let mut snapshot = snapshot(&[target.address]);
    let condition = protocol::Condition {
        field: "path-pattern".into(),
        values: vec!["/fixed".into()],
        ..Default::default()
    };
    let fixed = protocol::Action {
        kind: "fixed-response".into(),
        fixed_response: Some(protocol::FixedResponse {
            status: 418,
            body: "short and stout".into(),
            content_type: "text/plain".into(),
        }),
        ..Default::default()
    };
    snapshot.load_balancers[0].listeners[0]
        .rules
        .insert(0, rule(1, vec![condition], fixed));
    let node = start(snapshot);
    run(async {
        let send = client(&node).await;
        let answer = ask(&send, get("/fixed"), b"").await.unwrap();
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (418, "short and stout")
        );
        let answer = ask(&send, get("/garbage"), b"").await.unwrap();
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("<h1>502 Bad Gateway</h1>"));
        assert_eq!(answer.parts.headers["server"], "awselb/2.0");
        let error = ask(&send, get("/short"), b"").await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        let head = Request::head("https://one.example/");
        let answer = ask(&send, head, b"").await.unwrap();
        assert_eq!((answer.status(), answer.body.len()), (200, 0));
        assert_eq!(answer.parts.headers["content-length"], "10");
        let answer = ask(&send, get("/"), b"").await.unwrap();
        assert_eq!((answer.status(), answer.body.len()), (304, 0));
        let trace = Request::builder().method("TRACE").uri("https://one.example/");
        assert_eq!(ask(&send, trace, b"").await.unwrap().status(), 405);
        // what contradicts itself is no request
        let request = post("/")
            .header("content-length", "3")
            .header("content-length", "4");
        assert!(ask(&send, request, b"abc").await.is_err());
        assert_eq!(ask(&send, get("/fixed"), b"").await.unwrap().status(), 418);
    });
}

#[test]
fn a_connection_carries_ten_thousand_requests() {
    let node = start(snapshot(&[]));
    run(async {
        let send = client(&node).await;
        for _ in 0..100 {
            let batch: Vec<_> = (0..100)
                .map(|_| {
                    let send = send.clone();
                    tokio::task::spawn_local(async move { ask(&send, get("/"), b"").await.unwrap().status() })
                })
                .collect();
            for one in batch {
                assert_eq!(one.await.unwrap(), 503);
            }
        }
        assert!(ask(&send, get("/"), b"").await.unwrap_err().is_go_away());
        assert_eq!(
            ask(&client(&node).await, get("/"), b"").await.unwrap().status(),
            503
        );
    });
}

#[test]
fn http2_can_be_turned_off() {
    let node = start(with_attribute(snapshot(&[]), "routing.http2.enabled", "false"));
    run(async {
        assert!(!handshake(node.address, &["h2", "http/1.1"]).await.is_http2());
    });
}

#[test]
fn streams_pass_to_http2_targets_with_trailers() {
    streams_pass("HTTP");
}

#[test]
fn streams_pass_to_http2_targets_under_tls() {
    streams_pass("HTTPS");
}

fn streams_pass(protocol: &str) {
    let target = Http2Target::start();
    let mut snapshot = of_version(snapshot(&[target.address]), "GRPC");
    snapshot.target_groups[0].protocol = protocol.into();
    let node = start(snapshot);
    run(async {
        let send = client(&node).await;
        for size in [1, 100_000, 2_000_000] {
            let body = pattern(size);
            let answer = ask(
                &send,
                post("/p.S/M").header("content-type", "application/grpc"),
                &body,
            )
            .await
            .unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.body == body);
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
            assert_eq!(answer.parts.headers["x-te"], "trailers");
            assert_eq!(answer.parts.headers["x-authority"], "one.example");
            assert_eq!(answer.parts.headers["x-proto"], "https");
        }
        let answer = ask(&send, post("/unimplemented"), b"").await.unwrap();
        assert_eq!(answer.parts.headers["grpc-status"], "12");
        assert!(answer.body.is_empty() && answer.trailers.is_none());
        assert_eq!(ask(&send, post("/reset"), b"x").await.unwrap().status(), 502);
        // more at once than a connection of the target's takes
        let many: Vec<_> = (0..40)
            .map(|_| {
                let send = send.clone();
                tokio::task::spawn_local(async move { ask(&send, post("/"), b"abc").await.unwrap().text() })
            })
            .collect();
        for one in many {
            assert_eq!(one.await.unwrap(), "abc");
        }
    });
    assert_eq!(node.counted("RequestCount", 45.0), 45.0);
}

#[test]
fn both_directions_flow_at_once() {
    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "GRPC"));
    run(async {
        let mut send = client(&node).await.ready().await.unwrap();
        let request = post("/").body(()).unwrap();
        let (answer, mut stream) = send.send_request(request, false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        for round in 0..5 {
            let word = Bytes::from(format!("word {round}"));
            stream.send_data(word.clone(), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), word);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn protocols_that_do_not_go_together() {
    let target = Http2Target::start();
    let h1 = Target::saying("one");
    let node = start(of_version(snapshot(&[target.address]), "GRPC"));
    run(async {
        let send = client(&node).await;
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 464);
        let mut plain = handshake(node.address, &["http/1.1"]).await;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        plain
            .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 12];
        plain.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 464");
    });
    let node = start(of_version(snapshot(&[target.address]), "HTTP2"));
    run(async {
        let answer = ask(&client(&node).await, get("/"), b"").await.unwrap();
        assert_eq!(
            (answer.status(), &answer.parts.headers["x-te"]),
            (200, &"".parse().unwrap())
        );
    });
    let node = start(snapshot(&[h1.address]));
    run(async {
        let send = client(&node).await;
        let call = post("/p.S/M").header("content-type", "application/grpc+proto");
        assert_eq!(ask(&send, call, b"x").await.unwrap().status(), 464);
        assert_eq!(ask(&send, post("/"), b"x").await.unwrap().status(), 200);
    });
}

#[test]
fn a_dead_http2_target_costs_no_request() {
    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[nobody(), target.address]), "HTTP2"));
    run(async {
        let send = client(&node).await;
        for _ in 0..6 {
            assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 200);
        }
    });
    let node = start(of_version(snapshot(&[nobody()]), "HTTP2"));
    run(async {
        let send = client(&node).await;
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 502);
    });
}

#[test]
fn a_client_that_gives_up_takes_its_request_along() {
    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "HTTP2"));
    run(async {
        let send = client(&node).await;
        for _ in 0..200 {
            let mut ready = send.clone().ready().await.unwrap();
            let (answer, mut stream) = ready.send_request(post("/").body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"some"), false).unwrap();
            let _ = answer.await.unwrap();
            stream.send_reset(Reason::CANCEL);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 200);
    });
    let (_, targets) = node.counters.take();
    assert!(
        targets.iter().all(|report| report.outstanding == 0),
        "{targets:?}"
    );
}

/// What a client with an expectation gets: whether it is told to go on, and the answer.
async fn expecting(send: &h2::client::SendRequest<Bytes>, request: http::request::Builder) -> (bool, Answer) {
    let mut send = send.clone().ready().await.unwrap();
    let request = request.header("expect", "100-continue").body(()).unwrap();
    let (mut answer, mut stream) = send.send_request(request, false).unwrap();
    // it sends nothing before it is told to, or has its answer
    let told = std::future::poll_fn(|context| answer.poll_informational(context)).await;
    let told = told.map(Result::unwrap);
    if let Some(interim) = &told {
        assert_eq!(interim.status(), 100);
        assert!(interim.headers().is_empty());
        stream.send_data(Bytes::from_static(b"abc"), true).unwrap();
    }
    (told.is_some(), read_all(answer.await.unwrap()).await.unwrap())
}

#[test]
fn expect_100_continue_is_answered_here() {
    let target = Target::answering(|request| ok(&String::from_utf8_lossy(&request.body)));
    let mut with_rule = snapshot(&[target.address]);
    let fixed = protocol::Action {
        kind: "fixed-response".into(),
        fixed_response: Some(protocol::FixedResponse {
            status: 403,
            ..Default::default()
        }),
        ..Default::default()
    };
    let condition = protocol::Condition {
        field: "path-pattern".into(),
        values: vec!["/no".into()],
        ..Default::default()
    };
    with_rule.load_balancers[0].listeners[0]
        .rules
        .insert(0, rule(1, vec![condition], fixed));
    let node = start(with_rule);
    run(async {
        let send = client(&node).await;
        for request in [post("/").header("content-length", 3), post("/")] {
            let (told, answer) = expecting(&send, request).await;
            assert!(told);
            assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
        }
        // an answer that does not need the body comes at once
        let (told, answer) = expecting(&send, post("/no")).await;
        assert_eq!((told, answer.status()), (false, 403));
    });
    assert_eq!(target.count(), 2);
    assert!(target
        .requests
        .lock()
        .unwrap()
        .iter()
        .all(|one| one.field("expect").is_none()));

    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "HTTP2"));
    run(async {
        let send = client(&node).await;
        let (told, answer) = expecting(&send, post("/")).await;
        assert!(told);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
    });
}

#[test]
fn what_targets_say_before_their_answer_is_left_out() {
    let target = Target::answering(|_| {
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
          HTTP/1.1 199 What\r\nContent-Length: 7\r\n\r\n\
          HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          1\r\nx\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n"
            .to_vec()
    });
    let node = start(snapshot(&[target.address]));
    run(async {
        let send = client(&node).await;
        for _ in 0..2 {
            let answer = without_interim(&send, get("/")).await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "x"));
            assert!(answer.trailers.is_none());
            assert!(!answer.parts.headers.contains_key("link"));
            assert!(!answer.parts.headers.contains_key("trailer"));
        }
    });
    assert_eq!(target.connection_count(), 1, "its connection is used again");

    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "HTTP2"));
    run(async {
        let send = client(&node).await;
        let answer = without_interim(&send, get("/early")).await;
        assert_eq!(answer.status(), 200);
        assert!(!answer.parts.headers.contains_key("link"));
    });
}

async fn without_interim(send: &h2::client::SendRequest<Bytes>, request: http::request::Builder) -> Answer {
    let mut ready = send.clone().ready().await.unwrap();
    let (mut answer, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
    let interim = std::future::poll_fn(|context| answer.poll_informational(context)).await;
    assert!(interim.is_none(), "{interim:?}");
    read_all(answer.await.unwrap()).await.unwrap()
}
