//! Targets and clients that fail, leave or are slow, and changes in the middle of requests.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use support::*;

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
