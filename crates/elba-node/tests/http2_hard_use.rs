//! HTTP/2 where peers are slow, many, small-minded or mean: one client's doings are not another's trouble.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/frames.rs"]
mod support_frames;
#[path = "support/http2.rs"]
mod support_http2;
#[path = "support/tls.rs"]
mod support_tls;

use std::io::{BufReader, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use support::{ok, snapshot, with_attribute, Node, Target};
use support_frames::*;
use support_http2::*;
use tokio::time::{sleep, timeout};

/// More small frames than a connection of the `h2` crate lets pile up by itself.
const PIECES: usize = 20_000;

#[test]
fn a_target_may_say_much_in_small_words() {
    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "GRPC"));
    run(async {
        let send = client(&node).await;
        let answer = ask(&send, post("/").header("x-pieces", PIECES), b"")
            .await
            .unwrap();
        assert_eq!(answer.body.len(), PIECES * 10);
        assert_eq!(
            &answer.body[answer.body.len() - 10..],
            format!("{:010}", PIECES - 1).as_bytes()
        );
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    });
    assert_eq!(target.connections.load(Ordering::SeqCst), 1);
}

/// Sends `PIECES` pieces of ten bytes, as fast as it may, to a target that reads them late.
async fn say_much(node: &Node, request: http::request::Builder) -> Result<Answer, h2::Error> {
    let mut send = client(node).await.ready().await?;
    let (answer, mut stream) = send.send_request(request.body(()).unwrap(), false)?;
    let upload = async move {
        for number in 0..PIECES {
            send_all(&mut stream, Bytes::from(format!("{number:010}"))).await?;
        }
        stream.send_data(Bytes::new(), true)
    };
    let download = async { read_all(answer.await?).await };
    let (uploaded, downloaded) = tokio::join!(upload, download);
    uploaded.and(downloaded)
}

#[test]
fn a_client_may_say_much_in_small_words() {
    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "GRPC"));
    run(async {
        let answer = say_much(&node, post("/").header("x-wait-ms", 300)).await.unwrap();
        assert_eq!(answer.body.len(), PIECES * 10);
    });
    let old = Target::serving(|mut stream, requests| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = support::Request::read_head(&mut reader).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        request.read_body(&mut reader).unwrap();
        requests.lock().unwrap().push(request);
        stream.write_all(&ok("heard")).unwrap();
    });
    let node = start(snapshot(&[old.address]));
    run(async {
        let answer = say_much(&node, post("/")).await.unwrap();
        assert_eq!(answer.text(), "heard");
    });
    assert_eq!(old.last().body.len(), PIECES * 10);
}

#[test]
fn clients_that_do_not_read_hold_nobody_else_up() {
    let target = Http2Target::taking(100);
    let node = start(of_version(snapshot(&[target.address]), "HTTP2"));
    run(async {
        let mut stalled = Vec::new();
        for round in 0..40 {
            let mut send = client(&node).await.ready().await.unwrap();
            // small words, as they take more room than they say
            let request = match round % 2 {
                0 => post("/").header("x-pieces", 200_000),
                _ => post("/").header("x-bytes", 4_000_000),
            };
            let (answer, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
            let answer = answer.await.unwrap();
            stalled.push((send, answer));
        }
        sleep(Duration::from_millis(500)).await;
        let other = client(&node).await;
        for _ in 0..5 {
            let asked = ask(&other, post("/").header("x-bytes", 300_000), b"");
            let answer = timeout(Duration::from_secs(5), asked)
                .await
                .expect("held up")
                .unwrap();
            assert_eq!(answer.body.len(), 300_000);
        }
        drop(stalled);
    });
    assert_eq!(target.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stream_that_the_target_resets_ends_alone() {
    let target = Http2Target::start();
    let node = start(of_version(snapshot(&[target.address]), "GRPC"));
    run(async {
        let send = client(&node).await;
        for _ in 0..5 {
            assert_eq!(ask(&send, post("/reset"), b"x").await.unwrap().status(), 502);
            assert_eq!(ask(&send, post("/"), b"x").await.unwrap().text(), "x");
        }
    });
    assert_eq!(target.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn connections_of_targets_are_let_go() {
    let target = Http2Target::start();
    let snapshot = with_attribute(snapshot(&[target.address]), "idle_timeout.timeout_seconds", "1");
    let node = start(of_version(snapshot, "HTTP2"));
    run(async {
        let send = client(&node).await;
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 200);
        assert_eq!(ask(&send, get("/never"), b"").await.unwrap().status(), 504);
        // one that has kept silent is not trusted with another request
        let send = client(&node).await;
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 200);
        assert_eq!(target.connections.load(Ordering::SeqCst), 2);
        while target.open.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn heads_beyond_the_limits() {
    let target = Target::saying("hello");
    let node = start(snapshot(&[target.address]));
    run(async {
        let send = client(&node).await;
        let asked = |count: usize, size: usize| {
            let fields = (0..count).fold(get("/"), |request, number| {
                request.header(format!("x-{number}"), "v".repeat(size))
            });
            let send = send.clone();
            async move { ask(&send, fields, b"").await.unwrap() }
        };
        assert_eq!(asked(3, 15_000).await.status(), 200);
        assert_eq!(asked(1, 17_000).await.status(), 400);
        assert_eq!(asked(5, 15_000).await.status(), 400);
        assert_eq!(asked(8, 10_000).await.status(), 400);
        assert_eq!(ask(&send, get("/"), b"").await.unwrap().status(), 200);
        let connect = Request::builder().method("CONNECT").uri("one.example:443");
        assert_eq!(ask(&send, connect, b"").await.unwrap().status(), 405);
        let named = Request::get("https://somebody@one.example/");
        assert_eq!(ask(&send, named, b"").await.unwrap().status(), 400);
    });
    assert_eq!(target.count(), 2);
    assert_eq!(node.counted("HTTPCode_ELB_4XX_Count", 5.0), 5.0);
}

#[test]
fn requests_taken_back_at_once_are_bounded() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let target = Target::saying("well");
    let node = start(snapshot(&[target.address]));
    run(async {
        // so slowly that each is looked at before it is taken back, and so fast that none is
        for (requests, slowly) in [(2_000, true), (2_000, false)] {
            let mut mean = Frames::open(&node).await;
            let mut given = 0;
            while given < requests {
                let mut out = Vec::new();
                push_frame(
                    &mut out,
                    HEADERS,
                    END_HEADERS,
                    2 * given + 1,
                    &block(&request("POST", "/")),
                );
                if slowly {
                    if !mean.send(&out).await {
                        break;
                    }
                    tokio::task::yield_now().await;
                    sleep(Duration::from_millis(1)).await;
                    out.clear();
                }
                push_frame(&mut out, RST_STREAM, 0, 2 * given + 1, &8_u32.to_be_bytes());
                if !mean.send(&out).await {
                    break;
                }
                given += 1;
            }
            assert!(
                given < requests || mean.end().await == Some(ENHANCE_YOUR_CALM),
                "{given}"
            );
        }
        let other = client(&node).await;
        assert_eq!(ask(&other, get("/"), b"").await.unwrap().status(), 200);
    });
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while std::time::Instant::now() < end
        && node.counters.take().1.iter().any(|report| report.outstanding > 0)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (_, targets) = node.counters.take();
    assert!(
        targets.iter().all(|report| report.outstanding == 0),
        "{targets:?}"
    );
}

#[test]
fn a_head_without_an_end_is_bounded() {
    let node = start(snapshot(&[]));
    run(async {
        let mut mean = Frames::open(&node).await;
        let mut out = Vec::new();
        push_frame(&mut out, HEADERS, 0, 1, &block(&request("GET", "/")));
        let mut sent = 0;
        while sent < 50_000_000 && mean.send(&out).await {
            sent += out.len();
            out.clear();
            push_frame(
                &mut out,
                CONTINUATION,
                0,
                1,
                &block(&[field("x", &"y".repeat(16_000))]),
            );
        }
        assert!(sent < 20_000_000, "{sent}");
        let other = client(&node).await;
        assert_eq!(ask(&other, get("/"), b"").await.unwrap().status(), 503);
    });
}
