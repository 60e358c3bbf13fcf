//! Drawn HTTP/2 requests, most with something in them that means more in HTTP/1: a target that speaks HTTP/1 gets one
//! request for one stream, framed once, with the body that was sent, or nothing.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/frames.rs"]
mod support_frames;
#[path = "support/http2.rs"]
mod support_http2;
#[path = "support/tls.rs"]
mod support_tls;

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use support::{ok, snapshot, Target};
use support_frames::*;
use support_http2::*;

const REQUESTS: u64 = 3_000;
const A_CONNECTION: u64 = 100;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Mostly the first.
    fn seldom<'a>(&mut self, usual: &'a str, from: &[&'a str]) -> &'a str {
        if self.below(16) == 0 {
            self.pick(from)
        } else {
            usual
        }
    }
}

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "OPTIONS",
    "PUT",
    "",
    "G T",
    "post",
    "POST / HTTP/1.1\r\nx:",
    "P\0",
    "CONNECT",
];
const PATHS: &[&str] = &[
    "?a=b",
    "/../x",
    "%0d%0a",
    "#x",
    " HTTP/1.1",
    "\r\n",
    "\n",
    "\0",
    "\t",
    "\u{e9}",
    " HTTP/1.1\r\nHost: h\r\n\r\nGET /smuggled",
];
const AUTHORITIES: &[&str] = &[
    "one.example:443",
    "",
    "a@one.example",
    "h h",
    "one.example\r\nX: y",
    "one.example\0",
    "/",
];
const NAMES: &[&str] = &[
    "x",
    "cookie",
    "content-length",
    "transfer-encoding",
    "Transfer-Encoding",
    "transfer_encoding",
    "content-length ",
    "te",
    "connection",
    "host",
    "expect",
    "upgrade",
    "keep-alive",
    "trailer",
    "proxy-connection",
    "http2-settings",
    "x\r\ntransfer-encoding",
    "x: y\r\ncontent-length",
    "x\n",
    "\0",
    " x",
    "x y",
    "",
    ":path",
    ":method",
    ":x",
];
const VALUES: &[&str] = &[
    "y",
    "",
    "0",
    "5",
    "41",
    "+5",
    "5, 5",
    "18446744073709551616",
    "chunked",
    "gzip, chunked",
    "identity",
    "trailers",
    "close",
    "100-continue",
    "websocket",
    "h2c",
    "a\r\n b",
    "\r",
    "\n",
    "\0",
    "y\r\nTransfer-Encoding: chunked",
    "y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
];
const BODIES: &[&str] = &[
    "",
    "hello",
    "0\r\n\r\n",
    HIDDEN,
    "5\r\nhello\r\n0\r\n\r\n",
    "\r\n",
    "\n\n",
];

/// The frames of a request on a stream, and the body in them.
fn drawn(random: &mut Random, stream: u32, number: u64) -> (Vec<u8>, Vec<u8>) {
    let path = format!("/t{number}{}", random.seldom("", PATHS));
    let mut fields = vec![
        field(":method", random.seldom("POST", METHODS)),
        field(":scheme", random.seldom("https", &["http", "", "https\r\n"])),
        field(":authority", random.seldom("one.example", AUTHORITIES)),
        field(":path", &path),
    ];
    let mut body = Vec::new();
    let mut data = Vec::new();
    for _ in 0..random.below(4) {
        let piece = random.pick(BODIES).as_bytes();
        body.extend_from_slice(piece);
        if random.below(4) == 0 {
            let mut padded = vec![3];
            padded.extend_from_slice(piece);
            padded.extend_from_slice(&[0; 3]);
            push_frame(&mut data, DATA, PADDED, stream, &padded);
        } else {
            push_frame(&mut data, DATA, 0, stream, piece);
        }
    }
    if random.below(2) == 0 {
        fields.push(field("content-length", &body.len().to_string()));
    }
    for _ in 0..random.below(3) {
        let name = random.seldom("x", NAMES);
        fields.push(field(name, random.seldom("y", VALUES)));
    }
    if random.below(32) == 0 {
        let at = random.below(fields.len());
        fields.swap(0, at);
    }
    let mut frames = Vec::new();
    if data.is_empty() && random.below(2) == 0 {
        push_frame(
            &mut frames,
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block(&fields),
        );
        return (frames, body);
    }
    push_frame(&mut frames, HEADERS, END_HEADERS, stream, &block(&fields));
    frames.extend_from_slice(&data);
    if random.below(8) == 0 {
        let trailers = [field(random.seldom("x-sum", NAMES), random.seldom("1", VALUES))];
        push_frame(
            &mut frames,
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block(&trailers),
        );
    } else {
        push_frame(&mut frames, DATA, END_STREAM, stream, &[]);
    }
    (frames, body)
}

/// A request's path and body, and how long it is.
type Taken = (String, Vec<u8>, usize);

/// A request as the strictest reader takes it. None if it has not come whole.
fn taken(bytes: &[u8]) -> Option<Result<Taken, String>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let wrong = |what: &str| Some(Err(format!("{what}: {head:?}")));
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or("").split(' ').collect();
    let &[_, path, "HTTP/1.1"] = &first[..] else {
        return wrong("request line");
    };
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), 0, 0);
    for line in lines {
        if line.contains(['\r', '\n', '\0']) {
            return wrong("control character");
        }
        let Some((name, value)) = line.split_once(": ") else {
            return wrong("field");
        };
        if name.is_empty() || name.contains([' ', '\t', ':']) {
            return wrong("name");
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.parse::<usize>().ok()?),
            "transfer-encoding" if value == "chunked" => codings += 1,
            "host" => hosts += 1,
            "transfer-encoding" | "te" | "trailer" | "expect" | "upgrade" | "keep-alive" => {
                return wrong("hop by hop")
            }
            _ => {}
        }
    }
    if lengths.len() + codings > 1 || hosts != 1 {
        return wrong("framing");
    }
    if let Some(length) = lengths.first() {
        let body = bytes.get(end..end + length)?;
        return Some(Ok((path.to_owned(), body.to_vec(), end + length)));
    }
    let (mut body, mut at) = (Vec::new(), end);
    let mut ended = codings == 0;
    while !ended {
        let line = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[at..at + line]).unwrap_or("?");
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            return wrong("chunk");
        };
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        if bytes.get(at + size..at + size + 2)? != b"\r\n" {
            return wrong("end of a chunk");
        }
        at += size + 2;
        ended = size == 0;
    }
    Some(Ok((path.to_owned(), body, at)))
}

type Heard = Arc<Mutex<(Vec<(String, Vec<u8>)>, Vec<String>)>>;

/// Answers requests that are beyond doubt; notes them, and what is not.
fn strict(heard: Heard) -> Target {
    Target::serving(move |mut stream, _| {
        let (mut bytes, mut block) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut block) {
            bytes.extend_from_slice(&block[..count]);
            while let Some(request) = taken(&bytes) {
                let mut heard = heard.lock().unwrap();
                match request {
                    Ok((path, body, length)) => {
                        heard.0.push((path, body));
                        bytes.drain(..length);
                    }
                    Err(wrong) => return heard.1.push(wrong),
                }
                drop(heard);
                if stream.write_all(&ok("heard")).is_err() {
                    return;
                }
            }
        }
        // the rest never came: it may only be the beginning of what was sent
        if !bytes.is_empty() && !bytes.windows(3).any(|window| window == b" /t") {
            let rest = String::from_utf8_lossy(&bytes).into_owned();
            heard.lock().unwrap().1.push(rest);
        }
    })
}

/// The answer on a stream: its first byte of fields (an indexed :status), or None if there is none.
async fn answer(frames: &mut Frames, stream: u32) -> Option<Option<u8>> {
    let mut status = None;
    loop {
        let frame = frames.next().await?;
        match frame.kind {
            GOAWAY => return None,
            RST_STREAM if frame.stream == stream => return Some(status),
            HEADERS if frame.stream == stream => status = frame.payload.first().copied(),
            _ => {}
        }
        if frame.stream == stream && matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM > 0 {
            return Some(status);
        }
    }
}

#[test]
fn one_stream_is_one_request_or_none() {
    /// 200, in HPACK's table
    const OK: u8 = 0x88;
    let heard = Heard::default();
    let target = strict(heard.clone());
    let node = start(snapshot(&[target.address]));
    let mut random = Random(0x5eed_2026);
    let (mut sent, mut served) = (Vec::new(), Vec::new());
    run(async {
        let mut frames = Frames::open(&node).await;
        let mut on_it = 0;
        for number in 0..REQUESTS {
            if on_it == A_CONNECTION {
                frames = Frames::open(&node).await;
                on_it = 0;
            }
            let stream = on_it as u32 * 2 + 1;
            let (bytes, body) = drawn(&mut random, stream, number);
            sent.push(body);
            on_it += 1;
            let answered = frames.send(&bytes).await;
            let status = if answered {
                answer(&mut frames, stream).await
            } else {
                None
            };
            if status.is_none() {
                on_it = A_CONNECTION;
            }
            served.push(status == Some(Some(OK)));
        }
    });
    node.stop();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.1, Vec::<String>::new());
    let mut times = vec![0; sent.len()];
    for (path, body) in &heard.0 {
        let digits: String = path
            .strip_prefix("/t")
            .unwrap()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let number: usize = digits.parse().unwrap();
        // one whose frames contradict its length is whole, by its length, before that shows
        let whole = if served[number] {
            body == &sent[number]
        } else {
            sent[number].starts_with(body)
        };
        assert!(whole, "{path}: {body:?}");
        times[number] += 1;
    }
    for (number, was_served) in served.iter().enumerate() {
        assert!(
            times[number] <= 1 && (times[number] == 1 || !was_served),
            "{number}: {}",
            times[number]
        );
    }
    let served = served.iter().filter(|served| **served).count();
    assert!((1_000..2_900).contains(&served), "{served}");
}
