//! Answers that the load balancer makes itself: error pages and redirects. Source: alb.md sections 5.2, 5.3 and 12.

use crate::http1::push_number;

/// Reason phrase as nginx, and so AWS, words it; "" where AWS sends none.
pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Authorization Required",
        403 => "Forbidden",
        405 => "Not Allowed",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        421 => "Misdirected Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// Phrases of fixed responses, which may have any 2xx, 4xx or 5xx code.
fn fixed_phrase(status: u16) -> &'static str {
    match status {
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        402 => "Payment Required",
        404 => "Not Found",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        507 => "Insufficient Storage",
        other => phrase(other),
    }
}

/// Whether the connection is closed after this answer.
pub fn closes(status: u16) -> bool {
    matches!(status, 400 | 408 | 413 | 414 | 421 | 501 | 505)
}

/// The page that goes with a status; empty for AWS's own codes.
pub fn page(status: u16) -> String {
    let phrase = phrase(status);
    if phrase.is_empty() {
        return String::new();
    }
    format!(
        "<html>\r\n<head><title>{status} {phrase}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {phrase}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

/// What every answer of our own has in common.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub date: &'a str,
    pub keep_alive: bool,
    /// the request was HEAD: no body is sent
    pub to_head: bool,
    /// `Server: awselb/2.0` (routing.http.response.server.enabled)
    pub server: bool,
    pub extra: &'a [(String, String, String)],
    /// whole Set-Cookie lines
    pub cookies: &'a [u8],
}

impl Answer<'_> {
    /// Appends an error page.
    pub fn push_error(&self, out: &mut Vec<u8>, status: u16) {
        self.push(
            out,
            status,
            phrase(status),
            "text/html",
            None,
            page(status).as_bytes(),
        );
    }

    /// Appends a redirect; `location` holds no control characters.
    pub fn push_redirect(&self, out: &mut Vec<u8>, status: u16, location: &[u8]) {
        self.push(
            out,
            status,
            phrase(status),
            "text/html",
            Some(location),
            page(status).as_bytes(),
        );
    }

    pub fn push_fixed(&self, out: &mut Vec<u8>, status: u16, content_type: &str, body: &[u8]) {
        self.push(out, status, fixed_phrase(status), content_type, None, body);
    }

    fn push(
        &self,
        out: &mut Vec<u8>,
        status: u16,
        phrase: &str,
        content_type: &str,
        location: Option<&[u8]>,
        body: &[u8],
    ) {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(phrase.as_bytes());
        out.extend_from_slice(b"\r\n");
        if self.server {
            out.extend_from_slice(b"Server: awselb/2.0\r\n");
        }
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(self.date.as_bytes());
        let has_body = status != 204;
        if has_body {
            out.extend_from_slice(b"\r\nContent-Type: ");
            out.extend_from_slice(content_type.as_bytes());
            out.extend_from_slice(b"\r\nContent-Length: ");
            push_number(out, body.len() as u64);
        }
        out.extend_from_slice(if self.keep_alive {
            b"\r\nConnection: keep-alive\r\n"
        } else {
            &b"\r\nConnection: close\r\n"[..]
        });
        if let Some(location) = location {
            out.extend_from_slice(b"Location: ");
            out.extend_from_slice(location);
            out.extend_from_slice(b"\r\n");
        }
        for (name, _, value) in self.extra {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.cookies);
        out.extend_from_slice(b"\r\n");
        if has_body && !self.to_head {
            out.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_lengths_of_the_specification() {
        for (status, length) in [
            (301, 134),
            (302, 110),
            (400, 122),
            (401, 144),
            (403, 118),
            (405, 122),
            (408, 132),
            (413, 148),
            (414, 142),
            (500, 142),
            (501, 130),
            (502, 122),
            (503, 162),
            (504, 132),
            (505, 152),
        ] {
            assert_eq!(page(status).len(), length, "{status}");
        }
        assert_eq!(page(463), "");
    }

    fn answer(keep_alive: bool, to_head: bool) -> Answer<'static> {
        Answer {
            date: "Thu, 01 Jan 1970 00:00:00 GMT",
            keep_alive,
            to_head,
            server: true,
            extra: &[],
            cookies: &[],
        }
    }

    #[test]
    fn whole_answers() {
        let mut out = Vec::new();
        answer(false, true).push_error(&mut out, 400);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 400 Bad Request\r\nServer: awselb/2.0\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Content-Type: text/html\r\nContent-Length: 122\r\nConnection: close\r\n\r\n"
        );
        let mut out = Vec::new();
        answer(true, false).push_fixed(&mut out, 404, "text/plain; charset=utf-8", b"none");
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 404 Not Found\r\n")
                && text.ends_with("Content-Length: 4\r\nConnection: keep-alive\r\n\r\nnone")
        );
    }
}
