use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;
use crate::access_log::{push_line, Line, Second, FIELDS};

fn unzipped(gzip: &Gzip) -> Vec<u8> {
    let mut text = Vec::new();
    // one that reads on after the end would find a second file there
    let mut reader = GzDecoder::new(&gzip.output[..]);
    reader.read_to_end(&mut text).unwrap();
    assert!(reader.into_inner().is_empty(), "something is left");
    text
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 24
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "",
];

/// A line as of a shop: 100 connections, 8 targets, some paths.
fn push(lines: &mut Lines, second: &mut Second, numbers: &mut Numbers, uri: Option<&[u8]>) {
    let client = numbers.below(100);
    let target = format!("10.0.{}.{}:8080", client % 2, 4 + numbers.below(4));
    let paths = ["/", "/static/app.css", "/api/v1/users/", "/cart?item="];
    let path = format!("{}{}", paths[numbers.below(4)], numbers.below(3000));
    let trace = format!("Root=1-67d3f5dd-{:012x}{:012x}", numbers.next(), numbers.next());
    let time = 1_741_944_413_100_000 + numbers.next() % 10_000_000;
    let line = Line {
        kind: "https",
        time,
        created: time - 3000,
        load_balancer: "app/shop-lb/0a1b2c3d4e5f6071",
        client: ([198, 51, 100, client as u8], 40_000 + client as u16).into(),
        target: target.as_bytes(),
        request_time: Some(numbers.next() % 2000),
        target_time: Some(numbers.next() % 200_000),
        response_time: Some(0),
        status: Some(200),
        target_status: Some(200),
        received_bytes: 300 + numbers.next() % 400,
        sent_bytes: 200 + numbers.next() % 40_000,
        method: b"GET",
        scheme: "https",
        host: b"shop.example",
        port: 443,
        uri: uri.unwrap_or(path.as_bytes()),
        version: "HTTP/2.0",
        user_agent: AGENTS[client % 5].as_bytes(),
        ssl_cipher: "TLS_AES_128_GCM_SHA256",
        ssl_protocol: "TLSv1.3",
        target_group_arn:
            "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/shop-tg/1f2e3d4c5b6a7980",
        trace_id: trace.as_bytes(),
        domain_name: b"shop.example",
        certificate_arn:
            b"arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012",
        rule_priority: Some(0),
        actions: "forward",
        redirect_url: b"",
        error_reason: "",
        classification: None,
        connection_trace: u128::from_be_bytes([client as u8 ^ 0x5a; 16]).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        transformed_host: b"",
        transformed_uri: b"",
        transform_status: "",
    };
    push_line(lines, second, &line);
}

#[test]
fn empty() {
    let mut gzip = Gzip::default();
    gzip.add(&mut Lines::new(FIELDS));
    gzip.finish();
    assert_eq!(unzipped(&gzip), b"");
}

#[test]
fn lines_of_a_shop_come_back_and_are_about_as_small_as_from_any_compressor() {
    let (mut lines, mut second, mut numbers) = (Lines::new(FIELDS), Second::default(), Numbers(1));
    let (mut gzip, mut text) = (Gzip::default(), Vec::new());
    while text.len() < 4 << 20 {
        for _ in 0..1 + numbers.below(300) {
            push(&mut lines, &mut second, &mut numbers, None);
        }
        text.extend_from_slice(lines.fresh());
        gzip.add(&mut lines);
        assert!(lines.text.len() <= KEPT + 300 * 1024, "the past is forgotten");
    }
    gzip.finish();
    assert!(unzipped(&gzip) == text);
    let mut other = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut other, &text).unwrap();
    let other = other.finish().unwrap().len();
    assert!(
        gzip.output.len() < other * 5 / 4,
        "{} of {other} bytes",
        gzip.output.len()
    );
}

#[test]
fn any_lines_come_back() {
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let mut lines = Lines::new(1 + numbers.below(4));
        let (mut gzip, mut text) = (Gzip::default(), Vec::new());
        // of few or of all bytes; fields of few or many bytes
        let (alphabet, longest) = ([2, 20, 256][numbers.below(3)], [3, 40, 3000][numbers.below(3)]);
        for _ in 0..numbers.below(60) {
            for _ in 0..numbers.below(6) * lines.per_line {
                for _ in 0..numbers.below(longest) {
                    let byte = numbers.below(alphabet) as u8;
                    lines.text.push(byte);
                }
                lines.end_field();
            }
            text.extend_from_slice(lines.fresh());
            if numbers.below(10) == 0 {
                // not written, and forgotten
                text.truncate(text.len() - lines.fresh().len());
                lines.use_up(0);
            }
            gzip.add(&mut lines);
        }
        gzip.finish();
        assert!(unzipped(&gzip) == text, "{seed}");
    }
}

#[test]
fn copies_of_every_length_and_distance() {
    let (mut gzip, mut text) = (Gzip::default(), Vec::new());
    let mut lines = Lines::new(2);
    let mut numbers = Numbers(7);
    for length in 1..600 {
        let field: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
        for other in [b"a", b"b"] {
            lines.text.extend_from_slice(other);
            lines.end_field();
            lines.text.extend_from_slice(&field);
            lines.end_field();
        }
        text.extend_from_slice(lines.fresh());
        gzip.add(&mut lines);
    }
    gzip.finish();
    assert!(unzipped(&gzip) == text);
}

#[test]
fn one_field_longer_than_the_window() {
    let (mut lines, mut second, mut numbers) = (Lines::new(FIELDS), Second::default(), Numbers(1));
    let (mut gzip, mut text) = (Gzip::default(), Vec::new());
    for length in [10, 40_000, 40_000, 20, 300_000, 32_768, 32_768, 5] {
        push(&mut lines, &mut second, &mut numbers, Some(&vec![b'x'; length]));
        push(&mut lines, &mut second, &mut numbers, None);
        text.extend_from_slice(lines.fresh());
        gzip.add(&mut lines);
    }
    gzip.finish();
    assert!(unzipped(&gzip) == text);
}
