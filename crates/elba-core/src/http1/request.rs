//! The head of a request: strict enough that nothing passes which a target could read otherwise, tolerant enough to
//! say what was wrong (desync classes) and to route what the mode lets through.

use super::{
    has_control, is_blank, is_token, is_token_byte, line_at, list, parse_length, trim, ConnectionOptions,
    Field, Framing, Line, Name, Span, ALB_NAME, CLASS, TOKEN,
};
use crate::desync::{look_alike, Classification, Reason};

/// Source: alb.md section 11.1.
pub const MAX_REQUEST_LINE: usize = 16 * 1024;
pub const MAX_FIELD_LINE: usize = 16 * 1024;
pub const MAX_FIELDS: usize = 64 * 1024;
/// The longest head there can be, with some room for line ends before it.
pub const MAX_HEAD: usize = MAX_REQUEST_LINE + MAX_FIELDS + 64;
/// Empty lines before a request line that are passed over (RFC 9112, 2.2: at least one).
const MAX_LEADING_BYTES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http09,
    Http10,
    Http11,
}

/// A head that cannot be served in any mode: the status of the answer, after which the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request refused with {0}")]
pub struct Refused(pub u16);

const BAD_REQUEST: Refused = Refused(400);

/// One request head. Spans point into the buffer that was parsed.
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: Span,
    pub target: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    pub classification: Classification,
    pub framing: Framing,
    /// a Content-Length was there (so an empty body is said again to the target)
    pub has_length: bool,
    pub host: Option<Span>,
    pub options: ConnectionOptions,
    pub expects_continue: bool,
    pub upgrades_to_websocket: bool,
    /// some name is not `[-A-Za-z0-9]+`
    pub has_invalid_names: bool,
    /// why it cannot be passed on whatever the mitigation mode says
    pub refused: Option<Refused>,
}

impl Default for RequestHead {
    fn default() -> Self {
        RequestHead {
            method: Span::default(),
            target: Span::default(),
            version: Version::Http11,
            fields: Vec::new(),
            classification: Classification::default(),
            framing: Framing::None,
            has_length: false,
            host: None,
            options: ConnectionOptions::default(),
            expects_continue: false,
            upgrades_to_websocket: false,
            has_invalid_names: false,
            refused: None,
        }
    }
}

/// Facts that are judged only once all fields are known.
#[derive(Default)]
struct Pending {
    method: Option<Reason>,
    version: Option<Reason>,
    target: Option<Reason>,
    length: Option<u64>,
    length_fields: u32,
    bad_length: bool,
    lengths_differ: bool,
    transfer_fields: u32,
    chunked: u32,
    other_codings: bool,
    bad_coding: bool,
    chunked_is_last: bool,
    like_length: bool,
    like_transfer: bool,
    websocket: bool,
}

impl RequestHead {
    fn reset(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = RequestHead {
            fields,
            ..RequestHead::default()
        };
    }

    /// Whether the client wishes to send another request after this one.
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.options.close,
            Version::Http10 => self.options.keep_alive && !self.options.close,
            Version::Http09 => false,
        }
    }

    /// Parses the head at the start of `buffer`: its length, or None while it is incomplete.
    ///
    /// # Errors
    /// `Refused` as soon as it is clear that no continuation could be served (limits, no HTTP at all). A complete
    /// head that cannot be served is returned with `refused` set, for its classification is counted.
    pub fn parse(&mut self, buffer: &[u8]) -> Result<Option<usize>, Refused> {
        self.reset();
        let mut at = 0;
        while matches!(buffer.get(at), Some(b'\r' | b'\n')) {
            at += 1;
            if at > MAX_LEADING_BYTES {
                return Err(BAD_REQUEST);
            }
        }
        match buffer.get(at) {
            None => return Ok(None),
            // no method begins so; a TLS handshake does
            Some(byte) if !is_token_byte(*byte) => return Err(BAD_REQUEST),
            Some(_) => {}
        }
        let Some(line) = line_at(buffer, at) else {
            let too_long = buffer.len() - at > MAX_REQUEST_LINE;
            return if too_long { Err(Refused(414)) } else { Ok(None) };
        };
        if line.content.of(buffer).len() > MAX_REQUEST_LINE {
            return Err(Refused(414));
        }
        let mut pending = Pending::default();
        self.read_request_line(buffer, &line, &mut pending);
        at = line.whole.end as usize;
        if self.version == Version::Http09 {
            // such a request is its first line and nothing else
            self.conclude(buffer, &pending);
            return Ok(Some(at));
        }
        let first_field = at;
        loop {
            let Some(line) = line_at(buffer, at) else {
                let too_much = buffer.len() - at > MAX_FIELD_LINE || buffer.len() - first_field > MAX_FIELDS;
                return if too_much { Err(BAD_REQUEST) } else { Ok(None) };
            };
            if line.content.of(buffer).len() > MAX_FIELD_LINE
                || line.whole.end as usize - first_field > MAX_FIELDS
            {
                return Err(BAD_REQUEST);
            }
            if !line.crlf {
                self.classification.note(Reason::NonCrLfLineTermination);
            }
            at = line.whole.end as usize;
            if line.content.is_empty() {
                break;
            }
            self.read_field(buffer, &line, &mut pending);
        }
        self.conclude(buffer, &pending);
        Ok(Some(at))
    }

    fn read_request_line(&mut self, buffer: &[u8], line: &Line, pending: &mut Pending) {
        let start = line.content.start as usize;
        let content = line.content.of(buffer);
        if !line.crlf {
            self.classification.note(Reason::NonCrLfLineTermination);
        }
        let Some(space) = memchr::memchr(b' ', content) else {
            self.refused = Some(BAD_REQUEST);
            return;
        };
        self.method = Span::new(start, start + space);
        if !is_token(&content[..space]) {
            pending.method = Some(Reason::BadMethod);
            self.refused = Some(BAD_REQUEST);
        }
        let mut from = space + 1;
        let mut to = content.len();
        while to > from && is_blank(content[to - 1]) {
            to -= 1;
            pending.version = Some(Reason::NonCompliantVersion);
        }
        let last_space = memchr::memrchr(b' ', &content[from..to]).map(|at| from + at);
        let version = last_space.map_or(&b""[..], |at| &content[at + 1..to]);
        if version == b"HTTP/1.1" {
            self.version = Version::Http11;
            to = last_space.unwrap_or(to);
        } else if version.starts_with(b"HTTP/") {
            to = last_space.unwrap_or(to);
            self.read_version(&version[5..], pending);
        } else if content[from..to].starts_with(b"HTTP/") {
            // a method and a version, no target
            self.refused = Some(BAD_REQUEST);
        } else {
            self.version = Version::Http09;
            pending.version = Some(Reason::NonCompliantVersion);
        }
        while from < to && is_blank(content[from]) {
            from += 1;
            pending.target.get_or_insert(Reason::SpaceInUri);
        }
        while to > from && is_blank(content[to - 1]) {
            to -= 1;
            pending.version.get_or_insert(Reason::NonCompliantVersion);
        }
        self.target = Span::new(start + from, start + to);
        let target = &content[from..to];
        if target.is_empty() {
            self.refused = Some(BAD_REQUEST);
        }
        if has_control(target) {
            let worst = if target.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
                Reason::BadUri
            } else if target
                .iter()
                .any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f)
            {
                Reason::AmbiguousUri
            } else {
                Reason::SpaceInUri
            };
            pending.target = Some(worst);
        } else if memchr::memchr(b' ', target).is_some() {
            pending.target = Some(Reason::SpaceInUri);
        }
    }

    /// `digits` is what follows "HTTP/".
    fn read_version(&mut self, digits: &[u8], pending: &mut Pending) {
        match digits {
            b"1.0" => self.version = Version::Http10,
            b"0.9" => {
                self.version = Version::Http10;
                pending.version = Some(Reason::NonCompliantVersion);
            }
            [b'1', b'.', minor] if minor.is_ascii_digit() => {
                self.version = Version::Http11;
                pending.version = Some(Reason::NonCompliantVersion);
            }
            [major, rest @ ..]
                if major.is_ascii_digit()
                    && *major != b'1'
                    && rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') =>
            {
                pending.version = Some(Reason::BadVersion);
                self.refused = Some(Refused(505));
            }
            _ => {
                pending.version = Some(Reason::BadVersion);
                self.refused = Some(BAD_REQUEST);
            }
        }
    }

    fn read_field(&mut self, buffer: &[u8], line: &Line, pending: &mut Pending) {
        let start = line.content.start as usize;
        let content = line.content.of(buffer);
        let mut classes = ALB_NAME | TOKEN;
        let mut colon = 0;
        // the whole name in one pass: most names are valid and end at their colon
        while let Some(byte) = content.get(colon) {
            let class = CLASS[*byte as usize];
            if class == 0 {
                break;
            }
            classes &= class;
            colon += 1;
        }
        if content.get(colon) != Some(&b':') || colon == 0 {
            self.read_odd_field(buffer, line, pending);
            return;
        }
        let name = &content[..colon];
        let mut from = colon + 1;
        let mut to = content.len();
        while from < to && is_blank(content[from]) {
            from += 1;
        }
        while to > from && is_blank(content[to - 1]) {
            to -= 1;
        }
        let value = &content[from..to];
        let kind = Name::of(name);
        let mut field = Field {
            name: Span::new(start, start + colon),
            value: Span::new(start + from, start + to),
            line: line.whole,
            kind,
            plain: line.crlf && to == content.len() && from == colon + 2 && content[colon + 1] == b' ',
            unsafe_to_pass: false,
            invalid_name: classes & ALB_NAME == 0,
        };
        self.has_invalid_names |= field.invalid_name;
        if has_control(value) {
            self.note_control(value, &mut field);
        }
        if kind != Name::Other {
            self.read_known(kind, value, &field, pending);
        } else if let Some(is_te) = look_alike(name) {
            self.note_look_alike(is_te, &mut field, pending);
        }
        self.fields.push(field);
    }

    fn note_control(&mut self, value: &[u8], field: &mut Field) {
        if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            self.classification.note(Reason::BadHeader);
            field.unsafe_to_pass = true;
        } else if value
            .iter()
            .any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f)
        {
            self.classification.note(Reason::NonCompliantHeader);
        }
    }

    fn note_look_alike(&mut self, is_te: bool, field: &mut Field, pending: &mut Pending) {
        self.classification.note(Reason::SuspiciousHeader);
        field.unsafe_to_pass = true;
        if is_te {
            pending.like_transfer = true;
        } else {
            pending.like_length = true;
        }
    }

    /// A line that does not begin with a valid name and a colon: classified, kept for the log, never passed on.
    fn read_odd_field(&mut self, buffer: &[u8], line: &Line, pending: &mut Pending) {
        let start = line.content.start as usize;
        let content = line.content.of(buffer);
        let colon = memchr::memchr(b':', content);
        let end = colon.unwrap_or(content.len());
        let mut field = Field {
            name: Span::new(start, start + end),
            value: Span::new(start + (end + 1).min(content.len()), start + content.len()),
            line: line.whole,
            kind: Name::Other,
            plain: false,
            unsafe_to_pass: true,
            invalid_name: true,
        };
        self.has_invalid_names = true;
        if content.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            self.classification.note(Reason::BadHeader);
        } else if is_blank(content[0]) && !self.fields.is_empty() {
            self.classification.note(Reason::MultilineHeader);
        } else if colon.is_none() {
            self.classification.note(Reason::MissingHeaderColon);
        } else if trim(&content[..end]).is_empty() {
            self.classification.note(Reason::EmptyHeader);
        } else {
            self.classification.note(Reason::NonCompliantHeader);
        }
        if let Some(is_te) = look_alike(&content[..end]) {
            self.note_look_alike(is_te, &mut field, pending);
        }
        self.fields.push(field);
    }

    fn read_known(&mut self, kind: Name, value: &[u8], field: &Field, pending: &mut Pending) {
        match kind {
            // the first one counts
            Name::Host if !field.unsafe_to_pass => {
                self.host.get_or_insert(field.value);
            }
            Name::Connection => self.options.read(value),
            Name::ContentLength => {
                pending.length_fields += 1;
                let length = if value.is_empty() {
                    Some(0)
                } else {
                    parse_length(value)
                };
                match (length, pending.length) {
                    (None, _) => pending.bad_length = true,
                    (Some(length), Some(known)) if length != known => pending.lengths_differ = true,
                    (Some(length), _) => pending.length = Some(length),
                }
            }
            Name::TransferEncoding => {
                pending.transfer_fields += 1;
                let before = (pending.chunked, pending.other_codings, pending.bad_coding);
                for coding in list(value) {
                    read_coding(coding, pending);
                }
                if before == (pending.chunked, pending.other_codings, pending.bad_coding) {
                    // nothing in it, or identity only
                    pending.bad_coding |= trim(value).is_empty();
                }
            }
            Name::Expect => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::Upgrade => {
                pending.websocket |= list(value).any(|item| item.eq_ignore_ascii_case(b"websocket"))
            }
            _ => {}
        }
    }

    /// TE and CL together, then method, version and URI, in the guardian's order.
    fn conclude(&mut self, buffer: &[u8], pending: &Pending) {
        self.has_length = pending.length_fields > 0;
        self.upgrades_to_websocket =
            pending.websocket && self.options.upgrade && self.version == Version::Http11;
        if pending.length_fields > 0
            || pending.transfer_fields > 0
            || pending.like_length
            || pending.like_transfer
        {
            self.conclude_framing(buffer, pending);
        }
        for reason in [pending.method, pending.version, pending.target]
            .into_iter()
            .flatten()
        {
            self.classification.note(reason);
        }
    }

    fn conclude_framing(&mut self, buffer: &[u8], pending: &Pending) {
        let has_transfer = pending.transfer_fields > 0;
        let method = self.method.of(buffer);
        let without_body = method == b"GET" || method == b"HEAD";
        if (pending.like_length && (has_transfer || pending.like_transfer || self.has_length))
            || (pending.like_transfer && (has_transfer || self.has_length))
        {
            self.classification.note(Reason::SuspiciousTeClPresent);
        }
        if has_transfer && self.version < Version::Http11 {
            self.classification
                .note(Reason::UndefinedTransferEncodingSemantics);
        }
        if has_transfer {
            if pending.bad_coding {
                self.classification.note(Reason::BadTransferEncoding);
                self.refused.get_or_insert(Refused(501));
            }
            if pending.chunked > 1 {
                self.classification.note(Reason::MultipleTransferEncodingChunked);
                self.refused.get_or_insert(BAD_REQUEST);
            }
            if pending.other_codings || (pending.chunked == 1 && !pending.chunked_is_last) {
                // a body in a coding that cannot be taken off here has no end that both sides agree on
                self.refused.get_or_insert(Refused(501));
            }
            if self.has_length {
                self.classification.note(Reason::BothTeClPresent);
            }
            if without_body {
                self.classification
                    .note(Reason::UndefinedTransferEncodingSemantics);
            }
        }
        if pending.bad_length {
            self.classification.note(Reason::BadContentLength);
            self.refused.get_or_insert(BAD_REQUEST);
        } else if pending.lengths_differ {
            self.classification.note(Reason::MultipleContentLength);
            self.refused.get_or_insert(BAD_REQUEST);
        } else if pending.length_fields > 1 {
            self.classification.note(Reason::DuplicateContentLength);
        }
        if without_body && self.has_length && !pending.bad_length && !pending.lengths_differ {
            self.classification.note(if pending.length == Some(0) {
                Reason::GetHeadZeroContentLength
            } else {
                Reason::UndefinedContentLengthSemantics
            });
        }
        self.framing = if pending.chunked > 0 {
            Framing::Chunked
        } else {
            match pending.length {
                None | Some(0) => Framing::None,
                Some(length) => Framing::Length(length),
            }
        };
    }
}

fn read_coding(coding: &[u8], pending: &mut Pending) {
    let name = trim(coding.split(|byte| *byte == b';').next().unwrap_or(coding));
    pending.chunked_is_last = false;
    if name.eq_ignore_ascii_case(b"chunked") {
        pending.chunked += 1;
        // parameters are not understood, so neither is what they would do to the framing
        pending.chunked_is_last = name.len() == coding.len();
    } else if ["compress", "deflate", "gzip"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    {
        pending.other_codings = true;
    } else if name.eq_ignore_ascii_case(b"identity") {
        // "identity" after "chunked" would make chunked not the last coding
        pending.chunked_is_last = pending.chunked == 0;
    } else {
        pending.bad_coding = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let used = head
            .parse(text.as_bytes())
            .expect("not refused")
            .expect("complete");
        assert!(used <= text.len());
        head
    }

    fn class(text: &str) -> Option<Reason> {
        parsed(text).classification.reason()
    }

    fn get(fields: &str) -> String {
        format!("GET /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
    }

    fn post(fields: &str) -> String {
        format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
    }

    #[test]
    fn reads_a_plain_request() {
        let text = "GET /a?b=c HTTP/1.1\r\nHost: h.example:80\r\nAccept:  */* \r\nX_y: z\r\n\r\nrest";
        let mut head = RequestHead::default();
        assert_eq!(head.parse(text.as_bytes()), Ok(Some(text.len() - 4)));
        assert_eq!(head.method.of(text.as_bytes()), b"GET");
        assert_eq!(head.target.of(text.as_bytes()), b"/a?b=c");
        assert_eq!(
            head.host.map(|host| host.of(text.as_bytes())),
            Some(&b"h.example:80"[..])
        );
        assert_eq!(head.fields[1].value.of(text.as_bytes()), b"*/*");
        assert!(head.fields[0].plain && !head.fields[1].plain);
        assert!(head.fields[2].invalid_name && head.has_invalid_names);
        assert_eq!(head.classification.reason(), None);
        assert!(head.keeps_alive());
    }

    #[test]
    fn every_proper_prefix_is_incomplete() {
        let text = post("Transfer-Encoding: chunked\r\nA: b\r\n");
        let mut head = RequestHead::default();
        for end in 0..text.len() {
            assert_eq!(head.parse(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
        assert_eq!(head.parse(text.as_bytes()), Ok(Some(text.len())));
        assert_eq!(head.framing, Framing::Chunked);
    }

    #[test]
    fn classes_of_the_desync_table() {
        use Reason::*;
        let table: &[(String, Option<Reason>)] = &[
            (get(""), None),
            (get("A: caf\u{e9}\r\n"), None),
            (get("X_a.b: c\r\n"), None),
            (get("Bad Name: x\r\n"), Some(NonCompliantHeader)),
            (get("A : x\r\n"), Some(NonCompliantHeader)),
            (get("A: x\u{1}\r\n"), Some(NonCompliantHeader)),
            (get("A: x\u{7f}\r\n"), Some(NonCompliantHeader)),
            (get("A: x\0\r\n"), Some(BadHeader)),
            (get("A: x\ry\r\n"), Some(BadHeader)),
            (get("A\0: x\r\n"), Some(BadHeader)),
            (get(": x\r\n"), Some(EmptyHeader)),
            (get(" : x\r\n"), Some(MultilineHeader)),
            (get("A: x\r\n folded\r\n"), Some(MultilineHeader)),
            (get("nonsense\r\n"), Some(MissingHeaderColon)),
            (get("A: x\n"), Some(NonCrLfLineTermination)),
            (get("Content-Length: 0\r\n"), Some(GetHeadZeroContentLength)),
            (
                get("Content-Length: 3\r\n"),
                Some(UndefinedContentLengthSemantics),
            ),
            (
                get("Transfer-Encoding: chunked\r\n"),
                Some(UndefinedTransferEncodingSemantics),
            ),
            (post("Content-Length: 3\r\n"), None),
            (post("Content-Length: \r\n"), None),
            (post("Transfer-Encoding: chunked\r\n"), None),
            (post("Transfer-Encoding: identity\r\n"), None),
            (
                post("Content-Length: 3\r\nContent-Length: 3\r\n"),
                Some(DuplicateContentLength),
            ),
            (
                post("Content-Length: 3\r\nContent-Length: 4\r\n"),
                Some(MultipleContentLength),
            ),
            (
                post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
                Some(BothTeClPresent),
            ),
            (post("Transfer_Encoding: chunked\r\n"), Some(SuspiciousHeader)),
            (post("Transfer-Encoding : chunked\r\n"), Some(SuspiciousHeader)),
            (
                post("Content-Length: 3\r\nTransfer-Encoding : chunked\r\n"),
                Some(SuspiciousTeClPresent),
            ),
            (
                post("Content-Length: 3\r\nContent-Length : 4\r\n"),
                Some(SuspiciousTeClPresent),
            ),
            (post("Content-Length: 1000,1000\r\n"), Some(BadContentLength)),
            (post("Content-Length: 1000.0\r\n"), Some(BadContentLength)),
            (post("Content-Length: $9\r\n"), Some(BadContentLength)),
            (post("Content-Length: +9\r\n"), Some(BadContentLength)),
            (
                post("Content-Length: 18446744073709551616\r\n"),
                Some(BadContentLength),
            ),
            (
                post("Transfer-Encoding: chunked, chunked\r\n"),
                Some(MultipleTransferEncodingChunked),
            ),
            (
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
                Some(MultipleTransferEncodingChunked),
            ),
            (post("Transfer-Encoding: xchunked\r\n"), Some(BadTransferEncoding)),
            (
                post("Transfer-Encoding: \u{b}chunked\r\n"),
                Some(BadTransferEncoding),
            ),
            ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".into(), Some(SpaceInUri)),
            (
                "GET /a\u{1} HTTP/1.1\r\nHost: h\r\n\r\n".into(),
                Some(AmbiguousUri),
            ),
            ("GET /a\0 HTTP/1.1\r\nHost: h\r\n\r\n".into(), Some(BadUri)),
            ("GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n".into(), Some(BadUri)),
            (
                "GET /a HTTP/1.3\r\nHost: h\r\n\r\n".into(),
                Some(NonCompliantVersion),
            ),
            (
                "GET /a HTTP/1.1 \r\nHost: h\r\n\r\n".into(),
                Some(NonCompliantVersion),
            ),
            ("GET /a\r\n".into(), Some(NonCompliantVersion)),
            ("GET /a HTTP/1.x\r\nHost: h\r\n\r\n".into(), Some(BadVersion)),
            ("GET /a HTTP/1.11\r\nHost: h\r\n\r\n".into(), Some(BadVersion)),
            ("G(T /a HTTP/1.1\r\nHost: h\r\n\r\n".into(), Some(BadMethod)),
            (
                "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                Some(UndefinedTransferEncodingSemantics),
            ),
        ];
        for (text, wanted) in table {
            assert_eq!(class(text), *wanted, "{text:?}");
        }
    }

    #[test]
    fn what_no_mode_can_frame_is_refused() {
        for (fields, status) in [
            ("Content-Length: 3\r\nContent-Length: 4\r\n", 400),
            ("Content-Length: -3\r\n", 400),
            ("Transfer-Encoding: gzip\r\n", 501),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, gzip\r\n", 501),
            ("Transfer-Encoding: chunked, identity\r\n", 501),
            ("Transfer-Encoding: chunked;a=b\r\n", 501),
            ("Transfer-Encoding: x\r\n", 501),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                400,
            ),
        ] {
            assert_eq!(parsed(&post(fields)).refused, Some(Refused(status)), "{fields:?}");
        }
        assert_eq!(parsed("PRI * HTTP/2.0\r\n\r\n").refused, Some(Refused(505)));
        assert_eq!(parsed("GET HTTP/1.1\r\n\r\n").refused, Some(Refused(400)));
        assert_eq!(parsed("GET\r\n\r\n").refused, Some(Refused(400)));
        assert_eq!(parsed("GET  HTTP/1.1\r\n\r\n").refused, Some(Refused(400)));
    }

    #[test]
    fn look_alikes_are_never_passed_on() {
        for name in [
            "Transfer_Encoding",
            "Transfer-Encoding ",
            "Content_Length",
            "\u{1}Content-Length",
        ] {
            let head = parsed(&post(&format!("{name}: 1\r\n")));
            assert!(head.fields[1].unsafe_to_pass, "{name:?}");
        }
    }

    #[test]
    fn length_and_chunked_together_are_chunked() {
        let head = parsed(&post("Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n"));
        assert_eq!((head.framing, head.refused), (Framing::Chunked, None));
    }

    #[test]
    fn limits() {
        let mut head = RequestHead::default();
        let long = format!("GET /{}", "a".repeat(MAX_REQUEST_LINE));
        assert_eq!(head.parse(long.as_bytes()), Err(Refused(414)));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_REQUEST_LINE));
        assert_eq!(head.parse(long.as_bytes()), Err(Refused(414)));
        let long = get(&format!("A: {}\r\n", "a".repeat(MAX_FIELD_LINE)));
        assert_eq!(head.parse(long.as_bytes()), Err(BAD_REQUEST));
        let many = get(&format!("A: {}\r\n", "a".repeat(8000)).repeat(9));
        assert_eq!(head.parse(many.as_bytes()), Err(BAD_REQUEST));
        let most = get(&format!("A: {}\r\n", "a".repeat(8000)).repeat(8));
        assert_eq!(head.parse(most.as_bytes()), Ok(Some(most.len())));
        assert_eq!(head.parse(b"\x16\x03\x01\x02"), Err(BAD_REQUEST));
    }

    #[test]
    fn keep_alive_by_version_and_wish() {
        for (text, keeps) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: foo, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET /\r\n", false),
        ] {
            assert_eq!(parsed(text).keeps_alive(), keeps, "{text:?}");
        }
    }

    #[test]
    fn websocket_upgrades_only() {
        assert!(parsed(&get("Connection: Upgrade\r\nUpgrade: WebSocket\r\n")).upgrades_to_websocket);
        assert!(!parsed(&get("Connection: Upgrade\r\nUpgrade: h2c\r\n")).upgrades_to_websocket);
        assert!(!parsed(&get("Upgrade: websocket\r\n")).upgrades_to_websocket);
    }
}
