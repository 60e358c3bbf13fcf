//! Many clients at once, targets that misbehave: every answer that comes is the one to its own request.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use elba_core::compile::Serves;
use support::*;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Echoes path and body; now and then slowly, in chunks, closing afterwards, or not at all.
fn moody(seed: u64) -> Target {
    let moods = Arc::new(AtomicU64::new(seed));
    Target::answering(move |request| {
        let mood = moods.fetch_add(1, Ordering::Relaxed);
        let path = request.line.split(' ').nth(1).unwrap();
        let mut body = path.as_bytes().to_vec();
        body.extend_from_slice(&request.body);
        let (mut head, close) = ("HTTP/1.1 200 OK\r\n".to_owned(), mood % 11 == 0);
        if close {
            head.push_str("Connection: close\r\n");
        }
        match mood % 7 {
            0 => std::thread::sleep(Duration::from_millis(2)),
            1 if mood % 3 == 0 => return Vec::new(),
            2 => {
                head.push_str("Transfer-Encoding: chunked\r\n\r\n");
                let mut out = head.into_bytes();
                for piece in body.chunks(17) {
                    out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    out.extend_from_slice(piece);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
                return out;
            }
            _ => {}
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut out = head.into_bytes();
        out.extend_from_slice(&body);
        out
    })
}

fn client(address: std::net::SocketAddr, name: u64) -> (u64, u64) {
    let mut random = Random(name * 7919 + 1);
    let (mut right, mut failed) = (0, 0);
    let mut number = 0;
    while number < 150 {
        let mut client = Client::new(address);
        for _ in 0..=random.below(12) {
            // a burst of pipelined requests, then all of their answers
            let mut wanted = Vec::new();
            let mut bytes = Vec::new();
            for _ in 0..=random.below(4) {
                number += 1;
                let path = format!("/{name}/{number}");
                let body = vec![b'a' + (number % 26) as u8; [0, 3, 700, 20_000][random.below(4) as usize]];
                match random.below(3) {
                    0 => {
                        bytes.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
                    }
                    1 => {
                        let head = format!(
                            "PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        bytes.extend_from_slice(head.as_bytes());
                        bytes.extend_from_slice(&body);
                    }
                    _ => {
                        let head =
                            format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
                        bytes.extend_from_slice(head.as_bytes());
                        for piece in body.chunks(333) {
                            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                            bytes.extend_from_slice(piece);
                            bytes.extend_from_slice(b"\r\n");
                        }
                        bytes.extend_from_slice(b"0\r\n\r\n");
                    }
                }
                let is_get = bytes.ends_with(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
                let mut answer = path.into_bytes();
                if !is_get {
                    answer.extend_from_slice(&body);
                }
                wanted.push(answer);
            }
            if client.stream.write_all(&bytes).is_err() {
                break;
            }
            if random.below(20) == 0 {
                // leaves without waiting
                return (right, failed);
            }
            let mut closed = false;
            for answer in wanted {
                match client.response_to("GET") {
                    Some(response) if response.status == 200 => {
                        assert!(
                            response.body == answer,
                            "{:?}",
                            String::from_utf8_lossy(&answer[..answer.len().min(30)])
                        );
                        right += 1;
                    }
                    Some(response) => {
                        assert_eq!(response.status, 502);
                        failed += 1;
                        closed |= response.field("connection") == "close";
                    }
                    None => closed = true,
                }
                if closed {
                    break;
                }
            }
            if closed {
                break;
            }
        }
    }
    (right, failed)
}

#[test]
fn every_answer_is_to_its_own_request() {
    let targets: Vec<Target> = (0..3).map(|number| moody(number * 5)).collect();
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let serves = Serves::Listener {
        load_balancer: LB.into(),
        port: 80,
    };
    let node = Node::start_as(snapshot(&addresses), 2, serves);
    let address = node.address;
    let clients: Vec<_> = (1..=12)
        .map(|name| std::thread::spawn(move || client(address, name)))
        .collect();
    let (mut right, mut failed) = (0, 0);
    for handle in clients {
        let counts = handle.join().unwrap();
        right += counts.0;
        failed += counts.1;
    }
    assert!(right > 200, "{right} right, {failed} failed");
    // only what may not be sent twice fails, and only when a target closed on it
    assert!(failed < right / 5, "{right} right, {failed} failed");
    let compiled = node.compiled();
    let end = std::time::Instant::now() + LIMIT;
    let outstanding = || -> u32 {
        compiled
            .target_group("tg")
            .unwrap()
            .targets
            .iter()
            .map(|target| target.state.outstanding())
            .sum()
    };
    while outstanding() > 0 && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(outstanding(), 0, "nothing is left counted as in flight");
}
