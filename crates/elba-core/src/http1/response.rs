//! The head of a target's response. What is not plainly HTTP/1 is malformed: the client then gets 502.

use super::{
    has_control, is_token_byte, line_at, list, parse_length, ConnectionOptions, Field, Framing, Name, Span,
    ALB_NAME, CLASS,
};

/// Source: alb.md section 11.1.
pub const MAX_HEAD: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the target's response is malformed or its head too large")]
pub struct BadResponse;

/// One response head. Spans point into the buffer that was parsed.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    pub status: u16,
    /// from the status code to the end of its line, without line end
    pub status_and_reason: Span,
    pub is_http10: bool,
    pub fields: Vec<Field>,
    pub options: ConnectionOptions,
    pub has_date: bool,
    /// the one length that all Content-Length fields state
    pub length: Option<u64>,
    /// more than one Content-Length field, or one beside Transfer-Encoding: the field is written anew
    pub length_is_odd: bool,
    pub chunked: bool,
    has_transfer: bool,
}

impl ResponseHead {
    /// How the end of the body is found, the request having been HEAD or not.
    pub fn framing(&self, to_head: bool) -> Framing {
        if to_head || matches!(self.status, 100..=199 | 204 | 304) {
            return Framing::None;
        }
        if self.chunked {
            return Framing::Chunked;
        }
        match self.length {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        }
    }

    /// Whether the target lets its connection be used again once the body has ended.
    pub fn keeps_alive(&self) -> bool {
        if self.length_is_odd || self.options.close {
            return false;
        }
        !self.is_http10 || self.options.keep_alive
    }

    /// Parses the head at the start of `buffer`: its length, or None while it is incomplete.
    ///
    /// # Errors
    /// `BadResponse`: malformed, over the limit, or framed in a way that cannot be followed.
    pub fn parse(&mut self, buffer: &[u8]) -> Result<Option<usize>, BadResponse> {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = ResponseHead {
            fields,
            ..ResponseHead::default()
        };
        let incomplete = || {
            if buffer.len() > MAX_HEAD {
                Err(BadResponse)
            } else {
                Ok(None)
            }
        };
        if !buffer.starts_with(&b"HTTP/1."[..buffer.len().min(7)]) {
            return Err(BadResponse);
        }
        let Some(line) = line_at(buffer, 0) else {
            return incomplete();
        };
        let content = line.content.of(buffer);
        self.is_http10 = match content.get(7) {
            Some(b'0') => true,
            Some(b'1') => false,
            _ => return Err(BadResponse),
        };
        let digits = content.get(9..12).ok_or(BadResponse)?;
        if content[8] != b' '
            || !digits.iter().all(u8::is_ascii_digit)
            || !matches!(content.get(12), None | Some(b' '))
            || content[9..].iter().any(|byte| matches!(byte, 0 | b'\r'))
        {
            return Err(BadResponse);
        }
        self.status = digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        if !(100..=999).contains(&self.status) {
            return Err(BadResponse);
        }
        self.status_and_reason = Span::new(9, content.len());
        let mut at = line.whole.end as usize;
        loop {
            let Some(line) = line_at(buffer, at) else {
                return incomplete();
            };
            at = line.whole.end as usize;
            if at > MAX_HEAD {
                return Err(BadResponse);
            }
            if line.content.is_empty() {
                break;
            }
            let field = self.read_field(buffer, line.content, line.whole, line.crlf)?;
            self.fields.push(field);
        }
        if self.has_transfer && self.length.is_some() {
            self.length = None;
            self.length_is_odd = true;
        }
        Ok(Some(at))
    }

    fn read_field(
        &mut self,
        buffer: &[u8],
        content_span: Span,
        whole: Span,
        crlf: bool,
    ) -> Result<Field, BadResponse> {
        let start = content_span.start as usize;
        let content = content_span.of(buffer);
        let colon = content
            .iter()
            .position(|byte| !is_token_byte(*byte))
            .unwrap_or(content.len());
        if colon == 0 || content.get(colon) != Some(&b':') {
            return Err(BadResponse);
        }
        let mut from = colon + 1;
        let mut to = content.len();
        while from < to && super::is_blank(content[from]) {
            from += 1;
        }
        while to > from && super::is_blank(content[to - 1]) {
            to -= 1;
        }
        let name = &content[..colon];
        let value = &content[from..to];
        if has_control(value) && value.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(BadResponse);
        }
        let kind = Name::of(name);
        match kind {
            Name::ContentLength => {
                let length = parse_length(value).ok_or(BadResponse)?;
                match self.length {
                    None => self.length = Some(length),
                    Some(known) if known == length => self.length_is_odd = true,
                    Some(_) => return Err(BadResponse),
                }
            }
            Name::TransferEncoding => {
                // "chunked" alone can be followed; anything else cannot
                let mut codings = list(value);
                let only = codings.next().ok_or(BadResponse)?;
                if self.has_transfer || codings.next().is_some() {
                    return Err(BadResponse);
                }
                self.has_transfer = true;
                if only.eq_ignore_ascii_case(b"chunked") {
                    self.chunked = true;
                } else if !only.eq_ignore_ascii_case(b"identity") {
                    return Err(BadResponse);
                }
            }
            Name::Connection => self.options.read(value),
            Name::Date => self.has_date = true,
            _ => {}
        }
        Ok(Field {
            name: Span::new(start, start + colon),
            value: Span::new(start + from, start + to),
            line: whole,
            kind,
            plain: crlf && to == content.len() && from == colon + 2 && content[colon + 1] == b' ',
            unsafe_to_pass: false,
            invalid_name: name.iter().any(|byte| CLASS[*byte as usize] & ALB_NAME == 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ResponseHead, BadResponse> {
        let mut head = ResponseHead::default();
        head.parse(text.as_bytes()).map(|used| {
            assert!(used.is_some(), "incomplete: {text:?}");
            head
        })
    }

    #[test]
    fn framing_of_responses() {
        let table = [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                false,
                Framing::Length(5),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                true,
                Framing::None,
                true,
            ),
            (
                "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
                false,
                Framing::None,
                true,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", false, Framing::None, true),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
                false,
                Framing::None,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
                Framing::Chunked,
                true,
            ),
            ("HTTP/1.1 200 OK\n\n", false, Framing::UntilClose, true),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
                false,
                Framing::Length(5),
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
                false,
                Framing::Length(5),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
                false,
                Framing::Length(5),
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
                Framing::Chunked,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                false,
                Framing::Length(5),
                false,
            ),
        ];
        for (text, to_head, framing, keeps) in table {
            let head = parsed(text).unwrap();
            assert_eq!(
                (head.framing(to_head), head.keeps_alive()),
                (framing, keeps),
                "{text:?}"
            );
        }
    }

    #[test]
    fn malformed_heads() {
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "hello\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn limit_and_prefixes() {
        let mut head = ResponseHead::default();
        let text = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(head.parse(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(head.parse(long.as_bytes()), Err(BadResponse));
        assert_eq!(head.parse(&long.as_bytes()[..MAX_HEAD + 10]), Err(BadResponse));
    }
}
