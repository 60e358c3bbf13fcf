//! Targets that cannot be reached in time: 504 after ten seconds. All wait for real, side by side.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/http2.rs"]
mod support_http2;
#[path = "support/logs.rs"]
mod support_logs;
#[path = "support/tls.rs"]
mod support_tls;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use elba_core::protocol;
use socket2::{Domain, Socket, Type};
use support::*;
use support_http2::{ask, client, of_version, post, run};
use support_logs::*;

/// A listener whose queue is full: what comes is neither accepted nor refused.
struct Unreachable {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Unreachable {
    fn new() -> Unreachable {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue has no end");
        }
        Unreachable {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

fn took_ten_seconds(began: Instant) {
    let took = began.elapsed().as_secs_f64();
    assert!((9.9..18.0).contains(&took), "{took}");
}

fn a_target_that_does_not_accept() {
    let folder = Folder::new("connect-time-out");
    let target = Unreachable::new();
    let mut snapshot = snapshot(&[target.address]);
    snapshot.node.log_directory = folder.0.join("buckets").to_string_lossy().into_owned();
    for (key, value) in [("enabled", "true"), ("bucket", "logs")] {
        snapshot.load_balancers[0]
            .attributes
            .insert(format!("access_logs.s3.{key}"), value.into());
    }
    let mut logged = Logged::start(&folder, snapshot);
    let node = logged.node();
    let began = Instant::now();
    let mut client = node.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    let answer = client.response();
    took_ten_seconds(began);
    assert_eq!(answer.line, "HTTP/1.1 504 Gateway Time-out");
    assert!(answer.text().contains("<h1>504 Gateway Time-out</h1>"));
    let mut sums = std::collections::BTreeMap::new();
    let (balancers, targets) = node.counters.take();
    for counters in balancers
        .iter()
        .map(|one| &one.counters)
        .chain(targets.iter().map(|one| &one.counters))
    {
        for (name, count) in counters {
            *sums.entry(name.clone()).or_insert(0.0) += count;
        }
    }
    assert_eq!(sums.get("HTTPCode_ELB_504_Count"), Some(&1.0), "{sums:?}");
    assert_eq!(sums.get("TargetConnectionErrorCount"), Some(&1.0), "{sums:?}");
    drop(client);
    logged.stop();
    let line = fields(&lines(&published(&folder)[0])[0]);
    assert_eq!(line[4], target.address.to_string());
    assert_eq!(line[5..10], ["-1", "-1", "-1", "504", "-"]);
}

fn another_target_takes_what_one_does_not() {
    let (dead, alive) = (Unreachable::new(), Target::saying("x"));
    let node = Node::start(snapshot(&[dead.address, alive.address]));
    let began = Instant::now();
    // one of them goes to the dead one first
    assert_eq!([node.get("/").status, node.get("/").status], [200, 200]);
    took_ten_seconds(began);
    // which is not asked again so soon
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(node.get("/").status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

fn an_http2_target_that_does_not_accept() {
    let target = Unreachable::new();
    let node = support_http2::start(of_version(snapshot(&[target.address]), "HTTP2"));
    let began = Instant::now();
    run(async {
        let send = client(&node).await;
        let answer = ask(&send, post("/"), b"abc").await.unwrap();
        assert_eq!(answer.status(), 504);
    });
    took_ten_seconds(began);
    assert_eq!(node.counted("HTTPCode_ELB_504_Count", 1.0), 1.0);
}

fn functions_that_cannot_be_reached() {
    let control = Unreachable::new();
    let mut snapshot = snapshot(&[]);
    snapshot.node.functions_url = format!("http://{}/functions/", control.address);
    let group = &mut snapshot.target_groups[0];
    group.target_type = "lambda".into();
    group.targets = vec![protocol::Target {
        id: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
        known_health: "healthy".into(),
        ..Default::default()
    }];
    let node = support_http2::start(snapshot);
    let began = Instant::now();
    run(async {
        let send = client(&node).await;
        let answer = ask(&send, post("/"), b"abc").await.unwrap();
        assert_eq!(answer.status(), 504);
        assert!(answer.text().contains("<h1>504 Gateway Time-out</h1>"));
    });
    took_ten_seconds(began);
    assert_eq!(node.counted("HTTPCode_ELB_504_Count", 1.0), 1.0);
}

#[test]
fn after_ten_seconds() {
    let stories = [
        a_target_that_does_not_accept,
        another_target_takes_what_one_does_not,
        an_http2_target_that_does_not_accept,
        functions_that_cannot_be_reached,
    ];
    std::thread::scope(|scope| {
        stories
            .map(|story| scope.spawn(story))
            .map(|one| one.join().unwrap())
    });
}
