//! What must hold of every parser that reads from the network, whatever comes: no panic, whatever the cut the same
//! result, and nothing passed on that a strict reader takes for something else. Used by the tests and by the fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used)] // that is how a check fails
#![allow(dead_code)] // each of the two uses its part

use elba_core::forwarded::{
    push_request_head, push_response_head, RequestContext, ResponseContext, TraceSeed, XffMode,
};
use elba_core::http1::chunked::{ChunkedReader, Piece};
use elba_core::http1::request::{Refused, RequestHead};
use elba_core::http1::response::ResponseHead;
use elba_core::http1::{head_may_have_ended, Framing};

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

pub const REQUEST_PIECES: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"/",
    b"/a?b=c",
    b"*",
    b"http://h/x",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 6\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"transfer_encoding: chunked\r\n",
    b"Connection: close, x-a\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"X-A: b\r\n",
    b" folded\r\n",
    b"\xc5\xbf",
    b"X_y: \x01\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Forwarded-For: 1.1.1.1\r\n",
    b"X-Amzn-Trace-Id: Root=1-a\r\n",
];

pub const RESPONSE_PIECES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 ",
    b"304",
    b" x\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, x-a\r\n",
    b"Set-Cookie: a=b\r\n",
    b"X-A: b\r\n",
    b" folded\r\n",
    b"Date: x\r\n",
    b"\xff",
];

pub const CHUNK_PIECES: &[&[u8]] = &[
    b"0\r\n",
    b"5\r\nhello\r\n",
    b"\r\n",
    b"1",
    b"a",
    b"F",
    b";x=y",
    b"\r",
    b"\n",
    b"X: y\r\n",
    b"\0",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b" ",
];

/// A message of random pieces, then a few bytes of it changed, dropped or doubled.
pub fn mutated(random: &mut Random, pieces: &[&[u8]], start: &[u8]) -> Vec<u8> {
    let mut bytes = if random.below(3) > 0 {
        start.to_vec()
    } else {
        Vec::new()
    };
    for _ in 0..random.below(12) {
        bytes.extend_from_slice(random.pick(pieces));
    }
    if random.below(2) == 0 {
        bytes.extend_from_slice(b"\r\n\r\n");
    }
    for _ in 0..random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = random.next() as u8,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at]),
        }
    }
    bytes
}

/// Feeds byte by byte as the node does: looks again when the head may have ended, and at every doubling for limits.
fn request_by_bytes(bytes: &[u8], head: &mut RequestHead) -> Result<Option<usize>, Refused> {
    let mut look_at = 0;
    for end in 1..=bytes.len() {
        if end >= look_at || end == bytes.len() || head_may_have_ended(&bytes[..end], end - 1) {
            let result = head.parse(&bytes[..end]);
            if result != Ok(None) {
                return result;
            }
            look_at = end * 2;
        }
    }
    Ok(None)
}

fn context() -> RequestContext<'static> {
    RequestContext {
        client: "127.0.0.1",
        xff_mode: XffMode::Append,
        https: false,
        tls_headers: false,
        tls: None,
        tls_names: elba_core::forwarded::TLS_FIELDS,
        client_certificate: None,
        listener_port: 80,
        preserve_host: false,
        drop_invalid_names: false,
        authority: None,
        dns_name: "lb",
        rewritten_host: None,
        target: b"/",
        trace: TraceSeed {
            epoch_seconds: 1,
            random: 2,
        },
        head_bytes: 10,
        identity: None,
    }
}

/// A request's head. The result says what kind of input it was: for the fuzzer, which keeps one of each kind.
pub fn check_request(bytes: &[u8]) -> (bool, String) {
    let (mut whole, mut piecewise) = (RequestHead::default(), RequestHead::default());
    let result = whole.parse(bytes);
    // a head that is complete, or refused, early on is so whatever follows
    let by_bytes = request_by_bytes(bytes, &mut piecewise);
    assert_eq!(result, by_bytes, "{:?}", String::from_utf8_lossy(bytes));
    let Ok(Some(used)) = result else {
        return (false, format!("{result:?}"));
    };
    assert!(used <= bytes.len());
    assert_eq!(format!("{whole:?}"), format!("{piecewise:?}"));
    let framing = match whole.framing {
        Framing::Length(length) => format!("length of {} digits", length.to_string().len()),
        other => format!("{other:?}"),
    };
    let kind = format!(
        "{:?} {:?} {framing} {:?} {} {}",
        whole.refused,
        whole.classification.reason(),
        whole.version,
        whole.fields.len().min(20),
        whole.keeps_alive(),
    );
    if whole.refused.is_some() {
        return (false, kind);
    }
    let mut out = Vec::new();
    push_request_head(&mut out, bytes, &whole, &context());
    check_passed_request(&out, &whole);
    (true, kind)
}

/// What is passed on is compliant to our own strict parser, says one framing, and ends where it should.
fn check_passed_request(out: &[u8], original: &RequestHead) {
    let shown = String::from_utf8_lossy(out);
    let mut again = RequestHead::default();
    assert_eq!(again.parse(out), Ok(Some(out.len())), "{shown:?}");
    assert_eq!(again.refused, None, "{shown:?}");
    let has = |name: &str| {
        let line = format!("\r\n{name}:");
        shown.to_ascii_lowercase().matches(&line).count()
    };
    assert!(has("transfer-encoding") + has("content-length") <= 1, "{shown:?}");
    assert_eq!(
        (has("host"), has("x-forwarded-for"), has("x-amzn-trace-id")),
        (1, 1, 1),
        "{shown:?}"
    );
    assert_eq!(again.framing, original.framing, "{shown:?}");
    let tier = again.classification.reason().map(|reason| reason.tier());
    assert!(
        tier.is_none_or(|tier| tier < elba_core::desync::Tier::Severe),
        "{:?} {shown:?}",
        again.classification
    );
    assert!(!shown.contains('\0'), "{shown:?}");
    assert_eq!(shown.matches("\r\n\r\n").count(), 1, "{shown:?}");
    assert_eq!(
        shown.matches('\r').count(),
        shown.matches("\r\n").count(),
        "{shown:?}"
    );
    assert_eq!(
        shown.matches('\n').count(),
        shown.matches("\r\n").count(),
        "{shown:?}"
    );
}

/// A response's head; the result as of `check_request`.
pub fn check_response(bytes: &[u8]) -> (bool, String) {
    let mut head = ResponseHead::default();
    let whole = head.parse(bytes);
    for end in 0..bytes.len() {
        let mut part = ResponseHead::default();
        match part.parse(&bytes[..end]) {
            Ok(None) => {}
            // found bad or complete early: the whole is the same
            other => {
                assert_eq!(other, whole, "{:?}", String::from_utf8_lossy(bytes));
                break;
            }
        }
    }
    if !matches!(whole, Ok(Some(_))) {
        return (false, format!("{whole:?}"));
    }
    head.parse(bytes).unwrap();
    let framing = head.framing(false);
    for chunked in [false, true] {
        let chunked = chunked && matches!(framing, Framing::Chunked | Framing::UntilClose);
        let mut out = Vec::new();
        let context = ResponseContext {
            date: "Thu, 01 Jan 1970 00:00:00 GMT",
            keep_alive: true,
            chunked,
            upgrades: false,
            extra: &[],
            cookies: b"",
        };
        push_response_head(&mut out, bytes, &head, &context);
        let shown = String::from_utf8_lossy(&out);
        let mut again = ResponseHead::default();
        assert_eq!(again.parse(&out), Ok(Some(out.len())), "{shown:?}");
        assert_eq!(again.status, head.status);
        match framing {
            Framing::Chunked | Framing::UntilClose if chunked => {
                assert_eq!(again.framing(false), Framing::Chunked, "{shown:?}");
            }
            Framing::Chunked | Framing::UntilClose => {
                assert_eq!(again.framing(false), Framing::UntilClose, "{shown:?}");
            }
            other => assert_eq!(again.framing(false), other, "{shown:?}"),
        }
        assert_eq!(shown.matches("\r\n\r\n").count(), 1, "{shown:?}");
    }
    let kind = match framing {
        Framing::Length(length) => format!("length of {} digits", length.to_string().len()),
        other => format!("{other:?}"),
    };
    let kind = format!(
        "{} {kind} {} {}",
        head.status / 100,
        head.fields.len().min(20),
        head.keeps_alive()
    );
    (true, kind)
}

/// Data, whether it ended, and how much was used; None = malformed.
fn chunks(bytes: &[u8], random: &mut Random, largest: usize) -> Option<(Vec<u8>, bool, usize)> {
    let mut reader = ChunkedReader::default();
    let (mut data, mut end, mut at) = (Vec::new(), 0, 0);
    while end < bytes.len() {
        end = (end + 1 + random.below(largest)).min(bytes.len());
        loop {
            match reader.next(&bytes[..end], &mut at) {
                Err(_) => return None,
                Ok(Piece::Data { start, end }) => data.extend_from_slice(&bytes[start..end]),
                Ok(Piece::More) => break,
                Ok(Piece::End) => return Some((data, true, at)),
            }
        }
    }
    Some((data, false, at))
}

/// A chunked body, cut in every way; the result as of `check_request`.
pub fn check_chunks(bytes: &[u8], random: &mut Random) -> (bool, String) {
    let whole = chunks(bytes, &mut Random(0), 1_000_000);
    for largest in [1, 3, 7] {
        let cut = chunks(bytes, random, largest);
        assert_eq!(whole, cut, "{:?}", String::from_utf8_lossy(bytes));
    }
    let ended = matches!(whole, Some((_, true, _)));
    let kind = whole.map_or_else(
        || "malformed".to_owned(),
        |(data, ended, used)| format!("{ended} {} {}", data.len().min(30), (bytes.len() - used).min(10)),
    );
    (ended, kind)
}
