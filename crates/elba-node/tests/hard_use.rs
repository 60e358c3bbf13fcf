//! Peers that mean harm or know no better, in numbers, while ordinary clients go on being served.

// Clippy sees tests only in `#[test]` functions; here all is test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use elba_core::compile::Serves;
use support::{forward, ok, rule, snapshot, target, Client, Node, Target, LB, LIMIT};

fn node_of(targets: &[&Target]) -> Node {
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    Node::start_as(
        snapshot(&addresses),
        2,
        Serves::Listener {
            load_balancer: LB.into(),
            port: 80,
        },
    )
}

/// Ordinary requests, one after another, until stopped; how many there were and how long the longest took.
struct Ordinary {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<(u32, Duration)>,
}

impl Ordinary {
    fn start(node: &Node, path: &'static str) -> Ordinary {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (stop.clone(), node.address);
        let thread = thread::spawn(move || {
            let (mut count, mut longest) = (0, Duration::ZERO);
            let mut client = Client::new(address);
            while !stopped.load(Ordering::SeqCst) || count < 20 {
                let began = Instant::now();
                if count % 10 == 0 {
                    client = Client::new(address);
                }
                client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
                let response = client.response();
                assert_eq!((response.status, response.text().as_str()), (200, "well"));
                count += 1;
                longest = longest.max(began.elapsed());
            }
            (count, longest)
        });
        Ordinary { stop, thread }
    }

    /// All were answered, none late.
    fn check(self) {
        self.stop.store(true, Ordering::SeqCst);
        let (count, longest) = self.thread.join().unwrap();
        assert!(
            count >= 20 && longest < Duration::from_secs(3),
            "{count} requests, {longest:?}"
        );
    }
}

fn is_quiet(node: &Node) {
    let end = Instant::now() + LIMIT;
    while node.counters.open_connections() > 0 {
        assert!(
            Instant::now() < end,
            "{} connections are left",
            node.counters.open_connections()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Closing it sends a reset.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn slow_clients_hold_nobody_up() {
    let well = Target::saying("well");
    let node = node_of(&[&well]);
    let ordinary = Ordinary::start(&node, "/");
    let mut slow: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(node.address).unwrap())
        .collect();
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for byte in head.iter().take(40) {
        for stream in &mut slow {
            stream.write_all(&[*byte]).unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    }
    // slow as they were, they are served
    for stream in slow.iter_mut().take(20) {
        stream.write_all(&head[40..]).unwrap();
        stream.write_all(b"\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("well"),
            "{answer}"
        );
    }
    drop(slow);
    ordinary.check();
    is_quiet(&node);
}

#[test]
fn heads_without_end_are_refused_and_cost_no_more_than_the_limit() {
    let well = Target::saying("well");
    let node = node_of(&[&well]);
    let ordinary = Ordinary::start(&node, "/");
    let flood: Vec<_> = (0..40)
        .map(|number| {
            let address = node.address;
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_write_timeout(Some(LIMIT)).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n");
                // one endless field, or fields without end
                let part = if number % 2 == 0 {
                    "a".repeat(1000)
                } else {
                    "X-Many: aaaaaaaaaa\r\n".repeat(50)
                };
                if number % 2 == 0 {
                    let _ = stream.write_all(b"X-Long: ");
                }
                let mut sent = 0;
                while sent < 64 << 20 && stream.write_all(part.as_bytes()).is_ok() {
                    sent += part.len();
                }
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                (sent, String::from_utf8_lossy(&answer).into_owned())
            })
        })
        .collect();
    for thread in flood {
        let (sent, answer) = thread.join().unwrap();
        // the answer may be lost in the reset that the flood asks for
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(sent < 64 << 20, "{sent}");
    }
    ordinary.check();
    is_quiet(&node);
}

#[test]
fn half_closed_peers() {
    let well = Target::saying("well");
    // it half-closes its side after an answer that ends with the connection
    let closing = Target::serving(|mut stream, _| {
        let mut seen = [0; 4096];
        while stream.read(&mut seen).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    let mut with_both = snapshot(&[well.address]);
    let mut other = with_both.target_groups[0].clone();
    other.arn = "closing".into();
    other.targets = vec![target(closing.address)];
    with_both.target_groups.push(other);
    let path = |value: &str| elba_core::protocol::Condition {
        field: "path-pattern".into(),
        values: vec![value.into()],
        ..Default::default()
    };
    with_both.load_balancers[0].listeners[0]
        .rules
        .insert(0, rule(1, vec![path("/closing")], forward(&[("closing", 1)])));
    let node = Node::start(with_both);
    for _ in 0..20 {
        // a client that has said all it will ever say counts as one that leaves (460 in AWS's log)
        let mut client = node.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert!(client
            .response_to("GET")
            .is_none_or(|response| response.text() == "well"));
        assert!(client.is_closed());
        let mut client = node.connect();
        client.send("GET /closing HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().text(), "until the end");
        // half a request and the end of it: nobody is owed an answer
        let mut client = node.connect();
        client.send("GET / HTTP/1.1\r\nHo");
        client.stream.shutdown(Shutdown::Write).unwrap();
        let _ = client.head();
    }
    is_quiet(&node);
}

#[test]
fn resets_in_the_middle_of_everything() {
    let well = Target::answering(|request| {
        if request.line.contains("large") {
            ok(&"x".repeat(1 << 20))
        } else {
            ok("well")
        }
    });
    let node = node_of(&[&well]);
    let ordinary = Ordinary::start(&node, "/");
    for round in 0..120 {
        let mut stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        reset(&stream);
        let request: &[u8] = match round % 6 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHo",
            2 => b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n",
            3 => b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nonly so much",
            4 => b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            _ => b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /large HTTP/1.1\r\nHost: h\r\n\r\nGET",
        };
        let _ = stream.write_all(request);
        if round % 4 == 0 {
            let _ = stream.read(&mut [0; 100]);
        }
        drop(stream);
    }
    ordinary.check();
    is_quiet(&node);
    assert_eq!(node.get("/").text(), "well");
}

#[test]
fn targets_of_every_bad_kind() {
    let well = Target::saying("well");
    let serve = |what: &'static [u8], end: &'static str| {
        Target::serving(move |mut stream, _| {
            let mut seen = [0; 65536];
            if stream.read(&mut seen).is_ok_and(|count| count > 0) {
                let _ = stream.write_all(what);
                match end {
                    "reset" => reset(&stream),
                    "stays" => drop(stream.read(&mut seen)),
                    _ => {}
                }
            }
        })
    };
    let kinds: Vec<(&str, Target, &[u16])> = vec![
        ("/garbage", serve(b"\x00\xff\x13garbage\r\n\r\n", "closes"), &[502]),
        ("/nothing", serve(b"", "closes"), &[502]),
        ("/reset", serve(b"HTTP/1.1 20", "reset"), &[502]),
        ("/too-much", serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "stays"), &[200]),
        ("/two-lengths", serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", "stays"), &[502]),
        ("/bad-chunk", serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "stays"), &[200, 502]),
        ("/short", serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "reset"), &[200]),
    ];
    let huge = Target::serving(|mut stream, _| {
        let mut seen = [0; 65536];
        if stream.read(&mut seen).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream
                .write_all(
                    "X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
                        .repeat(100)
                        .as_bytes(),
                )
                .is_ok()
            {}
        }
    });
    let early = Target::serving(|mut stream, _| {
        // it answers before it was asked, each connection
        let _ = stream.write_all(&ok("unasked"));
        let _ = stream.read(&mut [0; 65536]);
        let _ = stream.read(&mut [0; 65536]);
    });
    let mut all = snapshot(&[well.address]);
    let mut add = |path: &str, address: std::net::SocketAddr| {
        let mut group = all.target_groups[0].clone();
        group.arn = path.into();
        group.targets = vec![target(address)];
        all.target_groups.push(group);
        let condition = elba_core::protocol::Condition {
            field: "path-pattern".into(),
            values: vec![path.into()],
            ..Default::default()
        };
        let rules = &mut all.load_balancers[0].listeners[0].rules;
        let priority = rules.len() as u32;
        rules.insert(
            rules.len() - 1,
            rule(priority, vec![condition], forward(&[(path, 1)])),
        );
    };
    for (path, target, _) in &kinds {
        add(path, target.address);
    }
    add("/huge", huge.address);
    add("/early", early.address);
    let node = Node::start(all);
    let ordinary = Ordinary::start(&node, "/");
    for _ in 0..5 {
        for (path, _, statuses) in &kinds {
            let mut client = node.connect();
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            ));
            let response = client
                .response_to("GET")
                .unwrap_or_else(|| panic!("{path}: no answer"));
            assert!(statuses.contains(&response.status), "{path}: {}", response.line);
            assert!(!response.text().contains("poison"), "{path}");
        }
        assert_eq!(node.get("/huge").status, 502);
        let early = node.get("/early");
        assert!(matches!(early.status, 200 | 502), "{}", early.line);
    }
    ordinary.check();
    is_quiet(&node);
}

#[test]
fn ten_rules_are_free() {
    let well = Target::saying("well");
    let mut with_rules = snapshot(&[well.address]);
    let rules = &mut with_rules.load_balancers[0].listeners[0].rules;
    for priority in (1..=13).rev() {
        let condition = elba_core::protocol::Condition {
            field: "path-pattern".into(),
            values: vec![format!("/{priority}")],
            ..Default::default()
        };
        rules.insert(0, rule(priority, vec![condition], forward(&[("tg", 1)])));
    }
    let node = Node::start(with_rules);
    // the tenth, the twelfth, and the default one behind all thirteen
    for path in ["/10", "/12", "/"] {
        assert_eq!(node.get(path).status, 200);
    }
    assert_eq!(node.counted("RuleEvaluations", 5.0), 5.0);
}
