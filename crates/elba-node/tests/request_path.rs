//! Requests through real sockets: what targets see, what clients get.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::io::Write;
use std::net::Shutdown;
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
