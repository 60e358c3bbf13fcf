//! HTTP/1 on the wire: heads of requests and responses, chunked bodies, dates. All by (offset, length) into the
//! caller's buffer: nothing is copied or allocated for a message beyond the list of fields, which is reused.
//!
//! Framing is never copied from one side to the other: it is understood here and written anew.

pub mod chunked;
pub mod date;
pub mod request;
pub mod response;

/// A part of the buffer that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes; empty if the span lies outside (which a span of the same buffer never does).
    pub fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Field names that mean something to a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Other,
    Connection,
    ContentLength,
    Cookie,
    Date,
    Expect,
    Host,
    KeepAlive,
    ProxyConnection,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    XAmznTraceId,
    XForwardedFor,
    XForwardedPort,
    XForwardedProto,
}

impl Name {
    pub fn of(name: &[u8]) -> Name {
        // length and first letter leave one candidate each, so that most names are compared with none
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let (lower, known): (&[u8], Name) = match (name.len(), first) {
            (2, b't') => (b"te", Name::Te),
            (4, b'h') => (b"host", Name::Host),
            (4, b'd') => (b"date", Name::Date),
            (6, b'c') => (b"cookie", Name::Cookie),
            (6, b'e') => (b"expect", Name::Expect),
            (7, b'u') => (b"upgrade", Name::Upgrade),
            (7, b't') => (b"trailer", Name::Trailer),
            (10, b'c') => (b"connection", Name::Connection),
            (10, b'k') => (b"keep-alive", Name::KeepAlive),
            (10, b's') => (b"set-cookie", Name::SetCookie),
            (14, b'c') => (b"content-length", Name::ContentLength),
            (15, b'x') if matches!(name[2], b'f' | b'F') => (b"x-forwarded-for", Name::XForwardedFor),
            (15, b'x') => (b"x-amzn-trace-id", Name::XAmznTraceId),
            (16, b'x') => (b"x-forwarded-port", Name::XForwardedPort),
            (16, b'p') => (b"proxy-connection", Name::ProxyConnection),
            (17, b't') => (b"transfer-encoding", Name::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Name::XForwardedProto),
            _ => return Name::Other,
        };
        if name.eq_ignore_ascii_case(lower) {
            known
        } else {
            Name::Other
        }
    }
}

/// One header field. `line` is the whole line with its CRLF; it may be copied as it is if `plain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
    pub line: Span,
    pub kind: Name,
    /// exactly `name: value CRLF`
    pub plain: bool,
    /// never passed on: it is no field, or could be taken for another one
    pub unsafe_to_pass: bool,
    /// the name is not `[-A-Za-z0-9]+`
    pub invalid_name: bool,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    /// responses only
    UntilClose,
}

const TOKEN: u8 = 1;
const ALB_NAME: u8 = 2;

/// Bytes of a token (RFC 9110, 5.6.2), and of names that AWS calls valid.
static CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'-' {
            table[byte] = TOKEN | ALB_NAME;
        } else if matches!(
            b,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        ) {
            table[byte] = TOKEN;
        }
        byte += 1;
    }
    table
};

pub fn is_token_byte(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN != 0
}

pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether any byte is below 0x20 or 0x7f: eight at a time.
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let mut rest = bytes;
    let mut found = 0u64;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        let delete = word ^ (ONES * 0x7f);
        let delete = delete.wrapping_sub(ONES) & !delete;
        found |= (below | delete) & HIGH;
        rest = tail;
    }
    // a borrow can only come from a byte that is itself one, so nothing is found where nothing is
    found != 0 || rest.iter().any(|byte| *byte < 0x20 || *byte == 0x7f)
}

/// Without blanks at both ends.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|byte| !is_blank(*byte))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The comma-separated items of a field value, trimmed, empty ones left out.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|item| !item.is_empty())
}

/// A decimal number of a Content-Length. None when it is not digits only, or over 64 bits.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends a number in decimal.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let digit = |place: u32| b'0' + (number as u32 / 10u32.pow(place) % 10) as u8;
    match number {
        0..=9 => out.push(digit(0)),
        10..=99 => out.extend_from_slice(&[digit(1), digit(0)]),
        100..=999 => out.extend_from_slice(&[digit(2), digit(1), digit(0)]),
        1000..=9999 => out.extend_from_slice(&[digit(3), digit(2), digit(1), digit(0)]),
        10_000..=99_999 => out.extend_from_slice(&[digit(4), digit(3), digit(2), digit(1), digit(0)]),
        _ => {
            push_number(out, number / 1000);
            let rest = (number % 1000) as u32;
            out.extend_from_slice(&[100, 10, 1].map(|place| b'0' + (rest / place % 10) as u8));
        }
    }
}

/// What the tokens of Connection fields say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// it names further fields that are for this hop only
    pub names_fields: bool,
}

impl ConnectionOptions {
    fn read(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_fields = true;
            }
        }
    }
}

/// Whether some Connection field names this one, so that it is not passed on.
pub fn is_named_by_connection(buffer: &[u8], fields: &[Field], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.kind == Name::Connection)
        .any(|field| list(field.value.of(buffer)).any(|option| option.eq_ignore_ascii_case(name)))
}

/// What a line of a head is, once its end is known.
struct Line {
    /// without its line end
    content: Span,
    /// with it
    whole: Span,
    /// ends in CRLF, not in LF alone
    crlf: bool,
}

/// The line that begins at `from`; None if its end has not come.
fn line_at(buffer: &[u8], from: usize) -> Option<Line> {
    let newline = from + memchr::memchr(b'\n', buffer.get(from..)?)?;
    let crlf = newline > from && buffer[newline - 1] == b'\r';
    Some(Line {
        content: Span::new(from, if crlf { newline - 1 } else { newline }),
        whole: Span::new(from, newline + 1),
        crlf,
    })
}

/// Whether the blank line that ends a head has come, for one that was found incomplete before: `from` is how much
/// of it was there then. Keeps a head that trickles in from being parsed again for each piece.
pub fn head_may_have_ended(buffer: &[u8], from: usize) -> bool {
    let start = from.saturating_sub(3);
    let fresh = buffer.get(start..).unwrap_or(&[]);
    memchr::memchr_iter(b'\n', fresh).any(|at| {
        let before = &fresh[..at];
        before.ends_with(b"\n") || before.ends_with(b"\n\r")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        let powers = (0..20).map(|place| 10u64.pow(place));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power / 7 * 9]);
        for number in around.chain([12_345, 90_807_060_504_030_201, u64::MAX]) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Name::of(b"hOsT"), Name::Host);
        assert_eq!(Name::of(b"X-AMZN-TRACE-ID"), Name::XAmznTraceId);
        assert_eq!(Name::of(b"Content_Length"), Name::Other);
        for (name, known) in [
            ("TE", Name::Te),
            ("Date", Name::Date),
            ("Cookie", Name::Cookie),
            ("Expect", Name::Expect),
            ("Upgrade", Name::Upgrade),
            ("Trailer", Name::Trailer),
            ("Connection", Name::Connection),
            ("Keep-Alive", Name::KeepAlive),
            ("Set-Cookie", Name::SetCookie),
            ("Content-Length", Name::ContentLength),
            ("X-Forwarded-For", Name::XForwardedFor),
            ("X-Forwarded-Port", Name::XForwardedPort),
            ("X-Forwarded-Proto", Name::XForwardedProto),
            ("Proxy-Connection", Name::ProxyConnection),
            ("Transfer-Encoding", Name::TransferEncoding),
        ] {
            assert_eq!(Name::of(name.as_bytes()), known, "{name}");
            let other = name.to_lowercase().replace('e', "a");
            assert_eq!(Name::of(other.as_bytes()), Name::Other, "{other}");
        }
    }

    #[test]
    fn control_characters_are_found_anywhere() {
        for length in 0..20 {
            for byte in 0..=255u8 {
                for at in 0..length {
                    for around in [b' ', b'a', 0x80, 0xff, 0x7e] {
                        let mut bytes = vec![around; length];
                        bytes[at] = byte;
                        assert_eq!(has_control(&bytes), byte < 0x20 || byte == 0x7f, "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_are_plain_decimals() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"18446744073709551616",
            b"+1",
            b"1 ",
            b"0x1",
            b"1,1",
            b"1.0",
        ] {
            assert_eq!(parse_length(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_seen_across_pieces() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for from in 0..head.len() {
            assert!(head_may_have_ended(head, from), "{from}");
            assert!(!head_may_have_ended(&head[..from], 0), "{from}");
        }
    }
}
