//! TLS listeners through real sockets: which certificate a client gets, what targets see, what is refused.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/tls.rs"]
mod support_tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elba_core::compile::{compile, Serves};
use elba_core::protocol;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind, StreamOwned};
use support::*;
use support_tls::{certificate, client_config, https};

fn start(snapshot: protocol::Snapshot) -> Node {
    Node::start_as(
        snapshot,
        1,
        Serves::Listener {
            load_balancer: LB.into(),
            port: 443,
        },
    )
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(node: &Node, name: &str) -> Tls {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(client_config(&["http/1.1"]), name).unwrap();
    let stream = TcpStream::connect(node.address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    StreamOwned::new(session, stream)
}

fn ask(stream: &mut Tls, request: &[u8]) -> (String, Vec<u8>) {
    stream.write_all(request).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nX-Amzn-Tls-Version: forged\r\n\r\n";

fn presented(node: &Node, name: &str) -> Vec<u8> {
    let mut stream = connect(node, name);
    ask(&mut stream, GET);
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn what_a_target_sees_of_https() {
    let target = Target::saying("hello");
    let (default, _) = certificate(&["one.example"]);
    let snapshot = with_attribute(
        https(snapshot(&[target.address]), vec![default]),
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        "true",
    );
    let node = start(snapshot);
    let mut stream = connect(&node, "one.example");
    for _ in 0..3 {
        let (head, body) = ask(&mut stream, GET);
        assert!(head.starts_with("HTTP/1.1 200") && body == b"hello");
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = target.last();
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-port"), Some("443"));
    assert_eq!(request.field("x-amzn-tls-version"), Some("TLSv1.3"));
    assert_eq!(
        request.field("x-amzn-tls-cipher-suite"),
        Some("TLS_AES_128_GCM_SHA256")
    );
}

#[test]
fn certificates_are_chosen_by_name() {
    let target = Target::saying("x");
    let (default, default_der) = certificate(&["default.example"]);
    let (wild, wild_der) = certificate(&["*.shop.example"]);
    let (next, next_der) = certificate(&["default.example"]);
    let mut node = start(https(snapshot(&[target.address]), vec![default, wild.clone()]));
    assert_eq!(presented(&node, "www.SHOP.example"), wild_der);
    assert_eq!(presented(&node, "a.b.shop.example"), default_der);
    assert_eq!(presented(&node, "default.example"), default_der);
    assert_eq!(presented(&node, "127.0.0.1"), default_der);
    let mut open = connect(&node, "default.example");
    ask(&mut open, GET);
    node.install(|snapshot| snapshot.load_balancers[0].listeners[0].certificates = vec![next, wild]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(presented(&node, "default.example"), next_der);
    assert!(ask(&mut open, GET).0.starts_with("HTTP/1.1 200"));
}

#[test]
fn sessions_are_resumed_and_their_tickets_outlive_a_change_of_certificate() {
    let target = Target::saying("x");
    let (one, _) = certificate(&["one.example"]);
    let (next, _) = certificate(&["one.example"]);
    let mut node = start(https(snapshot(&[target.address]), vec![one]));
    let config = client_config(&["http/1.1"]);
    let handshake = |node: &Node| {
        let name = ServerName::try_from("one.example").unwrap();
        let session = ClientConnection::new(config.clone(), name).unwrap();
        let stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        assert!(ask(&mut stream, GET).0.starts_with("HTTP/1.1 200"));
        stream.conn.handshake_kind().unwrap()
    };
    assert_eq!(handshake(&node), HandshakeKind::Full);
    assert_eq!(handshake(&node), HandshakeKind::Resumed);
    node.install(|snapshot| snapshot.load_balancers[0].listeners[0].certificates = vec![next]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(handshake(&node), HandshakeKind::Resumed);
}

#[test]
fn who_does_not_get_on_with_the_handshake_is_left() {
    let (one, _) = certificate(&["one.example"]);
    let node = start(https(snapshot(&[]), vec![one]));
    let mut silent = node.connect();
    let mut halfway = node.connect();
    // a record that announces more than comes
    halfway.send([22, 3, 1, 1, 0, 1]);
    let began = Instant::now();
    assert!(silent.is_closed() && halfway.is_closed());
    let waited = began.elapsed();
    assert!((9..15).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(node.counted("ClientTLSNegotiationErrorCount", 1.0), 1.0);
}

#[test]
fn large_bodies_pass_both_ways() {
    let target = Target::answering(|request| {
        let mut out = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            request.body.len()
        )
        .into_bytes();
        out.extend_from_slice(&request.body);
        out
    });
    let (default, _) = certificate(&["one.example"]);
    let node = start(https(snapshot(&[target.address]), vec![default]));
    let mut stream = connect(&node, "one.example");
    for size in [1, 4096, 4097, 16_384, 70_000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        request.extend_from_slice(&body);
        assert!(ask(&mut stream, &request).1 == body, "{size}");
    }
}

#[test]
fn plain_http_is_told_where_it_is() {
    let target = Target::saying("x");
    let (default, _) = certificate(&["one.example"]);
    let node = start(https(snapshot(&[target.address]), vec![default]));
    let response = node.get("/");
    assert_eq!(response.status, 400);
    assert!(response
        .text()
        .contains("The plain HTTP request was sent to HTTPS port"));
    assert_eq!(target.count(), 0);
    let mut client = node.connect();
    client.send(b"\x16\x03\x01\x00\x05hello and nothing that is a client hello");
    let mut rest = Vec::new();
    let _ = client.reader.read_to_end(&mut rest);
    assert_eq!(node.counted("ClientTLSNegotiationErrorCount", 1.0), 1.0);
    // nor does one that says nothing keep others out
    let _silent = node.connect();
    assert!(ask(&mut connect(&node, "one.example"), GET)
        .0
        .starts_with("HTTP/1.1 200"));
}

#[test]
fn the_front_door_goes_by_the_name_in_the_hello() {
    let target = Target::saying("x");
    let (one, one_der) = certificate(&["one.example"]);
    let (two, two_der) = certificate(&["two.example"]);
    let mut snapshot = https(snapshot(&[target.address]), vec![one]);
    let mut other = snapshot.load_balancers[0].clone();
    other.arn = "other".into();
    other.dns_name = "two-1.us-east-1.elb.localhost".into();
    other.listeners[0].certificates = vec![two];
    snapshot.load_balancers.push(other);
    let node = Node::start_as(snapshot, 1, Serves::FrontDoor { port: 443 });
    assert_eq!(presented(&node, "one-1.us-east-1.elb.localhost"), one_der);
    assert_eq!(presented(&node, "two.example"), two_der);
    let mut nobody = connect(&node, "three.example");
    assert!(nobody.write_all(GET).is_err() || nobody.read(&mut [0]).is_err());
    assert_eq!(node.get("/").status, 400);
}

#[test]
fn a_handshake_ends_at_the_load_balancer_that_it_began_with() {
    let (first, second) = (Target::saying("first"), Target::saying("second"));
    let (one, _) = certificate(&["one.example"]);
    let (two, two_der) = certificate(&["two.example"]);
    let mut node = Node::start_as(
        https(snapshot(&[first.address]), vec![one]),
        1,
        Serves::FrontDoor { port: 443 },
    );
    let mut stream = connect(&node, "one.example");
    stream.conn.write_tls(&mut stream.sock).unwrap();
    while stream.conn.is_handshaking() {
        assert!(stream.conn.read_tls(&mut stream.sock).unwrap() > 0);
        stream.conn.process_new_packets().unwrap();
    }
    // its last message has not gone; meanwhile another load balancer takes the first place
    node.install(|snapshot| {
        let mut other = snapshot.load_balancers[0].clone();
        other.arn = "other".into();
        other.dns_name = "two-1.us-east-1.elb.localhost".into();
        other.listeners[0].certificates = vec![two];
        other.listeners[0].rules[0].actions = vec![forward(&[("second", 1)])];
        snapshot.load_balancers.insert(0, other);
        snapshot.target_groups.push(protocol::TargetGroup {
            arn: "second".into(),
            targets: vec![target(second.address)],
            ..Default::default()
        });
    });
    assert_eq!(presented(&node, "two.example"), two_der);
    assert_eq!(second.count(), 1);
    assert_eq!(ask(&mut stream, GET).1, b"first");
}

#[test]
fn what_cannot_be_kept_safe_is_not_served() {
    let (default, _) = certificate(&["one.example"]);
    let mut asks = https(snapshot(&[]), vec![default.clone()]);
    asks.load_balancers[0].listeners[0].mutual_tls = Some(protocol::MutualTls {
        mode: "verify".into(),
        ..Default::default()
    });
    let mut mixed = https(snapshot(&[]), vec![default.clone()]);
    mixed.load_balancers[0].listeners[0].certificates[0].private_key = certificate(&["x"]).0.private_key;
    let none = https(snapshot(&[]), vec![]);
    for snapshot in [asks, mixed, none] {
        let compiled = compile(&snapshot, None).unwrap();
        assert_eq!(compiled.problems.len(), 1, "{:?}", compiled.problems);
        assert!(!compiled.problems[0].contains("PRIVATE"));
        assert!(!compiled.load_balancers[0].listeners[0].supported);
    }
    let mut extra = https(snapshot(&[]), vec![default, protocol::Certificate::default()]);
    let compiled = compile(&extra, None).unwrap();
    assert_eq!(compiled.problems.len(), 1);
    assert!(compiled.load_balancers[0].listeners[0].supported);
    extra.load_balancers[0].dns_name = "changed".into();
    let again = compile(&extra, Some(&compiled)).unwrap();
    let tls = |compiled: &elba_core::compile::Compiled| {
        compiled.load_balancers[0].listeners[0].tls.clone().unwrap()
    };
    assert!(Arc::ptr_eq(&tls(&compiled), &tls(&again)));
}
