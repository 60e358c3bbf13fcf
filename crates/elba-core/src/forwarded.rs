//! Heads as they are passed on: the fields a load balancer adds or changes, and those it keeps to itself.
//! Source: alb.md section 11.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::http1::request::{RequestHead, Version};
use crate::http1::response::ResponseHead;
use crate::http1::{is_named_by_connection, list, push_number, Field, Framing, Name};

/// More addresses than this in X-Forwarded-For: 463.
pub const MAX_FORWARDED_FOR: usize = 30;
/// All fields together longer than this: the trace id is written anew with a Root only.
const MAX_FIELDS_WITH_TRACE: usize = 7 * 1024;
/// As the two fields on TLS are called where no attribute says otherwise.
pub const TLS_FIELDS: [&str; 2] = ["x-amzn-tls-version", "x-amzn-tls-cipher-suite"];

const IDENTITY_FIELDS: [&[u8]; 3] = [
    b"x-amzn-oidc-accesstoken",
    b"x-amzn-oidc-identity",
    b"x-amzn-oidc-data",
];

/// routing.http.xff_header_processing.mode
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XffMode {
    Append,
    Preserve,
    Remove,
}

impl XffMode {
    /// An unknown name is the default, append.
    pub fn parse(name: &str) -> XffMode {
        match name {
            "preserve" => XffMode::Preserve,
            "remove" => XffMode::Remove,
            _ => XffMode::Append,
        }
    }
}

/// The host of a Host field or authority without its port; brackets of an IPv6 address stay.
pub fn without_port(host: &[u8]) -> &[u8] {
    let from = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    match memchr::memchr(b':', &host[from..]) {
        Some(colon) => &host[..from + colon],
        None => host,
    }
}

/// Whether a Host value or authority is made of bytes that a host and port can have.
pub fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~' | b'*')
    })
}

/// The client as X-Forwarded-For names it, once per connection.
pub fn client_name(client: SocketAddr, with_port: bool) -> String {
    if with_port {
        client.to_string()
    } else {
        client.ip().to_string()
    }
}

/// Everything but the head itself that decides how a request is passed on.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    pub client: &'a str,
    pub xff_mode: XffMode,
    pub https: bool,
    /// routing.http.x_amzn_tls_version_and_cipher_suite.enabled: the client's own fields of these names go
    pub tls_headers: bool,
    /// version and cipher suite of the client's connection
    pub tls: Option<(&'a str, &'a str)>,
    pub tls_names: [&'a str; 2],
    /// on a listener with mutual TLS: names and values of the fields that tell of the client's certificate (an empty
    /// value is not sent); the client's own fields of these names go
    pub client_certificate: Option<(&'a [String; 6], &'a [String; 6])>,
    pub listener_port: u16,
    pub preserve_host: bool,
    pub drop_invalid_names: bool,
    /// host and port of an absolute-form request target
    pub authority: Option<&'a [u8]>,
    /// the load balancer's DNS name, for a request without Host
    pub dns_name: &'a str,
    /// set by a host-header-rewrite transform
    pub rewritten_host: Option<&'a [u8]>,
    /// path and query as they are to be sent
    pub target: &'a [u8],
    /// of now, with 96 random bits: a new Root or Self
    pub trace: TraceSeed,
    /// length of the whole head as received
    pub head_bytes: usize,
    /// whole lines that say who the user is; the client's own fields of these names go. None = nobody is asked
    pub identity: Option<&'a [u8]>,
}

/// Time and chance of a trace id.
#[derive(Debug, Clone, Copy)]
pub struct TraceSeed {
    pub epoch_seconds: u32,
    pub random: u128,
}

impl TraceSeed {
    fn push(self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        out.extend_from_slice(b"1-");
        for nibble in (0..8).rev() {
            out.push(HEX[(self.epoch_seconds >> (nibble * 4) & 15) as usize]);
        }
        out.push(b'-');
        for nibble in (0..24).rev() {
            out.push(HEX[(self.random >> (nibble * 4) & 15) as usize]);
        }
    }
}

/// How many addresses the X-Forwarded-For fields hold.
pub fn forwarded_for_count(buffer: &[u8], head: &RequestHead) -> usize {
    let fields = head
        .fields
        .iter()
        .filter(|field| field.kind == Name::XForwardedFor);
    fields.map(|field| list(field.value.of(buffer)).count()).sum()
}

/// Appends the head for the target: method and target, our fields in AWS's order, the client's own in theirs, and
/// the framing of the body as it is going to be sent.
pub fn push_request_head(out: &mut Vec<u8>, buffer: &[u8], head: &RequestHead, context: &RequestContext) {
    out.extend_from_slice(head.method.of(buffer));
    out.push(b' ');
    push_target(out, context.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push_forwarded_for(out, buffer, head, context);
    out.extend_from_slice(if context.https {
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Port: "
    } else {
        &b"X-Forwarded-Proto: http\r\nX-Forwarded-Port: "[..]
    });
    push_number(out, u64::from(context.listener_port));
    out.extend_from_slice(b"\r\n");
    push_host(out, buffer, head, context);
    push_trace(out, buffer, head, context);
    if let Some((version, suite)) = context.tls.filter(|_| context.tls_headers) {
        push_field(out, context.tls_names[0].as_bytes(), version.as_bytes());
        push_field(out, context.tls_names[1].as_bytes(), suite.as_bytes());
    }
    if let Some((names, values)) = context.client_certificate {
        for (name, value) in names.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            push_field(out, name.as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(context.identity.unwrap_or_default());
    push_kept(out, buffer, &head.fields, |field| {
        keeps_request_field(buffer, head, field, context)
    });
    match head.framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => push_length(out, length),
        Framing::None | Framing::UntilClose if head.has_length => push_length(out, 0),
        Framing::None | Framing::UntilClose => {}
    }
    if head.upgrades_to_websocket {
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// The target with what no request line may hold percent-encoded (blanks and control characters that the desync
/// mode lets through).
fn push_target(out: &mut Vec<u8>, target: &[u8]) {
    if !target
        .iter()
        .fold(false, |odd, byte| odd | (*byte <= b' ') | (*byte == 0x7f))
    {
        out.extend_from_slice(target);
        return;
    }
    for byte in target {
        if *byte <= b' ' || *byte == 0x7f {
            out.push(b'%');
            out.push(b"0123456789ABCDEF"[usize::from(*byte >> 4)]);
            out.push(b"0123456789ABCDEF"[usize::from(*byte & 15)]);
        } else {
            out.push(*byte);
        }
    }
}

fn push_forwarded_for(out: &mut Vec<u8>, buffer: &[u8], head: &RequestHead, context: &RequestContext) {
    let incoming = || {
        let fields = head
            .fields
            .iter()
            .filter(|field| field.kind == Name::XForwardedFor && !field.unsafe_to_pass);
        fields
            .map(|field| field.value.of(buffer))
            .filter(|value| !value.is_empty())
    };
    match context.xff_mode {
        XffMode::Remove => {}
        XffMode::Preserve => {
            for value in incoming() {
                push_field(out, b"X-Forwarded-For", value);
            }
        }
        XffMode::Append => {
            out.extend_from_slice(b"X-Forwarded-For: ");
            for value in incoming() {
                out.extend_from_slice(value);
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(context.client.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push_host(out: &mut Vec<u8>, buffer: &[u8], head: &RequestHead, context: &RequestContext) {
    if let Some(host) = context.rewritten_host {
        return push_field(out, b"Host", host);
    }
    if context.preserve_host {
        let mut found = false;
        for field in head
            .fields
            .iter()
            .filter(|field| field.kind == Name::Host && !field.unsafe_to_pass)
        {
            push_field(out, b"Host", field.value.of(buffer));
            found = true;
        }
        if found {
            return;
        }
    }
    let received = context.authority.or(head.host.map(|host| host.of(buffer)));
    let host = match received {
        Some(host) if !host.is_empty() || head.version == Version::Http11 => host,
        _ => context.dns_name.as_bytes(),
    };
    out.extend_from_slice(b"Host: ");
    let bare = without_port(host);
    let start = out.len();
    out.extend_from_slice(bare);
    if !matches!(context.listener_port, 80 | 443) {
        if bare.len() == host.len() {
            if !host.is_empty() {
                out.push(b':');
                push_number(out, u64::from(context.listener_port));
            }
        } else {
            out.extend_from_slice(&host[bare.len()..]);
        }
    }
    out[start..].make_ascii_lowercase();
    out.extend_from_slice(b"\r\n");
}

fn push_trace(out: &mut Vec<u8>, buffer: &[u8], head: &RequestHead, context: &RequestContext) {
    out.extend_from_slice(b"X-Amzn-Trace-Id: ");
    push_trace_id(out, buffer, head, context.trace, context.head_bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends the value of X-Amzn-Trace-Id for a target, and for the access log. `head_bytes`: the head's length.
pub fn push_trace_id(
    out: &mut Vec<u8>,
    buffer: &[u8],
    head: &RequestHead,
    trace: TraceSeed,
    head_bytes: usize,
) {
    let received = head
        .fields
        .iter()
        .find(|field| field.kind == Name::XAmznTraceId && !field.unsafe_to_pass)
        .map(|field| field.value.of(buffer))
        .filter(|value| !value.is_empty() && head_bytes <= MAX_FIELDS_WITH_TRACE);
    let Some(received) = received else {
        out.extend_from_slice(b"Root=");
        trace.push(out);
        return;
    };
    let items = || {
        received
            .split(|byte| *byte == b';')
            .map(crate::http1::trim)
            .filter(|item| !item.is_empty())
    };
    let is = |item: &[u8], key: &[u8]| {
        item.len() > key.len() && item[key.len()] == b'=' && item[..key.len()].eq_ignore_ascii_case(key)
    };
    // with a Root ours is one more hop (Self); without, the trace starts here
    out.extend_from_slice(if items().any(|item| is(item, b"Root")) {
        b"Self="
    } else {
        b"Root="
    });
    trace.push(out);
    for item in items().filter(|item| !is(item, b"Self")) {
        out.push(b';');
        out.extend_from_slice(item);
    }
}

fn keeps_request_field(buffer: &[u8], head: &RequestHead, field: &Field, context: &RequestContext) -> bool {
    match field.kind {
        Name::Other | Name::Cookie | Name::Date | Name::SetCookie => {
            let is_ours = || {
                let name = field.name.of(buffer);
                let is = |ours: &str| name.eq_ignore_ascii_case(ours.as_bytes());
                (context.tls_headers && context.tls_names.iter().any(|ours| is(ours)))
                    || context
                        .client_certificate
                        .is_some_and(|(names, _)| names.iter().any(|ours| is(ours)))
            };
            let is_identity = || {
                let name = field.name.of(buffer);
                IDENTITY_FIELDS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
            };
            let dropped = field.unsafe_to_pass
                || (context.identity.is_some() && is_identity())
                || (field.invalid_name && context.drop_invalid_names)
                || ((context.tls_headers || context.client_certificate.is_some()) && is_ours());
            if dropped || !head.options.names_fields {
                return !dropped;
            }
            !is_named_by_connection(buffer, &head.fields, field.name.of(buffer))
        }
        _ => false,
    }
}

/// Appends the fields that `keep` lets through; neighbours that are plainly written are copied as one piece.
fn push_kept(out: &mut Vec<u8>, buffer: &[u8], fields: &[Field], keep: impl Fn(&Field) -> bool) {
    let mut run: Option<(u32, u32)> = None;
    for field in fields {
        let kept = keep(field);
        if kept && field.plain {
            run = match run {
                Some((start, end)) if end == field.line.start => Some((start, field.line.end)),
                other => {
                    push_run(out, buffer, other);
                    Some((field.line.start, field.line.end))
                }
            };
            continue;
        }
        push_run(out, buffer, run.take());
        if kept {
            push_field(out, field.name.of(buffer), field.value.of(buffer));
        }
    }
    push_run(out, buffer, run);
}

fn push_run(out: &mut Vec<u8>, buffer: &[u8], run: Option<(u32, u32)>) {
    if let Some((start, end)) = run {
        out.extend_from_slice(&buffer[start as usize..end as usize]);
    }
}

/// How a target's response is passed on.
#[derive(Debug, Clone, Copy)]
pub struct ResponseContext<'a> {
    pub date: &'a str,
    pub keep_alive: bool,
    /// the body is sent in chunks although the target gave a length to nothing, or sent chunks itself
    pub chunked: bool,
    /// 101: the fields of the upgrade are kept
    pub upgrades: bool,
    /// name, lower-case name, value: replace the target's
    pub extra: &'a [(String, String, String)],
    /// whole Set-Cookie lines with CRLF, ours
    pub cookies: &'a [u8],
}

/// Appends the head for the client.
pub fn push_response_head(out: &mut Vec<u8>, buffer: &[u8], head: &ResponseHead, context: &ResponseContext) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status_and_reason.of(buffer));
    if head.status_and_reason.of(buffer).len() == 3 {
        out.push(b' ');
    }
    out.extend_from_slice(b"\r\n");
    push_kept(out, buffer, &head.fields, |field| {
        keeps_response_field(buffer, head, field, context)
    });
    if !head.has_date {
        push_field(out, b"Date", context.date.as_bytes());
    }
    if let (true, Some(length)) = (head.length_is_odd, head.length) {
        push_length(out, length);
    }
    if context.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    for (name, _, value) in context.extra {
        push_field(out, name.as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(context.cookies);
    out.extend_from_slice(if context.upgrades {
        b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    } else if context.keep_alive {
        b"Connection: keep-alive\r\n\r\n"
    } else {
        &b"Connection: close\r\n\r\n"[..]
    });
}

fn keeps_response_field(
    buffer: &[u8],
    head: &ResponseHead,
    field: &Field,
    context: &ResponseContext,
) -> bool {
    match field.kind {
        Name::Connection
        | Name::KeepAlive
        | Name::ProxyConnection
        | Name::Te
        | Name::Trailer
        | Name::TransferEncoding
        | Name::Upgrade => return false,
        // a length beside chunks, or said twice, is not repeated
        Name::ContentLength => return !head.length_is_odd && !context.chunked,
        _ => {}
    }
    if head.options.names_fields && is_named_by_connection(buffer, &head.fields, field.name.of(buffer)) {
        return false;
    }
    context.extra.is_empty()
        || !context
            .extra
            .iter()
            .any(|(_, lower, _)| field.name.of(buffer).eq_ignore_ascii_case(lower.as_bytes()))
}

/// A readable form of bytes that came from a client, for messages.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_graphic() || *byte == b' ' {
            text.push(*byte as char);
        } else {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> RequestContext<'static> {
        RequestContext {
            client: "127.0.0.1",
            xff_mode: XffMode::Append,
            https: false,
            tls_headers: false,
            tls: None,
            tls_names: TLS_FIELDS,
            client_certificate: None,
            listener_port: 80,
            preserve_host: false,
            drop_invalid_names: false,
            authority: None,
            dns_name: "lb-1.us-east-1.elb.localhost",
            rewritten_host: None,
            target: b"/a",
            trace: TraceSeed {
                epoch_seconds: 0x5bdb_40ca,
                random: 0x556d_8b0c_50dc_66f0_511b_f520,
            },
            head_bytes: 100,
            identity: None,
        }
    }

    fn passed(fields: &str, context: &RequestContext) -> String {
        let text = format!("POST /a HTTP/1.1\r\n{fields}\r\n");
        passed_whole(&text, context)
    }

    fn passed_whole(text: &str, context: &RequestContext) -> String {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes()).unwrap().unwrap();
        let mut out = Vec::new();
        push_request_head(&mut out, text.as_bytes(), &head, context);
        String::from_utf8(out).unwrap()
    }

    fn value(passed: &str, name: &str) -> Vec<String> {
        passed
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value.to_owned())
            .collect()
    }

    #[test]
    fn a_whole_request() {
        let fields = "Host: Shop.Example:80\r\nAccept:  */*\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
                      X-Forwarded-Proto: https\r\nTE: trailers\r\nExpect: 100-continue\r\nCookie: a=b\r\n\
                      Content-Length: 5\r\n";
        assert_eq!(
            passed(fields, &context()),
            "POST /a HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\
             Host: shop.example\r\nX-Amzn-Trace-Id: Root=1-5bdb40ca-556d8b0c50dc66f0511bf520\r\n\
             Accept: */*\r\nCookie: a=b\r\nContent-Length: 5\r\n\r\n"
        );
    }

    #[test]
    fn forwarded_for_in_three_modes() {
        let table = [
            ("", ["127.0.0.1", "", ""]),
            (
                "X-Forwarded-For: 127.0.0.4\r\n",
                ["127.0.0.4, 127.0.0.1", "127.0.0.4", ""],
            ),
            (
                "X-Forwarded-For: 127.0.0.4, 127.0.0.8\r\n",
                ["127.0.0.4, 127.0.0.8, 127.0.0.1", "127.0.0.4, 127.0.0.8", ""],
            ),
            (
                "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\n",
                ["1.1.1.1, 2.2.2.2, 127.0.0.1", "1.1.1.1|2.2.2.2", ""],
            ),
        ];
        for (fields, wanted) in table {
            for (mode, wanted) in [XffMode::Append, XffMode::Preserve, XffMode::Remove]
                .into_iter()
                .zip(wanted)
            {
                let out = passed(
                    &format!("Host: h\r\n{fields}"),
                    &RequestContext {
                        xff_mode: mode,
                        ..context()
                    },
                );
                assert_eq!(
                    value(&out, "X-Forwarded-For").join("|"),
                    wanted,
                    "{mode:?} {fields:?}"
                );
            }
        }
        assert_eq!(
            client_name("[2001:db8::1]:5".parse().unwrap(), true),
            "[2001:db8::1]:5"
        );
        assert_eq!(
            client_name("[2001:db8::1]:5".parse().unwrap(), false),
            "2001:db8::1"
        );
    }

    #[test]
    fn host_table() {
        // received, listener port, preserve, passed on
        let table = [
            ("Host: A.Example\r\n", 80, false, "a.example"),
            ("Host: A.Example:8080\r\n", 80, false, "a.example"),
            ("Host: A.Example\r\n", 8080, false, "a.example:8080"),
            ("Host: A.Example:9\r\n", 8080, false, "a.example:9"),
            ("Host: [::1]:9\r\n", 443, false, "[::1]"),
            ("Host: A.Example:80\r\n", 80, true, "A.Example:80"),
            ("Host: A\r\nHost: B\r\n", 80, true, "A|B"),
            ("Host: A\r\nHost: B\r\n", 80, false, "a"),
        ];
        for (fields, port, preserve, wanted) in table {
            let out = passed(
                fields,
                &RequestContext {
                    listener_port: port,
                    preserve_host: preserve,
                    ..context()
                },
            );
            assert_eq!(
                value(&out, "Host").join("|"),
                wanted,
                "{fields:?} {port} {preserve}"
            );
        }
        let out = passed_whole("GET / HTTP/1.0\r\n\r\n", &context());
        assert_eq!(value(&out, "Host"), ["lb-1.us-east-1.elb.localhost"]);
        let out = passed(
            "Host: other\r\n",
            &RequestContext {
                authority: Some(b"Abs.Example:1"),
                ..context()
            },
        );
        assert_eq!(value(&out, "Host"), ["abs.example"]);
    }

    #[test]
    fn trace_id_cases() {
        let ours = "1-5bdb40ca-556d8b0c50dc66f0511bf520";
        let table = [
            ("", format!("Root={ours}")),
            (
                "X-Amzn-Trace-Id: Root=1-a-b\r\n",
                format!("Self={ours};Root=1-a-b"),
            ),
            (
                "X-Amzn-Trace-Id: Self=1-x-y;Root=1-a-b;C=d\r\n",
                format!("Self={ours};Root=1-a-b;C=d"),
            ),
            ("X-Amzn-Trace-Id: C=d\r\n", format!("Root={ours};C=d")),
        ];
        for (fields, wanted) in table {
            assert_eq!(
                value(&passed(fields, &context()), "X-Amzn-Trace-Id"),
                [wanted],
                "{fields:?}"
            );
        }
        let long = RequestContext {
            head_bytes: 8000,
            ..context()
        };
        let out = passed("X-Amzn-Trace-Id: Root=1-a-b\r\n", &long);
        assert_eq!(value(&out, "X-Amzn-Trace-Id"), [format!("Root={ours}")]);
    }

    #[test]
    fn nothing_ambiguous_passes() {
        let out = passed(
            "Host: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nTransfer_Encoding: x\r\n\
             Content-Length : 4\r\nA: b\r\n fold: c\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\
             Connection: Upgrade, HTTP2-Settings\r\n",
            &context(),
        );
        let tail = out.split("f520\r\n").nth(1).unwrap();
        assert_eq!(tail, "A: b\r\nTransfer-Encoding: chunked\r\n\r\n");
        let spaced = passed(
            "Host: h\r\n",
            &RequestContext {
                target: b"/a b\x01",
                ..context()
            },
        );
        assert!(spaced.starts_with("POST /a%20b%01 HTTP/1.1\r\n"));
    }

    #[test]
    fn invalid_names_are_dropped_when_asked() {
        let fields = "Host: h\r\nX_y: 1\r\nX-z: 2\r\n";
        assert!(passed(fields, &context()).contains("X_y: 1\r\nX-z: 2\r\n"));
        let out = passed(
            fields,
            &RequestContext {
                drop_invalid_names: true,
                ..context()
            },
        );
        assert!(!out.contains("X_y") && out.contains("X-z: 2\r\n"));
    }

    fn response(text: &str, context: &ResponseContext) -> String {
        let mut head = ResponseHead::default();
        head.parse(text.as_bytes()).unwrap().unwrap();
        let mut out = Vec::new();
        push_response_head(&mut out, text.as_bytes(), &head, context);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn responses() {
        let extra = [(
            "X-Frame-Options".to_owned(),
            "x-frame-options".to_owned(),
            "DENY".to_owned(),
        )];
        let context = ResponseContext {
            date: "D",
            keep_alive: true,
            chunked: false,
            upgrades: false,
            extra: &extra,
            cookies: b"Set-Cookie: AWSALB=x\r\n",
        };
        assert_eq!(
            response(
                "HTTP/1.0 200 Fine\r\nServer: s\r\nX-Frame-Options: ALLOW\r\nConnection: close, x-hop\r\n\
                 X-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n\r\n",
                &context
            ),
            "HTTP/1.1 200 Fine\r\nServer: s\r\nContent-Length: 5\r\nDate: D\r\nX-Frame-Options: DENY\r\n\
             Set-Cookie: AWSALB=x\r\nConnection: keep-alive\r\n\r\n"
        );
        let chunked = ResponseContext {
            chunked: true,
            keep_alive: false,
            extra: &[],
            cookies: b"",
            ..context
        };
        assert_eq!(
            response(
                "HTTP/1.1 200\r\nDate: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                &chunked
            ),
            "HTTP/1.1 200 \r\nDate: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        );
    }
}
