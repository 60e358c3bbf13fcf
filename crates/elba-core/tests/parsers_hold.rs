//! Random and mutated bytes, and those that a fuzzer found worth keeping, into every parser that reads from the network.
//! Seeded: a failure repeats. `cargo run --release -p elba-core --example fuzz` goes on for as long as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test's helpers may panic: that is how it fails

mod parsers;

use parsers::{check_chunks, check_request, check_response, mutated, Random};
use parsers::{CHUNK_PIECES, REQUEST_PIECES, RESPONSE_PIECES};

const ROUNDS: usize = 60_000;

#[test]
fn requests() {
    let mut random = Random(1);
    let mut passed = 0;
    for _ in 0..ROUNDS {
        let bytes = mutated(&mut random, REQUEST_PIECES, b"GET / HTTP/1.1\r\nHost: h\r\n");
        passed += usize::from(check_request(&bytes).0);
    }
    assert!(passed > ROUNDS / 10, "{passed}");
}

#[test]
fn responses() {
    let mut random = Random(2);
    let mut complete = 0;
    for _ in 0..ROUNDS {
        let bytes = mutated(&mut random, RESPONSE_PIECES, b"HTTP/1.1 200 OK\r\nServer: x\r\n");
        complete += usize::from(check_response(&bytes).0);
    }
    assert!(complete > ROUNDS / 10, "{complete}");
}

#[test]
fn chunked_bodies() {
    let mut random = Random(3);
    let mut ended = 0;
    for _ in 0..ROUNDS {
        let bytes = mutated(&mut random, CHUNK_PIECES, b"5\r\nhello\r\n");
        ended += usize::from(check_chunks(&bytes, &mut random).0);
    }
    assert!(ended > ROUNDS / 100, "{ended}");
}

#[test]
fn what_the_fuzzer_kept() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut count = 0;
    for kind in ["request", "response", "chunked"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            match kind {
                "request" => check_request(&bytes),
                "response" => check_response(&bytes),
                _ => check_chunks(&bytes, &mut Random(4)),
            };
            count += 1;
        }
    }
    assert!(count >= 30, "{count}");
}
