//! TLS to targets through real sockets: any certificate will do, connections and sessions are used again, and what
//! fails counts as a negotiation that failed.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elba_core::protocol;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use support::*;

/// A server's side with a certificate of its own that expired long ago.
fn expired(versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let made = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(made.der().to_vec())], key)
        .unwrap();
    Arc::new(config)
}

type Handshakes = Arc<Mutex<Vec<(Option<HandshakeKind>, Option<String>)>>>;

/// Answers each request under TLS; says farewell after `most` requests on a connection.
fn target_under_tls(config: Arc<ServerConfig>, most: usize) -> (Target, Handshakes) {
    let handshakes = Handshakes::default();
    let seen = handshakes.clone();
    let target = Target::serving(move |stream, requests| {
        stream.set_nodelay(true).unwrap();
        let session = ServerConnection::new(config.clone()).unwrap();
        let mut reader = BufReader::new(StreamOwned::new(session, stream));
        for count in 1.. {
            let Some(request) = Request::read(&mut reader) else {
                break;
            };
            let stream = reader.get_mut();
            if count == 1 {
                let name = stream.conn.server_name().map(str::to_owned);
                seen.lock().unwrap().push((stream.conn.handshake_kind(), name));
            }
            requests.lock().unwrap().push(request);
            stream.write_all(&ok("under tls")).unwrap();
            if count == most {
                break;
            }
        }
        let stream = reader.get_mut();
        stream.conn.send_close_notify();
        while stream.conn.wants_write() && stream.conn.write_tls(&mut stream.sock).is_ok() {}
        // the socket itself stays open for a while: only the farewell says that it is over
        std::thread::sleep(Duration::from_millis(if most == usize::MAX { 0 } else { 500 }));
    });
    (target, handshakes)
}

fn secured(targets: &[SocketAddr]) -> protocol::Snapshot {
    let mut snapshot = snapshot(targets);
    snapshot.target_groups[0].protocol = "HTTPS".into();
    snapshot
}

const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn connections_and_sessions_are_used_again() {
    for version in [&TLS12, &TLS13] {
        let (target, handshakes) = target_under_tls(expired(&[version]), usize::MAX);
        let mut snapshot = secured(&[target.address]);
        if version.version == TLS13.version {
            // the policy of a TLS 1.3 listener; its own TLS is not what this is about
            snapshot.load_balancers[0].listeners[0].ssl_policy = "ELBSecurityPolicy-TLS13-1-2-2021-06".into();
        }
        let node = Node::start(snapshot);
        for _ in 0..3 {
            let response = node.get("/");
            assert_eq!((response.status, response.text().as_str()), (200, "under tls"));
            assert_eq!(node.ask(POST).status, 200);
        }
        assert_eq!(target.connection_count(), 1, "{version:?}");
        assert_eq!(target.last().body, b"abc");
        // two at a time need a second connection
        let (mut one, mut two) = (node.connect(), node.connect());
        one.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
        two.send(POST);
        assert_eq!(two.response().status, 200);
        one.send("bc");
        assert_eq!(one.response().status, 200);
        let handshakes = handshakes.lock().unwrap().clone();
        assert_eq!(
            handshakes,
            vec![
                (Some(HandshakeKind::Full), None),
                (Some(HandshakeKind::Resumed), None)
            ],
            "{version:?}"
        );
    }
}

#[test]
fn a_farewell_ends_the_use_of_a_connection() {
    let (target, _) = target_under_tls(expired(&[&TLS12]), 1);
    let node = Node::start(secured(&[target.address]));
    for round in 0..4 {
        // not to be sent twice: each has to find a connection that is still good
        assert_eq!(node.ask(POST).status, 200, "{round}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(target.count(), 4);
    assert_eq!(target.connection_count(), 4);
}

#[test]
fn large_bodies_pass_both_ways() {
    let config = expired(&[&TLS12]);
    let target = Target::serving(move |stream, requests| {
        let session = ServerConnection::new(config.clone()).unwrap();
        let mut reader = BufReader::new(StreamOwned::new(session, stream));
        while let Some(request) = Request::read(&mut reader) {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            );
            let mut answer = head.into_bytes();
            answer.extend_from_slice(&request.body);
            requests.lock().unwrap().push(request);
            reader.get_mut().write_all(&answer).unwrap();
        }
    });
    let node = Node::start(secured(&[target.address]));
    let mut client = node.connect();
    for size in [1, 16_384, 70_000, 3_000_000_usize] {
        let body: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
        let mut sending = client.stream.try_clone().unwrap();
        let sent = body.clone();
        let sender = std::thread::spawn(move || {
            sending.write_all(head.as_bytes()).unwrap();
            sending.write_all(&sent).unwrap();
        });
        let response = client.response();
        sender.join().unwrap();
        assert!(response.status == 200 && response.body == body, "{size}");
    }
    assert_eq!(target.connection_count(), 1);
}

/// The target's counter `metric`, once it is there.
fn target_counted(node: &Node, metric: &str) -> f64 {
    let end = std::time::Instant::now() + LIMIT;
    while std::time::Instant::now() < end {
        for report in node.counters.take().1 {
            if let Some(count) = report.counters.get(metric) {
                assert_eq!(report.counters.get("RequestCount"), Some(&1.0));
                return *count;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    0.0
}

#[test]
fn a_target_that_speaks_no_tls() {
    let target = Target::serving(|mut stream, _| {
        let _ = stream.read(&mut [0; 16]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let node = Node::start(secured(&[target.address]));
    let response = node.get("/");
    assert_eq!(response.status, 502);
    assert_eq!(target_counted(&node, "TargetTLSNegotiationErrorCount"), 1.0);
    // another one takes the request
    let (good, _) = target_under_tls(expired(&[&TLS12]), usize::MAX);
    let node = Node::start(secured(&[target.address, good.address]));
    for _ in 0..4 {
        assert_eq!(node.get("/").status, 200);
    }
}

#[test]
fn a_target_that_is_not_there_is_no_negotiation_error() {
    let node = Node::start(secured(&[nobody()]));
    assert_eq!(node.get("/").status, 502);
    assert_eq!(target_counted(&node, "TargetConnectionErrorCount"), 1.0);
}

#[test]
fn handshakes_end_after_ten_seconds() {
    let target = Target::serving(|mut stream, _| {
        // hears the client hello out and says nothing
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let node = Node::start(secured(&[target.address]));
    let began = std::time::Instant::now();
    assert_eq!(node.get("/").status, 504);
    let lasted = began.elapsed().as_secs_f64();
    assert!((9.5..14.0).contains(&lasted), "{lasted}");
    assert_eq!(target_counted(&node, "TargetTLSNegotiationErrorCount"), 1.0);
}

#[test]
fn nothing_secured_is_spoken_in_the_clear() {
    let target = Target::serving(|mut stream: TcpStream, requests| {
        let mut first = [0; 1];
        let _ = stream.read_exact(&mut first);
        requests.lock().unwrap().push(Request {
            body: first.to_vec(),
            ..Default::default()
        });
    });
    let node = Node::start(secured(&[target.address]));
    assert_eq!(node.get("/").status, 502);
    assert_eq!(target.last().body, [22]);
}
