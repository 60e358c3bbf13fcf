//! Fuzzes the parsers of requests, responses and chunked bodies for as long as it is told, in this process: inputs are
//! mutated, crossed and put together from pieces; one is kept when it is of a kind not seen before (how it is framed,
//! classified, refused), and each is held against all that `tests/parsers` demands. A failure panics, after the input has
//! been written to the corpus' folder.
//!
//!     cargo run --release -p elba-core --example fuzz -- --seconds 600 [--seed N] [--keep]
//!
//! `--keep` writes the smallest input of each kind to `tests/corpus`, which the tests replay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/parsers/mod.rs"]
mod parsers;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parsers::{check_chunks, check_request, check_response, mutated, Random};
use parsers::{CHUNK_PIECES, REQUEST_PIECES, RESPONSE_PIECES};

/// Corpus files of each parser, at most.
const MOST_KEPT: usize = 40;
/// Of an input: all that the parsers know fits in, but for the limits on length, which have tests of their own.
const MOST_BYTES: usize = 1000;
/// Between two looks at the clock.
const BATCH: usize = 1000;

struct Target {
    name: &'static str,
    pieces: &'static [&'static [u8]],
    start: &'static [u8],
    check: fn(&[u8], &mut Random) -> (bool, String),
    /// the smallest input of each kind
    kinds: BTreeMap<String, Vec<u8>>,
    executions: u64,
}

impl Target {
    fn new(
        name: &'static str,
        pieces: &'static [&'static [u8]],
        start: &'static [u8],
        check: fn(&[u8], &mut Random) -> (bool, String),
    ) -> Target {
        let mut target = Target {
            name,
            pieces,
            start,
            check,
            kinds: BTreeMap::new(),
            executions: 0,
        };
        if let Ok(entries) = fs::read_dir(folder(name)) {
            for entry in entries.flatten() {
                let bytes = fs::read(entry.path()).unwrap();
                target.run(bytes, &mut Random(0));
            }
        }
        target
    }

    fn run(&mut self, bytes: Vec<u8>, random: &mut Random) {
        self.executions += 1;
        let checked = catch_unwind(AssertUnwindSafe(|| (self.check)(&bytes, random)));
        let Ok((_, kind)) = checked else {
            let path = folder(self.name).join(format!("failed-{:016x}", random.next()));
            fs::create_dir_all(folder(self.name)).unwrap();
            fs::write(&path, &bytes).unwrap();
            panic!("{} failed; its input is {}", self.name, path.display());
        };
        let known = self.kinds.entry(kind).or_insert_with(|| bytes.clone());
        if bytes.len() < known.len() {
            *known = bytes;
        }
    }

    fn input(&self, random: &mut Random) -> Vec<u8> {
        let pick = |random: &mut Random| {
            let at = random.below(self.kinds.len().max(1));
            self.kinds.values().nth(at).cloned().unwrap_or_default()
        };
        let mut bytes = match random.below(4) {
            0 => return mutated(random, self.pieces, self.start),
            1 => {
                // the beginning of one and the end of another
                let (mut one, other) = (pick(random), pick(random));
                one.truncate(random.below(one.len() + 1));
                one.extend_from_slice(&other[random.below(other.len() + 1)..]);
                one
            }
            _ => pick(random),
        };
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            match random.below(6) {
                0 => bytes.insert(at, random.next() as u8),
                1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => {
                    let piece = random.pick(self.pieces);
                    bytes.splice(at..at, piece.iter().copied());
                }
                4 => {
                    let end = (at + random.below(40)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes.truncate(at.max(4)),
            }
        }
        bytes.truncate(MOST_BYTES);
        bytes
    }

    fn keep(&self) {
        let folder = folder(self.name);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            fs::remove_file(entry.path()).unwrap();
        }
        let mut inputs: Vec<&Vec<u8>> = self.kinds.values().collect();
        inputs.sort_by_key(|bytes| bytes.len());
        // evenly over the sizes, so that it is not the smallest alone
        let step = inputs.len().div_ceil(MOST_KEPT).max(1);
        for (number, bytes) in inputs.into_iter().step_by(step).enumerate() {
            fs::write(folder.join(format!("{number:03}")), bytes).unwrap();
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name)
}

fn main() {
    let (mut seconds, mut seed, mut keeps) = (10, 1, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            arguments
                .next()
                .and_then(|text| text.parse::<u64>().ok())
                .expect("a number")
        };
        match argument.as_str() {
            "--seconds" => seconds = number(),
            "--seed" => seed = number(),
            "--keep" => keeps = true,
            other => panic!("unknown argument {other:?}"),
        }
    }
    let mut random = Random(seed);
    let mut targets = [
        Target::new(
            "request",
            REQUEST_PIECES,
            b"GET / HTTP/1.1\r\nHost: h\r\n",
            |bytes, _| check_request(bytes),
        ),
        Target::new(
            "response",
            RESPONSE_PIECES,
            b"HTTP/1.1 200 OK\r\nServer: x\r\n",
            |bytes, _| check_response(bytes),
        ),
        Target::new("chunked", CHUNK_PIECES, b"5\r\nhello\r\n", check_chunks),
    ];
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        for target in &mut targets {
            for _ in 0..BATCH {
                let bytes = target.input(&mut random);
                target.run(bytes, &mut random);
            }
        }
    }
    for target in &targets {
        println!(
            "{}: {} executions, {} kinds",
            target.name,
            target.executions,
            target.kinds.len()
        );
        if keeps {
            target.keep();
        }
    }
}
