//! The connection log through real sockets: attempts that come to nothing before a certificate is looked at.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/logs.rs"]
mod support_logs;
#[path = "support/tls.rs"]
mod support_tls;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use elba_core::compile::compile;
use elba_core::protocol;
use elba_node::access_log::ConnectionRecord;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use support::*;
use support_logs::*;
use support_tls::{certificate, client_config, https};

fn logging(folder: &Folder, targets: &[std::net::SocketAddr]) -> protocol::Snapshot {
    let (one, _) = certificate(&["one.example"]);
    with_connection_log(https(snapshot(targets), vec![one]), folder)
}

/// Whatever comes until the node closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let _ = stream.read_to_end(&mut all);
    all
}

fn get(node: &Node, config: Arc<ClientConfig>) -> String {
    let session = ClientConnection::new(config, ServerName::try_from("one.example").unwrap()).unwrap();
    let stream = TcpStream::connect(node.address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn every_attempt_has_a_line() {
    let folder = Folder::new("attempts");
    let target = Target::saying("x");
    let mut logged = Logged::start(&folder, logging(&folder, &[target.address]));
    let node = logged.node();
    let mut ports = Vec::new();
    let mut connect = || {
        let stream = TcpStream::connect(node.address).unwrap();
        ports.push(stream.local_addr().unwrap().port().to_string());
        stream
    };

    // leaves without a word
    let gone = connect();
    gone.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(gone), b"");
    // leaves within its hello: a record of 512 bytes of which 9 come
    let mut cut = connect();
    cut.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(cut), b"");
    // a handshake message that is no hello
    let mut malformed = connect();
    malformed
        .write_all(b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\xff\xff")
        .unwrap();
    let alert = rest(malformed);
    assert_eq!((alert[0], alert.len()), (21, 7), "a fatal alert: {alert:?}");
    // plain HTTP
    let mut plain = connect();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let page = String::from_utf8(rest(plain)).unwrap();
    assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{page}");
    assert!(page.contains("The plain HTTP request was sent to HTTPS port"));
    let old = ClientConfig::builder_with_provider(client_config(&[]).crypto_provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(support_tls::anybody())
        .with_no_client_auth();
    assert!(get(node, Arc::new(old)).starts_with("HTTP/1.1 200"));
    assert!(get(node, client_config(&[])).starts_with("HTTP/1.1 200"));
    assert_eq!(node.counted("ClientTLSNegotiationErrorCount", 2.0), 2.0);
    assert_eq!(target.count(), 2);
    logged.stop();

    let all = connection_lines(&folder);
    assert_eq!(all.len(), 6, "{all:?}");
    for (line, port) in all.iter().zip(&ports) {
        assert_eq!(line.len(), 15);
        assert_eq!([&line[1], &line[2], &line[3]], ["127.0.0.1", port, "443"]);
        assert_eq!(line[4..10], ["-", "-", "-", "-", "-", "-"], "{line:?}");
        assert_eq!(line[10], "Failed:UnmappedConnectionError");
        assert!(line[11].starts_with("TID_") && line[11].len() == 36);
        assert_eq!(line[12..14], ["-", "app/one/1"]);
    }
    let traces: std::collections::HashSet<&String> = all.iter().map(|line| &line[11]).collect();
    assert_eq!(traces.len(), 6);
    for (line, version) in all[4..].iter().zip(["TLSv1.2", "TLSv1.3"]) {
        assert_eq!(line[4], version);
        assert!(line[6].parse::<f64>().is_ok());
        assert_eq!(line[10], "-", "no certificate was asked for");
        assert_ne!(line[12], "-");
    }
    // none of the failed ones is a request
    let tail = folder.0.join("access");
    assert_eq!(files(&tail), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_burst_of_connections_is_written_down() {
    let folder = Folder::new("burst");
    let snapshot = logging(&folder, &[]);
    let mut logged = Logged::start(&folder, snapshot.clone());
    let compiled = Arc::new(compile(&snapshot, None).unwrap());
    let place = compiled.find_listener(LB, 443).unwrap();
    // the first has the thread write, and pause; the others come meanwhile
    for port in 0..3000 {
        let client = std::net::SocketAddr::from(([192, 0, 2, 1], port));
        let record = ConnectionRecord::plain(compiled.clone(), place, client, Instant::now(), 1);
        logged.sender.send_connection(record);
    }
    logged.stop();
    assert_eq!(connection_lines(&folder).len(), 3000);
}
