//! One line of an Application Load Balancer's access log, as AWS writes it: 33 fields separated by spaces.
//! Source: alb.md section 19.1.

use std::net::SocketAddr;

use crate::desync::Reason;
use crate::http1::push_number;
use crate::lines::Lines;

/// A user agent longer than this is cut.
pub const MAX_USER_AGENT: usize = 8 * 1024;

/// A request as it was answered. What was not there is None or empty: `-` in the line, `-1` for times.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// http, https, h2, grpcs, ws, wss
    pub kind: &'a str,
    /// microseconds since the epoch: the answer (a WebSocket's end), and the request's arrival
    pub time: u64,
    pub created: u64,
    /// "app/<name>/<id>"
    pub load_balancer: &'a str,
    pub client: SocketAddr,
    /// "address:port"
    pub target: &'a [u8],
    /// microseconds until it was sent to the target; until its response began; until that was passed on
    pub request_time: Option<u64>,
    pub target_time: Option<u64>,
    pub response_time: Option<u64>,
    pub status: Option<u16>,
    pub target_status: Option<u16>,
    /// with the heads
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// empty: it could not be read as a request
    pub method: &'a [u8],
    /// http, https, ws, wss
    pub scheme: &'a str,
    /// without port
    pub host: &'a [u8],
    pub port: u16,
    /// as received
    pub uri: &'a [u8],
    /// "HTTP/1.1"
    pub version: &'a str,
    pub user_agent: &'a [u8],
    pub ssl_cipher: &'a str,
    pub ssl_protocol: &'a str,
    pub target_group_arn: &'a str,
    /// the X-Amzn-Trace-Id as sent to a target
    pub trace_id: &'a [u8],
    /// the name that the client gave in its TLS handshake
    pub domain_name: &'a [u8],
    /// or "session-reused"
    pub certificate_arn: &'a [u8],
    /// 0 = the default rule, -1 = no rule could be evaluated, None = it did not come to that
    pub rule_priority: Option<i32>,
    /// comma separated
    pub actions: &'a str,
    pub redirect_url: &'a [u8],
    pub error_reason: &'a str,
    pub classification: Option<Reason>,
    pub connection_trace: u128,
    pub transformed_host: &'a [u8],
    pub transformed_uri: &'a [u8],
    pub transform_status: &'a str,
}

/// A second written out, for the lines of the same second.
#[derive(Debug, Clone)]
pub struct Second {
    seconds: u64,
    /// "2025-03-14T09:26:53."
    text: [u8; 20],
}

impl Default for Second {
    fn default() -> Self {
        let mut second = Second {
            seconds: 0,
            text: *b"0000-00-00T00:00:00.",
        };
        second.write(0);
        second
    }
}

impl Second {
    fn write(&mut self, seconds: u64) {
        self.seconds = seconds;
        let [year, month, day, hour, minute] = civil(seconds);
        set_digits(&mut self.text[..4], year);
        set_digits(&mut self.text[5..7], month);
        set_digits(&mut self.text[8..10], day);
        set_digits(&mut self.text[11..13], hour);
        set_digits(&mut self.text[14..16], minute);
        set_digits(&mut self.text[17..19], seconds % 60);
    }

    /// "2025-03-14T09:26:53.589793Z"
    pub(crate) fn push_time(&mut self, out: &mut Vec<u8>, micros: u64) {
        let seconds = micros / 1_000_000;
        if self.seconds != seconds {
            self.write(seconds);
        }
        out.extend_from_slice(&self.text);
        let mut fraction = *b"000000Z";
        set_digits(&mut fraction[..6], micros % 1_000_000);
        out.extend_from_slice(&fraction);
    }
}

/// "2025-03-14T09:26:53"
pub fn format_second(seconds: u64) -> String {
    let mut second = Second::default();
    second.write(seconds);
    String::from_utf8_lossy(&second.text[..19]).into_owned()
}

/// Fields of a line.
pub const FIELDS: usize = 33;

/// Appends the line with its line end. `second` is kept from line to line.
pub fn push_line(out: &mut Lines, second: &mut Second, line: &Line) {
    out.text.reserve(768);
    out.ends.reserve(FIELDS);
    push_plain(out, line.kind);
    second.push_time(&mut out.text, line.time);
    out.end_field();
    push_plain(out, line.load_balancer);
    push_address(&mut out.text, line.client);
    out.end_field();
    out.text
        .extend_from_slice(if line.target.is_empty() { b"-" } else { line.target });
    out.end_field();
    for time in [line.request_time, line.target_time, line.response_time] {
        push_seconds(&mut out.text, time);
        out.end_field();
    }
    for status in [line.status, line.target_status] {
        push_status(&mut out.text, status);
        out.end_field();
    }
    for count in [line.received_bytes, line.sent_bytes] {
        push_number(&mut out.text, count);
        out.end_field();
    }
    out.text.push(b'"');
    push_request(&mut out.text, line);
    out.text.push(b'"');
    out.end_field();
    push_quoted(out, &line.user_agent[..line.user_agent.len().min(MAX_USER_AGENT)]);
    push_plain(out, line.ssl_cipher);
    push_plain(out, line.ssl_protocol);
    push_plain(out, line.target_group_arn);
    push_quoted(out, line.trace_id);
    push_quoted(out, line.domain_name);
    push_quoted(out, line.certificate_arn);
    match line.rule_priority {
        None => out.text.push(b'-'),
        Some(priority) => {
            if priority < 0 {
                out.text.push(b'-');
            }
            push_number(&mut out.text, u64::from(priority.unsigned_abs()));
        }
    }
    out.end_field();
    second.push_time(&mut out.text, line.created);
    out.end_field();
    push_quoted(out, line.actions.as_bytes());
    push_quoted(out, line.redirect_url);
    push_quoted(out, line.error_reason.as_bytes());
    push_quoted(out, line.target);
    out.text.push(b'"');
    push_status(&mut out.text, line.target_status);
    out.text.push(b'"');
    out.end_field();
    push_quoted(
        out,
        line.classification
            .map_or("", |reason| reason.tier().name())
            .as_bytes(),
    );
    push_quoted(out, line.classification.map_or("", Reason::name).as_bytes());
    push_trace(out, line.connection_trace);
    push_quoted(out, line.transformed_host);
    push_quoted(out, line.transformed_uri);
    push_quoted(out, line.transform_status.as_bytes());
    out.end_line();
}

fn push_request(out: &mut Vec<u8>, line: &Line) {
    if line.method.is_empty() {
        out.push(b'-');
    } else {
        push_escaped(out, line.method);
    }
    out.push(b' ');
    out.extend_from_slice(line.scheme.as_bytes());
    out.extend_from_slice(b"://");
    push_escaped(out, line.host);
    out.push(b':');
    push_number(out, u64::from(line.port));
    if line.method.is_empty() {
        out.extend_from_slice(b"- -");
        return;
    }
    push_escaped(out, line.uri);
    out.push(b' ');
    out.extend_from_slice(line.version.as_bytes());
}

/// A field of the text; `-` if it is empty.
pub(crate) fn push_plain(out: &mut Lines, text: &str) {
    if text.is_empty() {
        out.push_field(b"- ");
        return;
    }
    out.text.extend_from_slice(text.as_bytes());
    out.end_field();
}

/// A field of the text in quotes; `"-"` if it is empty.
pub(crate) fn push_quoted(out: &mut Lines, text: &[u8]) {
    if text.is_empty() {
        out.push_field(b"\"-\" ");
        return;
    }
    out.text.push(b'"');
    push_escaped(&mut out.text, text);
    out.text.push(b'"');
    out.end_field();
}

/// A field that names a connection.
pub(crate) fn push_trace(out: &mut Lines, trace: u128) {
    out.text.extend_from_slice(b"TID_");
    push_hex(&mut out.text, trace);
    out.end_field();
}

fn is_odd(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\'
}

/// Whether any of the bytes is odd: eight at a time.
fn has_odd(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let Some((_, last)) = text.split_last_chunk::<8>() else {
        return text.iter().any(|byte| is_odd(*byte));
    };
    let odd_in = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let is = |byte: u8| {
            let difference = word ^ (ONES * u64::from(byte));
            difference.wrapping_sub(ONES) & !difference
        };
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        // a borrow can only come from a byte that is itself one, so nothing is found where nothing is
        (below | word | is(0x7f) | is(b'"') | is(b'\\')) & HIGH
    };
    // the last eight may overlap with those before
    let mut found = odd_in(last);
    let mut rest = text;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        found |= odd_in(word);
        rest = tail;
    }
    found != 0
}

/// Quotes, backslashes and what is not printable ASCII as `\x22`.
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if !has_odd(text) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        if !is_odd(*byte) {
            out.push(*byte);
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&digits);
        }
    }
}

fn push_status(out: &mut Vec<u8>, status: Option<u16>) {
    match status {
        None => out.push(b'-'),
        Some(status) => push_number(out, u64::from(status)),
    }
}

/// IPv4 as it is, IPv6 in brackets.
fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            for (index, part) in address.ip().octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(part));
            }
            out.push(b':');
            push_number(out, u64::from(address.port()));
        }
        SocketAddr::V6(_) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// Seconds with three decimals.
fn push_seconds(out: &mut Vec<u8>, micros: Option<u64>) {
    let Some(micros) = micros else {
        out.extend_from_slice(b"-1");
        return;
    };
    let millis = micros.saturating_add(500) / 1000;
    push_number(out, millis / 1000);
    out.push(b'.');
    let mut digits = [b'0'; 3];
    set_digits(&mut digits, millis % 1000);
    out.extend_from_slice(&digits);
}

/// The number with leading zeros.
fn set_digits(digits: &mut [u8], number: u64) {
    let mut rest = number as u32;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn push_hex(out: &mut Vec<u8>, number: u128) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0u8; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    out.extend_from_slice(&text);
}

/// Year, month, day, hour and minute.
fn civil(seconds: u64) -> [u64; 5] {
    // counted in eras of 400 years that start in March
    let shifted = seconds / 86_400 + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [year, month, day, seconds / 3600 % 24, seconds / 60 % 60]
}

/// Which of a load balancer's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Access,
    Connection,
    HealthCheck,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Access, Kind::Connection, Kind::HealthCheck];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Access => "access",
            Kind::Connection => "connection",
            Kind::HealthCheck => "health_check",
        }
    }

    fn file_prefix(self) -> &'static str {
        match self {
            Kind::Access => "",
            Kind::Connection => "conn_log_",
            Kind::HealthCheck => "health_check_log_",
        }
    }
}

/// What a file's key is made of.
#[derive(Debug, Clone)]
pub struct FileName<'a> {
    pub kind: Kind,
    /// "" = none
    pub prefix: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    /// "app/<name>/<id>"
    pub load_balancer: &'a str,
    /// end of its interval, seconds since the epoch
    pub end: u64,
    /// the node's
    pub address: &'a str,
    /// 8 letters and digits
    pub random: &'a str,
}

impl FileName<'_> {
    /// The key of the object in its bucket; slashes as in a path.
    pub fn key(&self) -> String {
        let [year, month, day, hour, minute] = civil(self.end);
        let (account, region) = (self.account, self.region);
        let name = self.load_balancer.replace('/', ".");
        let kind = self.kind.file_prefix();
        let FileName { address, random, .. } = self;
        format!(
            "{}/elasticloadbalancing/{region}/{year:04}/{month:02}/{day:02}/{kind}{account}_elasticloadbalancing_{region}_\
             {name}_{year:04}{month:02}{day:02}T{hour:02}{minute:02}Z_{address}_{random}.log.gz",
            root(self.prefix, account),
        )
    }
}

/// The folder of an account's logs: `[prefix/]AWSLogs/<account>`.
pub fn root(prefix: &str, account: &str) -> String {
    if prefix.is_empty() {
        format!("AWSLogs/{account}")
    } else {
        format!("{prefix}/AWSLogs/{account}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        let name = FileName {
            kind: Kind::Access,
            prefix: "logs/prod",
            account: "123456789012",
            region: "us-east-2",
            load_balancer: "app/my-lb/1234567890abcdef",
            end: 1_709_164_500,
            address: "172.160.1.192",
            random: "20sg8hgm",
        };
        assert_eq!(
            name.key(),
            "logs/prod/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2024/02/28/\
             123456789012_elasticloadbalancing_us-east-2_app.my-lb.1234567890abcdef_20240228T2355Z_172.160.1.192_\
             20sg8hgm.log.gz"
        );
        assert_eq!(root("", "1"), "AWSLogs/1");
    }

    #[test]
    fn what_is_odd_is_escaped_wherever_it_is() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(has_odd(&text), is_odd(byte), "{byte} at {at} of {length}");
                }
            }
        }
        let mut out = Vec::new();
        push_escaped(&mut out, b"a \"b\"\\\x7f~\x80\x00");
        assert_eq!(out, br"a \x22b\x22\x5C\x7F~\x80\x00");
    }

    #[test]
    fn times() {
        let mut out = Vec::new();
        Second::default().push_time(&mut out, 1_741_944_413_589_793);
        assert_eq!(out, b"2025-03-14T09:26:53.589793Z");
        for (micros, text) in [
            (None, "-1"),
            (Some(0), "0.000"),
            (Some(12_499), "0.012"),
            (Some(61_000_500), "61.001"),
        ] {
            let mut out = Vec::new();
            push_seconds(&mut out, micros);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }
}
