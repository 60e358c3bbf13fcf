//! Requests through real sockets: what targets see, what clients get.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use elba_core::compile::{Health, Serves};
use elba_core::protocol;
use support::*;

#[test]
fn a_request_and_its_answer() {
    let target = Target::saying("hello");
    let node = Node::start(snapshot(&[target.address]));
    let response = node.ask("GET /a?b=c HTTP/1.1\r\nHost: Shop.Example\r\nAccept: */*\r\n\r\n");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.field("connection"), "keep-alive");
    assert!(response.field("date").ends_with(" GMT"));
    let request = target.last();
    assert_eq!(request.line, "GET /a?b=c HTTP/1.1");
    let names: Vec<&str> = request.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "Host",
            "X-Amzn-Trace-Id",
            "Accept"
        ]
    );
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-port"), Some("80"));
    assert_eq!(request.field("host"), Some("shop.example"));
    let trace = request.field("x-amzn-trace-id").unwrap();
    assert!(
        trace.starts_with("Root=1-") && trace.len() == "Root=1-".len() + 8 + 1 + 24,
        "{trace}"
    );
}

#[test]
fn connections_are_used_again_on_both_sides() {
    let target = Target::saying("x");
    let node = Node::start(snapshot(&[target.address]));
    for _ in 0..3 {
        let mut client = node.connect();
        for _ in 0..5 {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().status, 200);
        }
    }
    assert_eq!((target.count(), target.connection_count()), (15, 1));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let target = Target::answering(|request| ok(request.line.split(' ').nth(1).unwrap()));
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    let requests: String = (0..50)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect();
    client.send(requests);
    for number in 0..50 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
}

#[test]
fn http10_clients() {
    let target = Target::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".to_vec()
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.field("transfer-encoding")),
        ("ab", "")
    );
    assert_eq!(response.field("connection"), "close");
    assert_eq!(target.last().field("host"), Some("one-1.us-east-1.elb.localhost"));

    let plain = Target::saying("x");
    let node = Node::start(snapshot(&[plain.address]));
    let mut client = node.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.response().field("connection"), "keep-alive");
    }
}

#[test]
fn round_robin_is_exact_and_only_over_healthy_targets() {
    let targets: Vec<Target> = (0..3).map(|number| Target::saying(&number.to_string())).collect();
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let node = Node::start_as(
        snapshot(&addresses),
        2,
        Serves::Listener {
            load_balancer: LB.into(),
            port: 80,
        },
    );
    for _ in 0..30 {
        assert_eq!(node.get("/").status, 200);
    }
    assert_eq!(
        targets.iter().map(Target::count).collect::<Vec<_>>(),
        [10, 10, 10]
    );
    node.compiled().target_group("tg").unwrap().targets[1]
        .state
        .set_health(Health::Unhealthy);
    for _ in 0..10 {
        assert_eq!(node.get("/").status, 200);
    }
    assert_eq!(
        targets.iter().map(Target::count).collect::<Vec<_>>(),
        [15, 10, 15]
    );
    for target in &node.compiled().target_group("tg").unwrap().targets {
        target.state.set_health(Health::Unhealthy);
    }
    for _ in 0..6 {
        assert_eq!(node.get("/").status, 200);
    }
    assert_eq!(
        targets.iter().map(Target::count).collect::<Vec<_>>(),
        [17, 12, 17]
    );
}

#[test]
fn rules_choose_among_actions() {
    let (one, two) = (Target::saying("one"), Target::saying("two"));
    let mut snapshot = snapshot(&[one.address]);
    snapshot.target_groups.push(protocol::TargetGroup {
        arn: "tg2".into(),
        targets: vec![target(two.address)],
        ..Default::default()
    });
    let path = |pattern: &str| {
        vec![protocol::Condition {
            field: "path-pattern".into(),
            values: vec![pattern.into()],
            ..Default::default()
        }]
    };
    let fixed = protocol::Action {
        kind: "fixed-response".into(),
        fixed_response: Some(protocol::FixedResponse {
            status: 404,
            body: "nothing".into(),
            content_type: "text/plain".into(),
        }),
        ..Default::default()
    };
    let redirect = protocol::Action {
        kind: "redirect".into(),
        redirect: Some(protocol::Redirect {
            protocol: "HTTPS".into(),
            port: "443".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let rules = &mut snapshot.load_balancers[0].listeners[0].rules;
    rules.insert(0, rule(3, path("/two/*"), forward(&[("tg2", 1)])));
    rules.insert(1, rule(4, path("/fixed"), fixed));
    rules.insert(2, rule(5, path("/old*"), redirect));
    rules.insert(3, rule(6, path("/gone"), forward(&[("none", 1)])));
    rules.insert(4, rule(7, path("/zero"), forward(&[("tg", 0), ("tg2", 0)])));
    let node = Node::start(snapshot);
    assert_eq!(
        (node.get("/").text(), node.get("/two/x").text()),
        ("one".into(), "two".into())
    );
    let response = node.get("/fixed");
    assert_eq!((response.status, response.text().as_str()), (404, "nothing"));
    assert_eq!(response.field("content-type"), "text/plain; charset=utf-8");
    assert_eq!(response.field("server"), "awselb/2.0");
    let response = node.get("/old/a?b=c");
    assert_eq!((response.status, response.body.len()), (301, 134));
    assert_eq!(response.field("location"), "https://h:443/old/a?b=c");
    assert_eq!((node.get("/gone").status, node.get("/zero").status), (503, 503));
    assert_eq!(node.counted("HTTPCode_ELB_503_Count", 2.0), 2.0);
}

#[test]
fn weights_split_the_traffic() {
    let (one, two) = (Target::saying("one"), Target::saying("two"));
    let mut snapshot = snapshot(&[one.address]);
    snapshot.target_groups.push(protocol::TargetGroup {
        arn: "tg2".into(),
        targets: vec![target(two.address)],
        ..Default::default()
    });
    snapshot.load_balancers[0].listeners[0].rules[0] = rule(0, vec![], forward(&[("tg", 10), ("tg2", 30)]));
    let node = Node::start(snapshot);
    let mut client = node.connect();
    for _ in 0..2000 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.response();
    }
    // 500 expected; 6 standard deviations are 116
    assert!((384..=616).contains(&one.count()), "{}", one.count());
    assert_eq!(one.count() + two.count(), 2000);
}

#[test]
fn bodies_of_every_size_and_framing_pass_both_ways() {
    // echoes the body in the framing that the path asks for
    let target = Target::answering(|request| {
        let body = &request.body;
        let mut answer = match request.line.split(' ').nth(1).unwrap() {
            "/chunked" => {
                let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                for piece in body.chunks(1777) {
                    out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    out.extend_from_slice(piece);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
                return out;
            }
            "/close" => b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(),
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(),
        };
        answer.extend_from_slice(body);
        answer
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    for size in [
        0, 1, 100, 4095, 4096, 4097, 16_383, 16_384, 16_385, 70_000, 3_000_000,
    ] {
        let body: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
        for path in ["/length", "/chunked", "/close"] {
            for chunked in [false, true] {
                let mut head = format!("POST {path} HTTP/1.1\r\nHost: h\r\n");
                let mut bytes = Vec::new();
                if chunked {
                    head.push_str("Transfer-Encoding: chunked\r\n\r\n");
                    bytes.extend_from_slice(head.as_bytes());
                    for piece in body.chunks(50_000) {
                        bytes.extend_from_slice(format!("{:x};x=y\r\n", piece.len()).as_bytes());
                        bytes.extend_from_slice(piece);
                        bytes.extend_from_slice(b"\r\n");
                    }
                    bytes.extend_from_slice(b"0\r\n\r\n");
                } else {
                    head.push_str(&format!("Content-Length: {size}\r\n\r\n"));
                    bytes.extend_from_slice(head.as_bytes());
                    bytes.extend_from_slice(&body);
                }
                // the target reads all before it answers, so the client may send all before it reads
                client.send(&bytes);
                let response = client.response();
                assert_eq!(response.status, 200, "{size} {path} {chunked}");
                assert!(
                    response.body == body,
                    "{size} {path} {chunked}: {} bytes",
                    response.body.len()
                );
                assert_eq!(target.last().chunked, chunked);
                let is_chunked = response.field("transfer-encoding") == "chunked";
                assert_eq!(is_chunked, path != "/length", "{size} {path}");
            }
        }
    }
}

#[test]
fn responses_without_a_body() {
    let target = Target::answering(|request| {
        match request.line.split(' ').nth(1).unwrap() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n".to_vec(),
        "/interim" => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
    }
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = client.response_to("HEAD").unwrap();
    assert_eq!((response.status, response.field("content-length")), (200, "99"));
    for (path, status) in [("/204", 204), ("/304", 304), ("/interim", 200)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(client.response().status, status);
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn expect_100_continue_is_answered_here() {
    let target = Target::saying("x");
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().unwrap().line, "HTTP/1.1 100 Continue");
    client.send("abc");
    assert_eq!(client.response().status, 200);
    assert_eq!(
        (target.last().field("expect"), target.last().body.as_slice()),
        (None, &b"abc"[..])
    );
}

#[test]
fn an_early_response_reaches_the_client_and_ends_the_connection() {
    let target = Target::serving(|mut stream, _| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Request::read_head(&mut reader);
        stream
            .write_all(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .unwrap();
        std::thread::sleep(Duration::from_millis(50));
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nab");
    let response = client.response();
    assert_eq!(
        (
            response.status,
            response.text().as_str(),
            response.field("connection")
        ),
        (413, "big", "close")
    );
    assert!(client.is_closed());
}

#[test]
fn both_bodies_may_be_under_way_at_once() {
    let target = Target::serving(|mut stream, _| {
        use std::io::Read;
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Request::read_head(&mut reader);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
            .unwrap();
        let mut left = 200_000;
        let mut bytes = [0; 5000];
        while left > 0 {
            let count = reader.read(&mut bytes).unwrap();
            assert!(count > 0);
            stream.write_all(&bytes[..count]).unwrap();
            left -= count;
        }
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    let body: Vec<u8> = (0..200_000u32).map(|at| (at % 253) as u8).collect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body[..10]);
    let mut writer = client.stream.try_clone().unwrap();
    let rest = body[10..].to_vec();
    let sending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        writer.write_all(&rest).unwrap();
    });
    let response = client.response();
    assert!(response.body == body);
    sending.join().unwrap();
}

#[test]
fn refusals() {
    let target = Target::saying("x");
    let node = Node::start(snapshot(&[target.address]));
    let addresses = vec!["1.1.1.1"; 31].join(", ");
    for (request, status, length) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, 122),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400, 122),
        ("GET nonsense HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400, 122),
        ("\u{1}\u{2}\r\n".to_owned(), 400, 122),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405, 122),
        (
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(17_000)),
            414,
            142,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "a".repeat(17_000)),
            400,
            122,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
                format!("A: {}\r\n", "a".repeat(9000)).repeat(8)
            ),
            400,
            122,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {addresses}\r\n\r\n"),
            463,
            0,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            501,
            130,
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505, 152),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            400,
            122,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
            400,
            122,
        ),
    ] {
        let response = node.ask(&request);
        let shown = &request[..request.len().min(80)];
        assert_eq!(
            (response.status, response.body.len()),
            (status, length),
            "{shown:?}"
        );
        assert_eq!(response.field("server"), "awselb/2.0");
    }
    assert_eq!(target.count(), 0);
}

#[test]
fn nothing_is_smuggled() {
    // each of these would give a lenient target a second request
    let target = Target::saying("x");
    let node = Node::start(snapshot(&[target.address]));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    for fields in [
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            smuggled.len() + 5
        ),
        format!("Content-Length: 0\r\nContent_Length: {}\r\n\r\n", smuggled.len()),
        "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n".to_owned(),
        "X: y\rTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "X: y\0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n0\n\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n1 \r\nZ\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut client = node.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}{smuggled}"));
        client.response();
        assert!(client.is_closed(), "{fields:?}");
        assert!(
            target
                .requests
                .lock()
                .unwrap()
                .iter()
                .all(|request| request.line == "POST / HTTP/1.1"),
            "{fields:?}"
        );
    }
}

#[test]
fn desync_modes() {
    let target = Target::saying("x");
    // acceptable, ambiguous, severe: status, and whether the connection stays open
    for (mode, wanted) in [
        ("monitor", [(200, true), (200, true), (200, true)]),
        ("defensive", [(200, true), (200, false), (400, false)]),
        ("strictest", [(400, false), (400, false), (400, false)]),
    ] {
        let node = Node::start(with_attribute(
            snapshot(&[target.address]),
            "routing.http.desync_mitigation_mode",
            mode,
        ));
        let fields = ["A: x\u{1}\r\n", ": x\r\n", "B: x\0\r\n"];
        for (fields, (status, open)) in fields.iter().zip(wanted) {
            let response = node.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
            assert_eq!(response.status, status, "{mode} {fields:?}");
            assert_eq!(
                response.field("connection") == "keep-alive",
                open,
                "{mode} {fields:?}"
            );
        }
        assert_eq!(
            node.counted("DesyncMitigationMode_NonCompliant_Request_Count", 3.0),
            3.0
        );
    }
}

#[test]
fn bad_responses_are_502() {
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b",
    ] {
        let target = Target::answering(move |_| format!("{answer}\u{0}").trim_end_matches('\0').into());
        let node = Node::start(snapshot(&[target.address]));
        let mut client = node.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        if answer.ends_with("A: b") {
            std::thread::sleep(Duration::from_millis(50));
            target.kill();
        }
        assert_eq!(client.response().status, 502, "{answer:?}");
    }
    let large = format!(
        "HTTP/1.1 200 OK\r\nA: {}\r\nContent-Length: 0\r\n\r\n",
        "a".repeat(33_000)
    );
    let target = Target::answering(move |_| large.clone().into_bytes());
    let node = Node::start(snapshot(&[target.address]));
    let response = node.get("/");
    assert_eq!((response.status, response.body.len()), (502, 122));
}

#[test]
fn a_broken_body_is_cut_short() {
    let target = Target::answering(|request| match request.line.split(' ').nth(1).unwrap() {
        "/chunked" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nab".to_vec()
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nab".to_vec(),
    });
    let node = Node::start(snapshot(&[target.address]));
    assert!(node.get("/length").truncated);
    assert!(node.get("/chunked").truncated);
}

#[test]
fn no_targets_is_503() {
    let node = Node::start(snapshot(&[]));
    let mut client = node.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (503, 162));
        assert_eq!(response.field("connection"), "keep-alive");
    }
}

#[test]
fn refused_connections_go_to_another_target_and_only_then_fail() {
    let target = Target::saying("x");
    let node = Node::start(snapshot(&[nobody(), target.address]));
    for _ in 0..10 {
        assert_eq!(
            node.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
                .status,
            200
        );
    }
    let errors: f64 = node
        .counters
        .take()
        .1
        .iter()
        .map(|report| {
            report
                .counters
                .get("TargetConnectionErrorCount")
                .copied()
                .unwrap_or(0.0)
        })
        .sum();
    assert_eq!(
        errors, 1.0,
        "a dead target costs one attempt, then it is avoided for a while"
    );
    let node = Node::start(snapshot(&[nobody()]));
    let response = node.get("/");
    assert_eq!((response.status, response.body.len()), (502, 122));
}

#[test]
fn a_stale_connection_is_not_the_clients_problem() {
    // closes each connection after its second request has come, unanswered
    let target = Target::serving(|mut stream, requests| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        if let Some(request) = Request::read(&mut reader) {
            requests.lock().unwrap().push(request);
            stream.write_all(&ok("x")).unwrap();
            Request::read(&mut reader);
        }
    });
    let node = Node::start(snapshot(&[target.address]));
    for _ in 0..5 {
        assert_eq!(node.get("/").status, 200);
    }
    assert_eq!(target.count(), 5);
    // what must not be sent twice is not
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(node.ask(post).status, 502);
}

#[test]
fn targets_that_die_while_a_request_is_sent_again_lose_nothing() {
    // answers `most` requests of its first connection and none of later ones: as a process whose connections are
    // reset before its port is closed
    let dying = |most: usize| {
        let connections = AtomicUsize::new(0);
        Target::serving(move |mut stream, requests| {
            let is_first = connections.fetch_add(1, SeqCst) == 0;
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            for number in 0.. {
                let Some(request) = Request::read(&mut reader) else {
                    return;
                };
                if !is_first || number == most {
                    return;
                }
                requests.lock().unwrap().push(request);
                stream.write_all(&ok("x")).unwrap();
            }
        })
    };
    let (one, two, three) = (dying(1), dying(9), Target::saying("x"));
    let node = Node::start(snapshot(&[one.address, two.address, three.address]));
    let mut client = node.connect();
    for _ in 0..4 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    assert_eq!((one.count(), two.count(), three.count()), (1, 1, 2));
    // nobody is left
    let alone = dying(1);
    let node = Node::start(snapshot(&[alone.address]));
    assert_eq!((node.get("/").status, node.get("/").status), (200, 502));
}

#[test]
fn killing_a_target_under_load_fails_no_request() {
    let targets: Vec<Target> = (0..3)
        .map(|_| {
            Target::answering(|_| {
                std::thread::sleep(Duration::from_millis(2));
                ok("x")
            })
        })
        .collect();
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let node = Node::start(snapshot(&addresses));
    let address = node.address;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                (0..100)
                    .map(|_| {
                        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                        client.response().status
                    })
                    .filter(|status| *status != 200)
                    .count()
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(60));
    targets[1].kill();
    let failed: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(failed, 0);
    assert!(targets[1].count() > 0);
}

#[test]
fn a_draining_target_gets_no_new_requests_and_is_cut_when_it_leaves() {
    let (slow, other) = (
        Target::answering(|_| {
            std::thread::sleep(Duration::from_millis(800));
            ok("late")
        }),
        Target::saying("other"),
    );
    let mut node = Node::start(snapshot(&[slow.address]));
    let mut waiting = node.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let end = Instant::now() + LIMIT;
    while slow.count() == 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    node.install(|snapshot| {
        snapshot.target_groups[0].targets[0].state = "draining".into();
        snapshot.target_groups[0].targets.push(target(other.address));
    });
    std::thread::sleep(Duration::from_millis(20));
    for _ in 0..4 {
        assert_eq!(node.get("/").text(), "other");
    }
    let began = Instant::now();
    node.install(|snapshot| {
        snapshot.target_groups[0].targets.remove(0);
    });
    assert_eq!(waiting.response().status, 502);
    assert!(
        began.elapsed() < Duration::from_millis(700),
        "cut, not answered late"
    );
}

#[test]
fn a_request_in_flight_outlives_a_change_of_configuration() {
    let target = Target::answering(|_| {
        std::thread::sleep(Duration::from_millis(150));
        ok("late")
    });
    let mut node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    node.install(|snapshot| {
        snapshot.target_groups.clear();
        snapshot.load_balancers.clear();
    });
    assert_eq!(client.response().text(), "late");
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.is_closed());
}

#[test]
fn idle_and_slow_clients() {
    let target = Target::saying("x");
    let node = Node::start(with_attribute(
        snapshot(&[target.address]),
        "idle_timeout.timeout_seconds",
        "1",
    ));
    let began = Instant::now();
    let mut silent = node.connect();
    let mut half_head = node.connect();
    half_head.send("GET / HTTP/1.1\r\nHo");
    let mut half_body = node.connect();
    half_body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    assert!(silent.is_closed());
    for client in [&mut half_head, &mut half_body] {
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (408, 132));
        assert!(client.is_closed());
    }
    assert!(
        (900..3000).contains(&(began.elapsed().as_millis() as u64)),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_silent_target_is_504() {
    let target = Target::answering(|_| {
        std::thread::sleep(Duration::from_millis(2500));
        ok("late")
    });
    let node = Node::start(with_attribute(
        snapshot(&[target.address]),
        "idle_timeout.timeout_seconds",
        "1",
    ));
    let mut client = node.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.body.len()), (504, 132));
    assert_eq!(node.counted("HTTPCode_ELB_504_Count", 1.0), 1.0);
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let target = Target::serving(|stream, requests| {
        let mut reader = std::io::BufReader::new(stream);
        if let Some(request) = Request::read(&mut reader) {
            requests.lock().unwrap().push(request);
            // ends when the node gives the request up
            assert!(Request::read(&mut reader).is_none());
            requests.lock().unwrap().push(Request::default());
        }
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let end = Instant::now() + LIMIT;
    while target.count() == 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    client.stream.shutdown(Shutdown::Both).unwrap();
    while target.count() < 2 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(target.count(), 2);
    assert_eq!(node.counted("HTTPCode_ELB_4XX_Count", 1.0), 1.0);
}

#[test]
fn websockets_become_tunnels() {
    let target = Target::serving(|mut stream, requests| {
        use std::io::Read;
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        requests.lock().unwrap().push(Request::read(&mut reader).unwrap());
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nfirst")
            .unwrap();
        let mut bytes = [0; 1000];
        loop {
            match reader.read(&mut bytes) {
                Ok(count) if count > 0 => stream.write_all(&bytes[..count]).unwrap(),
                _ => return,
            }
        }
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!(
        (
            head.status,
            head.field("upgrade"),
            head.field("sec-websocket-accept")
        ),
        (101, "websocket", "a")
    );
    let request = target.last();
    assert_eq!(
        (request.field("upgrade"), request.field("connection")),
        (Some("websocket"), Some("Upgrade"))
    );
    let mut read = |count: usize| {
        use std::io::Read;
        let mut bytes = vec![0; count];
        client.reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(read(5), "first");
    client.stream.write_all(b"ping").unwrap();
    assert_eq!(read(4), "ping");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.is_closed());
}

#[test]
fn the_front_door_chooses_by_host() {
    let (one, two) = (Target::saying("one"), Target::saying("two"));
    let mut snapshot = snapshot(&[one.address]);
    snapshot.target_groups.push(protocol::TargetGroup {
        arn: "tg2".into(),
        targets: vec![target(two.address)],
        ..Default::default()
    });
    let mut second = snapshot.load_balancers[0].clone();
    second.arn = "two".into();
    second.dns_name = "two-2.us-east-1.elb.localhost".into();
    second.listeners[0].rules = vec![rule(0, vec![], forward(&[("tg2", 1)]))];
    snapshot.load_balancers.push(second);
    let node = Node::start_as(snapshot, 1, Serves::FrontDoor { port: 80 });
    let mut client = node.connect();
    for (host, body) in [
        ("one-1.us-east-1.elb.localhost", "one"),
        ("TWO-2.us-east-1.elb.localhost:80", "two"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().text(), body);
    }
    client.send("GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n");
    assert_eq!(client.response().status, 421);
}

#[test]
fn security_groups_keep_others_out() {
    let target = Target::saying("x");
    let mut snapshot = snapshot(&[target.address]);
    snapshot.load_balancers[0].listeners[0].allowed_sources = Some(vec!["10.0.0.0/8".into()]);
    let mut node = Node::start(snapshot);
    assert!(node.connect().is_closed());
    node.install(|snapshot| {
        snapshot.load_balancers[0].listeners[0].allowed_sources = Some(vec!["127.0.0.0/8".into()])
    });
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(node.get("/").status, 200);
}

#[test]
fn a_drained_node_finishes_what_it_began() {
    let target = Target::answering(|_| {
        std::thread::sleep(Duration::from_millis(200));
        ok("late")
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut idle = node.connect();
    let mut busy = node.connect();
    busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    node.workers().drain(Duration::from_secs(10));
    assert!(idle.is_closed());
    let response = busy.response();
    assert_eq!(
        (response.text().as_str(), response.field("connection")),
        ("late", "close")
    );
    node.stop();
}

#[test]
fn counters_tell_what_happened() {
    let target = Target::saying("hello");
    let node = Node::start(snapshot(&[target.address]));
    {
        let mut client = node.connect();
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            client.response();
        }
        client.send("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.response();
    }
    let end = Instant::now() + LIMIT;
    while node.counters.open_connections() > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (balancers, targets) = node.counters.take();
    let counters = &balancers[0].counters;
    assert_eq!(
        (balancers[0].load_balancer.as_str(), counters["RequestCount"]),
        (LB, 3.0)
    );
    assert_eq!(
        (counters["HTTPCode_ELB_4XX_Count"], counters["NewConnectionCount"]),
        (1.0, 2.0)
    );
    assert!(counters["ProcessedBytes"] > 3.0 * 100.0);
    let report = &targets[0];
    assert_eq!(
        (report.target_group.as_str(), report.counters["RequestCount"]),
        ("tg", 3.0)
    );
    assert_eq!(
        (report.counters["HTTPCode_Target_2XX_Count"], report.outstanding),
        (3.0, 0)
    );
    assert_eq!(report.response_time.count, 3);
    assert!(report.response_time.sum > 0.0 && report.response_time.sum < 3.0);
}

#[test]
fn listener_response_headers_replace_the_targets() {
    let target = Target::answering(|_| {
        b"HTTP/1.1 200 OK\r\nX-Frame-Options: ALLOW\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let mut snapshot = snapshot(&[target.address]);
    let attributes = &mut snapshot.load_balancers[0].listeners[0].attributes;
    attributes.insert(
        "routing.http.response.x_frame_options.header_value".into(),
        "DENY".into(),
    );
    attributes.insert("routing.http.response.server.enabled".into(), "false".into());
    let node = Node::start(snapshot);
    let response = node.get("/");
    assert_eq!(response.field("x-frame-options"), "DENY");
    assert_eq!(
        response
            .names
            .iter()
            .filter(|name| name.eq_ignore_ascii_case("x-frame-options"))
            .count(),
        1
    );
    let response = node.ask("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        (response.field("server"), response.field("x-frame-options")),
        ("", "DENY")
    );
}

#[test]
fn client_keep_alive_ends() {
    let target = Target::saying("x");
    let node = Node::start(with_attribute(
        snapshot(&[target.address]),
        "client_keep_alive.seconds",
        "1",
    ));
    let mut client = node.connect();
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        if client.response().field("connection") == "close" {
            assert!(client.is_closed() && began.elapsed() > Duration::from_millis(700));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the connection was kept");
}

fn sticky(targets: &[&Target], change: impl Fn(&mut protocol::TargetGroup)) -> protocol::Snapshot {
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let mut snapshot = snapshot(&addresses);
    snapshot.load_balancers[0].cookie_keys = vec![protocol::CookieKey {
        id: "1".into(),
        secret: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into(),
    }];
    snapshot.target_groups[0].stickiness_enabled = true;
    change(&mut snapshot.target_groups[0]);
    snapshot
}

/// The first part of every Set-Cookie line that `get` brings, sent with these cookies.
fn cookies_after(node: &Node, cookies: &str) -> (String, Vec<String>) {
    let mut client = node.connect();
    let cookie = if cookies.is_empty() {
        String::new()
    } else {
        format!("Cookie: {cookies}\r\n")
    };
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{cookie}\r\n"));
    let mut raw = Vec::new();
    let mut line = String::new();
    use std::io::BufRead;
    while line != "\r\n" {
        line.clear();
        client.reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("Set-Cookie: ") {
            raw.push(value.trim_end().to_owned());
        }
    }
    let mut body = [0; 1];
    use std::io::Read;
    client.reader.read_exact(&mut body).unwrap();
    ((body[0] as char).to_string(), raw)
}

fn pair(set_cookie: &str) -> String {
    set_cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn duration_cookies_keep_a_client_on_its_target() {
    let targets = [Target::saying("0"), Target::saying("1"), Target::saying("2")];
    let node = Node::start(sticky(&[&targets[0], &targets[1], &targets[2]], |_| {}));
    let (first, cookies) = cookies_after(&node, "");
    assert_eq!(cookies.len(), 2);
    assert!(
        cookies[0].starts_with("AWSALB=") && cookies[0].ends_with(" GMT; Path=/"),
        "{cookies:?}"
    );
    assert!(
        cookies[1].starts_with("AWSALBCORS=") && cookies[1].ends_with("; Path=/; SameSite=None"),
        "{cookies:?}"
    );
    for cookie in [pair(&cookies[0]), pair(&cookies[1])] {
        for _ in 0..4 {
            let (body, again) = cookies_after(&node, &cookie);
            assert_eq!((body.as_str(), again.len()), (first.as_str(), 2));
        }
    }
    assert_eq!(node.counted("NonStickyRequestCount", 1.0), 1.0);
    // the target fails: another one is picked, and remembered
    let index: usize = first.parse().unwrap();
    node.compiled().target_group("tg").unwrap().targets[index]
        .state
        .set_health(Health::Unhealthy);
    let (second, cookies) = cookies_after(&node, &pair(&cookies[0]));
    assert_ne!(second, first);
    node.compiled().target_group("tg").unwrap().targets[index]
        .state
        .set_health(Health::Healthy);
    for _ in 0..4 {
        assert_eq!(cookies_after(&node, &pair(&cookies[0])).0, second);
    }
    assert_eq!(cookies_after(&node, "AWSALB=nonsense").1.len(), 2);
}

#[test]
fn duration_cookies_expire() {
    let targets = [Target::saying("0"), Target::saying("1")];
    let node = Node::start(sticky(&[&targets[0], &targets[1]], |group| {
        group.stickiness_seconds = 1.0
    }));
    let (_, cookies) = cookies_after(&node, "");
    std::thread::sleep(Duration::from_millis(2300));
    let bodies: Vec<String> = (0..4)
        .map(|_| cookies_after(&node, &pair(&cookies[0])).0)
        .collect();
    assert!(
        bodies.iter().any(|body| body == "0") && bodies.iter().any(|body| body == "1"),
        "{bodies:?}"
    );
}

#[test]
fn application_cookies() {
    let saying = |body: &'static str| {
        Target::answering(move |request| {
            let cookie = if request.field("cookie").is_none() {
                "Set-Cookie: app=x\r\n"
            } else {
                ""
            };
            format!("HTTP/1.1 200 OK\r\n{cookie}Content-Length: 1\r\n\r\n{body}").into_bytes()
        })
    };
    let targets = [saying("0"), saying("1")];
    let node = Node::start(sticky(&[&targets[0], &targets[1]], |group| {
        group.stickiness_type = "app_cookie".into();
        group.app_cookie_name = "app".into();
    }));
    let (first, cookies) = cookies_after(&node, "");
    assert_eq!(cookies[0], "app=x");
    assert!(
        cookies[1].starts_with("AWSALBAPP-0=") && cookies.len() == 2,
        "{cookies:?}"
    );
    for _ in 0..4 {
        let (body, again) = cookies_after(&node, &format!("app=y; {}", pair(&cookies[1])));
        assert_eq!((body, again.len()), (first.clone(), 1));
    }
    let (_, removed) = cookies_after(&node, "other=1");
    assert_eq!(removed.len(), 4);
    assert!(
        removed[3].starts_with("AWSALBAPP-3=_remove_; Expires="),
        "{removed:?}"
    );
}

#[test]
fn group_cookies_keep_a_client_in_its_group() {
    let targets = [Target::saying("0"), Target::saying("1")];
    let mut snapshot = sticky(&[&targets[0]], |group| group.stickiness_enabled = false);
    snapshot.target_groups.push(protocol::TargetGroup {
        arn: "tg2".into(),
        targets: vec![target(targets[1].address)],
        ..Default::default()
    });
    let mut action = forward(&[("tg", 1), ("tg2", 1)]);
    action.group_stickiness_seconds = Some(100.0);
    snapshot.load_balancers[0].listeners[0].rules[0] = rule(0, vec![], action);
    let node = Node::start(snapshot);
    let (first, cookies) = cookies_after(&node, "");
    assert!(
        cookies[0].starts_with("AWSALBTG=") && cookies[1].starts_with("AWSALBTGCORS="),
        "{cookies:?}"
    );
    for _ in 0..12 {
        assert_eq!(
            cookies_after(&node, &pair(&cookies[1]).replace("CORS", "")).0,
            first
        );
    }
}

#[test]
fn a_reader_that_does_not_read_holds_the_sender_back() {
    // 64 MB wait for a client that takes nothing: what the node takes in must stay bounded
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = sent.clone();
    let target = Target::serving(move |mut stream, _| {
        Request::read(&mut std::io::BufReader::new(stream.try_clone().unwrap()));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
            .unwrap();
        let block = [7u8; 65536];
        for _ in 0..1024 {
            if stream.write_all(&block).is_err() {
                return;
            }
            counted.fetch_add(block.len(), std::sync::atomic::Ordering::SeqCst);
        }
    });
    let node = Node::start(snapshot(&[target.address]));
    let mut client = node.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut before = usize::MAX;
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        let now = sent.load(std::sync::atomic::Ordering::SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    // socket buffers of the system, and one block here
    assert!(before < 32 << 20, "{before}");
    assert_eq!(
        node.ask("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n").status,
        405,
        "others are served meanwhile"
    );
    let response = client.response();
    assert_eq!(response.body.len(), 64 << 20);
}

#[test]
fn nothing_is_lost_when_an_address_is_given_up() {
    let target = Target::saying("x");
    let node = Node::start(snapshot(&[target.address]));
    let mut clients: Vec<Client> = (0..20).map(|_| node.connect()).collect();
    node.workers().unlisten(1);
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}
